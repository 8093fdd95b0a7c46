import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as fc from '../support/fast-check.ts';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import {
  createSelfSignedCertificate,
  defaultKeyRegistry as registry,
  encodePem,
  OIDS,
  parseCertificate,
  verifySelfSigned,
  type Certificate,
} from '../../src/identity/x509.ts';

const vectors = JSON.parse(readFileSync(new URL('../vectors/go-p2p.json', import.meta.url), 'utf8'));
const secret = new Uint8Array(32).fill(7);
const notBeforeMs = Date.UTC(2024, 1, 29, 12, 34, 56);
const notAfterMs = Date.UTC(2051, 0, 1);

function make(algorithm: string): Uint8Array<ArrayBuffer> {
  return createSelfSignedCertificate({
    signer: registry.signer(algorithm, secret),
    registry,
    serialNumber: Uint8Array.of(0xff, 1, 2),
    notBeforeMs,
    notAfterMs,
    commonName: 'alice',
    extensions: [{ oid: OIDS.basicConstraints, critical: true, value: fromHex('3000') }],
  });
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

for (const algorithm of ['ed25519', 'ecdsa-p256']) {
  describe(`a self-signed ${algorithm} certificate`, () => {
    const der = make(algorithm);

    it('is what node:crypto takes it for', () => {
      const node = new X509Certificate(der);
      assert.equal(node.verify(node.publicKey), true);
      assert.equal(node.checkIssued(node), true);
      assert.equal(node.subject, 'CN=alice');
      assert.equal(node.serialNumber, '7F0102');
      assert.equal(new Date(node.validFrom).getTime(), notBeforeMs);
      assert.equal(new Date(node.validTo).getTime(), notAfterMs);
      const spki = node.publicKey.export({ format: 'der', type: 'spki' });
      assert.equal(toHex(spki), toHex(registry.signer(algorithm, secret).publicKey.spki));
    });

    it('is what openssl takes it for', { skip: hasOpenssl() ? false : 'openssl is not installed' }, () => {
      const folder = mkdtempSync(join(tmpdir(), 'shoal-x509-'));
      try {
        const path = join(folder, 'certificate.pem');
        writeFileSync(path, encodePem('CERTIFICATE', der));
        const text = execFileSync('openssl', ['x509', '-in', path, '-noout', '-text'], { encoding: 'utf8' });
        assert.match(text, /Version: 3/);
        assert.match(text, /Basic Constraints: critical/);
        const verified = execFileSync('openssl', ['verify', '-CAfile', path, '-check_ss_sig', '-partial_chain', path], {
          encoding: 'utf8',
        });
        assert.match(verified, /OK/);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    it('parseCertificate() gives back what went in, and verifySelfSigned() the key', () => {
      const certificate = parseCertificate(der)!;
      assert.equal(certificate.notBeforeMs, notBeforeMs);
      assert.equal(certificate.notAfterMs, notAfterMs);
      assert.equal(toHex(certificate.serialNumber), '7f0102');
      assert.deepEqual(certificate.extensions, [
        { oid: OIDS.basicConstraints, critical: true, value: fromHex('3000') },
      ]);
      assert.equal(verifySelfSigned(certificate, registry)!.algorithm, algorithm);
    });

    it('no changed byte is taken', () => {
      for (let i = 0; i < der.length; i++) {
        const forged = der.slice();
        forged[i]! ^= 0x01;
        const certificate = parseCertificate(forged);
        assert.ok(certificate === undefined || verifySelfSigned(certificate, registry) === undefined, `byte ${i}`);
      }
    });

    it('no cut and no trailing byte is taken', () => {
      for (let length = 0; length < der.length; length++) {
        assert.equal(parseCertificate(der.subarray(0, length)), undefined);
      }
      assert.equal(parseCertificate(Uint8Array.of(...der, 0)), undefined);
    });
  });
}

describe('parseCertificate()', () => {
  it('reads a certificate of go-p2p', () => {
    const certificate = parseCertificate(fromHex(vectors.quicswarm.example_cert_der))!;
    assert.equal(toHex(certificate.spki), vectors.keys[0].spki_der);
    assert.equal(toHex(certificate.subject), '3000');
    assert.equal(verifySelfSigned(certificate, registry)!.algorithm, 'ed25519');
  });

  it('refuses an algorithm outside that is not the one inside', () => {
    const der = make('ed25519');
    const outside = der.length - 67 - 7; // BIT STRING of 64 bytes, then the identifier before it
    assert.equal(toHex(der.subarray(outside, outside + 7)), '300506032b6570');
    der[outside + 6] = 0x71;
    assert.equal(parseCertificate(der), undefined);
  });

  it('never throws, whatever the bytes', () => {
    const der = make('ed25519');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
        const bytes = der.slice();
        for (const [at, value] of changes) bytes[at] = value;
        const parsed: Certificate | undefined = parseCertificate(bytes);
        if (parsed !== undefined) verifySelfSigned(parsed, registry);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseCertificate(bytes)));
  });
});

describe('createSelfSignedCertificate()', () => {
  const signer = registry.signer('ed25519', secret);
  const options = { signer, registry, serialNumber: Uint8Array.of(1), notBeforeMs, notAfterMs };

  it('refuses serial numbers and times that cannot be written', () => {
    assert.throws(() => createSelfSignedCertificate({ ...options, serialNumber: new Uint8Array(0) }), /got 0/);
    assert.throws(() => createSelfSignedCertificate({ ...options, serialNumber: new Uint8Array(21) }), /got 21/);
    for (const time of [Number.NaN, Infinity, -1e15, 253_402_300_800_000]) {
      assert.throws(() => createSelfSignedCertificate({ ...options, notAfterMs: time }), RangeError);
    }
  });

  it('refuses a signer whose algorithm the registry does not know', () => {
    const stranger = { ...signer, publicKey: { algorithm: 'rsa', spki: signer.publicKey.spki } };
    assert.throws(() => createSelfSignedCertificate({ ...options, signer: stranger }), /the registry has no rsa/);
  });
});
