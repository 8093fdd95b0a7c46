/** Upper bounds and times of channels and of the door, one by one. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TokenBucket } from '../../../src/base/token-bucket.ts';
import { MAX_COUNTER } from '../../../src/protocols/p2pke/constants.ts';
import { HandshakeGate } from '../../../src/protocols/p2pke/handshake-gate.ts';
import { EarlyBudget, EarlyData } from '../../../src/protocols/p2pke/early-data.ts';
import { sessionIdOf } from '../../../src/protocols/p2pke/hello.ts';
import {
  decodeInitHello,
  decodeTimeReply,
  encodeTimeReply,
  withCounter,
} from '../../../src/protocols/p2pke/messages.ts';
import { ReplayWindow } from '../../../src/protocols/p2pke/replay-window.ts';
import { initiateSession } from '../../../src/protocols/p2pke/session.ts';
import { encodeTai64n, isTai64n, tai64nMs, Timestamps } from '../../../src/protocols/p2pke/tai64n.ts';
import { RefusedHellos } from '../../../src/protocols/p2pke/time-reply.ts';
import { channelPair, type Sent, seededRandom, testIdentity, WALL_MS } from './pair.ts';

describe('the replay window after a jump', () => {
  for (const jump of [8191, 8192, 8193, 8224, 16_384, 1_000_000, MAX_COUNTER - 200]) {
    it(`of ${jump}: nothing of before is fresh that is too old, and everything within the window is`, () => {
      const window = new ReplayWindow();
      for (let counter = 0; counter < 100; counter++) window.mark(counter);
      const highest = 99 + jump;
      window.mark(highest);
      assert.equal(window.isFresh(highest), false);
      for (let counter = Math.max(100, highest - 8128); counter < highest; counter++) {
        assert.equal(window.isFresh(counter), true, String(counter));
      }
      assert.equal(window.isFresh(highest - 8129), false);
      for (let counter = 0; counter < 100; counter++) assert.equal(window.isFresh(counter), false, String(counter));
      assert.equal(window.isFresh(highest + 1), true);
    });
  }
});

describe('a cookie', () => {
  const hello = initiateSession(testIdentity(1), 0, encodeTai64n(1_700_000_000, 0), seededRandom(1)(32));
  const parsed = decodeInitHello(hello.message)!;
  const ask = (door: HandshakeGate, now: number, cookie?: Uint8Array): unknown => {
    const asked = { ...parsed, hello: { ...parsed.hello, cookie } };
    const answer = door.admit(now, '192.0.2.1:1', '192.0.2.0/24', hello.message, asked);
    return typeof answer === 'string' ? answer : answer.slice(21);
  };
  const busy = (): HandshakeGate => {
    const door = new HandshakeGate(0, seededRandom(5), { hellosPerSecond: 0, hellosPerSourcePerSecond: 1000 });
    assert.equal(ask(door, 0), 'admit');
    return door;
  };

  it('counts for the 120 s of its secret and the 120 s after, and not a moment longer', () => {
    for (const [at, isGood] of [
      [119_999, true],
      [120_000, true],
      [239_999, true],
      [240_000, false],
      [600_000, false],
    ] as const) {
      // A door that is asked all the while, and one that sleeps.
      for (const steps of [[], [60_000, 120_000, 180_000, 239_000, 300_000, 400_000]]) {
        const door = busy();
        const cookie = ask(door, 1) as Uint8Array;
        for (const step of steps) if (step < at) ask(door, step);
        assert.equal(ask(door, at, cookie) === 'admit', isGood, `${at} after ${steps.length} steps`);
      }
    }
  });

  it('of a secret that was replaced twice is forgotten, however soon it is shown', () => {
    const door = busy();
    const cookie = ask(door, 119_999) as Uint8Array;
    ask(door, 120_000);
    assert.equal(ask(door, 239_999, cookie), 'admit');
    ask(door, 240_000);
    assert.notEqual(ask(door, 240_001, cookie), 'admit');
  });
});

describe('a budget', () => {
  it('gives its capacity at once, then its rate, and saves up no more than its capacity', () => {
    const bucket = new TokenBucket(10, 3, 0);
    const take = (now: number): number => {
      let taken = 0;
      while (bucket.take(now)) taken++;
      return taken;
    };
    assert.deepEqual([take(0), take(99), take(100), take(1000), take(1_000_000)], [3, 0, 1, 3, 3]);
  });
});

describe('early data', () => {
  it('is kept up to 32 datagrams and 64 KiB of a handshake, and 4 MiB of all, and given back', () => {
    const budget = new EarlyBudget();
    const one = new EarlyData(budget);
    while (one.hasRoom(100)) one.keep(new Uint8Array(100));
    assert.equal(one.datagrams.length, 32);
    one.release();
    while (one.hasRoom(8192)) one.keep(new Uint8Array(8192));
    assert.equal(one.datagrams.length, 8);
    const all = [one];
    for (let i = 0; i < 100; i++) {
      const next = new EarlyData(budget);
      while (next.hasRoom(8192)) next.keep(new Uint8Array(8192));
      all.push(next);
    }
    assert.equal(budget.bytes, 4 * 1024 * 1024);
    for (const data of all) data.release();
    for (const data of all) data.release();
    assert.equal(budget.bytes, 0);
  });

  it('of a channel is given back when it is confirmed, given up, or closed', () => {
    for (const end of ['confirmed', 'given up', 'closed', 'closed after'] as const) {
      const { pair, alice } = channelPair(10);
      if (end !== 'confirmed' && end !== 'closed after') pair.link = (_, counter) => counter < 2;
      pair.send('a', 'x');
      pair.run(35);
      assert.ok(alice.earlyBudget.bytes > 0 || end === 'confirmed' || end === 'closed after', end);
      if (end === 'closed after') {
        pair.run(20);
        assert.ok(alice.earlyBudget.bytes > 0);
      }
      if (end.startsWith('closed')) pair.a.end.close();
      else pair.run(20_000);
      assert.equal(alice.earlyBudget.bytes, 0, end);
    }
  });
});

describe('hellos that were refused', () => {
  it('are known again, and the oldest is forgotten beyond the bound', () => {
    const refused = new RefusedHellos(2);
    const [a, b, c] = [1, 2, 3].map((n) => Uint8Array.of(n));
    assert.deepEqual(
      [a, a, b, c, b, a].map((id) => refused.isAgain(id!)),
      [false, true, false, false, true, false],
    );
  });
});

describe('a time reply', () => {
  const timestamp = encodeTai64n(1_700_000_000, 123_456_789);
  const reply = encodeTimeReply({ sessionId: seededRandom(1)(32), timestamp });

  it('has 33 bytes, and any other length, version or time is none', () => {
    assert.equal(reply.length, 33);
    assert.deepEqual(decodeTimeReply(reply)!.timestamp, timestamp);
    assert.equal(decodeTimeReply(reply.subarray(0, 32)), undefined);
    assert.equal(decodeTimeReply(withCounter(0xffff_ffff, reply.subarray(4), new Uint8Array(1))), undefined);
    const other = reply.slice();
    other[4] = 1;
    assert.equal(decodeTimeReply(other), undefined);
    const wrong = reply.slice();
    wrong[29] = 0xff; // more than a second of nanoseconds
    assert.equal(decodeTimeReply(wrong), undefined);
  });

  it('is dropped when it is for no handshake of ours, and moves the time once in a handshake', () => {
    const { pair } = channelPair(10);
    pair.link = () => false;
    pair.deliver('a', reply);
    assert.equal(pair.a.drops('unexpected'), 1);
    pair.send('a', 'x');
    pair.deliver('a', reply);
    assert.equal(pair.a.drops('unexpected'), 2);
    const own = (hello: Uint8Array, seconds: number): Uint8Array => {
      const session = sessionIdOf(hello);
      return encodeTimeReply({ sessionId: session, timestamp: encodeTai64n(seconds, 0) });
    };
    const [first] = pair.a.sent;
    pair.deliver('a', own(first!.bytes, WALL_MS / 1000 + 3600));
    assert.equal(pair.a.count('clock'), 1);
    const said = (index: number): number => tai64nMs(decodeInitHello(pair.a.sent.at(index)!.bytes)!.hello.timestamp);
    assert.equal(said(-1), WALL_MS + 3_600_001);
    const before = pair.a.sent.length;
    pair.deliver('a', own(first!.bytes, WALL_MS / 1000 + 7200));
    assert.equal(pair.a.sent.length, before);
    assert.equal(pair.a.drops('unexpected'), 3);
  });

  it('is told once for a session', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    const [first] = pair.a.sent;
    const later = encodeTai64n(WALL_MS / 1000 + 3600, 0);
    for (let i = 0; i < 5; i++) {
      pair.deliver('a', encodeTimeReply({ sessionId: sessionIdOf(first!.bytes), timestamp: later }));
    }
    assert.equal(pair.a.count('clock'), 1);
    assert.equal(pair.a.drops('unexpected'), 4);
  });

  it('asks for no more than a day ahead', () => {
    for (const [hours, isTaken] of [
      [24, true],
      [24.1, false],
      [1_000_000, false],
    ] as const) {
      const { pair } = channelPair(10);
      pair.link = () => false;
      pair.send('a', 'x');
      const [first] = pair.a.sent;
      const at = encodeTai64n(WALL_MS / 1000 + hours * 3600, 0);
      pair.deliver('a', encodeTimeReply({ sessionId: sessionIdOf(first!.bytes), timestamp: at }));
      assert.equal(pair.a.sentWith(0), isTaken ? 2 : 1, `${hours} h`);
      assert.equal(pair.a.count('clock'), 1);
    }
  });
});

describe('timestamps', () => {
  it('become the milliseconds that they were made of, on both sides of each leap second', () => {
    for (const seconds of [0, 78_796_799, 78_796_800, 1_483_228_799, 1_483_228_800, 1_700_000_000, 2 ** 33]) {
      assert.equal(tai64nMs(encodeTai64n(seconds, 999_999_999)), seconds * 1000 + 999, String(seconds));
      assert.equal(tai64nMs(encodeTai64n(seconds, 0)), seconds * 1000);
    }
  });

  it('grow over a full second of nanoseconds, and 10^9 of them are none', () => {
    const timestamps = new Timestamps();
    timestamps.next(999.999_999);
    const texts = [0, 0, 0].map(() => Buffer.from(timestamps.next(0)).toString('hex'));
    assert.deepEqual(texts, texts.toSorted());
    assert.equal(new Set(texts).size, 3);
    assert.equal(isTai64n(encodeTai64n(1, 999_999_999)), true);
    assert.equal(isTai64n(encodeTai64n(1, 1_000_000_000)), false);
    assert.equal(isTai64n(new Uint8Array(11)), false);
  });
});

describe('the times of a channel', () => {
  /** When the counters of an end were sent. */
  const times = (sent: readonly Sent[], counter: number): number[] =>
    sent.filter((each) => each.counter === counter).map(({ at }) => at);

  it('a responder that has data waits 400 ms for the first of the initiator, then says RespDone again and goes on', () => {
    const { pair } = channelPair(10);
    pair.link = (from, counter) => !(from === 'a' && counter >= 16);
    pair.send('a', 'x');
    pair.run(35);
    pair.send('b', 'waits');
    pair.run(394);
    assert.equal(pair.b.waiting.length, 1);
    pair.run(2);
    assert.deepEqual(
      pair.b.sent.slice(-2).map(({ at, counter }) => [at, counter]),
      [
        [430, 3],
        [430, 16],
      ],
    );
  });

  it('a half-open handshake ends after 15 s, a session 180 s after it began', () => {
    const { pair } = channelPair(10);
    pair.link = (_, counter) => counter === 0;
    pair.send('a', 'x');
    pair.run(10_009); // the last InitHello came before
    pair.a.end.close();
    const [first] = times(pair.b.sent, 1);
    pair.run(first! + 15_000 - pair.now - 1);
    assert.equal(pair.b.end.isEmpty, false);
    pair.run(15_000);
    assert.equal(pair.b.end.isEmpty, true);
    assert.equal(pair.b.until, undefined);

    const { pair: other } = channelPair(10);
    other.send('a', 'x');
    other.run(179_999);
    assert.deepEqual([other.a.end.isEmpty, other.b.end.isEmpty], [false, false]);
    other.run(1);
    assert.deepEqual([other.a.end.isEmpty, other.b.end.isEmpty], [true, false]);
    other.run(10);
    assert.equal(other.b.end.isEmpty, true);
    assert.deepEqual([other.a.until, other.b.until], [undefined, undefined]);
  });

  it('a keep-alive goes 10 s after the first message that was not answered, and none when it was', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(10_029);
    assert.deepEqual(times(pair.b.sent, 4096), []);
    pair.run(1);
    assert.deepEqual(times(pair.b.sent, 4096), [10_030]);
    const { pair: answered } = channelPair(10);
    answered.send('a', 'x');
    answered.run(5000);
    answered.send('b', 'y');
    answered.run(6000);
    assert.deepEqual(times(answered.b.sent, 4096), []);
  });

  it('a responder replaces a session in use 165 s after it began, an initiator 120 s after', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    pair.link = (from, counter) => !(from === 'a' && counter === 0);
    while (pair.now < 166_000) {
      pair.send('b', 'y');
      pair.run(500);
    }
    assert.equal(times(pair.a.sent, 0)[1], 120_010, 'its handshake does not get through');
    assert.ok(Math.abs(times(pair.b.sent, 0)[0]! - 165_000) <= 510, String(times(pair.b.sent, 0)));
  });

  it('silence of 15 s on both sides makes the next message wait for a handshake, 14.9 s do not', () => {
    for (const [silence, isAsked] of [
      [14_900, false],
      [15_100, true],
    ] as const) {
      const { pair } = channelPair(10, { keepAliveMs: Infinity });
      pair.send('a', 'x');
      pair.run(1000);
      const last = Math.max(...pair.b.sent.map(({ at }) => at + 10), ...pair.a.sent.map(({ at }) => at));
      pair.run(last + silence - pair.now);
      pair.send('a', 'y');
      assert.equal(pair.a.waiting.length, isAsked ? 1 : 0, `${silence}`);
    }
  });
});
