/**
 * Positions in the key space, of 32 bytes. In the machine they are texts of 32 characters, one for each byte: a third of
 * the memory of byte arrays, and keys of maps as they are.
 */

import { hash } from '#crypto';
import { type Bytes, concatBytes, encodeText, viewFrom } from '../../base/bytes.ts';

/** A position or a raw PeerID: 32 characters from U+0000 to U+00FF. */
export type KeyText = string;

/** Bytes of a position. */
export const POSITION_BYTES = 32;
/** Bytes of the tag that stands for the network name in each message. */
export const TAG_BYTES = 8;

/** The text of 32 bytes. */
export function keyText(bytes: Uint8Array): KeyText {
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

/** The characters of one text: 32. */
const KEY: number[] = Array.from({ length: POSITION_BYTES }, () => 0);

/** The text of the 32 bytes from `at` on, which must be there; without a view, of which answers would need many. */
export function keyTextAt(bytes: Uint8Array, at: number): KeyText {
  for (let i = 0; i < POSITION_BYTES; i++) KEY[i] = bytes[at + i]!;
  return String.fromCharCode.apply(null, KEY);
}

/** The bytes of a text. */
export function keyBytes(text: KeyText): Bytes {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Compares the distances from `target` to `a` and to `b`: negative when `a` is closer. */
export function closerTo(target: KeyText, a: KeyText, b: KeyText): number {
  for (let i = 0; i < POSITION_BYTES; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) return (x ^ target.charCodeAt(i)) - (y ^ target.charCodeAt(i));
  }
  return 0;
}

/** The number of leading bits that two positions share, 0 to 256. */
export function sharedBits(a: KeyText, b: KeyText): number {
  for (let i = 0; i < POSITION_BYTES; i++) {
    const different = a.charCodeAt(i) ^ b.charCodeAt(i);
    if (different !== 0) return 8 * i + Math.clz32(different) - 24;
  }
  return 8 * POSITION_BYTES;
}

/** The distance of two positions as a part of the whole key space, 0 to 1; exact to 48 bits after the first different one. */
export function fractionBetween(a: KeyText, b: KeyText): number {
  let first = 0;
  while (first < POSITION_BYTES && a.charCodeAt(first) === b.charCodeAt(first)) first++;
  let fraction = 0;
  for (let i = Math.min(first + 6, POSITION_BYTES - 1); i >= first; i--) {
    fraction = (fraction + (a.charCodeAt(i) ^ b.charCodeAt(i))) / 256;
  }
  return fraction / 256 ** first;
}

/** Where peers and keys are in one network. */
export class KeySpace {
  /** First bytes of each message; the network of go-p2p, which has no name, has a tag too. */
  readonly tag: Bytes;
  /** What is hashed: the head, and 32 bytes for the PeerID, which are written anew each time. */
  readonly #peers: Bytes | undefined;
  readonly #keys: Bytes;

  /**
   * @param networkName - the empty name is the network of go-p2p, in which a peer is at its PeerID. In all others the name
   * is part of the hash that is the position.
   */
  constructor(networkName: string) {
    const name = encodeText(networkName);
    this.tag = viewFrom(hash('sha256', concatBytes(encodeText('shoal dht network\0'), name)), 0, TAG_BYTES);
    const peers = concatBytes(encodeText('shoal dht peer\0'), hash('sha256', name), new Uint8Array(POSITION_BYTES));
    this.#peers = networkName === '' ? undefined : peers;
    this.#keys = concatBytes(encodeText('shoal dht key\0'), hash('sha256', name));
  }

  /** The position of a peer. @param id - the raw PeerID */
  ofPeer(id: KeyText): KeyText {
    const peers = this.#peers;
    if (peers === undefined) return id;
    const start = peers.length - POSITION_BYTES;
    for (let i = 0; i < POSITION_BYTES; i++) peers[start + i] = id.charCodeAt(i);
    return keyText(hash('sha256', peers));
  }

  /**
   * The position of a key: its hash. In the network of go-p2p a key is its own position, as it is there: its first 32
   * bytes, with zeros behind a shorter one.
   */
  ofKey(key: Uint8Array): KeyText {
    if (this.#peers !== undefined) return keyText(hash('sha256', concatBytes(this.#keys, key)));
    const position = new Uint8Array(POSITION_BYTES);
    position.set(key.subarray(0, POSITION_BYTES));
    return keyText(position);
  }
}
