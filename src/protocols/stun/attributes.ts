/** Values of STUN attributes (RFC 8489 §14): addresses, errors, text. Readers return `undefined` for invalid values; they never throw. */

import { decodeText, encodeText } from '../../base/bytes.ts';
import { ipBytes, ipOfBytes, type SocketAddress } from '../../base/ip.ts';
import { STUN_COOKIE } from './constants.ts';
import type { StunMessage } from './message.ts';

const FAMILY_IPV4 = 1;
const FAMILY_IPV6 = 2;

/** The first attribute of a type, or `undefined`. */
export function attributeOf({ attributes }: Pick<StunMessage, 'attributes'>, type: number): Uint8Array | undefined {
  return attributes.find((one) => one.type === type)?.value;
}

/**
 * The value of MAPPED-ADDRESS, RESPONSE-ORIGIN and OTHER-ADDRESS: family, port, IP.
 *
 * @throws {RangeError} when `ip` is no IP.
 */
export function encodeAddress({ ip, port }: SocketAddress): Uint8Array<ArrayBuffer> {
  const bytes = ipBytes(ip);
  if (bytes === undefined) throw new RangeError(`Cannot write ${ip}: it is not an IP address`);
  const value = new Uint8Array(4 + bytes.length);
  value[1] = bytes.length === 4 ? FAMILY_IPV4 : FAMILY_IPV6;
  new DataView(value.buffer).setUint16(2, port);
  value.set(bytes, 4);
  return value;
}

/** Reads what {@link encodeAddress} writes. */
export function decodeAddress(value: Uint8Array): SocketAddress | undefined {
  const family = value[1];
  if (value.length !== (family === FAMILY_IPV4 ? 8 : 20) || (family !== FAMILY_IPV4 && family !== FAMILY_IPV6)) {
    return undefined;
  }
  const ip = ipOfBytes(value.subarray(4));
  return ip === undefined ? undefined : { ip, port: (value[2]! << 8) | value[3]! };
}

/** XOR-MAPPED-ADDRESS hides the address from NATs that rewrite what they see (RFC 8489 §14.2): its own inverse. */
function xored(value: Uint8Array<ArrayBuffer>, transactionId: Uint8Array): Uint8Array<ArrayBuffer> {
  const mask = new Uint8Array(16);
  new DataView(mask.buffer).setUint32(0, STUN_COOKIE);
  mask.set(transactionId.subarray(0, 12), 4);
  value[2]! ^= mask[0]!;
  value[3]! ^= mask[1]!;
  for (let i = 4; i < value.length; i++) value[i]! ^= mask[i - 4]!;
  return value;
}

/** The value of XOR-MAPPED-ADDRESS. @throws {RangeError} when `ip` is not an IP. */
export function encodeXorAddress(address: SocketAddress, transactionId: Uint8Array): Uint8Array<ArrayBuffer> {
  return xored(encodeAddress(address), transactionId);
}

/** Reads what {@link encodeXorAddress} writes. */
export function decodeXorAddress(value: Uint8Array, transactionId: Uint8Array): SocketAddress | undefined {
  return value.length > 20 ? undefined : decodeAddress(xored(value.slice(), transactionId));
}

/** Why a request was refused. */
export interface StunError {
  /** 300 to 699. */
  readonly code: number;
  /** From the server: not to be trusted. */
  readonly reason: string;
}

/** The value of ERROR-CODE. */
export function encodeError({ code, reason }: StunError): Uint8Array<ArrayBuffer> {
  const text = encodeText(reason);
  const value = new Uint8Array(4 + text.length);
  value[2] = Math.floor(code / 100);
  value[3] = code % 100;
  value.set(text, 4);
  return value;
}

/** Reads what {@link encodeError} writes; a reason that is no text is empty. */
export function decodeError(value: Uint8Array): StunError | undefined {
  const [, , hundreds = 0, rest = 100] = value;
  const kind = hundreds & 7;
  if (value.length < 4 || kind < 3 || kind > 6 || rest > 99) return undefined;
  return { code: kind * 100 + rest, reason: decodeText(value.subarray(4)) ?? '' };
}

/** The value of UNKNOWN-ATTRIBUTES: types, 16 bits each. */
export function encodeTypes(types: readonly number[]): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(2 * types.length);
  const view = new DataView(value.buffer);
  for (const [i, type] of types.entries()) view.setUint16(2 * i, type);
  return value;
}
