/**
 * Bytes: the type of all data that shoal returns, and the helpers that every layer needs.
 *
 * Arguments: any `Uint8Array`. Results: {@link Bytes}, a plain `Uint8Array` over an unshared `ArrayBuffer`, never a
 * Node `Buffer`.
 */

/**
 * The type of bytes that shoal returns: a plain `Uint8Array` over an unshared buffer. It may be a view into a larger
 * buffer.
 */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The shared empty byte string, which cannot be changed. */
export const EMPTY_BYTES: Bytes = new Uint8Array(0);

/** A copy of `source` in its own buffer; never a view, never a Node `Buffer`. */
export function copyBytes(source: Uint8Array): Bytes {
  const copy = new Uint8Array(source.length);
  copy.set(source);
  return copy;
}

/** The maximum that V8 keeps inside the heap object; larger arrays cost a malloc and a finalizer each. */
const ON_HEAP_BYTES = 64;
/** Packets up to this size share slabs; for larger ones malloc is not the main cost. */
const MAX_POOLED_BYTES = 2048;
/** Small, because a kept message keeps its slab. Node's own Buffer pool has 8 KiB. */
const SLAB_BYTES = 16_384;

let slab = new ArrayBuffer(SLAB_BYTES);
let slabAt = 0;

/**
 * `length` zero bytes for a message. Small ones share a slab, whose bytes are never reused, so they are views: they may
 * be kept and changed, but not transferred. Not for secrets.
 */
export function allocMessage(length: number): Bytes {
  if (length <= ON_HEAP_BYTES || length > MAX_POOLED_BYTES) return new Uint8Array(length);
  // A slab whose buffer was transferred has length 0.
  if (slabAt + length > slab.byteLength) {
    slab = new ArrayBuffer(SLAB_BYTES);
    slabAt = 0;
  }
  const bytes = new Uint8Array(slab, slabAt, length);
  slabAt += (length + 7) & ~7; // aligned, as a separate buffer would be
  return bytes;
}

/** A copy of a message's bytes, allocated by {@link allocMessage}. */
export function copyMessage(source: Uint8Array): Bytes {
  const copy = allocMessage(source.length);
  copyInto(copy, 0, source);
  return copy;
}

/**
 * A view of `bytes` from `start` on. Like `subarray`, but several times faster, because it does not look up the
 * species.
 */
export function viewFrom(bytes: Bytes, start: number, end: number = bytes.length): Bytes {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

const { slice } = Uint8Array.prototype as { readonly slice: (this: Bytes, start: number, end: number) => Bytes };

/**
 * The bytes of `bytes` from `start` to `end`, for a handler that may transfer their buffer, which then contains nothing
 * else. A copy, unless they are the end of `bytes` and most of its buffer.
 */
export function takeBytes(bytes: Bytes, start: number, end: number): Bytes {
  const isMost = end === bytes.length && (end - start) * 2 > bytes.buffer.byteLength;
  if (isMost) return viewFrom(bytes, start, end);
  // Faster than a view and a copy of it, but it makes a `Buffer` of a `Buffer`.
  return bytes.constructor === Uint8Array ? slice.call(bytes, start, end) : new Uint8Array(viewFrom(bytes, start, end));
}

/** Up to this size a loop copies faster than a call of `set`. */
const LOOP_COPY_BYTES = 48;

/**
 * Copies `source` into `target` at `offset`. Like `set`, but faster for the few bytes of a header or a small message.
 */
export function copyInto(target: Uint8Array, offset: number, source: Uint8Array): void {
  const { length } = source;
  if (length > LOOP_COPY_BYTES) target.set(source, offset);
  else for (let i = 0; i < length; i++) target[offset + i] = source[i]!;
}

/** Two byte strings concatenated in a new buffer: the hot path of every layer with a header. */
export function joinBytes(head: Uint8Array, tail: Uint8Array): Bytes {
  const joined = allocMessage(head.length + tail.length);
  copyInto(joined, 0, head);
  copyInto(joined, head.length, tail);
  return joined;
}

/** All parts concatenated in a new buffer. */
export function concatBytes(...parts: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/**
 * Whether two byte strings are equal. The time depends on the lengths and not on the contents, so it is safe for tags
 * and keys.
 */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** Lexicographic order of two byte strings: negative, zero or positive. A prefix sorts before longer strings. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** UTF-8 bytes of `text`; lone surrogates become U+FFFD, as everywhere on the web. */
export function encodeText(text: string): Bytes {
  return encoder.encode(text);
}

/** Decodes UTF-8; `undefined` when the bytes are not valid UTF-8. Never throws. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Lower-case hexadecimal, two digits per byte. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte]!;
  return text;
}

/**
 * Decodes hexadecimal text, upper or lower case.
 *
 * @throws {TypeError} when `text` is not an even number of hexadecimal digits.
 */
export function fromHex(text: string): Bytes {
  if (typeof text !== 'string' || text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new TypeError('Cannot read hex: expected an even number of hexadecimal digits');
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
