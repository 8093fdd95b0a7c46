import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import * as fc from '../../support/fast-check.ts';

import { encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import { inspect } from '../../../src/core/inspect.ts';
import { P2PError, Refusal } from '../../../src/core/errors.ts';
import { AnswerCache } from '../../../src/protocols/mbapp/answer-cache.ts';
import { type MessageHeader, decodePacket, encodePacket } from '../../../src/protocols/mbapp/header.ts';
import { decodePhaseTime, encodePhaseTime } from '../../../src/protocols/mbapp/phase-time.ts';
import { mbapp } from '../../../src/wrappers/mbapp/index.ts';
import { memoryAddr } from '../../../src/swarms/memory/index.ts';
import { header, world } from '../../support/mbapp-world.ts';

const vectors = (
  JSON.parse(readFileSync(new URL('../../vectors/go-p2p.json', import.meta.url), 'utf8')) as {
    readonly mbapp: Readonly<Record<string, string>> & { readonly captured: readonly string[] };
  }
).mbapp;

describe('mbapp on the wire', () => {
  it('writes the header that go-p2p writes, and reads it back', () => {
    const reply = header({
      kind: 'reply',
      code: 255,
      origin: 0x4fe5687b,
      counter: 7,
      sizeBytes: 100_000,
      parts: 5,
      timeoutMs: 30_000,
    });
    const hex = vectors['hdr_ask_reply_err255_counter7_total100000_part2of5_timeout30000_t1700000000.123']!;
    assert.equal(toHex(encodePacket(reply, 2, new Uint8Array(0))), hex);
    assert.deepEqual(decodePacket(fromHex(hex)), { ...reply, part: 2, data: new Uint8Array(0) });
  });

  it('writes and reads phase times as go-p2p does, for clocks that differ by days', () => {
    for (const [name, text] of Object.entries(vectors).filter(([key]) => key.startsWith('phase32_'))) {
      const ms = Number(name.slice(8)) * 1000;
      const phase = encodePhaseTime(ms);
      assert.equal(phase.toString(16).padStart(8, '0'), text.slice(0, 8));
      for (const skew of [0, 6 * 86_400_000, -6 * 86_400_000]) assert.equal(decodePhaseTime(phase, ms + skew), ms);
    }
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), fc.integer({ min: -5e8, max: 5e8 }), (ms, skew) => {
        assert.equal(decodePhaseTime(encodePhaseTime(ms), ms + skew), ms);
      }),
    );
  });

  it('writes the tells that go-p2p writes: whole, in parts, and empty', async () => {
    const { realm, alice, dst, packets } = world({}, { mtu: 64 });
    await alice.tell(dst, encodeText('hi'));
    await realm.clock.run(alice.tell(dst, new Uint8Array(90).fill(0xbb)));
    await alice.tell(dst, new Uint8Array(0));
    const withoutOrigin = (packet: string): string => packet.slice(0, 8) + packet.slice(16);
    assert.deepEqual(packets.map(withoutOrigin).toSorted(), vectors.captured.slice(0, 5).map(withoutOrigin).toSorted());
  });

  it('decodePacket takes any bytes without throwing, and never gives more data than its message has', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const packet = decodePacket(bytes.slice());
        if (packet === undefined) return;
        assert.ok(packet.part < Math.max(packet.parts, 1) && packet.data.length <= packet.sizeBytes);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('mbapp against hostile packets', () => {
  it('a last part larger than its message does not crash (B1)', async () => {
    const { raw, drops } = world();
    const hostile = encodePacket(header({ kind: 'tell', sizeBytes: 5, parts: 3 }), 2, new Uint8Array(0));
    await raw(toHex(hostile) + 'aa'.repeat(10));
    assert.equal(drops()['malformed'], 1);
  });

  it('a declared size costs nothing until its parts come, and other parameters in later parts drop the message (B2)', async () => {
    const { raw, drops, bob } = world();
    const part = (sizeBytes: number, parts: number, index: number): string =>
      toHex(encodePacket(header({ kind: 'tell', sizeBytes, parts }), index, Uint8Array.of(1)));
    await raw(part(1_000_000, 500, 0));
    assert.ok(Number(inspect(bob).state['halfBuiltBytes']) < 1000);
    await raw(part(1_000_001, 500, 1));
    assert.equal(drops()['mbapp.inconsistent_total'], 1);
    assert.equal(inspect(bob).state['halfBuiltMessages'], 0);
    await raw(part(2_000_000, 500, 0));
    assert.equal(drops()['oversize'], 1);
  });

  it('half-built messages are given up by age, fresh ones are not (B2)', async () => {
    const { realm, raw, drops, bob } = world({ maxAgeMs: 1000 });
    const part = (counter: number): string =>
      toHex(encodePacket(header({ kind: 'tell', counter, sizeBytes: 2, parts: 2 }), 0, Uint8Array.of(1)));
    await raw(part(1));
    await realm.clock.advance(600);
    await raw(part(2));
    await realm.clock.advance(600);
    assert.equal(drops()['mbapp.incomplete'], 1);
    assert.equal(inspect(bob).state['halfBuiltMessages'], 1);
  });

  it('each kind of wrong reply has a reason of its own', async () => {
    const { realm, alice, bob, mallory, dst } = world();
    bob.serve(() => new Promise(() => {}));
    const asked = alice.ask(dst, Uint8Array.of(1), { timeoutMs: 1000 }).catch((error: unknown) => error);
    await realm.clock.advance(0);
    const origin = encodePhaseTime(realm.wallMs());
    const forged = (fields: Partial<MessageHeader>): Promise<void> =>
      mallory.tell(
        memoryAddr(0),
        encodePacket(header({ kind: 'reply', origin, counter: 1, ...fields }), 0, new Uint8Array(0)),
      );
    await forged({});
    await forged({ counter: 77 });
    await forged({ origin: 1 });
    await realm.clock.advance(0);
    assert.ok(P2PError.is(await realm.clock.run(asked), 'timeout'));
    await forged({});
    await mallory.tell(memoryAddr(0), fromHex('4000000000'));
    await mallory.tell(
      memoryAddr(0),
      encodePacket({ ...header({}), kind: 'tell' }, 0, new Uint8Array(0)).map((byte, i) => (i === 0 ? 0x40 : byte)),
    );
    await realm.clock.advance(0);
    assert.equal(alice.counters.drops.get('mbapp.wrong_peer'), 1);
    assert.equal(alice.counters.drops.get('mbapp.unexpected_reply'), 2);
    assert.equal(alice.counters.drops.get('mbapp.duplicate_reply'), 1);
    assert.equal(alice.counters.drops.get('malformed'), 2);
  });
});

describe('mbapp asks', () => {
  it('a lost request or answer is sent again, and the request executed once', async () => {
    const { realm, alice, bob, dst } = world();
    let executed = 0;
    bob.serve(({ payload }) => {
      executed++;
      return payload;
    });
    for (const [cutMs, healMs] of [
      [0, 600],
      [1, 600],
    ] as const) {
      const startMs = realm.nowMs();
      realm.clock.setTimer(startMs + cutMs, () => realm.cut());
      realm.clock.setTimer(startMs + healMs, () => realm.heal());
      if (cutMs === 0) await realm.clock.advance(0);
      assert.deepEqual(await realm.clock.run(alice.ask(dst, Uint8Array.of(9))), Uint8Array.of(9));
    }
    assert.equal(executed, 2);
  });

  it('with slow answers a repeated request is not executed again, and is answered once it is', async () => {
    const { realm, alice, bob, dst, drops } = world({}, { netem: { latencyMs: 100 } });
    let executed = 0;
    bob.serve(async () => {
      executed++;
      await new Promise<void>((resolve) => void realm.clock.setTimer(realm.nowMs() + 3000, resolve));
      return Uint8Array.of(1);
    });
    await realm.clock.run(alice.ask(dst, Uint8Array.of(9)));
    assert.equal(executed, 1);
    assert.ok(drops()['mbapp.repeated_request']! >= 3);
  });

  it('as go-p2p, a request is sent once', async () => {
    const { realm, alice, bob, dst, packets } = world({ preset: 'go-p2p' });
    bob.serve(() => new Promise(() => {}));
    await assert.rejects(realm.clock.run(alice.ask(dst, Uint8Array.of(9))), (error) => P2PError.is(error, 'timeout'));
    assert.equal(packets.length, 1);
  });

  it('clocks that differ do not matter: the deadline counts from when the request came (B3)', async () => {
    const { realm, bob, dst, mallory } = world();
    let signal: AbortSignal | undefined;
    bob.serve((request) => {
      signal = request.signal;
      return new Promise(() => {});
    });
    const origin = encodePhaseTime(realm.wallMs() - 86_400_000);
    void mallory.tell(dst, encodePacket(header({ origin, timeoutMs: 1000 }), 0, new Uint8Array(0)));
    await realm.clock.advance(999);
    assert.equal(signal!.aborted, false);
    await realm.clock.advance(2);
    assert.equal(signal!.aborted, true);
  });

  it('a Refusal brings its bytes and code, other errors bring nothing', async () => {
    const { realm, alice, bob, dst } = world();
    bob.serve(({ payload }) => {
      if (payload[0] === 1) throw new Refusal('no', Uint8Array.of(7, 8), 42);
      throw new Error('secret');
    });
    const refusalOf = async (byte: number): Promise<Refusal> => {
      const error: unknown = await realm.clock
        .run(alice.ask(dst, Uint8Array.of(byte)))
        .catch((thrown: unknown) => thrown);
      assert.ok(P2PError.is(error, 'refused') && Refusal.is(error.cause));
      return error.cause;
    };
    assert.deepEqual([(await refusalOf(1)).bytes, (await refusalOf(1)).code], [Uint8Array.of(7, 8), 42]);
    assert.deepEqual([(await refusalOf(2)).bytes, (await refusalOf(2)).code], [undefined, 255]);
  });

  it('an answer larger than the server can send is limit_exceeded at the asker', async () => {
    const { realm, alice, bob, dst, drops } = world({ maxMessageBytes: 1000 });
    bob.serve(() => new Uint8Array(1001));
    await assert.rejects(realm.clock.run(alice.ask(dst, Uint8Array.of(1))), (error) =>
      P2PError.is(error, 'limit_exceeded'),
    );
    assert.equal(drops()['mbapp.answer_too_large'], 1);
  });

  it('bounds requests per peer and overall, and one peer leaves room for others (B3)', async () => {
    const { realm, alice, bob, mallory, dst } = world({ maxPendingRequestsPerPeer: 5, maxPendingRequests: 8 });
    const carol = mbapp(mallory);
    let inHand = 0;
    bob.serve(() => {
      inHand++;
      return new Promise(() => {});
    });
    const outcomes: string[] = [];
    const flood = (swarm: typeof alice, name: string, count: number): void => {
      for (let i = 0; i < count; i++)
        swarm
          .ask(dst, Uint8Array.of(1), { timeoutMs: 5000 })
          .catch((error: P2PError) => outcomes.push(`${name} ${error.code}`));
    };
    flood(alice, 'alice', 20);
    await realm.clock.advance(1);
    assert.equal(inHand, 5);
    flood(carol, 'carol', 20);
    await realm.clock.advance(1);
    assert.equal(inHand, 8);
    assert.deepEqual(
      [
        outcomes.filter((each) => each === 'alice refused').length,
        outcomes.filter((each) => each === 'carol refused').length,
      ],
      [15, 17],
    );
  });

  it('1 000 asks at default options over netem lossy: all answered, each executed once', async () => {
    const { realm, alice, bob, dst } = world({}, { netem: 'lossy', seed: 21, mtu: 1212 });
    const executions = new Map<number, number>();
    bob.serve(({ payload }) => {
      const n = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
      executions.set(n, (executions.get(n) ?? 0) + 1);
      return payload;
    });
    const ask = async (n: number): Promise<void> => {
      const request = new Uint8Array(4);
      new DataView(request.buffer).setUint32(0, n);
      assert.deepEqual(await alice.ask(dst, request), request);
    };
    for (let round = 0; round < 5; round++) {
      await realm.clock.run(Promise.all(Array.from({ length: 200 }, (_, i) => ask(round * 200 + i))));
    }
    assert.equal(executions.size, 1000);
    assert.deepEqual([...new Set(executions.values())], [1]);
  });

  it('answers that do not fit into the cache keep no other request from being executed', async () => {
    const { realm, alice, bob, dst } = world({ maxCachedBytes: 10_000, provenSources: true });
    bob.serve(() => new Uint8Array(4000));
    const answers = await realm.clock.run(
      Promise.all(Array.from({ length: 50 }, () => alice.ask(dst, Uint8Array.of(1)))),
    );
    assert.equal(answers.length, 50);
    assert.ok(Number(inspect(bob).state['cachedBytes']) <= 10_000);
  });

  it('large requests and answers survive a lossy link too', async () => {
    const { realm, alice, bob, dst } = world({}, { netem: 'lossy', seed: 4, mtu: 1212 });
    bob.serve(({ payload }) => payload);
    const request = new Uint8Array(100_000).map((_, i) => i * 13);
    assert.deepEqual(await realm.clock.run(alice.ask(dst, request)), request);
  });
});

describe('AnswerCache', () => {
  it('never takes a request for new that it may have seen, however many came', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ source: fc.constantFrom('a', 'b'), n: fc.nat(40), counter: fc.nat(3), bytes: fc.nat(3000) }),
          {
            maxLength: 300,
          },
        ),
        (requests) => {
          const cache = new AnswerCache<number>({ maxAnswers: 8, maxBytes: 6000 });
          const executed = new Set<string>();
          for (const { source, n, counter, bytes } of requests) {
            const id = { origin: n, counter };
            const known = cache.lookUp(source, id, n);
            if (known.type !== 'new') continue;
            const name = `${source} ${n} ${counter}`;
            assert.ok(!executed.has(name), `${name} is executed twice`);
            executed.add(name);
            const request = cache.begin(source, id, n);
            assert.equal(cache.lookUp(source, id, n).type, 'busy');
            cache.finish(0, request, n, bytes);
            const after = cache.lookUp(source, id, n);
            assert.ok(after.type === 'answered' ? after.entry.answer === n : after.type === 'stale');
            assert.ok(cache.answers <= 8 && cache.bytes <= 6000);
          }
        },
      ),
    );
  });
});
