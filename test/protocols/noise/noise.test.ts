import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { x25519PrivateKey } from '#crypto';
import { type Bytes, EMPTY_BYTES, fromHex } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { blake2b256 } from '../../../src/crypto/blake2b.ts';
import {
  CipherState,
  frameNoiseMessage,
  MAX_NONCE,
  MAX_RECORD_PLAINTEXT_BYTES,
  NOISE_PATTERNS,
  NoiseHandshake,
  type NoiseHandshakeOptions,
  NoiseMessageReader,
  type NoisePattern,
  NoiseRecordReader,
  type NoiseTransport,
  sealRecords,
} from '../../../src/protocols/noise/index.ts';

const seed = (text: string): Bytes => blake2b256(new TextEncoder().encode(text));
const PATTERNS = Object.keys(NOISE_PATTERNS) as NoisePattern[];
const bobStatic = x25519PrivateKey(seed('bob static')).publicKey;

function optionsOf(pattern: NoisePattern, role: 'initiator' | 'responder'): NoiseHandshakeOptions {
  const who = role === 'initiator' ? 'alice' : 'bob';
  return {
    pattern,
    hash: 'SHA256',
    role,
    ephemeralSeed: seed(`${who} ephemeral`),
    staticSeed: seed(`${who} static`),
    remoteStatic: role === 'initiator' ? bobStatic : undefined,
    psk: seed('known to both'),
  };
}

function pair(
  pattern: NoisePattern,
  alices: Partial<NoiseHandshakeOptions> = {},
  bobs: Partial<NoiseHandshakeOptions> = {},
): { readonly alice: NoiseHandshake; readonly bob: NoiseHandshake } {
  return {
    alice: new NoiseHandshake({ ...optionsOf(pattern, 'initiator'), ...alices }),
    bob: new NoiseHandshake({ ...optionsOf(pattern, 'responder'), ...bobs }),
  };
}

/** Runs a handshake to its end; answers the fault that ends it, if one does. `spoil` gets each message. */
function run(
  { alice, bob }: ReturnType<typeof pair>,
  spoil: (message: Bytes, index: number) => Uint8Array = (message) => message,
): string {
  let [from, to] = [alice, bob];
  for (let index = 0; from.turn === 'write'; index++) {
    const written = from.write();
    if (!written.ok) return written.fault;
    const read = to.read(spoil(written.bytes, index));
    if (!read.ok) return read.fault;
    [from, to] = [to, from];
  }
  return alice.turn;
}

function connected(pattern: NoisePattern = 'XX'): { readonly alice: NoiseTransport; readonly bob: NoiseTransport } {
  const both = pair(pattern);
  assert.equal(run(both), 'done');
  return { alice: both.alice.finish(), bob: both.bob.finish() };
}

describe('NoiseHandshake', () => {
  for (const pattern of PATTERNS) {
    it(`${pattern}: both sides know each other's static key, and the same hash`, () => {
      const { alice, bob } = connected(pattern);
      assert.deepEqual(alice.handshakeHash, bob.handshakeHash);
      if (pattern === 'NN') {
        assert.equal(alice.remoteStatic, undefined);
      } else {
        assert.deepEqual(alice.remoteStatic, bobStatic);
        assert.deepEqual(bob.remoteStatic, x25519PrivateKey(seed('alice static')).publicKey);
      }
    });

    it(`${pattern}: another prologue is found out`, () => {
      assert.equal(run(pair(pattern, { prologue: Uint8Array.of(1) })), 'undecryptable');
    });

    it(`${pattern}: any bit that changes on the way is found out`, () => {
      const messages = NOISE_PATTERNS[pattern].messages.length;
      for (let index = 0; index < messages; index++) {
        for (const at of [0, 17, 40, -1]) {
          const ended = run(pair(pattern), (message, i) => {
            if (i !== index) return message;
            const spoilt = message.slice();
            spoilt[at < 0 ? spoilt.length + at : Math.min(at, spoilt.length - 1)]! ^= 1;
            return spoilt;
          });
          assert.equal(ended, 'undecryptable', `message ${index}, byte ${at}`);
        }
      }
    });

    it(`${pattern}: no message may be cut short or padded`, () => {
      const messages = NOISE_PATTERNS[pattern].messages.length;
      for (let index = 0; index < messages; index++) {
        const cut = run(pair(pattern), (message, i) => (i === index ? message.subarray(0, 20) : message));
        assert.equal(cut, 'too_short');
        const long = run(pair(pattern), (message, i) => (i === index ? new Uint8Array(65_536) : message));
        assert.equal(long, 'too_long');
      }
    });

    it(`${pattern}: an ephemeral key of low order is refused`, () => {
      const lowOrder = fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800');
      for (const index of [0, 1]) {
        const ended = run(pair(pattern), (message, i) => {
          if (i !== index) return message;
          const spoilt = message.slice();
          spoilt.set(lowOrder);
          return spoilt;
        });
        // With a pre-shared key even the first message is sealed, and who knows no key cannot change it.
        const sealed = pattern === 'XXpsk3' && index === 0;
        assert.equal(ended, sealed ? 'undecryptable' : 'low_order', `message ${index}`);
      }
    });

    it(`${pattern}: noise instead of messages never throws`, () => {
      const random = createSeededRandom(5);
      for (let round = 0; round < 200; round++) {
        const bob = new NoiseHandshake(optionsOf(pattern, 'responder'));
        const read = bob.read(random.bytes(Math.floor(random.next() * 300)));
        // The first message of XX and NN is in clear and need only be long enough.
        if (!read.ok) assert.equal(bob.turn, 'failed');
      }
    });
  }

  it('XXpsk3: without the same secret nobody gets in', () => {
    assert.equal(run(pair('XXpsk3', { psk: seed('another') })), 'undecryptable');
  });

  it('IK: a caller with the wrong key for us gets nowhere', () => {
    const wrong = x25519PrivateKey(seed('carol static')).publicKey;
    assert.equal(run(pair('IK', { remoteStatic: wrong })), 'undecryptable');
  });

  it('write() of IK to a key of low order is refused', () => {
    assert.equal(run(pair('IK', { remoteStatic: new Uint8Array(32) })), 'low_order');
  });

  it('carries payloads, in clear in the first message of XX and sealed from then on', () => {
    const { alice, bob } = pair('XX');
    const payload = new TextEncoder().encode('payload');
    const first = alice.write(payload);
    assert.ok(first.ok);
    assert.deepEqual(first.bytes.subarray(32), payload);
    assert.deepEqual(bob.read(first.bytes), { ok: true, bytes: payload });
    const second = bob.write(payload);
    assert.ok(second.ok);
    assert.equal(second.bytes.length, 96 + payload.length);
    assert.deepEqual(alice.read(second.bytes), { ok: true, bytes: payload });
  });

  it('write() refuses a payload that makes a message of more than 65 535 bytes', () => {
    const { alice } = pair('XX');
    assert.deepEqual(alice.write(new Uint8Array(65_535 - 31)), { ok: false, fault: 'too_long' });
    assert.equal(alice.turn, 'failed');
  });

  it('out of turn is misuse', () => {
    const { alice, bob } = pair('XX');
    assert.throws(() => bob.write(), TypeError);
    assert.throws(() => alice.read(new Uint8Array(32)), TypeError);
    assert.throws(() => alice.finish(), TypeError);
    alice.write();
    assert.throws(() => alice.write(), TypeError);
  });

  it('what the pattern needs must be there', () => {
    for (const [pattern, missing] of [
      ['XX', 'staticSeed'],
      ['XXpsk3', 'psk'],
      ['IK', 'remoteStatic'],
      ['NN', 'ephemeralSeed'],
    ] as const) {
      const options = { ...optionsOf(pattern, 'initiator'), [missing]: undefined };
      assert.throws(() => new NoiseHandshake(options), new RegExp(missing));
      const short = { ...optionsOf(pattern, 'initiator'), [missing]: new Uint8Array(31) };
      assert.throws(() => new NoiseHandshake(short), RangeError);
    }
    const unknown = { ...optionsOf('XX', 'initiator'), pattern: 'toString' as 'XX' };
    assert.throws(() => new NoiseHandshake(unknown), TypeError);
  });
});

describe('CipherState', () => {
  it('opens only the next message, and once', () => {
    const { alice, bob } = connected();
    const [first, second] = [Uint8Array.of(1), Uint8Array.of(2)].map((text) => alice.send.seal(EMPTY_BYTES, text));
    assert.ok(typeof first !== 'string' && typeof second !== 'string');
    assert.equal(bob.receive.open(EMPTY_BYTES, second!), 'undecryptable');
    assert.deepEqual(bob.receive.open(EMPTY_BYTES, first!), Uint8Array.of(1));
    assert.equal(bob.receive.open(EMPTY_BYTES, first!), 'undecryptable');
    assert.deepEqual(bob.receive.open(EMPTY_BYTES, second!), Uint8Array.of(2));
    assert.equal(bob.receive.open(EMPTY_BYTES, new Uint8Array(15)), 'too_short');
  });

  it('refuses to use the last nonce', () => {
    const key = seed('key');
    const sender = new CipherState(key, undefined, MAX_NONCE - 1);
    const receiver = new CipherState(key, undefined, MAX_NONCE - 1);
    const sealed = sender.seal(EMPTY_BYTES, Uint8Array.of(1));
    assert.ok(typeof sealed !== 'string');
    assert.deepEqual(receiver.open(EMPTY_BYTES, sealed), Uint8Array.of(1));
    assert.equal(sender.seal(EMPTY_BYTES, Uint8Array.of(1)), 'exhausted');
    assert.equal(receiver.open(EMPTY_BYTES, sealed), 'exhausted');
    assert.equal(sealRecords(sender, Uint8Array.of(1)), 'exhausted');
  });

  it('rekey() changes the key on both sides alike, and the nonce goes on', () => {
    const { alice, bob } = connected();
    const before = alice.send.seal(EMPTY_BYTES, Uint8Array.of(1));
    alice.send.rekey();
    const after = alice.send.seal(EMPTY_BYTES, Uint8Array.of(1));
    assert.ok(typeof before !== 'string' && typeof after !== 'string');
    assert.deepEqual(bob.receive.open(EMPTY_BYTES, before), Uint8Array.of(1));
    assert.equal(bob.receive.open(EMPTY_BYTES, after), 'undecryptable');
    bob.receive.rekey();
    assert.deepEqual(bob.receive.open(EMPTY_BYTES, after), Uint8Array.of(1));
    assert.equal(bob.receive.nonce, 2);
  });

  it('writes the counter little-endian behind four zeros', () => {
    const seen: Uint8Array[] = [];
    const key = { seal: (nonce: Uint8Array) => void seen.push(nonce.slice()), open: () => true };
    new CipherState(seed('key'), () => key, 0x0102_0304_0506).seal(EMPTY_BYTES, EMPTY_BYTES);
    assert.deepEqual(seen, [fromHex('000000000605040302010000')]);
  });
});

describe('Noise records', () => {
  it('arrive as they were, however the stream is cut', () => {
    const { alice, bob } = connected();
    const random = createSeededRandom(9);
    const sent = random.bytes(200_000);
    const sealed = sealRecords(alice.send, sent);
    assert.ok(typeof sealed !== 'string');
    assert.equal(sealed.length, sent.length + 4 * 18);
    const reader = new NoiseRecordReader(bob.receive);
    const received: number[] = [];
    for (let at = 0; at < sealed.length;) {
      const length = 1 + Math.floor(random.next() * 9000);
      const opened = reader.push(sealed.subarray(at, at + length));
      assert.ok(typeof opened !== 'string');
      for (const part of opened) received.push(...part);
      at += length;
    }
    assert.equal(reader.pending, 0);
    assert.deepEqual(Uint8Array.from(received), sent);
  });

  it('hold 65 519 bytes at most, and nothing is a record too', () => {
    const { alice, bob } = connected();
    const reader = new NoiseRecordReader(bob.receive);
    for (const [bytes, records] of [
      [0, 1],
      [MAX_RECORD_PLAINTEXT_BYTES, 1],
      [MAX_RECORD_PLAINTEXT_BYTES + 1, 2],
    ] as const) {
      const opened = reader.push(sealRecords(alice.send, new Uint8Array(bytes)) as Bytes);
      assert.ok(typeof opened !== 'string');
      assert.deepEqual(
        opened.map((part) => part.length).reduce((sum, length) => sum + length, 0),
        bytes,
      );
      assert.equal(opened.length, records);
    }
  });

  it('that are forged end the stream for good', () => {
    const { alice, bob } = connected();
    const reader = new NoiseRecordReader(bob.receive);
    const forged = (sealRecords(alice.send, Uint8Array.of(1, 2, 3)) as Bytes).slice();
    forged[4]! ^= 1;
    const genuine = sealRecords(alice.send, Uint8Array.of(4)) as Bytes;
    assert.equal(reader.push(forged), 'undecryptable');
    assert.equal(reader.push(genuine), 'undecryptable');
  });

  it('a length that is shorter than a tag is a fault', () => {
    const { bob } = connected();
    assert.equal(new NoiseRecordReader(bob.receive).push(Uint8Array.of(0, 3, 1, 2, 3)), 'too_short');
  });

  it('NoiseMessageReader gives whole messages and keeps the rest for others', () => {
    const reader = new NoiseMessageReader();
    const framed = [...frameNoiseMessage(Uint8Array.of(1, 2)), ...frameNoiseMessage(EMPTY_BYTES), 9, 9];
    for (const byte of framed.slice(0, 3)) {
      reader.push(Uint8Array.of(byte));
      assert.equal(reader.next(), undefined);
    }
    reader.push(Uint8Array.from(framed.slice(3)));
    assert.deepEqual(reader.next(), Uint8Array.of(1, 2));
    assert.deepEqual(reader.next(), EMPTY_BYTES);
    assert.equal(reader.next(), undefined);
    assert.deepEqual(reader.takeRest(), Uint8Array.of(9, 9));
    assert.equal(reader.pending, 0);
    assert.throws(() => frameNoiseMessage(new Uint8Array(65_536)), RangeError);
  });
});
