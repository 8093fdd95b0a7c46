import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';

import { verifyChain } from '../../src/identity/chain.ts';
import { decodePem, encodePem, parseCertificate } from '../../src/identity/x509.ts';
import { generateKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { authority, DATES, fault, issue, NOW_MS, root } from './made-chain.ts';
import { skipOpenssl } from './openssl.ts';

const middle = issue(testKey(2), root, { ...authority, commonName: 'middle' });
const leaf = issue(testKey(3), middle, { dnsNames: ['a.example.test', '*.wild.example.test', '*.test'] });

const TRAILING_DOT = 'openssl compares a name with a dot at its end as it stands';
const LAST_SECOND = 'openssl lets a certificate expire at its last second, RFC 5280 §4.1.2.5 after it';

describe('chains of certificates', () => {
  it('lead to an authority, in whatever order the others come', () => {
    assert.equal(fault([leaf, middle]), undefined);
    const other = issue(testKey(9), undefined, authority);
    assert.equal(fault([leaf, other, root, middle]), undefined);
    assert.equal(fault([leaf]), 'unknown_ca');
    assert.equal(fault([leaf, middle], { anchors: [other] }), 'unknown_ca');
    assert.equal(fault([leaf], { anchors: [leaf] }), undefined, 'one that is named itself');
  });

  it('a forged signature leads nowhere, even under the right name', () => {
    const forged = issue(testKey(3), { ...middle, key: testKey(77) });
    assert.equal(fault([forged, middle]), 'unknown_ca');
    const twin = issue(testKey(77), undefined, { ...authority, commonName: 'root' });
    assert.equal(fault([issue(testKey(3), twin)]), 'unknown_ca');
  });

  it('hold from the first to the last moment of each certificate', () => {
    assert.equal(fault([leaf, middle], { wallMs: DATES.notAfterMs, openssl: LAST_SECOND }), undefined);
    assert.equal(fault([leaf, middle], { wallMs: DATES.notAfterMs + 1 }), 'expired');
    assert.equal(fault([leaf, middle], { wallMs: DATES.notBeforeMs }), undefined);
    assert.equal(fault([leaf, middle], { wallMs: DATES.notBeforeMs - 1 }), 'not_yet_valid');
    const old = issue(testKey(2), root, { ...authority, notBeforeMs: NOW_MS - 9000, notAfterMs: NOW_MS - 5000 });
    assert.equal(fault([issue(testKey(3), old), old]), 'expired');
  });

  it('names are those of the subject alternative name; a wildcard is one label, and never a whole domain', () => {
    const name = (serverName: string): string | undefined => fault([leaf, middle], { serverName });
    assert.equal(name('a.example.test'), undefined);
    assert.equal(fault([leaf, middle], { serverName: 'A.Example.Test.', openssl: TRAILING_DOT }), undefined);
    assert.equal(name('x.wild.example.test'), undefined);
    for (const wrong of [
      'b.example.test',
      'x.y.wild.example.test',
      'wild.example.test',
      'b.test',
      'somebody',
      '10.0.0.1',
    ]) {
      assert.equal(name(wrong), 'name', wrong);
    }
  });

  it('authorities only sign: what is none, or may not, or for so many, is refused', () => {
    const plain = issue(testKey(4), root);
    assert.equal(fault([issue(testKey(3), plain), plain]), 'constraints');
    assert.equal(fault([leaf, middle], { usage: 'client' }), undefined);
    const clientOnly = issue(testKey(3), root, { usages: ['client'] });
    assert.equal(fault([clientOnly]), 'usage');
    const strange = issue(testKey(3), root, {
      extensions: [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }],
    });
    assert.equal(fault([strange]), 'constraints');
    const harmless = issue(testKey(3), root, {
      extensions: [{ oid: '1.2.3.4', critical: false, value: Uint8Array.of(5, 0) }],
    });
    assert.equal(fault([harmless]), undefined);
  });

  it('loops and long chains end', () => {
    const self = issue(testKey(5), undefined, { ...authority, commonName: 'loop' });
    assert.equal(fault([issue(testKey(3), self), self, self, self, self]), 'unknown_ca');
    assert.equal(fault(Array.from({ length: 20 }, () => leaf)), 'malformed');
    assert.equal(
      verifyChain({ chain: [new Uint8Array(5)], anchors: [], wallMs: 0, usage: 'server', serverName: undefined })
        ?.fault,
      'malformed',
    );
  });

  it('openssl and we agree, both ways', { skip: skipOpenssl }, () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'shoal-chain-'));
    const file = (name: string): string => path.join(folder, name);
    const run = (...args: string[]): string =>
      execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    try {
      for (const [name, { der }] of Object.entries({ root, middle, leaf })) {
        writeFileSync(file(name), encodePem('CERTIFICATE', der));
      }
      const at = String(NOW_MS / 1000);
      const verified = run(
        'verify',
        '-attime',
        at,
        '-purpose',
        'sslserver',
        '-verify_hostname',
        'a.example.test',
        '-partial_chain',
        '-CAfile',
        file('root'),
        '-untrusted',
        file('middle'),
        file('leaf'),
      );
      assert.match(verified, /OK/);
      run(
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        file('ca.key'),
        '-out',
        file('ca.pem'),
        '-days',
        '2',
        '-subj',
        '/CN=theirs',
      );
      run(
        'req',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        file('end.key'),
        '-out',
        file('end.csr'),
        '-subj',
        '/CN=end',
      );
      writeFileSync(file('ext'), 'subjectAltName=DNS:end.example.test,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n');
      run(
        'x509',
        '-req',
        '-in',
        file('end.csr'),
        '-CA',
        file('ca.pem'),
        '-CAkey',
        file('ca.key'),
        '-CAcreateserial',
        '-out',
        file('end.pem'),
        '-days',
        '1',
        '-extfile',
        file('ext'),
      );
      const der = (name: string): Uint8Array => decodePem(readFileSync(file(name), 'utf8'))[0]!.der;
      const question = (serverName: string, usage: 'server' | 'client'): string | undefined =>
        verifyChain({
          chain: [der('end.pem')],
          anchors: [parseCertificate(der('ca.pem'))!],
          wallMs: Date.now() + 60_000,
          usage,
          serverName,
        })?.fault;
      assert.equal(question('end.example.test', 'server'), undefined);
      assert.equal(question('127.0.0.1', 'server'), undefined);
      assert.equal(question('127.0.0.2', 'server'), 'name');
      assert.equal(question('end.example.test', 'client'), 'usage');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it(
    'RSA and P-384 authorities of openssl sign too, and a broken signature of theirs does not',
    { skip: skipOpenssl },
    () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'shoal-chain-'));
      const file = (name: string): string => path.join(folder, name);
      const run = (...args: string[]): unknown => execFileSync('openssl', args, { stdio: 'ignore' });
      const der = (name: string): Uint8Array => decodePem(readFileSync(file(name), 'utf8'))[0]!.der;
      try {
        for (const [kind, ...hash] of [
          ['rsa:2048', '-sha256'],
          ['rsa:3072', '-sha512'],
          ['ec -pkeyopt ec_paramgen_curve:P-384', '-sha384'],
        ] as const) {
          run(
            'req',
            '-x509',
            '-newkey',
            ...kind.split(' '),
            '-nodes',
            '-keyout',
            file('ca.key'),
            '-out',
            file('ca.pem'),
            '-days',
            '2',
            '-subj',
            '/CN=ca',
            ...hash,
          );
          run(
            'req',
            '-newkey',
            'ed25519',
            '-nodes',
            '-keyout',
            file('end.key'),
            '-out',
            file('end.csr'),
            '-subj',
            '/CN=end',
          );
          writeFileSync(file('ext'), 'subjectAltName=DNS:end.example.test\n');
          run(
            'x509',
            '-req',
            '-in',
            file('end.csr'),
            '-CA',
            file('ca.pem'),
            '-CAkey',
            file('ca.key'),
            '-CAcreateserial',
            '-out',
            file('end.pem'),
            '-days',
            '1',
            '-extfile',
            file('ext'),
            ...hash,
          );
          const anchors = [parseCertificate(der('ca.pem'))!];
          const question = {
            anchors,
            wallMs: Date.now() + 60_000,
            usage: 'server',
            serverName: 'end.example.test',
          } as const;
          const good = der('end.pem');
          assert.equal(verifyChain({ ...question, chain: [good] }), undefined, kind);
          const bad = good.slice();
          bad[bad.length - 20]! ^= 1;
          assert.equal(verifyChain({ ...question, chain: [bad] })?.fault, 'unknown_ca', kind);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  it('P-256 authorities sign too', () => {
    const p256 = issue(generateKey({ algorithm: 'ecdsa-p256' }), undefined, authority);
    assert.equal(fault([issue(testKey(3), p256)], { anchors: [p256] }), undefined);
  });
});
