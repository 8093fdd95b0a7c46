/** What a peer book and the probes hold at most, and what no record can put into them. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import { concatBytes, encodeText, equalBytes } from '../../src/base/bytes.ts';
import { encodeVarint } from '../../src/base/varint.ts';
import { type PeerRecord, signPeerRecord, verifyPeerRecord } from '../../src/discovery/index.ts';
import { PeerBook } from '../../src/discovery/peer-book.ts';
import { decodeExchange, encodeExchange } from '../../src/discovery/exchange-message.ts';
import { MAX_RECORD_BYTES, withoutAddrs } from '../../src/discovery/peer-record.ts';
import { ProbeTargets } from '../../src/net/probe-targets.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { parseUdpAddr } from '../../src/net/socket-address.ts';
import { testKey } from '../../src/testing/index.ts';

const idOf = (i: number): ReturnType<typeof peerIdOfKey> => peerIdOfKey(testKey(i).publicKey);
const record = (i: number, addrs: readonly string[] = [], issuedMs = 1000): PeerRecord =>
  signPeerRecord(testKey(i), { addrs, issuedMs, lifetimeMs: 3_600_000 });

describe('a peer book', () => {
  it('remembers of maxPeers peers that they were forgotten, the latest ones', () => {
    const book = new PeerBook({ maxPeers: 2 });
    const teller = idOf(9);
    for (const i of [1, 2, 3]) {
      assert.equal(typeof book.addVerified(1000, record(i), teller), 'object');
      assert.equal(book.delete(idOf(i)), true);
    }
    for (const i of [2, 3]) assert.equal(book.addVerified(1000, record(i), teller), 'stale');
    assert.equal(typeof book.addVerified(1000, record(1), teller), 'object');
  });

  it('tries an address that was reached again after pauses that double, up to a minute', () => {
    const book = new PeerBook();
    const [id, addr] = [idOf(1), `${idOf(1)}@10.0.0.1:5000`];
    book.addVerified(1000, record(1, [addr]), id);
    book.noteReached(id, addr);
    for (const pauseMs of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
      book.noteTry(1000, id, addr);
      assert.deepEqual(
        [999, 1000].map((at) => book.candidates(pauseMs + at, id).length),
        [0, 1],
      );
    }
  });

  it('notes nothing of addresses that the record does not name', () => {
    const book = new PeerBook();
    const [id, other] = [idOf(1), `${idOf(1)}@10.0.0.2:5000`];
    book.addVerified(1000, record(1, [`${id}@10.0.0.1:5000`]), id);
    book.noteReached(id, other);
    book.noteTry(1000, id, other);
    assert.equal(book.isReached(id, other), false);
    assert.deepEqual(book.proven(1000), []);
  });

  it('of two records of one instant the first counts, and stays as it was signed', () => {
    const book = new PeerBook();
    const [first, second] = [1, 2].map((port) => record(1, [`${idOf(1)}@10.0.0.1:${5000 + port}`]));
    assert.equal(typeof book.add(1000, first!.bytes, idOf(3)), 'object');
    for (const teller of [idOf(3), idOf(1)]) assert.equal(book.add(1000, second!.bytes, teller), 'stale');
    assert.deepEqual(book.get(1000, idOf(1))?.addrs, first!.addrs);
    assert.equal(typeof verifyPeerRecord(book.get(1000, idOf(1))!.bytes), 'object');
  });

  it('takes no copy whose further address leads to another peer, though its own signer has signed it', () => {
    const { publicKey, sign } = { publicKey: testKey(1).publicKey, sign: testKey(1).sign.bind(testKey(1)) };
    const [own, foreign] = [`${idOf(1)}@10.0.0.1:5000`, `${idOf(2)}@10.0.0.1:5000`].map((text) => encodeText(text));
    const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
    /** The bytes with `own`, or its digest, replaced by that of the other peer's address. */
    const forged = (bytes: Uint8Array): Uint8Array => {
      for (const [from, to] of [
        [own!, foreign!],
        [digest(own!), digest(foreign!)],
      ] as const) {
        for (let at = 0; at + from.length <= bytes.length; at++) {
          const end = at + from.length;
          if (equalBytes(bytes.subarray(at, end), from)) {
            return concatBytes(bytes.subarray(0, at), to, bytes.subarray(end));
          }
        }
      }
      return bytes;
    };
    const addrs = [`${idOf(1)}@10.0.0.1:5000`, `${idOf(1)}@10.0.0.3:5000`];
    const signer = { publicKey, sign: (message: Uint8Array) => sign(forged(message)) };
    const bytes = Uint8Array.from(
      forged(signPeerRecord(signer as never, { addrs, issuedMs: 1000, lifetimeMs: 3_600_000 }).bytes),
    );
    assert.equal(verifyPeerRecord(bytes), 'wrong_id', 'the signature holds');
    const copy = withoutAddrs(bytes, (addr) => addr === addrs[1]);
    const book = new PeerBook();
    assert.equal(typeof book.add(1000, copy, idOf(3)), 'object');
    assert.equal(book.add(1000, bytes, idOf(3)), 'wrong_id');
    assert.deepEqual(book.get(1000, idOf(1))?.addrs, [addrs[1]]);
  });
});

describe('a message of an exchange', () => {
  const records = (count: number, bytes = 1): Uint8Array[] =>
    Array.from({ length: count }, () => new Uint8Array(bytes));

  it('holds as many records as fit, to the byte', () => {
    const sizes = [32, 31].map(
      (maxBytes) => decodeExchange(encodeExchange(5, records(3, 6), maxBytes))!.records.length,
    );
    assert.deepEqual(sizes, [3, 2]);
    assert.equal(decodeExchange(encodeExchange(5, records(300), 100_000))!.records.length, 256);
  });

  it('with more than 256 records, one that is too large, or something behind them, is none', () => {
    const of = (...all: Uint8Array[]): Uint8Array<ArrayBuffer> =>
      concatBytes(
        Uint8Array.of(2),
        encodeVarint(5),
        encodeVarint(all.length),
        ...all.map((each) => concatBytes(encodeVarint(each.length), each)),
      );
    assert.equal(decodeExchange(of(...records(256)))?.records.length, 256);
    assert.equal(decodeExchange(of(...records(257))), undefined);
    assert.equal(decodeExchange(of(new Uint8Array(MAX_RECORD_BYTES)))?.records.length, 1);
    assert.equal(decodeExchange(of(new Uint8Array(MAX_RECORD_BYTES + 1))), undefined);
    assert.equal(decodeExchange(concatBytes(of(...records(1)), Uint8Array.of(0))), undefined);
  });
});

describe('probes', () => {
  const MINUTE = 60_000;
  const own = [parseUdpAddr('11.0.0.1:1')];
  const claim = (by: string, issuedMs: number, text = '50.0.0.1:5000') => ({ addr: parseUdpAddr(text), by, issuedMs });
  const targets = (): ProbeTargets => new ProbeTargets({ maxProbesPerIp: 1000, maxProbes: 1000 });

  it('try an address again with a newer claim only, after pauses that double up to a day', () => {
    const probes = targets();
    let now = 0;
    assert.equal(probes.take(now, claim('bob', 1), own), undefined);
    assert.equal(probes.take(now + 365 * 24 * 60 * MINUTE, claim('bob', 1), own), 'tried_before');
    for (const [i, pauseMs] of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440].entries()) {
      assert.equal(probes.take(now + pauseMs * MINUTE - 1, claim('bob', i + 2), own), 'tried_before');
      now += pauseMs * MINUTE;
      assert.equal(probes.take(now, claim('bob', i + 2), own), undefined, `after ${pauseMs} minutes`);
    }
  });

  it('take the claim of another peer on one address for no newer one during an hour', () => {
    const probes = targets();
    assert.equal(probes.take(0, claim('bob', 1), own), undefined);
    for (let i = 0; i < 100; i++) assert.equal(probes.take(i, claim(`key ${i}`, 10 + i), own), 'tried_before');
    assert.equal(probes.take(0, claim('carol', 1, '50.0.0.1:5001'), own), undefined, 'another port');
    assert.equal(probes.take(60 * MINUTE - 1, claim('carol', 99), own), 'tried_before');
    assert.equal(probes.take(60 * MINUTE, claim('carol', 99), own), undefined);
    probes.reached(parseUdpAddr('50.0.0.1:5000'));
    assert.equal(probes.take(60 * MINUTE, claim('dave', 1), own), undefined, 'a peer is there');
  });

  it('remember the tries of an hour, the latest ones', () => {
    const probes = new ProbeTargets({ maxProbesPerIp: 1, maxProbes: 2 });
    const text = (i: number): string => `50.0.${i >> 8}.${i & 255}:5000`;
    for (let i = 0; i < 130; i++) assert.equal(probes.take(i * MINUTE, claim('bob', 1, text(i)), own), undefined);
    const late = 130 * MINUTE;
    assert.equal(probes.take(late, claim('bob', 1, text(10)), own), 'tried_before');
    assert.equal(probes.take(late, claim('bob', 1, text(9)), own), undefined, 'forgotten');
  });

  it('try a loopback address because of a claim only where the node has no other addresses', () => {
    const [here, lan] = [parseUdpAddr('127.0.0.1:1'), parseUdpAddr('10.0.0.1:1')];
    const at = claim('bob', 1, '127.0.0.1:5000');
    assert.equal(targets().take(0, at, [here]), undefined);
    assert.equal(targets().take(0, at, [here, lan]), 'refused_addr');
    assert.equal(targets().take(0, at, [lan]), 'refused_addr');
    const reached = { addr: at.addr.text, source: 'cache', seenMs: 1, expiresMs: 2, trust: 'reached' } as const;
    assert.equal(targets().takeCandidate(0, reached, at.addr, [here, lan]), undefined);
  });

  it('of candidates: what the user wrote needs a host, what was reached also a common network, claims all of it', () => {
    const probes = targets();
    const judge = (text: string, trust?: 'given' | 'reached' | 'claimed') =>
      probes.takeCandidate(
        0,
        { addr: text, source: 'test', seenMs: 1, expiresMs: Infinity, trust },
        parseUdpAddr(text),
        own,
      );
    assert.deepEqual(
      ['10.0.0.1:80', '50.0.0.2:80', '224.0.0.1:80'].map((text) => judge(text, 'given')),
      [undefined, undefined, 'refused_addr'],
    );
    assert.deepEqual(
      ['10.0.0.1:8000', '50.0.0.2:80', '224.0.0.1:80'].map((text) => judge(text, 'reached')),
      ['refused_addr', undefined, 'refused_addr'],
    );
    assert.deepEqual(
      ['10.0.0.1:8000', '50.0.0.2:80', '50.0.0.2:8000', '50.0.0.2:8000'].map((text) => judge(text)),
      ['refused_addr', 'refused_addr', undefined, 'tried_before'],
    );
  });

  it('of one IP and in all are so many a minute; of this machine only in all', () => {
    const at = (text: string): Addr => parseUdpAddr(text);
    const probes = new ProbeTargets({ maxProbesPerIp: 2, maxProbes: 5 });
    const own = (text: string): Addr[] => [at(text.startsWith('127.') ? '127.0.0.1:1' : '10.0.0.99:1')];
    const takes = (now: number, ...texts: string[]): boolean[] =>
      texts.map((text) => probes.take(now, { addr: at(text), by: 'somebody', issuedMs: 1 }, own(text)) === undefined);
    assert.deepEqual(takes(0, '10.0.0.1:5000', '10.0.0.1:5001', '10.0.0.1:5002'), [true, true, false]);
    assert.deepEqual(
      takes(1, '127.0.0.1:5000', '127.0.0.1:5001', '127.0.0.1:5002', '127.0.0.1:5003', '10.0.0.2:5000'),
      [true, true, true, false, false],
    );
    assert.deepEqual(takes(59_999, '10.0.0.2:5000'), [false]);
    assert.deepEqual(takes(60_000, '10.0.0.1:5003', '10.0.0.2:5000', '10.0.0.3:5000'), [true, true, false]);
  });
});
