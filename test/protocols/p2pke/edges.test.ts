/** Edges of channels that other tests pass by. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../../src/base/bytes.ts';
import { Attempt } from '../../../src/protocols/p2pke/attempt.ts';
import { CHANNEL_LIMITS } from '../../../src/protocols/p2pke/channel-options.ts';
import { HANDSHAKE_GATE_LIMITS } from '../../../src/protocols/p2pke/handshake-gate.ts';
import { decodeInitHello } from '../../../src/protocols/p2pke/messages.ts';
import { tai64nMs } from '../../../src/protocols/p2pke/tai64n.ts';
import { Transport } from '../../../src/protocols/p2pke/transport.ts';
import { channelFor, channelPair, Pair, type Sent, testIdentity, WALL_MS } from './pair.ts';

const timeOf = ({ bytes }: Sent): number => tai64nMs(decodeInitHello(bytes)!.hello.timestamp);

describe('the defaults', () => {
  it('of channels and doors are those that the documentation names', () => {
    assert.deepEqual(CHANNEL_LIMITS, {
      rekeyAfterMs: 120_000,
      rekeyAfterMessages: 2_147_483_647,
      rejectAfterMs: 180_000,
      keepAliveTimeoutMs: 15_000,
      keepAliveMs: 10_000,
      handshakeBackoffMs: 250,
      handshakeTimeoutMs: 10_000,
    });
    assert.deepEqual(HANDSHAKE_GATE_LIMITS, {
      hellosPerSecond: 100,
      provenHellosPerSecond: 500,
      hellosPerSourcePerSecond: 10,
      maxSources: 4096,
    });
    for (const value of [0, 2 ** 31]) assert.throws(() => channelPair(1, { rekeyAfterMessages: value }), RangeError);
    for (const name of Object.keys(CHANNEL_LIMITS)) {
      assert.throws(() => channelPair(1, { [name]: 0.5 }), /Cannot take/, name);
    }
  });
});

describe('a repeated InitHello', () => {
  it('is the same for a second, and then has a timestamp of its time', () => {
    const { pair } = channelPair(10);
    pair.link = () => false;
    pair.run(5000);
    pair.send('a', 'x');
    pair.run(10_000);
    const [first, ...later] = pair.a.sent;
    assert.equal(timeOf(first!), WALL_MS + 5000);
    for (const sent of later) {
      const renewed = timeOf(sent);
      if (sent.at - 5000 < 1000) assert.deepEqual(sent.bytes, first!.bytes);
      else assert.equal(renewed, Math.floor(WALL_MS + sent.at));
    }
    assert.ok(later.length >= 5);
  });

  it('gets a new timestamp after exactly a second', () => {
    const attempt = new Attempt(500);
    assert.deepEqual(
      [1499, 1500, 1501, 2499, 2500].map((now) => attempt.mayRenew(now)),
      [false, true, false, false, true],
    );
  });
});

describe('a session', () => {
  it('is not sealed with at the moment at which it ends', () => {
    for (const [now, isSealed] of [
      [4999, true],
      [5000, false],
    ] as const) {
      const { pair } = channelPair(10, { rejectAfterMs: 5000 });
      pair.send('a', 'x');
      pair.run(1000);
      assert.equal(pair.a.end.seal(now, WALL_MS + now, encodeText('y')) !== undefined, isSealed, String(now));
    }
  });

  it('is not read at the moment at which it ends', () => {
    for (const [now, isRead] of [
      [4999, true],
      [5000, false],
    ] as const) {
      const { pair } = channelPair(10, { rejectAfterMs: 5000 });
      pair.link = (from, counter) => !(from === 'b' && counter >= 16); // kept for later
      pair.send('a', 'x');
      pair.run(1000);
      pair.send('b', 'y');
      const message = pair.a.end.handleDatagram(now, WALL_MS + now, pair.b.sent.at(-1)!.bytes);
      assert.equal(message !== undefined, isRead, String(now));
    }
  });

  it('in use is not waited for when the other side is silent, while a handshake asks for it', () => {
    const { pair } = channelPair(10, { keepAliveMs: Infinity });
    pair.send('a', 'x');
    let most = 0;
    for (let i = 0; i < 60; i++) {
      pair.run(500);
      pair.send('a', `m${i}`);
      most = Math.max(most, pair.a.waiting.length);
    }
    pair.run(1000);
    assert.equal(most, 0);
    assert.equal(pair.b.texts.length, 61);
    assert.equal(pair.a.sentWith(0), 2, 'one after 15 s');
  });

  it('that was refused because of silence is used again when the other side is heard of', () => {
    const { pair } = channelPair(10, { keepAliveMs: Infinity });
    pair.send('a', 'x');
    pair.run(16_000);
    pair.link = (from, counter) => counter >= 16 || from === 'b'; // the handshake does not get through
    pair.send('a', 'waits');
    assert.equal(pair.a.waiting.length, 1);
    const { current } = { current: pair.b.sent.length };
    pair.b.end.abandon();
    pair.run(100);
    assert.equal(pair.b.sent.length, current);
    const said = pair.b.end.seal(pair.now - 15_900, pair.wallMs, encodeText('here')); // as if b had not noticed the silence
    assert.ok(said !== undefined);
    pair.deliver('a', said);
    pair.run(100);
    assert.deepEqual(pair.b.texts, ['x', 'waits']);
  });

  it('that is complete carries data when the budget for early data is used up; one that is not waits', () => {
    const { pair, alice } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    alice.earlyBudget.take(4 * 1024 * 1024);
    pair.send('a', 'y');
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['x', 'y']);

    const { pair: fresh, alice: other } = channelPair(10);
    other.earlyBudget.take(4 * 1024 * 1024);
    fresh.send('a', 'z');
    fresh.run(30);
    assert.deepEqual(fresh.b.texts, []);
    fresh.run(20);
    assert.deepEqual(fresh.b.texts, ['z'], 'after RespDone');
  });

  it('throws rather than seal under a counter that was used', () => {
    const keys = { initiatorToResponder: new Uint8Array(32), responderToInitiator: new Uint8Array(32) };
    const transport = new Transport(keys, true, () => ({ seal: () => {}, open: () => false }));
    while (transport.sealKeepAlive() !== undefined);
    while (!transport.exhausted) transport.seal(new Uint8Array(1));
    assert.throws(() => transport.seal(new Uint8Array(1)), /bug: sealing under a counter that is used up/);
    assert.equal(transport.sealKeepAlive(), undefined);
  });
});

describe('abandon()', () => {
  it('leaves a handshake that has been answered', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(25);
    pair.a.end.abandon();
    pair.drain('a');
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['x']);
    assert.equal(pair.a.end.isReady(pair.now), true);
  });

  it('leaves a handshake that replaces a session in use, and ends one that somebody waited for', () => {
    for (const silent of [false, true]) {
      const { pair } = channelPair(10, { rekeyAfterMs: 5000, keepAliveMs: Infinity });
      pair.send('a', 'x');
      pair.run(silent ? 20_000 : 5500);
      pair.link = () => false;
      pair.send('a', 'y');
      assert.equal(pair.a.end.isHandshaking, true);
      const before = pair.a.sentWith(0);
      pair.a.end.abandon();
      pair.drain('a');
      assert.equal(pair.a.end.isHandshaking, !silent);
      pair.run(3000);
      assert.equal(pair.a.sentWith(0) > before, !silent, `silent: ${silent}`);
    }
  });
});

describe('open()', () => {
  it('begins anew when the handshake under way was answered by a key that is not accepted, and else leaves it', () => {
    const alice = testIdentity(1);
    const pair = new Pair(channelFor(alice, testIdentity(2)), channelFor(testIdentity(3), alice), 10);
    const open = (): void => {
      pair.a.end.open(pair.now, pair.wallMs);
      pair.drain('a');
    };
    open();
    open();
    assert.equal(pair.a.sentWith(0), 1);
    pair.run(30);
    assert.equal(pair.a.count('failed'), 1);
    open();
    assert.equal(pair.a.sentWith(0), 2);
    assert.notDeepEqual(pair.a.sent[0]!.bytes, pair.a.sent[1]!.bytes);
  });
});

describe('a closed channel', () => {
  it('says nothing, arms nothing and takes nothing, whatever is asked of it', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    pair.send('b', 'y');
    const data = pair.b.sent.at(-1)!.bytes;
    const { end } = pair.a;
    end.close();
    end.open(pair.now, pair.wallMs);
    assert.equal(end.seal(pair.now, pair.wallMs, encodeText('z')), undefined);
    assert.equal(end.handleDatagram(pair.now, pair.wallMs, data), undefined);
    end.abandon();
    end.handleTimeout(pair.now + 1e9);
    assert.deepEqual(end.poll(), { type: 'wait', until: undefined });
    assert.deepEqual([end.isEmpty, end.isHandshaking, end.isReady(pair.now)], [true, false, false]);
    end.close();
  });
});
