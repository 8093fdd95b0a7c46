import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from '../../support/fast-check.ts';
import { JudgedChannel } from './judged-channel.ts';
import { channelFor, channelPair, Pair, testIdentity, seededRandom } from './pair.ts';

describe('a channel', () => {
  it('delivers the first message after one and a half round trips, exactly', () => {
    const { pair } = channelPair(100);
    pair.send('a', 'first');
    pair.run(1000);
    assert.deepEqual(pair.b.received, [{ at: 300, text: 'first' }]);
    pair.send('b', 'back');
    pair.run(1000);
    assert.deepEqual(pair.a.received, [{ at: 1100, text: 'back' }]);
    assert.deepEqual([pair.a.drops(), pair.b.drops()], [0, 0]);
  });

  it('lets the responder send as soon as the initiator has confirmed', () => {
    const { pair } = channelPair(100);
    pair.send('a', 'first');
    pair.run(300);
    pair.send('b', 'at once');
    pair.run(100);
    assert.deepEqual(pair.a.received, [{ at: 400, text: 'at once' }]);
  });

  it('delivers everything once when both sides begin at the same moment', () => {
    for (let seed = 0; seed < 40; seed++) {
      const alice = testIdentity(1000 + seed);
      const bob = testIdentity(2000 + seed);
      const pair = new Pair(channelFor(alice, bob), channelFor(bob, alice), 50);
      pair.send('a', 'from a');
      pair.send('b', 'from b');
      pair.run(5000);
      assert.deepEqual(pair.b.texts, ['from a']);
      assert.deepEqual(pair.a.texts, ['from b']);
      assert.equal(pair.a.count('session') + pair.b.count('session'), 2, 'one session, known to both');
      assert.ok(pair.a.sent.length + pair.b.sent.length < 14);
    }
  });

  it('delivers empty messages, wherever they come', () => {
    const { pair } = channelPair();
    for (const text of ['', 'x', '', '']) pair.send('a', text);
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['', 'x', '', '']);
    for (const text of ['', '', 'y']) pair.send('b', text);
    pair.run(1000);
    assert.deepEqual(pair.a.texts, ['', '', 'y']);
  });

  for (const lost of [0, 1, 2, 3, 16, 17]) {
    it(`survives the loss of the first datagram with counter ${lost}`, () => {
      const { pair } = channelPair();
      pair.link = (_, counter, index) => counter !== lost || index > 0;
      pair.send('a', 'one');
      pair.send('a', 'two');
      pair.run(3000);
      pair.send('b', 'three');
      pair.run(3000);
      const expected = lost === 17 ? ['two'] : ['one', 'two']; // data alone is lost when it is lost
      assert.deepEqual(pair.b.texts, expected);
      assert.deepEqual(pair.a.texts, lost === 16 ? [] : ['three']);
      assert.equal(pair.a.end.isReady(pair.now), true);
      assert.equal(pair.b.end.isReady(pair.now), true);
    });
  }

  it('delivers each message once when every datagram comes three times', () => {
    const { pair } = channelPair();
    pair.link = () => [0, 1, 30];
    for (let i = 0; i < 5; i++) pair.send('a', `m${i}`);
    pair.run(2000);
    assert.deepEqual(pair.b.texts, ['m0', 'm1', 'm2', 'm3', 'm4']);
    assert.ok(pair.b.drops('replayed') >= 10);
  });

  it('delivers data that overtakes InitDone when that is said again', () => {
    const { pair } = channelPair();
    pair.link = (from, counter, index) => (from === 'a' && counter === 2 && index === 0 ? 40 : true);
    pair.send('a', 'early');
    pair.run(2000);
    assert.equal(pair.b.drops('early_data'), 2);
    pair.send('a', 'later');
    pair.run(200);
    assert.deepEqual(pair.b.texts, ['early', 'later'], 'it is said again after RespDone');
    assert.equal(pair.a.sentWith(17), 2);

    const { pair: lossy } = channelPair();
    lossy.link = (from, counter, index) => !(from === 'a' && counter === 2 && index === 0);
    lossy.send('a', 'early');
    lossy.run(2000);
    assert.deepEqual(lossy.b.texts, ['early']);
  });

  it('repeats a handshake message at growing intervals and then gives up', () => {
    const { pair } = channelPair();
    pair.link = () => false;
    pair.send('a', 'nobody there');
    pair.run(60_000);
    const times = pair.a.sent.map(({ at }) => at);
    assert.equal(pair.a.sentWith(0), times.length);
    assert.ok(times.length >= 6 && times.length <= 9, String(times.length));
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    const nominal = [250, 500, 1000, 2000, 2000, 2000, 2000, 2000];
    for (const [i, gap] of gaps.entries()) assert.ok(gap >= nominal[i]! && gap <= nominal[i]! * 1.25, String(gap));
    assert.deepEqual(pair.a.events, [
      { at: 10_000, event: { type: 'failed', reason: 'timeout', publicKey: undefined } },
      { at: 10_000, event: { type: 'expired' } },
    ]);
    assert.equal(pair.a.until, undefined);
  });

  it('abandon() ends a handshake that nobody waits for', () => {
    const { pair } = channelPair();
    pair.link = () => false;
    pair.send('a', 'never mind');
    pair.run(300);
    const before = pair.a.sent.length;
    pair.a.end.abandon();
    pair.drain('a');
    pair.run(20_000);
    assert.equal(pair.a.sent.length, before);
    assert.equal(pair.a.count('failed'), 0);
    pair.link = () => true;
    pair.a.waiting = [];
    pair.send('a', 'again');
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['again']);
  });

  it('replaces its session after 120 s in use and loses nothing on the way', () => {
    const { pair } = channelPair(30);
    let sent = 0;
    while (pair.now < 400_000) {
      pair.send('a', `m${sent++}`);
      if (sent % 3 === 0) pair.send('b', 'ack');
      pair.run(100);
    }
    pair.run(1000);
    assert.equal(pair.b.texts.length, sent);
    assert.equal(new Set(pair.b.texts).size, sent);
    assert.equal(pair.b.drops() + pair.a.drops(), 0);
    const hellos = pair.a.sent.filter(({ counter }) => counter === 0).map(({ at }) => at);
    assert.equal(hellos.length, 4);
    for (const [i, at] of hellos.entries()) assert.ok(Math.abs(at - i * 120_000) < 1000, String(at));
    assert.equal(pair.b.sentWith(0), 0);
  });

  it('replaces its session after so many messages', () => {
    const { pair } = channelPair(1, { rekeyAfterMessages: 100 });
    for (let i = 0; i < 350; i++) {
      pair.send('a', `m${i}`);
      pair.run(5);
    }
    assert.equal(pair.b.texts.length, 350);
    assert.equal(pair.a.sentWith(0), 4);
  });

  it('a responder replaces the session when the initiator does not', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'hello');
    pair.run(1000);
    pair.a.end = channelFor(testIdentity(1), testIdentity(2), { rekeyAfterMs: 1e9 }); // a has lost everything
    for (let i = 0; i < 60; i++) {
      pair.send('b', 'are you there');
      pair.run(1000);
    }
    assert.ok(pair.b.sentWith(0) >= 1, 'silence makes b ask');
    assert.ok(pair.a.texts.length >= 40);
  });

  it('neither says a word when nobody uses it', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'hello');
    pair.run(1000);
    const before = pair.a.sent.length + pair.b.sent.length;
    pair.run(600_000);
    const after = pair.a.sent.length + pair.b.sent.length;
    assert.equal(after - before, 1, 'one keep-alive for the message that was never answered');
    assert.equal(pair.a.count('expired'), 1);
    assert.equal(pair.b.count('expired'), 1);
    assert.deepEqual([pair.a.until, pair.b.until], [undefined, undefined]);
  });

  it('asks for a new session before it sends after a long silence', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'one');
    pair.run(60_000);
    pair.b.end = channelFor(testIdentity(2), testIdentity(1)); // restarted meanwhile
    pair.send('a', 'two');
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['one', 'two']);
  });

  it('keeps what it says to the old session when a handshake in the background gets no answer', () => {
    const { pair } = channelPair(10, { handshakeTimeoutMs: 2000 });
    pair.send('a', 'x');
    pair.run(1000);
    pair.link = (_, counter) => counter >= 16; // handshakes do not get through
    for (let i = 0; i < 130; i++) {
      pair.send('a', `m${i}`);
      pair.send('b', 'y');
      pair.run(1000);
    }
    assert.equal(pair.b.texts.length, 131);
    assert.ok(pair.a.count('failed') >= 1);
    assert.equal(pair.a.waiting.length, 0);
  });

  it('close() forgets everything', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    pair.a.end.close();
    pair.drain('a');
    pair.send('b', 'y');
    pair.run(60_000);
    assert.deepEqual(pair.a.texts, []);
    assert.equal(pair.a.end.seal(pair.now, pair.wallMs, new Uint8Array(1)), undefined);
    assert.equal(pair.a.until, undefined);
  });

  it('refuses limits that make no sense', () => {
    assert.throws(() => channelPair(1, { rekeyAfterMs: 0 }), /Cannot take rekeyAfterMs: expected 1 to Infinity, got 0/);
    assert.throws(() => channelPair(1, { rekeyAfterMessages: 1.5 }), TypeError);
    // @ts-expect-error no identity
    assert.throws(() => new JudgedChannel({ accept: () => true }), /expected an identity of createP2pkeIdentity/);
  });

  it('delivers at most once and never sticks, whatever the link does', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 0, max: 100 }), (seed, lossPercent) => {
        const { pair } = channelPair(20);
        const random = seededRandom(seed);
        const roll = (): number => random(1)[0]! / 256;
        pair.link = () => (roll() * 100 < lossPercent * 0.6 ? false : roll() < 0.2 ? [0, roll() * 200] : roll() * 60);
        const sent = { a: 0, b: 0 };
        for (let i = 0; i < 60; i++) {
          const from = roll() < 0.5 ? 'a' : 'b';
          pair.send(from, `${from}${sent[from]++}`);
          pair.run(roll() * 3000);
        }
        for (const side of [pair.a, pair.b]) assert.equal(new Set(side.texts).size, side.texts.length);
        pair.link = () => true;
        pair.a.waiting = [];
        pair.b.waiting = [];
        pair.run(30_000);
        pair.send('a', 'last from a');
        pair.run(2000);
        pair.send('b', 'last from b');
        pair.run(2000);
        assert.equal(pair.b.texts.at(-1), 'last from a');
        assert.equal(pair.a.texts.at(-1), 'last from b');
      }),
      { numRuns: 40 },
    );
  });
});
