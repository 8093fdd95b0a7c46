import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concatBytes, encodeText, fromHex, toHex } from '../../src/base/bytes.ts';
import { readPeerRecord, signPeerRecord, verifyPeerRecord } from '../../src/discovery/peer-record.ts';
import { defaultKeyRegistry } from '../../src/identity/x509.ts';
import { generateKey, importKey, verifyText } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';

const CONTEXT = 'example.org/login 1';
const bytes = Uint8Array.of(1, 2, 3);

describe('signText() and verifyText()', () => {
  it('go together, with keys of any algorithm', () => {
    for (const algorithm of ['ed25519', 'ecdsa-p256']) {
      const key = generateKey({ algorithm });
      const signature = key.signText(CONTEXT, bytes);
      assert.equal(verifyText(key.publicKey, CONTEXT, bytes, signature), true);
      assert.equal(verifyText(testKey(1).publicKey, CONTEXT, bytes, signature), false);
      assert.equal(verifyText(key.publicKey, 'example.org/login 2', bytes, signature), false);
      assert.equal(verifyText(key.publicKey, CONTEXT, bytes.subarray(1), signature), false);
      assert.equal(verifyText(key.publicKey, CONTEXT, bytes, signature.subarray(1)), false);
      assert.equal(verifyText(key.publicKey, CONTEXT, bytes, new Uint8Array(0)), false);
    }
  });

  it('make the documented bytes', () => {
    const signature = importKey(new Uint8Array(32).fill(7)).signText(CONTEXT, bytes);
    assert.equal(
      toHex(signature),
      'a68e8f0d76957abdd76e2aed3549f3c4811d905d9a3934f4a343aef99b1b284a7a38e1d7921cfbf8d24b6ac3650f58387478c8aea44272c8c723e76268b21a01',
    );
  });

  it('a context and bytes cannot be told apart in another way', () => {
    const key = testKey(1);
    const signature = key.signText('ab', encodeText('c'));
    assert.equal(verifyText(key.publicKey, 'a', encodeText('bc'), signature), false);
    assert.equal(verifyText(key.publicKey, 'abc', new Uint8Array(0), signature), false);
  });

  it('have nothing to do with what sign() signs', () => {
    const key = testKey(1);
    assert.equal(verifyText(key.publicKey, CONTEXT, bytes, key.sign(bytes)), false);
    const verifier = defaultKeyRegistry.verifier(key.publicKey.spki)!;
    assert.equal(verifier.verify(bytes, key.signText(CONTEXT, bytes)), false);
    const head = concatBytes(encodeText('shoal signed text 1\0'), Uint8Array.of(CONTEXT.length), encodeText(CONTEXT));
    assert.equal(verifier.verify(concatBytes(head, bytes), key.signText(CONTEXT, bytes)), true);
  });

  it('a peer record cannot be had by asking for a signature over it', () => {
    const key = testKey(1);
    const record = signPeerRecord(key, { addrs: [], issuedMs: 1000, lifetimeMs: 1000 });
    const { signed, signature } = readPeerRecord(record.bytes)!;
    const body = record.bytes.subarray(0, record.bytes.length - signature.length);
    const forge = (other: Uint8Array): ReturnType<typeof verifyPeerRecord> =>
      verifyPeerRecord(concatBytes(body, other));
    assert.ok(typeof forge(key.sign(signed)) === 'object', 'sign() is raw');
    assert.equal(forge(key.signText(CONTEXT, signed)), 'bad_signature');
    assert.equal(forge(key.signText('shoal peer record 2\0', signed)), 'bad_signature');
  });

  it('misuse throws at once', () => {
    const key = testKey(1);
    for (const context of ['', 'x'.repeat(256), 'ä'.repeat(128)]) {
      assert.throws(() => key.signText(context, bytes), RangeError);
      assert.throws(() => verifyText(key.publicKey, context, bytes, bytes), RangeError);
    }
    assert.throws(() => key.signText('\ud800', bytes), TypeError);
    assert.throws(() => key.signText(1 as unknown as string, bytes), TypeError);
    assert.throws(() => key.signText(CONTEXT, 'text' as unknown as Uint8Array), TypeError);
    assert.throws(() => verifyText(key.publicKey, CONTEXT, bytes, 'text' as unknown as Uint8Array), TypeError);
    assert.equal(key.signText('x'.repeat(255), bytes).length, 64);
  });

  it('keys whose algorithm is not known verify nothing', () => {
    const { publicKey } = testKey(1);
    const strange = { algorithm: '1.2.3', spki: fromHex('3000') };
    assert.equal(verifyText(strange, CONTEXT, bytes, testKey(1).signText(CONTEXT, bytes)), false);
    assert.equal(publicKey.algorithm, 'ed25519');
  });
});
