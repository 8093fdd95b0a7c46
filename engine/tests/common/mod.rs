//! Two engines joined in memory, on a clock that only the test moves.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::CertificateDer;
use shoal_quic_engine::{Config, Engine, Event, Judge, Kind, Transmit};
use std::sync::{Arc, Mutex};

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![tag];
    match body.len() {
        n @ 0..128 => out.push(n as u8),
        n @ 128..256 => out.extend([0x81, n as u8]),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend(body);
    out
}

/// A self-signed Ed25519 certificate (RFC 5280, RFC 8410) and its key as PKCS#8.
pub fn self_signed(seed: u8) -> (Vec<u8>, Vec<u8>) {
    let seed = [seed; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let algorithm = tlv(0x30, &[&[0x06, 3, 0x2b, 0x65, 0x70]]);
    let spki = tlv(0x30, &[&algorithm, &tlv(0x03, &[&[0], pair.public_key().as_ref()])]);
    let name = tlv(0x30, &[]);
    let validity = tlv(0x30, &[&tlv(0x17, &[b"200101000000Z"]), &tlv(0x17, &[b"491231235959Z"])]);
    let version = tlv(0xa0, &[&tlv(0x02, &[&[2]])]);
    let tbs = tlv(0x30, &[&version, &tlv(0x02, &[&[1]]), &algorithm, &name, &validity, &name, &spki]);
    let signature = pair.sign(&tbs);
    let certificate = tlv(0x30, &[&tbs, &algorithm, &tlv(0x03, &[&[0], signature.as_ref()])]);
    let key = tlv(0x30, &[&tlv(0x02, &[&[0]]), &algorithm, &tlv(0x04, &[&tlv(0x04, &[&seed])])]);
    (certificate, key)
}

/// Remembers whom it judged; says `verdict` to everybody.
#[derive(Default)]
pub struct Recorder {
    pub verdict: u8,
    pub judged: Mutex<Vec<(u32, Vec<Vec<u8>>)>>,
}

impl Judge for Recorder {
    fn judge(&self, connection: u32, chain: &[CertificateDer<'static>]) -> u8 {
        self.judged.lock().unwrap().push((connection, chain.iter().map(|der| der.to_vec()).collect()));
        self.verdict
    }
}

pub struct Peer {
    pub engine: Engine,
    pub judge: Arc<Recorder>,
    pub certificate: Vec<u8>,
    pub address: u32,
    pub events: Vec<Event>,
}

impl Peer {
    pub fn new(seed: u8, address: u32, change: impl FnOnce(&mut Config)) -> Self {
        Self::judging(seed, address, 0, change)
    }

    pub fn judging(seed: u8, address: u32, verdict: u8, change: impl FnOnce(&mut Config)) -> Self {
        let (certificate, key) = self_signed(seed);
        let mut config =
            Config { key, chain: vec![certificate.clone()], alpn: vec![b"test".to_vec()], ..Config::default() };
        change(&mut config);
        let judge = Arc::new(Recorder { verdict, ..Recorder::default() });
        let engine = Engine::new(&config, judge.clone(), 0.0).unwrap();
        Self { engine, judge, certificate, address, events: Vec::new() }
    }

    /// All datagrams that want to leave: address and bytes.
    pub fn outgoing(&mut self, now: f64) -> Vec<(u32, Vec<u8>)> {
        let (mut out, mut table) = (vec![0; 1 << 18], vec![0; 1024]);
        let mut all = Vec::new();
        loop {
            let count = self.engine.poll(now, &mut out, &mut table);
            if count == 0 {
                return all;
            }
            let mut at = 0;
            for record in table[..count * Transmit::WORDS].chunks(Transmit::WORDS) {
                let (size, segment) = (record[1] as usize, record[2] as usize);
                all.extend(out[at..at + size].chunks(segment).map(|d| (record[0], d.to_vec())));
                at += size;
            }
        }
    }

    pub fn take_events(&mut self, now: f64) {
        while let Some(event) = self.engine.next_event() {
            if event.kind == Kind::Incoming {
                let _ = self.engine.accept(now, event.subject, 0);
            }
            self.events.push(event);
        }
    }

    pub fn saw(&self, kind: Kind) -> Option<&Event> {
        self.events.iter().find(|e| e.kind == kind)
    }
}

pub struct Pair {
    pub a: Peer,
    pub b: Peer,
    pub now: f64,
}

impl Pair {
    pub fn new(a: Peer, b: Peer) -> Self {
        Self { a, b, now: 1.0 }
    }

    /// Carries datagrams until both are quiet; `meddle` may change, drop or multiply them.
    pub fn carry(&mut self, mut meddle: impl FnMut(Vec<u8>) -> Vec<Vec<u8>>) {
        for _ in 0..200 {
            let mut quiet = true;
            for forth in [true, false] {
                let (from, to) = if forth { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
                for (address, datagram) in from.outgoing(self.now) {
                    quiet = false;
                    if address == to.address {
                        for datagram in meddle(datagram) {
                            to.engine.receive(self.now, from.address, 0, &datagram);
                        }
                    }
                }
                from.take_events(self.now);
                to.take_events(self.now);
            }
            if quiet {
                return;
            }
        }
    }

    pub fn run(&mut self) {
        self.carry(|d| vec![d]);
    }

    /// Moves to the next timer of either side; `false` when there is none.
    pub fn step(&mut self) -> bool {
        let next = [self.a.engine.next_timeout(), self.b.engine.next_timeout()].into_iter().flatten();
        let Some(next) = next.min_by(f64::total_cmp) else { return false };
        self.now = self.now.max(next);
        self.a.engine.handle_timeout(self.now);
        self.b.engine.handle_timeout(self.now);
        true
    }
}

/// A small generator of numbers that a seed repeats (xorshift64*).
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % n
    }
}
