import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../src/base/bytes.ts';
import {
  createCertificate,
  createSelfSignedCertificate,
  defaultKeyRegistry,
  encodeSpki,
  OIDS,
  parseCertificate,
  verifySelfSigned,
} from '../../src/identity/x509.ts';
import { exportKey, generateKey } from '../../src/identity/keys.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { identityOf, keyOf, resetKeyOf } from '../../src/identity/quic-identity.ts';
import { testKey } from '../../src/testing/test-key.ts';

const dates = { serialNumber: Uint8Array.of(1), notBeforeMs: 0, notAfterMs: 1 };

/** A certificate of a key as somebody writes it, who does not have to have it. */
const certificateOf = (oid: string, bits: Uint8Array, parameters?: Uint8Array) =>
  createCertificate({
    ...dates,
    subjectKey: {
      algorithm: oid,
      spki: encodeSpki({
        algorithm: { oid, parameters: parameters === undefined ? undefined : Uint8Array.from(parameters) },
        bits: Uint8Array.from(bits),
      }),
    },
    issuer: { key: testKey(1) },
  });

describe('the key of a certificate', () => {
  it('is the key of whoever signed it, of any algorithm that is known', () => {
    for (const key of [testKey(1), generateKey({ algorithm: 'ecdsa-p256' })]) {
      const certificate = createSelfSignedCertificate({ ...dates, signer: key, registry: defaultKeyRegistry });
      assert.deepEqual(keyOf(certificate), key.publicKey);
    }
  });

  it('is none where anybody could have proven it: of low order, off the curve, cut off', () => {
    for (const hex of ['01', '00', '02'].map((byte) => byte + '00'.repeat(31))) {
      assert.equal(keyOf(certificateOf(OIDS.ed25519, fromHex(hex))), undefined, hex);
    }
    assert.equal(keyOf(certificateOf(OIDS.ed25519, new Uint8Array(31).fill(1))), undefined);
    assert.equal(keyOf(new Uint8Array(100)), undefined);
    const p256 = fromHex('06082a8648ce3d030107');
    assert.equal(keyOf(certificateOf(OIDS.ecPublicKey, new Uint8Array(65).fill(4), p256)), undefined);
  });

  it('of an algorithm that only TLS knows goes by its identifier', () => {
    assert.equal(keyOf(certificateOf(OIDS.ed448, new Uint8Array(57)))?.algorithm, OIDS.ed448);
  });
});

describe('our own identity', () => {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 'identity' });

  it('is a certificate that its key has signed, for ten years from yesterday, with another number each time', () => {
    const { chain, privateKey } = identityOf(testKey(1), realm);
    const certificate = parseCertificate(chain[0]!)!;
    assert.deepEqual(verifySelfSigned(certificate, defaultKeyRegistry), testKey(1).publicKey);
    assert.deepEqual(privateKey, exportKey(testKey(1), 'pkcs8'));
    const now = realm.wallMs();
    assert.ok(certificate.notBeforeMs < now && certificate.notBeforeMs >= now - 86_401_000);
    assert.ok(certificate.notAfterMs > now + 3600 * 86_400_000);
    const again = parseCertificate(identityOf(testKey(1), realm).chain[0]!)!;
    assert.notDeepEqual(again.serialNumber, certificate.serialNumber);
  });

  it('makes a reset key that is the same in every life, and another one for each key and address', () => {
    const secret = (i: number): Uint8Array => exportKey(testKey(i), 'pkcs8');
    const key = resetKeyOf(secret(1), '10.0.0.1:5000');
    assert.deepEqual(resetKeyOf(secret(1), '10.0.0.1:5000'), key);
    assert.notDeepEqual(resetKeyOf(secret(2), '10.0.0.1:5000'), key);
    assert.notDeepEqual(resetKeyOf(secret(1), '10.0.0.1:5001'), key);
    assert.equal(key.length, 64);
  });
});
