/** Networks by prefix: `10.0.0.0/8`, `2001:db8::/32`. */

import { canonicalIp, hasPrefix, ipBytes } from './ip.ts';

/** A network: the IPs of one family whose first bits are these. */
export interface IpPrefix {
  /** Canonical: `10.0.0.0/8`. */
  readonly text: string;
  /** 4 or 16; all bits after the prefix are 0. */
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/**
 * Reads a prefix, or an IP as the prefix of itself. `undefined` for anything else, also for an IP in a network (`10.1.2.3/8`), and for a
 * zone. A prefix of IPv4-mapped addresses becomes one of IPv4. Never throws.
 */
export function parseIpPrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? text : text.slice(0, slash);
  if (ip.includes('%')) return undefined;
  const written = ipBytes(ip);
  const canonical = canonicalIp(ip);
  if (written === undefined || canonical === undefined) return undefined;
  const bytes = ipBytes(canonical)!;
  // A mapped address is written with 96 bits more.
  const shift = 8 * (written.length - bytes.length);
  const bits = slash < 0 ? 8 * bytes.length : (wholeBits(text.slice(slash + 1)) ?? -1) - shift;
  if (bits < 0 || bits > 8 * bytes.length) return undefined;
  const masked = maskBytes(bytes, bits);
  if (masked.some((byte, i) => byte !== bytes[i])) return undefined;
  return { text: `${canonical}/${bits}`, bytes, bits };
}

function wholeBits(text: string): number | undefined {
  if (text.length === 0 || text.length > 3 || (text.length > 1 && text.startsWith('0'))) return undefined;
  for (const digit of text) if (digit < '0' || digit > '9') return undefined;
  return Number(text);
}

/** The network of an IP: its first bits, and 0 after them. @returns new bytes */
export function maskBytes(bytes: Uint8Array, bits: number): Uint8Array {
  const masked = new Uint8Array(bytes.length);
  const whole = bits >> 3;
  masked.set(bytes.subarray(0, whole));
  if ((bits & 7) !== 0) masked[whole] = bytes[whole]! & (0xff << (8 - (bits & 7)));
  return masked;
}

/** Whether an IP is in a network. @param bytes - 4 or 16, as `ipBytes` returns them for a canonical text. */
export function isInPrefix(bytes: Uint8Array, prefix: IpPrefix): boolean {
  return bytes.length === prefix.bytes.length && hasPrefix(bytes, prefix.bytes, prefix.bits);
}
