//! What an engine has to tell, as a compact table.

use quinn_proto::{ConnectionError, VarInt};
use std::collections::VecDeque;

/// Words in one record of the event table: kind | detail << 8, subject, low, high, text offset, text length.
pub const RECORD_WORDS: usize = 6;

/// What happened. The numbers are the border's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Somebody wants to connect: subject is the incoming's number, low its address, detail 1 = address validated,
    /// 2 = may be sent a Retry.
    Incoming = 1,
    /// ALPN and server name are known: text is the ALPN name behind its length byte, then the server name.
    Negotiated = 2,
    /// The peer has proven its key, the judge has let it in, the handshake is over.
    Connected = 3,
    /// The connection is over: detail says how ([`lost_detail`]), low/high the code, text the reason.
    Lost = 4,
    /// Nothing more will come from the connection; what arrived before can be read until its handle is released.
    Drained = 5,
    /// The peer opened a stream: low/high its id.
    Opened = 6,
    /// A stream has bytes, an end or a reset to read.
    Readable = 7,
    /// A stream that refused bytes takes some again.
    Writable = 8,
    /// The peer's transport has acknowledged everything, end included.
    Finished = 9,
    /// The peer wants no more of a stream: text is the code, eight bytes little-endian.
    Stopped = 10,
    /// Streams of a kind can be opened: detail 0 bidi, 1 uni.
    Available = 11,
    /// Datagrams wait.
    Datagram = 12,
    /// A datagram that was refused for space would be taken now.
    DatagramsUnblocked = 13,
    /// The peer is at another address: low is the new one, high the old one.
    Path = 14,
    /// Datagrams of `low` bytes reach the peer.
    Mtu = 15,
    /// Text is a line in NSS key log format.
    KeyLog = 16,
}

/// One event; [`Events::encode`] makes a record of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// More about it; the kind says what.
    pub detail: u8,
    /// Connection handle, or the number of an incoming.
    pub subject: u32,
    /// A stream id, code or address; the kind says what.
    pub value: u64,
    /// Text or bytes; the kind says what.
    pub text: Box<[u8]>,
}

/// Events that wait for the caller.
///
/// Bounded by what one batch of datagrams can cause: the caller takes all events before it hands in more.
#[derive(Default)]
pub(crate) struct Events(VecDeque<Event>);

impl Events {
    pub(crate) fn push(&mut self, kind: Kind, detail: u8, subject: u32, value: u64) {
        if kind == Kind::Readable {
            // One packet can carry many frames of a stream; once is enough.
            if let Some(last) = self.0.back() {
                if (last.kind, last.subject, last.value) == (kind, subject, value) {
                    return;
                }
            }
        }
        self.0.push_back(Event { kind, detail, subject, value, text: Box::default() });
    }

    pub(crate) fn push_text(&mut self, kind: Kind, detail: u8, subject: u32, value: u64, text: Vec<u8>) {
        self.0.push_back(Event { kind, detail, subject, value, text: text.into() });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }

    /// Moves events into `table`, their texts into `text`, and returns how many. Stops when either is full; a text that
    /// would not even fit into an empty buffer is cut.
    pub(crate) fn encode(&mut self, table: &mut [u32], text: &mut [u8]) -> usize {
        let mut count = 0;
        let mut used = 0;
        for record in table.chunks_exact_mut(RECORD_WORDS) {
            let Some(event) = self.0.front() else { break };
            let mut length = event.text.len();
            if used + length > text.len() {
                if used > 0 {
                    break;
                }
                length = text.len();
            }
            let target = text.get_mut(used..used + length);
            if let (Some(target), Some(source)) = (target, event.text.get(..length)) {
                target.copy_from_slice(source);
            }
            record.copy_from_slice(&[
                event.kind as u32 | u32::from(event.detail) << 8,
                event.subject,
                event.value as u32,
                (event.value >> 32) as u32,
                used as u32,
                length as u32,
            ]);
            used += length;
            count += 1;
            self.0.pop_front();
        }
        count
    }
}

/// The detail, code and reason of a [`Kind::Lost`] event: 1 version mismatch, 2 transport error found here, 3 closed by
/// the peer's transport, 4 closed by the peer's application, 5 stateless reset, 6 timed out, 7 closed here, 8 out of
/// connection ids.
pub(crate) fn lost_detail(error: ConnectionError) -> (u8, u64, Vec<u8>) {
    match error {
        ConnectionError::VersionMismatch => (1, 0, Vec::new()),
        ConnectionError::TransportError(e) => (2, e.code.into(), e.to_string().into_bytes()),
        ConnectionError::ConnectionClosed(close) => (3, close.error_code.into(), close.reason.to_vec()),
        ConnectionError::ApplicationClosed(close) => (4, VarInt::into_inner(close.error_code), close.reason.to_vec()),
        ConnectionError::Reset => (5, 0, Vec::new()),
        ConnectionError::TimedOut => (6, 0, Vec::new()),
        ConnectionError::LocallyClosed => (7, 0, Vec::new()),
        ConnectionError::CidsExhausted => (8, 0, Vec::new()),
    }
}
