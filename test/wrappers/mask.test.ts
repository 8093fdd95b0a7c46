/** Masked datagrams: what a censor sees, wrong keys, hostile bytes; and the suites over masks, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes, EMPTY_BYTES, encodeText } from '../../src/base/bytes.ts';
import { type MemoryAddr, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { canAsk } from '../../src/core/ask.ts';
import { isSecure } from '../../src/core/secure.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { mask } from '../../src/wrappers/mask.ts';
import { quic, type QuicSwarm } from '../../src/swarms/quic/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { assert as check, property, uint8Array } from '../support/fast-check.ts';
import { overMemory, overUdp } from '../swarms/fixtures.ts';
import { chiSquaredOf, entropyOf, popcountOf, printableOf } from '../protocols/mask/statistics.ts';

const key = new Uint8Array(32).fill(0x6b);
const masked = <A extends MemoryAddr>(inner: Swarm<A>): Swarm<A> => mask(inner, { key });

swarmSuite({ describe, it }, 'mask over memory', overMemory(masked));
swarmSuite({ describe, it }, 'mask over netem lossy', overMemory(masked, { netem: 'lossy', seed: 5 }));
swarmSuite(
  { describe, it },
  'mask over udp',
  overUdp((inner) => mask(inner, { key })),
);
const secured = overMemory((inner, i) => mbapp(p2pke(mask(inner, { key }), { privateKey: testKey(i) })));
for (const suite of [swarmSuite, askSuite, secureSuite]) {
  suite({ describe, it }, 'mbapp over p2pke over mask over memory', secured as never);
}

/** Two masked swarms, and `eye`, which is not masked and remembers the datagrams that it gets. */
function pair(seed = 1): {
  readonly a: Swarm<MemoryAddr>;
  readonly b: Swarm<MemoryAddr>;
  readonly eye: Swarm<MemoryAddr>;
  readonly passed: Uint8Array[];
  readonly heard: Uint8Array[];
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  readonly advance: () => Promise<void>;
} {
  const realm = createMemoryRealm({ clock: 'virtual', seed });
  const passed: Uint8Array[] = [];
  const heard: Uint8Array[] = [];
  const [a, b, eye] = [mask(realm.swarm(), { key }), mask(realm.swarm(), { key }), realm.swarm()];
  b.listen(({ payload }) => void heard.push(payload));
  eye.listen(({ payload }) => void passed.push(payload));
  return {
    a,
    b,
    eye,
    passed,
    heard,
    run: (promise) => realm.clock.run(promise),
    advance: () => realm.clock.advance(10),
  };
}

/** What passes when the same payload is told so many times. */
async function passing(payload: Uint8Array, times: number): Promise<Uint8Array[]> {
  const { a, eye, passed, run, advance } = pair();
  for (let i = 0; i < times; i++) await run(a.tell(eye.addr, payload));
  await advance();
  assert.equal(passed.length, times);
  return passed;
}

describe('masked datagrams', () => {
  it('have the entropy, the set bits and the printable share of random bytes, whatever is inside', async () => {
    for (const payload of [
      new Uint8Array(200),
      new Uint8Array(200).fill(255),
      encodeText('GET / HTTP/1.1 '.repeat(14)),
    ]) {
      const all = concatBytes(...(await passing(payload, 300)));
      assert.ok(all.length > 60_000);
      assert.ok(entropyOf(all) > 7.99, String(entropyOf(all)));
      assert.ok(Math.abs(popcountOf(all) - 4) < 0.03, String(popcountOf(all)));
      assert.ok(Math.abs(printableOf(all) - 95 / 256) < 0.02, String(printableOf(all)));
      assert.ok(Math.abs(chiSquaredOf(all) - 255) < 115, String(chiSquaredOf(all)));
    }
  });

  it('have no byte in common at any place: the first ones, and all others, are random too', async () => {
    const passed = await passing(new Uint8Array(40), 2000);
    // 13 + 40 + 16 bytes are in the shortest.
    for (const at of [0, 1, 2, 3, 11, 12, 13, 40, 60]) {
      const column = Uint8Array.from(passed, (datagram) => datagram[at]!);
      assert.ok(Math.abs(chiSquaredOf(column) - 255) < 115, `byte ${at}: ${chiSquaredOf(column)}`);
    }
    const first = new Set(passed.map((datagram) => datagram.subarray(0, 4).join('.')));
    assert.ok(first.size > 1995);
  });

  it('have lengths that do not tell the length of what is inside', async () => {
    const lengths = new Set((await passing(new Uint8Array(100), 2000)).map(({ length }) => length));
    assert.ok(lengths.size > 250, String(lengths.size));
    assert.equal(Math.min(...lengths), 129);
    assert.equal(Math.max(...lengths), 129 + 255);
    // Equal lengths come from payloads that differ by up to 255 bytes.
    const longer = new Set((await passing(new Uint8Array(200), 500)).map(({ length }) => length));
    assert.ok([...longer].filter((length) => lengths.has(length)).length > 100);
  });

  it('never exceed the MTU below; the largest payload is 29 bytes less', async () => {
    const { a, b, eye, passed, heard, run, advance } = pair();
    const mtu = a.mtu(b.addr);
    assert.equal(mtu, createMemoryRealm({ clock: 'virtual' }).mtu - 29);
    for (let length = mtu - 300; length <= mtu; length++) {
      for (const dst of [b.addr, eye.addr]) await run(a.tell(dst, new Uint8Array(length)));
    }
    await advance();
    await assert.rejects(a.tell(b.addr, new Uint8Array(mtu + 1)), { code: 'mtu_exceeded' });
    assert.deepEqual(
      heard.map(({ length }) => length),
      Array.from({ length: 301 }, (_, i) => mtu - 300 + i),
    );
    assert.ok(Math.max(...passed.map(({ length }) => length)) <= mtu + 29);
  });

  it('of another key are dropped, counted, and not answered', async () => {
    const { a, b, heard, eye, run, advance } = pair();
    const other = mask(eye, { key: new Uint8Array(32).fill(1) });
    await run(other.tell(b.addr, Uint8Array.of(1)));
    await advance();
    assert.deepEqual([heard.length, b.counters.sent, b.counters.drops.get('mask.unknown')], [0, 0, 1]);
    await run(a.tell(b.addr, Uint8Array.of(2)));
    await advance();
    assert.deepEqual(
      heard.map((payload) => [...payload]),
      [[2]],
    );
  });

  it('that were changed by a bit, cut or made up are dropped and never thrown', async () => {
    const { a, b, eye, passed, heard, run, advance } = pair();
    await run(a.tell(eye.addr, encodeText('genuine')));
    await advance();
    const [genuine] = passed;
    await run(eye.tell(b.addr, genuine!));
    for (let i = 0; i < genuine!.length; i++) {
      const changed = genuine!.slice();
      changed[i]! ^= 1 << (i % 8);
      await run(eye.tell(b.addr, changed));
      await run(eye.tell(b.addr, genuine!.subarray(0, i)));
    }
    await advance();
    assert.equal(heard.length, 1);
    assert.equal(b.counters.drops.get('mask.unknown'), 2 * genuine!.length);
    const random: Uint8Array[] = [];
    check(property(uint8Array({ maxLength: 400 }), (bytes) => void random.push(bytes)));
    for (const bytes of random) await run(eye.tell(b.addr, bytes));
    await advance();
    assert.equal(heard.length, 1);
  });

  it('are random by the realm alone: a seed gives the same bytes, another seed others', async () => {
    const bytes = async (seed: number): Promise<string[]> => {
      const { a, eye, passed, run, advance } = pair(seed);
      for (let i = 0; i < 100; i++) await run(a.tell(eye.addr, new Uint8Array(9)));
      await advance();
      return passed.map((datagram) => datagram.join());
    };
    const [one, again, other] = [await bytes(1), await bytes(1), await bytes(2)];
    assert.deepEqual(one, again);
    assert.equal(
      one.some((datagram) => other.includes(datagram)),
      false,
    );
    assert.equal(new Set(one).size, 100);
  });

  it('the asks and keys below are not visible: they would pass unmasked', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const swarm = mask(realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) }), { key });
    assert.deepEqual([canAsk(swarm), isSecure(swarm)], [false, false]);
  });

  it('QUIC goes over a masked swarm, when the datagrams below have room for 1200 bytes and 29 more', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 1232 });
    const [a, b] = [1, 2].map((i) => quic(mask(realm.swarm(), { key }), { privateKey: testKey(i) })) as [
      QuicSwarm<MemoryAddr>,
      QuicSwarm<MemoryAddr>,
    ];
    b.serve(({ payload }) => payload);
    const answer = await realm.clock.run(a.ask(a.parseAddr(b.addr.text), encodeText('hello')));
    assert.deepEqual(answer, encodeText('hello'));
    await realm.clock.run(Promise.all([a.close(), b.close()]));
  });

  it('a key is 32 bytes, and no message quotes it', () => {
    const inner = createMemoryRealm({ clock: 'virtual' }).swarm();
    for (const bad of [undefined, 'f00d'.repeat(16), EMPTY_BYTES, new Uint8Array(31), 5]) {
      assert.throws(
        () => mask(inner, { key: bad as never }),
        (error: Error) => /Cannot take key/.test(error.message) && !error.message.includes('f00d'),
      );
    }
    assert.throws(() => mask(inner, undefined as never), TypeError);
  });
});
