/**
 * What a node says of itself on a LAN: its key, its addresses there and when it said so, signed. Queries and answers of
 * the beacon and records of DNS-SD contain one. The bytes are defined in docs/wire/beacon.md §3.
 */

import { type Bytes, concatBytes, decodeText, encodeText, viewFrom } from '../../base/bytes.ts';
import { FieldReader } from '../../base/field-reader.ts';
import { encodeVarint } from '../../base/varint.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { PublicKey } from '../../core/secure.ts';
import { peerIdOfKey } from '../../identity/fingerprints.ts';
import type { KeyRegistry, Signer } from '../../identity/key-algorithm.ts';

/** Random bytes that tell processes apart, those with one key included. */
export const INSTANCE_BYTES = 8;
/** Addresses in one announcement. */
export const MAX_ANNOUNCED_ADDRS = 16;
/** UTF-8 bytes of one address. */
export const MAX_ANNOUNCED_ADDR_BYTES = 256;
/** The longest key and signature; RSA-4096 needs about half of it. */
const MAX_KEY_BYTES = 1024;

/** What the signature covers beside the announcement: where it belongs, so that it is valid nowhere else. */
export type AnnouncementKind = 'query' | 'answer' | 'record';

/** The fields of an announcement. */
export interface AnnouncementFields {
  /** {@link INSTANCE_BYTES} random bytes. */
  readonly instance: Uint8Array;
  /** Milliseconds since the Unix epoch, by the sender's clock; grows with each announcement of an instance. */
  readonly issuedMs: number;
  /** Best first. */
  readonly addrs: readonly string[];
}

/** A decoded announcement before its signature is checked. Cheap to make, and not trusted. */
export interface UnverifiedAnnouncement extends AnnouncementFields {
  readonly spki: Bytes;
  /** Everything before the signature. */
  readonly body: Bytes;
  readonly signature: Bytes;
}

/** An announcement whose signature is verified. */
export interface Announcement extends AnnouncementFields {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
}

/** Signs and checks announcements of one network. */
export class AnnouncementCodec {
  readonly #networkName: Bytes;

  /** @param networkName - 1 to 255 bytes of UTF-8. */
  constructor(networkName: string) {
    const name = encodeText(networkName);
    this.#networkName = concatBytes(Uint8Array.of(name.length), name);
  }

  /**
   * Encodes and signs an announcement with as many of the addresses, from the first on, as fit.
   *
   * @param binding - the bytes around it that the signature covers as well.
   * @param maxBytes - of the announcement.
   * @returns `undefined` when not even one without addresses fits.
   */
  sign(
    signer: Signer,
    kind: AnnouncementKind,
    binding: Uint8Array,
    fields: AnnouncementFields,
    maxBytes: number,
  ): Bytes | undefined {
    const head = concatBytes(fields.instance, encodeVarint(fields.issuedMs), prefixed(signer.publicKey.spki));
    const texts = fields.addrs
      .slice(0, MAX_ANNOUNCED_ADDRS)
      .map(encodeText)
      .filter(({ length }) => length > 0 && length <= MAX_ANNOUNCED_ADDR_BYTES)
      .map(prefixed);
    for (let count = texts.length; count >= 0; count--) {
      const body = concatBytes(head, Uint8Array.of(count), ...texts.slice(0, count));
      // A signature is not computed only to find out that it does not fit: none has less than 64 bytes.
      if (body.length + 65 > maxBytes) continue;
      const signed = concatBytes(body, prefixed(signer.sign(this.#signedBytes(kind, binding, body))));
      if (signed.length <= maxBytes) return signed;
    }
    return undefined;
  }

  /** Checks the signature; `undefined` when it is not valid. Costs about 0.1 ms. */
  verify(
    unverified: UnverifiedAnnouncement,
    kind: AnnouncementKind,
    binding: Uint8Array,
    registry: KeyRegistry,
  ): Announcement | undefined {
    const { instance, issuedMs, addrs, spki, body, signature } = unverified;
    const verifier = registry.verifier(spki);
    if (verifier?.verify(this.#signedBytes(kind, binding, body), signature) !== true) return undefined;
    const { publicKey } = verifier;
    return { instance, issuedMs, addrs, publicKey, id: peerIdOfKey(publicKey) };
  }

  #signedBytes(kind: AnnouncementKind, binding: Uint8Array, body: Uint8Array): Bytes {
    return concatBytes(encodeText(`shoal beacon 1 ${kind}\0`), this.#networkName, binding, body);
  }
}

/**
 * Reads an announcement without checking its signature; `undefined` when it is malformed. Never throws; the result has
 * views of `bytes`.
 */
export function readAnnouncement(bytes: Bytes): (UnverifiedAnnouncement & { readonly end: number }) | undefined {
  const reader = new FieldReader(bytes);
  const instance = reader.take(INSTANCE_BYTES);
  const issuedMs = reader.varint();
  const spki = reader.prefixed(MAX_KEY_BYTES);
  const count = reader.byte();
  if (reader.failed || count > MAX_ANNOUNCED_ADDRS) return undefined;
  const addrs: string[] = [];
  for (let i = 0; i < count; i++) addrs.push(decodeText(reader.prefixed(MAX_ANNOUNCED_ADDR_BYTES)) ?? reader.fail(''));
  const body = viewFrom(bytes, 0, Math.min(reader.at, bytes.length));
  const signature = reader.prefixed(MAX_KEY_BYTES);
  if (reader.failed) return undefined;
  return { instance, issuedMs, spki, addrs, body, signature, end: reader.at };
}

function prefixed(bytes: Uint8Array): Bytes {
  return concatBytes(encodeVarint(bytes.length), bytes);
}
