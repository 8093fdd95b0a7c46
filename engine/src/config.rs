//! Configuration as it crosses the border: a table of numbers and a block of byte strings, both checked here.

use bytes::Buf;
use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use std::time::Duration;

/// How many numbers a configuration has; see [`Config::decode`].
pub const NUMBERS: usize = 21;

/// Streams of a kind that a peer gets at first, where it may have more: quinn-proto keeps a place for each that is allowed,
/// and looks through all of them in the handshake.
const FIRST_STREAMS: u32 = 200;

/// The widest range in which MTU discovery tries the upper end first.
const NARROW_MTU_RANGE: u16 = 256;

/// The most certificates in our own chain.
const MAX_CHAIN: usize = 16;

/// Yes-or-no options, as bits of the first number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Take incoming connections.
    pub const LISTEN: u32 = 1;
    /// Ask clients for a certificate.
    pub const CLIENT_CERTIFICATE_WANTED: u32 = 2;
    /// Turn away clients without one.
    pub const CLIENT_CERTIFICATE_REQUIRED: u32 = 4;
    /// As a server, let the caller send before the client has shown who it is.
    pub const HALF_RTT: u32 = 8;
    /// Hand out TLS secrets as key log lines.
    pub const KEY_LOG: u32 = 16;
    /// As a server, follow clients to new addresses.
    pub const MIGRATION: u32 = 32;
    /// Look for larger datagrams than the initial size.
    pub const MTU_DISCOVERY: u32 = 64;

    /// Peers get no streams and no receive window until the caller grants them.
    pub const HELD: u32 = 128;

    /// Flags from bits.
    pub fn new(bits: u32) -> Self {
        Self(bits)
    }

    /// These and one more.
    pub fn with(self, bit: u32) -> Self {
        Self(self.0 | bit)
    }

    /// Whether the bit is set.
    pub fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// What an engine is made from. Every duration is in milliseconds, every size in bytes; 0 switches a timeout off.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the README's table has one line for each
pub struct Config {
    pub flags: Flags,
    pub idle_timeout_ms: u64,
    pub keep_alive_ms: u64,
    pub max_bidi_streams: u32,
    pub max_uni_streams: u32,
    pub stream_window: u32,
    pub connection_window: u32,
    pub send_window: u32,
    pub datagram_receive_buffer: u32,
    pub datagram_send_buffer: u32,
    pub initial_mtu: u16,
    pub max_mtu: u16,
    pub max_receive_datagram: u16,
    pub crypto_buffer: u32,
    pub max_incoming: u32,
    pub incoming_buffer: u32,
    pub incoming_buffer_total: u32,
    pub initial_rtt_ms: u64,
    pub retry_token_lifetime_ms: u64,
    pub min_reset_interval_ms: u64,
    pub instance: u8,
    pub key: Vec<u8>,
    pub chain: Vec<Vec<u8>>,
    pub alpn: Vec<Vec<u8>>,
    pub reset_key: Vec<u8>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flags: Flags::new(
                Flags::LISTEN
                    | Flags::CLIENT_CERTIFICATE_WANTED
                    | Flags::CLIENT_CERTIFICATE_REQUIRED
                    | Flags::MIGRATION
                    | Flags::MTU_DISCOVERY,
            ),
            idle_timeout_ms: 30_000,
            keep_alive_ms: 0,
            max_bidi_streams: 100,
            max_uni_streams: 100,
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            send_window: 4 << 20,
            datagram_receive_buffer: 1 << 18,
            datagram_send_buffer: 1 << 18,
            initial_mtu: 1200,
            max_mtu: 1452,
            max_receive_datagram: 65_527,
            crypto_buffer: 16 * 1024,
            max_incoming: 256,
            incoming_buffer: 64 * 1024,
            incoming_buffer_total: 4 << 20,
            initial_rtt_ms: 333,
            retry_token_lifetime_ms: 15_000,
            min_reset_interval_ms: 20,
            instance: 0,
            key: Vec::new(),
            chain: Vec::new(),
            alpn: Vec::new(),
            reset_key: Vec::new(),
        }
    }
}

/// Why a configuration was refused.
type Reason = String;

impl Config {
    /// Reads [`NUMBERS`] numbers, in the order of the fields, and four byte strings, each behind its length as a
    /// little-endian u32: the private key (PKCS#8), the chain (certificates behind u32 lengths), ALPN names (behind u8
    /// lengths), the stateless-reset key.
    pub fn decode(numbers: &[f64], blob: &[u8]) -> Result<Self, Reason> {
        let mut next = numbers.iter().copied();
        let mut number = |name: &str, min: u32, max: u32| -> Result<u32, Reason> {
            let value = next.next().unwrap_or(f64::NAN);
            if value.fract() == 0.0 && value >= f64::from(min) && value <= f64::from(max) {
                Ok(value as u32)
            } else {
                Err(format!("{name}: expected {min} to {max}, got {value}"))
            }
        };
        let mut rest = blob;
        let mut config = Self {
            flags: Flags(number("flags", 0, 255)?),
            idle_timeout_ms: number("idle timeout", 0, u32::MAX)?.into(),
            keep_alive_ms: number("keep-alive", 0, u32::MAX)?.into(),
            max_bidi_streams: number("bidi streams", 0, 1 << 20)?,
            max_uni_streams: number("uni streams", 0, 1 << 20)?,
            stream_window: number("stream window", 1024, 1 << 30)?,
            connection_window: number("connection window", 1024, 1 << 30)?,
            send_window: number("send window", 1024, 1 << 30)?,
            datagram_receive_buffer: number("datagram receive buffer", 0, 1 << 30)?,
            datagram_send_buffer: number("datagram send buffer", 0, 1 << 30)?,
            initial_mtu: number("initial mtu", 1200, 65_527)? as u16,
            max_mtu: number("max mtu", 1200, 65_527)? as u16,
            max_receive_datagram: number("max receive datagram", 1200, 65_527)? as u16,
            crypto_buffer: number("crypto buffer", 4096, 1 << 20)?,
            max_incoming: number("max incoming", 1, 1 << 16)?,
            incoming_buffer: number("incoming buffer", 0, 1 << 26)?,
            incoming_buffer_total: number("incoming buffer total", 0, 1 << 30)?,
            initial_rtt_ms: number("initial rtt", 1, 10_000)?.into(),
            retry_token_lifetime_ms: number("retry token lifetime", 1000, u32::MAX)?.into(),
            min_reset_interval_ms: number("min reset interval", 0, u32::MAX)?.into(),
            instance: number("instance", 0, 3)? as u8,
            key: take(&mut rest)?.to_vec(),
            chain: Vec::new(),
            alpn: Vec::new(),
            reset_key: Vec::new(),
        };
        let mut chain = take(&mut rest)?;
        while !chain.is_empty() {
            config.chain.push(take(&mut chain)?.to_vec());
        }
        config.alpn = decode_alpn(take(&mut rest)?).ok_or("alpn: names of 1 to 255 bytes")?;
        config.reset_key = take(&mut rest)?.to_vec();
        if config.chain.len() > MAX_CHAIN {
            return Err(format!("chain: at most {MAX_CHAIN} certificates, got {}", config.chain.len()));
        }
        if config.chain.is_empty() && config.flags.has(Flags::LISTEN) {
            return Err("chain: a listening engine needs a certificate".into());
        }
        if !config.reset_key.is_empty() && config.reset_key.len() < 32 {
            return Err("reset key: at least 32 bytes".into());
        }
        if !rest.is_empty() {
            return Err("trailing bytes".into());
        }
        Ok(config)
    }

    /// The bidirectional and unidirectional streams that a peer may have open at first. Who has half of them open gets twice
    /// as many, up to the configured numbers.
    pub(crate) fn first_streams(&self) -> [u32; 2] {
        [self.max_bidi_streams, self.max_uni_streams].map(|most| most.min(FIRST_STREAMS))
    }

    pub(crate) fn transport(&self) -> TransportConfig {
        let [bidi, uni] = self.first_streams();
        let mut t = TransportConfig::default();
        let idle = VarInt::from_u32(self.idle_timeout_ms as u32);
        let granted = |credit: u32| VarInt::from_u32(if self.flags.has(Flags::HELD) { 0 } else { credit });
        t.max_idle_timeout((self.idle_timeout_ms > 0).then(|| IdleTimeout::from(idle)))
            .keep_alive_interval((self.keep_alive_ms > 0).then(|| Duration::from_millis(self.keep_alive_ms)))
            .max_concurrent_bidi_streams(granted(bidi))
            .max_concurrent_uni_streams(granted(uni))
            .stream_receive_window(self.stream_window.into())
            .receive_window(granted(self.connection_window))
            .send_window(self.send_window.into())
            .datagram_receive_buffer_size(
                (self.datagram_receive_buffer > 0).then_some(self.datagram_receive_buffer as usize),
            )
            .datagram_send_buffer_size(self.datagram_send_buffer as usize)
            .initial_rtt(Duration::from_millis(self.initial_rtt_ms))
            .initial_mtu(self.initial_mtu)
            .crypto_buffer_size(self.crypto_buffer as usize);
        if self.flags.has(Flags::MTU_DISCOVERY) && self.max_mtu > self.initial_mtu {
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(self.max_mtu);
            let range = self.max_mtu - self.initial_mtu;
            if range <= NARROW_MTU_RANGE {
                // With a first step of less than this, quinn-proto tries the upper end at once: one probe, not four, on
                // most paths. Where it is lost, the middle is tried, and that is all.
                discovery.minimum_change(range / 2 + 1);
            }
            t.mtu_discovery_config(Some(discovery));
        } else {
            t.mtu_discovery_config(None);
        }
        t
    }
}

/// Takes a byte string behind its little-endian u32 length.
fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Reason> {
    let length = rest.try_get_u32_le().map_err(|_| "cut off")? as usize;
    let (head, tail) = rest.split_at_checked(length).ok_or("cut off")?;
    *rest = tail;
    Ok(head)
}

/// ALPN names, each behind a length byte; `None` when they are malformed.
pub(crate) fn decode_alpn(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(length.into())?;
        if name.is_empty() {
            return None;
        }
        names.push(name.to_vec());
        bytes = rest;
    }
    Some(names)
}
