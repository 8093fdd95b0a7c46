/** The small parts of a channel, at their exact bounds. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Attempt } from '../../../src/protocols/p2pke/attempt.ts';
import { TokenBucket } from '../../../src/base/token-bucket.ts';
import { EarlyBudget, EarlyData } from '../../../src/protocols/p2pke/early-data.ts';
import { EXTENSION, RESP_DONE } from '../../../src/protocols/p2pke/constants.ts';
import { verifyInitHello } from '../../../src/protocols/p2pke/hello.ts';
import { encodeTai64n, Timestamps } from '../../../src/protocols/p2pke/tai64n.ts';
import type { Session } from '../../../src/protocols/p2pke/session.ts';
import { HALF_OPEN_MS, MAX_THEIRS, Slots } from '../../../src/protocols/p2pke/slots.ts';
import { channelPair, WALL_MS } from './pair.ts';

describe('a bucket', () => {
  it('is full at first, fills at its rate up to its capacity, and gives whole tokens', () => {
    const bucket = new TokenBucket(10, 3, 1000);
    const taken = (now: number): number => {
      let count = 0;
      while (bucket.take(now)) count++;
      return count;
    };
    assert.deepEqual([1000, 1099, 1100, 1200, 1399, 1400, 1_000_000].map(taken), [3, 0, 1, 1, 1, 1, 3]);
    const small = new TokenBucket(1, 0, 0);
    assert.deepEqual([small.take(0), small.take(999), small.take(1000)], [true, false, true]);
  });
});

describe('timestamps', () => {
  it('grow by a nanosecond when the clock does not, over the end of a second', () => {
    const timestamps = new Timestamps();
    assert.deepEqual(timestamps.next(1500), encodeTai64n(1, 500_000_000));
    assert.deepEqual(timestamps.next(1500), encodeTai64n(1, 500_000_001));
    assert.deepEqual(timestamps.next(-1), encodeTai64n(1, 500_000_002));
    assert.deepEqual(timestamps.next(1999.999_999_5), encodeTai64n(1, 999_999_999));
    assert.deepEqual(timestamps.next(1999.999_999_5), encodeTai64n(2, 0));
    assert.deepEqual(timestamps.next(0), encodeTai64n(2, 1));
    assert.deepEqual(timestamps.next(3000), encodeTai64n(3, 0));
    assert.deepEqual(new Timestamps().next(-5), encodeTai64n(0, 1));
  });
});

describe('an attempt', () => {
  it('doubles its intervals up to eight times the first, and a quarter more by chance', () => {
    const attempt = new Attempt(0);
    const none = new Uint8Array(32);
    const intervals = (id: Uint8Array): number[] => Array.from({ length: 6 }, () => attempt.nextIntervalMs(100, id));
    assert.deepEqual(intervals(none), [100, 200, 400, 800, 800, 800]);
    attempt.restart();
    const most = intervals(new Uint8Array(32).fill(255));
    assert.ok(Math.abs(most[0]! - 100 * (1 + 255 / 1024)) < 1e-9);
    assert.ok(Math.abs(most[5]! - 800 * (1 + 255 / 1024)) < 1e-9);
    const other = new Attempt(0);
    const mixed = Uint8Array.of(0, 255, 0);
    other.nextIntervalMs(100, mixed);
    assert.ok(other.nextIntervalMs(100, mixed) > 200, 'each repetition has a chance of its own');
  });

  it('takes 32 cookies between two repetitions, one time, and 256 replies and then 4000 a second', () => {
    const attempt = new Attempt(0);
    const cookies = (): number => Array.from({ length: 100 }, () => attempt.mayTakeCookie()).filter(Boolean).length;
    assert.equal(cookies(), 32);
    attempt.nextIntervalMs(100, new Uint8Array(32));
    assert.equal(cookies(), 32);
    assert.deepEqual([attempt.mayMoveTime(), attempt.mayMoveTime()], [true, false]);
    const replies = (now: number): number =>
      Array.from({ length: 999 }, () => attempt.mayRead(now)).filter(Boolean).length;
    assert.deepEqual([replies(0), replies(1), replies(11)], [256, 4, 40]);
    assert.deepEqual(
      [attempt.mayRenew(999), attempt.mayRenew(1000), attempt.mayRenew(1999), attempt.mayRenew(2000)],
      [false, true, false, true],
    );
  });
});

describe('early data', () => {
  it('is 32 datagrams, 64 KiB, and 4 MiB of all handshakes', () => {
    const budget = new EarlyBudget();
    const early = new EarlyData(budget);
    for (let i = 0; i < 32; i++) {
      assert.equal(early.hasRoom(1), true);
      early.keep(Uint8Array.of(i));
    }
    assert.deepEqual([early.hasRoom(1), budget.bytes, early.datagrams.length], [false, 32, 32]);
    early.release();
    assert.deepEqual([budget.bytes, early.datagrams.length], [0, 0]);
    assert.deepEqual([early.hasRoom(65_536), early.hasRoom(65_537)], [true, false]);
    early.keep(new Uint8Array(65_535));
    assert.deepEqual([early.hasRoom(1), early.hasRoom(2)], [true, false]);
    budget.take(4 * 2 ** 20 - 65_535);
    assert.equal(early.hasRoom(1), false);
    assert.deepEqual([budget.hasRoom(0), budget.hasRoom(1)], [true, false]);
    budget.take(-1);
    assert.equal(early.hasRoom(1), true);
  });
});

describe('the sessions of a channel', () => {
  const half = (n: number, createdMs = 0): Session =>
    ({ id: Uint8Array.of(n), state: 'hello_answered', timestamp: Uint8Array.of(n), createdMs }) as unknown as Session;
  const whole = (n: number, createdMs = 0): Session =>
    ({ id: Uint8Array.of(n), state: 'done', timestamp: Uint8Array.of(n), createdMs }) as unknown as Session;

  it('end after the limit, half-open ones after 15 s or the limit, at that moment', () => {
    assert.equal(HALF_OPEN_MS, 15_000);
    const slots = new Slots(180_000);
    assert.deepEqual([slots.nextEndMs, slots.any], [Infinity, false]);
    slots.addTheirs(half(1, 100));
    slots.promote(whole(2, 50));
    assert.deepEqual([slots.nextEndMs, slots.any], [15_100, true]);
    slots.expire(15_099);
    assert.equal(slots.theirs.length, 1);
    slots.expire(15_100);
    assert.deepEqual([slots.theirs.length, slots.nextEndMs], [0, 180_050]);
    slots.promote(whole(3, 60));
    slots.expire(180_049);
    assert.deepEqual([slots.has(Uint8Array.of(2)), slots.has(Uint8Array.of(3))], [true, true]);
    slots.expire(180_050);
    assert.deepEqual([slots.previous, slots.has(Uint8Array.of(3))], [undefined, true]);
    slots.expire(180_060);
    assert.deepEqual([slots.current, slots.any], [undefined, false]);
    assert.equal(new Slots(1000).endOf(half(1)), 1000);
  });

  it('make room for a later handshake in place of the earliest, and for no earlier one', () => {
    assert.equal(MAX_THEIRS, 4);
    const slots = new Slots(180_000);
    for (const n of [5, 3, 4, 6]) {
      assert.equal(slots.makeRoom(Uint8Array.of(0)), true);
      slots.addTheirs(half(n));
    }
    assert.deepEqual([slots.makeRoom(Uint8Array.of(2)), slots.makeRoom(Uint8Array.of(3))], [false, false]);
    assert.equal(slots.makeRoom(Uint8Array.of(4)), true);
    assert.deepEqual(
      slots.theirs.map(({ id }) => id[0]),
      [5, 4, 6],
    );
    const full = new Slots(180_000);
    for (const n of [1, 2, 3, 4]) full.addTheirs(whole(n));
    assert.equal(full.makeRoom(Uint8Array.of(9)), false, 'those that are complete stay');
  });

  it('promote one once, and keep the one before it', () => {
    const slots = new Slots(180_000);
    const [one, two] = [whole(1), whole(2)];
    slots.addTheirs(one);
    slots.promote(one);
    assert.deepEqual([slots.current, slots.previous, slots.theirs], [one, undefined, []]);
    slots.promote(one);
    assert.equal(slots.previous, undefined);
    slots.promote(two);
    assert.deepEqual([slots.current, slots.previous], [two, one]);
    slots.mine = half(7);
    assert.deepEqual([slots.has(Uint8Array.of(7)), slots.has(Uint8Array.of(8))], [true, false]);
  });
});

describe('a hello that was checked elsewhere', () => {
  const made = () => {
    const { pair, alice } = channelPair(10);
    pair.link = () => false;
    pair.send('a', 'x');
    const hello = verifyInitHello(pair.a.sent[0]!.bytes, alice.registry);
    assert.ok(typeof hello === 'object');
    return { pair, hello };
  };

  it('is answered, and with an ephemeral of low order dropped', () => {
    const { pair, hello } = made();
    pair.b.end.handleHello(0, WALL_MS, { ...hello, ephemeral: new Uint8Array(32) });
    pair.drain('b');
    assert.deepEqual([pair.b.drops('low_order'), pair.b.drops(), pair.b.sent.length], [1, 1, 0]);
    pair.b.end.handleHello(0, WALL_MS, hello);
    pair.drain('b');
    assert.equal(pair.b.sent.length, 1);
  });

  it('is nothing to a closed channel', () => {
    const { pair, hello } = made();
    pair.b.end.close();
    pair.b.end.handleHello(0, WALL_MS, hello);
    assert.deepEqual(pair.b.end.poll(), { type: 'wait', until: undefined });
  });
});

describe('a handshake whose RespDone is lost', () => {
  it('is confirmed by the acknowledgement, and InitDone is repeated no more', () => {
    const { pair } = channelPair(10);
    pair.link = (from, counter) => from === 'a' || counter !== RESP_DONE;
    pair.send('a', 'x');
    pair.run(200);
    assert.ok(pair.b.sentWith(EXTENSION) > 0, 'the responder has acknowledged');
    const before = pair.a.sentWith(2);
    pair.run(5000);
    assert.equal(pair.a.sentWith(2), before);
    assert.deepEqual([pair.b.texts, pair.a.count('failed')], [['x'], 0]);
  });
});
