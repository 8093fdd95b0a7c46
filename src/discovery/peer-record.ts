/**
 * Signed address records: a peer states its own addresses, and others pass the record on but cannot change it. They may
 * omit addresses, because the signature covers digests of the addresses. The bytes are defined in
 * docs/wire/peer-exchange.md.
 */

import { hash } from '#crypto';
import { type Bytes, concatBytes, copyBytes, decodeText, encodeText, viewFrom } from '../base/bytes.ts';
import { assertString, describeValue, wholeNumber } from '../base/checks.ts';
import { type PeerId, PEER_ID_CHARACTERS, isPeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import { FieldReader } from '../base/field-reader.ts';
import { encodeVarint } from '../base/varint.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import type { KeyRegistry, Signer } from '../identity/key-algorithm.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';

/** The content of a record whose signature is verified. */
export interface PeerRecord {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /**
   * Address texts, best first; each contains `id`. 0 to {@link MAX_RECORD_ADDRS}; addresses that a sender omitted are
   * missing.
   */
  readonly addrs: readonly string[];
  /** The peer has left: it must not be tried any more. */
  readonly withdrawn: boolean;
  /** Milliseconds since the Unix epoch, by the peer's own clock. */
  readonly issuedMs: number;
  readonly expiresMs: number;
  /** The encoded record. */
  readonly bytes: Bytes;
}

/** Addresses in one record. */
export const MAX_RECORD_ADDRS = 16;
/** UTF-8 bytes of one address. */
export const MAX_ADDR_BYTES = 512;
/** The maximum lifetime of a record: one day. */
export const MAX_LIFETIME_MS = 86_400_000;
/** The longest key and signature, in bytes; RSA-4096 needs half of it. */
const MAX_KEY_BYTES = 1024;
/** Everything above, plus the length fields. */
export const MAX_RECORD_BYTES = 16_384;
const VERSION = 2;
const KIND = { addresses: 0, withdrawal: 1 } as const;
const ENTRY = { digest: 0, address: 1 } as const;
/** SHA-256. */
const DIGEST_BYTES = 32;
/** Prefix of the signed bytes: separates these signatures from signatures over other data. */
const CONTEXT = encodeText('shoal peer record 2\0');

/** Why bytes are not a valid record. */
export type RecordFault = 'malformed' | 'bad_signature' | 'wrong_id';

/** The fields to sign. */
export interface PeerRecordFields {
  readonly addrs: readonly string[];
  readonly issuedMs: number;
  /** The lifetime in milliseconds: 1 to {@link MAX_LIFETIME_MS}. */
  readonly lifetimeMs: number;
  /** Announces that the peer has left; such a record has no addresses. @default false */
  readonly withdrawn?: boolean | undefined;
}

/**
 * Creates a record signed with the key.
 *
 * @throws {TypeError | RangeError} when an address does not contain the key's PeerID, or a field is out of range.
 */
export function signPeerRecord(signer: Signer, fields: PeerRecordFields): PeerRecord {
  const { addrs, issuedMs, lifetimeMs, withdrawn = false } = fields;
  const { publicKey } = signer;
  const id = peerIdOfKey(publicKey);
  if (!Array.isArray(addrs)) throw new TypeError(`Cannot take addrs: expected an array, got ${describeValue(addrs)}`);
  if (addrs.length > (withdrawn ? 0 : MAX_RECORD_ADDRS)) {
    const expected = withdrawn ? 'no addresses when withdrawn' : `up to ${MAX_RECORD_ADDRS} addresses`;
    throw new RangeError(`Cannot sign a record: expected ${expected}, got ${addrs.length}`);
  }
  const texts = addrs.map((text: unknown, i) => {
    assertString(text, `addrs[${i}]`);
    const bytes = encodeText(text);
    if (!leadsTo(text, id) || bytes.length > MAX_ADDR_BYTES) {
      const expected = `expected an address of ${id} of up to ${MAX_ADDR_BYTES} bytes`;
      throw new TypeError(`Cannot sign a record: ${expected}, got ${describeValue(text)}`);
    }
    return bytes;
  });
  wholeNumber(issuedMs, 'issuedMs', 0, 0, Number.MAX_SAFE_INTEGER - MAX_LIFETIME_MS);
  wholeNumber(lifetimeMs, 'lifetimeMs', 0, 1, MAX_LIFETIME_MS);
  const head = concatBytes(
    Uint8Array.of(VERSION, withdrawn ? KIND.withdrawal : KIND.addresses),
    encodeVarint(issuedMs),
    encodeVarint(lifetimeMs),
    prefixed(publicKey.spki),
    Uint8Array.of(texts.length),
  );
  const entries = texts.map((text) => concatBytes(Uint8Array.of(ENTRY.address), prefixed(text)));
  const signature = signer.sign(concatBytes(CONTEXT, head, ...texts.map((text) => digestOf(text))));
  const bytes = concatBytes(head, ...entries, prefixed(signature));
  return { id, publicKey, addrs: [...addrs], withdrawn, issuedMs, expiresMs: issuedMs + lifetimeMs, bytes };
}

/**
 * Decodes a record and checks its signature; returns the fault of an invalid one. Never throws; keeps no reference to
 * `bytes`.
 */
export function verifyPeerRecord(
  bytes: Uint8Array,
  registry: KeyRegistry = defaultKeyRegistry,
): PeerRecord | RecordFault {
  const unverified = readPeerRecord(bytes);
  return unverified === undefined ? 'malformed' : verifyRead(unverified, registry);
}

/** A decoded record before its signature is checked. Cheap to make, and not trusted. */
export interface UnverifiedRecord {
  readonly bytes: Bytes;
  readonly spki: Bytes;
  readonly issuedMs: number;
  readonly lifetimeMs: number;
  readonly withdrawn: boolean;
  readonly addrs: readonly string[];
  /** The signed bytes: the same for all copies of a record, whatever addresses they omit. */
  readonly signed: Bytes;
  readonly signature: Bytes;
}

/** Reads a record without checking its signature; `undefined` when it is malformed. Never throws. */
export function readPeerRecord(bytes: Uint8Array): UnverifiedRecord | undefined {
  if (bytes.length > MAX_RECORD_BYTES) return undefined;
  const record = copyBytes(bytes);
  const reader = new FieldReader(record);
  if (reader.byte() !== VERSION) return undefined;
  const kind = reader.byte();
  const issuedMs = reader.varint();
  const lifetimeMs = reader.varint();
  const spki = reader.prefixed(MAX_KEY_BYTES);
  const count = reader.byte();
  const head = viewFrom(record, 0, Math.min(reader.at, record.length));
  if (kind > KIND.withdrawal || count > (kind === KIND.withdrawal ? 0 : MAX_RECORD_ADDRS)) return undefined;
  const addrs: string[] = [];
  const digests: Bytes[] = [];
  for (let i = 0; i < count; i++) {
    const entry = reader.byte();
    if (entry === ENTRY.digest) digests.push(reader.take(DIGEST_BYTES));
    else if (entry === ENTRY.address) {
      const text = reader.prefixed(MAX_ADDR_BYTES);
      addrs.push(decodeText(text) ?? reader.fail(''));
      digests.push(digestOf(text));
    } else return undefined;
  }
  const signature = reader.prefixed(MAX_KEY_BYTES);
  if (reader.failed || reader.at !== record.length) return undefined;
  if (lifetimeMs < 1 || lifetimeMs > MAX_LIFETIME_MS || issuedMs > Number.MAX_SAFE_INTEGER - lifetimeMs) {
    return undefined;
  }
  const signed = concatBytes(CONTEXT, head, ...digests);
  const withdrawn = kind === KIND.withdrawal;
  return { bytes: record, spki, issuedMs, lifetimeMs, withdrawn, addrs, signed, signature };
}

/** Checks the signature of a record, and that its addresses contain the PeerID of its signer. */
export function verifyRead(unverified: UnverifiedRecord, registry: KeyRegistry): PeerRecord | RecordFault {
  const { bytes, spki, issuedMs, lifetimeMs, withdrawn, addrs, signed, signature } = unverified;
  const verifier = registry.verifier(spki);
  if (verifier?.verify(signed, signature) !== true) return 'bad_signature';
  const { publicKey } = verifier;
  const id = peerIdOfKey(publicKey);
  if (!addrs.every((text) => leadsTo(text, id))) return 'wrong_id';
  return { id, publicKey, addrs, withdrawn, issuedMs, expiresMs: issuedMs + lifetimeMs, bytes };
}

/**
 * Returns the record without some of its addresses: their digests replace them, so that the signature stays valid.
 *
 * @param keep - whether an address stays.
 */
export function withoutAddrs(bytes: Bytes, keep: (addr: string) => boolean): Bytes {
  const { start, end, entries } = entriesOf(bytes);
  const kept = entries.map((entry) => {
    const text = entry[0] === ENTRY.digest ? undefined : textOf(entry);
    if (text === undefined || keep(decodeText(text) ?? '')) return entry;
    return concatBytes(Uint8Array.of(ENTRY.digest), digestOf(text));
  });
  return concatBytes(viewFrom(bytes, 0, start), ...kept, viewFrom(bytes, end));
}

/** The UTF-8 bytes of an entry that contains an address. */
function textOf(entry: Bytes): Bytes {
  const reader = new FieldReader(entry);
  reader.at = 1;
  return reader.prefixed(MAX_ADDR_BYTES);
}

/**
 * Merges two copies of one record that omit different addresses.
 *
 * @param other - a copy of the same record: its signed bytes are equal.
 */
export function mergeCopies(bytes: Bytes, other: Bytes): Bytes {
  const [mine, theirs] = [entriesOf(bytes), entriesOf(other)];
  const merged = mine.entries.map((entry, i) => (entry[0] === ENTRY.digest ? theirs.entries[i]! : entry));
  return concatBytes(viewFrom(bytes, 0, mine.start), ...merged, viewFrom(bytes, mine.end));
}

function entriesOf(bytes: Bytes): { readonly start: number; readonly end: number; readonly entries: readonly Bytes[] } {
  const reader = new FieldReader(bytes);
  reader.at = 2;
  reader.varint();
  reader.varint();
  reader.prefixed(MAX_KEY_BYTES);
  const count = reader.byte();
  const start = reader.at;
  const entries = Array.from({ length: count }, () => {
    const from = reader.at;
    if (reader.byte() === ENTRY.digest) reader.take(DIGEST_BYTES);
    else reader.prefixed(MAX_ADDR_BYTES);
    return viewFrom(bytes, from, reader.at);
  });
  return { start, end: reader.at, entries };
}

const digestOf = (text: Uint8Array): Bytes => hash('sha256', text);

/** Whether the outermost PeerID of an address text is `id`. */
export function leadsTo(text: string, id: PeerId): boolean {
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    const start = at - PEER_ID_CHARACTERS;
    const found = text.slice(Math.max(start, 0), at);
    if (!isPeerId(found)) continue;
    return found === id && (start === 0 || text.slice(0, start).endsWith('://'));
  }
  return false;
}

function prefixed(bytes: Uint8Array): Bytes {
  return concatBytes(encodeVarint(bytes.length), bytes);
}
