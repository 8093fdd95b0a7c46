/** Masked datagrams: a random nonce and sealed bytes, padded. The bytes are defined in docs/wire/mask.md §1. */

import { chacha20Poly1305 } from '#crypto';
import { allocMessage, type Bytes, copyInto, EMPTY_BYTES, viewFrom } from '../../base/bytes.ts';
import { AEAD_TAG_BYTES, type AeadKey } from '../../crypto/suite.ts';
import { deriveMaskKey } from './key.ts';
import { RandomPool } from './random-pool.ts';

const NONCE_BYTES = 12;
/** A nonce, the number of padding bytes, and a tag. */
export const MASK_OVERHEAD_BYTES: number = NONCE_BYTES + 1 + AEAD_TAG_BYTES;
const MAX_PADDING_BYTES = 255;

export class DatagramMask {
  readonly #aead: AeadKey;
  readonly #random: RandomPool;

  /** @param random - `length` unpredictable bytes: the realm's `random`. */
  constructor(key: Uint8Array, random: (length: number) => Bytes) {
    this.#aead = chacha20Poly1305(deriveMaskKey(key, EMPTY_BYTES, 'datagram'));
    this.#random = new RandomPool(random);
  }

  /** Masks a payload. @param maxBytes - of the datagram; at least {@link MASK_OVERHEAD_BYTES} more than the payload. */
  seal(payload: Uint8Array, maxBytes: number): Bytes {
    const room = Math.min(maxBytes - MASK_OVERHEAD_BYTES - payload.length, MAX_PADDING_BYTES);
    const padding = this.#random.upTo(room);
    const plain = allocMessage(1 + padding + payload.length);
    plain[0] = padding;
    copyInto(plain, 1 + padding, payload);
    const nonce = this.#random.take(NONCE_BYTES);
    const datagram = allocMessage(NONCE_BYTES + plain.length + AEAD_TAG_BYTES);
    copyInto(datagram, 0, nonce);
    this.#aead.seal(nonce, EMPTY_BYTES, plain, datagram, NONCE_BYTES);
    return datagram;
  }

  /** The payload; `undefined` for anything that was not masked with this key. Never throws. */
  open(datagram: Uint8Array): Bytes | undefined {
    const length = datagram.length - NONCE_BYTES - AEAD_TAG_BYTES;
    if (length < 1) return undefined;
    const plain = allocMessage(length);
    const nonce = datagram.subarray(0, NONCE_BYTES);
    if (!this.#aead.open(nonce, EMPTY_BYTES, datagram.subarray(NONCE_BYTES), plain, 0)) return undefined;
    const start = 1 + plain[0]!;
    return start > length ? undefined : viewFrom(plain, start);
  }
}
