/** The reach machine at its limits: shares, places, evictions, rests. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReachMachine } from '../../../../src/protocols/peers/reach/machine.ts';
import type { ReachCandidate } from '../../../../src/protocols/peers/reach/types.ts';
import { candidate, failing, id, mayTryOf, open, ReachWorld } from './reach-world.ts';

const [ALICE, BOB] = [id(1), id(2)];
const PATH = { transport: 'tcp', addr: '198.51.100.1:4000', kind: 'direct', side: 'initiator' } as const;

describe('the order of dials', () => {
  it('interleaves transports by their times, not by their rank', () => {
    const world = new ReachWorld(() => undefined);
    for (let i = 1; i <= 5; i++) world.machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000', { transport: 'quic' }));
    world.machine.want(0, ALICE);
    world.advance(460);
    assert.deepEqual(
      world.dials.map(({ transport, atMs }) => [transport, atMs]),
      [
        ['tcp', 0],
        ['tcp', 150],
        ['quic', 250],
        ['tcp', 300],
        ['tcp', 450],
      ],
    );
  });

  it('begins with what is known while sources that answer late are still asked', () => {
    for (const begin of ['want', 'maintain', 'wake'] as const) {
      const world = new ReachWorld(() => undefined);
      world.onSearch = () => {};
      if (begin === 'wake') {
        world.machine.want(0, ALICE);
        world.advance(10_000);
      }
      world.machine.candidate(world.nowMs, BOB, candidate('198.51.100.2:4000'));
      world.machine.candidate(world.nowMs, ALICE, candidate('198.51.100.1:4000'));
      const before = world.dials.length;
      if (begin === 'want') world.machine.want(world.nowMs, ALICE);
      else if (begin === 'maintain') world.machine.maintain(world.nowMs, ALICE);
      else world.machine.wake(world.nowMs);
      world.advance(1);
      assert.ok(world.dials.length > before || begin === 'wake', begin);
      assert.ok(world.dials.every((dial) => dial.id === ALICE));
    }
  });

  it('gives no second attempt to what has failed by itself while it was given up', () => {
    const machine = new ReachMachine({ seed: new Uint8Array(16), mayTry: mayTryOf() });
    for (let i = 1; i <= 12; i++) machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`));
    machine.want(0, ALICE);
    machine.searched(0, ALICE);
    const dials = new Map<number, string>();
    for (let now = 0; now < 40_000; now += 50) {
      machine.handleTimeout(now);
      for (let output = machine.poll(); output.type !== 'wait'; output = machine.poll()) {
        if (output.type !== 'transmit') continue;
        if (output.transmit.type === 'dial') dials.set(output.transmit.attempt, output.transmit.addr);
        // The refusal was on its way when the attempt was given up.
        else if (output.transmit.type === 'abandon') {
          machine.outcome(now, output.transmit.attempt, { type: 'failed', reason: 'refused' });
        }
      }
    }
    assert.equal(dials.size, 12);
  });
});

describe('candidates of a peer', () => {
  it('of a source with few stay when one with many has better ones', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('203.0.113.1:4000', { source: 'exchange', trust: 'claimed' }));
    for (let i = 0; i < 1000; i++) world.machine.candidate(0, ALICE, candidate(`198.51.100.1:${1024 + i}`));
    const { candidates } = world.machine.explain(0, ALICE)!;
    assert.equal(candidates.filter(({ source }) => source === 'exchange').length, 1);
    assert.equal(candidates.length, 32);
  });

  it('of a source that has its share are replaced by better ones of the same source', () => {
    const world = new ReachWorld(() => undefined);
    const give = (i: number, more: Partial<ReachCandidate>): void =>
      world.machine.candidate(0, ALICE, candidate(`198.51.100.1:${1024 + i}`, { source: 'exchange', ...more }));
    give(0, { trust: 'reached' });
    for (let i = 1; i < 40; i++) give(i, { trust: 'claimed' });
    give(100, { trust: 'reached' });
    give(101, { trust: 'given' });
    const { candidates } = world.machine.explain(0, ALICE)!;
    assert.equal(candidates.length, 32);
    const better = candidates.filter(({ trust }) => trust !== 'claimed').map(({ addr }) => addr);
    assert.deepEqual(better, ['198.51.100.1:1024', '198.51.100.1:1124', '198.51.100.1:1125']);
  });

  it('that led to the peer come first until they have failed three times; of equal ones the latest comes first', () => {
    const world = new ReachWorld(() => failing('refused', 0));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000', { trust: 'reached' }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.2:4000', { seenMs: 1 }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.3:4000', { seenMs: 2 }));
    const firsts: string[] = [];
    for (let round = 0; round < 4; round++) {
      const before = world.dials.length;
      world.machine.want(world.nowMs, ALICE);
      world.advance(100);
      firsts.push(world.dials[before]!.addr);
    }
    assert.deepEqual(firsts, ['198.51.100.1:4000', '198.51.100.1:4000', '198.51.100.1:4000', '198.51.100.3:4000']);
  });

  it('are given up after ten seconds of silence', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(20_000);
    assert.deepEqual(
      world.of('tried').map(({ endMs, result, rule }) => [endMs, result, rule]),
      [[10_000, 'silent', 'timeout']],
    );
  });

  it('that have expired make room', () => {
    const world = new ReachWorld(() => undefined);
    for (let i = 0; i < 32; i++) {
      world.machine.candidate(0, ALICE, candidate(`198.51.100.1:${1024 + i}`, { expiresMs: 100, trust: 'reached' }));
    }
    world.machine.candidate(200, ALICE, candidate('203.0.113.1:4000', { source: 'exchange', trust: 'claimed' }));
    assert.deepEqual(
      world.machine.explain(200, ALICE)!.candidates.map(({ addr }) => addr),
      ['203.0.113.1:4000'],
    );
  });

  it('that lead to somebody else rest for half a minute, then for twice as long', () => {
    const world = new ReachWorld(() => failing('wrong_key', 0));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    const dials: number[] = [];
    for (let second = 0; second < 12_000; second++) {
      const before = world.dials.length;
      const token = world.machine.want(world.nowMs, ALICE);
      world.advance(1000);
      world.machine.unwant(world.nowMs, token);
      if (world.dials.length > before) dials.push(second);
    }
    const rests = dials.slice(1).map((at, i) => at - dials[i]!);
    assert.deepEqual(rests, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
  });

  it('are tried at once after waking, also those that rested', () => {
    const world = new ReachWorld(() => failing('wrong_network', 0));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.maintain(0, ALICE);
    world.advance(10);
    assert.equal(world.dials.length, 1);
    world.machine.wake(world.nowMs);
    world.advance(1);
    assert.equal(world.dials.length, 2);
  });

  it('with an address that is too long are refused', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('x'.repeat(100_000)));
    const { candidates, refused } = world.machine.explain(0, ALICE)!;
    assert.equal(candidates.length, 0);
    assert.ok(refused[0]!.addr.length <= 512);
  });
});

describe('places for attempts', () => {
  it('that become free go to those that still want one', () => {
    const world = new ReachWorld(() => undefined, { maxAttempts: 4 });
    const tokens = [];
    for (let i = 0; i < 40; i++) {
      world.machine.candidate(0, id(i), candidate(`198.51.100.${i}:4000`));
      tokens.push(world.machine.want(0, id(i)));
    }
    world.advance(10);
    assert.equal(world.running.size, 4);
    // Those that wait give up, but for the last one.
    for (const token of tokens.slice(4, 39)) world.machine.unwant(world.nowMs, token);
    world.machine.unwant(world.nowMs, tokens[0]!);
    world.advance(1);
    assert.ok([...world.running.values()].some((dial) => dial.id === id(39)));
    assert.ok(world.dials.every((dial) => [0, 1, 2, 3, 39].map(id).includes(dial.id)));
  });

  it('go first to the peer with the fewest attempts, also when another one has waited longer', () => {
    const world = new ReachWorld(() => undefined, { maxAttempts: 4, attemptMs: 900 });
    for (let i = 1; i <= 20; i++) world.machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`));
    world.machine.want(0, ALICE);
    world.advance(700);
    world.machine.candidate(world.nowMs, BOB, candidate('203.0.113.1:4000'));
    world.machine.want(world.nowMs, BOB);
    world.advance(250);
    const next = world.dials[4]!;
    assert.deepEqual([next.id, next.atMs], [BOB, 900]);
  });

  it('are 128 for all peers', () => {
    const world = new ReachWorld(() => undefined);
    for (let i = 0; i < 300; i++) {
      world.machine.candidate(0, id(i), candidate(`198.51.${i >> 8}.${i & 255}:4000`));
      world.machine.want(0, id(i));
    }
    world.advance(30);
    assert.equal(world.mostRunning, 128);
  });
});

describe('the table of peers', () => {
  const stranger = (i: number): [ReturnType<typeof id>, ReachCandidate] => [id(i), candidate('203.0.113.1:4000')];

  it('keeps peers that are wanted, connected, or being dialled, and evicts those that were', () => {
    const world = new ReachWorld(() => undefined, { maxPeers: 4 });
    world.machine.connected(0, ALICE, PATH);
    world.machine.maintain(0, BOB);
    const token = world.machine.want(0, id(3));
    for (let i = 10; i < 50; i++) world.machine.candidate(0, ...stranger(i));
    for (const peer of [ALICE, BOB, id(3)]) assert.ok(world.machine.explain(0, peer) !== undefined);
    world.machine.unwant(0, token);
    world.machine.drop(0, BOB);
    world.machine.disconnected(0, ALICE, 'gone');
    for (let i = 50; i < 90; i++) world.machine.candidate(0, ...stranger(i));
    // Peers that this node had to do with have their share beside those of the source.
    const kept = [ALICE, BOB, id(3)].filter((peer) => world.machine.explain(0, peer) !== undefined);
    assert.equal(kept.length, 2);
    assert.equal(world.machine.peers, 4);
  });

  it('says to maintain that it is full', () => {
    const world = new ReachWorld(() => undefined, { maxPeers: 1 });
    world.machine.maintain(0, ALICE);
    world.machine.maintain(0, BOB);
    world.pump();
    assert.deepEqual(
      world.of('unreachable').map((event) => [event.id, event.reason]),
      [
        [BOB, 'full'],
        [ALICE, 'no_address'],
      ],
    );
  });

  it('tells nothing of a peer that connects and that nobody wants', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.connected(0, ALICE, PATH);
    world.machine.disconnected(0, ALICE, 'gone');
    world.advance(100_000);
    assert.equal(world.events.length + world.dials.length, 0);
    assert.equal(world.machine.explain(world.nowMs, ALICE)!.lastLoss?.reason, 'gone');
  });
});

describe('an explanation', () => {
  it('says of each candidate whether it is dialled, waits, was tried, or is not dialled', () => {
    const world = new ReachWorld(({ addr }) => (addr.endsWith(':1000') ? failing('refused', 1) : undefined));
    for (const port of [1000, 2000, 3000]) world.machine.candidate(0, ALICE, candidate(`198.51.100.1:${port}`));
    world.machine.candidate(0, ALICE, candidate('192.0.2.1:443', { kind: 'relay' }));
    const states = (): readonly string[] =>
      world.machine.explain(world.nowMs, ALICE)!.candidates.map(({ state }) => state);
    assert.deepEqual(states(), ['not_dialled', 'not_dialled', 'not_dialled', 'not_dialled']);
    world.machine.want(0, ALICE, { policy: 'direct' });
    world.advance(10);
    assert.deepEqual(states(), ['tried', 'dialling', 'waiting', 'not_dialled']);
    const { help, candidates } = world.machine.explain(world.nowMs, ALICE)!;
    assert.equal(candidates[3]!.rule, 'policy');
    assert.deepEqual(
      help.map((sentence) => sentence.slice(0, 20)),
      ['The host answers, bu', 'The policy for this '],
    );
  });
});

describe('a path that changes', () => {
  it('from direct to relayed is improved again, and is no new connection', () => {
    const world = new ReachWorld(() => open(10));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.maintain(0, ALICE);
    world.advance(20_000);
    const relayed = { ...PATH, kind: 'relay', addr: '192.0.2.1:443' } as const;
    world.machine.connected(world.nowMs, ALICE, relayed);
    world.advance(100);
    assert.equal(world.of('reached').length, 1);
    assert.equal(world.machine.explain(world.nowMs, ALICE)!.path?.kind, 'direct');
    assert.equal(world.dials.length, 2);
  });
});
