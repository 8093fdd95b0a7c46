/** The messages between a relay and its clients. Source: docs/wire/relay.md. Readers return `undefined` for invalid bytes; they never throw. */

import { type Bytes, copyBytes, viewFrom } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import { decodePeerId, encodePeerId, PEER_ID_BYTES, type PeerId } from '../../core/peer-id.ts';
import { decodeAddress, encodeAddress } from '../stun/attributes.ts';

/** The versions that are spoken here. */
export const OLDEST_RELAY_VERSION = 1;
export const NEWEST_RELAY_VERSION = 1;

/** The largest datagram: what QUIC sends through every path of IPv6 (1280 bytes less 48 of headers). */
export const MAX_RELAYED_BYTES = 1232;
/** Bytes before a datagram: version, type, PeerID. */
export const RELAY_HEADER_BYTES: number = 2 + PEER_ID_BYTES;
/** Bytes of a request's token. */
export const RELAY_TOKEN_BYTES = 8;
/** The shortest `reserve`: not shorter than its longest answer, so that a relay does not amplify. */
export const MIN_RESERVE_BYTES = 48;

const TYPE = {
  RESERVE: 0x01,
  RELEASE: 0x02,
  SEND: 0x03,
  RESERVED: 0x11,
  REFUSED: 0x12,
  RELEASED: 0x13,
  RECEIVED: 0x14,
  GONE: 0x15,
  GUEST: 0x16,
} as const;

/** Why a relay refuses a reservation, or ends it. */
export type RelayRefusal = 'full' | 'quota' | 'denied' | 'version' | 'closing';
const REFUSALS: readonly RelayRefusal[] = ['full', 'quota', 'denied', 'version', 'closing'];

/** Why a relay did not pass a datagram on. */
export type RelayGoneReason = 'no_reservation' | 'denied' | 'no_room';
const GONE_REASONS: readonly RelayGoneReason[] = ['no_reservation', 'denied', 'no_room'];

/** What a relay grants. */
export interface RelayGrant {
  readonly lifetimeS: number;
  /** Infinity: without a limit. */
  readonly bytesPerSecond: number;
  /** The largest datagram that it carries. */
  readonly mtu: number;
  /** The client's address as the relay sees it; `undefined` where there is no IP address. */
  readonly observed: SocketAddress | undefined;
}

interface WithToken {
  readonly token: Uint8Array;
}

/** What clients send. */
export type RelayRequest =
  | ({ readonly type: 'reserve'; /** 0: as many as the relay gives. */ readonly minutes: number } & WithToken)
  | ({ readonly type: 'release' } & WithToken)
  | { readonly type: 'send'; readonly to: Bytes; readonly datagram: Bytes };

/** What relays send. */
export type RelayReply =
  | ({ readonly type: 'reserved' } & WithToken & RelayGrant)
  | ({ readonly type: 'refused'; readonly reason: RelayRefusal; readonly retryS: number } & WithToken)
  | ({ readonly type: 'released' } & WithToken)
  | { readonly type: 'received'; readonly from: Bytes; readonly datagram: Bytes }
  | { readonly type: 'gone'; readonly id: PeerId; readonly reason: RelayGoneReason }
  | { readonly type: 'guest' };

/** A message, or why the bytes are not a message: `unknown` is of a later version, by its type or in all. */
export type RelayRead<T extends object> =
  | { readonly version: number; readonly message: T }
  | { readonly version: number; readonly message: 'malformed' | 'unknown_type' | 'unknown_version' };

function start(length: number, version: number, type: number): Bytes {
  const bytes = new Uint8Array(length);
  bytes[0] = version;
  bytes[1] = type;
  return bytes;
}

function withToken(version: number, type: number, token: Uint8Array, more = 0): Bytes {
  const bytes = start(
    Math.max(2 + RELAY_TOKEN_BYTES + more, type === TYPE.RESERVE ? MIN_RESERVE_BYTES : 0),
    version,
    type,
  );
  bytes.set(token, 2);
  return bytes;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const AFTER_TOKEN = 2 + RELAY_TOKEN_BYTES;

/** Writes a `reserve`. */
export function encodeReserve(version: number, token: Uint8Array, minutes: number): Bytes {
  const bytes = withToken(version, TYPE.RESERVE, token);
  viewOf(bytes).setUint16(AFTER_TOKEN, minutes);
  return bytes;
}

/** Writes a `release`. */
export function encodeRelease(version: number, token: Uint8Array): Bytes {
  return withToken(version, TYPE.RELEASE, token);
}

/** Writes a `send`. @param to - the 32 bytes of the receiver's PeerID */
export function encodeSend(version: number, to: Uint8Array, datagram: Uint8Array): Bytes {
  const bytes = start(RELAY_HEADER_BYTES + datagram.length, version, TYPE.SEND);
  bytes.set(to, 2);
  bytes.set(datagram, RELAY_HEADER_BYTES);
  return bytes;
}

/** Makes a `received` of a `send` in place: a relay copies no datagram. @param from - the 32 bytes of the sender's PeerID */
export function turnIntoReceived(send: Bytes, version: number, from: Uint8Array): Bytes {
  send[0] = version;
  send[1] = TYPE.RECEIVED;
  send.set(from, 2);
  return send;
}

/** Writes a `reserved`. */
export function encodeReserved(version: number, token: Uint8Array, grant: RelayGrant): Bytes {
  const address = grant.observed === undefined ? new Uint8Array(0) : encodeAddress(grant.observed);
  const bytes = withToken(version, TYPE.RESERVED, token, 11 + address.length);
  const view = viewOf(bytes);
  view.setUint32(AFTER_TOKEN, grant.lifetimeS);
  view.setUint32(AFTER_TOKEN + 4, grant.bytesPerSecond === Infinity ? 0 : Math.min(grant.bytesPerSecond, 0xffff_ffff));
  view.setUint16(AFTER_TOKEN + 8, grant.mtu);
  bytes[AFTER_TOKEN + 10] = address.length;
  bytes.set(address, AFTER_TOKEN + 11);
  return bytes;
}

/** Writes a `refused`. */
export function encodeRefused(version: number, token: Uint8Array, reason: RelayRefusal, retryS: number): Bytes {
  const bytes = withToken(version, TYPE.REFUSED, token, 3);
  bytes[AFTER_TOKEN] = REFUSALS.indexOf(reason);
  viewOf(bytes).setUint16(AFTER_TOKEN + 1, Math.min(retryS, 0xffff));
  return bytes;
}

/** Writes a `released`. */
export function encodeReleased(version: number, token: Uint8Array): Bytes {
  return withToken(version, TYPE.RELEASED, token);
}

/** Writes a `gone`. @param id - 32 bytes */
export function encodeGone(version: number, id: Uint8Array, reason: RelayGoneReason): Bytes {
  const bytes = start(RELAY_HEADER_BYTES + 1, version, TYPE.GONE);
  bytes.set(id, 2);
  bytes[RELAY_HEADER_BYTES] = GONE_REASONS.indexOf(reason);
  return bytes;
}

/** Writes a `guest`. */
export function encodeGuest(version: number): Bytes {
  return start(2, version, TYPE.GUEST);
}

/** Whether two versions that meet understand each other. */
export const isSpoken = (version: number, newest: number): boolean =>
  version >= OLDEST_RELAY_VERSION && version <= newest;

function read<T extends object>(
  bytes: Bytes,
  newest: number,
  shortest: (type: number) => number | undefined,
  parse: (type: number, bytes: Bytes) => T | undefined,
): RelayRead<T> {
  const [version = 0, type = 0] = bytes;
  if (bytes.length < 2 || version === 0) return { version, message: 'malformed' };
  if (!isSpoken(version, newest)) return { version, message: 'unknown_version' };
  const length = shortest(type);
  if (length === undefined) return { version, message: 'unknown_type' };
  const message = bytes.length < length ? undefined : parse(type, bytes);
  return message === undefined ? { version, message: 'malformed' } : { version, message };
}

const tokenOf = (bytes: Bytes): Bytes => copyBytes(bytes.subarray(2, AFTER_TOKEN));

/** What a relay reads; of a version that it does not speak, `reserve` is told apart by {@link tokenOfReserve}. */
export function decodeRelayRequest(bytes: Bytes, newest: number = NEWEST_RELAY_VERSION): RelayRead<RelayRequest> {
  return read<RelayRequest>(
    bytes,
    newest,
    (type) =>
      type === TYPE.SEND
        ? RELAY_HEADER_BYTES
        : type === TYPE.RESERVE
          ? MIN_RESERVE_BYTES
          : type === TYPE.RELEASE
            ? AFTER_TOKEN
            : undefined,
    (type) => {
      if (type === TYPE.SEND) {
        return {
          type: 'send',
          to: viewFrom(bytes, 2, RELAY_HEADER_BYTES),
          datagram: viewFrom(bytes, RELAY_HEADER_BYTES),
        };
      }
      const token = tokenOf(bytes);
      return type === TYPE.RELEASE
        ? { type: 'release', token }
        : { type: 'reserve', token, minutes: viewOf(bytes).getUint16(AFTER_TOKEN) };
    },
  );
}

/** The token of a `reserve` of any version, to refuse it; `undefined` for other messages. */
export function tokenOfReserve(bytes: Bytes): Bytes | undefined {
  return bytes[1] === TYPE.RESERVE && bytes.length >= MIN_RESERVE_BYTES ? tokenOf(bytes) : undefined;
}

const REPLY_BYTES = new Map<number, number>([
  [TYPE.RESERVED, AFTER_TOKEN + 11],
  [TYPE.REFUSED, AFTER_TOKEN + 3],
  [TYPE.RELEASED, AFTER_TOKEN],
  [TYPE.RECEIVED, RELAY_HEADER_BYTES],
  [TYPE.GONE, RELAY_HEADER_BYTES + 1],
  [TYPE.GUEST, 2],
]);

/** What a client reads. */
export function decodeRelayReply(bytes: Bytes, newest: number = NEWEST_RELAY_VERSION): RelayRead<RelayReply> {
  return read<RelayReply>(bytes, newest, (type) => REPLY_BYTES.get(type), parseReply);
}

function parseReply(type: number, bytes: Bytes): RelayReply | undefined {
  switch (type) {
    case TYPE.RECEIVED:
      return {
        type: 'received',
        from: viewFrom(bytes, 2, RELAY_HEADER_BYTES),
        datagram: viewFrom(bytes, RELAY_HEADER_BYTES),
      };
    case TYPE.RESERVED:
      return parseReserved(bytes);
    case TYPE.REFUSED: {
      const reason = REFUSALS[bytes[AFTER_TOKEN]!];
      const retryS = viewOf(bytes).getUint16(AFTER_TOKEN + 1);
      return reason === undefined ? undefined : { type: 'refused', token: tokenOf(bytes), reason, retryS };
    }
    case TYPE.GONE: {
      const reason = GONE_REASONS[bytes[RELAY_HEADER_BYTES]!];
      const id = encodePeerId(bytes.subarray(2, RELAY_HEADER_BYTES));
      return reason === undefined ? undefined : { type: 'gone', id, reason };
    }
    case TYPE.RELEASED:
      return { type: 'released', token: tokenOf(bytes) };
    default:
      return { type: 'guest' };
  }
}

function parseReserved(bytes: Bytes): RelayReply | undefined {
  const view = viewOf(bytes);
  const length = bytes[AFTER_TOKEN + 10]!;
  const end = AFTER_TOKEN + 11 + length;
  if (end > bytes.length) return undefined;
  const observed = length === 0 ? undefined : decodeAddress(bytes.subarray(AFTER_TOKEN + 11, end));
  const lifetimeS = view.getUint32(AFTER_TOKEN);
  const mtu = view.getUint16(AFTER_TOKEN + 8);
  if ((length > 0 && observed === undefined) || lifetimeS === 0 || mtu === 0) return undefined;
  const rate = view.getUint32(AFTER_TOKEN + 4);
  return {
    type: 'reserved',
    token: tokenOf(bytes),
    lifetimeS,
    bytesPerSecond: rate === 0 ? Infinity : rate,
    mtu,
    observed,
  };
}

/** The 32 bytes of a PeerID, checked before. */
export function bytesOfPeerId(id: PeerId): Bytes {
  return decodePeerId(id)!;
}
