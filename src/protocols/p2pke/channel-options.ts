/** The options, events and timers of a channel. */

import { quantity, wholeNumber } from '../../base/checks.ts';
import type { Side } from '../../core/accept.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { P2pkeIdentity } from './identity.ts';

/** Times and counts of a channel. Both sides may have their own. */
export interface ChannelLimits {
  /**
   * Age in ms at which the side that began a session replaces it, when it is in use. @default 120000 (go-p2p
   * `RekeyAfterTime`)
   */
  readonly rekeyAfterMs?: number | undefined;
  /** Messages after which a session is replaced. @default 2147483647 (go-p2p `RekeyAfterMessages`, unused there) */
  readonly rekeyAfterMessages?: number | undefined;
  /** Age in ms at which a session ends. @default 180000 (go-p2p `RejectAfterTime`) */
  readonly rejectAfterMs?: number | undefined;
  /**
   * Silence in ms after which a handshake checks whether the other side still has the session. With the original,
   * which counts handshakes only, one is due after 29/30 of it even if data arrives.
   * @default 15000 (go-p2p `KeepAliveTimeout`)
   */
  readonly keepAliveTimeoutMs?: number | undefined;
  /**
   * How long in ms after a received message an empty one is sent if nothing else was; Infinity: never.
   * @default 10000: two thirds of the time-out, as WireGuard
   */
  readonly keepAliveMs?: number | undefined;
  /** First interval in ms between repetitions of a handshake message; doubles up to eight times itself. @default 250 (go-p2p) */
  readonly handshakeBackoffMs?: number | undefined;
  /** How long in ms a handshake is tried. @default 10000: six repetitions */
  readonly handshakeTimeoutMs?: number | undefined;
}

/** {@link ChannelLimits}, complete. */
export type ResolvedChannelLimits = { readonly [K in keyof ChannelLimits]-?: number };

/** Defaults of {@link ChannelLimits}. */
export const CHANNEL_LIMITS: ResolvedChannelLimits = {
  rekeyAfterMs: 120_000,
  rekeyAfterMessages: 2 ** 31 - 1,
  rejectAfterMs: 180_000,
  keepAliveTimeoutMs: 15_000,
  keepAliveMs: 10_000,
  handshakeBackoffMs: 250,
  handshakeTimeoutMs: 10_000,
};

/** @throws {TypeError} {RangeError} when a limit is no number or out of range. */
export function resolveChannelLimits(limits: ChannelLimits = {}): ResolvedChannelLimits {
  const ms = (name: Exclude<keyof ChannelLimits, 'rekeyAfterMessages'>): number =>
    quantity(limits[name], name, CHANNEL_LIMITS[name], 1, Infinity);
  return {
    rekeyAfterMs: ms('rekeyAfterMs'),
    rekeyAfterMessages: wholeNumber(
      limits.rekeyAfterMessages,
      'rekeyAfterMessages',
      CHANNEL_LIMITS.rekeyAfterMessages,
      1,
      CHANNEL_LIMITS.rekeyAfterMessages,
    ),
    rejectAfterMs: ms('rejectAfterMs'),
    keepAliveTimeoutMs: ms('keepAliveTimeoutMs'),
    keepAliveMs: ms('keepAliveMs'),
    handshakeBackoffMs: ms('handshakeBackoffMs'),
    handshakeTimeoutMs: ms('handshakeTimeoutMs'),
  };
}

/**
 * An application's verdict on a key. `'identity_mismatch'`: it is not the one that was dialled. Only `'accepted'` admits.
 */
export type ChannelVerdict = 'accepted' | 'not_accepted' | 'identity_mismatch';

/** What makes a channel. */
export interface ChannelOptions {
  readonly identity: P2pkeIdentity;
  readonly limits?: ChannelLimits | undefined;
}

/** The events of a channel. */
export type ChannelEvent =
  /**
   * Asks whether the owner of this key may talk. Call `answer` for each event, at once or later. The event
   * comes before anything but hellos is sent to the other side or delivered from it, and once for as long as the channel has
   * sessions. An `initiator` has signed a time, but not this handshake: its hello may be a copy of an earlier one. As `responder` it has proven the key. The first key that completes a handshake is pinned: from then on the
   * channel takes no other key, and does not ask.
   */
  | { readonly type: 'accept'; readonly publicKey: PublicKey; readonly side: Side }
  /** A handshake has proven the other side's key; `side` is its side. */
  | { readonly type: 'session'; readonly publicKey: PublicKey; readonly side: Side }
  /** Messages can be sealed (again): `seal` returns a datagram. */
  | { readonly type: 'ready' }
  /** The handshake that this side began has failed. */
  | {
      readonly type: 'failed';
      readonly reason: 'timeout' | 'not_accepted' | 'identity_mismatch';
      /** The key that replied instead. */
      readonly publicKey: PublicKey | undefined;
    }
  /** The other side's clock differs from ours by a minute or more. The initiator learns it from a message that is not authenticated. */
  | {
      readonly type: 'clock';
      /** Theirs less ours. */
      readonly differenceMs: number;
      /** Our hellos are refused because of it, by more than a later timestamp can correct. */
      readonly refused: boolean;
    }
  /** No session and no handshake is left. */
  | { readonly type: 'expired' };

export const READY: ChannelEvent = { type: 'ready' };

/** The timers of a channel; at most one of each kind is armed. */
export type ChannelTimer =
  /** Repeat the handshake message of the session that this side began. */
  | 'retransmit'
  /** That handshake has been tried long enough. */
  | 'give_up'
  /** A responder that waited for the initiator's first data may send now (fault P2). */
  | 'hold'
  /** Send early data again when the other side has not confirmed that it missed none. */
  | 'repeat'
  /** Something was received and nothing sent for a while. */
  | 'keep_alive'
  /** The oldest session or half-open handshake ends. */
  | 'expire';
