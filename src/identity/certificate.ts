/**
 * X.509 version 3 certificates (RFC 5280): writes self-signed ones, and parses all strictly. Chains, names and
 * revocation are not checked here: between peers a certificate only carries a key.
 */

import { copyBytes, decodeText, encodeText, equalBytes, type Bytes } from '../base/bytes.ts';
import { assertBytes, describeValue } from '../base/checks.ts';
import type { PublicKey } from '../core/secure.ts';
import { civilTimeOf, unixMsOf } from './calendar.ts';
import {
  contextTag,
  der,
  derBitString,
  derOid,
  derSequence,
  derUnsigned,
  DerSyntaxError,
  readDer,
  TAG,
} from './der.ts';
import type { DerReader } from './der.ts';
import type { KeyRegistry, Signer } from './key-algorithm.ts';
import { OIDS, type Oid } from './oid.ts';
import { decodeSpki, encodeAlgorithmIdentifier, readAlgorithmIdentifier, type AlgorithmIdentifier } from './spki.ts';

/** One extension of a certificate. */
export interface CertificateExtension {
  readonly oid: Oid;
  readonly critical: boolean;
  /** DER of the extension's own syntax. */
  readonly value: Bytes;
}

/** A parsed certificate. Nothing in it is verified. */
export interface Certificate {
  /** The whole certificate. */
  readonly der: Bytes;
  /** The part that is signed. */
  readonly toBeSigned: Bytes;
  /** Two's complement, big-endian. */
  readonly serialNumber: Bytes;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  /** DER of the name. */
  readonly issuer: Bytes;
  /** DER of the name. */
  readonly subject: Bytes;
  /** First and last moment of validity, milliseconds since the Unix epoch. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The subject's key. */
  readonly spki: Bytes;
  readonly extensions: readonly CertificateExtension[];
  readonly signature: Bytes;
}

/** Fields of every new certificate. Neither a clock nor randomness is used here: the caller passes both. */
export interface NewCertificate {
  /** 1 to 20 bytes, read as a positive number (RFC 5280 §4.1.2.2); random ones make certificates distinct. */
  readonly serialNumber: Uint8Array;
  /** Milliseconds since the Unix epoch; rounded down to seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Common name of the subject. @default none: the empty name, as in go-p2p's certificates */
  readonly commonName?: string | undefined;
  /** @default none */
  readonly extensions?: readonly CertificateExtension[] | undefined;
}

/** Options of {@link createSelfSignedCertificate}. */
export interface SelfSignedOptions extends NewCertificate {
  /** The owner of the certificate; `importKey`, `generateKey` and a registry create signers. */
  readonly signer: Signer;
  /** Must know the signer's algorithm. */
  readonly registry: KeyRegistry;
}

/** RFC 5280 §4.1.2.5: two-digit years reach to 2049. */
const GENERALIZED_FROM_YEAR = 2050;
/**
 * 1950-01-01, the first time that two-digit years can express, and 10000-01-01, the first that four-digit years cannot.
 */
const FIRST_MS = -631_152_000_000;
const END_MS = 253_402_300_800_000;
const MAX_SERIAL_BYTES = 20;
/** Several times the number in any certificate in use. Each is compared with all before it. */
const MAX_EXTENSIONS = 32;

function refuse(why: string): never {
  throw new DerSyntaxError(why);
}

function encodeTime(label: string, ms: number): Bytes {
  if (typeof ms !== 'number' || !(ms >= FIRST_MS && ms < END_MS)) {
    throw new RangeError(`Cannot take ${label}: expected a time from 1950 to 9999, got ${describeValue(ms)}`);
  }
  const { year, month, day, hour, minute, second } = civilTimeOf(ms);
  const rest = [month, day, hour, minute, second].map((part) => String(part).padStart(2, '0')).join('');
  return year < GENERALIZED_FROM_YEAR
    ? der(TAG.utcTime, encodeText(`${String(year).slice(2)}${rest}Z`))
    : der(TAG.generalizedTime, encodeText(`${year}${rest}Z`));
}

function readTime(reader: DerReader): number {
  const utc = reader.tag === TAG.utcTime;
  const text = decodeText(reader.contents(utc ? TAG.utcTime : TAG.generalizedTime)) ?? '';
  const match = (utc ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(
    text,
  );
  const [written, month, day, hour, minute, second] = (match ?? refuse('bad time')).slice(1).map(Number);
  const year = utc ? written! + (written! < 50 ? 2000 : 1900) : written!; // RFC 5280 §4.1.2.5.1
  const unixMs = unixMsOf({ year, month: month!, day: day!, hour: hour!, minute: minute!, second: second! });
  if (unixMs === undefined || unixMs < FIRST_MS) refuse('no such time');
  // RFC 5280 §4.1.2.5: years that two digits can express must have two.
  if (!utc && year < GENERALIZED_FROM_YEAR) refuse('time is not in its required form');
  return unixMs;
}

/** DER of a name that contains at most a common name. @internal */
export function encodeName(commonName: string | undefined): Bytes {
  if (commonName === undefined) return derSequence();
  const attribute = derSequence(derOid(OIDS.commonName), der(TAG.utf8String, encodeText(commonName)));
  return derSequence(der(TAG.set, attribute));
}

function encodeExtension(extension: CertificateExtension): Bytes {
  const value = der(TAG.octetString, extension.value);
  return extension.critical
    ? derSequence(derOid(extension.oid), der(TAG.boolean, Uint8Array.of(0xff)), value)
    : derSequence(derOid(extension.oid), value);
}

/** The content to sign, and the signer. @internal */
export interface Signing extends NewCertificate {
  readonly signer: Signer;
  readonly registry: KeyRegistry;
  readonly subjectSpki: Bytes;
  /** DER of the names. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
}

/** Creates a certificate, DER. @throws {TypeError | RangeError} as {@link createSelfSignedCertificate}. @internal */
export function signCertificate(options: Signing): Bytes {
  const { signer, registry, serialNumber, extensions = [] } = options;
  assertBytes(serialNumber, 'serialNumber');
  if (serialNumber.length < 1 || serialNumber.length > MAX_SERIAL_BYTES) {
    throw new RangeError(`Cannot take serialNumber: expected 1 to 20 bytes, got ${serialNumber.length}`);
  }
  const algorithm = registry.byName(signer.publicKey.algorithm);
  if (algorithm === undefined) {
    throw new TypeError(`Cannot make certificate: the registry has no ${signer.publicKey.algorithm}`);
  }
  const serial = copyBytes(serialNumber);
  serial[0]! &= 0x7f; // at most twenty bytes, and a positive number
  const signatureAlgorithm = encodeAlgorithmIdentifier(algorithm.signatureIdentifier);
  const toBeSigned = derSequence(
    der(contextTag(0, true), derUnsigned(Uint8Array.of(2))),
    derUnsigned(serial),
    signatureAlgorithm,
    options.issuer,
    derSequence(encodeTime('notBeforeMs', options.notBeforeMs), encodeTime('notAfterMs', options.notAfterMs)),
    options.subject,
    options.subjectSpki,
    ...(extensions.length === 0 ? [] : [der(contextTag(3, true), derSequence(...extensions.map(encodeExtension)))]),
  );
  return derSequence(toBeSigned, signatureAlgorithm, derBitString(signer.sign(toBeSigned)));
}

/**
 * Creates a self-signed certificate, DER.
 *
 * @throws {TypeError} when the registry does not know the signer's algorithm.
 * @throws {RangeError} when the serial number is empty or longer than 20 bytes, or a time is not from 1950 to 9999.
 */
export function createSelfSignedCertificate(options: SelfSignedOptions): Bytes {
  const name = encodeName(options.commonName);
  return signCertificate({ ...options, subjectSpki: options.signer.publicKey.spki, issuer: name, subject: name });
}

function readExtensions(reader: DerReader): CertificateExtension[] {
  const extensions: CertificateExtension[] = []; // bounded by MAX_EXTENSIONS
  while (!reader.done) {
    if (extensions.length === MAX_EXTENSIONS) refuse('too many extensions');
    const inner = reader.sequence();
    const oid = inner.oid();
    let critical = false;
    if (inner.tag === TAG.boolean) {
      critical = inner.boolean();
      if (!critical) refuse('a default is written out');
    }
    const value = inner.octetString();
    inner.end();
    if (extensions.some((other) => other.oid === oid)) refuse('an extension comes twice');
    extensions.push({ oid, critical, value });
  }
  if (extensions.length === 0) refuse('empty list of extensions');
  return extensions;
}

/**
 * Parses a certificate; `undefined` when it is not a strict version 3 certificate without trailing bytes. Never throws.
 */
export function parseCertificate(bytes: Uint8Array): Certificate | undefined {
  return readDer(bytes, (reader) => {
    const outer = reader.sequence();
    const toBeSigned = outer.element(TAG.sequence);
    const signatureAlgorithm = readAlgorithmIdentifier(outer);
    const signature = outer.bitString();
    outer.end();

    const inner = readDer(toBeSigned, (tbs) => {
      const fields = tbs.sequence();
      const versionBytes = fields.contents(contextTag(0, true));
      if (!equalBytes(versionBytes, Uint8Array.of(TAG.integer, 1, 2))) refuse('not version 3');
      const serialNumber = copyBytes(fields.integer());
      const declared = fields.element(TAG.sequence);
      const issuer = copyBytes(fields.element(TAG.sequence));
      const validity = fields.sequence();
      const notBeforeMs = readTime(validity);
      const notAfterMs = readTime(validity);
      validity.end();
      const subject = copyBytes(fields.element(TAG.sequence));
      const spki = copyBytes(fields.element(TAG.sequence));
      if (fields.tag === contextTag(1, false)) fields.any();
      if (fields.tag === contextTag(2, false)) fields.any();
      let extensions: CertificateExtension[] = [];
      if (fields.tag === contextTag(3, true)) {
        extensions =
          readDer(fields.contents(contextTag(3, true)), (list) => readExtensions(list.sequence())) ??
          refuse('bad extensions');
      }
      fields.end();
      return { serialNumber, declared, issuer, notBeforeMs, notAfterMs, subject, spki, extensions };
    });
    if (inner === undefined || decodeSpki(inner.spki) === undefined) return undefined;
    const { declared, ...fields } = inner;
    // RFC 5280 §4.1.1.2: the algorithm outside, which is not signed, must equal the one inside.
    if (!equalBytes(declared, encodeAlgorithmIdentifier(signatureAlgorithm))) return undefined;
    return { der: copyBytes(bytes), toBeSigned: copyBytes(toBeSigned), signatureAlgorithm, signature, ...fields };
  });
}

/**
 * The key of a certificate that is signed by the key it contains; `undefined` when it is not, when the signature is
 * invalid, or when its algorithm is unknown to the registry. Times are not checked. Never throws.
 */
export function verifySelfSigned(certificate: Certificate, registry: KeyRegistry): PublicKey | undefined {
  const verifier = registry.verifier(certificate.spki);
  if (verifier === undefined) return undefined;
  const algorithm = registry.byName(verifier.publicKey.algorithm)!;
  const expected = encodeAlgorithmIdentifier(algorithm.signatureIdentifier);
  if (!equalBytes(encodeAlgorithmIdentifier(certificate.signatureAlgorithm), expected)) return undefined;
  return verifier.verify(certificate.toBeSigned, certificate.signature) ? verifier.publicKey : undefined;
}
