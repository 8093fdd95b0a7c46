/**
 * What a peer's bytes can make the decoders and verifiers of keys and certificates do, as a count of operations: elements
 * that are read, signatures that are checked. Times would depend on the machine; the limits are such that no input takes
 * more than 20 ms in one turn.
 */

import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { profileOf } from '../../src/identity/certificate-profile.ts';
import { MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES, verifyChain } from '../../src/identity/chain.ts';
import {
  der,
  derBitString,
  derOid,
  DerReader,
  derSequence,
  derUnsigned,
  MAX_DER_ELEMENTS,
  readDer,
  TAG,
} from '../../src/identity/der.ts';
import { issued } from '../../src/identity/issued.ts';
import {
  type Certificate,
  type CertificateExtension,
  createCertificate,
  createKeyRegistry,
  createSelfSignedCertificate,
  decodeOid,
  decodePkcs8,
  decodeSpki,
  defaultKeyRegistry,
  ed25519,
  encodeOid,
  OIDS,
  parseCertificate,
  verifySelfSigned,
} from '../../src/identity/x509.ts';
import { keyOf } from '../../src/identity/quic-identity.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** The most that a peer can send in one handshake, or in one datagram that is put together. */
const INPUT_BYTES = 65_000;
/** Readers that a certificate is read by: as a whole, what is signed, extensions, the key, and four extensions. */
const READERS = 8;

const many = (element: Uint8Array): Uint8Array[] =>
  Array.from({ length: Math.floor(INPUT_BYTES / element.length) }, () => element);
const longOid = derOid(`1.3.${Array.from({ length: 12 }, () => String(2n ** 64n - 1n)).join('.')}`);

function nested(depth: number): Uint8Array {
  let inner: Uint8Array = new Uint8Array(0);
  for (let i = 0; i < depth; i++) inner = der(TAG.sequence, inner);
  return inner;
}

function extension(oid: string, value: Uint8Array): CertificateExtension {
  return { oid, critical: false, value: Uint8Array.from(value) };
}

const dates = { serialNumber: Uint8Array.of(1), notBeforeMs: 0, notAfterMs: 2_000_000_000_000 };

function certificate(extensions: readonly CertificateExtension[]): Uint8Array {
  return createSelfSignedCertificate({
    ...dates,
    signer: testKey(1),
    registry: defaultKeyRegistry,
    commonName: 'worst',
    extensions,
  });
}

const extensionsOf = (element: Uint8Array): Uint8Array[] =>
  [OIDS.subjectAltName, OIDS.extendedKeyUsage, OIDS.basicConstraints, OIDS.keyUsage].map((oid) =>
    certificate([extension(oid, derSequence(...many(element)))]),
  );

/** Bytes of many kinds, each as large as a peer can send: whole, and in the places where decoders look. */
const INPUTS: Readonly<Record<string, readonly Uint8Array[]>> = {
  'many short elements': [derSequence(...many(der(TAG.null))), ...many(der(TAG.null)).slice(0, 1)],
  'many names': extensionsOf(der(0x82)),
  'many identifiers': [derSequence(...many(longOid)), ...extensionsOf(longOid)],
  'many extensions': [
    certificate(Array.from({ length: 2500 }, (_, i) => extension(`1.3.${i}`, new Uint8Array(8)))),
    certificate(Array.from({ length: 300 }, (_, i) => extension(`1.3.${i}.${2n ** 64n - 1n}`, new Uint8Array(150)))),
  ],
  'deep sequences': [nested(15_000)],
  'long numbers': [
    derSequence(derUnsigned(new Uint8Array(INPUT_BYTES).fill(0xff))),
    derSequence(derSequence(derOid(OIDS.ed25519)), derBitString(new Uint8Array(INPUT_BYTES).fill(0xff))),
    derSequence(
      derUnsigned(Uint8Array.of(0)),
      derSequence(derOid(OIDS.ed25519)),
      der(TAG.octetString, derSequence(...many(der(TAG.null)))),
    ),
  ],
};

/** Elements that are read while `run` runs. */
function elementsOf(run: () => unknown): number {
  const spy = mock.method(DerReader.prototype, 'contents');
  try {
    run();
    return spy.mock.callCount();
  } finally {
    spy.mock.restore();
  }
}

const DECODERS: Readonly<
  Record<string, { readonly readers: number; readonly decode: (bytes: Uint8Array) => unknown }>
> = {
  decodeSpki: { readers: 1, decode: decodeSpki },
  // The key inside is read by a reader of its own.
  decodePkcs8: { readers: 1, decode: decodePkcs8 },
  'registry.decodePrivateKey': { readers: 2, decode: (bytes) => defaultKeyRegistry.decodePrivateKey(bytes) },
  'registry.parsePublicKey': { readers: 1, decode: (bytes) => defaultKeyRegistry.parsePublicKey(bytes) },
  'registry.verifier': { readers: 1, decode: (bytes) => defaultKeyRegistry.verifier(bytes) },
  parseCertificate: { readers: 4, decode: parseCertificate },
  'keyOf, of a certificate in QUIC': { readers: READERS, decode: (bytes) => keyOf(Uint8Array.from(bytes)) },
  'profileOf, of a certificate': {
    readers: READERS,
    decode: (bytes) => {
      const parsed = parseCertificate(bytes);
      return parsed === undefined ? undefined : profileOf(parsed);
    },
  },
};

describe('worst cases', () => {
  for (const [name, { readers, decode }] of Object.entries(DECODERS)) {
    it(`${name} reads a bounded number of elements, whatever comes`, () => {
      for (const [what, inputs] of Object.entries(INPUTS)) {
        for (const bytes of inputs) {
          const elements = elementsOf(() => decode(bytes));
          // One more for the element that is refused.
          assert.ok(elements <= readers * (MAX_DER_ELEMENTS + 1), `${what}: ${elements} elements`);
        }
      }
    });
  }

  it('a reader and those inside it read no more than their common limit', () => {
    const readAll = (bytes: Uint8Array): number | undefined =>
      readDer(bytes, (reader) => {
        const inner = reader.sequence();
        let elements = 0;
        for (; !inner.done; elements++) inner.any();
        return elements;
      });
    const list = (n: number): Uint8Array => derSequence(...Array.from({ length: n }, () => der(TAG.null)));
    assert.equal(readAll(list(MAX_DER_ELEMENTS - 1)), MAX_DER_ELEMENTS - 1, 'the list itself is one');
    assert.equal(readAll(list(MAX_DER_ELEMENTS)), undefined);
  });

  it('a certificate has at most 32 extensions', () => {
    const withExtensions = (n: number): Certificate | undefined =>
      parseCertificate(certificate(Array.from({ length: n }, (_, i) => extension(`1.3.${i}`, new Uint8Array(1)))));
    assert.equal(withExtensions(32)?.extensions.length, 32);
    assert.equal(withExtensions(33), undefined);
  });

  it('identifiers end at 128 bytes and 64 bits, and go there and back up to that', () => {
    for (const oid of ['2.5.4.3', `1.3.${2n ** 64n - 1n}`, `1.3.${2n ** 35n}.${2n ** 35n - 1n}.${2n ** 53n + 1n}`]) {
      assert.equal(decodeOid(encodeOid(oid)), oid);
    }
    assert.equal(decodeOid(Uint8Array.of(0x2b, 0x82, ...new Uint8Array(8).fill(0x80), 0)), undefined, '2^64');
    assert.equal(decodeOid(Uint8Array.of(0x2b, ...new Uint8Array(10).fill(0xff), 0x7f)), undefined, '77 bits');
    assert.equal(decodeOid(new Uint8Array(128).fill(1))?.split('.').length, 129);
    assert.equal(decodeOid(new Uint8Array(129).fill(1)), undefined);
  });

  it('a self-signed certificate takes one signature check', () => {
    let checks = 0;
    const counting = createKeyRegistry([
      {
        ...ed25519,
        verify: (bits) => {
          const verify = ed25519.verify(bits);
          return verify && ((message, signature) => (checks++, verify(message, signature)));
        },
      },
    ]);
    for (const bytes of Object.values(INPUTS).flat()) {
      const parsed = parseCertificate(bytes);
      if (parsed === undefined) continue;
      checks = 0;
      verifySelfSigned(parsed, counting);
      assert.ok(checks <= 1);
    }
    checks = 0;
    assert.notEqual(verifySelfSigned(parseCertificate(certificate([]))!, counting), undefined);
    assert.equal(checks, 1);
  });

  it('a chain reads each certificate once, and no more of them than its limits', () => {
    const fill = extension(OIDS.subjectAltName, derSequence(...Array.from({ length: 2000 }, () => der(0x82))));
    const chain = Array.from({ length: MAX_CHAIN_CERTIFICATES }, (_, i) =>
      createCertificate({
        ...dates,
        serialNumber: Uint8Array.of(1, i),
        subjectKey: testKey(1).publicKey,
        issuer: { key: testKey(1) },
        commonName: 'loop',
        isAuthority: i > 0,
        extensions: [fill],
      }),
    );
    const question = { anchors: [], wallMs: 1_000_000_000_000, usage: 'server', serverName: 'a.example' } as const;
    const one = elementsOf(() => profileOf(parseCertificate(chain[1]!)!));
    let fault: string | undefined;
    const elements = elementsOf(() => {
      fault = verifyChain({ ...question, chain })?.fault;
    });
    assert.equal(fault, 'too_complex');
    // And the keys of issuers, again for each signature.
    assert.ok(elements <= (one + 20) * MAX_CHAIN_CERTIFICATES, `${elements}, ${one} in one`);
    const tooMany = elementsOf(() => {
      fault = verifyChain({ ...question, chain: [...chain, chain[0]!] })?.fault;
    });
    assert.deepEqual([fault, tooMany], ['malformed', 0]);
    const tooLarge = elementsOf(() => {
      fault = verifyChain({ ...question, chain: [new Uint8Array(MAX_CHAIN_BYTES + 1)] })?.fault;
    });
    assert.deepEqual([fault, tooLarge], ['malformed', 0]);
  });

  it('a signature takes one key and one check', () => {
    const parsed = parseCertificate(certificate([]))!;
    assert.equal(issued(parsed, parsed), 'yes');
    assert.ok(elementsOf(() => issued(parsed, parsed)) <= 10);
  });
});
