//! The connections of an engine, by handle, and their timers.

use crate::clock::Instant;
use quinn_proto as q;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// Bits of a handle that say where; the other twelve say which one there, so that a handle outlives its connection
/// without meaning another.
const INDEX_BITS: u32 = 20;

pub(crate) struct Connection {
    pub(crate) quic: q::Connection,
    pub(crate) handle: u32,
    /// Past the judge and the handshake.
    pub(crate) connected: bool,
    /// ALPN and server name were told.
    pub(crate) negotiated: bool,
    /// How many bidi and uni streams of the peer's were told.
    pub(crate) accepted: [u64; 2],
    pub(crate) remote: u32,
    pub(crate) mtu: u16,
    dirty: bool,
    armed: Option<Instant>,
}

impl Connection {
    /// Whether the stream was opened by us, or was told. quinn-proto keeps streams ready that the peer may open, and
    /// would stop or reset those on the wire too.
    pub(crate) fn knows(&self, id: q::StreamId) -> bool {
        let [bidi, uni] = self.accepted;
        let told = if id.dir() == q::Dir::Uni { uni } else { bidi };
        id.initiator() == self.quic.side() || id.index() < told
    }
}

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// Connections by quinn-proto's index. As many as the caller accepts and makes, at most 2^20.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    count: usize,
    /// Connections that are over, for what can still be read from them; each until the caller releases it.
    over: HashMap<u32, Box<Connection>>,
    /// Connections with something to do; each at most once.
    dirty: VecDeque<usize>,
    /// Armed timers; stale ones are dropped when they come up, and all of them when they outnumber the connections.
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Room for another index?
    pub(crate) fn takes(&self) -> bool {
        self.count < 1 << INDEX_BITS
    }

    pub(crate) fn insert(&mut self, at: q::ConnectionHandle, quic: q::Connection, remote: u32) -> u32 {
        let index = at.0;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(index) else { return u32::MAX };
        slot.generation = (slot.generation + 1) & (u32::MAX >> INDEX_BITS);
        let handle = slot.generation << INDEX_BITS | index as u32;
        let mtu = quic.current_mtu();
        slot.connection = Some(Box::new(Connection {
            quic,
            handle,
            connected: false,
            negotiated: false,
            accepted: [0; 2],
            remote,
            mtu,
            dirty: false,
            armed: None,
        }));
        self.count += 1;
        self.touch(index);
        handle
    }

    /// Frees the index; the handle stays readable until it is released.
    pub(crate) fn end(&mut self, index: usize) {
        if let Some(connection) = self.slots.get_mut(index).and_then(|slot| slot.connection.take()) {
            self.count -= 1;
            self.over.insert(connection.handle, connection);
        }
    }

    pub(crate) fn release(&mut self, handle: u32) -> bool {
        self.over.remove(&handle).is_some()
    }

    pub(crate) fn over(&self) -> usize {
        self.over.len()
    }

    pub(crate) fn at(&mut self, index: usize) -> Option<&mut Connection> {
        self.slots.get_mut(index)?.connection.as_deref_mut()
    }

    pub(crate) fn get(&mut self, handle: u32) -> Option<&mut Connection> {
        match self.slots.get_mut(index_of(handle)).and_then(|slot| slot.connection.as_deref_mut()) {
            Some(connection) if connection.handle == handle => Some(connection),
            _ => self.over.get_mut(&handle).map(|c| &mut **c),
        }
    }

    pub(crate) fn get_ref(&self, handle: u32) -> Option<&Connection> {
        match self.slots.get(index_of(handle)).and_then(|slot| slot.connection.as_deref()) {
            Some(connection) if connection.handle == handle => Some(connection),
            _ => self.over.get(&handle).map(|c| &**c),
        }
    }

    /// Has the connection looked at in the next poll.
    pub(crate) fn touch(&mut self, index: usize) {
        if let Some(connection) = self.slots.get_mut(index).and_then(|slot| slot.connection.as_deref_mut()) {
            if !connection.dirty {
                connection.dirty = true;
                self.dirty.push_back(index);
            }
        }
    }

    pub(crate) fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(crate) fn next_dirty(&mut self) -> Option<usize> {
        while let Some(index) = self.dirty.pop_front() {
            if let Some(connection) = self.at(index) {
                connection.dirty = false;
                return Some(index);
            }
        }
        None
    }

    /// Notes when the connection wants to be woken. A timer that moved later is left where it is: it fires early, finds
    /// nothing to do and is armed again, which is far rarer than a timer that moves.
    pub(crate) fn arm(&mut self, index: usize) {
        let Some(connection) = self.at(index) else { return };
        let Some(at) = connection.quic.poll_timeout() else { return };
        if connection.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        connection.armed = Some(at);
        let handle = connection.handle;
        if self.timers.len() > 64 + 4 * self.count {
            self.timers = self.current_timers();
        } else {
            self.timers.push(Reverse((at, handle)));
        }
    }

    fn current_timers(&self) -> BinaryHeap<Reverse<(Instant, u32)>> {
        let live = self.slots.iter().filter_map(|slot| slot.connection.as_deref());
        live.filter_map(|c| Some(Reverse((c.armed?, c.handle)))).collect()
    }

    /// When the first timer fires.
    pub(crate) fn next_timeout(&mut self) -> Option<Instant> {
        loop {
            let &Reverse((at, handle)) = self.timers.peek()?;
            if self.get(handle).is_some_and(|c| c.armed == Some(at)) {
                return Some(at);
            }
            self.timers.pop();
        }
    }

    /// Takes the next connection whose timer has fired.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<usize> {
        if self.next_timeout()? > now {
            return None;
        }
        let Reverse((_, handle)) = self.timers.pop()?;
        let index = index_of(handle);
        if let Some(connection) = self.at(index) {
            connection.armed = None;
        }
        Some(index)
    }

    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }
}

pub(crate) fn index_of(handle: u32) -> usize {
    (handle & ((1 << INDEX_BITS) - 1)) as usize
}
