/**
 * Signed address records: a peer's own word about where it can be reached, which others hand on and cannot change.
 * docs/wire/peer-exchange.md has the bytes.
 */

import { type Bytes, concatBytes, copyBytes, decodeText, encodeText, viewFrom } from '../core/bytes.ts';
import { assertString, describeValue, wholeNumber } from '../core/limits.ts';
import { type PeerId, PEER_ID_CHARACTERS, isPeerId } from '../core/peer-id.ts';
import { type PublicKey } from '../core/secure.ts';
import { encodeVarint, readVarint } from '../core/varint.ts';
import { defaultKeyRegistry } from '../formats/ecdsa-p256.ts';
import { type KeyRegistry, type Signer } from '../formats/key-algorithm.ts';
import { peerIdOf } from '../keys/fingerprints.ts';

/** What a record says once its signature is known to be right. */
export interface PeerRecord {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /** Address texts, best first; each holds `id`. 0 to {@link MAX_RECORD_ADDRS}. */
  readonly addrs: readonly string[];
  /** Milliseconds since the Unix epoch, by the peer's own clock. */
  readonly issuedMs: number;
  readonly expiresMs: number;
  /** The record as it goes over the wire. */
  readonly bytes: Bytes;
}

/** Addresses in one record. */
export const MAX_RECORD_ADDRS = 16;
/** UTF-8 bytes of one address. */
export const MAX_ADDR_BYTES = 512;
/** The longest that a record may hold good: a day. */
export const MAX_LIFETIME_MS = 86_400_000;
/** The longest key and signature, in bytes; RSA-4096 needs half of it. */
const MAX_KEY_BYTES = 1024;
/** Everything above, with room for lengths. */
export const MAX_RECORD_BYTES = 16_384;
const VERSION = 1;
/** What is signed begins with this, so that no signature over anything else is one over a record. */
const CONTEXT = encodeText('shoal peer record 1\0');

/** Why bytes are no record. */
export type RecordFault = 'malformed' | 'bad_signature' | 'wrong_id';

/** What one signs. */
export interface PeerRecordFields {
  readonly addrs: readonly string[];
  readonly issuedMs: number;
  /** How long it holds good, in milliseconds: 1 to {@link MAX_LIFETIME_MS}. */
  readonly lifetimeMs: number;
}

/**
 * A record of whoever has the key.
 *
 * @throws {TypeError | RangeError} when an address does not hold the key's PeerID, or something is out of bounds.
 */
export function signPeerRecord(signer: Signer, { addrs, issuedMs, lifetimeMs }: PeerRecordFields): PeerRecord {
  const { publicKey } = signer;
  const id = peerIdOf(publicKey);
  if (!Array.isArray(addrs)) throw new TypeError(`Cannot take addrs: expected an array, got ${describeValue(addrs)}`);
  if (addrs.length > MAX_RECORD_ADDRS) {
    throw new RangeError(`Cannot sign a record: expected up to ${MAX_RECORD_ADDRS} addresses, got ${addrs.length}`);
  }
  const texts = addrs.map((text: unknown, i) => {
    assertString(text, `addrs[${i}]`);
    const bytes = encodeText(text);
    if (!leadsTo(text, id) || bytes.length > MAX_ADDR_BYTES) {
      const expected = `expected an address of ${id} of up to ${MAX_ADDR_BYTES} bytes`;
      throw new TypeError(`Cannot sign a record: ${expected}, got ${describeValue(text)}`);
    }
    return prefixed(bytes);
  });
  wholeNumber(issuedMs, 'issuedMs', 0, 0, Number.MAX_SAFE_INTEGER - MAX_LIFETIME_MS);
  wholeNumber(lifetimeMs, 'lifetimeMs', 0, 1, MAX_LIFETIME_MS);
  const body = concatBytes(
    Uint8Array.of(VERSION),
    encodeVarint(issuedMs),
    encodeVarint(lifetimeMs),
    prefixed(publicKey.spki),
    Uint8Array.of(texts.length),
    ...texts,
  );
  const bytes = concatBytes(body, prefixed(signer.sign(concatBytes(CONTEXT, body))));
  return { id, publicKey, addrs: [...addrs], issuedMs, expiresMs: issuedMs + lifetimeMs, bytes };
}

/** The record in `bytes`, its signature checked, or what is wrong with it. Never throws; keeps nothing of `bytes`. */
export function verifyPeerRecord(
  bytes: Uint8Array,
  registry: KeyRegistry = defaultKeyRegistry,
): PeerRecord | RecordFault {
  if (bytes.length > MAX_RECORD_BYTES) return 'malformed';
  const record = copyBytes(bytes);
  const reader = new RecordReader(record);
  if (reader.byte() !== VERSION) return 'malformed';
  const issuedMs = reader.varint();
  const lifetimeMs = reader.varint();
  const spki = reader.prefixed(MAX_KEY_BYTES);
  const addrs: string[] = [];
  const count = reader.byte();
  if (count > MAX_RECORD_ADDRS) return 'malformed';
  for (let i = 0; i < count; i++) addrs.push(decodeText(reader.prefixed(MAX_ADDR_BYTES)) ?? reader.fail(''));
  const bodyEnd = reader.at;
  const signature = reader.prefixed(MAX_KEY_BYTES);
  if (reader.failed || reader.at !== record.length) return 'malformed';
  if (lifetimeMs < 1 || lifetimeMs > MAX_LIFETIME_MS || issuedMs > Number.MAX_SAFE_INTEGER - lifetimeMs) {
    return 'malformed';
  }
  const verifier = registry.verifier(spki);
  const body = viewFrom(record, 0, bodyEnd);
  if (verifier?.verify(concatBytes(CONTEXT, body), signature) !== true) return 'bad_signature';
  const { publicKey } = verifier;
  const id = peerIdOf(publicKey);
  if (!addrs.every((text) => leadsTo(text, id))) return 'wrong_id';
  return { id, publicKey, addrs, issuedMs, expiresMs: issuedMs + lifetimeMs, bytes: record };
}

/** Whether the outermost PeerID of an address text is `id`. */
function leadsTo(text: string, id: PeerId): boolean {
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

/** Reads fields one after the other; once one is not there, all that follow are empty. */
class RecordReader {
  readonly #bytes: Bytes;
  at = 0;
  failed = false;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  fail<T>(instead: T): T {
    this.failed = true;
    return instead;
  }

  byte(): number {
    return this.#bytes[this.at++] ?? this.fail(0);
  }

  varint(): number {
    const read = readVarint(this.#bytes, this.at);
    // One text for each value: an overlong form would be another record with the same meaning.
    if (read === undefined || encodeVarint(read.value).length !== read.end - this.at) return this.fail(0);
    this.at = read.end;
    return read.value;
  }

  prefixed(maxBytes: number): Bytes {
    const length = this.varint();
    const end = this.at + length;
    if (this.failed || length > maxBytes || end > this.#bytes.length) return this.fail(new Uint8Array(0));
    const bytes = viewFrom(this.#bytes, this.at, end);
    this.at = end;
    return bytes;
  }
}
