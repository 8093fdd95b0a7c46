//! Nothing that comes over the wire or the border makes the engine panic. Runs with overflow checks everywhere.
//! FUZZ_ROUNDS and FUZZ_SEED extend it; a failure names its seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Pair, Peer, Rng};
use shoal_quic_engine::{Config, Flags, Kind, NUMBERS};

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn meddle(rng: &mut Rng, seen: &mut Vec<Vec<u8>>, mut datagram: Vec<u8>) -> Vec<Vec<u8>> {
    if seen.len() < 64 {
        seen.push(datagram.clone());
    }
    match rng.below(12) {
        0 => vec![],
        1 => vec![datagram.clone(), datagram],
        2 => {
            let at = rng.below(datagram.len() as u64) as usize;
            datagram[at] ^= 1 << rng.below(8);
            vec![datagram]
        }
        3 => {
            datagram.truncate(rng.below(datagram.len() as u64 + 1) as usize);
            vec![datagram]
        }
        4 => {
            let head = datagram.len().min(60) as u64;
            for _ in 0..3 {
                let at = rng.below(head) as usize;
                datagram[at] = rng.below(256) as u8;
            }
            vec![datagram]
        }
        5 => vec![datagram, seen[rng.below(seen.len() as u64) as usize].clone()],
        6 => {
            let noise = (0..rng.below(1500)).map(|_| rng.below(256) as u8).collect();
            vec![noise, datagram]
        }
        _ => vec![datagram],
    }
}

/// A call with arguments that are right half of the time.
fn act(rng: &mut Rng, peer: &mut Peer, now: f64, other: u32) {
    let some = |rng: &mut Rng, of: Option<u64>| match of {
        Some(value) if rng.below(4) > 0 => value,
        _ => [0, 1, 2, 3, rng.below(40), u64::MAX, 1 << 62, 1 << rng.below(63)][rng.below(8) as usize],
    };
    let subjects: Vec<u64> = peer.events.iter().rev().take(20).map(|e| e.subject.into()).collect();
    let values: Vec<u64> = peer.events.iter().rev().take(20).map(|e| e.value).collect();
    let pick = |rng: &mut Rng, from: &[u64]| (!from.is_empty()).then(|| from[rng.below(from.len() as u64) as usize]);
    let subject = pick(rng, &subjects);
    let handle = some(rng, subject) as u32;
    let value = pick(rng, &values);
    let id = some(rng, value);
    let bytes = vec![7; rng.below(3000) as usize];
    let e = &mut peer.engine;
    match rng.below(20) {
        0 => drop(e.connect(
            now,
            other,
            Some(["peer", "", "a.example", "..", "1.2.3.4"][rng.below(5) as usize]),
            None,
            0,
        )),
        1 => drop(e.connect(
            now,
            some(rng, Some(other.into())) as u32,
            None,
            Some(&bytes[..rng.below(9).min(bytes.len() as u64) as usize]),
            rng.below(1 << 20) as u32,
        )),
        2..=4 => {
            if let Ok(id) = e.open(handle, rng.below(2) == 0) {
                let _ = e.write(handle, id, &bytes, rng.below(2) == 0);
            }
        }
        5 | 6 => drop(e.write(handle, id, &bytes, rng.below(2) == 0)),
        7..=9 => drop(e.read(handle, id, &mut vec![0; rng.below(4000) as usize])),
        10 => drop(e.reset(handle, id, some(rng, None))),
        11 => drop(e.stop(handle, id, some(rng, None))),
        12 => drop(e.set_priority(handle, id, rng.below(u64::MAX) as i32)),
        13 => drop(e.send_datagram(handle, &bytes, rng.below(2) == 0)),
        14 => drop(e.receive_datagram(handle, &mut vec![0; rng.below(2000) as usize])),
        15 => drop((e.ping(handle), e.update_keys(handle), e.rebind(handle))),
        17 if rng.below(8) == 1 => drop(e.abandon(handle)),
        18 if rng.below(2) == 0 => drop(e.set_windows(handle, rng.below(1 << 22) as u32, rng.below(1 << 22) as u32)),
        16 => drop((e.stats(handle), e.max_datagram(handle), e.gauges())),
        17 if rng.below(8) == 0 => drop(e.close(now, handle, some(rng, Some(1)), &bytes)),
        18 => drop((e.accept(now, handle, 0), e.refuse(handle), e.release(handle))),
        19 => drop((e.retry(handle), e.ignore(handle))),
        _ => {}
    }
}

#[test]
fn a_hostile_network_and_a_careless_caller() {
    let rounds = variable("FUZZ_ROUNDS", 60);
    let mut connected = 0;
    for round in 0..rounds {
        let seed = variable("FUZZ_SEED", 1) + round;
        eprintln!("seed {seed}");
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let small = rng.below(2) == 0;
        let half = rng.below(2) == 0;
        let change = |c: &mut Config| {
            if small {
                (c.stream_window, c.connection_window, c.send_window) = (4096, 8192, 8192);
                (c.max_bidi_streams, c.max_uni_streams) = (3, 3);
                c.max_mtu = 9000;
            }
            if half {
                c.flags = Flags::new(127);
            }
            c.keep_alive_ms = if small { 500 } else { 0 };
        };
        let mut pair = Pair::new(Peer::new(1, 10, change), Peer::new(2, 20, change));
        let mut seen = Vec::new();
        pair.a.engine.connect(pair.now, 20, None, None, 0).unwrap();
        for _ in 0..60 {
            for _ in 0..rng.below(6) {
                let now = pair.now;
                act(&mut rng, &mut pair.a, now, 20);
                act(&mut rng, &mut pair.b, now, 10);
            }
            if rng.below(30) == 0 {
                pair.a.address = 10 + rng.below(3) as u32; // a NAT changes its mind
            }
            pair.carry(|d| meddle(&mut rng, &mut seen, d));
            if rng.below(3) > 0 {
                pair.step();
            } else {
                pair.now += rng.below(400) as f64;
            }
        }
        connected += u64::from(pair.b.saw(Kind::Connected).is_some());
        for peer in [&pair.a, &pair.b] {
            let gauges = peer.engine.gauges();
            assert!(gauges[3] <= 64.0 + 5.0 * (gauges[0] + 64.0), "timers {gauges:?}");
        }
    }
    assert!(connected * 2 > rounds, "only {connected} of {rounds} rounds got past the handshake");
}

#[test]
fn any_configuration_is_read_or_refused() {
    let mut rng = Rng(99);
    for _ in 0..20_000 {
        let numbers: Vec<f64> = (0..NUMBERS + rng.below(3) as usize - 1)
            .map(|_| match rng.below(6) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => -1.0,
                3 => 1e300,
                _ => rng.below(70_000) as f64,
            })
            .collect();
        let blob: Vec<u8> = (0..rng.below(40)).map(|_| rng.below(6) as u8).collect();
        let _ = Config::decode(&numbers, &blob);
        let good =
            [127., 0., 0., 1., 1., 1024., 1024., 1024., 0., 0., 1200., 1200., 1200., 4096., 1., 0., 0., 1., 1000., 0.];
        let _ = Config::decode(&good, &blob);
    }
}
