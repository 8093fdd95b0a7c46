//! Streams, datagrams and statistics of one connection.

use crate::connections::index_of;
use crate::engine::Engine;
use bytes::Bytes;
use q::{Dir, ReadError, ReadableError, SendDatagramError, StreamId, VarInt, WriteError};
use quinn_proto as q;

/// Why a call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Refused {
    /// No such connection, incoming or stream (any more).
    Unknown = -1,
    /// An argument that cannot be.
    Invalid = -2,
    /// Not now: flow control, stream credit, space, or the handshake; an event says when.
    Blocked = -3,
    /// Larger than what the peer or the path takes.
    TooLarge = -4,
    /// The peer does not do that.
    Unsupported = -5,
    /// It was tried and failed.
    Failed = -6,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// The buffer is full; there may be more.
    More,
    /// Nothing more has arrived yet.
    Blocked,
    /// Everything was read, and the peer has finished.
    Finished,
    /// The peer gave up, with this code; what had not been read is gone.
    Reset(u64),
    /// No such stream (any more).
    Closed,
}

fn stream_id(id: u64) -> Option<StreamId> {
    Some(StreamId::from(VarInt::from_u64(id).ok()?))
}

impl Engine {
    /// Opens a stream and returns its id.
    ///
    /// # Errors
    /// [`Refused::Blocked`] without stream credit or before the handshake is over.
    pub fn open(&mut self, handle: u32, uni: bool) -> Result<u64, Refused> {
        let connection = self.connections.get_ref(handle).ok_or(Refused::Unknown)?;
        if !self.may_send(connection.connected, connection.quic.side()) {
            return Err(Refused::Blocked);
        }
        let connection = self.connections.get(handle).ok_or(Refused::Unknown)?;
        let dir = if uni { Dir::Uni } else { Dir::Bi };
        let id = connection.quic.streams().open(dir).ok_or(Refused::Blocked)?;
        Ok(VarInt::from(id).into_inner())
    }

    fn sending(&mut self, handle: u32, id: u64) -> Result<q::SendStream<'_>, Refused> {
        let id = stream_id(id).ok_or(Refused::Invalid)?;
        let connection = self.connections.get(handle).ok_or(Refused::Unknown)?;
        // quinn-proto asserts this.
        if id.dir() == Dir::Uni && id.initiator() != connection.quic.side() {
            return Err(Refused::Invalid);
        }
        if !connection.knows(id) {
            return Err(Refused::Unknown);
        }
        Ok(connection.quic.send_stream(id))
    }

    fn receiving(&mut self, handle: u32, id: u64) -> Result<q::RecvStream<'_>, Refused> {
        let id = stream_id(id).ok_or(Refused::Invalid)?;
        let connection = self.connections.get(handle).ok_or(Refused::Unknown)?;
        // quinn-proto asserts this.
        if id.dir() == Dir::Uni && id.initiator() == connection.quic.side() {
            return Err(Refused::Invalid);
        }
        if !connection.knows(id) {
            return Err(Refused::Unknown);
        }
        Ok(connection.quic.recv_stream(id))
    }

    /// Writes what fits, ends the stream when `fin` is set and all of it fitted, and returns how many bytes were taken.
    /// When that is less than all, [`crate::Kind::Writable`] follows.
    ///
    /// # Errors
    /// [`Refused::Unknown`] for a stream that was ended, reset or stopped.
    pub fn write(&mut self, handle: u32, id: u64, bytes: &[u8], fin: bool) -> Result<usize, Refused> {
        let mut stream = self.sending(handle, id)?;
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            // quinn-proto announces Writable only after a write that it refused, so write until it does.
            match stream.write(rest) {
                Ok(n) => written += n,
                Err(WriteError::Blocked) => break,
                Err(WriteError::ClosedStream | WriteError::Stopped(_)) => return Err(Refused::Unknown),
            }
        }
        if fin && written == bytes.len() {
            stream.finish().map_err(|_| Refused::Unknown)?;
        }
        self.connections.touch(index_of(handle));
        Ok(written)
    }

    /// Reads into `out`, in order.
    pub fn read(&mut self, handle: u32, id: u64, out: &mut [u8]) -> (usize, ReadStatus) {
        let Ok(mut stream) = self.receiving(handle, id) else { return (0, ReadStatus::Closed) };
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => return (0, ReadStatus::Closed),
        };
        let mut read = 0;
        let status = loop {
            // With a full buffer, one more byte would tell an end from a pause, but could not be put back.
            let Some(target) = out.get_mut(read..).filter(|rest| !rest.is_empty()) else { break ReadStatus::More };
            match chunks.next(target.len()) {
                Ok(Some(chunk)) => {
                    let length = chunk.bytes.len();
                    if let Some(target) = target.get_mut(..length) {
                        target.copy_from_slice(&chunk.bytes);
                    }
                    read += length;
                }
                Ok(None) => break ReadStatus::Finished,
                Err(ReadError::Blocked) => break ReadStatus::Blocked,
                Err(ReadError::Reset(code)) => break ReadStatus::Reset(code.into_inner()),
            }
        };
        if chunks.finalize().should_transmit() {
            self.connections.touch(index_of(handle));
        }
        (read, status)
    }

    /// Gives up sending, with a code.
    pub fn reset(&mut self, handle: u32, id: u64, code: u64) -> Result<(), Refused> {
        let code = VarInt::from_u64(code).map_err(|_| Refused::Invalid)?;
        self.sending(handle, id)?.reset(code).map_err(|_| Refused::Unknown)?;
        self.connections.touch(index_of(handle));
        Ok(())
    }

    /// Wants no more from the peer on this stream, with a code.
    pub fn stop(&mut self, handle: u32, id: u64, code: u64) -> Result<(), Refused> {
        let code = VarInt::from_u64(code).map_err(|_| Refused::Invalid)?;
        self.receiving(handle, id)?.stop(code).map_err(|_| Refused::Unknown)?;
        self.connections.touch(index_of(handle));
        Ok(())
    }

    /// Sets a stream's priority: higher goes first, 0 is the default.
    pub fn set_priority(&mut self, handle: u32, id: u64, priority: i32) -> Result<(), Refused> {
        self.sending(handle, id)?.set_priority(priority).map_err(|_| Refused::Unknown)
    }

    /// Queues a datagram. With `drop_old`, older ones make room; without, a full queue refuses.
    pub fn send_datagram(&mut self, handle: u32, bytes: &[u8], drop_old: bool) -> Result<(), Refused> {
        let connection = self.connections.get_ref(handle).ok_or(Refused::Unknown)?;
        if !self.may_send(connection.connected, connection.quic.side()) {
            return Err(Refused::Blocked);
        }
        let connection = self.connections.get(handle).ok_or(Refused::Unknown)?;
        if connection.quic.is_closed() {
            return Err(Refused::Unknown);
        }
        connection.quic.datagrams().send(Bytes::copy_from_slice(bytes), drop_old).map_err(|error| match error {
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => Refused::Unsupported,
            SendDatagramError::TooLarge => Refused::TooLarge,
            SendDatagramError::Blocked(_) => Refused::Blocked,
        })?;
        self.connections.touch(index_of(handle));
        Ok(())
    }

    /// Takes the next datagram that has arrived; `None` when there is none, or no connection. Longer than `out` is cut,
    /// so let `out` be as large as the largest datagram.
    pub fn receive_datagram(&mut self, handle: u32, out: &mut [u8]) -> Option<usize> {
        let bytes = self.connections.get(handle)?.quic.datagrams().recv()?;
        let length = bytes.len().min(out.len());
        out.get_mut(..length)?.copy_from_slice(bytes.get(..length)?);
        Some(length)
    }

    /// The largest datagram that can be sent now, in bytes.
    pub fn max_datagram(&mut self, handle: u32) -> Option<usize> {
        self.connections.get(handle)?.quic.datagrams().max_size()
    }

    /// Statistics, in the order of the README's table.
    pub fn stats(&self, handle: u32) -> Option<[f64; 18]> {
        let connection = self.connections.get_ref(handle)?;
        let s = connection.quic.stats();
        let ms = |d: std::time::Duration| d.as_nanos() as f64 / 1e6;
        Some([
            ms(s.path.rtt),
            ms(s.path.min_rtt),
            s.path.cwnd as f64,
            s.path.current_mtu.into(),
            s.path.congestion_events as f64,
            s.path.lost_packets as f64,
            s.path.lost_bytes as f64,
            s.path.sent_packets as f64,
            s.udp_tx.datagrams as f64,
            s.udp_tx.bytes as f64,
            s.udp_rx.datagrams as f64,
            s.udp_rx.bytes as f64,
            s.path.sent_plpmtud_probes as f64,
            s.path.lost_plpmtud_probes as f64,
            s.path.black_holes_detected as f64,
            s.frame_tx.stream as f64,
            s.frame_rx.stream as f64,
            (s.frame_tx.ping + s.frame_rx.ping) as f64,
        ])
    }
}
