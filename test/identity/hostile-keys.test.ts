/** Keys and files that are none, damaged, or made to deceive: refused, with the true reason. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concatBytes, encodeText, fromHex } from '../../src/base/bytes.ts';
import { p256PrivateKey } from '../../src/crypto/node.ts';
import { der, derBitString, derOid, derSequence, derUnsigned, TAG } from '../../src/identity/der.ts';
import { defaultKeyRegistry, encodePem, encodePkcs8, encodeSpki, OIDS } from '../../src/identity/x509.ts';
import { exportKey, exportPublicKey, generateKey, importKey, importPublicKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';

const ed25519Spki = (hex: string): Uint8Array => encodeSpki({ algorithm: { oid: OIDS.ed25519 }, bits: fromHex(hex) });
const P256 = { oid: OIDS.ecPublicKey, parameters: derOid(OIDS.prime256v1) };
const p256Spki = (bits: Uint8Array): Uint8Array => encodeSpki({ algorithm: P256, bits: Uint8Array.from(bits) });
const point = p256PrivateKey(new Uint8Array(32).fill(9))!.publicKey;

describe('importPublicKey() of what cannot verify', () => {
  const refused: Readonly<Record<string, Uint8Array>> = {
    'ed25519 of 31 bytes': ed25519Spki('11'.repeat(31)),
    'ed25519 of 33 bytes': ed25519Spki('11'.repeat(33)),
    'ed25519 of no bytes': ed25519Spki(''),
    'ed25519 off the curve': ed25519Spki(`02${'00'.repeat(31)}`),
    'ed25519 of order 1': ed25519Spki(`01${'00'.repeat(31)}`),
    'ed25519 of order 8': ed25519Spki('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'),
    'ed25519 in its second encoding': ed25519Spki(`f0${'ff'.repeat(30)}7f`),
    'ed25519 with parameters': encodeSpki({
      algorithm: { oid: OIDS.ed25519, parameters: Uint8Array.of(TAG.null, 0) },
      bits: testKey(1).publicKey.spki.slice(-32),
    }),
    'p-256 off the curve': p256Spki(Uint8Array.of(...point.subarray(0, 64), point[64]! ^ 1)),
    'p-256 at infinity': p256Spki(Uint8Array.of(0)),
    'p-256 at zero': p256Spki(Uint8Array.of(4, ...new Uint8Array(64))),
    'p-256 compressed': p256Spki(Uint8Array.of(2 + (point[64]! & 1), ...point.subarray(1, 33))),
    'p-256 cut off': p256Spki(point.subarray(0, 64)),
  };
  for (const [what, spki] of Object.entries(refused)) {
    it(`${what} is refused, as DER and as PEM, and verifies nothing`, () => {
      assert.throws(() => importPublicKey(spki), { name: 'TypeError', message: /no signature can be checked/ });
      assert.throws(() => importPublicKey(encodePem('PUBLIC KEY', spki)), /no signature can be checked/);
      assert.equal(defaultKeyRegistry.verifier(spki), undefined);
    });
  }

  it('keys of algorithms that are not known here are read, as before', () => {
    const p384 = encodeSpki({
      algorithm: { oid: OIDS.ecPublicKey, parameters: derOid('1.3.132.0.34') },
      bits: new Uint8Array(97),
    });
    assert.equal(importPublicKey(p384).algorithm, OIDS.ecPublicKey);
    const ed448 = encodeSpki({ algorithm: { oid: OIDS.ed448 }, bits: new Uint8Array(57) });
    assert.equal(importPublicKey(ed448).algorithm, OIDS.ed448);
    const noCurve = encodeSpki({ algorithm: { oid: OIDS.ecPublicKey }, bits: point });
    assert.equal(importPublicKey(noCurve).algorithm, OIDS.ecPublicKey);
    assert.equal(defaultKeyRegistry.parsePublicKey(new Uint8Array(9)), undefined);
  });
});

const seed = new Uint8Array(32).fill(7);
const own = importKey(seed).publicKey.spki.slice(-32);

/** PKCS#8 of an Ed25519 key, by hand. */
const pkcs8 = (version: number, ...more: Uint8Array[]): Uint8Array =>
  derSequence(
    derUnsigned(Uint8Array.of(version)),
    derSequence(derOid(OIDS.ed25519)),
    der(TAG.octetString, der(TAG.octetString, seed)),
    ...more,
  );

describe('importKey() of a PKCS#8', () => {
  const publicPart = (bits: Uint8Array): Uint8Array => der(0x81, Uint8Array.of(0), bits);

  it('of version 2 has no public key but its own', () => {
    assert.deepEqual(importKey(pkcs8(1, publicPart(own))).publicKey, importKey(seed).publicKey);
    assert.deepEqual(importKey(pkcs8(1)).publicKey, importKey(seed).publicKey);
    assert.deepEqual(importKey(pkcs8(1, der(0xa0), publicPart(own))).publicKey, importKey(seed).publicKey);
    const other = testKey(2).publicKey.spki.slice(-32);
    assert.throws(() => importKey(pkcs8(1, publicPart(other))), /public key of another one/);
    assert.throws(() => importKey(pkcs8(1, publicPart(own.subarray(1)))), /public key of another one/);
    assert.throws(() => importKey(pkcs8(1, der(0x81, Uint8Array.of(7), own))), TypeError, 'unused bits');
    assert.throws(() => importKey(pkcs8(0, publicPart(own))), TypeError, 'version 1 has none');
    assert.throws(() => importKey(pkcs8(2)), TypeError, 'there is no version 3');
  });

  it('has a secret of the right length', () => {
    for (const bytes of [0, 31, 33, 64]) {
      const inner = der(TAG.octetString, new Uint8Array(bytes).fill(1));
      const made = encodePkcs8({ algorithm: { oid: OIDS.ed25519 }, privateKey: inner });
      assert.equal(defaultKeyRegistry.decodePrivateKey(made), undefined);
      assert.throws(() => importKey(made), TypeError);
    }
  });

  const scalar = new Uint8Array(32).fill(9);
  const sec1 = (version: number, secret: Uint8Array, ...more: Uint8Array[]): Uint8Array =>
    encodePkcs8({
      algorithm: P256,
      privateKey: derSequence(derUnsigned(Uint8Array.of(version)), der(TAG.octetString, secret), ...more),
    });
  const curve = (oid: string): Uint8Array => der(0xa0, derOid(oid));
  const pointPart = (bits: Uint8Array): Uint8Array => der(0xa1, derBitString(bits));

  it('of a P-256 key names no other curve and no other point', () => {
    const expected = { algorithm: 'ecdsa-p256', spki: p256Spki(point) };
    for (const more of [[], [pointPart(point)], [curve(OIDS.prime256v1)], [curve(OIDS.prime256v1), pointPart(point)]]) {
      assert.deepEqual(importKey(sec1(1, scalar, ...more)).publicKey, expected);
    }
    const other = p256PrivateKey(new Uint8Array(32).fill(8))!.publicKey;
    const compressed = Uint8Array.of(2 + (point[64]! & 1), ...point.subarray(1, 33));
    const wrong: readonly Uint8Array[] = [
      sec1(1, scalar, pointPart(other)),
      sec1(1, scalar, pointPart(compressed)),
      sec1(1, scalar, pointPart(Uint8Array.of(0))),
      sec1(1, scalar, der(0xa1, Uint8Array.of(1))),
      sec1(1, scalar, curve('1.3.132.0.34')),
      sec1(1, scalar, curve('1.3.132.0.34'), pointPart(point)),
      sec1(1, scalar, der(0xa0, Uint8Array.of(5, 0))),
      sec1(1, scalar, pointPart(point), curve(OIDS.prime256v1)),
      sec1(2, scalar),
      sec1(0, scalar),
    ];
    for (const made of wrong) {
      assert.equal(defaultKeyRegistry.decodePrivateKey(made), undefined);
      assert.throws(() => importKey(made), TypeError);
    }
  });

  it('of a P-256 key has a scalar of the curve: not 0, not the order, not more', () => {
    const order = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';
    for (const hex of ['00'.repeat(32), order, 'ff'.repeat(32), '09'.repeat(31), '09'.repeat(33), '']) {
      const made = sec1(1, fromHex(hex));
      assert.equal(defaultKeyRegistry.decodePrivateKey(made), undefined, hex);
      assert.throws(() => importKey(made), TypeError);
      assert.throws(() => defaultKeyRegistry.signer('ecdsa-p256', fromHex(hex)), RangeError);
    }
    assert.equal(importKey(sec1(1, fromHex(`${order.slice(0, -1)}0`))).algorithm, 'ecdsa-p256', 'the order less one');
  });
});

describe('PEM as programs and people leave it', () => {
  const key = testKey(5);
  const pem = exportKey(key, 'pem');
  const publicPem = exportPublicKey(key.publicKey);

  it('line ends of any kind, a byte order mark and text around are taken, as text and as bytes', () => {
    for (const change of [
      (text: string) => text.replaceAll('\n', '\r'),
      (text: string) => text.replaceAll('\n', '\r\n'),
      (text: string) => `\uFEFF${text}`,
      (text: string) => `Key of the gateway\n\n${text}bye\n`,
      (text: string) => text.trimEnd(),
      (text: string) => text.replaceAll(/(\w{10})\n/g, '$1 \t\n'),
    ]) {
      assert.deepEqual(importKey(change(pem)).publicKey, key.publicKey);
      assert.deepEqual(importKey(encodeText(change(pem))).publicKey, key.publicKey);
      assert.deepEqual(importPublicKey(change(publicPem)), key.publicKey);
      assert.deepEqual(importPublicKey(encodeText(change(publicPem))), key.publicKey);
    }
  });

  it('what is refused says why', () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      [pem.replace('END PRIVATE', 'END PUBLIC'), /END line of the PEM block "PRIVATE KEY" has another label/],
      [pem.slice(0, pem.indexOf('-----END')), /has no END line/],
      [pem.replace('KEY-----\n', 'KEY-----\nComment: mine\n\n'), /has headers/],
      [pem.replace('KEY-----\n', 'KEY-----\nProc-Type: 4,ENCRYPTED\n\n'), /is encrypted/],
      [pem.replace('KEY-----\nM', 'KEY-----\nM*'), /is not base64/],
      [pem.replace('KEY-----\nM', 'KEY-----\nMM'), /is not base64/],
      ['-----BEGIN PRIVATE KEY----- MC4=\n-----END PRIVATE KEY-----', /BEGIN line .* does not end|not base64/],
      [publicPem, /expected a PEM block "PRIVATE KEY", got "PUBLIC KEY": this is a public key/],
      ['nothing', /holds no PEM block/],
      [encodePem('PRIVATE KEY', encodeText('no DER')), /expected PKCS#8/],
    ];
    for (const [text, why] of cases) {
      assert.throws(() => importKey(text), { name: 'TypeError', message: why }, text);
    }
    assert.throws(() => importPublicKey(publicPem.replace('END PUBLIC', 'END PRIVATE')), /END line/);
    assert.throws(() => importPublicKey(pem), /expected a PEM block "PUBLIC KEY", got "PRIVATE KEY"/);
    assert.throws(() => importPublicKey('nothing'), /holds no PEM block/);
  });

  it('bytes that are 32 long are a seed whatever they spell, and others are DER', () => {
    assert.equal(importKey(encodeText('-----BEGIN PRIVATE KEY-----12345')).algorithm, 'ed25519');
    assert.throws(() => importKey(concatBytes(encodeText('-----BEGIN '), Uint8Array.of(0xff, ...seed))), /PKCS#8/);
  });

  it('signers keep no hold of the bytes of the caller', () => {
    for (const name of ['ed25519', 'ecdsa-p256']) {
      const secret = new Uint8Array(32).fill(9);
      const signer = defaultKeyRegistry.signer(name, secret);
      const before = signer.sign(seed);
      secret.fill(8);
      assert.deepEqual(signer.sign(seed), before);
    }
    for (const spki of [testKey(1).publicKey.spki.slice(), p256Spki(point)]) {
      const verifier = defaultKeyRegistry.verifier(spki)!;
      const copy = verifier.publicKey.spki.slice();
      spki.fill(0);
      assert.deepEqual(verifier.publicKey.spki, copy);
    }
  });

  it('P-256 keys come back as they went', () => {
    const p256 = generateKey({ algorithm: 'ecdsa-p256' });
    assert.deepEqual(importKey(exportKey(p256, 'pem')).publicKey, p256.publicKey);
  });
});
