/** The faults of the original, one scenario each: it fails when the fault is put back. Numbers as in docs/wire/p2pke.md §9. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chacha20Poly1305, x25519PrivateKey } from '#crypto';
import { compareBytes, encodeText, type Bytes } from '../../../src/base/bytes.ts';
import { verifyInitHello, type VerifiedHello } from '../../../src/protocols/p2pke/hello.ts';
import { createP2pkeIdentity, type P2pkeIdentity } from '../../../src/protocols/p2pke/identity.ts';
import { encodeInitHello, encodeRespHello, withCounter } from '../../../src/protocols/p2pke/messages.ts';
import { writeReply } from '../../../src/protocols/p2pke/noise-nn.ts';
import { answerSession } from '../../../src/protocols/p2pke/session.ts';
import { signatureInput } from '../../../src/protocols/p2pke/signature-input.ts';
import { encodeTai64n } from '../../../src/protocols/p2pke/tai64n.ts';
import { Original } from './original.ts';
import { JudgedChannel } from './judged-channel.ts';
import { channelFor, channelPair, Pair, seededRandom, testIdentity, WALL_MS } from './pair.ts';

const alice = testIdentity(1);
const bob = testIdentity(2);
const mallory = testIdentity(3);

/** An InitHello that claims to be `identity`, with a timestamp of it that anybody has seen, and any ephemeral. */
function claim(identity: P2pkeIdentity, timestamp: Bytes, seed: number): Uint8Array<ArrayBuffer> {
  const ephemeral = x25519PrivateKey(seededRandom(seed)(32));
  const signature = identity.signer.sign(signatureInput('p2pke/timestamp', timestamp));
  const { spki } = identity.publicKey;
  return withCounter(0, ephemeral.publicKey, encodeInitHello({ timestamp, spki, signature, cookie: undefined }));
}

/** Bob, who counts how often he deciphers. */
function countingIdentity(): { readonly identity: P2pkeIdentity; readonly count: { opens: number } } {
  const count = { opens: 0 };
  const identity = createP2pkeIdentity({
    privateKey: bob.signer,
    random: bob.random,
    aead: (key) => {
      const inner = chacha20Poly1305(key);
      return {
        seal: (...args) => inner.seal(...args),
        open: (...args) => {
          count.opens++;
          return inner.open(...args);
        },
      };
    },
  });
  return { identity, count };
}

describe('message storm', () => {
  it('a session on which nothing was ever sent does not swallow the next handshake of the original', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 5);
    pair.a.end.open(pair.now, pair.wallMs); // as a look-up of the key does: no message
    pair.drain('a');
    pair.run(16_000);
    assert.equal(pair.a.count('ready'), 1);
    pair.send('a', 'after a while');
    pair.run(3000);
    assert.deepEqual(pair.b.texts, ['after a while']);
    assert.ok(pair.a.sent.length + pair.b.sent.length < 20);
  });

  it('also when the first confirm is lost, and when the original has data first', () => {
    const pair = new Pair(channelFor(alice, bob), new Original(bob), 5);
    pair.link = (from, counter, index) => !(from === 'a' && counter === 16 && index === 0);
    pair.a.end.open(pair.now, pair.wallMs);
    pair.drain('a');
    pair.send('b', 'from the responder');
    pair.run(16_000);
    pair.send('a', 'after a while');
    pair.run(3000);
    assert.deepEqual(pair.b.texts, ['after a while']);
    assert.deepEqual(pair.a.texts, ['from the responder']);
  });

  it('an initiator says InitHello again by its timer only, whatever it is sent', () => {
    const { pair } = channelPair(5);
    pair.link = () => false;
    pair.a.end.open(pair.now, pair.wallMs);
    pair.drain('a');
    const respDone = withCounter(3, new Uint8Array(16));
    for (let i = 0; i < 1000; i++) pair.deliver('a', respDone);
    assert.equal(pair.a.sent.length, 1);
  });

  it('our responder takes a new handshake while it has not heard data on the last', () => {
    const pair = new Pair(new Original(alice), channelFor(bob, alice), 5);
    pair.a.end.seal(pair.now, pair.wallMs, new Uint8Array(0)); // begins a handshake and says nothing
    pair.drain('a');
    pair.run(16_000);
    pair.send('a', 'after a while');
    pair.run(3000);
    assert.deepEqual(pair.b.texts, ['after a while']);
    assert.ok(pair.a.sent.length + pair.b.sent.length < 20);
  });
});

describe('stuck channel when data overtakes RespDone', () => {
  it('our initiator goes on with data that comes before RespDone', () => {
    const { pair } = channelPair(50);
    pair.link = (from, counter) => !(from === 'b' && counter === 3);
    pair.a.end.open(pair.now, pair.wallMs);
    pair.drain('a');
    pair.run(60);
    pair.send('b', 'overtaking');
    pair.run(2000);
    assert.deepEqual(pair.a.texts, ['overtaking']);
    pair.send('a', 'answer');
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['answer']);
  });

  it('our responder has RespDone arrive before its data, even when RespDone is lost', () => {
    for (const losses of [0, 1, 2, 3]) {
      const pair = new Pair(new Original(alice), channelFor(bob, alice), 40);
      pair.link = (from, counter, index) => !(from === 'b' && counter === 3 && index < losses);
      pair.a.end.seal(pair.now, pair.wallMs, new Uint8Array(0)); // says nothing of its own
      pair.drain('a');
      pair.run(90);
      pair.send('b', 'waits for its turn');
      pair.run(5000);
      assert.deepEqual(pair.a.texts, ['waits for its turn'], `${losses} lost`);
      pair.send('a', 'not stuck');
      pair.run(1000);
      assert.deepEqual(pair.b.texts, ['not stuck'], `${losses} lost`);
    }
  });

  it('no data counter is ever below 16, so none meets a handshake nonce', () => {
    const { pair } = channelPair(50);
    pair.link = (from, counter) => !(from === 'b' && counter === 3);
    pair.send('a', 'x');
    pair.send('b', 'y');
    pair.run(2000);
    for (const side of [pair.a, pair.b]) {
      for (const { counter, bytes } of side.sent) assert.ok(counter < 4 || counter >= 16, String(bytes.length));
    }
  });
});

describe('the initiator never asks whether a key is accepted', () => {
  it('nothing of a peer with another key is delivered, and nothing is sent to it', () => {
    const asked: string[] = [];
    const channel = new JudgedChannel({
      identity: alice,
      accept: (key) => {
        asked.push(key.algorithm);
        return false;
      },
    });
    const pair = new Pair(channel, new Original(mallory), 5);
    pair.send('a', 'for bob only');
    pair.send('b', 'not from bob');
    pair.run(5000);
    assert.ok(asked.length > 0);
    assert.deepEqual([pair.a.texts, pair.b.texts], [[], []]);
    assert.equal(channel.publicKey, undefined);
    assert.equal(channel.isReady(pair.now), false);
  });
});

describe('a wrong ID is dialled in a loop', () => {
  it('identity_mismatch comes after one round trip, once, and nothing loops', () => {
    const pair = new Pair(channelFor(alice, bob), channelFor(mallory, alice), 100);
    pair.send('a', 'for bob');
    pair.run(200);
    const failed = pair.a.events.filter(({ event }) => event.type === 'failed');
    assert.equal(failed.length, 1);
    assert.equal(failed[0]!.at, 200);
    assert.deepEqual(failed[0]!.event, { type: 'failed', reason: 'identity_mismatch', publicKey: mallory.publicKey });
    pair.a.end.abandon(); // as the swarm does when nobody waits any more
    pair.drain('a');
    const before = pair.a.sent.length;
    pair.run(60_000);
    assert.equal(pair.a.sent.length, before);
    pair.send('a', 'again');
    pair.run(200);
    assert.equal(pair.a.count('failed'), 2);
    assert.ok(pair.a.sent.length <= 4);
  });

  it('the right peer may still answer after a wrong one has', () => {
    const pair = new Pair(channelFor(alice, bob), channelFor(bob, alice), 100);
    pair.send('a', 'for bob');
    const hello = verifyInitHello(pair.a.sent[0]!.bytes, alice.registry) as VerifiedHello;
    pair.deliver('a', answerSession(mallory, 0, hello, seededRandom(9)(32))!.message);
    assert.equal(pair.a.count('failed'), 1);
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['for bob']);
  });
});

describe('one forged packet kills a handshake', () => {
  it('a RespHello that Noise takes but whose signature is wrong changes nothing', () => {
    const { pair } = channelPair(100);
    pair.send('a', 'still arrives');
    const hello = verifyInitHello(pair.a.sent[0]!.bytes, alice.registry) as VerifiedHello;
    for (const signature of [new Uint8Array(64), new Uint8Array(0)]) {
      const payload = encodeRespHello({ spki: pairBob().publicKey.spki, signature });
      const ephemeral = x25519PrivateKey(seededRandom(7)(32));
      const forged = writeReply(hello.hash, hello.ephemeral, ephemeral, payload, chacha20Poly1305)!;
      pair.deliver('a', withCounter(1, forged.body));
    }
    pair.run(1000);
    assert.equal(pair.a.drops('bad_signature'), 2);
    assert.deepEqual(pair.b.received, [{ at: 300, text: 'still arrives' }]);
  });

  it('a flood of them costs a bounded number of key agreements', () => {
    const { pair } = channelPair(100);
    pair.send('a', 'still arrives');
    const junk = withCounter(1, seededRandom(4)(160));
    for (let i = 0; i < 500; i++) pair.deliver('a', junk);
    assert.equal(pair.a.drops('overloaded'), 500 - 256);
    pair.run(10);
    for (let i = 0; i < 500; i++) pair.deliver('a', junk);
    assert.equal(pair.a.drops('overloaded'), 1000 - 256 - 40, 'four a millisecond come back');
    pair.run(5000);
    assert.deepEqual(pair.b.texts, ['still arrives']);
  });

  it('3000 forged ones a second do not keep the honest one out', () => {
    for (const rtt of [20, 150, 400]) {
      const { pair } = channelPair(rtt / 2);
      pair.send('a', 'arrives');
      const junk = withCounter(1, seededRandom(4)(160));
      while (pair.now < 2 * rtt) {
        for (let i = 0; i < 30; i++) pair.deliver('a', junk);
        pair.run(10);
      }
      assert.deepEqual(
        pair.b.received.map(({ at }) => at),
        [1.5 * rtt],
        `round trip of ${rtt} ms`,
      );
    }
  });
});

/** The responder of `channelPair`. */
function pairBob(): P2pkeIdentity {
  return channelPair().bob;
}

describe('state for anybody', () => {
  it('a channel keeps four half-open handshakes of others and no more', () => {
    const { identity, count } = countingIdentity();
    const channel = channelFor(identity, alice);
    for (let i = 0; i < 100; i++) {
      channel.handleDatagram(0, WALL_MS, claim(alice, encodeTai64n(1_700_000_000 + i, 0), i));
    }
    let transmits = 0;
    for (let output = channel.poll(); output.type !== 'wait'; output = channel.poll()) transmits++;
    assert.equal(transmits, 100);
    channel.handleDatagram(0, WALL_MS, withCounter(2, new Uint8Array(82)));
    assert.equal(count.opens, 4, 'InitDone is tried on each that is kept');
    channel.poll();
    channel.handleTimeout(16_000);
    for (let output = channel.poll(); output.type !== 'wait'; output = channel.poll()) {
      assert.deepEqual(output, { type: 'event', event: { type: 'expired' } });
    }
    const wait = channel.poll();
    assert.deepEqual(wait, { type: 'wait', until: undefined });
  });
});

describe('claims can be replayed', () => {
  it('a claim not newer than the last completed handshake makes no session', () => {
    const { pair, alice: a } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    const seen = verifyInitHello(pair.a.sent[0]!.bytes, a.registry) as VerifiedHello;
    const before = pair.b.sent.length;
    pair.deliver('b', claim(a, seen.timestamp, 77)); // the same timestamp, an ephemeral of the attacker's
    pair.deliver('b', claim(a, encodeTai64n(1_600_000_000, 0), 78));
    pair.deliver('b', pair.a.sent[0]!.bytes);
    assert.equal(pair.b.drops('stale_hello'), 2);
    assert.equal(pair.b.drops('replayed'), 1);
    assert.equal(pair.b.sent.length, before);
  });

  it('a low session id that somebody searched for pushes no pending handshake out', () => {
    const { pair, alice: a } = channelPair(100);
    pair.send('a', 'to bob');
    pair.send('b', 'to alice');
    const mine = verifyInitHello(pair.b.sent[0]!.bytes, a.registry) as VerifiedHello;
    const timestamp = encodeTai64n(1_700_000_000, 5);
    let lower = 0;
    for (let seed = 0; lower < 2; seed++) {
      const ground = claim(a, timestamp, seed);
      const { sessionId } = verifyInitHello(ground, a.registry) as VerifiedHello;
      if (compareBytes(sessionId, mine.sessionId) >= 0) continue;
      pair.deliver('b', ground);
      lower++;
    }
    pair.run(1000);
    assert.deepEqual(pair.a.texts, ['to alice']);
    assert.deepEqual(pair.b.texts, ['to bob']);
  });
});

describe('a handshake every 15 seconds', () => {
  it('there is one in a minute of use, in both directions or only in one', () => {
    for (const echo of [true, false]) {
      const { pair } = channelPair(10);
      pair.send('a', 'tick');
      pair.run(200);
      for (let i = 1; i < 300; i++) {
        pair.send('a', 'tick');
        if (echo) pair.send('b', 'tock');
        pair.run(200);
      }
      assert.equal(pair.a.sentWith(0) + pair.b.sentWith(0), 1);
      assert.equal(pair.b.texts.length, 300);
    }
  });
});

describe('retransmission never stops', () => {
  it('it ends with the deadline, and nothing is armed then', () => {
    const { pair } = channelPair(10, { handshakeTimeoutMs: 3000 });
    pair.link = () => false;
    pair.send('a', 'x');
    pair.run(3000);
    const before = pair.a.sent.length;
    pair.run(600_000);
    assert.equal(pair.a.sent.length, before);
    assert.equal(pair.a.until, undefined);
    assert.equal(pair.a.count('failed'), 1);
  });

  it('InitDone is not repeated for ever either', () => {
    const { pair } = channelPair(10);
    pair.link = (from, counter) => from === 'a' || counter === 1;
    pair.send('a', 'x');
    pair.run(600_000);
    assert.ok(pair.a.sentWith(2) <= 9);
    assert.equal(pair.a.until, undefined);
  });
});

describe('empty messages are lost', () => {
  it('they arrive, at every counter but those that mean something else', () => {
    const { pair } = channelPair(1);
    for (let i = 0; i < 9000; i++) pair.send(i % 2 === 0 ? 'a' : 'b', '');
    pair.run(1000);
    for (let i = 0; i < 9000; i++) pair.send('a', '');
    pair.run(1000);
    assert.equal(pair.b.texts.length, 4500 + 9000);
    assert.equal(pair.a.texts.length, 4500);
  });
});

describe('what the original leaves unchecked', () => {
  it('another version is dropped', () => {
    const channel = channelFor(bob, alice);
    const hello = claim(alice, encodeTai64n(1_700_000_000, 0), 5);
    const at = 4 + 32 + 1; // header, ephemeral, key of field 1
    assert.equal(hello[at], 1);
    hello[at] = 2;
    channel.handleDatagram(0, WALL_MS, hello);
    assert.deepEqual(channel.dropped, ['bad_version']);
  });

  it('counters 4 to 15, and those at the end, are no data', () => {
    const { pair } = channelPair(1);
    pair.send('a', 'x');
    pair.run(100);
    const counters = [...Array.from({ length: 12 }, (_, i) => 4 + i), 0xffff_fffe];
    for (const counter of counters) pair.deliver('b', withCounter(counter, new Uint8Array(20)));
    assert.equal(pair.b.drops('malformed'), 13);
  });

  it('a session whose messages are used up is replaced before it runs dry', () => {
    const { pair } = channelPair(1, { rekeyAfterMessages: 50 });
    for (let i = 0; i < 500; i++) {
      pair.send('a', `m${i}`);
      pair.run(1);
    }
    pair.run(1000);
    assert.equal(pair.b.texts.length, 500);
    assert.ok(pair.a.sentWith(0) >= 8);
  });
});

describe('timers outlive the channel', () => {
  it('after close() nothing is sent and nothing is armed', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(15);
    pair.a.end.close();
    pair.drain('a');
    assert.equal(pair.a.until, undefined);
    const before = pair.a.sent.length;
    pair.run(60_000);
    assert.equal(pair.a.sent.length, before);
  });
});

describe('the key is forgotten after 15 seconds', () => {
  it('it stays known when the session has ended', () => {
    const { pair, alice: a, bob: b } = channelPair(10);
    pair.send('a', 'x');
    pair.run(400_000);
    assert.deepEqual(pair.a.end.publicKey, b.publicKey);
    assert.deepEqual(pair.b.end.publicKey, a.publicKey);
  });
});

describe('work for nothing', () => {
  it('an idle channel makes no new session', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    pair.run(1000);
    pair.run(3_600_000);
    assert.equal(pair.a.sentWith(0) + pair.b.sentWith(0), 1);
  });

  it('a replayed datagram is not deciphered again', () => {
    const { identity: counting, count } = countingIdentity();
    const pair = new Pair(channelFor(alice, counting), channelFor(counting, alice), 1);
    pair.send('a', 'x');
    pair.run(100);
    const data = pair.a.sent.find(({ counter }) => counter === 17)!.bytes;
    count.opens = 0;
    for (let i = 0; i < 100; i++) pair.deliver('b', data);
    assert.equal(count.opens, 0);
    for (let i = 0; i < 100; i++) pair.deliver('b', withCounter(1000 + i, encodeText('0123456789abcdef')));
    assert.equal(count.opens, 100, 'one session, one try');
  });
});
