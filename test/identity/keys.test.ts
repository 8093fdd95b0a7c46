import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { encodeText, fromHex, toHex } from '../../src/base/bytes.ts';
import {
  exportKey,
  exportPublicKey,
  fingerprints,
  generateKey,
  importKey,
  importPublicKey,
  peerIdOfKey,
  sshFingerprint,
  sshWireKey,
  type PrivateKey,
} from '../../src/identity/keys.ts';

const vectors = JSON.parse(readFileSync(new URL('../vectors/go-p2p.json', import.meta.url), 'utf8'));

describe('keys of go-p2p', () => {
  for (const [i, vector] of vectors.keys.entries()) {
    it(`key ${i} has the same public key, PeerIDs and fingerprints`, () => {
      const key = importKey(fromHex(vector.seed));
      assert.equal(toHex(key.publicKey.spki), vector.spki_der);
      assert.equal(peerIdOfKey(key.publicKey), vector.p2pke_peerid_text);
      assert.equal(peerIdOfKey(key.publicKey, fingerprints.sha3), vector.quic_peerid_text);
      assert.equal(sshFingerprint(key.publicKey), vector.ssh_fingerprint);
      assert.equal(toHex(sshWireKey(key.publicKey)), vector.ssh_pub_wire);
      assert.equal(toHex(exportKey(key, 'go-p2p')), vector.private_der);
      const back = importKey(fromHex(vector.private_der), { format: 'go-p2p' });
      assert.deepEqual(exportKey(back, 'seed'), fromHex(vector.seed));
    });
  }
});

const block = (label: string): string => `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----\n`;

describe('importKey()', () => {
  for (const algorithm of ['ed25519', 'ecdsa-p256']) {
    it(`undoes exportKey() for ${algorithm}`, () => {
      const key = generateKey({ algorithm });
      const pem = exportKey(key, 'pem');
      for (const back of [importKey(pem), importKey(encodeText(pem)), importKey(exportKey(key, 'pkcs8'))]) {
        assert.deepEqual(back.publicKey, key.publicKey);
        assert.deepEqual(back.sign(encodeText('x')), key.sign(encodeText('x')));
      }
    });
  }

  it('reads what node:crypto writes, and node:crypto reads what it writes', () => {
    const pair = generateKeyPairSync('ed25519');
    const key = importKey(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const spki = createPublicKey(createPrivateKey(exportKey(key, 'pem'))).export({ type: 'spki', format: 'der' });
    assert.equal(toHex(spki), toHex(key.publicKey.spki));
    const publicPem = pair.publicKey.export({ type: 'spki', format: 'pem' });
    assert.deepEqual(importPublicKey(publicPem), key.publicKey);
    assert.deepEqual(importPublicKey(Buffer.from(publicPem)), key.publicKey);
    assert.equal(exportPublicKey(key.publicKey), publicPem);
  });

  it('says what other formats are and what to do', () => {
    assert.throws(() => importKey(block('OPENSSH PRIVATE KEY')), /format of OpenSSH; `ssh-keygen -p -m PKCS8/);
    assert.throws(() => importKey(encodeText(block('OPENSSH PRIVATE KEY'))), /format of OpenSSH/, 'as bytes too');
    assert.throws(() => importKey(block('ENCRYPTED PRIVATE KEY')), /openssl pkcs8/);
    assert.throws(() => importKey(block('PUBLIC KEY')), /importPublicKey/);
    assert.throws(() => importKey(block('CERTIFICATE')), /got "CERTIFICATE"/);
    assert.throws(() => importKey('hello'), /holds no PEM block/);
    assert.throws(() => importKey(block('PRIVATE KEY')), /expected PKCS#8 of ed25519 or ecdsa-p256/);
    assert.throws(() => importKey(new Uint8Array(31)), TypeError);
    // @ts-expect-error text is no bytes
    assert.throws(() => generateKey().sign('text'), TypeError);
    assert.throws(() => importKey(new Uint8Array(31), { format: 'seed' }), /a seed has 32 bytes, got 31/);
    assert.throws(() => importKey(new Uint8Array(32), { format: 'pem' }), /pem is text, got bytes/);
    assert.throws(() => importKey(block('PRIVATE KEY'), { format: 'seed' }), /seed is bytes, got text/);
    assert.throws(() => importPublicKey(block('PRIVATE KEY')), /expected a PEM block "PUBLIC KEY"/);
    const untyped = importKey as (source: unknown, options?: unknown) => PrivateKey;
    assert.throws(() => untyped(7), /expected text or bytes, got a number/);
    assert.throws(() => untyped(new Uint8Array(32), { format: 'jwk' }), /got "jwk"/);
  });

  it('does not take a private key of go-p2p for anything unless told, since it looks like a public key', () => {
    // Half of all seeds are points of the curve: nothing tells those from public keys.
    const der = exportKey(importKey(Uint8Array.of(3, ...new Uint8Array(31))), 'go-p2p');
    assert.throws(() => importKey(der), /format: "go-p2p"/);
    assert.equal(importPublicKey(der).algorithm, 'ed25519', 'the trap');
    const other = exportKey(importKey(Uint8Array.of(2, ...new Uint8Array(31))), 'go-p2p');
    assert.throws(() => importKey(other), /format: "go-p2p"/);
    assert.throws(() => importPublicKey(other), /no key/);
    const p256 = generateKey({ algorithm: 'ecdsa-p256' });
    assert.throws(() => importKey(p256.publicKey.spki, { format: 'go-p2p' }), /44 bytes of DER/);
    assert.throws(() => exportKey(p256, 'go-p2p'), /go-p2p is for ed25519/);
  });

  it('keeps no hold of the bytes of the caller', () => {
    const seed = new Uint8Array(32).fill(4);
    const key = importKey(seed);
    const before = key.sign(encodeText('x'));
    seed.fill(0);
    assert.deepEqual(key.sign(encodeText('x')), before);
    exportKey(key, 'seed').fill(0);
    assert.deepEqual(exportKey(key, 'seed'), new Uint8Array(32).fill(4));
  });
});

describe('generateKey()', () => {
  it('takes its randomness from the caller', () => {
    const key = generateKey({ random: (length) => new Uint8Array(length).fill(6) });
    assert.deepEqual(exportKey(key, 'seed'), new Uint8Array(32).fill(6));
    assert.notDeepEqual(generateKey().publicKey, generateKey().publicKey);
  });

  it('draws again for a P-256 secret out of range, and gives up on a source that makes none', () => {
    let draws = 0;
    const key = generateKey({
      algorithm: 'ecdsa-p256',
      random: (length) => new Uint8Array(length).fill(draws++ === 0 ? 0xff : 5),
    });
    assert.equal(key.algorithm, 'ecdsa-p256');
    assert.equal(draws, 2);
    assert.throws(() => generateKey({ algorithm: 'ecdsa-p256', random: (n) => new Uint8Array(n) }), RangeError);
    assert.throws(() => generateKey({ algorithm: 'rsa' }), /expected one of ed25519, ecdsa-p256/);
    assert.throws(() => generateKey({ random: () => new Uint8Array(5) }), /expected 32 bytes, got 5/);
  });
});

describe('the secret of a key', () => {
  it('is in no text that the key can be turned into', () => {
    const seed = Uint8Array.from({ length: 32 }, (_, i) => i * 5 + 3);
    const key = importKey(seed);
    const error = new Error('failed', { cause: { key } });
    const texts = [
      String(key),
      JSON.stringify({ key }),
      inspect(key, { depth: 20, showHidden: true, getters: true }),
      inspect(error, { depth: 20, showHidden: true }),
      Object.getOwnPropertyNames(key).join(),
      JSON.stringify(Object.values(key)),
    ];
    const needles = [toHex(seed), Buffer.from(seed).toString('base64'), [...seed].join(), [...seed].join(', ')];
    for (const text of texts) {
      for (const needle of needles) assert.equal(text.includes(needle.slice(0, 16)), false, text);
    }
    assert.throws(
      () => importKey(Uint8Array.of(...seed, 1)),
      (thrown: Error) => !thrown.message.includes('18'),
    );
  });

  it('cannot be exported from an object that only looks like a key', () => {
    const key = generateKey();
    const lookalike: PrivateKey = {
      algorithm: key.algorithm,
      publicKey: key.publicKey,
      sign: (m) => key.sign(m),
      signText: (context, m) => key.signText(context, m),
    };
    assert.throws(() => exportKey(lookalike, 'seed'), /was not made by generateKey or importKey/);
  });
});

describe('peerIdOfKey()', () => {
  it('refuses what is no public key or no fingerprint', () => {
    const { publicKey } = generateKey();
    assert.throws(() => peerIdOfKey(publicKey, () => new Uint8Array(20)), /expected 32 bytes, got 20/);
    const untyped = peerIdOfKey as (...args: unknown[]) => string;
    assert.throws(() => untyped(undefined), /expected \{ algorithm, spki \}, got undefined/);
    assert.throws(() => untyped(publicKey, 7), /Cannot take fingerprint/);
    const other = { algorithm: '1.2.3', spki: fromHex('300506032b6570') };
    assert.throws(() => sshFingerprint(other), /expected ed25519, ecdsa-p256 or RSA, got 1.2.3/);
  });

  it('P-256 keys have a form for SSH', () => {
    const key = generateKey({ algorithm: 'ecdsa-p256', random: (n) => new Uint8Array(n).fill(1) });
    const wire = toHex(sshWireKey(key.publicKey));
    assert.match(wire, /^0000001365636473612d736861322d6e69737470323536000000086e697374703235360000004104/);
  });
});
