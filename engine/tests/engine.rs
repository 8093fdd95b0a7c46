//! The engine's promises, one by one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Pair, Peer};
use shoal_quic_engine::{Flags, Kind, ReadStatus, Refused};

fn joined() -> Pair {
    let mut pair = Pair::new(Peer::new(1, 10, |_| {}), Peer::new(2, 20, |_| {}));
    pair.a.engine.connect(pair.now, 20, None, None, 0).unwrap();
    pair.run();
    pair
}

#[test]
fn both_sides_judge_the_proven_chain_of_the_other_before_connected() {
    let pair = joined();
    for (judging, judged) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
        let connected = judging.saw(Kind::Connected).unwrap().subject;
        assert_eq!(*judging.judge.judged.lock().unwrap(), [(connected, vec![judged.certificate.clone()])]);
    }
}

#[test]
fn a_refusing_client_sends_its_alert_and_never_its_certificate() {
    let mut pair = Pair::new(Peer::judging(1, 10, 48, |_| {}), Peer::new(2, 20, |_| {}));
    pair.a.engine.connect(1.0, 20, None, None, 0).unwrap();
    pair.run();
    let lost = pair.b.saw(Kind::Lost).unwrap();
    assert_eq!((lost.detail, lost.value), (3, 0x100 + 48));
    assert!(pair.b.saw(Kind::Connected).is_none());
    assert!(pair.b.judge.judged.lock().unwrap().is_empty());
}

#[test]
fn a_refusing_server_sends_its_alert() {
    for (alert, sent) in [(42, 42), (43, 43), (44, 44), (45, 45), (46, 46), (48, 48), (49, 49), (7, 49), (255, 49)] {
        let mut pair = Pair::new(Peer::new(1, 10, |_| {}), Peer::judging(2, 20, alert, |_| {}));
        pair.a.engine.connect(1.0, 20, None, None, 0).unwrap();
        pair.run();
        let lost = pair.a.saw(Kind::Lost).unwrap();
        assert_eq!((lost.detail, lost.value), (3, 0x100 + sent));
        assert!(pair.b.saw(Kind::Connected).is_none());
    }
}

#[test]
fn the_peer_of_a_held_connection_opens_streams_only_after_the_grant() {
    let held = |config: &mut shoal_quic_engine::Config| config.flags = config.flags.with(Flags::HELD);
    let mut pair = Pair::new(Peer::new(1, 10, |_| {}), Peer::new(2, 20, held));
    pair.a.engine.connect(pair.now, 20, None, None, 0).unwrap();
    pair.run();
    let dialled = pair.a.saw(Kind::Connected).unwrap().subject;
    let accepted = pair.b.saw(Kind::Connected).unwrap().subject;
    for uni in [true, false] {
        assert_eq!(pair.a.engine.open(dialled, uni), Err(Refused::Blocked));
        assert!(pair.b.engine.open(accepted, uni).is_ok());
    }
    assert!(pair.b.engine.grant(accepted));
    pair.run();
    assert!(pair.a.saw(Kind::Available).is_some());
    let stream = pair.a.engine.open(dialled, true).unwrap();
    assert_eq!(pair.a.engine.write(dialled, stream, b"hello", true), Ok(0));
    assert!(pair.b.engine.set_windows(accepted, 1 << 20, 1 << 20));
    pair.run();
    assert!(pair.a.saw(Kind::Writable).is_some());
    assert_eq!(pair.a.engine.write(dialled, stream, b"hello", true), Ok(5));
    assert!(!pair.b.engine.grant(accepted + 1));
}

#[test]
fn handles_of_the_dead_mean_nothing() {
    let mut pair = joined();
    let handle = pair.a.saw(Kind::Connected).unwrap().subject;
    pair.a.engine.close(pair.now, handle, 7, b"enough");
    pair.run();
    let lost = pair.b.saw(Kind::Lost).unwrap();
    assert_eq!((lost.detail, lost.value, &*lost.text), (4, 7, b"enough".as_slice()));
    while pair.step() {
        pair.run();
    }
    assert!(pair.a.saw(Kind::Drained).is_some() && pair.b.saw(Kind::Drained).is_some());
    assert_eq!(pair.a.engine.gauges()[0], 0.0);
    assert!(pair.a.engine.release(handle) && !pair.a.engine.release(handle));
    let next = pair.a.engine.connect(pair.now, 20, None, None, 0).unwrap();
    assert_ne!(next, handle);
    assert_eq!(pair.a.engine.open(handle, true), Err(Refused::Unknown));
    assert!(!pair.a.engine.close(pair.now, handle, 0, b""));
    assert_eq!(pair.a.engine.read(handle, 0, &mut [0; 4]), (0, ReadStatus::Closed));
}

#[test]
fn what_arrived_before_the_end_can_be_read_until_the_handle_is_released() {
    let mut pair = joined();
    let (a, b) = (pair.a.saw(Kind::Connected).unwrap().subject, pair.b.saw(Kind::Connected).unwrap().subject);
    let id = pair.a.engine.open(a, true).unwrap();
    pair.a.engine.write(a, id, b"last words", true).unwrap();
    pair.run();
    pair.a.engine.close(pair.now, a, 0, b"");
    pair.run();
    while pair.step() {
        pair.run();
    }
    assert!(pair.b.saw(Kind::Drained).is_some());
    let next = pair.a.engine.connect(pair.now, 20, None, None, 0).unwrap();
    pair.run();
    let mut out = [0; 16];
    assert_eq!(pair.b.engine.read(b, id, &mut out), (10, ReadStatus::Finished));
    assert!(pair.b.engine.release(b));
    assert_eq!(pair.b.engine.read(b, id, &mut out), (0, ReadStatus::Closed));
    assert!(pair.a.engine.open(next, true).is_ok());
}

#[test]
fn misuse_is_answered_and_not_asserted() {
    let mut pair = joined();
    let handle = pair.a.saw(Kind::Connected).unwrap().subject;
    let e = &mut pair.a.engine;
    for id in [3, 7, u64::MAX, 1 << 62, (1 << 62) - 1, 1 << 40] {
        assert!(e.write(handle, id, b"x", true).is_err(), "{id}");
        assert!(e.reset(handle, id, 0).is_err());
        assert!(e.set_priority(handle, id, 5).is_err());
        assert!(e.stop(handle, id, 0).is_err());
        assert_eq!(e.read(handle, id, &mut [0; 4]), (0, ReadStatus::Closed));
    }
    let own = e.open(handle, true).unwrap();
    assert_eq!(e.stop(handle, own, 0), Err(Refused::Invalid));
    assert_eq!(e.reset(handle, own, u64::MAX), Err(Refused::Invalid));
    assert!(!e.close(1.0, handle, u64::MAX, b""));
    assert_eq!(e.connect(1.0, 20, Some("not a name!"), None, 0), Err(Refused::Invalid));
    assert_eq!(e.connect(1.0, 20, None, Some(&[5, 1]), 0), Err(Refused::Invalid));
    assert_eq!(e.accept(1.0, 77, 0), Err(Refused::Unknown));
    assert!(!e.refuse(77) && !e.retry(77) && !e.ignore(77));
}

#[test]
fn a_stream_carries_bytes_end_and_acknowledgement() {
    let mut pair = joined();
    let (a, b) = (pair.a.saw(Kind::Connected).unwrap().subject, pair.b.saw(Kind::Connected).unwrap().subject);
    let id = pair.a.engine.open(a, false).unwrap();
    assert_eq!(pair.a.engine.write(a, id, b"hello", true), Ok(5));
    pair.run();
    let mut out = [0; 16];
    assert_eq!(pair.b.saw(Kind::Opened).unwrap().value, id);
    assert_eq!(pair.b.engine.read(b, id, &mut out), (5, ReadStatus::Finished));
    assert_eq!(&out[..5], b"hello");
    while pair.a.saw(Kind::Finished).is_none() {
        assert!(pair.step());
        pair.run();
    }
}
