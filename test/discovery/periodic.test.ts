import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerExchange, type PeerExchangeOptions } from '../../src/discovery/index.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { createMemoryRealm, type MemoryRealm } from '../../src/swarms/memory/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/index.ts';

function nodeIn(realm: MemoryRealm, i: number, options: Partial<PeerExchangeOptions> = {}) {
  const privateKey = testKey(i);
  const swarm = mbapp(p2pke(realm.swarm(), { privateKey }));
  const exchange = peerExchange(swarm, { privateKey, ...options });
  return { swarm, exchange, id: peerIdOfKey(privateKey.publicKey), addr: swarm.addr };
}

describe('periodic exchange', () => {
  it('makes all of sixty known to all, when each began with one of them', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 7 });
    const nodes = Array.from({ length: 60 }, (_, i) => nodeIn(realm, i, { everyMs: 1000 }));
    for (const [i, { exchange }] of nodes.entries()) {
      if (i > 0) await realm.clock.run(exchange.exchange(nodes[Math.floor(i / 2)]!.addr));
    }
    let rounds = 0;
    while (nodes.some(({ exchange }) => exchange.records.length < 59) && rounds < 30) {
      await realm.clock.advance(1000);
      rounds++;
    }
    assert.ok(rounds <= 12, `took ${rounds} rounds`);
    await Promise.all(nodes.map(({ swarm }) => swarm.close()));
  });

  it('ends with the exchange, and keeps no virtual clock running', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [a, b] = [nodeIn(realm, 1, { everyMs: 1000 }), nodeIn(realm, 2)];
    await realm.clock.run(a.exchange.exchange(b.addr));
    const before = a.swarm.counters.sent;
    await realm.clock.advance(3500);
    assert.ok(a.swarm.counters.sent > before);
    a.exchange[Symbol.dispose]();
    const after = a.swarm.counters.sent;
    await realm.clock.advance(10_000);
    assert.equal(a.swarm.counters.sent, after);
    await assert.rejects(realm.clock.run(new Promise(() => {})), /Nothing is armed/);
    await Promise.all([a, b].map(({ swarm }) => swarm.close()));
  });

  it('is misuse with numbers out of bounds', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    for (const options of [{ everyMs: 1 }, { fanOut: 0 }, { fanOut: 65 }, { maxProbes: 0 }, { maxProbesPerIp: 0 }]) {
      assert.throws(() => nodeIn(realm, 1, options), RangeError, JSON.stringify(options));
    }
    assert.throws(() => nodeIn(realm, 1, { onClockDiffers: 7 as never }), TypeError);
  });
});

describe('one key on two machines', () => {
  it('is told on both, once in a minute, and not for records of an earlier life', async () => {
    const events: TraceEvent[] = [];
    const realm = createMemoryRealm({ clock: 'virtual', trace: (event) => void events.push(event) });
    const seen: string[] = [];
    const twin = (name: string) =>
      nodeIn(realm, 1, { onKeyElsewhere: ({ addrs }) => void seen.push(`${name} ${addrs[0]}`) });
    const hub = nodeIn(realm, 2);
    const before = twin('before');
    await realm.clock.run(before.exchange.exchange(hub.addr));
    await before.swarm.close();
    await realm.clock.advance(1000);
    const first = twin('first');
    await realm.clock.run(first.exchange.exchange(hub.addr));
    assert.deepEqual(seen, [], 'its own record of an earlier life');
    await realm.clock.advance(1000);
    const second = twin('second');
    for (let i = 0; i < 3; i++) {
      await realm.clock.run(second.exchange.exchange(hub.addr));
      await realm.clock.run(first.exchange.exchange(hub.addr));
    }
    assert.deepEqual(seen, [`first ${second.addr.text}`]);
    // The first signs anew, the second does not yet.
    await realm.clock.advance(299_500);
    await realm.clock.run(first.exchange.exchange(hub.addr));
    await realm.clock.run(second.exchange.exchange(hub.addr));
    assert.deepEqual(seen.at(-1), `second ${first.addr.text}`);
    assert.ok(events.some(({ layer, type }) => layer === 'exchange' && type === 'own_key_elsewhere'));
    await Promise.all([hub, first, second].map(({ swarm }) => swarm.close()));
  });

  it('is traced by p2pke when the two meet', async () => {
    const events: string[] = [];
    const realm = createMemoryRealm({
      clock: 'virtual',
      trace: ({ layer, type }) => void (type === 'own_key_elsewhere' && events.push(layer)),
    });
    const [a, b] = [p2pke(realm.swarm(), { privateKey: testKey(1) }), p2pke(realm.swarm(), { privateKey: testKey(1) })];
    b.listen(() => {});
    await realm.clock.run(a.tell(b.addr, Uint8Array.of(1)));
    await realm.clock.advance(1000);
    assert.deepEqual(events, ['p2pke', 'p2pke']);
    await Promise.all([a, b].map((swarm) => swarm.close()));
  });
});

describe('clocks apart', () => {
  it('are told on both sides: an event, a trace, and counted records', async () => {
    const seen: string[] = [];
    const events: TraceEvent[] = [];
    const realm = createMemoryRealm({ clock: 'virtual', trace: (event) => void events.push(event) });
    const behind: MemoryRealm = Object.create(realm, { wallMs: { value: () => realm.wallMs() + 720_000 } });
    const told = (name: string) => (peer: PeerId | undefined, differenceMs: number) =>
      void seen.push(`${name} ${peer?.slice(0, 4)} ${differenceMs / 60_000}`);
    const a = nodeIn(realm, 1, { onClockDiffers: told('a') });
    const b = nodeIn(realm, 2);
    // The same swarm in another realm: only its exchange sees another time.
    b.exchange[Symbol.dispose]();
    const elsewhere = new Proxy(b.swarm, {
      get: (target, name) => {
        if (name === 'realm') return behind;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const late = peerExchange(elsewhere, {
      privateKey: testKey(2),
      onClockDiffers: told('b'),
    });
    await realm.clock.run(a.exchange.exchange(b.addr));
    assert.deepEqual(seen, [`b ${a.id.slice(0, 4)} -12`, `a ${b.id.slice(0, 4)} 12`]);
    const clocks = events.filter(({ type, layer }) => type === 'clock_differs' && layer === 'exchange');
    assert.deepEqual(
      clocks.map(({ reason }) => reason),
      Array(2).fill("the other side's clock differs by about 12 minutes"),
    );
    assert.equal(a.exchange.counters.drops.get('exchange.from_the_future'), 1);
    assert.equal(late.counters.drops.get('exchange.expired'), 1);
    await Promise.all([a, b].map(({ swarm }) => swarm.close()));
  });
});
