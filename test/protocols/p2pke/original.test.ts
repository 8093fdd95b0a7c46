/** Ours with the model of the original: what it forgets, what it drops, and what that must not cost. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { P2pkeIdentity } from '../../../src/protocols/p2pke/identity.ts';
import { Original } from './original.ts';
import type { JudgedChannel } from './judged-channel.ts';
import { channelFor, channelPair, Pair, seededRandom, testIdentity } from './pair.ts';

const alice: P2pkeIdentity = testIdentity(1);
const bob: P2pkeIdentity = testIdentity(2);

const MINUTES = 140_000;

/** Every so often a message from `a`, and when it asks, an answer of `b` to each; then time for what is under way. */
function use(pair: Pair, everyMs: number, ask: boolean): number {
  let sent = 0;
  let answered = 0;
  const answer = (): void => {
    while (ask && answered < pair.b.received.length) pair.send('b', `answer to ${pair.b.texts[answered++]}`);
  };
  for (let at = 0; at < MINUTES; at += everyMs) {
    pair.send('a', `m${sent++}`);
    for (let waited = 0; waited < everyMs; waited += 50) {
      pair.run(Math.min(50, everyMs - waited));
      answer();
    }
  }
  for (let i = 0; i < 100; i++) {
    pair.run(50);
    answer();
  }
  return sent;
}

describe('towards the original, which forgets a channel 15 s after its last handshake', () => {
  for (const latencyMs of [1, 50, 200]) {
    for (const [ask, intervals] of [
      [false, [300, 5000, 12_000]],
      [true, [1000, 6000, 10_000]],
    ] as const) {
      for (const everyMs of intervals) {
        it(`${ask ? 'asks' : 'tells'} every ${everyMs} ms for 140 s at ${latencyMs} ms one way all arrive`, () => {
          const pair = new Pair(channelFor(alice, bob), new Original(bob), latencyMs);
          const sent = use(pair, everyMs, ask);
          assert.equal(new Set(pair.b.texts).size, sent, 'told');
          assert.equal(pair.b.texts.length, sent, 'none twice');
          if (ask) assert.equal(new Set(pair.a.texts).size, sent, 'answered');
          assert.equal(pair.a.waiting.length + pair.b.waiting.length, 0);
          assert.ok(pair.a.sentWith(0) + pair.b.sentWith(0) <= 2 * Math.ceil(MINUTES / 14_500), 'handshakes');
        });
      }
    }
  }

  it('messages of a responder all arrive too, when the original began', () => {
    for (const everyMs of [300, 5000, 12_000]) {
      const pair = new Pair(channelFor(alice, bob), new Original(bob), 20);
      pair.send('b', 'hello');
      pair.run(1000);
      const sent = use(pair, everyMs, false);
      assert.equal(new Set(pair.b.texts).size, sent, `every ${everyMs} ms`);
    }
  });

  it('messages of the original all arrive, and so do answers to it', () => {
    for (const everyMs of [300, 5000, 12_000]) {
      const pair = new Pair(new Original(alice), channelFor(bob, alice), 20);
      const sent = use(pair, everyMs, true);
      assert.equal(new Set(pair.b.texts).size, sent, `every ${everyMs} ms`);
      assert.equal(new Set(pair.a.texts).size, sent, `answers every ${everyMs} ms`);
    }
  });

  it('a handshake comes 14.5 s after the last when there is something to send, messages wait for it, and none comes when idle', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 50);
    pair.send('a', 'first');
    pair.run(14_599);
    pair.send('a', 'goes at once');
    assert.deepEqual([pair.a.sentWith(0), pair.a.waiting.length], [1, 0]);
    pair.run(1);
    pair.send('a', 'waits');
    assert.deepEqual([pair.a.sentWith(0), pair.a.waiting.length], [2, 1]);
    pair.run(60_000);
    assert.deepEqual(pair.b.texts, ['first', 'goes at once', 'waits']);
    assert.equal(pair.a.sentWith(0), 2);
    assert.ok(pair.b.end.forgotten > 0);
  });

  it('a channel that is forgotten between RespHello and InitDone costs less than three seconds and no message', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 50);
    pair.send('a', 'first');
    pair.run(37_440); // the original looks at its channels every 7.5 s: 10 ms after InitHello has come
    for (let i = 0; i < 5; i++) pair.send('a', `m${i}`);
    pair.run(110);
    assert.equal(pair.b.end.forgotten, 1);
    assert.deepEqual([pair.a.sentWith(2), pair.a.waiting.length], [2, 5], 'InitDone has gone, nothing else');
    pair.run(3000);
    assert.deepEqual(pair.b.texts, ['first', 'm0', 'm1', 'm2', 'm3', 'm4']);
    pair.run(20_000);
    assert.equal(pair.a.count('failed'), 0);
  });

  it('a peer that answers InitHello and never InitDone makes the handshake fail in time', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 50);
    pair.send('a', 'first');
    pair.run(20_000);
    pair.link = (from, counter) => from === 'b' || counter === 0;
    pair.send('a', 'second');
    pair.run(9999);
    assert.equal(pair.a.count('failed'), 0);
    pair.run(1);
    assert.equal(pair.a.count('failed'), 1);
    assert.ok(pair.a.sentWith(0) <= 8 && pair.a.sentWith(2) <= 20, `${pair.a.sentWith(0)}, ${pair.a.sentWith(2)}`);
  });

  it('a long round trip does not make a handshake begin anew', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 700);
    pair.send('a', 'first');
    pair.run(20_000);
    pair.send('a', 'second');
    pair.run(10_000);
    assert.deepEqual(pair.b.texts, ['first', 'second']);
    const done = pair.a.sent
      .filter(({ counter }) => counter === 2)
      .map(({ bytes }) => Buffer.from(bytes).toString('hex'));
    assert.equal(new Set(done).size, 2);
  });

  for (const [latencyMs, untilMs] of [
    [50, 1200],
    [1200, 5800],
  ] as const) {
    it(`that is never confirmed begins anew a second and two round trips after the answer: ${latencyMs} ms one way`, () => {
      const limits = { handshakeTimeoutMs: 60_000, handshakeBackoffMs: 20 };
      const pair = new Pair(channelFor(alice, bob, limits), new Original(bob), latencyMs);
      pair.send('a', 'first');
      pair.run(20_000);
      pair.link = (from, counter) => from === 'b' || counter === 0;
      const hellos = (): number =>
        new Set(pair.a.sent.filter(({ counter }) => counter === 0).map(({ bytes }) => bytes.toString())).size;
      pair.send('a', 'second');
      pair.run(2 * latencyMs);
      const before = hellos();
      pair.run(untilMs);
      assert.equal(hellos(), before);
      pair.run(200 + 1); // the longest interval: eight times the first, and a quarter more
      assert.equal(hellos(), before + 1);
    });
  }

  it('a first handshake, with which data went along, is repeated and not begun anew', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 10);
    pair.link = (from, counter) => from === 'a' || counter === 1;
    pair.send('a', 'x');
    pair.run(9000);
    assert.equal(pair.a.sentWith(0), 1);
    assert.ok(pair.a.sentWith(2) >= 5);
  });

  it('a handshake that gets no answer leaves a session in use that still carries data', () => {
    const pair = new Pair(channelFor(alice, bob, { handshakeTimeoutMs: 2000 }), new Original(bob), 10);
    pair.send('a', 'x');
    pair.run(1000);
    pair.link = (_, counter) => counter >= 16;
    for (let i = 0; i < 20; i++) {
      pair.send('a', `m${i}`);
      pair.send('b', 'y');
      pair.run(1000);
    }
    pair.run(2000);
    assert.equal(new Set(pair.b.texts).size, 21);
    assert.equal(pair.a.waiting.length, 0);
  });
});

describe('first data of a session that overtakes InitDone', () => {
  /** Fresh sessions with the original over a link that reorders; how many first messages were lost. */
  function lost(sessions: number, jitterMs: number, messages: number): number {
    const random = seededRandom(7);
    let missing = 0;
    for (let i = 0; i < sessions; i++) {
      const pair = new Pair(channelFor(alice, bob), new Original(bob), 2);
      pair.link = () => (random(1)[0]! / 256) * jitterMs;
      for (let m = 0; m < messages; m++) pair.send('a', `m${m}`);
      pair.run(3000);
      missing += messages - new Set(pair.b.texts).size;
      assert.equal(pair.b.texts.length, new Set(pair.b.texts).size, 'none twice');
    }
    return missing;
  }

  it('is not lost: 0 of 800 with little reordering, 0 of 90 with 30 ms of it', () => {
    assert.equal(lost(800, 0.3, 1), 0);
    assert.equal(lost(90, 30, 1), 0);
  });

  it('is not lost either when there is more of it than is kept: the rest waits for RespDone', () => {
    assert.equal(lost(5, 30, 200), 0);
    const { pair } = channelPair(50);
    for (let m = 0; m < 200; m++) pair.send('a', `m${m}`);
    pair.run(160);
    assert.equal(pair.b.texts.length, 32, 'one and a half round trips');
    pair.run(100);
    assert.equal(pair.b.texts.length, 200, 'two and a half');
    assert.equal(pair.a.sentWith(17), 1, 'the other side is of this library and missed nothing');
  });

  it('is said again once, and not to a peer of this library that has it', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 10);
    pair.send('a', 'x');
    pair.run(10_000);
    const times = pair.a.sent.filter(({ counter }) => counter === 17).map(({ at }) => at);
    assert.deepEqual(times, [20, 40 + 100], '100 ms after RespDone');
    const { pair: ours } = channelPair(10);
    ours.send('a', 'x');
    ours.run(10_000);
    assert.equal(ours.a.sentWith(17), 1);
  });
});

describe('between channels of this library', () => {
  const handshakes = (pair: Pair<JudgedChannel, JudgedChannel>): number => pair.a.sentWith(0) + pair.b.sentWith(0);

  it('one handshake carries 110 s of use, whoever of the two talks', () => {
    for (const from of ['a', 'b', 'both'] as const) {
      const { pair } = channelPair(10);
      pair.send('a', 'hello');
      for (let i = 0; i < 220; i++) {
        pair.run(500);
        if (from !== 'b') pair.send('a', `a${i}`);
        if (from !== 'a') pair.send('b', `b${i}`);
      }
      pair.run(1000);
      assert.equal(handshakes(pair), 1, from);
      assert.equal(pair.a.texts.length + pair.b.texts.length, 1 + (from === 'both' ? 440 : 220));
    }
  });

  it('nothing is lost, and one handshake in 15 s of use is all, when the acknowledgements are lost', () => {
    const { pair } = channelPair(10);
    pair.link = (_, counter) => counter !== 0xffff_ffff;
    let sent = 0;
    for (let i = 0; i < 280; i++) {
      pair.send('a', `a${sent++}`);
      pair.run(500);
    }
    pair.run(1000);
    assert.equal(new Set(pair.b.texts).size, sent);
    assert.ok(handshakes(pair) <= Math.ceil(140 / 14.5), String(handshakes(pair)));
  });

  it('an acknowledgement that is forged or replayed changes nothing', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    const [own] = pair.b.sent.filter(({ counter }) => counter === 0xffff_ffff);
    const before = pair.a.sent.length;
    pair.deliver('a', own!.bytes);
    pair.deliver('a', Uint8Array.of(255, 255, 255, 255, ...new Uint8Array(16)));
    assert.equal(pair.a.drops('malformed'), 2);
    assert.equal(pair.a.sent.length, before);
  });
});
