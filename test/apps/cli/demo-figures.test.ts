import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerIdOfKey } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import * as fc from '../../support/fast-check.ts';
import { decodeHello, decodeNumbered, encodeHello, encodeNumbered } from '../../../apps/cli/src/demo/messages.ts';
import { Detours } from '../../../apps/cli/src/demo/detours.ts';
import type { PairReport, PathNews, PeerReport } from '../../../apps/cli/src/demo/reports.ts';
import { SequenceTrack } from '../../../apps/cli/src/demo/sequence.ts';
import { type Participant, summarize } from '../../../apps/cli/src/demo/summary.ts';
import { nearest } from '../../../apps/cli/src/nearest.ts';
import { quantilesOf } from '../../../apps/cli/src/quantiles.ts';

describe('SequenceTrack', () => {
  it('counts each number once in any order, and the gaps below the highest', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(200), { minLength: 1 }), (numbers) => {
        const track = new SequenceTrack();
        for (const seq of numbers) track.handle(seq);
        const distinct = new Set(numbers).size;
        assert.equal(track.received, distinct);
        assert.equal(track.repeated, numbers.length - distinct);
        assert.equal(track.missing, Math.max(...numbers) + 1 - distinct);
      }),
    );
  });

  it('stays small when a number is absurd', () => {
    const track = new SequenceTrack();
    track.handle(2 ** 50);
    assert.equal(track.received, 1);
    assert.equal(track.missing, 2 ** 50);
  });
});

const nothing: PeerReport = {
  pairs: [],
  tells: 0,
  tellBytes: 0,
  receivedTells: 0,
  receivedBytes: 0,
  echoes: 0,
  asks: 0,
  answers: 0,
  asksFailed: 0,
  sessions: 0,
  tellMs: [],
  askMs: [],
  known: [],
  paths: { direct: 0, punch: 0, relay: 0 },
};

const pair = (here: number, there: number, sent: number, received: number): PairReport => ({
  here,
  there,
  sent,
  received,
  missing: 0,
  repeated: 0,
});

const participant = (pid: number, name: string, survived: boolean, pairs: readonly PairReport[]): Participant => ({
  name,
  pid,
  survived,
  report: { ...nothing, pairs, tells: pairs.reduce((sum, { sent }) => sum + sent, 0) },
});

describe('summarize', () => {
  it('finds losses by what was sent here and came there, and keeps the killed and visitors apart', () => {
    const [a, b, c, dead, again, guest] = [1, 2, 3, 4, 5, 6];
    const summary = summarize([
      participant(a, 'a', true, [pair(a, b, 10, 7), pair(a, dead, 5, 1), pair(a, guest, 3, 3), pair(a, again, 6, 0)]),
      participant(b, 'b', true, [pair(b, a, 8, 9), pair(b, c, 4, 0)]),
      participant(c, 'c', true, []),
      participant(dead, 'd', false, [pair(dead, a, 100, 0)]),
      participant(again, 'd', true, [pair(again, a, 0, 4)]),
    ]);
    // a to b: 10 sent, 9 came; b to a: 8 sent, 7 came; b to c: 4 sent, none came; a to d, started again: 6 sent, 4 came.
    assert.equal(summary.lost, 1 + 1 + 4 + 2);
    assert.equal(summary.toTheKilled, 5);
    assert.equal(summary.toVisitors, 3);
    assert.deepEqual([summary.peers, summary.processes, summary.killed], [4, 5, 1]);
    assert.equal(summary.tells.sent, 136);
    assert.equal(summary.tellEchoMs, undefined);
  });
});

describe('the messages of the demo', () => {
  it('come back as they were', () => {
    assert.deepEqual(decodeHello(encodeHello({ name: 'cod', pid: 70_000 })), { name: 'cod', pid: 70_000 });
    const tell = { kind: 'tell', from: 70_000, to: 1, seq: 300 } as const;
    assert.deepEqual(decodeNumbered(encodeNumbered(tell, new Uint8Array(9))), tell);
  });

  it('of any bytes are undefined or in order, and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom(0x48, 0x54, 0x45, 0x41, 0x42, 0), (bytes, first) => {
        const message = Uint8Array.of(first, ...bytes);
        decodeNumbered(message);
        assert.match(decodeHello(message)?.name ?? ' ', /^[\x20-\x7e]+$/);
      }),
    );
    for (const name of ['', 'x'.repeat(257), '\u{1b}[2J', 'é']) {
      assert.equal(decodeHello(encodeHello({ name, pid: 1 })), undefined);
    }
  });
});

describe('quantilesOf', () => {
  it('takes nearest ranks', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    assert.deepEqual(quantilesOf(hundred), { minMs: 1, medianMs: 50, p99Ms: 99 });
    assert.deepEqual(quantilesOf([3]), { minMs: 3, medianMs: 3, p99Ms: 3 });
    assert.equal(quantilesOf([]), undefined);
  });
});

describe('nearest', () => {
  it('finds slips, and nothing for other words', () => {
    const known = ['udp', 'quic', 'frag', 'mbapp'];
    assert.equal(nearest('upd', known), 'udp');
    assert.equal(nearest('qiuc', known), 'quic');
    assert.equal(nearest('mbap', known), 'mbapp');
    assert.equal(nearest('websocket', known), undefined);
  });
});

describe('Detours', () => {
  const [a, b] = ['bream', 'cod'];
  const news = (kind: 'direct' | 'punch' | 'relay', relayedMs?: number): PathNews => ({
    type: 'path',
    id: peerIdOfKey(testKey(1).publicKey),
    kind,
    relayedMs,
  });

  it('counts a pair once, whichever of both tells first, and says what it came to', () => {
    const detours = new Detours();
    assert.deepEqual(detours.summary(), { pairs: 0, direct: 0, punched: 0, medianMs: undefined });
    assert.equal(detours.note(a, b, news('relay')), true);
    assert.equal(detours.note(b, a, news('relay')), false);
    assert.deepEqual(detours.relayed, ['bream cod']);
    assert.equal(detours.note(b, a, news('punch', 120)), true);
    assert.equal(detours.note(a, b, news('punch', 130)), false);
    detours.note(a, 'dab', news('relay'));
    detours.note('dab', a, news('direct', 60));
    detours.note(b, 'dab', news('relay'));
    assert.deepEqual(detours.relayed, ['cod dab']);
    assert.deepEqual(detours.summary(), { pairs: 3, direct: 2, punched: 1, medianMs: 60 });
  });

  it('takes a pair that is relayed again for relayed', () => {
    const detours = new Detours();
    for (const each of [news('relay'), news('punch', 10), news('relay')]) detours.note(a, b, each);
    assert.deepEqual(detours.summary(), { pairs: 1, direct: 0, punched: 0, medianMs: undefined });
  });
});
