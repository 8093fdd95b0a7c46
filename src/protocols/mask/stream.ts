/** Masked streams: a random salt, then sealed frames with hidden lengths. The bytes are defined in docs/wire/mask.md §2. */

import { chacha20Poly1305 } from '#crypto';
import { type Bytes, copyInto, EMPTY_BYTES, viewFrom } from '../../base/bytes.ts';
import type { Side } from '../../core/accept.ts';
import { AEAD_TAG_BYTES, type AeadKey } from '../../crypto/suite.ts';
import { deriveMaskKey } from './key.ts';
import { RandomPool } from './random-pool.ts';

export const SALT_BYTES = 32;
/** Payload and padding, two bytes each. */
const LENGTHS_BYTES = 4;
const HEAD_BYTES = LENGTHS_BYTES + AEAD_TAG_BYTES;
export const MAX_FRAME_PAYLOAD_BYTES = 16_384;
export const MAX_FRAME_PADDING_BYTES = 1023;
/** The frames in which handshakes are: their sizes would tell what they are. */
const HANDSHAKE_FRAMES = 8;
/** Small frames later have less padding, large ones none. */
const LATER_PADDING_BYTES = 63;
const LARGE_PAYLOAD_BYTES = 1024;

/** One direction of a connection, with its key and its count of seals. */
class Direction {
  readonly #aead: AeadKey;
  readonly #nonce = new Uint8Array(12);
  readonly #count: DataView;
  #low = 0;
  #high = 0;

  constructor(key: Uint8Array, salt: Uint8Array, sender: Side) {
    this.#aead = chacha20Poly1305(deriveMaskKey(key, salt, sender));
    this.#count = new DataView(this.#nonce.buffer);
  }

  seal(plain: Uint8Array, out: Uint8Array, offset: number): void {
    this.#aead.seal(this.#next(), EMPTY_BYTES, plain, out, offset);
  }

  open(sealed: Uint8Array, out: Uint8Array): boolean {
    return this.#aead.open(this.#next(), EMPTY_BYTES, sealed, out, 0);
  }

  /** The nonce of the next seal: a counter of 64 bits, the low 32 first. */
  #next(): Uint8Array {
    this.#count.setUint32(0, this.#low, true);
    this.#count.setUint32(4, this.#high, true);
    this.#low = (this.#low + 1) >>> 0;
    if (this.#low === 0) this.#high++;
    return this.#nonce;
  }
}

/** Masks what one side sends. */
export class StreamMasker {
  readonly #direction: Direction;
  readonly #random: RandomPool;
  #salt: Bytes | undefined;
  #frames = 0;

  /**
   * @param side - of the sender.
   * @param random - `length` unpredictable bytes: the realm's `random`.
   */
  constructor(key: Uint8Array, side: Side, random: (length: number) => Bytes) {
    this.#salt = random(SALT_BYTES);
    this.#direction = new Direction(key, this.#salt, side);
    this.#random = new RandomPool(random);
  }

  /** Masks the bytes of one flush. @returns pieces that then belong to the caller. */
  seal(batch: readonly Uint8Array[]): readonly Bytes[] {
    let left = 0;
    for (const piece of batch) left += piece.length;
    const frames: Bytes[] = [];
    // The salt alone would be a first packet of a known size.
    if (this.#salt !== undefined) frames.push(this.#salt);
    this.#salt = undefined;
    let plain = new Uint8Array(0);
    let padding = 0;
    let length = 0;
    for (const piece of batch) {
      for (let at = 0; at < piece.length;) {
        if (length === 0) {
          const payload = Math.min(left, MAX_FRAME_PAYLOAD_BYTES);
          padding = this.#padding(payload);
          plain = new Uint8Array(payload + padding);
        }
        const part = piece.subarray(at, at + plain.length - padding - length);
        copyInto(plain, length, part);
        at += part.length;
        length += part.length;
        if (length < plain.length - padding) continue;
        frames.push(this.#seal(plain, length));
        left -= length;
        length = 0;
      }
    }
    return frames;
  }

  #padding(payload: number): number {
    if (this.#frames++ < HANDSHAKE_FRAMES) return this.#random.upTo(MAX_FRAME_PADDING_BYTES);
    return payload < LARGE_PAYLOAD_BYTES ? this.#random.upTo(LATER_PADDING_BYTES) : 0;
  }

  #seal(plain: Uint8Array, payload: number): Bytes {
    const padding = plain.length - payload;
    const frame = new Uint8Array(HEAD_BYTES + plain.length + AEAD_TAG_BYTES);
    const lengths = Uint8Array.of(payload >> 8, payload & 255, padding >> 8, padding & 255);
    this.#direction.seal(lengths, frame, 0);
    this.#direction.seal(plain, frame, HEAD_BYTES);
    return frame;
  }
}

/** Unmasks what the other side sends. */
export class StreamUnmasker {
  readonly #key: Uint8Array;
  readonly #sender: Side;
  #direction: Direction | undefined;
  /** What has come and is not opened: one incomplete frame, and what came with its last bytes. */
  #held: Bytes = EMPTY_BYTES;
  #at = 0;
  /** Of the frame whose head was opened. */
  #lengths: { readonly payload: number; readonly padding: number } | undefined;
  #hasOpened = false;
  #hasFailed = false;

  /** @param sender - the side of the other one. */
  constructor(key: Uint8Array, sender: Side) {
    this.#key = key;
    this.#sender = sender;
  }

  /** Whether a frame was opened: the other side has the key. */
  get hasOpened(): boolean {
    return this.#hasOpened;
  }

  /** Takes bytes, split anywhere. They belong to the unmasker. Bounded by one frame and one chunk. */
  push(chunk: Bytes): void {
    if (this.#hasFailed) return;
    const left = this.#held.length - this.#at;
    if (left === 0) this.#held = chunk;
    else {
      const joined = new Uint8Array(left + chunk.length);
      joined.set(viewFrom(this.#held, this.#at));
      joined.set(chunk, left);
      this.#held = joined;
    }
    this.#at = 0;
  }

  /**
   * The payload of the next frame, maybe empty; `undefined` when more bytes are needed; `failed` when the bytes are not of
   * the key, from then on always.
   */
  next(): Bytes | 'failed' | undefined {
    if (this.#hasFailed) return 'failed';
    if (this.#direction === undefined) {
      const salt = this.#take(SALT_BYTES);
      if (salt === undefined) return undefined;
      this.#direction = new Direction(this.#key, salt, this.#sender);
    }
    if (this.#lengths === undefined) {
      const head = this.#take(HEAD_BYTES);
      if (head === undefined) return undefined;
      const lengths = new Uint8Array(LENGTHS_BYTES);
      if (!this.#direction.open(head, lengths)) return this.#fail();
      const [a, b, c, d] = lengths as unknown as readonly [number, number, number, number];
      this.#lengths = { payload: a * 256 + b, padding: c * 256 + d };
      if (this.#lengths.payload > MAX_FRAME_PAYLOAD_BYTES || this.#lengths.padding > MAX_FRAME_PADDING_BYTES) {
        return this.#fail();
      }
    }
    const { payload, padding } = this.#lengths;
    const body = this.#take(payload + padding + AEAD_TAG_BYTES);
    if (body === undefined) return undefined;
    const plain = new Uint8Array(payload + padding);
    if (!this.#direction.open(body, plain)) return this.#fail();
    this.#lengths = undefined;
    this.#hasOpened = true;
    return viewFrom(plain, 0, payload);
  }

  #take(length: number): Bytes | undefined {
    if (this.#held.length - this.#at < length) return undefined;
    const bytes = viewFrom(this.#held, this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  #fail(): 'failed' {
    this.#hasFailed = true;
    this.#held = EMPTY_BYTES;
    this.#at = 0;
    return 'failed';
  }
}
