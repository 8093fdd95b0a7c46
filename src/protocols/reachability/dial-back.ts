/**
 * Dial-back messages: a node asks a helper to send a nonce to one of its addresses. What arrives there proves that others reach it.
 * Source: docs/wire/reachability.md.
 *
 * A request is at least as long as a third of what the helper sends because of it, so that naming a victim does not amplify an attack.
 */

import { type Bytes, encodeText, equalBytes, copyBytes } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import { decodeAddress, encodeAddress } from '../stun/attributes.ts';
import { STUN_BINDING } from '../stun/constants.ts';
import { decodeStun, encodeStun, isStun } from '../stun/message.ts';

/** How an address is reached. */
export type DialBackTransport = 'udp' | 'tcp';

/** What a node asks for. */
export interface DialBackRequest {
  readonly transport: DialBackTransport;
  /** 16 random bytes. */
  readonly nonce: Uint8Array;
  readonly target: SocketAddress;
  /** Whether another helper has handed the request on; it is not handed on again. */
  readonly forwarded: boolean;
}

/**
 * What a helper says: `sent` when the nonce has left, over TCP when the connection was made; `unreachable` when it could not be made;
 * `refused` when it sends nothing to such an address; `busy` when it does so too often now; `unsupported` without a socket for it.
 */
export type DialBackStatus = 'sent' | 'unreachable' | 'refused' | 'busy' | 'unsupported';

const MAGIC: Bytes = encodeText('sdb1');
const STATUSES: readonly DialBackStatus[] = ['sent', 'unreachable', 'refused', 'busy', 'unsupported'];
const TRANSPORTS: readonly DialBackTransport[] = ['udp', 'tcp'];

/** Bytes of a nonce. */
export const DIAL_BACK_NONCE_BYTES = 16;

/**
 * The shortest request. A helper sends two datagrams of 76 bytes with their headers; or a TCP connection: at most three SYNs of 60
 * bytes, and 230 bytes for the rest. A request with its headers has 220 bytes, so that is less than three times as much.
 */
export const MIN_DIAL_BACK_REQUEST_BYTES = 192;

/** A private STUN attribute of those that may be ignored (RFC 8489 §18.3): the nonce. */
const NONCE_ATTRIBUTE = 0xdb01;

const HEADER_BYTES = 22;
const FORWARDED = 0x80;

/** Writes a request. */
export function encodeDialBackRequest({ transport, nonce, target, forwarded }: DialBackRequest): Bytes {
  const request = new Uint8Array(MIN_DIAL_BACK_REQUEST_BYTES);
  const address = encodeAddress(target);
  request.set(MAGIC);
  request[4] = TRANSPORTS.indexOf(transport) | (forwarded ? FORWARDED : 0);
  request.set(nonce, 5);
  request[21] = address.length;
  request.set(address, HEADER_BYTES);
  return request;
}

/** Reads a request; `undefined` when it is invalid or too short. */
export function decodeDialBackRequest(bytes: Uint8Array): DialBackRequest | undefined {
  if (bytes.length < MIN_DIAL_BACK_REQUEST_BYTES || !equalBytes(bytes.subarray(0, 4), MAGIC)) return undefined;
  const transport = TRANSPORTS[bytes[4]! & ~FORWARDED];
  const target = decodeAddress(bytes.subarray(HEADER_BYTES, HEADER_BYTES + bytes[21]!));
  if (transport === undefined || target === undefined || target.port === 0) return undefined;
  const nonce = copyBytes(bytes.subarray(5, 5 + DIAL_BACK_NONCE_BYTES));
  return { transport, nonce, target, forwarded: (bytes[4]! & FORWARDED) !== 0 };
}

/** Writes the helper's answer. */
export function encodeDialBackStatus(status: DialBackStatus): Bytes {
  const answer = new Uint8Array(5);
  answer.set(MAGIC);
  answer[4] = STATUSES.indexOf(status);
  return answer;
}

/** Reads the helper's answer; `undefined` when it is invalid. */
export function decodeDialBackStatus(bytes: Uint8Array): DialBackStatus | undefined {
  if (bytes.length !== 5 || !equalBytes(bytes.subarray(0, 4), MAGIC)) return undefined;
  return STATUSES[bytes[4]!];
}

/** What the helper sends to the address, as a datagram or as the first bytes of a connection: a STUN indication, 48 bytes. */
export function encodeDialBackNonce(nonce: Uint8Array): Bytes {
  return encodeStun({
    class: 'indication',
    method: STUN_BINDING,
    transactionId: nonce.subarray(0, 12),
    attributes: [{ type: NONCE_ATTRIBUTE, value: nonce }],
  });
}

/** The nonce in a datagram; `undefined` when it is something else. */
export function decodeDialBackNonce(bytes: Uint8Array): Bytes | undefined {
  const message = isStun(bytes) ? decodeStun(bytes) : undefined;
  if (message === undefined || message.class !== 'indication' || !message.hasFingerprint) return undefined;
  const nonce = message.attributes.find(({ type }) => type === NONCE_ATTRIBUTE)?.value;
  return nonce?.length === DIAL_BACK_NONCE_BYTES ? copyBytes(nonce) : undefined;
}
