//! The engine: datagrams, timers and decisions in; datagrams and events out.

use crate::clock::Clock;
use crate::config::{Config, Flags, decode_alpn};
use crate::connections::{Connection, Connections, index_of};
use crate::events::{Event, Events, Kind, lost_detail};
use crate::streams::Refused;
use crate::tls::{Judge, SharedDocket, Tls};
use bytes::{Bytes, BytesMut};
use q::{ClientConfig, ConnectionHandle, DatagramEvent, Dir, Incoming, StreamEvent, VarInt};
use quinn_proto as q;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Datagrams that quinn-proto may build at once for one destination, all but the last of one size.
const MAX_SEGMENTS: usize = 16;

/// Answers without a connection (Retry, refusals, stateless resets) that wait to be sent. More are dropped: whoever
/// asked will ask again.
const MAX_REPLIES: usize = 256;

/// The longest close reason that is sent, in bytes.
const MAX_REASON: usize = 1000;

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
    fn write(self, record: &mut [u32]) {
        record.copy_from_slice(&[self.address, self.size, self.segment, self.ecn]);
    }

    /// Words in one record of the transmit table.
    pub const WORDS: usize = 4;
}

/// A QUIC endpoint without I/O. See the crate's documentation.
pub struct Engine {
    endpoint: q::Endpoint,
    tls: Tls,
    config: Config,
    transport: Arc<q::TransportConfig>,
    server: Option<Arc<q::ServerConfig>>,
    alpn: Vec<Vec<u8>>,
    /// Client configurations with our ALPN names, without and with a server name.
    clients: [ClientConfig; 2],
    half_rtt: bool,
    pub(crate) clock: Clock,
    docket: SharedDocket,
    pub(crate) connections: Connections,
    /// Connection attempts that wait for the caller's decision; quinn-proto bounds them by `max_incoming`.
    incoming: HashMap<u32, Incoming>,
    next_incoming: u32,
    events: Events,
    /// Bounded by `MAX_REPLIES`.
    replies: VecDeque<(u32, Vec<u8>)>,
    dropped_replies: u64,
    /// What did not fit into the caller's buffer in the last poll.
    carry: Option<(Transmit, Vec<u8>)>,
    scratch: Vec<u8>,
}

/// quinn-proto wants socket addresses; ours are numbers that live in a range nobody routes (RFC 4193).
fn to_socket(address: u32) -> SocketAddr {
    let (high, low) = ((address >> 16) as u16, address as u16);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, high, low)), 1)
}

fn from_socket(socket: SocketAddr) -> u32 {
    match socket.ip() {
        IpAddr::V6(ip) => ip.to_bits() as u32,
        IpAddr::V4(_) => 0,
    }
}

/// Connection ids whose first two bits say which instance made them, so that a caller with several engines on one socket
/// finds the right one. Engines with one reset key accept each other's.
struct MarkedIds {
    ids: q::HashedConnectionIdGenerator,
    instance: u8,
}

impl MarkedIds {
    fn new(key: u64, instance: u8) -> Self {
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

fn client_config(
    tls: &Tls,
    transport: &Arc<q::TransportConfig>,
    alpn: &[Vec<u8>],
    send_server_name: bool,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new(Arc::new(tls.client(alpn, send_server_name)?));
    config.transport_config(transport.clone());
    config.token_store(Arc::new(q::NoneTokenStore));
    Ok(config)
}

impl Engine {
    /// An engine whose clock starts at `now_ms`.
    ///
    /// # Errors
    /// Says in words what is wrong with the configuration.
    pub fn new(config: &Config, judge: Arc<dyn Judge>, now_ms: f64) -> Result<Self, String> {
        let clock = Clock::new(now_ms);
        let docket = SharedDocket::default();
        let tls = Tls::new(config, docket.clone(), judge, clock.date());
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
    fn reply(&mut self, transmit: &q::Transmit) {
        if self.replies.len() >= MAX_REPLIES {
            self.dropped_replies += 1;
        } else if let Some(bytes) = self.scratch.get(..transmit.size) {
            self.replies.push_back((from_socket(transmit.destination), bytes.to_vec()));
        }
    }

    /// The transport with another receive window to begin with; `None` for 0 and where it is the configured one.
    fn transport_with(&self, window: u32) -> Option<Arc<q::TransportConfig>> {
        (window != 0 && window != self.config.connection_window)
            .then(|| Arc::new(Config { connection_window: window, ..self.config.clone() }.transport()))
    }

    /// Lets a connection attempt in, with so many bytes that its peer may send before they are read, and answers its
    /// handle.
    ///
    /// # Errors
    /// [`Refused::Unknown`] when it was decided before, [`Refused::Failed`] when its first packet was no good.
    pub fn accept(&mut self, now_ms: f64, number: u32, window: u32) -> Result<u32, Refused> {
        let now = self.clock.advance(now_ms);
        let incoming = self.incoming.remove(&number).ok_or(Refused::Unknown)?;
        let remote = from_socket(incoming.remote_address());
        self.scratch.clear();
        if !self.connections.takes() {
            let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
            self.reply(&transmit);
            return Err(Refused::Failed);
        }
        let server = self.transport_with(window).zip(self.server.as_deref()).map(|(transport, server)| {
            let mut server = server.clone();
            server.transport_config(transport);
            Arc::new(server)
        });
        match self.endpoint.accept(incoming, now, &mut self.scratch, server) {
            Ok((at, quic)) => Ok(self.connections.insert(at, quic, remote)),
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.reply(&transmit);
                }
                Err(Refused::Failed)
            }
        }
    }

    /// Turns a connection attempt away, with a packet that says so.
    pub fn refuse(&mut self, number: u32) -> bool {
        let Some(incoming) = self.incoming.remove(&number) else { return false };
        self.scratch.clear();
        let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
        self.reply(&transmit);
        true
    }

    /// Has the other side prove its address first. Answers `false`, and keeps the attempt, when it has done so already.
    pub fn retry(&mut self, number: u32) -> bool {
        let Some(incoming) = self.incoming.remove(&number) else { return false };
        self.scratch.clear();
        match self.endpoint.retry(incoming, &mut self.scratch) {
            Ok(transmit) => {
                self.reply(&transmit);
                true
            }
            Err(error) => {
                self.incoming.insert(number, error.into_incoming());
                false
            }
        }
    }

    /// Forgets a connection attempt without a word.
    pub fn ignore(&mut self, number: u32) -> bool {
        let Some(incoming) = self.incoming.remove(&number) else { return false };
        self.endpoint.ignore(incoming);
        true
    }

    /// Begins a connection, with a window as in [`Self::accept`], and answers its handle. `server_name` is sent when it is a DNS name; `alpn` (names behind
    /// length bytes) replaces the configured names.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for malformed names, [`Refused::Failed`] when there is no room.
    pub fn connect(
        &mut self,
        now_ms: f64,
        address: u32,
        server_name: Option<&str>,
        alpn: Option<&[u8]>,
        window: u32,
    ) -> Result<u32, Refused> {
        let now = self.clock.advance(now_ms);
        let send_name = server_name.is_some();
        let alpn = alpn.map(|bytes| decode_alpn(bytes).ok_or(Refused::Invalid)).transpose()?;
        let mut config = match alpn {
            Some(alpn) if alpn != self.alpn => {
                client_config(&self.tls, &self.transport, &alpn, send_name).map_err(|_| Refused::Invalid)?
            }
            _ => {
                let [without, with] = &self.clients;
                if send_name { with.clone() } else { without.clone() }
            }
        };
        if let Some(transport) = self.transport_with(window) {
            config.transport_config(transport);
        }
        if !self.connections.takes() {
            return Err(Refused::Failed);
        }
        let name = server_name.unwrap_or("peer");
        match self.endpoint.connect(now, config, to_socket(address), name) {
            Ok((at, quic)) => Ok(self.connections.insert(at, quic, address)),
            Err(q::ConnectError::InvalidServerName(_)) => Err(Refused::Invalid),
            Err(_) => Err(Refused::Failed),
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

    /// Says that datagrams leave from another address of ours from now on.
    pub fn rebind(&mut self, handle: u32) -> bool {
        self.with(handle, |quic| quic.local_address_changed())
    }

    /// Forgets a connection at once, without a word to the peer and without its closing period.
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

    /// Writes datagrams to `out` and records of [`Transmit::WORDS`] words to `table`, and answers how many records.
    /// Call it until it answers 0.
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

    /// Passes events between a connection, the endpoint and the caller until there are none left.
    fn settle(&mut self, index: usize) {
        let events = &mut self.events;
        loop {
            let mut idle = true;
            while let Some(connection) = self.connections.at(index) {
                let Some(event) = connection.quic.poll_endpoint_events() else { break };
                idle = false;
                if let Some(answer) = self.endpoint.handle_event(ConnectionHandle(index), event) {
                    connection.quic.handle_event(answer);
                }
            }
            let Some(connection) = self.connections.at(index) else { return };
            let handle = connection.handle;
            announce(connection, events);
            while let Some(event) = connection.quic.poll() {
                idle = false;
                match event {
                    q::Event::HandshakeDataReady => announce(connection, events),
                    q::Event::Connected => {
                        connection.connected = true;
                        announce(connection, events);
                        events.push(Kind::Connected, 0, handle, 0);
                    }
                    q::Event::ConnectionLost { reason } => {
                        let (detail, code, text) = lost_detail(reason);
                        events.push_text(Kind::Lost, detail, handle, code, text);
                    }
                    q::Event::DatagramReceived => events.push(Kind::Datagram, 0, handle, 0),
                    q::Event::DatagramsUnblocked => events.push(Kind::DatagramsUnblocked, 0, handle, 0),
                    q::Event::Stream(event) => stream_event(connection, event, events),
                }
            }
            let remote = from_socket(connection.quic.remote_address());
            if remote != connection.remote {
                let value = u64::from(remote) | u64::from(connection.remote) << 32;
                events.push(Kind::Path, 0, handle, value);
                connection.remote = remote;
            }
            let mtu = connection.quic.current_mtu();
            if mtu != connection.mtu {
                events.push(Kind::Mtu, 0, handle, mtu.into());
                connection.mtu = mtu;
            }
            if connection.quic.is_drained() && idle {
                events.push(Kind::Drained, 0, handle, 0);
                self.docket.forget(handle);
                self.connections.end(index);
                return;
            }
            if idle {
                break;
            }
        }
        self.connections.arm(index);
    }

    /// Moves events into the caller's table; see [`crate::events`]. Call it until it answers 0.
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

/// Tells ALPN and server name once, as soon as both are known: a server knows them with the ClientHello.
fn announce(connection: &mut Connection, events: &mut Events) {
    if connection.negotiated {
        return;
    }
    let session = connection.quic.crypto_session();
    let ready = connection.connected
        || (connection.quic.side().is_server() && matches!(session.transport_parameters(), Ok(Some(_))));
    if !ready {
        return;
    }
    connection.negotiated = true;
    let data = session.handshake_data().and_then(|any| any.downcast::<q::crypto::rustls::HandshakeData>().ok());
    let alpn = data.as_ref().and_then(|d| d.protocol.as_deref()).unwrap_or_default();
    let name = data.as_ref().and_then(|d| d.server_name.as_deref()).unwrap_or_default();
    let mut text = vec![alpn.len() as u8];
    text.extend_from_slice(alpn);
    text.extend_from_slice(name.as_bytes());
    events.push_text(Kind::Negotiated, 0, connection.handle, 0, text);
}

fn stream_event(connection: &mut Connection, event: StreamEvent, events: &mut Events) {
    let Connection { quic, handle, accepted: [bidi, uni], .. } = connection;
    let handle = *handle;
    match event {
        StreamEvent::Opened { dir } => {
            while let Some(id) = quic.streams().accept(dir) {
                *(if dir == Dir::Uni { &mut *uni } else { &mut *bidi }) += 1;
                events.push(Kind::Opened, 0, handle, VarInt::from(id).into_inner());
            }
        }
        StreamEvent::Readable { id } => events.push(Kind::Readable, 0, handle, VarInt::from(id).into_inner()),
        StreamEvent::Writable { id } => events.push(Kind::Writable, 0, handle, VarInt::from(id).into_inner()),
        StreamEvent::Finished { id } => events.push(Kind::Finished, 0, handle, VarInt::from(id).into_inner()),
        StreamEvent::Stopped { id, error_code } => {
            // RFC 9000 §3.5: a STOP_SENDING is answered by a reset with the same code.
            let _ = quic.send_stream(id).reset(error_code);
            let code = error_code.into_inner().to_le_bytes().to_vec();
            events.push_text(Kind::Stopped, 0, handle, VarInt::from(id).into_inner(), code);
        }
        StreamEvent::Available { dir } => {
            events.push(Kind::Available, u8::from(dir == Dir::Uni), handle, 0);
        }
    }
}

/// The caller's buffers while they fill.
struct Sink<'a> {
    out: &'a mut [u8],
    table: &'a mut [u32],
    used: usize,
    count: usize,
}

impl Sink<'_> {
    /// Copies one transmit in, or answers `false` when it does not fit.
    fn put(&mut self, transmit: Transmit, bytes: &[u8]) -> bool {
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
