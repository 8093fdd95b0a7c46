import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, it } from 'node:test';

import { concatBytes, encodeText, equalBytes } from '../../src/base/bytes.ts';
import { importPublicKey, sshFingerprint, sshWireKey } from '../../src/identity/keys.ts';
import { decodeSshKey, splitSshStrings, sshNumber } from '../../src/identity/ssh-key.ts';
import { string } from '../../src/protocols/ssh/wire.ts';
import { testKey } from '../../src/testing/test-key.ts';

const message = encodeText('a message');
const publicKeyOf = (key: KeyObject): ReturnType<typeof importPublicKey> =>
  importPublicKey(new Uint8Array(key.export({ format: 'der', type: 'spki' })));
const bytes = (buffer: Buffer): Uint8Array<ArrayBuffer> => new Uint8Array(buffer);
const blob = (name: string, signature: Uint8Array) => concatBytes(string(name), string(signature));

const ed25519 = generateKeyPairSync('ed25519');
const ecdsa = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** ECDSA signatures are two mpints. */
function ecdsaBlob(): Uint8Array<ArrayBuffer> {
  const raw = bytes(sign('sha256', message, { key: ecdsa.privateKey, dsaEncoding: 'ieee-p1363' }));
  return blob('ecdsa-sha2-nistp256', concatBytes(sshNumber(raw.slice(0, 32)), sshNumber(raw.slice(32))));
}

const CASES = [
  ['ssh-ed25519', ed25519, 'ssh-ed25519', () => blob('ssh-ed25519', bytes(sign(null, message, ed25519.privateKey)))],
  ['ecdsa-sha2-nistp256', ecdsa, 'ecdsa-sha2-nistp256', ecdsaBlob],
  ['ssh-rsa', rsa, 'rsa-sha2-256', () => blob('rsa-sha2-256', bytes(sign('sha256', message, rsa.privateKey)))],
  ['ssh-rsa', rsa, 'rsa-sha2-512', () => blob('rsa-sha2-512', bytes(sign('sha512', message, rsa.privateKey)))],
] as const;

describe('keys in the wire format of SSH', () => {
  for (const [name, { publicKey }, algorithm, signed] of CASES) {
    it(`${algorithm}: the key is the same on both ways, and its signatures and no others are verified`, () => {
      const key = publicKeyOf(publicKey);
      const wire = sshWireKey(key);
      const decoded = decodeSshKey(wire)!;
      assert.equal(decoded.name, name);
      assert.ok(equalBytes(decoded.publicKey.spki, key.spki));
      const digest = createHash('sha256').update(wire).digest('base64').replaceAll('=', '');
      assert.equal(sshFingerprint(key), `SHA256:${digest}`);
      for (let i = 0; i < 30; i++) assert.ok(decoded.verify(algorithm, message, signed()));
      const good = signed();
      assert.equal(decoded.verify(algorithm, encodeText('another'), good), false);
      for (let bit = 0; bit < 8 * good.length; bit += 5) {
        const forged = good.slice();
        forged[bit >> 3]! ^= 1 << (bit & 7);
        assert.equal(decoded.verify(algorithm, message, forged), false, `bit ${bit}`);
      }
      for (const other of [
        'ssh-rsa',
        'rsa-sha2-256',
        'rsa-sha2-512',
        'ssh-ed25519',
        'ecdsa-sha2-nistp256',
        '__proto__',
      ]) {
        if (other !== algorithm) assert.equal(decoded.verify(other, message, good), false, other);
      }
    });

    it(`${name} (${algorithm}): cut off, with bytes behind it, or with another name it is no key`, () => {
      const wire = sshWireKey(publicKeyOf(publicKey));
      for (let end = 0; end < wire.length; end++) assert.equal(decodeSshKey(wire.subarray(0, end)), undefined);
      assert.equal(decodeSshKey(concatBytes(wire, Uint8Array.of(0))), undefined);
      const renamed = wire.slice();
      renamed[5]! ^= 1;
      assert.equal(decodeSshKey(renamed), undefined);
    });
  }

  it('SHA-1 signatures of RSA keys are never verified', () => {
    const key = decodeSshKey(sshWireKey(publicKeyOf(rsa.publicKey)))!;
    const signature = bytes(sign('sha1', message, rsa.privateKey));
    for (const name of ['ssh-rsa', 'rsa-sha2-256'])
      assert.equal(key.verify(name, message, blob(name, signature)), false);
  });

  it('RSA keys of less than 2048 bits, with a zero in front, or negative are none', () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    assert.equal(decodeSshKey(sshWireKey(publicKeyOf(short))), undefined);
    const [name, e, n] = splitSshStrings(sshWireKey(publicKeyOf(rsa.publicKey)), 3)!;
    assert.ok(decodeSshKey(concatBytes(string(name!), string(e!), string(n!))));
    assert.equal(decodeSshKey(concatBytes(string(name!), string(e!), string(n!.subarray(1)))), undefined);
    const padded = concatBytes(Uint8Array.of(0), n!);
    assert.equal(decodeSshKey(concatBytes(string(name!), string(e!), string(padded))), undefined);
  });

  it('Ed25519 keys that are no usable point are none', () => {
    for (const bits of [new Uint8Array(32), new Uint8Array(31), new Uint8Array(32).fill(255)]) {
      assert.equal(decodeSshKey(concatBytes(string('ssh-ed25519'), string(bits))), undefined);
    }
  });

  it('other algorithms cannot be written', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    assert.throws(
      () => sshWireKey({ ...testKey(0).publicKey, spki: bytes(publicKey.export({ format: 'der', type: 'spki' })) }),
      TypeError,
    );
  });
});
