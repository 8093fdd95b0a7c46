/**
 * Ed25519 public keys of low order, canonical or not. A signature under such a key is valid for (nearly) every message,
 * so nobody can be told apart by it.
 *
 * Source: the eight torsion points of RFC 8032's curve and the encodings ≥ p of the same points, as libsodium's
 * `ge25519_has_small_order` lists them; the sign bit does not matter.
 */

import { equalBytes, fromHex } from '../core/bytes.ts';

const LOW_ORDER_Y = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map(fromHex);

/** Whether the 32 bytes encode an Ed25519 point of low order. */
export function isLowOrderEd25519(publicKey: Uint8Array): boolean {
  const y = publicKey.slice();
  y[31]! &= 0x7f;
  return LOW_ORDER_Y.some((point) => equalBytes(point, y));
}
