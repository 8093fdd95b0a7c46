/** The options and events of a connection of SSH-2. */

import { quantity, wholeNumber } from '../../base/checks.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { Signer } from '../../identity/key-algorithm.ts';
import type { SshEnd } from './algorithms.ts';
import {
  GUARANTEED_PACKET_BYTES,
  GUARANTEED_PAYLOAD_BYTES,
  MAX_PACKET_BYTES,
  MIN_REKEY_AFTER_MS,
  MIN_REKEY_BYTES,
  REKEY_AFTER_MS,
  REKEY_BYTES,
} from './constants.ts';
import type { SshClosed } from './faults.ts';

/** Options of a connection. */
export interface SshTransportOptions {
  /** The end that this side is: the client has dialled. */
  readonly end: SshEnd;
  /** This side's key: Ed25519. */
  readonly signer: Signer;
  /** Random bytes: a cookie and a key for each exchange. */
  readonly random: (bytes: number) => Uint8Array;
  /** The user name that a client gives. @default '' as go-p2p */
  readonly user?: string | undefined;
  /** The largest packet that is taken and sent: 35 000 to 262 144 bytes. @default 35_000, which RFC 4253 guarantees */
  readonly maxPacketBytes?: number | undefined;
  /** Keys are exchanged again after this many bytes in both directions together. @default 1_073_741_824 (1 GiB) */
  readonly rekeyBytes?: number | undefined;
  /** Keys are exchanged again after this time. @default 3_600_000 (1 h) */
  readonly rekeyAfterMs?: number | undefined;
  /** Whether the peer is told that this side has frames (docs/wire/ssh.md §6). @default true */
  readonly frames?: boolean | undefined;
}

/** The events of a connection. */
export type SshTransportEvent =
  /** The peer has proven this key: call `admit` or `refuse`. Nothing more is read before. */
  | { readonly type: 'proven'; readonly publicKey: PublicKey }
  /** Both sides are authenticated: payloads may be sent. */
  | { readonly type: 'open' }
  /** The last event. */
  | { readonly type: 'closed'; readonly closed: SshClosed };

/** The payload that fits into packets of this size. */
export function maxPayloadBytes(packetBytes: number): number {
  return packetBytes - (GUARANTEED_PACKET_BYTES - GUARANTEED_PAYLOAD_BYTES);
}

/** The limits of a connection, with defaults filled in. @throws {TypeError | RangeError} for invalid ones. */
export function resolveSshLimits(limits: Pick<SshTransportOptions, 'maxPacketBytes' | 'rekeyBytes' | 'rekeyAfterMs'>): {
  readonly maxPacketBytes: number;
  readonly rekeyBytes: number;
  readonly rekeyAfterMs: number;
} {
  const [least, most] = [GUARANTEED_PACKET_BYTES, MAX_PACKET_BYTES];
  return {
    maxPacketBytes: wholeNumber(limits.maxPacketBytes, 'maxPacketBytes', least, least, most),
    rekeyBytes: wholeNumber(limits.rekeyBytes, 'rekeyBytes', REKEY_BYTES, MIN_REKEY_BYTES, REKEY_BYTES),
    rekeyAfterMs: quantity(limits.rekeyAfterMs, 'rekeyAfterMs', REKEY_AFTER_MS, MIN_REKEY_AFTER_MS, REKEY_AFTER_MS),
  };
}
