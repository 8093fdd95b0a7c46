/** What a channel can be told, and what it says. */

import { quantity, wholeNumber } from '../../base/checks.ts';
import { type Side } from '../../core/accept.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type P2pkeIdentity } from './identity.ts';

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
   * Silence in ms after which the other side is asked with a handshake whether it still has the session. With the original,
   * which counts handshakes only, one is due after 29/30 of it whatever was heard.
   * @default 15000 (go-p2p `KeepAliveTimeout`)
   */
  readonly keepAliveTimeoutMs?: number | undefined;
  /**
   * How long in ms one who received something waits before it says something empty; Infinity says nothing.
   * @default 10000: below the time-out with a third to spare, as WireGuard
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
 * What an application says of a key. `'identity_mismatch'`: it is not the one that was dialled. Only `'accepted'` admits.
 */
export type ChannelVerdict = 'accepted' | 'not_accepted' | 'identity_mismatch';

/** What makes a channel. */
export interface ChannelOptions {
  readonly identity: P2pkeIdentity;
  readonly limits?: ChannelLimits | undefined;
}

/** What a channel tells. */
export type ChannelEvent =
  /**
   * May the owner of this key talk? To be answered with `answer`, at once or later, once for each event. It
   * comes before anything but hellos is sent to the other side or delivered from it, once for as long as the channel has
   * sessions. As `initiator` the other side has signed a time, but not this handshake: it may be a copy of what somebody else
   * has said. As `responder` it has proven the key. The first key that completes a handshake is pinned: from then on the
   * channel takes no other, and does not ask.
   */
  | { readonly type: 'accept'; readonly publicKey: PublicKey; readonly side: Side }
  /** A handshake has proven the other side's key; `side` says what that side is. */
  | { readonly type: 'session'; readonly publicKey: PublicKey; readonly side: Side }
  /** Messages can be sealed (again): `seal` answers a datagram. */
  | { readonly type: 'ready' }
  /** The handshake that this side began has come to nothing. */
  | {
      readonly type: 'failed';
      readonly reason: 'timeout' | 'not_accepted' | 'identity_mismatch';
      /** Who answered instead. */
      readonly publicKey: PublicKey | undefined;
    }
  /** The other side's clock differs from ours by a minute or more. The initiator learns it from a message that proves nothing. */
  | {
      readonly type: 'clock';
      /** Theirs less ours. */
      readonly differenceMs: number;
      /** Our hellos are refused because of it, by more than can be made up for. */
      readonly refused: boolean;
    }
  /** No session and no handshake is left; nothing more comes of this channel by itself. */
  | { readonly type: 'expired' };

export const READY: ChannelEvent = { type: 'ready' };

/** What a channel can want to be woken for; at most one deadline of each kind is armed. */
export type ChannelTimer =
  /** Say the handshake message of the session that this side began again. */
  | 'retransmit'
  /** That handshake has been tried long enough. */
  | 'give_up'
  /** A responder that waited for the initiator's first data may send now (fault P2). */
  | 'hold'
  /** Say early data again when the other side has not shown that it missed none. */
  | 'repeat'
  /** Something was received and nothing sent for a while. */
  | 'keep_alive'
  /** The oldest session or half-open handshake ends. */
  | 'expire';
