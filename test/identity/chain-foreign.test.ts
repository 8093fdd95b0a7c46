/** Authorities whose keys are of algorithms that shoal checks and does not have: RSA and P-384, by node:crypto. */

import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { der, derSequence, derUnsigned, TAG } from '../../src/identity/der.ts';
import { createKeyRegistry, ed25519, encodeSpki, type KeyRegistry, type Signer } from '../../src/identity/x509.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { suites } from '../crypto/suites.ts';
import { authority, fault, issue, issued } from './made-chain.ts';

/** A signer, and a registry that names its signatures. */
function foreign(
  keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  signature: string,
  digest: string,
  parameters?: Uint8Array,
  spki: Uint8Array = keys.publicKey.export({ format: 'der', type: 'spki' }),
): { readonly signer: Signer; readonly registry: KeyRegistry } {
  const identifier = {
    oid: signature,
    parameters: parameters === undefined ? undefined : Uint8Array.from(parameters),
  };
  return {
    signer: {
      publicKey: { algorithm: 'foreign', spki: Uint8Array.from(spki) },
      sign: (message) => Uint8Array.from(sign(digest, message, keys.privateKey)),
    },
    registry: createKeyRegistry([{ ...ed25519, name: 'foreign', signatureIdentifier: identifier }]),
  };
}

const ANY_KEY = 'openssl takes keys of any size here';

describe('authorities with keys of algorithms that shoal has not', () => {
  const NULL = Uint8Array.of(TAG.null, 0);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const verdict = (
    { signer, registry }: ReturnType<typeof foreign>,
    spoil = false,
    openssl?: string,
  ): string | undefined => {
    const anchor = issue(signer, undefined, { ...authority, commonName: 'foreign', registry });
    const leaf = issue(testKey(3), anchor, { registry });
    const made = leaf.der.slice();
    if (spoil) made[made.length - 20]! ^= 1;
    return fault([issued(leaf.key, made)], { anchors: [anchor], openssl });
  };

  it('RSA with each hash, and P-384, sign; changed or under another name they do not', () => {
    const signatures = [
      foreign(rsa, '1.2.840.113549.1.1.11', 'sha256', NULL),
      foreign(rsa, '1.2.840.113549.1.1.12', 'sha384', NULL),
      foreign(rsa, '1.2.840.113549.1.1.13', 'sha512', NULL),
      foreign(p384, '1.2.840.10045.4.3.3', 'sha384'),
    ];
    for (const each of signatures) {
      assert.equal(verdict(each), undefined);
      assert.equal(verdict(each, true), 'unknown_ca');
    }
    assert.equal(verdict(foreign(rsa, '1.2.840.113549.1.1.12', 'sha256', NULL)), 'unknown_ca');
    assert.equal(verdict(foreign(rsa, '1.2.840.113549.1.1.11', 'sha1', NULL)), 'unknown_ca');
    assert.equal(verdict(foreign(p384, '1.2.840.10045.4.3.3', 'sha256')), 'unknown_ca');
  });

  it('RSA keys of 1024 bits do not, and those with the exponent 3 do', () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
    assert.equal(verdict(foreign(small, '1.2.840.113549.1.1.11', 'sha256', NULL), false, ANY_KEY), 'unknown_ca');
    const three = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 });
    assert.equal(verdict(foreign(three, '1.2.840.113549.1.1.11', 'sha256', NULL)), undefined);
    const large = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 65_539 });
    assert.equal(verdict(foreign(large, '1.2.840.113549.1.1.11', 'sha256', NULL), false, ANY_KEY), 'unknown_ca');
    const odd = generateKeyPairSync('rsa', { modulusLength: 2052 });
    assert.equal(verdict(foreign(odd, '1.2.840.113549.1.1.11', 'sha256', NULL), false, ANY_KEY), 'unknown_ca');
  });

  it('an RSA signature is a number below the modulus', () => {
    let keys = rsa;
    const modulusOf = (): Uint8Array => Buffer.from(keys.publicKey.export({ format: 'jwk' }).n!, 'base64url');
    // With room above the modulus for another number that is the same signature.
    while (modulusOf()[0]! >= 0xe0) keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const modulus = Uint8Array.of(0, ...modulusOf());
    const judges = suites.map((suite) => suite.rsaPublicKey(modulus, Uint8Array.of(1, 0, 1), 'sha256')!);
    const n = BigInt(`0x${toHex(modulus)}`);
    let tried = 0;
    for (let i = 0; i < 100; i++) {
      const message = Uint8Array.of(i);
      const signature = Uint8Array.from(sign('sha256', message, keys.privateKey));
      for (const judge of judges) assert.equal(judge.verify(message, signature), true);
      const other = (BigInt(`0x${toHex(signature)}`) + n).toString(16);
      if (other.length > 512) continue;
      tried++;
      const larger = fromHex(other.padStart(512, '0'));
      for (const judge of judges) assert.equal(judge.verify(message, larger), false);
    }
    assert.ok(tried > 0);
  });

  it('an RSA key is two positive numbers and nothing else', () => {
    const { n = '', e = '' } = rsa.publicKey.export({ format: 'jwk' });
    const [modulus, exponent] = [n, e].map((text) => Uint8Array.from(Buffer.from(text, 'base64url')));
    const key = (...numbers: Uint8Array[]): Uint8Array =>
      encodeSpki({ algorithm: { oid: '1.2.840.113549.1.1.1', parameters: NULL }, bits: derSequence(...numbers) });
    const by = (spki: Uint8Array, openssl?: string): string | undefined =>
      verdict(foreign(rsa, '1.2.840.113549.1.1.11', 'sha256', NULL, spki), false, openssl);
    const [right, usual] = [derUnsigned(modulus!), derUnsigned(exponent!)];
    assert.equal(by(key(right, usual)), undefined);
    const openssl = 'openssl drops the sign';
    const negative = key(der(TAG.integer, modulus!), usual);
    assert.equal(by(negative, openssl), 'unknown_ca', 'the modulus as a negative number');
    assert.equal(by(key(right, usual, usual)), 'unknown_ca');
    assert.equal(by(key(right)), 'unknown_ca');
    assert.equal(by(key(right, der(TAG.integer, Uint8Array.of(0xff)))), 'unknown_ca');
  });
});
