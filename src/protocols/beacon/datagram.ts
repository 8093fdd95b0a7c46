/** The datagrams of the beacon: sealed for the members of a network. The bytes are defined in docs/wire/beacon.md. */

import { chacha20Poly1305, hkdf, x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, copyBytes, EMPTY_BYTES, encodeText, equalBytes, viewFrom } from '../../base/bytes.ts';
import { AEAD_TAG_BYTES, type AeadKey, type X25519PrivateKey } from '../../crypto/suite.ts';
import {
  type AnnouncementFields,
  AnnouncementCodec,
  readAnnouncement,
  type UnverifiedAnnouncement,
} from './announcement.ts';
import type { Signer } from '../../identity/key-algorithm.ts';

/** `shb`, and the version. */
const MAGIC: Bytes = encodeText('shb');
const VERSION = 1;
const KIND = { query: 1, answer: 2 } as const;
export const NONCE_BYTES = 12;
const HEADER_BYTES = MAGIC.length + 2 + NONCE_BYTES;
const X25519_BYTES = 32;

/** The largest datagram: one that needs no fragments over IPv6 (RFC 8200 §5, less 48 bytes of headers). */
export const MAX_BEACON_BYTES = 1232;
/** Bytes of an answer for each byte of its query. */
const MAX_FACTOR = 3;
/** Queries are padded to this, so that an answer may have {@link MAX_BEACON_BYTES}. */
export const MIN_QUERY_BYTES: number = Math.ceil(MAX_BEACON_BYTES / MAX_FACTOR);
/** Of a record: it fits into a TXT record of 1300 bytes as base64. */
const MAX_RECORD_BYTES = 900;
const RECORD_CONTEXT: Bytes = encodeText('shoal beacon 1 record');
const ZERO_NONCE: Bytes = new Uint8Array(NONCE_BYTES);

/** Why a datagram was not taken. */
export type DatagramFault = 'malformed' | 'beacon.other_version' | 'beacon.other_network';

/** A query that was opened; its signature is not checked. */
export interface OpenedQuery {
  readonly kind: 'query';
  readonly nonce: Bytes;
  readonly replyKey: Bytes;
  readonly announcement: UnverifiedAnnouncement;
  /** Of the whole datagram. */
  readonly bytes: number;
}

/** An answer whose outer seal was opened; the inner one needs the key of the query. */
export interface OpenedAnswer {
  readonly kind: 'answer';
  readonly queryNonce: Bytes;
  readonly ephemeralKey: Bytes;
  readonly sealed: Bytes;
}

/** A record that was opened; its signature is not checked. */
export interface OpenedRecord {
  readonly kind: 'record';
  readonly nonce: Bytes;
  readonly announcement: UnverifiedAnnouncement;
}

/** Makes and opens the datagrams of one network. */
export class BeaconCodec {
  readonly announcements: AnnouncementCodec;
  readonly #networkKey: Bytes;
  readonly #aead: AeadKey;

  /** @param networkName - 1 to 255 bytes of UTF-8. */
  constructor(networkName: string) {
    this.announcements = new AnnouncementCodec(networkName);
    this.#networkKey = hkdf('sha256', encodeText(networkName), encodeText('shoal beacon 1'), EMPTY_BYTES, 32);
    this.#aead = chacha20Poly1305(this.#networkKey);
  }

  /**
   * A query, with as many addresses as fit.
   *
   * @param nonce - 12 random bytes.
   * @param replyKey - the X25519 public key that answers are sealed to.
   */
  query(signer: Signer, nonce: Uint8Array, replyKey: Uint8Array, fields: AnnouncementFields): Bytes {
    const room = MAX_BEACON_BYTES - HEADER_BYTES - X25519_BYTES - AEAD_TAG_BYTES;
    const signed = this.announcements.sign(signer, 'query', concatBytes(nonce, replyKey), fields, room);
    if (signed === undefined) throw new RangeError('Cannot make a beacon: the key is too large for a datagram');
    const length = Math.max(X25519_BYTES + signed.length, MIN_QUERY_BYTES - HEADER_BYTES - AEAD_TAG_BYTES);
    const plaintext = new Uint8Array(length);
    plaintext.set(replyKey);
    plaintext.set(signed, X25519_BYTES);
    return this.#seal(KIND.query, nonce, plaintext);
  }

  /**
   * The answer to a query, with as many addresses as fit into three times its bytes.
   *
   * @param nonce - 12 random bytes.
   * @param ephemeralSeed - 32 random bytes.
   * @returns `undefined` when the reply key is not usable, or nothing fits.
   */
  answer(
    signer: Signer,
    nonce: Uint8Array,
    ephemeralSeed: Uint8Array,
    query: OpenedQuery,
    fields: AnnouncementFields,
  ): Bytes | undefined {
    const ephemeral = x25519PrivateKey(ephemeralSeed);
    const secret = ephemeral.sharedSecret(query.replyKey);
    if (secret === undefined) return undefined;
    const binding = concatBytes(query.nonce, query.replyKey, ephemeral.publicKey);
    const most = Math.min(MAX_BEACON_BYTES, MAX_FACTOR * query.bytes);
    const room = most - HEADER_BYTES - NONCE_BYTES - X25519_BYTES - 2 * AEAD_TAG_BYTES;
    const signed = this.announcements.sign(signer, 'answer', binding, fields, room);
    if (signed === undefined) return undefined;
    const sealed = new Uint8Array(signed.length + AEAD_TAG_BYTES);
    this.#answerKey(secret, binding).seal(ZERO_NONCE, EMPTY_BYTES, signed, sealed, 0);
    return this.#seal(KIND.answer, nonce, concatBytes(query.nonce, ephemeral.publicKey, sealed));
  }

  /** Opens a datagram; says why when it does not belong to this network. Never throws. Costs a few µs. */
  open(datagram: Uint8Array): OpenedQuery | OpenedAnswer | DatagramFault {
    if (datagram.length < HEADER_BYTES + AEAD_TAG_BYTES || datagram.length > MAX_BEACON_BYTES) return 'malformed';
    if (!equalBytes(datagram.subarray(0, MAGIC.length), MAGIC)) return 'malformed';
    if (datagram[MAGIC.length] !== VERSION) return 'beacon.other_version';
    const kind = datagram[MAGIC.length + 1];
    if (kind !== KIND.query && kind !== KIND.answer) return 'malformed';
    const plaintext = new Uint8Array(datagram.length - HEADER_BYTES - AEAD_TAG_BYTES);
    const header = datagram.subarray(0, HEADER_BYTES);
    const nonce = copyBytes(datagram.subarray(HEADER_BYTES - NONCE_BYTES, HEADER_BYTES));
    if (!this.#aead.open(nonce, header, datagram.subarray(HEADER_BYTES), plaintext, 0)) return 'beacon.other_network';
    if (kind === KIND.query) {
      if (datagram.length < MIN_QUERY_BYTES) return 'malformed';
      const announcement = readAnnouncement(viewFrom(plaintext, X25519_BYTES));
      if (announcement === undefined) return 'malformed';
      const replyKey = viewFrom(plaintext, 0, X25519_BYTES);
      return { kind: 'query', nonce, replyKey, announcement, bytes: datagram.length };
    }
    const keyEnd = NONCE_BYTES + X25519_BYTES;
    if (plaintext.length < keyEnd + AEAD_TAG_BYTES) return 'malformed';
    return {
      kind: 'answer',
      queryNonce: viewFrom(plaintext, 0, NONCE_BYTES),
      ephemeralKey: viewFrom(plaintext, NONCE_BYTES, keyEnd),
      sealed: viewFrom(plaintext, keyEnd),
    };
  }

  /**
   * Opens the inner seal of an answer.
   *
   * @param reply - the key of the query.
   * @returns the announcement and what its signature covers beside it; `undefined` when it was not sealed to this key.
   */
  unseal(
    { queryNonce, ephemeralKey, sealed }: OpenedAnswer,
    reply: X25519PrivateKey,
  ): { readonly announcement: UnverifiedAnnouncement; readonly binding: Bytes } | undefined {
    const secret = reply.sharedSecret(ephemeralKey);
    if (secret === undefined) return undefined;
    const binding = concatBytes(queryNonce, reply.publicKey, ephemeralKey);
    const plaintext = new Uint8Array(sealed.length - AEAD_TAG_BYTES);
    if (!this.#answerKey(secret, binding).open(ZERO_NONCE, EMPTY_BYTES, sealed, plaintext, 0)) return undefined;
    const announcement = readAnnouncement(plaintext);
    return announcement === undefined ? undefined : { announcement, binding };
  }

  /**
   * A record that is not sent to anybody: it stands in the TXT record of DNS-SD.
   *
   * @param nonce - 12 random bytes.
   */
  record(signer: Signer, nonce: Uint8Array, fields: AnnouncementFields): Bytes | undefined {
    const room = MAX_RECORD_BYTES - NONCE_BYTES - AEAD_TAG_BYTES;
    const signed = this.announcements.sign(signer, 'record', nonce, fields, room);
    if (signed === undefined) return undefined;
    const record = new Uint8Array(NONCE_BYTES + signed.length + AEAD_TAG_BYTES);
    record.set(nonce);
    this.#aead.seal(nonce, RECORD_CONTEXT, signed, record, NONCE_BYTES);
    return record;
  }

  /** Opens a record; `undefined` when it does not belong to this network. Its signature is not checked. Never throws. */
  openRecord(record: Uint8Array): OpenedRecord | undefined {
    const length = record.length - NONCE_BYTES - AEAD_TAG_BYTES;
    if (length < 1 || record.length > MAX_RECORD_BYTES) return undefined;
    const plaintext = new Uint8Array(length);
    const nonce = copyBytes(record.subarray(0, NONCE_BYTES));
    if (!this.#aead.open(nonce, RECORD_CONTEXT, record.subarray(NONCE_BYTES), plaintext, 0)) return undefined;
    const announcement = readAnnouncement(plaintext);
    return announcement === undefined ? undefined : { kind: 'record', nonce, announcement };
  }

  #answerKey(secret: Uint8Array, binding: Uint8Array): AeadKey {
    const info = concatBytes(encodeText('shoal beacon 1 answer\0'), binding);
    return chacha20Poly1305(hkdf('sha256', secret, this.#networkKey, info, 32));
  }

  #seal(kind: number, nonce: Uint8Array, plaintext: Uint8Array): Bytes {
    const datagram = new Uint8Array(HEADER_BYTES + plaintext.length + AEAD_TAG_BYTES);
    datagram.set(concatBytes(MAGIC, Uint8Array.of(VERSION, kind), nonce));
    this.#aead.seal(nonce, viewFrom(datagram, 0, HEADER_BYTES), plaintext, datagram, HEADER_BYTES);
    return datagram;
  }
}
