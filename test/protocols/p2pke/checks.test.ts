/** Each check of a key, a signature or a claim: what somebody without it would get through. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { copyBytes, decodeText, encodeText, equalBytes, type Bytes } from '../../../src/base/bytes.ts';
import { verifyInitHello } from '../../../src/protocols/p2pke/hello.ts';
import type { P2pkeIdentity } from '../../../src/protocols/p2pke/identity.ts';
import { decodeInitHello, withCounter } from '../../../src/protocols/p2pke/messages.ts';
import { initiateSession, type Session } from '../../../src/protocols/p2pke/session.ts';
import { signatureInput } from '../../../src/protocols/p2pke/signature-input.ts';
import { encodeTai64n, tai64nMs } from '../../../src/protocols/p2pke/tai64n.ts';
import { JudgedChannel } from './judged-channel.ts';
import { channelFor, channelPair, seededRandom, testIdentity, WALL_MS } from './pair.ts';

const alice = testIdentity(1);
const bob = testIdentity(2);
const mallory = testIdentity(3);

/** What comes out of a channel now. */
function outputs(channel: JudgedChannel): {
  readonly sent: Bytes[];
  readonly drops: string[];
  readonly events: string[];
} {
  const all = { sent: [] as Bytes[], drops: channel.dropped.splice(0), events: [] as string[] };
  for (let output = channel.poll(); output.type !== 'wait'; output = channel.poll()) {
    if (output.type === 'transmit') all.sent.push(output.transmit);
    else all.events.push(output.event.type);
  }
  return all;
}

/** Mallory with a hello that `victim` has signed: she says it with an ephemeral of her own, and signs the rest herself. */
function impersonator(victim: P2pkeIdentity, overheard: Uint8Array): P2pkeIdentity {
  const { timestamp, signature } = decodeInitHello(overheard)!.hello;
  const claim = signatureInput('p2pke/timestamp', timestamp);
  const sign = (input: Uint8Array): Bytes =>
    equalBytes(input, claim) ? new Uint8Array(signature) : mallory.signer.sign(input);
  return { ...mallory, publicKey: victim.publicKey, signer: { publicKey: victim.publicKey, sign } };
}

/** The initiator's part of a handshake with a channel: the session after InitDone, and what the channel answers to it. */
function handshake(identity: P2pkeIdentity, timestamp: Bytes, channel: JudgedChannel, seed: number): Session {
  const session = initiateSession(identity, 0, timestamp, seededRandom(seed)(32));
  channel.handleDatagram(0, WALL_MS, session.message);
  const { sent } = outputs(channel);
  const reply = session.readRespHello(sent.at(-1)!);
  assert.ok(typeof reply === 'object');
  session.takeReply(reply);
  return session;
}

describe('the signature of InitDone', () => {
  it('a peer that replays a signed hello with an ephemeral of its own does not pass for who signed it', () => {
    const timestamp = encodeTai64n(1_700_000_000, 0);
    const overheard = initiateSession(alice, 0, timestamp, seededRandom(5)(32)).message;
    const channel = channelFor(bob, alice);
    const session = handshake(impersonator(alice, overheard), timestamp, channel, 6);
    channel.handleDatagram(0, WALL_MS, session.message);
    assert.deepEqual(outputs(channel), { sent: [], drops: ['bad_signature'], events: [] });
    assert.equal(channel.handleDatagram(0, WALL_MS, session.confirm!), undefined);
    assert.equal(channel.handleDatagram(0, WALL_MS, session.seal(encodeText('I am Alice'))), undefined);
    assert.deepEqual(outputs(channel).drops, ['early_data', 'early_data']);
    assert.equal(channel.publicKey, undefined);

    const genuine = handshake(alice, encodeTai64n(1_700_000_000, 1), channel, 7);
    channel.handleDatagram(0, WALL_MS, genuine.message);
    assert.deepEqual(outputs(channel).events, ['session']);
    const message = channel.handleDatagram(0, WALL_MS, genuine.seal(encodeText('I am Alice')));
    assert.equal(decodeText(message!), 'I am Alice');
  });
});

describe('a key that completes its handshake after another was pinned', () => {
  it('is judged again: it makes no session, and nothing of it is delivered', () => {
    const channel = new JudgedChannel({ identity: bob, accept: () => true });
    const first = handshake(alice, encodeTai64n(1_700_000_000, 0), channel, 6);
    const second = handshake(mallory, encodeTai64n(1_700_000_000, 1), channel, 7);
    channel.handleDatagram(0, WALL_MS, first.message);
    assert.deepEqual(outputs(channel).events, ['session']);
    channel.handleDatagram(0, WALL_MS, second.message);
    assert.deepEqual(outputs(channel), { sent: [], drops: ['identity_mismatch'], events: [] });
    assert.equal(channel.handleDatagram(0, WALL_MS, second.seal(encodeText('for Alice'))), undefined);
    assert.deepEqual(outputs(channel).drops, ['unknown_session']);
    assert.deepEqual(channel.publicKey, alice.publicKey);
  });
});

describe('messages that end a handshake', () => {
  it('forged RespDone and acknowledgement confirm nothing: InitDone is repeated', () => {
    for (const forged of [withCounter(3, new Uint8Array(16)), withCounter(0xffff_ffff, new Uint8Array(16))]) {
      const { pair } = channelPair(10);
      pair.link = (from, counter) => from === 'a' || counter === 1;
      pair.send('a', 'x');
      pair.run(25);
      pair.deliver('a', forged);
      assert.equal(pair.a.end.isHandshaking, true);
      assert.equal(pair.a.drops(), 1);
      pair.run(1000);
      assert.ok(pair.a.sentWith(2) >= 3);
    }
  });

  it('a forged acknowledgement does not make the other side one that keeps sessions', () => {
    const { pair } = channelPair(10, { keepAliveMs: Infinity });
    pair.link = (_, counter) => counter !== 0xffff_ffff;
    pair.send('a', 'x');
    pair.run(1000);
    for (let i = 0; i < 20; i++) pair.deliver('a', withCounter(0xffff_ffff, seededRandom(i)(16)));
    assert.equal(pair.a.drops('malformed'), 20);
    for (let i = 0; i < 30; i++) {
      pair.send('a', 'z');
      pair.run(500);
    }
    assert.equal(pair.a.sentWith(0), 2, 'a handshake 14.5 s after the first');
  });
});

describe('a session that is being begun', () => {
  it('reads answers to its last 64 InitHellos, and says 33 of them', () => {
    const session = initiateSession(alice, 0, encodeTai64n(1_700_000_000, 0), seededRandom(5)(32));
    const first = session.id;
    const cookie = (n: number): Uint8Array => new Uint8Array(16).fill(n);
    for (let n = 0; n < 63; n++) assert.equal(session.useCookie(cookie(n)), true);
    assert.equal(session.isOwnHello(first), true);
    assert.equal(session.repeats.length, 33);
    assert.equal(session.useCookie(cookie(63)), true);
    assert.equal(session.isOwnHello(first), false);
    session.renew(encodeTai64n(1_700_000_001, 0));
    assert.equal(session.repeats.length, 33);
    const stamped = session.repeats.map((message) => tai64nMs(decodeInitHello(message)!.hello.timestamp));
    assert.deepEqual(new Set(stamped), new Set([1_700_000_001_000]));
    assert.equal(new Set(session.repeats.map((message) => decodeInitHello(message)!.hello.cookie?.[0])).size, 33);
  });
});

describe('a hello that is not newer', () => {
  it('is refused before its signature is looked at, and when it comes checked', () => {
    const { pair, alice: a } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    const old = encodeTai64n(1_600_000_000, 0);
    const genuine = initiateSession(a, 0, old, seededRandom(5)(32)).message;
    const forged = genuine.slice();
    forged[110]! ^= 1;
    assert.equal(verifyInitHello(forged, bob.registry), 'bad_signature');
    pair.deliver('b', forged);
    assert.deepEqual([pair.b.drops('stale_hello'), pair.b.drops('bad_signature')], [1, 0]);
    const checked = verifyInitHello(genuine, bob.registry);
    assert.ok(typeof checked === 'object');
    const before = pair.b.sent.length;
    pair.b.end.handleHello(pair.now, pair.wallMs, checked);
    pair.drain('b');
    assert.deepEqual([pair.b.drops('stale_hello'), pair.b.sent.length], [2, before]);
  });
});

describe('the last timestamp', () => {
  it('does not go back when an older handshake is completed after a newer one', () => {
    const channel = channelFor(bob, alice);
    const older = handshake(alice, encodeTai64n(1_700_000_000, 0), channel, 6);
    const newer = handshake(alice, encodeTai64n(1_700_000_009, 0), channel, 7);
    for (const session of [newer, older]) {
      channel.handleDatagram(0, WALL_MS, session.message);
      assert.deepEqual(outputs(channel).events, ['session']);
    }
    const between = initiateSession(alice, 0, encodeTai64n(1_700_000_005, 0), seededRandom(8)(32)).message;
    channel.handleDatagram(0, WALL_MS, between);
    assert.deepEqual(outputs(channel), { sent: [], drops: ['stale_hello'], events: [] });
  });
});

describe('a refused hello', () => {
  it('is answered with the time when it is said again, as long as it is among the last eight', () => {
    const { pair, alice: a } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    const hello = (i: number): Bytes =>
      initiateSession(a, 0, encodeTai64n(1_600_000_000 + i, 0), seededRandom(100 + i)(32)).message;
    const answered = (i: number): boolean => {
      const before = pair.b.sent.length;
      pair.deliver('b', hello(i));
      return pair.b.sent.length > before;
    };
    assert.deepEqual([answered(0), answered(0), answered(0)], [false, true, true]);
    for (let i = 1; i <= 8; i++) assert.equal(answered(i), false);
    assert.deepEqual([answered(8), answered(0)], [true, false]);
  });
});

describe('a handshake whose key is proven and that waits for its first data', () => {
  it('is not pushed out by later hellos of the same key', () => {
    const channel = channelFor(bob, alice);
    const session = handshake(alice, encodeTai64n(1_700_000_000, 0), channel, 6);
    channel.handleDatagram(0, WALL_MS, session.message);
    assert.deepEqual(outputs(channel).events, ['session']);
    for (let i = 1; i < 10; i++) {
      const hello = initiateSession(alice, 0, encodeTai64n(1_700_000_000 + i, 0), seededRandom(20 + i)(32)).message;
      channel.handleDatagram(0, WALL_MS, hello);
    }
    outputs(channel);
    channel.handleDatagram(0, WALL_MS, session.confirm!);
    assert.equal(outputs(channel).events.includes('ready'), true);
    const message = channel.handleDatagram(0, WALL_MS, session.seal(encodeText('still here')));
    assert.equal(decodeText(message!), 'still here');
  });
});

describe('claims that are copied into other InitHellos', () => {
  it('evict nothing: the handshake of the peer goes on, whether they come before or after it', () => {
    for (const before of [0, 3]) {
      const { pair } = channelPair(100);
      pair.send('a', 'arrives');
      const overheard = pair.a.sent[0]!.bytes;
      const copy = (seed: number): Bytes => {
        const { timestamp } = decodeInitHello(overheard)!.hello;
        return initiateSession(impersonator(alice, overheard), 0, copyBytes(timestamp), seededRandom(seed)(32)).message;
      };
      for (let i = 0; i < before; i++) pair.deliver('b', copy(50 + i));
      pair.run(110);
      for (let i = 0; i < 40; i++) pair.deliver('b', copy(100 + i));
      assert.equal(pair.b.drops('overloaded'), 40 - (3 - before));
      pair.run(1000);
      assert.deepEqual(pair.b.received, [{ at: 300, text: 'arrives' }]);
    }
  });

  it('claims that are older than the handshake evict it neither, and a newer one takes the place of the oldest', () => {
    const channel = channelFor(bob, alice);
    const at = (seconds: number): Session =>
      handshake(alice, encodeTai64n(1_700_000_000 + seconds, 0), channel, seconds);
    const sessions = [5, 6, 7, 8].map(at);
    for (const seconds of [1, 2, 3, 4, 5]) {
      const hello = initiateSession(alice, 0, encodeTai64n(1_700_000_000 + seconds, 0), seededRandom(90 + seconds)(32));
      channel.handleDatagram(0, WALL_MS, hello.message);
      assert.deepEqual(outputs(channel), { sent: [], drops: ['overloaded'], events: [] }, `${seconds}`);
    }
    at(9);
    channel.handleDatagram(0, WALL_MS, sessions[0]!.message);
    assert.deepEqual(outputs(channel).drops, ['unexpected'], 'the oldest has gone');
    channel.handleDatagram(0, WALL_MS, sessions[1]!.message);
    assert.deepEqual(outputs(channel).events, ['session']);
  });
});

describe('a hello', () => {
  it('of a key that is not pinned is told from one with a wrong signature, before the signature is looked at', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(100);
    const later = encodeTai64n(1_800_000_000, 0);
    const stranger = initiateSession(mallory, 0, later, seededRandom(5)(32)).message;
    pair.deliver('b', stranger);
    assert.equal(pair.b.drops('identity_mismatch'), 1);
    const forged = initiateSession(impersonator(alice, stranger), 0, later, seededRandom(6)(32)).message;
    assert.equal(verifyInitHello(forged, bob.registry), 'bad_signature');
    pair.deliver('b', forged);
    assert.equal(pair.b.drops('bad_signature'), 1);
  });
});
