/** The exact edges of what mbapp takes, remembers and sends, and what is armed when its calls have ended. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, toHex } from '../../../src/base/bytes.ts';
import { P2PError } from '../../../src/core/errors.ts';
import { AnswerCache } from '../../../src/protocols/mbapp/answer-cache.ts';
import { decodePacket, encodePacket, type MessageHeader } from '../../../src/protocols/mbapp/header.ts';
import { encodePhaseTime } from '../../../src/protocols/mbapp/phase-time.ts';
import { Reassembly, type ReassemblyLimits } from '../../../src/protocols/reassembly.ts';
import { mbapp } from '../../../src/wrappers/mbapp/index.ts';
import { createMemoryRealm, memoryAddr } from '../../../src/swarms/memory/index.ts';
import { watchedClock } from '../../support/watched-clock.ts';
import { header, world } from '../../support/mbapp-world.ts';

const hexOf = (fields: Partial<MessageHeader>, part: number, data: Uint8Array): string =>
  toHex(encodePacket(header(fields), part, data));

describe('what the answer cache remembers', () => {
  const answered = (cache: AnswerCache<number>, source: string, sentAtMs: number, bytes = 0): void => {
    cache.finish(0, cache.begin(source, { origin: 0, counter: 1 }, sentAtMs), 0, bytes);
  };

  it('an answer costs its bytes and 256, and gives them back', () => {
    const cache = new AnswerCache<number>({ maxAnswers: 100, maxBytes: 1000 });
    for (const [source, bytes] of [
      ['a', 256],
      ['b', 512],
      ['c', 488],
    ] as const) {
      answered(cache, source, 1, bytes - 256);
    }
    assert.deepEqual([cache.answers, cache.bytes], [2, 1000]);
    answered(cache, 'd', 1);
    assert.deepEqual([cache.answers, cache.bytes], [2, 744]);
  });

  it('the times of 4096 sources whose requests were forgotten, the latest ones', () => {
    const cache = new AnswerCache<number>({ maxAnswers: 1, maxBytes: 1_000_000 });
    for (let i = 0; i <= 5000; i++) answered(cache, String(i), 10);
    const typeOf = (source: number): string => cache.lookUp(String(source), { origin: 0, counter: 2 }, 10).type;
    assert.deepEqual([typeOf(903), typeOf(904), typeOf(4999), typeOf(5000)], ['new', 'stale', 'stale', 'new']);
  });
});

describe('edges of mbapp', () => {
  it('a part has to be below the count of its message', () => {
    for (const [parts, last] of [
      [0, 0],
      [1, 0],
      [2, 1],
      [65_535, 65_534],
    ] as const) {
      const packet = (part: number): Bytes =>
        encodePacket(header({ parts, sizeBytes: parts }), part, new Uint8Array(Math.min(parts, 1)));
      assert.equal(decodePacket(packet(last))?.part, last);
      if (last < 65_534) assert.equal(decodePacket(packet(last + 1)), undefined);
    }
  });

  it('a message of exactly maxMessageBytes is taken, one byte more is oversize', async () => {
    const { bob, raw, drops } = world({ maxMessageBytes: 10 });
    const heard: number[] = [];
    bob.listen(({ payload }) => void heard.push(payload.length));
    for (const size of [10, 11]) await raw(hexOf({ kind: 'tell', sizeBytes: size }, 0, new Uint8Array(size)));
    assert.deepEqual([heard, drops()], [[10], { oversize: 1 }]);
  });

  it('an answer of exactly maxResponseBytes is taken, one byte more is not', async () => {
    const { realm, alice, bob, dst } = world();
    bob.serve(({ payload }) => new Uint8Array(payload.length));
    const ask = (size: number): Promise<Uint8Array> =>
      realm.clock.run(alice.ask(dst, new Uint8Array(size), { maxResponseBytes: 30 }));
    assert.equal((await ask(30)).length, 30);
    await assert.rejects(ask(31), (error) => P2PError.is(error, 'limit_exceeded'));
  });

  it('a source that has proven nothing gets up to three bytes for each of its own, and not one more', async () => {
    const { realm, bob, mallory, raw } = world({ provenSources: false });
    const got: number[] = [];
    mallory.listen(({ payload }) => void got.push(payload.length));
    const origin = encodePhaseTime(realm.wallMs());
    for (const [counter, size] of [
      [1, 48],
      [2, 49],
    ] as const) {
      using _ = bob.serve(() => new Uint8Array(size));
      await raw(hexOf({ counter, parts: 0, origin }, 0, new Uint8Array(0)));
    }
    assert.deepEqual(got, [72, 32], 'the answer whole, and a token');
  });

  it('a request in parts that comes again is answered once in 50 ms, not once for each part', async () => {
    const { realm, bob, mallory, raw } = world({ provenSources: true });
    let replies = 0;
    mallory.listen(() => void replies++);
    bob.serve(() => new Uint8Array(1));
    const origin = encodePhaseTime(realm.wallMs());
    const parts = [0, 1].map((part) => hexOf({ origin, parts: 2, sizeBytes: 2 }, part, new Uint8Array(1)));
    await raw(...parts);
    assert.equal(replies, 1);
    await realm.clock.advance(49);
    await raw(...parts);
    assert.equal(replies, 1);
    await realm.clock.advance(1);
    await raw(...parts);
    assert.equal(replies, 2);
  });

  it('the last 1024 asks that have ended are told from those that never were', async () => {
    const { realm, alice, bob, mallory, dst, packets } = world();
    bob.serve(() => new Uint8Array(1));
    for (let i = 0; i < 1025; i++) await realm.clock.run(alice.ask(dst, new Uint8Array(1)));
    const replies = packets.filter((hex) => hex.startsWith('c'));
    assert.equal(replies.length, 1025);
    for (const at of [0, 1, 1024]) void mallory.tell(memoryAddr(0), Buffer.from(replies[at]!, 'hex'));
    await realm.clock.advance(0);
    const { drops } = alice.counters;
    assert.deepEqual([drops.get('mbapp.unexpected_reply'), drops.get('mbapp.duplicate_reply')], [1, 2]);
  });
});

describe('mbapp leaves nothing armed', () => {
  it('when asks are answered, at once or late, are given up, and when it closes with a half-built message', async () => {
    const clock = watchedClock();
    const realm = createMemoryRealm({ clock });
    const [alice, bob] = [mbapp(realm.swarm()), mbapp(realm.swarm())];
    const below = realm.swarm();
    const dst = memoryAddr(1);
    let pauseMs = 0;
    bob.serve(() => {
      if (pauseMs === 0) return new Uint8Array(1);
      return new Promise((resolve) => void clock.setTimer(clock.nowMs() + pauseMs, () => resolve(new Uint8Array(1))));
    });
    for (pauseMs of [0, 50, 5000]) {
      await clock.run(alice.ask(dst, new Uint8Array(1)));
      assert.deepEqual([clock.armed, clock.waits], [0, []], `answered after ${pauseMs} ms`);
    }
    const stop = new AbortController();
    const given = alice.ask(dst, new Uint8Array(1), { signal: stop.signal });
    stop.abort(new Error('enough'));
    await assert.rejects(clock.run(given), /enough/);
    await clock.advance(5001);
    assert.equal(clock.armed, 0, 'given up before it was sent');
    void below.tell(dst, encodePacket(header({ kind: 'tell', parts: 2, sizeBytes: 2 }), 0, new Uint8Array(1)));
    await clock.advance(0);
    assert.equal(clock.armed, 1);
    await clock.run(Promise.all([alice.close(), bob.close()]));
    assert.deepEqual([clock.armed, clock.waits], [0, []]);
  });
});

describe('sizes of messages in parts', () => {
  const limits: ReassemblyLimits = {
    maxParts: 4,
    maxMessageBytes: 100,
    maxMessages: 10,
    maxMessagesPerSource: 10,
    maxBytes: 10_000,
    maxBytesPerSource: 10_000,
    maxAgeMs: 1000,
  };
  const src = memoryAddr(1);

  it('100 announced bytes are taken, 101 are too_large before anything is kept', () => {
    const reassembly = new Reassembly(limits);
    const first = (sizeBytes: number): string => {
      const part = { id: sizeBytes, part: 0, total: 2, sizeBytes, data: new Uint8Array(1) };
      const outcome = reassembly.handlePart(0, src, part);
      return outcome.type === 'dropped' ? outcome.reason : outcome.type;
    };
    assert.deepEqual([first(101), reassembly.messages], ['too_large', 0]);
    assert.deepEqual([first(100), reassembly.messages], ['waiting', 1]);
  });

  it('never are there more messages, or bytes, than maxMessages and maxBytes say', () => {
    const at = (source: number): ReturnType<typeof memoryAddr> => memoryAddr(source);
    const half = (reassembly: Reassembly, source: number, bytes: number): void =>
      void reassembly.handlePart(0, at(source), { id: 1, part: 0, total: 2, data: new Uint8Array(bytes) });
    const many = new Reassembly({ ...limits, maxMessages: 3 });
    for (let source = 0; source < 10; source++) {
      half(many, source, 1);
      assert.equal(many.messages, Math.min(source + 1, 3));
    }
    const large = new Reassembly({ ...limits, maxBytes: 3 * (72 + 128) });
    for (let source = 0; source < 10; source++) {
      half(large, source, 72);
      assert.equal(large.messages, Math.min(source + 1, 3));
    }
    half(large, 10, 73);
    assert.deepEqual([large.messages, large.bytes], [3, 600], 'the source that holds most pays');
    const less = new Reassembly({ ...limits, maxBytes: 3 * (72 + 128) - 1 });
    for (let source = 0; source < 3; source++) half(less, source, 72);
    assert.equal(less.messages, 2);
  });

  it('of sources that hold as much, the one that is there for longest pays', () => {
    const reassembly = new Reassembly({ ...limits, maxMessages: 2 });
    const give = (source: number, part: number): string =>
      reassembly.handlePart(0, memoryAddr(source), { id: 1, part, total: 2, data: new Uint8Array(1) }).type;
    for (const source of [1, 2, 3]) assert.equal(give(source, 0), 'waiting');
    assert.deepEqual([give(2, 1), give(3, 1), give(1, 1)], ['message', 'message', 'waiting']);
  });

  it('a late part of the last 1024 messages that became whole is a duplicate, for two seconds', () => {
    const reassembly = new Reassembly(limits);
    const give = (now: number, id: number, part: number): string => {
      const outcome = reassembly.handlePart(now, src, { id, part, total: 2, data: new Uint8Array(1) });
      return outcome.type === 'dropped' ? outcome.reason : outcome.type;
    };
    for (let id = 0; id <= 1024; id++) for (const part of [0, 1]) give(0, id, part);
    assert.deepEqual([give(1, 0, 0), give(1, 1, 0), give(1999, 2, 0)], ['waiting', 'duplicate', 'duplicate']);
    assert.equal(give(2000, 3, 0), 'waiting');
  });

  it('without an announced size, 100 bytes are taken, and the byte beyond is too_large and gives up all', () => {
    for (const [last, type] of [
      [50, 'message'],
      [51, 'dropped'],
    ] as const) {
      const reassembly = new Reassembly(limits);
      reassembly.handlePart(0, src, { id: 1, part: 0, total: 2, data: new Uint8Array(50) });
      const outcome = reassembly.handlePart(0, src, { id: 1, part: 1, total: 2, data: new Uint8Array(last) });
      assert.equal(outcome.type, type);
      if (outcome.type === 'dropped') assert.equal(outcome.reason, 'too_large');
      assert.deepEqual([reassembly.messages, reassembly.bytes], [0, 0]);
    }
  });
});
