/**
 * Object identifiers as dotted text: immutable, comparable with `===`.
 *
 * Source: ITU-T X.690 §8.19.
 */

import type { Bytes } from '../base/bytes.ts';
import { describeValue } from '../base/checks.ts';

/** An object identifier: `1.3.101.112`. */
export type Oid = string;

/** Names in {@link OIDS}. */
export type KnownOid =
  | 'ed25519'
  | 'ed448'
  | 'x25519'
  | 'ecPublicKey'
  | 'prime256v1'
  | 'ecdsaWithSha256'
  | 'basicConstraints'
  | 'keyUsage'
  | 'extendedKeyUsage'
  | 'subjectAltName'
  | 'commonName';

/** The identifiers with names here. */
export const OIDS: Readonly<Record<KnownOid, Oid>> = {
  /** RFC 8410 §3; key and signature. */
  ed25519: '1.3.101.112',
  /** RFC 8410 §3; go-p2p names it but has no codec. */
  ed448: '1.3.101.113',
  /** RFC 8410 §3; key agreement: the static keys of Noise. */
  x25519: '1.3.101.110',
  /** RFC 5480 §2.1.1: an elliptic-curve public key; the curve is the parameter. */
  ecPublicKey: '1.2.840.10045.2.1',
  /** RFC 5480 §2.1.1.1: the curve P-256. */
  prime256v1: '1.2.840.10045.3.1.7',
  /** RFC 5758 §3.2. */
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  /** RFC 5280 §4.2.1.9. */
  basicConstraints: '2.5.29.19',
  /** RFC 5280 §4.2.1.3. */
  keyUsage: '2.5.29.15',
  /** RFC 5280 §4.2.1.12. */
  extendedKeyUsage: '2.5.29.37',
  /** RFC 5280 §4.2.1.6. */
  subjectAltName: '2.5.29.17',
  /** RFC 5280 appendix A.1: an attribute of names. */
  commonName: '2.5.4.3',
};

/** Arcs are at most 64 bits wide here, as in go-p2p; that is ten bytes of seven bits. */
const MAX_ARC_BYTES = 10;
const MAX_ARC = 0xffff_ffff_ffff_ffffn;
/** 2^28: what remains of 35 bits when seven more are added. */
const LOW_REST = 0x1000_0000;
/** The longest content that is read: no identifier in use is nearly this long. */
const MAX_OID_BYTES = 128;

/** The arcs of dotted text; `undefined` when it is not an object identifier. */
function arcsOf(oid: string): bigint[] | undefined {
  if (!/^[0-2](\.(0|[1-9][0-9]*))+$/.test(oid)) return undefined;
  const arcs = oid.split('.').map(BigInt);
  if (arcs.some((arc) => arc > MAX_ARC)) return undefined;
  return arcs[0]! < 2n && arcs[1]! > 39n ? undefined : arcs;
}

/** Whether `value` is an object identifier in dotted text. */
export function isOid(value: unknown): value is Oid {
  return typeof value === 'string' && arcsOf(value) !== undefined;
}

/**
 * The content bytes of an object identifier, without tag and length.
 *
 * @throws {TypeError} when `oid` is not dotted text of at least two arcs.
 */
export function encodeOid(oid: Oid): Bytes {
  const arcs = typeof oid === 'string' ? arcsOf(oid) : undefined;
  if (arcs === undefined) throw new TypeError(`Cannot take OID: expected dotted numbers, got ${describeValue(oid)}`);
  const bytes: number[] = [];
  for (let arc of [40n * arcs[0]! + arcs[1]!, ...arcs.slice(2)]) {
    const groups: number[] = [];
    do {
      groups.unshift(Number(arc & 0x7fn));
      arc >>= 7n;
    } while (arc > 0n);
    for (let i = 0; i < groups.length; i++) bytes.push(groups[i]! | (i < groups.length - 1 ? 0x80 : 0));
  }
  return Uint8Array.from(bytes);
}

/** The dotted text of content bytes; `undefined` when they are not the canonical encoding. Never throws. */
export function decodeOid(content: Uint8Array): Oid | undefined {
  if (content.length === 0 || content.length > MAX_OID_BYTES) return undefined;
  const values: bigint[] = [];
  let [high, low] = [0, 0]; // 35 bits each: numbers, since a bigint for each byte costs ten times as much
  let groups = 0;
  for (const byte of content) {
    if (groups === 0 && byte === 0x80) return undefined; // a leading zero group: not the shortest form
    if (++groups > MAX_ARC_BYTES) return undefined;
    high = high * 0x80 + Math.floor(low / LOW_REST);
    low = (low % LOW_REST) * 0x80 + (byte & 0x7f);
    if ((byte & 0x80) === 0) {
      values.push((BigInt(high) << 35n) | BigInt(low));
      [high, low, groups] = [0, 0, 0];
    }
  }
  if (groups !== 0) return undefined;
  const first = values[0]!;
  const root = first < 40n ? 0n : first < 80n ? 1n : 2n;
  const arcs = [root, first - 40n * root, ...values.slice(1)];
  return arcs.some((arc) => arc > MAX_ARC) ? undefined : arcs.join('.');
}
