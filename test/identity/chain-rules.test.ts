/** Chains made up by a peer: what each rule refuses. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { der, derOid, derSequence, derUnsigned, TAG } from '../../src/identity/der.ts';
import {
  type CertificateExtension,
  createKeyRegistry,
  createSelfSignedCertificate,
  defaultKeyRegistry,
  ed25519,
  encodeSpki,
  type KeyAlgorithm,
  OIDS,
  type Signer,
} from '../../src/identity/x509.ts';
import { generateKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';
import {
  authority,
  bare,
  CODE_SIGNING,
  constraints,
  DATES,
  dnsName,
  extension,
  fault,
  issue,
  issued,
  type Issued,
  keyUsage,
  MAY_CERTIFY,
  NOW_MS,
  problem,
  purposes,
  root,
  SERVER_AUTH,
  yes,
} from './made-chain.ts';

describe('authorities', () => {
  it("a peer's self-signed certificate among the authorities is that peer's and nobody else's", () => {
    const peer = issued(
      testKey(5),
      createSelfSignedCertificate({
        signer: testKey(5),
        registry: defaultKeyRegistry,
        serialNumber: Uint8Array.of(1),
        commonName: 'peer',
        ...DATES,
      }),
    );
    assert.equal(fault([peer], { anchors: [peer] }), undefined);
    assert.equal(fault([issue(testKey(3), peer)], { anchors: [peer] }), 'constraints');
  });

  it('an authority needs basicConstraints, and keyCertSign where it has a key usage', () => {
    const anchor = (...extensions: CertificateExtension[]): string | undefined => {
      const made = bare(extensions, testKey(6));
      return fault([issue(testKey(3), made)], { anchors: [made] });
    };
    assert.equal(anchor(constraints(yes), MAY_CERTIFY), undefined);
    assert.equal(anchor(constraints(yes)), undefined);
    assert.equal(anchor(constraints(yes), keyUsage(7, 0x80)), 'constraints');
    assert.equal(anchor(constraints(), keyUsage(7, 0x80)), 'constraints');
    assert.equal(anchor(), 'constraints');
  });

  it('what holds for authorities holds for those between', () => {
    const between = (...extensions: CertificateExtension[]): string | undefined => {
      const made = bare(extensions, testKey(6));
      return fault([issue(testKey(3), made), made]);
    };
    assert.equal(between(constraints(yes), MAY_CERTIFY), undefined);
    assert.equal(between(constraints(yes), keyUsage(7, 0x80)), 'constraints');
    assert.equal(between(MAY_CERTIFY), 'constraints', 'keyCertSign alone makes no authority');
    assert.equal(between(), 'constraints');
  });

  it('extended key usage holds along the chain, of authorities too', () => {
    const code = bare([constraints(yes), MAY_CERTIFY, purposes(CODE_SIGNING)], testKey(6));
    assert.equal(fault([issue(testKey(3), code), code]), 'usage');
    assert.equal(fault([issue(testKey(3), code)], { anchors: [code] }), 'usage');
    const server = bare([constraints(yes), MAY_CERTIFY, purposes(CODE_SIGNING, SERVER_AUTH)], testKey(6));
    assert.equal(fault([issue(testKey(3), server), server]), undefined);
    assert.equal(fault([issue(testKey(3), server), server], { usage: 'client' }), 'usage');
    const any = bare([constraints(yes), MAY_CERTIFY, purposes('2.5.29.37.0')], testKey(6));
    assert.equal(
      fault([issue(testKey(3), any), any], { usage: 'client' }),
      'usage',
      'openssl takes it for neither role',
    );
  });

  it('path lengths are numbers of any size, and count what is not self-issued', () => {
    const limited = (...number: number[]): Issued =>
      bare([constraints(yes, der(TAG.integer, Uint8Array.from(number))), MAY_CERTIFY], testKey(6));
    const below = (anchor: Issued, n: number, selfIssued: boolean): Issued[] => {
      const chain: Issued[] = [];
      let by = anchor;
      for (let i = 0; i < n; i++) {
        const commonName = selfIssued ? 'bare' : `middle ${i}`;
        chain.unshift((by = issue(testKey(20 + i), by, { ...authority, commonName })));
      }
      return [issue(testKey(3), by), ...chain];
    };
    for (const number of [[0, 200], [1, 0], [127], [1, 1, 1, 1, 1, 1, 1, 1, 1]]) {
      const anchor = limited(...number);
      assert.equal(fault(below(anchor, 2, false), { anchors: [anchor] }), undefined, String(number));
    }
    const [none, one] = [limited(0), limited(1)];
    assert.equal(fault(below(none, 0, false), { anchors: [none] }), undefined);
    assert.equal(fault(below(none, 1, false), { anchors: [none] }), 'constraints');
    assert.equal(fault(below(one, 1, false), { anchors: [one] }), undefined);
    assert.equal(fault(below(one, 2, false), { anchors: [one] }), 'constraints');
    const openssl = 'openssl tries only one authority of a name';
    assert.equal(fault(below(none, 3, true), { anchors: [none], openssl }), undefined, 'self-issued ones do not count');
    const negative = limited(0x80);
    assert.equal(fault(below(negative, 0, false), { anchors: [negative] }), 'malformed');
  });

  it('the most telling problem is named, whatever else leads nowhere', () => {
    const past = { notBeforeMs: NOW_MS - 9000, notAfterMs: NOW_MS - 5000 };
    const key = testKey(6);
    const stranger = issue(testKey(7), undefined, { ...authority, commonName: 'stranger' });
    const nowhere = issue(key, stranger, { ...authority, commonName: 'm' });
    const old = issue(key, root, { ...authority, commonName: 'm', ...past });
    const plain = issue(key, root, { commonName: 'm' });
    const end = issue(testKey(3), old);
    assert.equal(fault([end, nowhere, old]), 'expired');
    assert.equal(fault([end, old, nowhere]), 'expired');
    assert.equal(fault([end, old, plain]), 'expired');
    assert.equal(fault([end, plain, old]), 'constraints');
    assert.equal(fault([end, nowhere]), 'unknown_ca');
  });

  it('dates hold for authorities and those between', () => {
    const past = { notBeforeMs: NOW_MS - 9000, notAfterMs: NOW_MS - 5000 };
    const old = issue(testKey(6), root, { ...authority, commonName: 'old', ...past });
    assert.equal(fault([issue(testKey(3), old), old]), 'expired');
    assert.equal(fault([issue(testKey(3), old)], { anchors: [old] }), 'expired');
    const coming = { notBeforeMs: NOW_MS + 5000, notAfterMs: NOW_MS + 9000 };
    const young = issue(testKey(6), root, { ...authority, commonName: 'young', ...coming });
    assert.equal(fault([issue(testKey(3), young), young]), 'not_yet_valid');
    assert.equal(fault([issue(testKey(3), young)], { anchors: [young] }), 'not_yet_valid');
  });

  it('critical extensions that are not understood, and name constraints, count wherever they are', () => {
    for (const strange of [extension('1.2.3.4', Uint8Array.of(5, 0)), extension('2.5.29.30', derSequence(), false)]) {
      const between = issue(testKey(6), root, { ...authority, commonName: 'strange', extensions: [strange] });
      const openssl = strange.critical ? undefined : 'openssl evaluates name constraints; we refuse all of them';
      assert.equal(fault([issue(testKey(3), between), between], { openssl }), 'constraints');
      assert.equal(fault([issue(testKey(3), between)], { anchors: [between], openssl }), 'constraints');
      assert.equal(fault([bare([strange])], { openssl }), 'constraints');
    }
    assert.equal(fault([bare([extension('1.2.3.4', Uint8Array.of(5, 0), false)])]), undefined, 'neither');
  });

  it('serial numbers are positive and of at most 20 bytes, but for authorities', () => {
    const LENIENT = 'openssl does not look at serial numbers';
    const serial = (serialNumber: Uint8Array, openssl?: string): string | undefined =>
      fault([issue(testKey(3), root, { serialNumber })], { openssl });
    assert.equal(serial(new Uint8Array(20).fill(0x7f)), undefined);
    assert.equal(serial(Uint8Array.of(0), LENIENT), 'malformed');
    const raw = (bytes: readonly number[], openssl?: string): string | undefined =>
      fault([bare([], testKey(3), root, Uint8Array.from(bytes))], { openssl });
    assert.equal(raw(Array<number>(20).fill(1)), undefined);
    assert.equal(raw(Array<number>(21).fill(1), LENIENT), 'malformed');
    assert.equal(raw([0x80], LENIENT), 'malformed', 'negative');
    assert.equal(raw([0, 0x80]), undefined);
    const zero = issue(testKey(1), undefined, { ...authority, commonName: 'root', serialNumber: Uint8Array.of(0) });
    assert.equal(fault([issue(testKey(3), zero)], { anchors: [zero] }), undefined);
    const between = issue(testKey(6), root, { ...authority, commonName: 'm', serialNumber: Uint8Array.of(0) });
    assert.equal(fault([issue(testKey(3), between), between], { openssl: LENIENT }), 'malformed');
  });
});

describe('end entities', () => {
  it('an extension that is understood and cannot be read makes a certificate useless, critical or not', () => {
    const garbage = Uint8Array.of(0x30, 5, 1);
    for (const critical of [true, false]) {
      for (const oid of [OIDS.basicConstraints, OIDS.keyUsage, OIDS.extendedKeyUsage, OIDS.subjectAltName]) {
        assert.equal(fault([bare([extension(oid, garbage, critical)])]), 'malformed', oid);
        assert.equal(fault([bare([extension(oid, new Uint8Array(0), critical)])]), 'malformed', oid);
      }
    }
    const trailing = extension(OIDS.basicConstraints, Uint8Array.of(...derSequence(), 0));
    assert.equal(fault([bare([trailing])], { openssl: 'openssl ignores bytes after the value' }), 'malformed');
    assert.equal(fault([bare([constraints(derUnsigned(Uint8Array.of(1)), yes)])]), 'malformed');
    const noPurpose = bare([extension(OIDS.extendedKeyUsage, derSequence())]);
    assert.equal(fault([noPurpose]), 'malformed');
    const openssl = 'openssl reads names only where one is asked for';
    assert.equal(fault([bare([extension(OIDS.subjectAltName, derSequence())])], { openssl }), 'malformed', 'no name');
    const wrongTag = extension(OIDS.subjectAltName, derSequence(der(TAG.utf8String, Uint8Array.of(97))));
    assert.equal(fault([bare([wrongTag])]), 'malformed');
    const wrongNumber = extension(OIDS.subjectAltName, derSequence(der(0x89, Uint8Array.of(97))));
    assert.equal(fault([bare([wrongNumber])]), 'malformed');
    const many = purposes(...Array.from({ length: 65 }, (_, i) => `1.3.6.${i}`));
    assert.equal(fault([bare([many])]), 'malformed');
  });

  it('key usage is a bit string in its right form', () => {
    assert.equal(fault([bare([keyUsage(7, 0x80)])]), undefined);
    assert.equal(fault([bare([keyUsage(7, 0xc0, 0x80)])]), undefined);
    const LENIENT = new Set(['7 129', '6 128 0 64']);
    const wrong: readonly number[][] = [
      [32, 0x80],
      [8, 0x80, 0],
      [9, 0x80],
      [8, 0x80],
      [7, 0x81],
      [0],
      [],
      [0, 0],
      [6, 0x80, 0, 0x40],
      [255, 0x80],
    ];
    for (const bits of wrong) {
      const openssl = LENIENT.has(bits.join(' ')) ? 'openssl takes unused bits that are set' : undefined;
      assert.equal(fault([bare([keyUsage(...bits)])], { openssl }), 'malformed', bits.join(' '));
    }
    const openssl = 'openssl lets keyEncipherment do, which TLS 1.3 has no use for';
    assert.equal(fault([bare([keyUsage(5, 0x20)])], { openssl }), 'usage', 'no digitalSignature');
    assert.equal(fault([bare([MAY_CERTIFY])]), 'constraints', 'who may certify is an authority');
  });

  it('the purposes must have that of its role; any purpose is not enough', () => {
    assert.equal(fault([bare([purposes(SERVER_AUTH)])]), undefined);
    assert.equal(fault([bare([purposes(SERVER_AUTH)])], { usage: 'client' }), 'usage');
    assert.equal(fault([bare([purposes('1.3.6.1.5.5.7.3.2')])], { usage: 'client' }), undefined);
    assert.equal(fault([bare([purposes('2.5.29.37.0')])], { usage: 'client' }), 'usage');
    assert.equal(fault([bare([purposes(CODE_SIGNING)])]), 'usage');
  });

  it('names are compared as ASCII', () => {
    const named = (name: string, serverName: string, openssl?: string): string | undefined =>
      fault([bare([dnsName(Buffer.from(name, 'latin1'))])], { serverName, openssl });
    assert.equal(named('k.example', 'K.EXAMPLE'), undefined);
    assert.equal(named('K.example', 'k.example.', 'openssl keeps a dot at the end'), undefined);
    assert.equal(named('k.example', '\u212A.example'), 'name', 'the sign for kelvin');
    for (const name of ['b_r.example', '-b.example', 'b..example', '', '*.example.test', '\u00E9.example']) {
      const openssl = name.includes('\u00E9') ? undefined : 'openssl takes any equal text';
      assert.equal(named(name, name, openssl), 'name', name);
    }
    assert.equal(named('*.example.test', 'x.example.test'), undefined);
    assert.equal(named('*.example.test', 'x.other.test'), 'name');
    assert.equal(named('*.test', 'x.test'), 'name');
    for (const tag of [0x81, 0x86, 0x80, 0xa4]) {
      const other = extension(OIDS.subjectAltName, derSequence(der(tag, Buffer.from('a.example'))));
      assert.equal(fault([bare([other])], { serverName: 'a.example' }), 'name', 'a mail address, say');
    }
    const long = (bytes: number): string => `${'a.'.repeat(bytes)}a`.slice(-bytes);
    assert.equal(named(long(253), long(253)), undefined);
    assert.equal(named(long(255), long(255), 'openssl does not look at lengths'), 'name');
    assert.equal(named('x*.example.test', 'xy.example.test', 'openssl takes part of a label'), 'name');
    assert.equal(named('10.0.0.1', '10.0.0.1'), 'name', 'an IP is no DNS name');
    assert.equal(fault([bare([])], { serverName: 'a.example' }), 'name');
    const ip = (...bytes: number[]): CertificateExtension =>
      extension(OIDS.subjectAltName, derSequence(der(0x87, Uint8Array.from(bytes))));
    assert.equal(fault([bare([ip(10, 0, 0, 1)])], { serverName: '10.0.0.1' }), undefined);
    assert.equal(fault([bare([ip(10, 0, 0, 2)])], { serverName: '10.0.0.1' }), 'name');
    assert.equal(fault([bare([ip(10, 0, 0, 1, 255, 255, 255, 0)])], { serverName: '10.0.0.1' }), 'name');
  });

  it('a name of 130 000 bytes is no name, and throws nothing', () => {
    const large = bare([dnsName(new Uint8Array(130_000).fill(97))]);
    assert.equal(fault([large]), undefined);
    assert.equal(fault([large], { serverName: 'a.example' }), 'name');
    const many = bare([
      extension(OIDS.subjectAltName, derSequence(...Array.from({ length: 40_000 }, () => der(0x82)))),
    ]);
    assert.equal(fault([many], { serverName: 'a.example' }), 'malformed', 'more names than anybody has');
  });
});

/** An algorithm of which only the names matter: what it signs is not looked at. */
const fake = (name: string, signature: string, parameters?: Uint8Array): KeyAlgorithm => ({
  ...ed25519,
  name,
  identifier: { oid: `1.2.3.${signature.length}` },
  signatureIdentifier: {
    oid: signature,
    parameters: parameters === undefined ? undefined : Uint8Array.from(parameters),
  },
});

describe('algorithms of authorities', () => {
  const point = generateKey({ algorithm: 'ecdsa-p256' }).publicKey.spki;
  const NULL = Uint8Array.of(TAG.null, 0);
  const ec = (curve: string, bytes: number): Uint8Array =>
    encodeSpki({
      algorithm: { oid: OIDS.ecPublicKey, parameters: derOid(curve) },
      bits: new Uint8Array(bytes).fill(4),
    });
  const rsa = encodeSpki({
    algorithm: { oid: '1.2.840.113549.1.1.1', parameters: NULL },
    bits: derSequence(derUnsigned(new Uint8Array(256).fill(0xff)), derUnsigned(Uint8Array.of(3))),
  });
  const signedBy = (spki: Uint8Array, signature: string, parameters?: Uint8Array): string | undefined => {
    const algorithm = fake('fake', signature, parameters);
    const registry = createKeyRegistry([algorithm]);
    const signer: Signer = {
      publicKey: { algorithm: 'fake', spki: Uint8Array.from(spki) },
      sign: () => new Uint8Array(64),
    };
    const anchor = issue(signer, undefined, { ...authority, commonName: 'fake', registry });
    return problem([issue(testKey(3), anchor, { registry })], { anchors: [anchor] })?.why;
  };

  it('that are not supported are named, not taken for no authority', () => {
    const P256 = OIDS.prime256v1;
    const [SHA256, SHA384, SHA512] = [2, 3, 4].map((n) => `1.2.840.10045.4.3.${n}`);
    for (const [spki, oid] of [
      [point, SHA384!],
      [point, SHA512!],
      [ec('1.3.132.0.34', 97), SHA256!],
      [ec('1.3.132.0.35', 133), SHA512!],
      [ec('1.3.132.0.10', 65), SHA256!],
      [encodeSpki({ algorithm: { oid: OIDS.ecPublicKey }, bits: new Uint8Array(65) }), SHA256!],
      [rsa, '1.2.840.113549.1.1.10'],
      [rsa, '1.2.840.113549.1.1.5'],
      [encodeSpki({ algorithm: { oid: OIDS.ed448 }, bits: new Uint8Array(57) }), OIDS.ed448],
    ] as const) {
      const why = signedBy(spki, oid) ?? '';
      assert.ok(why.includes('not supported') && why.includes(oid), `${oid}: ${why}`);
    }
    assert.match(signedBy(point, SHA256!) ?? '', /no authority/, 'P-256 with SHA-256 is; the signature is wrong');
    assert.match(signedBy(ec('1.3.132.0.34', 97), SHA384!) ?? '', /no authority/);
    assert.match(signedBy(rsa, '1.2.840.113549.1.1.11', NULL) ?? '', /no authority/);
    assert.match(signedBy(rsa, '1.2.840.113549.1.1.10', NULL) ?? '', /not supported/);
    const bareRsa = encodeSpki({ algorithm: { oid: '1.2.840.113549.1.1.1' }, bits: new Uint8Array(9) });
    assert.match(signedBy(bareRsa, '1.2.840.113549.1.1.11', NULL) ?? '', /not supported/);
    const edwards = testKey(9).publicKey.spki;
    assert.match(signedBy(edwards, OIDS.ed25519) ?? '', /no authority/);
    assert.match(signedBy(edwards, OIDS.ed25519, NULL) ?? '', /not supported/);
    assert.match(signedBy(edwards, SHA256!) ?? '', /not supported/);
    assert.match(signedBy(point, SHA256!, NULL) ?? '', /not supported/, 'parameters where there are none');
    assert.match(signedBy(rsa, '1.2.840.113549.1.1.11') ?? '', /not supported/, 'none where there are some');
    assert.match(
      signedBy(encodeSpki({ algorithm: { oid: P256 }, bits: new Uint8Array(1) }), SHA256!) ?? '',
      /not supp/,
    );
  });
});
