//! Connection ids that say which engine made them.

use quinn_proto as q;
use std::time::Duration;

/// Connection ids whose first two bits say which instance made them, so that a caller with several engines on one socket
/// finds the right one. Engines with one reset key accept each other's.
pub(crate) struct MarkedIds {
    ids: q::HashedConnectionIdGenerator,
    instance: u8,
}

impl MarkedIds {
    pub(crate) fn new(key: u64, instance: u8) -> Self {
        Self { ids: q::HashedConnectionIdGenerator::from_key(key), instance }
    }
}

impl q::ConnectionIdGenerator for MarkedIds {
    fn generate_cid(&mut self) -> q::ConnectionId {
        // One in four fits.
        loop {
            let id = self.ids.generate_cid();
            if id.first().is_some_and(|byte| byte >> 6 == self.instance) {
                return id;
            }
        }
    }

    fn validate(&self, id: &q::ConnectionId) -> Result<(), q::InvalidCid> {
        self.ids.validate(id)
    }

    fn cid_len(&self) -> usize {
        self.ids.cid_len()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        self.ids.cid_lifetime()
    }
}
