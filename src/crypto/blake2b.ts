/**
 * BLAKE2b (RFC 7693) with its complete parameter block, and BLAKE2Xb with 64 bytes of output. Neither node:crypto nor
 * the @noble packages support them: they set fanout and depth to 1, and have no node offset and no XOF length.
 *
 * 64-bit words are pairs of 32-bit halves, low half first, so that no bigint is needed.
 *
 * Sources: RFC 7693; "BLAKE2: simpler, smaller, fast as MD5" §2.8 (parameter block); "BLAKE2X" §2.
 */

import type { Bytes } from '../base/bytes.ts';

const BLOCK_BYTES = 128;

/** RFC 7693 §2.6: the words of SHA-512's initial state, low half first. */
const IV = Uint32Array.of(
  0xf3bcc908,
  0x6a09e667,
  0x84caa73b,
  0xbb67ae85,
  0xfe94f82b,
  0x3c6ef372,
  0x5f1d36f1,
  0xa54ff53a,
  0xade682d1,
  0x510e527f,
  0x2b3e6c1f,
  0x9b05688c,
  0xfb41bd6b,
  0x1f83d9ab,
  0x137e2179,
  0x5be0cd19,
);

/** RFC 7693 §2.7, twelve rounds: the last two repeat the first two. */
const SIGMA = Uint8Array.from(
  [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  ].flat(),
);

// Shared scratch memory: safe because hashing is synchronous and writes all of it before reading it.
const v = new Uint32Array(32);
const m = new Uint32Array(32);

/** RFC 7693 §3.1, the mixing function G on words `a`, `b`, `c`, `d` (offsets into `v`) with message words `x`, `y`. */
function mix(a: number, b: number, c: number, d: number, x: number, y: number): void {
  let al = v[a]!;
  let ah = v[a + 1]!;
  let bl = v[b]!;
  let bh = v[b + 1]!;
  let cl = v[c]!;
  let ch = v[c + 1]!;
  let dl = v[d]!;
  let dh = v[d + 1]!;

  let low = al + bl + m[x]!; // below 2^34: exact, and the carry is the part above 2^32
  ah = (ah + bh + m[x + 1]! + Math.floor(low / 0x1_0000_0000)) >>> 0;
  al = low >>> 0;
  let swap = dl ^ al;
  dl = (dh ^ ah) >>> 0; // rotate right by 32: the halves are exchanged
  dh = swap >>> 0;
  low = cl + dl;
  ch = (ch + dh + (low > 0xffff_ffff ? 1 : 0)) >>> 0;
  cl = low >>> 0;
  let h = bh ^ ch;
  let l = bl ^ cl;
  bl = ((l >>> 24) | (h << 8)) >>> 0; // rotate right by 24
  bh = ((h >>> 24) | (l << 8)) >>> 0;

  low = al + bl + m[y]!;
  ah = (ah + bh + m[y + 1]! + Math.floor(low / 0x1_0000_0000)) >>> 0;
  al = low >>> 0;
  h = dh ^ ah;
  l = dl ^ al;
  dl = ((l >>> 16) | (h << 16)) >>> 0; // rotate right by 16
  dh = ((h >>> 16) | (l << 16)) >>> 0;
  low = cl + dl;
  ch = (ch + dh + (low > 0xffff_ffff ? 1 : 0)) >>> 0;
  cl = low >>> 0;
  h = bh ^ ch;
  l = bl ^ cl;
  swap = (h << 1) | (l >>> 31); // rotate right by 63, which is left by 1
  bl = ((l << 1) | (h >>> 31)) >>> 0;
  bh = swap >>> 0;

  v[a] = al;
  v[a + 1] = ah;
  v[b] = bl;
  v[b + 1] = bh;
  v[c] = cl;
  v[c + 1] = ch;
  v[d] = dl;
  v[d + 1] = dh;
}

/** RFC 7693 §3.2: one block of `m` into the state `h`; `counted` is the number of message bytes so far. */
function compress(h: Uint32Array, counted: number, last: boolean): void {
  v.set(h);
  v.set(IV, 16);
  v[24]! ^= counted; // inputs here are far below 2^32 bytes
  if (last) {
    v[28] = ~v[28]!;
    v[29] = ~v[29]!;
  }
  for (let s = 0; s < 192; s += 16) {
    mix(0, 8, 16, 24, 2 * SIGMA[s]!, 2 * SIGMA[s + 1]!);
    mix(2, 10, 18, 26, 2 * SIGMA[s + 2]!, 2 * SIGMA[s + 3]!);
    mix(4, 12, 20, 28, 2 * SIGMA[s + 4]!, 2 * SIGMA[s + 5]!);
    mix(6, 14, 22, 30, 2 * SIGMA[s + 6]!, 2 * SIGMA[s + 7]!);
    mix(0, 10, 20, 30, 2 * SIGMA[s + 8]!, 2 * SIGMA[s + 9]!);
    mix(2, 12, 22, 24, 2 * SIGMA[s + 10]!, 2 * SIGMA[s + 11]!);
    mix(4, 14, 16, 26, 2 * SIGMA[s + 12]!, 2 * SIGMA[s + 13]!);
    mix(6, 8, 18, 28, 2 * SIGMA[s + 14]!, 2 * SIGMA[s + 15]!);
  }
  for (let i = 0; i < 16; i++) h[i]! ^= v[i]! ^ v[i + 16]!;
}

/** The fields of BLAKE2b's 64-byte parameter block that shoal uses; salt, personalization and key are empty. */
export interface Blake2bParameters {
  /** Digest length, 1 to 64 bytes. */
  readonly digestBytes: number;
  /** @default 1 */
  readonly fanout?: number | undefined;
  /** @default 1 */
  readonly depth?: number | undefined;
  /** @default 0 */
  readonly leafBytes?: number | undefined;
  /** BLAKE2X: the output block. @default 0 */
  readonly nodeOffset?: number | undefined;
  /** BLAKE2X: length of the whole output. @default 0 */
  readonly xofBytes?: number | undefined;
  /** @default 0 */
  readonly nodeDepth?: number | undefined;
  /** @default 0 */
  readonly innerBytes?: number | undefined;
}

/** BLAKE2b of `data` under a parameter block. */
export function blake2b(data: Uint8Array, parameters: Blake2bParameters): Bytes {
  const { digestBytes, fanout = 1, depth = 1, leafBytes = 0, nodeOffset = 0, xofBytes = 0 } = parameters;
  const h = IV.slice();
  h[0]! ^= digestBytes | (fanout << 16) | (depth << 24);
  h[1]! ^= leafBytes;
  h[2]! ^= nodeOffset;
  h[3]! ^= xofBytes;
  h[4]! ^= (parameters.nodeDepth ?? 0) | ((parameters.innerBytes ?? 0) << 8);

  const bytes = new Uint8Array(BLOCK_BYTES);
  const words = new DataView(bytes.buffer);
  let offset = 0;
  for (;;) {
    const take = Math.min(BLOCK_BYTES, data.length - offset);
    bytes.fill(0, take);
    for (let i = 0; i < take; i++) bytes[i] = data[offset + i]!;
    for (let i = 0; i < 32; i++) m[i] = words.getUint32(4 * i, true);
    offset += take;
    const last = offset === data.length; // the last block is empty only when there is no data
    compress(h, offset, last);
    if (last) break;
  }
  const digest = new Uint8Array(digestBytes);
  for (let i = 0; i < digestBytes; i++) digest[i] = h[i >> 2]! >>> (8 * (i & 3));
  return digest;
}

/** BLAKE2b-256: 32 bytes, no key. */
export function blake2b256(data: Uint8Array): Bytes {
  return blake2b(data, { digestBytes: 32 });
}

const XOF_ROOT: Blake2bParameters = { digestBytes: 64, xofBytes: 64 };
const XOF_BLOCK: Blake2bParameters = {
  digestBytes: 64,
  fanout: 0,
  depth: 0,
  leafBytes: 64,
  xofBytes: 64,
  innerBytes: 64,
};

/** BLAKE2Xb with 64 bytes of output, no key: a root hash, then the one output block over it. */
export function blake2xb64(data: Uint8Array): Bytes {
  return blake2b(blake2b(data, XOF_ROOT), XOF_BLOCK);
}
