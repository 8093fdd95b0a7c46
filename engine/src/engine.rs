//! The engine: datagrams and timers in, datagrams and events out. Attempts to connect are in `attempts.rs`, what a connection has
//! to tell in `settle.rs`, its streams in `streams.rs`.

use crate::attempts::client_config;
use crate::clock::Clock;
use crate::config::{Config, Flags};
use crate::connections::{Connections, index_of};
use crate::events::{Event, Events, Kind};
use crate::ids::MarkedIds;
use crate::tls::{Judge, SharedDocket, Tls};
use crate::transmit::{Sink, Transmit, from_socket, to_socket};
use bytes::{Bytes, BytesMut};
use q::{ClientConfig, ConnectionHandle, DatagramEvent, Dir, Incoming, VarInt};
use quinn_proto as q;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Datagrams that quinn-proto may build at once for one destination, all but the last of one size.
const MAX_SEGMENTS: usize = 16;

/// Packets without a connection (Retry, refusals, stateless resets) that wait to be sent. More are dropped: clients
/// try again.
const MAX_REPLIES: usize = 256;

/// The longest close reason that is sent, in bytes.
const MAX_REASON: usize = 1000;

/// A QUIC endpoint without I/O. See the crate's documentation.
pub struct Engine {
    pub(crate) endpoint: q::Endpoint,
    pub(crate) tls: Tls,
    pub(crate) config: Config,
    pub(crate) transport: Arc<q::TransportConfig>,
    pub(crate) server: Option<Arc<q::ServerConfig>>,
    pub(crate) alpn: Vec<Vec<u8>>,
    /// Client configurations with our ALPN names, without and with a server name.
    pub(crate) clients: [ClientConfig; 2],
    half_rtt: bool,
    pub(crate) clock: Clock,
    pub(crate) docket: SharedDocket,
    pub(crate) connections: Connections,
    /// Connection attempts that wait for the caller's decision; quinn-proto bounds them by `max_incoming`.
    pub(crate) incoming: HashMap<u32, Incoming>,
    next_incoming: u32,
    pub(crate) events: Events,
    /// Bounded by `MAX_REPLIES`.
    replies: VecDeque<(u32, Vec<u8>)>,
    dropped_replies: u64,
    /// What did not fit into the caller's buffer in the last poll.
    carry: Option<(Transmit, Vec<u8>)>,
    pub(crate) scratch: Vec<u8>,
}

impl Engine {
    /// An engine whose clock starts at `now_ms`.
    ///
    /// # Errors
    /// Explains what is wrong with the configuration.
    pub fn new(config: &Config, judge: Arc<dyn Judge>, now_ms: f64) -> Result<Self, String> {
        let clock = Clock::new(now_ms);
        let docket = SharedDocket::default();
        let tls = Tls::new(config, docket.clone(), judge, clock.date())?;
        let transport = Arc::new(config.transport());
        let mut reset_key = config.reset_key.clone();
        if reset_key.is_empty() {
            reset_key = vec![0; 64];
            ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut reset_key)
                .map_err(|_| "no random bytes")?;
        }
        let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &reset_key);
        // From the same key, so that an engine that replaces this one knows its connection ids and can reset them.
        let tag = ring::hmac::sign(&hmac, b"connection ids");
        let cid_key = tag.as_ref().first_chunk().copied().map_or(0, u64::from_le_bytes);
        let instance = config.instance;
        let mut endpoint_config = q::EndpointConfig::new(Arc::new(hmac));
        endpoint_config
            .supported_versions(vec![1])
            // The fixed bit is what tells QUIC from STUN and punching datagrams on a shared socket (RFC 9443).
            .grease_quic_bit(false)
            .min_reset_interval(Duration::from_millis(config.min_reset_interval_ms))
            .cid_generator(move || Box::new(MarkedIds::new(cid_key, instance)))
            .max_udp_payload_size(config.max_receive_datagram)
            .map_err(|e| e.to_string())?;
        let server = if config.flags.has(Flags::LISTEN) {
            let mut server = q::ServerConfig::with_crypto(Arc::new(tls.server(&config.alpn)?));
            server
                .transport_config(transport.clone())
                .migration(config.flags.has(Flags::MIGRATION))
                .retry_token_lifetime(Duration::from_millis(config.retry_token_lifetime_ms))
                .max_incoming(config.max_incoming as usize)
                .incoming_buffer_size(config.incoming_buffer.into())
                .incoming_buffer_size_total(config.incoming_buffer_total.into())
                .time_source(Arc::new(clock.date()));
            Some(Arc::new(server))
        } else {
            None
        };
        let clients = [
            client_config(&tls, &transport, &config.alpn, false)?,
            client_config(&tls, &transport, &config.alpn, true)?,
        ];
        Ok(Self {
            endpoint: q::Endpoint::new(Arc::new(endpoint_config), server.clone(), true, None),
            tls,
            config: config.clone(),
            transport,
            server,
            alpn: config.alpn.clone(),
            clients,
            half_rtt: config.flags.has(Flags::HALF_RTT),
            clock,
            docket,
            connections: Connections::default(),
            incoming: HashMap::new(),
            next_incoming: 0,
            events: Events::default(),
            replies: VecDeque::new(),
            dropped_replies: 0,
            carry: None,
            scratch: Vec::new(),
        })
    }

    /// Takes one datagram. Whatever is wrong with it is quinn-proto's to drop.
    pub fn receive(&mut self, now_ms: f64, address: u32, ecn: u32, datagram: &[u8]) {
        let now = self.clock.advance(now_ms);
        let ecn = q::EcnCodepoint::from_bits(ecn as u8 & 3);
        self.scratch.clear();
        let remote = to_socket(address);
        let handled = self.endpoint.handle(now, remote, None, ecn, BytesMut::from(datagram), &mut self.scratch);
        match handled {
            Some(DatagramEvent::ConnectionEvent(at, event)) => self.connection_event(at.0, event),
            Some(DatagramEvent::NewConnection(incoming)) => {
                let number = self.next_incoming;
                self.next_incoming = number.wrapping_add(1);
                let detail = u8::from(incoming.remote_address_validated()) | u8::from(incoming.may_retry()) << 1;
                self.events.push(Kind::Incoming, detail, number, address.into());
                self.incoming.insert(number, incoming);
            }
            Some(DatagramEvent::Response(transmit)) => self.reply(&transmit),
            None => {}
        }
    }

    fn connection_event(&mut self, index: usize, event: q::ConnectionEvent) {
        if let Some(connection) = self.connections.at(index) {
            self.docket.set_current(Some(connection.handle));
            connection.quic.handle_event(event);
            self.docket.set_current(None);
            self.connections.touch(index);
        }
    }

    /// Queues what quinn-proto has just written to the scratch buffer.
    pub(crate) fn reply(&mut self, transmit: &q::Transmit) {
        if self.replies.len() >= MAX_REPLIES {
            self.dropped_replies += 1;
        } else if let Some(bytes) = self.scratch.get(..transmit.size) {
            self.replies.push_back((from_socket(transmit.destination), bytes.to_vec()));
        }
    }

    /// Closes a connection with an application code and a reason (cut at 1000 bytes).
    pub fn close(&mut self, now_ms: f64, handle: u32, code: u64, reason: &[u8]) -> bool {
        let now = self.clock.advance(now_ms);
        let Ok(code) = VarInt::from_u64(code) else { return false };
        let Some(connection) = self.connections.get(handle) else { return false };
        let reason = reason.get(..MAX_REASON).unwrap_or(reason);
        connection.quic.close(now, code, Bytes::copy_from_slice(reason));
        self.connections.touch(index_of(handle));
        true
    }

    /// Sends something that the peer must acknowledge.
    pub fn ping(&mut self, handle: u32) -> bool {
        self.with(handle, |quic| quic.ping())
    }

    /// Replaces the traffic keys.
    pub fn update_keys(&mut self, handle: u32) -> bool {
        self.with(handle, |quic| quic.force_key_update())
    }

    /// Sets how many bytes the peer may send before they are read, and how many of ours may be on their way. A smaller
    /// receive window takes effect as bytes are read: credit that the peer has stays its own.
    pub fn set_windows(&mut self, handle: u32, receive: u32, send: u32) -> bool {
        self.with(handle, |quic| {
            quic.set_receive_window(VarInt::from_u32(receive));
            quic.set_send_window(send.into());
        })
    }

    /// Allows the peer of a connection that was held ([`Flags::HELD`]) streams, at first as many as [`Config::first_streams`]. A
    /// receive window comes by [`Self::set_windows`].
    pub fn grant(&mut self, handle: u32) -> bool {
        let [bidi, uni] = self.config.first_streams();
        self.with(handle, |quic| {
            quic.set_max_concurrent_streams(Dir::Bi, bidi.into());
            quic.set_max_concurrent_streams(Dir::Uni, uni.into());
        })
    }

    /// Says that datagrams leave from another address of ours from now on.
    pub fn rebind(&mut self, handle: u32) -> bool {
        self.with(handle, |quic| quic.local_address_changed())
    }

    /// Forgets a connection at once, without telling the peer and without its closing period.
    pub fn abandon(&mut self, handle: u32) -> bool {
        let index = index_of(handle);
        if self.connections.at(index).is_none_or(|connection| connection.handle != handle) {
            return self.connections.release(handle);
        }
        let _ = self.endpoint.handle_event(ConnectionHandle(index), q::EndpointEvent::drained());
        self.docket.forget(handle);
        self.connections.end(index);
        self.connections.release(handle)
    }

    /// Forgets a connection that is over ([`Kind::Drained`]), and what was not read from it.
    pub fn release(&mut self, handle: u32) -> bool {
        self.connections.release(handle)
    }

    fn with(&mut self, handle: u32, act: impl FnOnce(&mut q::Connection)) -> bool {
        let Some(connection) = self.connections.get(handle).filter(|c| !c.quic.is_closed()) else { return false };
        act(&mut connection.quic);
        self.connections.touch(index_of(handle));
        true
    }

    /// Whether the caller may send on this connection yet.
    pub(crate) fn may_send(&self, connected: bool, side: q::Side) -> bool {
        connected || (self.half_rtt && side.is_server())
    }

    /// Lets every connection whose time has come do what it wanted to do then.
    pub fn handle_timeout(&mut self, now_ms: f64) {
        let now = self.clock.advance(now_ms);
        while let Some(index) = self.connections.next_due(now) {
            if let Some(connection) = self.connections.at(index) {
                connection.quic.handle_timeout(now);
                self.connections.touch(index);
            }
        }
    }

    /// When to call [`Self::handle_timeout`], on the caller's clock.
    pub fn next_timeout(&mut self) -> Option<f64> {
        self.connections.next_timeout().map(|at| self.clock.millis(at))
    }

    /// Writes datagrams to `out` and records of [`Transmit::WORDS`] words to `table`, and returns how many records.
    /// Call it until it returns 0.
    pub fn poll(&mut self, now_ms: f64, out: &mut [u8], table: &mut [u32]) -> usize {
        let now = self.clock.advance(now_ms);
        let mut sink = Sink { out, table, used: 0, count: 0 };
        if let Some((transmit, bytes)) = self.carry.take() {
            if !sink.put(transmit, &bytes) {
                // Larger than the caller's whole buffer: its buffer is at fault, and the peer will see a loss.
                return 0;
            }
        }
        while let Some((address, bytes)) = self.replies.front() {
            let size = bytes.len() as u32;
            if !sink.put(Transmit { address: *address, size, segment: size, ecn: 0 }, bytes) {
                return sink.count;
            }
            self.replies.pop_front();
        }
        while let Some(index) = self.connections.next_dirty() {
            self.settle(index);
            while let Some(connection) = self.connections.at(index) {
                self.scratch.clear();
                let fitting = sink.out.len() / usize::from(connection.quic.current_mtu().max(1));
                let segments = fitting.clamp(1, MAX_SEGMENTS);
                let Some(t) = connection.quic.poll_transmit(now, segments, &mut self.scratch) else { break };
                let transmit = Transmit {
                    address: from_socket(t.destination),
                    size: t.size as u32,
                    segment: t.segment_size.unwrap_or(t.size) as u32,
                    ecn: t.ecn.map_or(0, |ecn| ecn as u32),
                };
                let bytes = self.scratch.get(..t.size).unwrap_or_default();
                if !sink.put(transmit, bytes) {
                    self.carry = Some((transmit, bytes.to_vec()));
                    self.connections.touch(index);
                    return sink.count;
                }
            }
            self.settle(index);
        }
        sink.count
    }

    /// Whether another [`Self::poll`] may give datagrams before anything else happens.
    pub fn has_more_to_send(&self) -> bool {
        self.carry.is_some() || !self.replies.is_empty() || self.connections.any_dirty()
    }

    /// How many events wait.
    pub fn waiting_events(&self) -> usize {
        let lines = if self.config.flags.has(Flags::KEY_LOG) { self.docket.key_log_lines() } else { 0 };
        self.events.len() + lines
    }

    /// Moves events into the caller's table; see [`crate::events`]. Call it until it returns 0.
    pub fn events(&mut self, table: &mut [u32], text: &mut [u8]) -> usize {
        self.collect_key_log();
        self.events.encode(table, text)
    }

    /// The next event, for callers in Rust.
    pub fn next_event(&mut self) -> Option<Event> {
        self.collect_key_log();
        self.events.pop()
    }

    fn collect_key_log(&mut self) {
        for line in self.docket.take_key_log() {
            self.events.push_text(Kind::KeyLog, 0, 0, 0, line.into_bytes());
        }
    }

    /// How much the engine holds: connections, undecided attempts, bytes buffered for those, timers, waiting events,
    /// waiting replies, replies dropped so far, connections that are over and not released.
    pub fn gauges(&self) -> [f64; 8] {
        [
            self.connections.len() as f64,
            self.incoming.len() as f64,
            self.endpoint.incoming_buffer_bytes() as f64,
            self.connections.timers() as f64,
            self.events.len() as f64,
            self.replies.len() as f64,
            self.dropped_replies as f64,
            self.connections.over() as f64,
        ]
    }
}
