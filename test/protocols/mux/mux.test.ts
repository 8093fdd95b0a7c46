import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import * as fc from '../../support/fast-check.ts';

import { encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import { P2PError } from '../../../src/core/errors.ts';
import { type ChannelKind, channelKinds } from '../../../src/protocols/mux/channel-kinds.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../../../src/swarms/memory/index.ts';
import { type ChannelIds, mux } from '../../../src/wrappers/mux.ts';

const vectors = (
  JSON.parse(readFileSync(new URL('../../vectors/go-p2p.json', import.meta.url), 'utf8')) as {
    readonly p2pmux: Readonly<Record<string, readonly string[]>>;
  }
).p2pmux;

/** Alice and Bob mux alike, Mallory sends raw packets. */
function world<K extends keyof ChannelIds>(kind: K, mtu = 64) {
  const packets: string[] = [];
  const realm = createMemoryRealm({
    clock: 'virtual',
    mtu,
    transform: (message) => {
      packets.push(toHex(message.payload));
      return message;
    },
  });
  const [a, b, mallory] = [realm.swarm(), realm.swarm(), realm.swarm()];
  const [alice, bob] = [mux(a, kind), mux(b, kind)];
  const dst: MemoryAddr = memoryAddr(1);
  const raw = async (...hex: string[]): Promise<void> => {
    for (const packet of hex) void mallory.tell(dst, fromHex(packet));
    await realm.clock.advance(0);
  };
  return { realm, alice, bob, a, b, mallory, dst, packets, raw };
}

describe('mux on the wire', () => {
  for (const [kind, id, name] of [
    ['string', '', 'string_empty'],
    ['string', 'foo', 'string_foo'],
    ['u16', 1, 'uint16_1'],
    ['u32', 1, 'uint32_1'],
    ['u64', 1n, 'uint64_1'],
    ['varint', 300, 'varint_300'],
  ] as const) {
    it(`${kind} channel ${JSON.stringify(String(id))} writes the bytes that go-p2p writes`, async () => {
      const { alice, dst, packets } = world(kind as 'string');
      await alice.open(id as string).tell(dst, encodeText('hi'));
      assert.deepEqual(packets, vectors[name]);
    });
  }

  it('every kind reads what it writes, and takes any bytes without throwing', () => {
    const ids: { readonly [K in keyof ChannelIds]: fc.Arbitrary<ChannelIds[K]> } = {
      string: fc.string({ unit: 'grapheme' }),
      u16: fc.nat(0xffff),
      u32: fc.nat(0xffff_ffff),
      u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      varint: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    };
    for (const name of Object.keys(channelKinds) as (keyof ChannelIds)[]) {
      const kind = channelKinds[name] as ChannelKind<unknown>;
      fc.assert(
        fc.property(ids[name], fc.uint8Array(), (id, payload) => {
          const header = kind.encode(id);
          const read = kind.decode(new Uint8Array([...header, ...payload]))!;
          assert.equal(read.end, header.length);
          assert.equal(String(read.id), String(id));
        }),
      );
      fc.assert(fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => void kind.decode(bytes)));
    }
  });
});

describe('mux', () => {
  it('refuses ids that are none of its kind', () => {
    const { alice } = world('u16');
    for (const id of [-1, 1.5, 65_536]) assert.throws(() => alice.open(id), RangeError);
    // @ts-expect-error a text is no u16
    assert.throws(() => alice.open('7'), TypeError);
    const wide = world('varint').alice;
    assert.throws(() => wide.open(-1n), RangeError);
    assert.throws(() => wide.open(2n ** 64n), RangeError);
    assert.throws(() => wide.open(2 ** 53), RangeError);
    assert.throws(() => world('string').alice.open('\ud800'), TypeError);
    // @ts-expect-error no such kind
    assert.throws(() => mux(createMemoryRealm().swarm(), 'u8'), TypeError);
  });

  it('an id opened twice is in_use, and free again when closed', async () => {
    const { alice } = world('varint');
    const first = alice.open(7);
    assert.throws(
      () => alice.open(7n),
      (error) => P2PError.is(error, 'in_use'),
    );
    await first.close();
    alice.open(7n);
  });

  it('closing a channel leaves the others, closing the mux closes all', async () => {
    const { realm, alice, bob, dst, a } = world('string');
    const heard: string[] = [];
    bob.open('x').listen(() => void heard.push('x'));
    const y = bob.open('y');
    y.listen(() => void heard.push('y'));
    await y.close();
    const [x1, y1] = [alice.open('x'), alice.open('y')];
    void x1.tell(dst, Uint8Array.of(1));
    void y1.tell(dst, Uint8Array.of(1));
    await realm.clock.advance(1);
    assert.deepEqual(heard, ['x']);
    assert.equal(bob.counters.drops.get('mux.unknown_channel'), 1);
    await alice.close();
    assert.equal((await x1.closed).by, 'local');
    assert.equal(a.localAddrs().length, 0);
    assert.throws(
      () => alice.open('z'),
      (error) => P2PError.is(error, 'closed'),
    );
  });

  it('closing a channel refuses what its handler still has in hand', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [alice, bob] = [mux(realm.swarm(), 'u16').open(1), mux(realm.swarm(), 'u16').open(1)];
    bob.serve(() => new Promise<Uint8Array>(() => {}));
    const asked = alice.ask(memoryAddr(1), Uint8Array.of(1));
    await realm.clock.advance(1);
    await bob.close();
    await assert.rejects(realm.clock.run(asked), (error) => P2PError.is(error, 'refused'));
    assert.equal(realm.nowMs(), 1);
  });

  it('a channel that nobody reads blocks no other, and asks go side by side (M2)', async () => {
    const { realm, alice, bob, dst } = world('u16');
    bob.open(1); // open, and nobody listens
    const stuck = bob.open(2);
    stuck.listen(() => new Promise(() => {}));
    let heard = 0;
    bob.open(3).listen(() => void heard++);
    const served = bob.open(4);
    served.serve(({ payload }) => (payload[0] === 0 ? new Promise(() => {}) : payload));
    const [one, two, three, four] = [1, 2, 3, 4].map((id) => alice.open(id));
    for (let i = 0; i < 300; i++) {
      void one!.tell(dst, Uint8Array.of(i));
      void two!.tell(dst, Uint8Array.of(i));
    }
    void three!.tell(dst, Uint8Array.of(1));
    const never = four!.ask(dst, Uint8Array.of(0), { timeoutMs: 1000 }).catch((error: unknown) => error);
    assert.deepEqual(await realm.clock.run(four!.ask(dst, Uint8Array.of(5))), Uint8Array.of(5));
    assert.equal(heard, 1);
    assert.ok(P2PError.is(await realm.clock.run(never), 'timeout'));
  });

  it('the MTU is exact for each channel id (M3)', async () => {
    const { realm, alice, bob, dst } = world('string', 64);
    for (const id of ['', 'a', 'a much longer channel name']) {
      const channel = alice.open(id);
      const mtu = 64 - 1 - id.length;
      assert.equal(channel.mtu(dst), mtu);
      assert.equal(channel.maxRequestBytes(dst), mtu);
      let heard = -1;
      bob.open(id).listen(({ payload }) => void (heard = payload.length));
      await channel.tell(dst, new Uint8Array(mtu));
      await realm.clock.advance(1);
      assert.equal(heard, mtu);
      await assert.rejects(channel.tell(dst, new Uint8Array(mtu + 1)), (error) => P2PError.is(error, 'mtu_exceeded'));
    }
  });

  it('hostile headers are counted drops, and refused asks (M1, M3)', async () => {
    const { realm, bob, raw, mallory, dst } = world('string');
    let asked = 0;
    const empty = bob.open('');
    empty.listen(() => void asked++);
    empty.serve(() => {
      asked++;
      return new Uint8Array(0);
    });
    const hostile = ['', 'ffffffffffffffffff0161', '80', '05616263', '02c328', 'ffffffffffffffffffffff'];
    await raw(...hostile);
    assert.equal(bob.counters.drops.get('malformed'), hostile.length);
    for (const packet of hostile) {
      const outcome = mallory.ask(dst, fromHex(packet));
      await assert.rejects(realm.clock.run(outcome), (error) => P2PError.is(error, 'refused'));
    }
    await assert.rejects(realm.clock.run(mallory.ask(dst, encodeText('\u0003foo'))), (error) =>
      P2PError.is(error, 'refused'),
    );
    assert.equal(asked, 0);
  });

  it('keepInner leaves the inner swarm open', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const inner = realm.swarm();
    const channels = mux(inner, 'u16', { keepInner: true });
    await channels.close();
    inner.listen(() => {});
    assert.equal(inner.localAddrs().length, 1);
  });
});
