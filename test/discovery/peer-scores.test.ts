import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CANDIDATE_FAULTS, type CandidateFault } from '../../src/core/candidate.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { PeerScores } from '../../src/discovery/peer-scores.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';
import * as fc from '../support/fast-check.ts';

const IDS = Array.from({ length: 300 }, (_, i) => peerIdOfKey(testKey(i).publicKey));
const idOf = (i: number): PeerId => IDS[i]!;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** The address of peer `i`: each in a network of its own, unless told otherwise. */
const at = (i: number, ip = `50.${i >> 8}.${i & 255}.1`): string => `${idOf(i)}@${ip}:4000`;
const reach = (scores: PeerScores, wallMs: number, i: number, ip?: string): boolean =>
  scores.reached(wallMs, { id: idOf(i), addr: at(i, ip), proof: 'dialled' });
const fail = (scores: PeerScores, wallMs: number, i: number, reason: CandidateFault = 'silent'): boolean =>
  scores.failed(wallMs, { id: idOf(i), addr: at(i), reason });
const orderOf = (scores: PeerScores, wallMs: number): number[] => scores.list(wallMs).map(({ id }) => IDS.indexOf(id));

describe('scores of cached peers', () => {
  it('keep only peers whose addresses are proven to be dialable, with the kind and the time of the proof', () => {
    const scores = new PeerScores(10);
    assert.equal(scores.reached(1000, { id: idOf(1), addr: at(1) }), false);
    assert.equal(scores.size, 0);
    scores.reached(1000, { id: idOf(2), addr: at(2), proof: 'dial_back' });
    assert.deepEqual(scores.list(1000), [
      {
        id: idOf(2),
        addrs: [
          { addr: at(2), proof: 'dial_back', firstMs: 1000, provenMs: 1000, successes: 1, failures: 0, failedMs: 0 },
        ],
      },
    ]);
    assert.deepEqual(scores.candidates(5000), [
      { id: idOf(2), addr: at(2), source: 'cache', seenMs: 1000, expiresMs: Infinity, trust: 'reached' },
    ]);
  });

  it('are still useful after a year: all peers are there, those that were there for long stand first', () => {
    const scores = new PeerScores(200);
    for (let i = 0; i < 100; i++) reach(scores, 0, i);
    for (let day = 1; day <= 60; day++) for (let i = 0; i < 10; i++) reach(scores, day * DAY, i);
    for (let i = 100; i < 110; i++) reach(scores, 60 * DAY, i);
    const order = orderOf(scores, 60 * DAY + YEAR);
    assert.equal(order.length, 110);
    assert.deepEqual(
      order.slice(0, 10).toSorted((a, b) => a - b),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.equal(scores.candidates(60 * DAY + YEAR).length, 110);
  });

  it('put a peer that worked lately before one that worked long ago, and one that fails behind', () => {
    const scores = new PeerScores(10);
    reach(scores, 0, 1);
    reach(scores, 20 * DAY, 2);
    assert.deepEqual(orderOf(scores, 20 * DAY), [2, 1]);
    fail(scores, 20 * DAY + 1, 2);
    fail(scores, 20 * DAY + HOUR + 1, 2);
    assert.deepEqual(orderOf(scores, 20 * DAY + HOUR + 1), [1, 2]);
    reach(scores, 20 * DAY + 2 * HOUR, 2);
    reach(scores, 20 * DAY + 3 * HOUR, 2);
    assert.deepEqual(orderOf(scores, 21 * DAY), [2, 1], 'it answers again');
  });

  it('lose nobody when everything fails for a day, as without a network', () => {
    const scores = new PeerScores(200);
    for (let i = 0; i < 200; i++) reach(scores, 0, i);
    for (let ms = 0; ms <= DAY; ms += 10_000 * 6) for (let i = 0; i < 200; i += 10) fail(scores, ms, i);
    assert.equal(scores.size, 200);
    assert.equal(scores.list(DAY).find(({ id }) => id === idOf(0))?.addrs[0]?.failures, 24);
  });

  it('count successes and failures once an hour, up to a hundred', () => {
    const scores = new PeerScores(10);
    assert.equal(reach(scores, HOUR, 1), true);
    assert.equal(reach(scores, HOUR + 1, 1), false);
    assert.equal(fail(scores, HOUR + 2, 1), true);
    assert.equal(fail(scores, HOUR + 3, 1), false);
    for (let i = 2; i < 500; i++) fail(scores, i * HOUR, 1);
    assert.equal(scores.list(0)[0]?.addrs[0]?.failures, 100);
    for (let i = 500; i < 1000; i++) reach(scores, i * HOUR, 1);
    assert.deepEqual([scores.list(0)[0]?.addrs[0]?.successes, scores.list(0)[0]?.addrs[0]?.failures], [100, 0]);
  });

  it('drop an address where another peer, another network or this node is, and keep it for all other faults', () => {
    for (const fault of CANDIDATE_FAULTS) {
      const scores = new PeerScores(10);
      reach(scores, 0, 1);
      scores.reached(0, { id: idOf(1), addr: at(1, '60.0.0.1'), proof: 'dialled' });
      fail(scores, HOUR, 1, fault);
      const gone = ['self', 'wrong_key', 'wrong_network'].includes(fault);
      assert.equal(scores.candidates(HOUR, idOf(1)).length, gone ? 1 : 2, fault);
      scores.failed(2 * HOUR, { addr: at(1, '60.0.0.1'), reason: fault });
      assert.equal(scores.size, gone ? 0 : 1, fault);
    }
    const scores = new PeerScores(10);
    assert.equal(fail(scores, 0, 1), false, 'an unknown peer');
  });

  it('keep four addresses of a peer, the best ones', () => {
    const scores = new PeerScores(10);
    for (let i = 1; i <= 6; i++) {
      scores.reached(i * DAY, { id: idOf(1), addr: at(1, `60.0.${i}.1`), proof: 'dialled' });
    }
    assert.deepEqual(
      scores.candidates(6 * DAY, idOf(1)).map(({ addr }) => addr),
      [6, 5, 4, 3].map((i) => at(1, `60.0.${i}.1`)),
    );
  });

  it('give the best peer of each prefix first, then the second best of each', () => {
    const scores = new PeerScores(200);
    for (let i = 0; i < 40; i++) reach(scores, DAY, i, `66.66.66.${i + 1}`);
    for (let i = 40; i < 45; i++) reach(scores, 0, i);
    reach(scores, 0, 45, '[2001:4860::1]');
    for (let i = 46; i < 60; i++) reach(scores, DAY, i, `[2001:db9::${i}]`);
    const first = scores.candidates(DAY).map(({ addr }) => addr.slice(44));
    assert.deepEqual(first.slice(0, 8).filter((text) => text.startsWith('66.66.66.')).length, 1);
    assert.equal(first.slice(0, 8).filter((text) => text.startsWith('[2001:db9:')).length, 1);
    assert.equal(new Set(first).size, 60);
  });

  it('keep the bound, and drop the worst of the prefix with the most peers for a newcomer', () => {
    const scores = new PeerScores(20);
    for (let i = 0; i < 15; i++) reach(scores, 0, i);
    for (let i = 100; i < 150; i++) reach(scores, i * HOUR, i, `66.66.66.${i}`);
    assert.ok(scores.size <= 20);
    const list = orderOf(scores, 150 * HOUR);
    assert.equal(list.filter((i) => i < 15).length, 15, 'one network pushes nobody out');
    assert.equal(list.filter((i) => i >= 100).length, 5, 'and has a quarter at most');
    for (let i = 20; i < 40; i++) {
      reach(scores, 200 * HOUR, i);
      assert.ok(orderOf(scores, 200 * HOUR).includes(i), `newcomer ${i}`);
    }
    assert.equal(scores.size, 20);
  });

  it('take over the peers of a file within their bounds; of a peer that both know the one that was proven last', () => {
    const [file, scores] = [new PeerScores(100), new PeerScores(10)];
    for (let i = 0; i < 50; i++) reach(file, HOUR, i);
    file.reached(HOUR, { id: idOf(1), addr: at(1, '60.0.0.1'), proof: 'dial_back' });
    reach(scores, 2 * HOUR, 1);
    scores.reached(0, { id: idOf(2), addr: at(2, '60.0.0.2'), proof: 'dialled' });
    scores.add(3 * HOUR, file.list(3 * HOUR));
    assert.equal(scores.size, 10);
    assert.deepEqual(
      scores.candidates(0, idOf(1)).map(({ addr }) => addr),
      [at(1)],
    );
    const merged = new PeerScores(100);
    merged.reached(0, { id: idOf(2), addr: at(2, '60.0.0.2'), proof: 'dialled' });
    merged.add(3 * HOUR, file.list(3 * HOUR));
    assert.deepEqual(
      merged.candidates(0, idOf(2)).map(({ addr }) => addr),
      [at(2)],
    );
    assert.equal(merged.size, 50);
  });

  it('drop the peer with the worst score when each has a prefix of its own', () => {
    const scores = new PeerScores(3);
    reach(scores, 0, 1);
    reach(scores, 0, 2);
    reach(scores, 0, 3);
    fail(scores, HOUR, 2);
    reach(scores, HOUR, 4);
    assert.deepEqual(new Set(orderOf(scores, HOUR)), new Set([1, 3, 4]));
  });

  it('survive a clock that is set back: nothing is lost, and the order stays', () => {
    const scores = new PeerScores(10);
    reach(scores, YEAR, 1);
    fail(scores, YEAR + HOUR, 1);
    reach(scores, YEAR, 2);
    assert.deepEqual(orderOf(scores, 0), [2, 1]);
    assert.equal(reach(scores, 0, 2), true);
    assert.equal(scores.size, 2);
  });

  it('hold their bounds whatever happens', () => {
    const step = fc.record({
      kind: fc.constantFrom('reached', 'reached', 'failed', 'delete', 'add'),
      i: fc.nat(60),
      ip: fc.nat(8),
      ms: fc.integer({ min: -YEAR, max: YEAR }),
      fault: fc.constantFrom(...CANDIDATE_FAULTS),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), fc.integer({ min: 1, max: 20 }), (steps, maxPeers) => {
        const scores = new PeerScores(maxPeers);
        let wallMs = YEAR;
        for (const { kind, i, ip, ms, fault } of steps) {
          wallMs = Math.max(0, wallMs + ms);
          const addr = at(i, `70.0.${ip % 3}.${ip}`);
          if (kind === 'reached') {
            scores.reached(wallMs, { id: idOf(i), addr, proof: 'dialled' });
            assert.ok(scores.candidates(wallMs, idOf(i)).length > 0, 'a newcomer is in');
          } else if (kind === 'failed') scores.failed(wallMs, { id: idOf(i), addr, reason: fault });
          else if (kind === 'delete') scores.delete(idOf(i));
          else scores.add(wallMs, scores.list(wallMs));
          const list = scores.list(wallMs);
          assert.ok(list.length <= maxPeers);
          assert.ok(list.every(({ addrs }) => addrs.length >= 1 && addrs.length <= 4));
          const prefixes = Map.groupBy(list, ({ addrs }) => addrs[0]!.addr.slice(44, 50));
          for (const group of prefixes.values()) assert.ok(group.length <= Math.max(2, Math.ceil(maxPeers / 4)));
          assert.equal(
            scores.candidates(wallMs).length,
            list.reduce((sum, { addrs }) => sum + addrs.length, 0),
          );
        }
      }),
      { numRuns: 300, seed: 3 },
    );
  });
});
