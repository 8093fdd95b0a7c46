/** Peers whose clocks differ, or went back. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Realm, TraceEvent } from '../../src/core/realm.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { describeDuration } from '../../src/base/duration.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { drops, helloOf, network } from '../support/p2pke-world.ts';

const MINUTE = 60_000;
const HOUR = 3_600_000;

/** The same swarm in a world whose clock differs by so many ms. */
function shifted(inner: Swarm<MemoryAddr>, ms: number): Swarm<MemoryAddr> {
  const { realm } = inner;
  const own: Realm = Object.assign(Object.create(realm) as Realm, {
    nowMs: () => realm.nowMs(),
    wallMs: () => realm.wallMs() + ms,
    random: (length: number) => realm.random(length),
  });
  return new Proxy(inner, {
    get: (target, name) => {
      if (name === 'realm') return own;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('p2pke after a restart with the clock set back', () => {
  for (const [name, backMs, limitMs] of [
    ['a second', 1000, 2500],
    ['an hour', HOUR, 1000],
    ['23 hours', 23 * HOUR, 1000],
  ] as const) {
    it(`by ${name} makes contact within ${limitMs} ms, at its address and at another`, async () => {
      for (const sameAddress of [true, false]) {
        await using net = network({ netem: { latencyMs: 20 } });
        const bob = net.peer(2);
        const heard: number[] = [];
        bob.listen(({ payload }) => void heard.push(payload[0]!));
        const inner = net.inner();
        const before = p2pke(inner, { privateKey: testKey(1), keepInner: true });
        await net.run(before.tell(bob.addr, Uint8Array.of(1)));
        await net.realm.clock.advance(100);
        await net.run(before.close());
        const after = p2pke(shifted(sameAddress ? inner : net.inner(), -backMs), { privateKey: testKey(1) });
        const startMs = net.realm.nowMs();
        await net.run(after.tell(bob.addr, Uint8Array.of(2)));
        await net.realm.clock.advance(100);
        assert.ok(net.realm.nowMs() - startMs - 100 <= limitMs, `${net.realm.nowMs() - startMs} ms`);
        assert.deepEqual(heard, [1, 2]);
        assert.ok(drops(bob, 'stale_hello') > 0);
        await net.run(after.close());
      }
    });
  }

  it('after it was ahead, makes contact: the last timestamp is later than both clocks', async () => {
    await using net = network({ netem: { latencyMs: 20 } });
    const bob = net.peer(2);
    let heard = 0;
    bob.listen(() => void heard++);
    const inner = net.inner();
    const ahead = p2pke(shifted(inner, 5 * HOUR), { privateKey: testKey(1), keepInner: true });
    await net.run(ahead.tell(bob.addr, Uint8Array.of(1)));
    await net.run(ahead.close());
    const right = p2pke(inner, { privateKey: testKey(1) });
    await net.run(right.tell(bob.addr, Uint8Array.of(2), { timeoutMs: 1000 }));
    await net.realm.clock.advance(100);
    assert.equal(heard, 2);
    await net.run(right.close());
  });

  it('by more than a day gets a timeout that says why, and is traced', async () => {
    const events: TraceEvent[] = [];
    await using net = network({ trace: (event) => void events.push(event) });
    const bob = net.peer(2);
    const inner = net.inner();
    const before = p2pke(inner, { privateKey: testKey(1), keepInner: true });
    await net.run(before.tell(bob.addr, Uint8Array.of(1)));
    await net.run(before.close());
    const after = p2pke(shifted(inner, -50 * HOUR), { privateKey: testKey(1) });
    await assert.rejects(net.run(after.tell(bob.addr, Uint8Array.of(2), { timeoutMs: 3000 })), {
      code: 'timeout',
      message: /clock differs by about 2 days, and it refuses handshakes.*set the clock, or wait for ten minutes/,
    });
    assert.match(events.find(({ type }) => type === 'clock_differs')!.reason!, /about 2 days/);
    await net.realm.clock.advance(10 * MINUTE);
    await net.run(after.tell(bob.addr, Uint8Array.of(3)));
  });

  it('a hello that is replayed once gets no answer, and a hint for somebody else changes nothing', async () => {
    await using net = network();
    const [alice, bob] = [net.peer(1), net.peer(2)];
    const overheard = helloOf(1, net.realm.wallMs() - 1000, 1);
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    const mallory = net.inner();
    const answers: number[] = [];
    mallory.listen(({ payload }) => void answers.push(payload.length));
    await net.run(mallory.tell(bob.addr.inner, overheard));
    await net.realm.clock.advance(100);
    assert.deepEqual(answers, []);
    await net.run(mallory.tell(bob.addr.inner, overheard));
    await net.realm.clock.advance(100);
    assert.deepEqual(answers, [33]);
  });
});

describe('p2pke between clocks that differ', () => {
  it('by twelve minutes traces it on both ends, whoever calls, and delivers', async () => {
    for (const offsetMs of [12 * MINUTE, -12 * MINUTE]) {
      const events: TraceEvent[] = [];
      await using net = network({ trace: (event) => void events.push(event) });
      const alice = p2pke(shifted(net.inner(), offsetMs), { privateKey: testKey(1) });
      // Its world is made from the other's, which does the tracing for both.
      const bob = net.peer(2);
      let heard = 0;
      bob.listen(() => void heard++);
      await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
      await net.realm.clock.advance(1000);
      assert.equal(heard, 1);
      const seen = events.filter(({ type }) => type === 'clock_differs');
      assert.deepEqual(
        seen.map(({ addr, reason }) => `${addr?.text} ${reason}`).toSorted(),
        [alice, bob].map((peer) => `${peer.addr.text} the other side's clock differs by about 12 minutes`).toSorted(),
      );
      await net.run(alice.close());
    }
  });

  it('by a minute is told, by less is not', async () => {
    for (const [offsetMs, count] of [
      [59_000, 0],
      [61_000, 2],
    ] as const) {
      const events: TraceEvent[] = [];
      await using net = network({ trace: (event) => void events.push(event) });
      const alice = p2pke(shifted(net.inner(), offsetMs), { privateKey: testKey(1) });
      const bob = net.peer(2);
      await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
      await net.realm.clock.advance(1000);
      assert.equal(events.filter(({ type }) => type === 'clock_differs').length, count);
      await net.run(alice.close());
    }
  });

  it('a duration is named in the largest unit that fits', () => {
    const cases = [
      [59_999, '60 seconds'],
      [MINUTE, '1 minute'],
      [12 * MINUTE + 20_000, '12 minutes'],
      [89 * MINUTE, '89 minutes'],
      [HOUR, '1 hour'],
      [26 * HOUR, '26 hours'],
      [50 * HOUR, '2 days'],
    ] as const;
    for (const [ms, text] of cases) assert.equal(describeDuration(ms), text);
  });
});
