import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import * as fc from '../../support/fast-check.ts';

import { type Addr, type IpAddr, makeAddr } from '../../../src/core/addr.ts';
import { type Bytes, fromHex, toHex } from '../../../src/base/bytes.ts';
import { decodePart, encodePart } from '../../../src/protocols/frag/part.ts';
import { PART_COST_BYTES, Reassembly, type ReassemblyLimits } from '../../../src/protocols/reassembly.ts';
import { frag } from '../../../src/wrappers/frag.ts';
import { createMemoryRealm, memoryAddr } from '../../../src/swarms/memory/index.ts';
import { P2PError } from '../../../src/core/errors.ts';
import { inspect } from '../../../src/core/inspect.ts';
import type { FragOptions } from '../../../src/wrappers/frag.ts';

interface Vectors {
  readonly fragswarm: {
    readonly empty: readonly string[];
    readonly single_hello: readonly string[];
    readonly multi_120_bytes_of_aa_under_mtu64: readonly string[];
  };
}
const vectors = (JSON.parse(readFileSync(new URL('../../vectors/go-p2p.json', import.meta.url), 'utf8')) as Vectors)
  .fragswarm;

const LIMITS: ReassemblyLimits = {
  maxParts: 255,
  maxMessageBytes: 10_000,
  maxMessages: 20,
  maxMessagesPerSource: 5,
  maxBytes: 20_000,
  maxBytesPerSource: 8000,
  maxAgeMs: 1000,
};

/** Alice fragments, Bob listens, and Mallory sends raw packets. */
function world(mtu = 64, options: FragOptions = {}) {
  const packets: string[] = [];
  const realm = createMemoryRealm({
    clock: 'virtual',
    mtu,
    transform: (message) => {
      packets.push(toHex(message.payload));
      return message;
    },
  });
  const [alice, bob, mallory] = [frag(realm.swarm(), options), frag(realm.swarm(), options), realm.swarm()];
  const dst = memoryAddr(1);
  const heard: Bytes[] = [];
  bob.listen(({ payload }) => void heard.push(payload));
  const raw = async (...hex: string[]): Promise<void> => {
    for (const packet of hex) void mallory.tell(dst, fromHex(packet));
    await realm.clock.advance(0);
  };
  const drops = () => Object.fromEntries(bob.counters.drops);
  return { realm, alice, bob, dst, heard, packets, raw, drops };
}

describe('frag on the wire', () => {
  it('writes the bytes that go-p2p writes', async () => {
    const { alice, dst, packets } = world();
    await alice.tell(dst, new TextEncoder().encode('hello'));
    assert.deepEqual(packets.splice(0), vectors.single_hello);
    const fresh = world();
    await fresh.alice.tell(fresh.dst, new Uint8Array(0));
    assert.deepEqual(fresh.packets, vectors.empty);
    const large = world();
    await large.realm.clock.run(large.alice.tell(large.dst, new Uint8Array(120).fill(0xaa)));
    assert.deepEqual(large.packets.toSorted(), vectors.multi_120_bytes_of_aa_under_mtu64.toSorted());
    await large.realm.clock.advance(1);
    assert.deepEqual(large.heard, [new Uint8Array(120).fill(0xaa)]);
  });

  it('counts messages for each destination from 0', async () => {
    const { alice, dst, packets } = world();
    for (const to of [dst, dst, memoryAddr(2), dst]) await alice.tell(to, Uint8Array.of(7));
    assert.deepEqual(packets, ['00000107', '01000107', '00000107', '02000107']);
  });

  it('decodePart reads what encodePart writes, and takes any bytes without throwing', () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 32 - 1),
        fc.integer({ min: 1, max: 65_535 }),
        fc.nat(65_534),
        fc.uint8Array(),
        (id, total, index, data) => {
          const part = index % total;
          assert.deepEqual(decodePart(encodePart(id, part, total, data)), { id, part, total, data: data.slice() });
        },
      ),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        const part = decodePart(bytes.slice());
        if (part !== undefined) assert.ok(part.part < part.total && part.total <= 65_535 && part.id < 2 ** 32);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('frag against hostile parts', () => {
  it('two totals for one message do not crash: the message is dropped (F1)', async () => {
    const { raw, drops, heard } = world();
    await raw('000002aa', '00050abb');
    assert.equal(drops()['frag.inconsistent_total'], 1);
    assert.deepEqual(heard, []);
  });

  it('parts beyond the total, cut headers and wide numbers are malformed', async () => {
    const { raw, drops } = world();
    await raw(
      '',
      '00',
      '0000',
      '000000',
      '000202aa',
      '00ffff0302',
      'ffffffffffffffffff010001aa',
      '80808080100001',
      '00ffffffff0fffffffff0f',
    );
    assert.equal(drops()['malformed'], 9);
  });

  it('a message of more parts than the original holds is refused, not truncated (F2)', async () => {
    const { alice, dst, raw, drops } = world(64);
    assert.equal(alice.mtu(dst), 255 * 49);
    await assert.rejects(alice.tell(dst, new Uint8Array(255 * 49 + 1)), (error) => P2PError.is(error, 'mtu_exceeded'));
    await raw('00008002aa'); // total 256
    assert.equal(drops()['frag.too_large'], 1);
  });

  it('65 535 parts by option, shoal to shoal', async () => {
    const { realm, alice, dst, heard } = world(64, { maxMessageBytes: 1_000_000, burstBytes: Infinity });
    assert.equal(alice.mtu(dst), 1_000_000);
    const payload = new Uint8Array(1_000_000).map((_, i) => i * 7);
    await realm.clock.run(alice.tell(dst, payload.subarray(0, 180_000)));
    await realm.clock.advance(1);
    assert.deepEqual(heard[0], payload.subarray(0, 180_000));
  });

  it('a duplicate of the last part does not deliver twice (F2)', async () => {
    const { raw, heard, drops } = world();
    await raw('000002aa', '000102bb', '000102bb', '000002aa');
    assert.deepEqual(heard, [Uint8Array.of(0xaa, 0xbb)]);
    assert.equal(drops()['frag.duplicate'], 2);
  });

  it('an inner MTU without room for a header leaves an MTU of 0, and a clear error (F2)', async () => {
    for (const mtu of [1, 15]) {
      const { alice, dst } = world(mtu);
      assert.equal(alice.mtu(dst), 0);
      await assert.rejects(alice.tell(dst, Uint8Array.of(1)), (error) => P2PError.is(error, 'mtu_exceeded'));
    }
  });

  it('remembers no more destinations than it says (F2)', async () => {
    const { alice } = world();
    for (let i = 0; i < 20_000; i++) void alice.tell(memoryAddr(i), Uint8Array.of(1));
    assert.ok(inspect(alice).layer === 'frag');
  });

  it('half-built messages are given up when too old, and counted', async () => {
    const { realm, raw, drops, bob, heard } = world(64, { maxAgeMs: 5000 });
    await raw('000002aa');
    assert.equal(inspect(bob).state['halfBuiltMessages'], 1);
    await realm.clock.advance(4999);
    assert.equal(drops()['frag.incomplete'], undefined);
    await realm.clock.advance(2);
    assert.equal(drops()['frag.incomplete'], 1);
    assert.equal(inspect(bob).state['halfBuiltMessages'], 0);
    await raw('000102bb');
    assert.deepEqual(heard, []);
  });

  it('a flood of first parts stays within its bounds, and an honest message gets through', async () => {
    const { realm, alice, bob, dst, heard, raw } = world(64, {
      maxHalfBuiltMessages: 50,
      maxHalfBuiltMessagesPerSource: 10,
    });
    for (let i = 0; i < 2000; i++) await raw(`${toHex(Uint8Array.of(0x80 | (i & 0x7f), i >> 7))}00ff01aa`);
    assert.ok(Number(inspect(bob).state['halfBuiltMessages']) <= 10);
    await realm.clock.run(alice.tell(dst, new Uint8Array(120)));
    await realm.clock.advance(10);
    assert.equal(heard.length, 1);
  });
});

describe('frag pacing', () => {
  it('sends a large message in bursts with pauses, and drain waits for all of it (F3)', async () => {
    const { realm, alice, dst, packets } = world(64, { burstBytes: 640 });
    const told = alice.tell(dst, new Uint8Array(49 * 100));
    const drained = alice.drain();
    assert.ok(packets.length <= 17, `${packets.length} packets at once`);
    await realm.clock.run(drained);
    assert.equal(packets.length, 100);
    await told;
    assert.ok(realm.nowMs() >= 6, `took ${realm.nowMs()} ms`);
  });

  it('drain keeps its deadline and its signal while parts are still to go', async () => {
    const { realm, alice, dst } = world(1200, { maxMessageBytes: 10_000_000 });
    const told = alice.tell(dst, new Uint8Array(8_000_000));
    await assert.rejects(realm.clock.run(alice.drain({ timeoutMs: 5 })), (error) => P2PError.is(error, 'timeout'));
    const given = new AbortController();
    const drained = assert.rejects(alice.drain({ signal: given.signal }), /enough/);
    given.abort(new Error('enough'));
    await realm.clock.run(drained);
    assert.throws(() => alice.drain({ timeoutMs: -1 }), RangeError);
    await realm.clock.run(told);
  });

  it('takes no larger message than it says, in one part either', async () => {
    const { bob, heard, raw, drops } = world(2000, { maxMessageBytes: 100 });
    await raw(`000001${'aa'.repeat(100)}`, `010001${'aa'.repeat(101)}`);
    assert.equal(bob.mtu(memoryAddr(0)), 100);
    assert.deepEqual(
      heard.map(({ length }) => length),
      [100],
    );
    assert.deepEqual(drops(), { 'frag.too_large': 1 });
  });

  it('listens only where the swarm below does: when that is taken, another try is free to succeed', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const inner = realm.swarm();
    const swarm = frag(inner);
    const taken = inner.listen(() => {});
    assert.throws(() => swarm.listen(() => {}), TypeError);
    taken[Symbol.dispose]();
    swarm.listen(() => {});
  });

  it('an abort stops the rest, and close wakes who waits', async () => {
    const { realm, alice, dst, packets } = world(64, { burstBytes: 64 });
    const controller = new AbortController();
    const told = alice.tell(dst, new Uint8Array(49 * 100), { signal: controller.signal });
    await realm.clock.advance(5);
    controller.abort(new Error('given up'));
    await assert.rejects(realm.clock.run(told), /given up/);
    assert.ok(packets.length < 20);
    const closed = alice.tell(dst, new Uint8Array(49 * 100));
    await alice.close();
    await assert.rejects(closed, (error) => P2PError.is(error, 'closed'));
  });
});

const named = (text: string): Addr => makeAddr({ text });
const socketAddr = (ip: string, port: number): Addr => makeAddr<IpAddr>({ text: `${ip}:${port}`, ip, port });

describe('Reassembly', () => {
  it('puts any message together whatever the order of its parts, and stays within its bounds whatever comes', () => {
    const part = fc.record({
      source: fc.constantFrom('a', 'b', 'c'),
      id: fc.nat(6),
      total: fc.integer({ min: 2, max: 6 }),
      part: fc.nat(5),
      data: fc.uint8Array({ maxLength: 3000 }),
      now: fc.nat(3000),
    });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 150 }), (parts) => {
        const reassembly = new Reassembly(LIMITS);
        let now = 0;
        for (const each of parts) {
          now = Math.max(now, each.now);
          reassembly.handlePart(now, named(each.source), {
            ...each,
            part: each.part % each.total,
            data: each.data.slice(),
          });
          reassembly.handleTimeout(now);
          assert.ok(
            reassembly.messages <= LIMITS.maxMessages && reassembly.bytes <= LIMITS.maxBytes && reassembly.bytes >= 0,
          );
          assert.ok((reassembly.deadlineMs ?? Infinity) > now);
        }
        reassembly.handleTimeout(now + LIMITS.maxAgeMs);
        assert.deepEqual([reassembly.messages, reassembly.bytes], [0, 0]);
      }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { minLength: 2, maxLength: 20 }),
        fc.integer(),
        (datas, seed) => {
          const reassembly = new Reassembly(LIMITS);
          const order = datas.map((_, i) => i).toSorted((a, b) => ((a * 7919 + seed) % 31) - ((b * 7919 + seed) % 31));
          let payload: Bytes | undefined;
          for (const i of order) {
            const outcome = reassembly.handlePart(0, named('a'), {
              id: 1,
              part: i,
              total: datas.length,
              data: datas[i]!.slice(),
            });
            if (outcome.type === 'message') payload = outcome.payload;
          }
          assert.deepEqual(payload, new Uint8Array(Buffer.concat(datas)));
          assert.equal(reassembly.bytes, 0);
        },
      ),
    );
  });

  it('makes a greedy source pay with its own oldest message', () => {
    const reassembly = new Reassembly(LIMITS);
    const give = (source: string, id: number, bytes: number) =>
      reassembly.handlePart(0, named(source), { id, part: 0, total: 2, data: new Uint8Array(bytes) });
    give('honest', 1, 100);
    for (let id = 0; id < 50; id++) give('greedy', id, 3000);
    assert.ok(reassembly.takeEvicted() >= 45);
    assert.ok(reassembly.bytes <= LIMITS.maxBytesPerSource + 100 + PART_COST_BYTES);
    const outcome = reassembly.handlePart(0, named('honest'), { id: 1, part: 1, total: 2, data: Uint8Array.of(1) });
    assert.equal(outcome.type, 'message');
  });

  for (const [what, limits, bytes] of [
    ['messages', { ...LIMITS, maxMessages: 20, maxMessagesPerSource: 5 }, 1],
    ['bytes', { ...LIMITS, maxMessages: 1000, maxBytes: 20_000, maxBytesPerSource: 5000 }, 900],
  ] as const) {
    it(`one host with many ports takes the ${what} of its own network only`, () => {
      const reassembly = new Reassembly(limits);
      const give = (ip: string, port: number, part: number) =>
        reassembly.handlePart(0, socketAddr(ip, port), { id: 1, part, total: 2, data: new Uint8Array(bytes) });
      for (let host = 1; host <= 5; host++) assert.equal(give(`192.0.${host}.1`, 1, 0).type, 'waiting');
      for (let port = 1; port <= 400; port++) give(`203.0.113.${port % 200}`, port, 0);
      assert.ok(reassembly.takeEvicted() >= 380);
      for (let host = 1; host <= 5; host++) assert.equal(give(`192.0.${host}.1`, 1, 1).type, 'message');
    });
  }

  it('drops a message whose parts do not add up to its announced size', () => {
    const reassembly = new Reassembly(LIMITS);
    const give = (part: number, sizeBytes: number, bytes: number) =>
      reassembly.handlePart(0, named('a'), { id: 1, part, total: 3, sizeBytes, data: new Uint8Array(bytes) });
    assert.equal(give(0, 30, 10).type, 'waiting');
    assert.deepEqual(give(1, 31, 10), { type: 'dropped', reason: 'inconsistent_total' });
    assert.equal(give(0, 30, 10).type, 'waiting');
    assert.deepEqual(give(2, 30, 21), { type: 'dropped', reason: 'inconsistent_total' });
    give(0, 30, 10);
    give(1, 30, 10);
    assert.deepEqual(give(2, 30, 9), { type: 'dropped', reason: 'inconsistent_total' });
    assert.equal(reassembly.messages, 0);
  });
});
