import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError, Refusal } from '../../src/core/errors.ts';
import type { Clock, TraceEvent } from '../../src/core/realm.ts';
import { retry } from '../../src/runtime/retry.ts';
import { createVirtualClock } from '../../src/runtime/virtual-clock.ts';
import { type MemoryRealmOptions, createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';

function world(options: MemoryRealmOptions = {}) {
  const realm = createMemoryRealm({ ...options, clock: 'virtual' });
  const [alice, bob] = [realm.swarm(), realm.swarm()];
  const [a, b] = [alice.addr, bob.addr];
  const heard: number[] = [];
  bob.listen(({ payload }) => void heard.push(payload[0]!));
  return { realm, alice, bob, a, b, heard };
}

describe('createMemoryRealm', () => {
  it('gives decimal addresses, the lowest that was never used, or the one asked for', () => {
    const realm = createMemoryRealm();
    assert.deepEqual(
      [realm.swarm(), realm.swarm(), realm.swarm(7), realm.swarm('9')].map((swarm) => swarm.addr.text),
      ['0', '1', '7', '9'],
    );
    assert.equal(realm.size, 4);
    assert.throws(
      () => realm.swarm(7),
      (error) => P2PError.is(error, 'in_use'),
    );
    for (const wrong of [-1, 1.5, Number.NaN]) assert.throws(() => realm.swarm(wrong), RangeError);
    for (const wrong of ['x', '01', '-1', '']) assert.throws(() => realm.swarm(wrong), TypeError);
    assert.equal(realm.size, 4);
  });

  it('frees the address of a swarm that was closed or dropped', async () => {
    const { realm, alice, a, b, heard } = world();
    realm.drop(b);
    assert.equal(realm.size, 1);
    void alice.tell(b, Uint8Array.of(1));
    await realm.clock.advance(1);
    assert.equal(alice.counters.drops.get('memory.unreachable'), 1);
    const again = realm.swarm(b.n);
    again.listen(({ payload }) => void heard.push(payload[0]! + 100));
    void alice.tell(b, Uint8Array.of(2));
    await realm.clock.advance(1);
    assert.deepEqual(heard, [102]);
    await alice.close();
    realm.swarm(a.n);
  });

  it('drops what is too much for a receiver, and counts it there', async () => {
    const { realm, alice, bob, b, heard } = world({ maxQueuedMessages: 10 });
    for (let i = 0; i < 15; i++) void alice.tell(b, Uint8Array.of(i));
    await realm.clock.advance(1);
    assert.equal(heard.length, 10);
    assert.equal(bob.counters.drops.get('queue_full'), 5);
  });

  it('lets a transform change, drop and redirect tells', async () => {
    const { realm, alice, b, heard } = world({
      transform: (message) =>
        message.payload[0] === 2 ? undefined : { ...message, payload: Uint8Array.of(message.payload[0]! + 10) },
    });
    for (let i = 1; i < 4; i++) void alice.tell(b, Uint8Array.of(i));
    await realm.clock.advance(1);
    assert.deepEqual(heard, [11, 13]);
    assert.equal(alice.counters.drops.get('memory.transform'), 1);
  });

  it('cuts and heals links at run time, one by one or all', async () => {
    const { realm, alice, a, b, heard } = world();
    const carol = realm.swarm();
    const tell = async (byte: number): Promise<void> => {
      void alice.tell(b, Uint8Array.of(byte));
      void carol.tell(b, Uint8Array.of(byte + 100));
      await realm.clock.advance(1);
    };
    realm.cut(a, b);
    await tell(1);
    realm.cut();
    await tell(2);
    realm.heal(a, b);
    await tell(3);
    realm.heal();
    await tell(4);
    assert.deepEqual(heard, [101, 4, 104]);
    assert.equal(alice.counters.drops.get('memory.cut'), 3);
  });

  it('parts addresses, tells of every packet, and joins them again', async () => {
    const packets: string[] = [];
    const realm = createMemoryRealm({
      clock: 'virtual',
      onPacket: ({ from, to, payload, lost }) =>
        void packets.push(`${from} > ${to}: ${payload.length} ${lost ?? 'sent'}`),
    });
    const [a, b, c, d] = [realm.swarm(), realm.swarm(), realm.swarm(), realm.swarm()];
    const send = async (): Promise<readonly string[]> => {
      packets.length = 0;
      await Promise.all([a.tell('1', Uint8Array.of(1)), a.tell('2', Uint8Array.of(1)), c.tell('3', Uint8Array.of(1))]);
      await realm.clock.advance(1);
      return [...packets];
    };
    realm.partition([a.addr, b.addr], [c.addr]);
    assert.deepEqual(await send(), ['0 > 1: 1 sent', '0 > 2: 1 memory.cut', '2 > 3: 1 sent'], 'd is in no part');
    realm.partition([a.addr], [b.addr], [d.addr, c.addr]);
    assert.deepEqual(await send(), ['0 > 1: 1 memory.cut', '0 > 2: 1 memory.cut', '2 > 3: 1 sent']);
    realm.heal();
    assert.deepEqual(await send(), ['0 > 1: 1 sent', '0 > 2: 1 sent', '2 > 3: 1 sent']);
    assert.throws(() => realm.partition([3 as never]), TypeError);
    b.serve(() => new Uint8Array(2));
    packets.length = 0;
    await realm.clock.run(a.ask(b.addr, new Uint8Array(3)));
    assert.deepEqual(packets, ['0 > 1: 3 sent', '1 > 0: 2 sent']);
    assert.throws(() => createMemoryRealm({ onPacket: 5 as never }), TypeError);
  });

  it('links that share an emulator lose and delay as links of their own do', async () => {
    const run = async (netem: NonNullable<MemoryRealmOptions['netem']>): Promise<readonly string[]> => {
      const realm = createMemoryRealm({ clock: 'virtual', seed: 3, netem });
      const swarms = Array.from({ length: 6 }, () => realm.swarm());
      const heard: string[] = [];
      for (const [i, swarm] of swarms.entries()) {
        swarm.listen(
          ({ src, payload }) => void heard.push(`${Math.round(realm.nowMs())} ${i} ${src.text} ${payload[0]}`),
        );
      }
      for (let round = 0; round < 20; round++) {
        for (const swarm of swarms) for (const { addr } of swarms) void swarm.tell(addr, Uint8Array.of(round));
        await realm.clock.advance(3);
      }
      await realm.clock.advance(100);
      return heard.toSorted();
    };
    // A rate that is never reached gives each link an emulator of its own, and changes nothing else.
    const shared = await run({ latencyMs: 5, loss: 0.2, duplicate: 0.1 });
    assert.ok(shared.length > 600 && shared.length < 720);
    assert.deepEqual(await run({ latencyMs: 5, loss: 0.2, duplicate: 0.1, bytesPerSecond: 1e15 }), shared);
  });

  it('sets the network per realm and per link', async () => {
    const { realm, alice, a, b } = world({ netem: { latencyMs: 10 } });
    const at: number[] = [];
    const carol = realm.swarm();
    carol.listen(() => void at.push(realm.nowMs()));
    const told = async (): Promise<number> => {
      const before = realm.nowMs();
      void alice.tell(carol.addr, Uint8Array.of(1));
      await realm.clock.advance(1000);
      return at.at(-1)! - before;
    };
    assert.equal(await told(), 10);
    realm.setNetem({ latencyMs: 20 });
    assert.equal(await told(), 20);
    realm.setLink(carol.addr, a, { latencyMs: 300 });
    assert.equal(await told(), 300);
    realm.setLink(carol.addr, a, undefined);
    assert.equal(await told(), 20);
    assert.equal(b.text, '1');
    assert.throws(() => realm.setNetem({ loss: 2 }), RangeError);
  });

  it('keeps the order and the queue of a link while another is cut, healed or set', async () => {
    const { realm, alice, b, heard } = world({
      seed: 3,
      netem: { latencyMs: 10, jitterMs: 100, bytesPerSecond: 1000 },
    });
    const [carol, dave] = [realm.swarm(), realm.swarm()].map((swarm) => swarm.addr);
    for (let i = 0; i < 60; i += 3) {
      void alice.tell(b, Uint8Array.of(i));
      realm.cut(carol, dave);
      void alice.tell(b, Uint8Array.of(i + 1));
      realm.heal(carol, dave);
      void alice.tell(b, Uint8Array.of(i + 2));
      realm.setLink(carol!, dave!, 'lossy');
      await realm.clock.advance(1);
    }
    await realm.clock.advance(50);
    assert.ok(heard.length < 60, 'the link carries a byte in a millisecond');
    await realm.clock.advance(1000);
    assert.deepEqual(
      heard,
      Array.from({ length: 60 }, (_, i) => i),
    );
  });

  it('takes addresses for links and nothing else: one alone, or a number, is a TypeError and changes nothing', async () => {
    const { realm, alice, a, b, heard } = world();
    assert.throws(() => realm.cut(a), TypeError);
    assert.throws(() => realm.heal(a), TypeError);
    // @ts-expect-error numbers
    assert.throws(() => realm.cut(0, 1), TypeError);
    // @ts-expect-error numbers
    assert.throws(() => realm.setLink(0, 1, 'lossy'), TypeError);
    // @ts-expect-error not an address
    assert.throws(() => realm.drop({}), TypeError);
    void alice.tell(b, Uint8Array.of(9));
    await realm.clock.advance(1);
    assert.deepEqual(heard, [9]);
  });

  it('an ask gets the bytes of a Refusal, and unreachable where nobody is or remains', async () => {
    const { realm, alice, bob, b } = world();
    bob.serve(() => {
      throw new Refusal('no', Uint8Array.of(7));
    });
    await assert.rejects(
      realm.clock.run(alice.ask(b, Uint8Array.of(1))),
      (error) => P2PError.is(error, 'refused') && Refusal.is(error.cause) && error.cause.bytes![0] === 7,
    );
    await assert.rejects(
      realm.clock.run(alice.ask(memoryAddr(99), Uint8Array.of(1))),
      (error) => P2PError.is(error, 'unreachable') && error.sent === 'no',
    );
    const carol = realm.swarm();
    carol.serve(() => new Promise(() => {}));
    const asked = alice.ask(carol.addr, Uint8Array.of(1));
    const outcome = assert.rejects(asked, (error) => P2PError.is(error, 'unreachable') && error.sent === 'maybe');
    await realm.clock.advance(1);
    await carol.close();
    await outcome;
  });

  it('an ask is retried until somebody is there', async () => {
    const { realm, alice } = world();
    realm.clock.setTimer(500, () => realm.swarm(99).serve(({ payload }) => payload));
    const answer = await realm.clock.run(retry(() => alice.ask(memoryAddr(99), Uint8Array.of(5)), { realm }));
    assert.deepEqual(answer, Uint8Array.of(5));
  });

  it('remembers the key of a source that has left', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [alice, bob] = [1, 2].map((i) => realm.secureSwarm({ algorithm: 'my own', spki: Uint8Array.of(i) })) as [
      ReturnType<typeof realm.secureSwarm>,
      ReturnType<typeof realm.secureSwarm>,
    ];
    const known: unknown[] = [];
    bob.listen(({ src }) => void known.push(bob.knownPublicKey(src)?.algorithm));
    void alice.tell(bob.addr, Uint8Array.of(1));
    void alice.close();
    await realm.clock.advance(1);
    assert.deepEqual(known, ['my own']);
    const plain = realm.swarm();
    await assert.rejects(bob.lookupPublicKey(plain.addr), (error) => P2PError.is(error, 'not_found'));
    // @ts-expect-error no key
    assert.throws(() => realm.secureSwarm({ algorithm: 'x' }), TypeError);
  });

  it('takes a clock of one’s own, and checks its options', async () => {
    const clock = createVirtualClock({ startMs: 500 });
    const realm = createMemoryRealm({ clock });
    assert.equal(realm.clock, clock);
    assert.equal(realm.nowMs(), 500);
    // @ts-expect-error no such clock
    assert.throws(() => createMemoryRealm({ clock: 'lunar' }), TypeError);
    for (const wrong of [null, {}, { nowMs: () => 0 }]) {
      assert.throws(() => createMemoryRealm({ clock: wrong as unknown as Clock }), TypeError);
    }
    assert.throws(() => createMemoryRealm({ mtu: 0 }), RangeError);
    // @ts-expect-error not a function
    assert.throws(() => createMemoryRealm({ transform: 7 }), TypeError);
  });

  it('works in real time without being told', async () => {
    const realm = createMemoryRealm();
    const [alice, bob] = [realm.swarm(), realm.swarm()];
    bob.serve(({ payload }) => payload);
    assert.deepEqual(await alice.ask(bob.addr, Uint8Array.of(5)), Uint8Array.of(5));
    assert.notDeepEqual(createMemoryRealm().random(16), createMemoryRealm().random(16));
    assert.deepEqual(createMemoryRealm({ seed: 1 }).random(16), createMemoryRealm({ seed: 1 }).random(16));
    await alice.close();
  });

  it('traces what opens and closes', async () => {
    const events: TraceEvent[] = [];
    const { alice, a } = world({ trace: (event) => events.push(event) });
    await alice.close();
    assert.deepEqual(
      events.map(({ layer, type }) => `${layer} ${type}`),
      ['memory opened', 'memory opened', 'memory closed'],
    );
    assert.equal(events[0]!.addr, a);
  });
});
