/** Who is sought for how long, what the program learns, and what hostile sources can do. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReachCandidate } from '../../../../src/protocols/peers/reach/types.ts';
import { ReachMachine } from '../../../../src/protocols/peers/reach/machine.ts';
import { explainText } from '../../../../src/protocols/peers/reach/explain-text.ts';
import { candidate, failing, id, open, ReachWorld } from './reach-world.ts';

const [ALICE, BOB] = [id(1), id(2)];
const PATH = { transport: 'tcp', addr: '198.51.100.1:4000', kind: 'direct', side: 'initiator' } as const;

describe('a wanted peer', () => {
  it('is reached once, the rest of the attempts is given up, and each has one outcome', () => {
    const world = new ReachWorld(({ addr }) => (addr === '198.51.100.2:4000' ? open(300) : undefined));
    for (let i = 1; i <= 5; i++) world.machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`));
    world.machine.want(0, ALICE);
    world.advance(60_000);
    assert.deepEqual(
      world.of('reached').map(({ atMs, addr, side }) => [atMs, addr, side]),
      [[450, '198.51.100.2:4000', 'responder']],
    );
    assert.equal(world.of('tried').length, world.dials.length);
    assert.equal(world.dials.length, 4);
    assert.equal(world.running.size, 0);
    // A second outcome, and one of an attempt that never was, change nothing.
    world.machine.outcome(60_000, world.dials[0]!.attempt, { type: 'open' });
    world.machine.outcome(60_000, 4711, { type: 'open' });
    world.pump();
    assert.equal(world.of('tried').length, world.dials.length);
  });

  it('is reported as unreachable with everything that was tried, and a new want begins again', () => {
    const world = new ReachWorld(() => failing('refused', 5));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(100);
    const [first] = world.of('unreachable');
    assert.equal(first?.reason, 'all_failed');
    assert.deepEqual(
      first.tried.map(({ addr, result }) => [addr, result]),
      [['198.51.100.1:4000', 'refused']],
    );
    world.machine.want(world.nowMs, ALICE);
    world.advance(100);
    assert.equal(world.of('unreachable').length, 2);
    assert.equal(world.searches.length, 2);
  });

  it('waits for the sources, and not for ever', () => {
    const world = new ReachWorld(() => undefined);
    world.onSearch = () => {};
    world.machine.want(0, ALICE);
    world.advance(10_000);
    assert.deepEqual(
      world.of('unreachable').map(({ atMs, reason }) => [atMs, reason]),
      [[5000, 'no_address']],
    );
  });

  it('whose attempts never end is given up at the end of the round', () => {
    const world = new ReachWorld(() => undefined, { attemptMs: 60_000 });
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(40_000);
    assert.deepEqual(
      world.of('unreachable').map(({ atMs, reason }) => [atMs, reason]),
      [[30_000, 'deadline']],
    );
    assert.equal(world.running.size, 0);
  });

  it('is given up when all tokens are back, and not before', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    const tokens = [world.machine.want(0, ALICE), world.machine.want(0, ALICE)];
    world.advance(10);
    assert.equal(world.dials.length, 1);
    world.machine.unwant(world.nowMs, tokens[0]!);
    world.machine.unwant(world.nowMs, tokens[0]!);
    world.pump();
    assert.equal(world.running.size, 1);
    world.machine.unwant(world.nowMs, tokens[1]!);
    world.advance(60_000);
    assert.equal(world.running.size, 0);
    assert.equal(world.of('unreachable').length, 0);
    assert.equal(world.of('tried')[0]!.rule, 'unwanted');
  });

  it('that connected by itself needs no attempts, and a want says so at once', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(10);
    world.machine.connected(world.nowMs, ALICE, PATH);
    world.advance(10);
    assert.equal(world.running.size, 0);
    world.machine.want(world.nowMs, ALICE);
    world.pump();
    assert.equal(world.of('reached').length, 2);
    assert.equal(world.dials.length, 1);
  });
});

describe('a maintained peer', () => {
  it('is dialled again with pauses that double up to the maximum, each shortened by chance', () => {
    const world = new ReachWorld(() => failing('refused', 0));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.maintain(0, ALICE);
    world.advance(600_000);
    const pauses = world.searches.slice(1).map(({ atMs }, i) => atMs - world.searches[i]!.atMs);
    for (const [i, pause] of pauses.entries()) {
      const most = Math.min(60_000, 1000 * 2 ** i);
      assert.ok(pause >= most / 2 && pause <= most, `pause ${i} is ${pause}`);
    }
    assert.ok(new Set(pauses.slice(6)).size > 1, 'pauses at the maximum differ');
  });

  it('that is lost is dialled at once, and one that closes soon with growing pauses', () => {
    const world = new ReachWorld(() => open(1));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.maintain(0, ALICE);
    world.advance(20_000);
    world.machine.disconnected(world.nowMs, ALICE, 'gone');
    world.advance(5);
    assert.equal(world.of('reached').length, 2);
    const before = world.dials.length;
    for (let second = 0; second < 300; second++) {
      world.machine.disconnected(world.nowMs, ALICE, 'flaps');
      world.advance(1000);
    }
    const dials = world.dials.length - before;
    assert.ok(dials >= 5 && dials <= 20, `${dials} dials in 300 s`);
  });

  it('that closes soon is dialled within seconds while somebody waits for it', () => {
    const world = new ReachWorld(() => open(1));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(1000);
    const before = world.dials.length;
    for (let second = 0; second < 300; second++) {
      world.machine.disconnected(world.nowMs, ALICE, 'flaps');
      world.advance(1000);
    }
    const dials = world.dials.length - before;
    assert.ok(dials >= 60 && dials <= 150, `${dials} dials in 300 s`);
  });

  it('is tried for ever, also when it becomes one while a late candidate is tried', () => {
    const world = new ReachWorld(() => failing('refused', 2000));
    world.machine.want(0, ALICE);
    world.advance(1000);
    world.machine.candidate(world.nowMs, ALICE, candidate('198.51.100.1:4000'));
    world.machine.maintain(world.nowMs, ALICE);
    world.advance(600_000);
    assert.ok(world.dials.length > 8);
  });

  it('is let go by drop', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.maintain(0, ALICE);
    world.advance(100);
    world.machine.drop(world.nowMs, ALICE);
    world.advance(600_000);
    assert.equal(world.dials.length, 1);
    assert.equal(world.running.size, 0);
  });

  it('is tried at once when the host wakes, with the pauses from the beginning', () => {
    let isUp = false;
    const world = new ReachWorld(() => (isUp ? open(40) : failing('unreachable', 0)));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.maintain(0, ALICE);
    world.advance(400_000);
    isUp = true;
    world.machine.wake(world.nowMs);
    world.advance(50);
    assert.deepEqual(
      world.of('reached').map(({ atMs }) => atMs),
      [400_040],
    );
  });

  it('waking gives up attempts over the old uplink and dials the same addresses again', () => {
    const world = new ReachWorld(({ atMs }) => (atMs > 0 ? open(40) : undefined));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(10);
    world.machine.wake(world.nowMs);
    world.advance(100);
    assert.deepEqual(
      world.dials.map(({ atMs }) => atMs),
      [0, 10],
    );
    assert.equal(world.of('reached').length, 1);
  });
});

describe('candidates', () => {
  it('are the same by transport and address, and the better word counts', () => {
    const world = new ReachWorld(() => undefined);
    const addr = '203.0.113.1:4000';
    world.machine.candidate(0, ALICE, candidate(addr, { source: 'exchange', trust: 'claimed' }));
    world.machine.candidate(0, ALICE, candidate(addr));
    world.machine.candidate(0, ALICE, candidate(addr, { trust: 'reached', source: 'cache' }));
    const { candidates } = world.machine.explain(0, ALICE)!;
    assert.deepEqual(
      candidates.map(({ trust, source }) => [trust, source]),
      [['reached', 'cache']],
    );
  });

  it('of one source that floods do not displace those of others, nor proven ones', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.candidate(0, ALICE, candidate('198.51.100.2:4000', { source: 'lan' }));
    const flood = (i: number): ReachCandidate =>
      candidate(`203.0.113.1:${2000 + i}`, { source: 'exchange', trust: 'claimed', seenMs: i });
    world.machine.candidate(0, ALICE, { ...flood(0), trust: 'reached' });
    for (let i = 1; i < 10_000; i++) world.machine.candidate(0, ALICE, flood(i));
    const { candidates, refused } = world.machine.explain(0, ALICE)!;
    assert.equal(candidates.length, 32);
    assert.equal(candidates.filter(({ source }) => source !== 'exchange').length, 2);
    assert.ok(candidates.some(({ addr, trust }) => trust === 'reached' && addr === '203.0.113.1:2000'));
    assert.ok(refused.length <= 32 && refused.every(({ rule }) => rule === 'share'));
    // Another source still gets its share.
    world.machine.candidate(0, ALICE, candidate('192.0.2.1:4000', { source: 'cache' }));
    assert.ok(world.machine.explain(0, ALICE)!.candidates.some(({ source }) => source === 'cache'));
  });

  it('that must not be tried are kept with the reason, and never dialled', () => {
    const world = new ReachWorld(() => undefined);
    for (const addr of [
      '239.1.2.3:4000',
      '255.255.255.255:4000',
      '10.0.0.1:4000',
      '127.0.0.1:4000',
      '203.0.113.1:22',
    ]) {
      world.machine.candidate(0, ALICE, candidate(addr, { trust: 'claimed', source: 'exchange' }));
    }
    world.machine.want(0, ALICE);
    world.advance(60_000);
    assert.equal(world.dials.length, 0);
    assert.deepEqual(
      world.machine.explain(0, ALICE)!.refused.map(({ rule, reason }) => [rule, reason]),
      Array.from({ length: 5 }, () => ['not_allowed', 'refused_addr']),
    );
    assert.equal(world.of('unreachable')[0]!.reason, 'no_address');
    // An address of the own list is dialled.
    world.machine.candidate(world.nowMs, ALICE, candidate('10.0.0.1:4000'));
    world.pump();
    assert.equal(world.dials.length, 1);
  });

  it('that others claim get one small probe, whatever the transport and the peer', () => {
    const world = new ReachWorld(() => undefined);
    const claim = (seenMs: number): ReachCandidate =>
      candidate('203.0.113.1:4000', { source: 'exchange', trust: 'claimed', seenMs });
    world.machine.candidate(0, ALICE, claim(1));
    world.machine.candidate(0, ALICE, { ...claim(1), transport: 'quic' });
    world.machine.candidate(0, BOB, claim(1));
    world.machine.maintain(0, ALICE);
    world.machine.want(0, BOB);
    world.advance(3_600_000);
    assert.equal(world.dials.length, 1);
    assert.ok(world.dials[0]!.isProbe);
    assert.equal(world.of('tried')[0]!.endMs, 900, 'given up before TCP repeats its SYN');
    world.machine.candidate(world.nowMs, ALICE, claim(2));
    world.advance(1);
    assert.equal(world.dials.length, 2, 'a newer word brings another one');
    // Newer words faster than the pauses bring no more.
    for (let i = 3; i < 1000; i++) {
      world.machine.candidate(world.nowMs, ALICE, claim(i));
      world.advance(1000);
    }
    const probes: number = world.dials.length;
    assert.ok(probes <= 6, `${probes} probes in a quarter of an hour`);
  });

  it('that others claim are probed at a bounded rate, and a thousand of them are each heard of', () => {
    const world = new ReachWorld(() => undefined);
    for (let i = 0; i < 1000; i++) {
      const addr = `203.0.${i >> 8}.${i & 255}:2000`;
      world.machine.candidate(0, id(i), candidate(addr, { source: 'exchange', trust: 'claimed' }));
      world.machine.want(0, id(i));
    }
    world.advance(59_000);
    assert.ok(world.dials.length <= 256 && world.dials.length >= 128, `${world.dials.length} probes in a minute`);
    assert.equal(new Set(world.dials.map(({ addr }) => addr)).size, world.dials.length);
    assert.equal(world.of('unreachable').length, 1000);
  });

  it('that led to another peer rest, and are tried again after a newer word', () => {
    const world = new ReachWorld(() => failing('wrong_key', 5));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(100);
    world.machine.want(world.nowMs, ALICE);
    world.advance(100);
    assert.equal(world.dials.length, 1);
    assert.match(explainText(world.machine.explain(world.nowMs, ALICE)!), /Another peer is at that address/);
    world.advance(1000);
    world.machine.candidate(world.nowMs, ALICE, candidate('198.51.100.1:4000', { seenMs: 1 }));
    world.advance(100);
    assert.equal(world.dials.length, 2);
  });
});

describe('peers that nobody wants', () => {
  it('are evicted, with a share per source, and those in use stay', () => {
    const world = new ReachWorld(() => undefined, { maxPeers: 100 });
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.machine.candidate(0, BOB, candidate('198.51.100.2:4000', { source: 'cache' }));
    for (let i = 10; i < 5000; i++) world.machine.candidate(0, id(i), candidate('203.0.113.1:4000', { source: 'lan' }));
    assert.equal(world.machine.peers, 100);
    assert.ok(world.machine.explain(0, ALICE) !== undefined && world.machine.explain(0, BOB) !== undefined);
  });

  it('have no place when all are in use, and a want says so', () => {
    const world = new ReachWorld(() => undefined, { maxPeers: 2 });
    for (const peer of [ALICE, BOB, id(3)]) world.machine.want(0, peer);
    world.pump();
    assert.deepEqual(
      world
        .of('unreachable')
        .filter(({ reason }) => reason === 'full')
        .map((event) => event.id),
      [id(3)],
    );
    world.machine.connected(0, id(4), PATH);
    assert.equal(world.machine.peers, 2);
  });
});

describe('explain', () => {
  it('says what was tried, what came of it, what decided and what would help, and escapes text of peers', () => {
    const world = new ReachWorld(({ addr }) =>
      addr.endsWith(':1')
        ? { afterMs: 30, result: { type: 'failed', reason: 'closed', detail: '\u001b[2Jgone' } }
        : undefined,
    );
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:1'));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:2', { scope: 'virtual', trust: 'reached' }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:3000', { trust: 'claimed', source: 'ex\nchange' }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:22', { trust: 'claimed' }));
    world.machine.maintain(0, ALICE);
    world.advance(10_200);
    const explanation = world.machine.explain(world.nowMs, ALICE)!;
    assert.deepEqual(
      explanation.candidates.map(({ state, last, rule }) => [state, last?.result, last?.rule, rule]),
      [
        ['tried', 'closed', 'outcome', undefined],
        ['tried', 'silent', 'timeout', undefined],
        ['tried', 'silent', 'timeout', undefined],
        ['not_dialled', undefined, undefined, undefined],
      ],
    );
    const text = explainText(explanation);
    assert.equal(structuredClone(explanation).id, ALICE);
    assert.match(text, /closed after 30 ms: \ufffd\[2Jgone/);
    assert.match(
      text,
      /198.51.100.1:3000, ex\ufffdchange, public, claimed: .* silent after 900 ms, no outcome in time/,
    );
    assert.match(text, /198.51.100.1:22, contacts: refused_addr/);
    assert.match(text, /Nothing answers: a NAT or firewall/);
    assert.match(text, /tried again in \d\.\d s/);
    assert.ok(!text.includes('\u001b'));
    assert.equal(world.machine.explain(0, BOB), undefined);
  });

  it('keeps a bounded history', () => {
    const world = new ReachWorld(() => failing('refused', 0));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    for (let i = 0; i < 500; i++) {
      world.machine.unwant(world.nowMs, world.machine.want(world.nowMs, ALICE));
      world.machine.want(world.nowMs, ALICE);
      world.machine.candidate(world.nowMs, ALICE, candidate(`10.0.0.1:${1 + i}`, { trust: 'claimed' }));
      world.advance(10);
    }
    const { attempts, refused, forgotten } = world.machine.explain(world.nowMs, ALICE)!;
    assert.equal(attempts.length, 64);
    assert.equal(refused.length, 32);
    assert.ok(forgotten > 400);
  });
});

describe('options of a reach machine', () => {
  it('out of bounds are refused', () => {
    const needed = { seed: new Uint8Array(16), mayTry: () => undefined };
    assert.throws(() => new ReachMachine({ ...needed, seed: 'x' as unknown as Uint8Array }), TypeError);
    assert.throws(() => new ReachMachine({ ...needed, mayTry: undefined as unknown as () => undefined }), TypeError);
    assert.throws(() => new ReachMachine({ ...needed, staggerMs: 50 }), RangeError);
    assert.throws(() => new ReachMachine({ ...needed, maxAttemptsPerPeer: 9 }), RangeError);
    assert.throws(() => new ReachMachine(needed).maintain(0, ALICE, { maxPauseMs: 1 }), RangeError);
  });
});
