/** What callers of the Noise machines can do wrong, and what they get into their hands. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { chacha20Poly1305 } from '#crypto';
import { EMPTY_BYTES } from '../../../src/base/bytes.ts';
import type { ImportAeadKey } from '../../../src/crypto/suite.ts';
import {
  CipherState,
  MAX_NOISE_MESSAGE_BYTES,
  MAX_RECORD_PLAINTEXT_BYTES,
  NoiseHandshake,
  NoiseRecordReader,
  type NoiseHandshakeOptions,
  type NoiseTransport,
} from '../../../src/protocols/noise/index.ts';

const seed = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

const XX: NoiseHandshakeOptions = {
  pattern: 'XX',
  hash: 'SHA256',
  role: 'initiator',
  ephemeralSeed: seed(1),
  staticSeed: seed(2),
};

function finished(): { readonly alice: NoiseHandshake; readonly bob: NoiseHandshake } {
  const alice = new NoiseHandshake(XX);
  const bob = new NoiseHandshake({ ...XX, role: 'responder', ephemeralSeed: seed(3), staticSeed: seed(4) });
  for (let [from, to] = [alice, bob]; from.turn === 'write'; [from, to] = [to, from]) {
    const message = from.write();
    assert.ok(message.ok && to.read(message.bytes).ok);
  }
  return { alice, bob };
}

describe('misuse of a Noise handshake', () => {
  it('finish() works once: another pair of ciphers would use the same nonces again', () => {
    const { alice } = finished();
    alice.finish();
    assert.equal(alice.turn, 'finished');
    assert.throws(() => alice.finish(), TypeError);
    assert.throws(() => alice.write(), TypeError);
  });

  it('what it hands out is a copy', () => {
    const { alice, bob } = finished();
    const expected = alice.hash;
    for (const bytes of [alice.hash, alice.localStatic!, alice.remoteStatic!]) bytes.fill(0);
    const [ours, theirs]: NoiseTransport[] = [alice.finish(), bob.finish()];
    assert.deepEqual(ours!.handshakeHash, expected);
    assert.deepEqual(ours!.remoteStatic, bob.localStatic);
    assert.deepEqual(theirs!.remoteStatic, alice.localStatic);
    ours!.handshakeHash.fill(0);
    ours!.remoteStatic!.fill(0);
    assert.deepEqual(alice.hash, expected);
    assert.deepEqual(alice.remoteStatic, bob.localStatic);
    assert.deepEqual(theirs!.handshakeHash, expected);
  });

  it('keeps no hold of the bytes of the caller: of secrets, and of messages', () => {
    const secrets = [seed(1), seed(2), seed(3), seed(4), seed(9)] as const;
    const [ours, ourStatic, theirs, theirStatic, psk] = secrets;
    const alice = new NoiseHandshake({ ...XX, pattern: 'XXpsk3', ephemeralSeed: ours, staticSeed: ourStatic, psk });
    const bob = new NoiseHandshake({
      ...XX,
      pattern: 'XXpsk3',
      role: 'responder',
      ephemeralSeed: theirs,
      staticSeed: theirStatic,
      psk: seed(9),
    });
    for (const secret of secrets) secret.fill(0);
    for (let [from, to] = [alice, bob]; from.turn === 'write'; [from, to] = [to, from]) {
      const message = from.write(Uint8Array.of(7));
      assert.ok(message.ok);
      const read = to.read(message.bytes);
      message.bytes.fill(0);
      assert.deepEqual(read, { ok: true, bytes: Uint8Array.of(7) });
    }
    assert.deepEqual(alice.finish().handshakeHash, bob.finish().handshakeHash);
  });

  it('a role, a hash or a cipher that is none throws at once', () => {
    for (const wrong of [
      { role: 'bogus' },
      { role: undefined },
      { hash: 'MD5' },
      { hash: 'toString' },
      { hash: undefined },
      { importAead: 'chacha' },
    ]) {
      assert.throws(() => new NoiseHandshake({ ...XX, ...wrong } as NoiseHandshakeOptions), TypeError);
    }
  });

  it('a message of exactly 65 535 bytes is one, sealed and in clear', () => {
    const bob = new NoiseHandshake({ ...XX, pattern: 'NN', role: 'responder', ephemeralSeed: seed(3) });
    const alice = new NoiseHandshake({ ...XX, pattern: 'NN' });
    const first = alice.write(new Uint8Array(MAX_NOISE_MESSAGE_BYTES - 32));
    assert.ok(first.ok && first.bytes.length === MAX_NOISE_MESSAGE_BYTES);
    assert.ok(bob.read(first.bytes).ok);
    const second = bob.write(new Uint8Array(MAX_NOISE_MESSAGE_BYTES - 32 - 16));
    assert.ok(second.ok && second.bytes.length === MAX_NOISE_MESSAGE_BYTES);
    assert.ok(alice.read(second.bytes).ok);
    const other = new NoiseHandshake({ ...XX, pattern: 'NN', role: 'responder', ephemeralSeed: seed(3) });
    assert.ok(other.read(first.bytes).ok);
    const tooLong = other.write(new Uint8Array(MAX_NOISE_MESSAGE_BYTES - 32 - 15));
    assert.deepEqual(tooLong, { ok: false, fault: 'too_long' });
    assert.deepEqual(new NoiseHandshake(XX).write(new Uint8Array(MAX_NOISE_MESSAGE_BYTES)), tooLong);
  });

  it('a payload that no message holds throws at once, and the handshake goes on', () => {
    const alice = new NoiseHandshake(XX);
    assert.throws(() => alice.write(new Uint8Array(MAX_NOISE_MESSAGE_BYTES + 1)), RangeError);
    assert.throws(() => alice.write('payload' as unknown as Uint8Array), TypeError);
    assert.equal(alice.turn, 'write');
    assert.ok(alice.write().ok);
  });
});

describe('the cost of a Noise message', () => {
  it('of whatever kind is that of the two seals it holds at most, and of one record the one seal', () => {
    let opens = 0;
    const importAead: ImportAeadKey = (key) => {
      const inner = chacha20Poly1305(key);
      return {
        seal: (...args) => inner.seal(...args),
        open: (...args) => (opens++, inner.open(...args)),
      };
    };
    for (const pattern of ['NN', 'XX', 'XXpsk3', 'IK'] as const) {
      for (const bytes of [0, 31, 32, 80, 96, 65_535, 65_536]) {
        const options = { ...XX, pattern, importAead, psk: seed(9), remoteStatic: new Uint8Array(32).fill(9) };
        const responder = new NoiseHandshake({ ...options, role: 'responder' });
        const initiator = new NoiseHandshake(options);
        assert.ok(initiator.write().ok);
        for (const machine of [responder, initiator]) {
          opens = 0;
          machine.read(new Uint8Array(bytes).fill(9));
          assert.ok(opens <= 2, `${pattern}: ${opens}`);
        }
      }
    }
    opens = 0;
    new NoiseRecordReader(new CipherState(seed(1), importAead)).push(new Uint8Array(65_000));
    assert.equal(opens, 0, 'records of no length are a fault without a look');
    new NoiseRecordReader(new CipherState(seed(1), importAead)).push(
      Uint8Array.from({ length: 18 * 1000 }, (_, i) => (i % 18 === 1 ? 16 : 0)),
    );
    assert.equal(opens, 1, 'the first forged record is the last');
  });
});

describe('misuse of a CipherState', () => {
  it('plaintexts that no message holds throw at once, and use up no nonce', () => {
    const cipher = new CipherState(seed(1));
    for (const bytes of [MAX_RECORD_PLAINTEXT_BYTES + 1, 70_000]) {
      assert.throws(() => cipher.seal(EMPTY_BYTES, new Uint8Array(bytes)), RangeError);
      assert.throws(() => cipher.sealInto(EMPTY_BYTES, new Uint8Array(bytes), new Uint8Array(100_000), 0), RangeError);
    }
    assert.throws(() => cipher.seal(EMPTY_BYTES, 'text' as unknown as Uint8Array), TypeError);
    assert.equal(cipher.nonce, 0);
    assert.equal((cipher.seal(EMPTY_BYTES, new Uint8Array(MAX_RECORD_PLAINTEXT_BYTES)) as Uint8Array).length, 65_535);
  });

  it('a sealed text that is longer than a message is a fault', () => {
    const cipher = new CipherState(seed(1));
    assert.equal(cipher.open(EMPTY_BYTES, new Uint8Array(MAX_NOISE_MESSAGE_BYTES + 1)), 'too_long');
    assert.equal(cipher.open(EMPTY_BYTES, new Uint8Array(MAX_NOISE_MESSAGE_BYTES)), 'undecryptable');
  });

  it('peek() opens without going on', () => {
    const sealed = new CipherState(seed(1)).seal(EMPTY_BYTES, Uint8Array.of(7)) as Uint8Array;
    const cipher = new CipherState(seed(1));
    assert.deepEqual(cipher.peek(EMPTY_BYTES, sealed), Uint8Array.of(7));
    assert.equal(cipher.nonce, 0);
    assert.equal(cipher.peek(Uint8Array.of(1), sealed), 'undecryptable');
    assert.deepEqual(cipher.open(EMPTY_BYTES, sealed), Uint8Array.of(7));
    assert.equal(cipher.peek(EMPTY_BYTES, sealed), 'undecryptable');
  });

  it('a nonce is a whole number that leaves room for one more', () => {
    for (const nonce of [-1, 0.5, Number.MAX_SAFE_INTEGER + 1]) {
      assert.throws(() => new CipherState(seed(1), undefined, nonce));
    }
    assert.throws(() => new CipherState(new Uint8Array(31)), RangeError);
  });
});
