//! Datagrams on their way out, and the addresses of both ways.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// One entry of a poll: `size` bytes of consecutive datagrams to one address, all but the last `segment` bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub address: u32,
    /// Bytes altogether.
    pub size: u32,
    /// Bytes in each datagram but the last.
    pub segment: u32,
    /// ECN bits, 0 to 3.
    pub ecn: u32,
}

impl Transmit {
    pub(crate) fn write(self, record: &mut [u32]) {
        record.copy_from_slice(&[self.address, self.size, self.segment, self.ecn]);
    }

    /// Words in one record of the transmit table.
    pub const WORDS: usize = 4;
}

/// quinn-proto wants socket addresses; ours are numbers, in a range that is not routed (RFC 4193).
pub(crate) fn to_socket(address: u32) -> SocketAddr {
    let (high, low) = ((address >> 16) as u16, address as u16);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, high, low)), 1)
}

pub(crate) fn from_socket(socket: SocketAddr) -> u32 {
    match socket.ip() {
        IpAddr::V6(ip) => ip.to_bits() as u32,
        IpAddr::V4(_) => 0,
    }
}

/// The caller's buffers while they fill.
pub(crate) struct Sink<'a> {
    pub(crate) out: &'a mut [u8],
    pub(crate) table: &'a mut [u32],
    pub(crate) used: usize,
    pub(crate) count: usize,
}

impl Sink<'_> {
    /// Copies one transmit in, or returns `false` when it does not fit.
    pub(crate) fn put(&mut self, transmit: Transmit, bytes: &[u8]) -> bool {
        let at = self.count * Transmit::WORDS;
        let Some(record) = self.table.get_mut(at..at + Transmit::WORDS) else { return false };
        let Some(target) = self.out.get_mut(self.used..self.used + bytes.len()) else { return false };
        target.copy_from_slice(bytes);
        transmit.write(record);
        self.used += bytes.len();
        self.count += 1;
        true
    }
}
