/** Wycheproof and CCTV on every implementation. See test/vectors/public.ts for where they come from. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText, fromHex, toHex } from '../../src/base/bytes.ts';
import type { RsaHash } from '../../src/crypto/rsa.ts';
import type { CryptoSuite, EcdsaCurve, HashName, ImportAeadKey } from '../../src/crypto/suite.ts';
import { readDer } from '../../src/identity/der.ts';
import { decodeSpki } from '../../src/identity/spki.ts';
import { publicVectors, skip } from '../vectors/public.ts';
import { loadWasmAead } from '../../src/crypto/wasm-aead.ts';
import { loadSodium, suites } from './suites.ts';

type Fields = Readonly<Record<string, string>>;
type Case = Fields & { readonly tcId: number; readonly size: number };

interface Group {
  readonly tests: readonly Case[];
  readonly publicKey: Fields;
  readonly publicKeyDer: string;
  readonly tagSize: number;
}

/** Runs every case of a file; `verdict` says whether the implementation takes the case as valid. */
function wycheproof(name: string, verdict: (test: Case, group: Group) => boolean): void {
  const { numberOfTests, testGroups } = publicVectors<{
    readonly numberOfTests: number;
    readonly testGroups: readonly Group[];
  }>(`wycheproof-${name}.json`);
  let cases = 0;
  const wrong: string[] = [];
  for (const group of testGroups) {
    for (const test of group.tests) {
      cases++;
      // "acceptable" leaves it to the implementation; what it may be is said where the verdict is made.
      if (test['result'] === 'acceptable') verdict(test, group);
      else if (verdict(test, group) !== (test['result'] === 'valid'))
        wrong.push(`${test.tcId} ${test['comment'] ?? ''}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.equal(cases, numberOfTests);
  assert.ok(cases > 80);
}

const ZERO = '00'.repeat(32);

function opens(importKey: ImportAeadKey, test: Case): boolean {
  // ChaCha20-Poly1305 has one length of nonce; others are misuse, which callers here cannot commit.
  if (test['iv']!.length !== 24) return false;
  const key = importKey(fromHex(test['key']!));
  const [nonce, associated, message] = [fromHex(test['iv']!), fromHex(test['aad']!), fromHex(test['msg']!)];
  const sealed = fromHex(test['ct']! + test['tag']!);
  const out = new Uint8Array(message.length);
  const opened = key.open(nonce, associated, sealed, out, 0) && toHex(out) === test['msg'];
  const again = new Uint8Array(sealed.length);
  key.seal(nonce, associated, message, again, 0);
  assert.equal(toHex(again) === toHex(sealed), opened);
  return opened;
}

function rsaKeyOf(spki: string): { readonly modulus: Uint8Array; readonly exponent: Uint8Array } {
  return readDer(decodeSpki(fromHex(spki))!.bits, (reader) => {
    const inner = reader.sequence();
    return { modulus: inner.integer(), exponent: inner.integer() };
  })!;
}

interface CctvVector {
  readonly key: string;
  readonly sig: string;
  readonly msg: string;
}

function cctvVerdicts(verify: (key: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean): boolean[] {
  const vectors = publicVectors<readonly CctvVector[]>('cctv-ed25519.json');
  assert.equal(vectors.length, 914);
  return vectors.map(({ key, msg, sig }) => verify(fromHex(key), encodeText(msg), fromHex(sig)));
}

const cctvOf = (suite: CryptoSuite): boolean[] =>
  cctvVerdicts((key, message, signature) => suite.ed25519PublicKey(key)?.verify(message, signature) === true);

for (const suite of suites) {
  describe(`public vectors on ${suite.cryptoName}`, () => {
    it('Wycheproof Ed25519', { skip }, () => {
      wycheproof('ed25519', (test, { publicKey }) => {
        const key = suite.ed25519PublicKey(fromHex(publicKey['pk']!));
        return key?.verify(fromHex(test['msg']!), fromHex(test['sig']!)) === true;
      });
    });

    it('Wycheproof X25519: every shared secret but the zero one, which is refused', { skip }, () => {
      wycheproof('x25519', (test) => {
        const secret = suite.x25519PrivateKey(fromHex(test['private']!)).sharedSecret(fromHex(test['public']!));
        assert.equal(secret === undefined ? ZERO : toHex(secret), test['shared']);
        return secret !== undefined;
      });
    });

    it('Wycheproof ChaCha20-Poly1305', { skip }, () => {
      wycheproof('chacha20_poly1305', (test) => opens((key) => suite.chacha20Poly1305(key), test));
    });

    for (const name of ['sha256', 'sha512'] as const satisfies readonly HashName[]) {
      it(`Wycheproof HMAC ${name}`, { skip }, () => {
        wycheproof(`hmac_${name}`, (test, { tagSize }) => {
          const mac = suite.hmac(name, fromHex(test['key']!), fromHex(test['msg']!));
          return toHex(mac.subarray(0, tagSize / 8)) === test['tag'];
        });
      });

      it(`Wycheproof HKDF ${name}`, { skip }, () => {
        wycheproof(`hkdf_${name}`, (test) => {
          const inputs = [fromHex(test['ikm']!), fromHex(test['salt']!), fromHex(test['info']!)] as const;
          try {
            return toHex(suite.hkdf(name, ...inputs, test.size)) === test['okm'];
          } catch (error) {
            assert.ok(error instanceof RangeError);
            return false;
          }
        });
      });
    }

    for (const [curve, file] of [
      ['p-256', 'ecdsa_secp256r1_sha256'],
      ['p-384', 'ecdsa_secp384r1_sha384'],
    ] as const satisfies readonly (readonly [EcdsaCurve, string])[]) {
      it(`Wycheproof ECDSA ${curve}`, { skip }, () => {
        wycheproof(file, (test, { publicKey }) => {
          const key = suite.ecdsaPublicKey(curve, fromHex(publicKey['uncompressed']!));
          return key?.verify(fromHex(test['msg']!), fromHex(test['sig']!)) === true;
        });
      });
    }

    for (const [bits, name] of [
      [2048, 'sha256'],
      [2048, 'sha512'],
      [4096, 'sha256'],
    ] as const satisfies readonly (readonly [number, RsaHash])[]) {
      it(`Wycheproof RSA ${bits} ${name}`, { skip }, () => {
        wycheproof(`rsa_signature_${bits}_${name}`, (test, { publicKeyDer }) => {
          const { modulus, exponent } = rsaKeyOf(publicKeyDer);
          const key = suite.rsaPublicKey(modulus, exponent, name);
          return key?.verify(fromHex(test['msg']!), fromHex(test['sig']!)) === true;
        });
      });
    }

    it('CCTV Ed25519: 43 of 914 are signatures, the same ones everywhere', { skip }, () => {
      const verdicts = cctvOf(suite);
      assert.equal(verdicts.filter(Boolean).length, 43);
      assert.deepEqual(verdicts, cctvOf(suites[0]!));
    });
  });
}

describe('public vectors on the AEAD that is chosen by size', () => {
  it('Wycheproof ChaCha20-Poly1305', { skip }, async () => {
    const importAead = await loadWasmAead();
    wycheproof('chacha20_poly1305', (test) => opens(importAead, test));
  });
});

const sodium = await loadSodium();

const skipSodium = skip !== false ? skip : sodium === undefined && 'sodium-native is not installed';

describe('public vectors on sodium', () => {
  it('Wycheproof ChaCha20-Poly1305', { skip: skipSodium }, () => {
    wycheproof('chacha20_poly1305', (test) => opens(sodium!.importAead, test));
  });

  it("CCTV Ed25519: libsodium's own verdicts are ours", { skip: skipSodium }, () => {
    assert.deepEqual(cctvVerdicts(sodium!.verify), cctvOf(suites[0]!));
  });
});
