import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, it } from 'node:test';
import * as fc from '../support/fast-check.ts';
import { encodeText, fromHex, toHex } from '../../src/base/bytes.ts';
import {
  createKeyRegistry,
  decodePem,
  decodePkcs8,
  decodeSpki,
  defaultKeyRegistry as registry,
  ed25519,
  encodePem,
  encodeSpki,
  equalPublicKeys,
  type KeyAlgorithm,
} from '../../src/identity/x509.ts';

const secret = new Uint8Array(32).fill(9);

describe('key registry', () => {
  for (const name of ['ed25519', 'ecdsa-p256']) {
    it(`${name} keys are what node:crypto takes them for`, () => {
      const der = registry.encodePrivateKey(name, secret);
      const nodeKey = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
      const spki = createPublicKey(nodeKey).export({ format: 'der', type: 'spki' });
      assert.equal(toHex(spki), toHex(registry.signer(name, secret).publicKey.spki));
      const written = new Uint8Array(nodeKey.export({ format: 'der', type: 'pkcs8' }));
      assert.deepEqual(registry.decodePrivateKey(written)!.secret, secret);
      assert.deepEqual(registry.decodePrivateKey(der)!.secret, secret);
    });

    it(`${name} verifies its own signatures and no other`, () => {
      const signer = registry.signer(name, secret);
      const verifier = registry.verifier(signer.publicKey.spki)!;
      const signature = signer.sign(encodeText('hello'));
      assert.deepEqual(signer.sign(encodeText('hello')), signature, 'signatures are deterministic');
      assert.equal(verifier.verify(encodeText('hello'), signature), true);
      assert.equal(verifier.verify(encodeText('hellp'), signature), false);
      assert.equal(verifier.verify(encodeText('hello'), signature.subarray(1)), false);
      assert.equal(verifier.verify(encodeText('hello'), new Uint8Array(0)), false);
    });
  }

  it('keeps the parameters of algorithms it does not know', () => {
    const info = { algorithm: { oid: '1.2.3', parameters: fromHex('0500') }, bits: Uint8Array.of(1, 2) };
    const spki = encodeSpki(info);
    assert.deepEqual(decodeSpki(spki), info);
    assert.deepEqual(registry.parsePublicKey(spki), { algorithm: '1.2.3', spki });
    assert.equal(registry.verifier(spki), undefined);
    const withNull = encodeSpki({ algorithm: { oid: '1.3.101.112', parameters: fromHex('0500') }, bits: secret });
    assert.equal(registry.verifier(withNull), undefined, 'Ed25519 has no parameters, not even NULL (RFC 8410 §3)');
  });

  it('refuses trailing bytes, unused bits and long-winded lengths', () => {
    const { spki } = registry.signer('ed25519', secret).publicKey;
    const hex = toHex(spki);
    assert.notEqual(decodeSpki(spki), undefined);
    for (const bad of [
      `${hex}00`,
      hex.slice(0, -2),
      hex.replace('032100', '032101'),
      hex.replace(/^302a/, '30812a'),
      hex.replace(/^302a/, '3080'),
      hex.replace('300506032b6570', '300606032b657000'),
    ]) {
      assert.equal(decodeSpki(fromHex(bad)), undefined, bad);
    }
  });

  it('takes algorithms of others, and refuses two of one name', () => {
    const toy: KeyAlgorithm = { ...ed25519, name: 'toy', identifier: { oid: '1.2.3.4' } };
    const own = createKeyRegistry([ed25519, toy]);
    const signer = own.signer('toy', secret);
    assert.equal(own.verifier(signer.publicKey.spki)!.publicKey.algorithm, 'toy');
    assert.equal(registry.verifier(signer.publicKey.spki), undefined);
    assert.throws(() => createKeyRegistry([ed25519, { ...toy, name: 'ed25519' }]), /registered twice/);
    assert.throws(() => createKeyRegistry([ed25519, { ...ed25519, name: 'again' }]), /registered twice/);
    assert.throws(() => registry.signer('toy', secret), /expected one of ed25519, ecdsa-p256, got "toy"/);
    assert.throws(() => registry.signer('ecdsa-p256', new Uint8Array(32)), RangeError);
  });

  it('equalPublicKeys() compares the SPKI', () => {
    const a = registry.signer('ed25519', secret).publicKey;
    assert.equal(equalPublicKeys(a, { ...a, spki: a.spki.slice() }), true);
    assert.equal(equalPublicKeys(a, registry.signer('ed25519', new Uint8Array(32)).publicKey), false);
  });

  it('decoders never throw', () => {
    const seeds = [registry.signer('ed25519', secret).publicKey.spki, registry.encodePrivateKey('ecdsa-p256', secret)];
    for (const seed of seeds) {
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 4 }), (changes) => {
          const bytes = seed.slice();
          for (const [at, value] of changes) bytes[at] = value;
          decodeSpki(bytes);
          decodePkcs8(bytes);
          registry.verifier(bytes);
          registry.decodePrivateKey(bytes);
        }),
        { numRuns: 500 },
      );
    }
    fc.assert(fc.property(fc.string(), (text) => void decodePem(`-----BEGIN A-----\n${text}\n-----END A-----`)));
  });

  it('decodePem() undoes encodePem(), with either line end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (der) => {
        const text = encodePem('THING', der);
        assert.deepEqual(decodePem(`before\n${text}${text.replaceAll('\n', '\r\n')}`), [
          { label: 'THING', der: Uint8Array.from(der) },
          { label: 'THING', der: Uint8Array.from(der) },
        ]);
      }),
    );
  });

  it('decodePem() takes spaces and blank lines, and is done with a hostile mass of them', () => {
    const [block] = decodePem('-----BEGIN THING----- \t\n\n AQID \n\n-----END THING-----');
    assert.deepEqual(block, { label: 'THING', der: Uint8Array.of(1, 2, 3) });
    // Millions of line ends: anything worse than linear would not come back.
    for (const mass of ['\n', ' ', 'A', '-----BEGIN A-----\n']) {
      assert.deepEqual(decodePem(`-----BEGIN A-----${mass.repeat(2_000_000)}`), []);
    }
  });
});
