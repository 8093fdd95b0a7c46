/**
 * Binary packets: in the clear, and sealed with AES-GCM (RFC 4253 §6, RFC 5647 §7). Padding is zeros: in the clear it hides nothing,
 * and sealed it cannot be told from random bytes.
 */

import { aesGcm } from '#crypto';
import { AEAD_TAG_BYTES, type AeadKey } from '../../crypto/suite.ts';
import { type Bytes, concatBytes, copyInto, EMPTY_BYTES, viewFrom } from '../../base/bytes.ts';
import type { SshFault } from './faults.ts';

/** Padding is at least this long (RFC 4253 §6). */
const MIN_PADDING_BYTES = 4;
const LENGTH_BYTES = 4;
/** Length and padding are whole blocks: of 8 bytes in the clear, where the length counts, and of 16 sealed, where it does not. */
const CLEAR_BLOCK = 8;
const SEALED_BLOCK = 16;
/** The pieces of a packet are joined at this number; only hostile peers send more. */
const MAX_PARTS = 64;

/** One direction's key: nonces count up and are never used twice (RFC 5647 §7.1). */
export class PacketKey {
  readonly #key: AeadKey;
  readonly #nonce: Bytes;
  readonly #counter: DataView;

  /** @param iv - 12 bytes: 4 that stay, and the first number of the counter. */
  constructor(key: Uint8Array, iv: Uint8Array) {
    this.#key = aesGcm(key);
    this.#nonce = iv.slice(0, 12);
    this.#counter = new DataView(this.#nonce.buffer, 4);
  }

  /** @param plaintext - may be a part of `out`. */
  seal(head: Bytes, plaintext: Bytes, out: Bytes): void {
    this.#key.seal(this.#nonce, head, plaintext, out, LENGTH_BYTES);
    this.#next();
  }

  /** Opens in place. @returns false when it was not sealed with this key and number */
  open(head: Bytes, sealed: Bytes): boolean {
    const isWhole = this.#key.open(this.#nonce, head, sealed, sealed, 0);
    this.#next();
    return isWhole;
  }

  #next(): void {
    const low = (this.#counter.getUint32(4) + 1) >>> 0;
    this.#counter.setUint32(4, low);
    if (low === 0) this.#counter.setUint32(0, (this.#counter.getUint32(0) + 1) >>> 0);
  }
}

/** Makes the packet of a payload. */
export function writePacket(payload: readonly Uint8Array[], key: PacketKey | undefined): Bytes {
  let size = 1;
  for (const piece of payload) size += piece.length;
  const counted = key === undefined ? LENGTH_BYTES : 0;
  const block = key === undefined ? CLEAR_BLOCK : SEALED_BLOCK;
  let padding = block - ((size + counted) % block);
  if (padding < MIN_PADDING_BYTES) padding += block;
  const length = size + padding;
  const packet = new Uint8Array(LENGTH_BYTES + length + (key === undefined ? 0 : AEAD_TAG_BYTES));
  packet[0] = length >>> 24;
  packet[1] = length >>> 16;
  packet[2] = length >>> 8;
  packet[3] = length;
  packet[LENGTH_BYTES] = padding;
  let at = LENGTH_BYTES + 1;
  for (const piece of payload) {
    copyInto(packet, at, piece);
    at += piece.length;
  }
  key?.seal(viewFrom(packet, 0, LENGTH_BYTES), viewFrom(packet, LENGTH_BYTES, LENGTH_BYTES + length), packet);
  return packet;
}

/** Splits received bytes into packets. Bounded by one packet and the last pushed chunk: take all packets between two pushes. */
export class PacketReader {
  /** The largest packet that is taken, all of it counted. */
  maxBytes: number;
  #bytes: Bytes = EMPTY_BYTES;
  #at = 0;
  #parts: Bytes[] = [];
  #partBytes = 0;
  /** Bytes of the packet at `#at`, with its tag, once its length is known. */
  #packetBytes = 0;
  #key: PacketKey | undefined;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Received bytes that are not part of a complete packet yet. */
  get pending(): number {
    return this.#bytes.length - this.#at + this.#partBytes;
  }

  /** How many more bytes the next step needs: the length of the next packet, or the rest of it. */
  get missing(): number {
    return Math.max((this.#packetBytes === 0 ? LENGTH_BYTES : this.#packetBytes) - this.pending, 0);
  }

  /** All later packets are sealed with this key. */
  setKey(key: PacketKey): void {
    this.#key = key;
  }

  /** Adds received bytes; `chunk` then belongs to the reader. */
  push(chunk: Bytes): void {
    if (this.pending === 0) {
      this.#bytes = chunk;
      this.#at = 0;
      return;
    }
    this.#parts.push(chunk);
    this.#partBytes += chunk.length;
    const wanted = this.#packetBytes === 0 ? LENGTH_BYTES : this.#packetBytes;
    if (this.pending < wanted && this.#parts.length < MAX_PARTS) return;
    this.#bytes = concatBytes(this.#bytes.subarray(this.#at), ...this.#parts);
    this.#at = 0;
    this.#parts = [];
    this.#partBytes = 0;
  }

  /** The payload of the next packet, at least one byte; `undefined` when more bytes are needed. */
  next(): Bytes | SshFault | undefined {
    const bytes = this.#bytes;
    const start = this.#at;
    if (bytes.length - start < LENGTH_BYTES) return undefined;
    const tag = this.#key === undefined ? 0 : AEAD_TAG_BYTES;
    if (this.#packetBytes === 0) {
      const [a, b, c, d] = [bytes[start]!, bytes[start + 1]!, bytes[start + 2]!, bytes[start + 3]!];
      const length = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
      const [block, counted] = this.#key === undefined ? [CLEAR_BLOCK, LENGTH_BYTES] : [SEALED_BLOCK, 0];
      if (LENGTH_BYTES + length + tag > this.maxBytes) return 'oversize';
      if (length < 1 + MIN_PADDING_BYTES + 1 || (length + counted) % block !== 0) return 'malformed';
      this.#packetBytes = LENGTH_BYTES + length + tag;
    }
    const end = start + this.#packetBytes;
    if (end > bytes.length) return undefined;
    this.#at = end;
    this.#packetBytes = 0;
    const body = viewFrom(bytes, start + LENGTH_BYTES, end);
    if (this.#key === undefined) return payloadOf(body, body.length);
    // The plaintext takes the place of the sealed text: nothing is allocated for it.
    if (!this.#key.open(viewFrom(bytes, start, start + LENGTH_BYTES), body)) return 'undecryptable';
    return payloadOf(body, body.length - AEAD_TAG_BYTES);
  }
}

/** Cuts off the padding of the first `length` bytes; a payload has at least its message number. */
function payloadOf(plain: Bytes, length: number): Bytes | SshFault {
  const padding = plain[0]!;
  const end = length - padding;
  return padding < MIN_PADDING_BYTES || end < 2 ? 'malformed' : viewFrom(plain, 1, end);
}
