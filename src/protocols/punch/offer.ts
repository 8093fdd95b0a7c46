/** The offers of a punch: what one side tells the other before both send. Source: docs/wire/punch.md §1. */

import { type Bytes, concatBytes, copyBytes, encodeText, equalBytes } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import { decodeAddress, encodeAddress } from '../stun/attributes.ts';

/**
 * How a NAT gives out ports of IPv4: one for each socket (`steady`), one after the other for each destination (`sequential`), any
 * (`random`); `unknown` without an observer.
 */
export type PunchPorts = 'unknown' | 'steady' | 'sequential' | 'random';

/** What one side tells the other before both punch; plain data. */
export interface PunchOffer {
  /** 16 random bytes, for one punch: the other side's messages must prove that it knows them. */
  readonly token: Bytes;
  /** Observed and mapped ones first, then local ones; at most 8. */
  readonly addrs: readonly SocketAddress[];
  readonly ports: PunchPorts;
  /** With `sequential`: the port of the next new destination, and the step from one to the other. @default not known */
  readonly next?: { readonly port: number; readonly delta: number } | undefined;
}

/** Bytes of a token. */
export const PUNCH_TOKEN_BYTES = 16;
/** Addresses of an offer. */
export const MAX_PUNCH_ADDRS = 8;
/** The largest offer: eight addresses of IPv6. */
export const MAX_PUNCH_OFFER_BYTES: number = 4 + PUNCH_TOKEN_BYTES + 1 + 4 + 1 + MAX_PUNCH_ADDRS * 21;

const MAGIC: Bytes = encodeText('spo1');
export const PUNCH_PORTS: readonly PunchPorts[] = ['unknown', 'steady', 'sequential', 'random'];
const HAS_NEXT = 0x80;
const PORTS_AT = MAGIC.length + PUNCH_TOKEN_BYTES;

/**
 * Writes an offer.
 *
 * @throws {RangeError} for a token of another length, too many addresses, or what is no address or port.
 */
export function encodePunchOffer({ token, addrs, ports, next }: PunchOffer): Bytes {
  if (token.length !== PUNCH_TOKEN_BYTES || addrs.length > MAX_PUNCH_ADDRS) {
    const message = `expected a token of ${PUNCH_TOKEN_BYTES} bytes and at most ${MAX_PUNCH_ADDRS} addresses`;
    throw new RangeError(`Cannot write an offer: ${message}, got ${token.length} and ${addrs.length}`);
  }
  const head = new Uint8Array(PORTS_AT + 1 + (next === undefined ? 0 : 4) + 1);
  head.set(MAGIC);
  head.set(token, MAGIC.length);
  head[PORTS_AT] = PUNCH_PORTS.indexOf(ports) | (next === undefined ? 0 : HAS_NEXT);
  if (next !== undefined) {
    const view = new DataView(head.buffer);
    view.setUint16(PORTS_AT + 1, next.port);
    view.setInt16(PORTS_AT + 3, next.delta);
  }
  head[head.length - 1] = addrs.length;
  const parts = addrs.flatMap((addr) => {
    const address = encodeAddress(addr);
    return [Uint8Array.of(address.length), address];
  });
  return concatBytes(head, ...parts);
}

/** Reads an offer; `undefined` when it is invalid. Never throws. */
export function decodePunchOffer(bytes: Uint8Array): PunchOffer | undefined {
  if (bytes.length < PORTS_AT + 2 || bytes.length > MAX_PUNCH_OFFER_BYTES) return undefined;
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) return undefined;
  const token = copyBytes(bytes.subarray(MAGIC.length, PORTS_AT));
  const flags = bytes[PORTS_AT]!;
  const ports = PUNCH_PORTS[flags & ~HAS_NEXT];
  const hasNext = (flags & HAS_NEXT) !== 0;
  let at = PORTS_AT + 1 + (hasNext ? 4 : 0);
  const count = bytes[at++];
  if (ports === undefined || count === undefined || count > MAX_PUNCH_ADDRS) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const next = hasNext ? { port: view.getUint16(PORTS_AT + 1), delta: view.getInt16(PORTS_AT + 3) } : undefined;
  const addrs: SocketAddress[] = []; // Bounded by MAX_PUNCH_ADDRS.
  for (let i = 0; i < count; i++) {
    const length = bytes[at++] ?? 0;
    const addr = decodeAddress(bytes.subarray(at, at + length));
    if (addr === undefined || addr.port === 0) return undefined;
    addrs.push(addr);
    at += length;
  }
  if (at !== bytes.length) return undefined;
  return next === undefined ? { token, addrs, ports } : { token, addrs, ports, next };
}
