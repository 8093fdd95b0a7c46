/** When a channel last received and sent, and what follows: whether a session may be forgotten, and whether a keep-alive is due. */

import type { Millis } from '../../base/machine.ts';
import type { ResolvedChannelLimits } from './channel-options.ts';
import { FIRST_DATA_COUNTER } from './constants.ts';
import type { Session } from './session.ts';

/**
 * The part of `keepAliveTimeoutMs` after which a session with the original is replaced when something is to be sent: the
 * original forgets a channel 15 s after the last handshake, even if it is used. 14.5 s by default.
 */
const FORGETTING_SHARE = 29 / 30;

/** The side that did not begin a session replaces it when the other has had this much time in ms to, and 15 s are left. */
const RESPONDER_REKEY_MARGIN_MS = 15_000;

export class Liveness {
  /** When data or a handshake last came from the other side; -Infinity before. */
  lastReceivedMs: Millis = -Infinity;
  /** When the first message came after which nothing was sent; undefined when something was. */
  owedSinceMs: Millis | undefined;
  /** A `seal` was refused because of silence: the next received message makes the current session usable again. */
  isStalled = false;
  readonly #limits: ResolvedChannelLimits;
  #lastSentMs: Millis = -Infinity;

  constructor(limits: ResolvedChannelLimits) {
    this.#limits = limits;
  }

  /** Something has been sent: nothing is owed any more. */
  sent(now: Millis): void {
    this.#lastSentMs = now;
    this.owedSinceMs = undefined;
  }

  /** Whether nothing has come for so long that the other side may have gone. */
  isSilent(now: Millis): boolean {
    return now - this.lastReceivedMs > this.#limits.keepAliveTimeoutMs;
  }

  /** Whether the other side may have forgotten the session: then a handshake comes before the next message. */
  isStale(now: Millis, current: Session | undefined): boolean {
    const { keepAliveTimeoutMs } = this.#limits;
    const isDue = current?.isOurKind === false && now - current.provenMs >= keepAliveTimeoutMs * FORGETTING_SHARE;
    return isDue || (this.isSilent(now) && (this.isStalled || now - this.#lastSentMs > keepAliveTimeoutMs));
  }

  /** Whether a session in use should be replaced: old, full, or never answered. */
  isWorn(now: Millis, session: Session): boolean {
    const { rekeyAfterMs, rejectAfterMs, rekeyAfterMessages } = this.#limits;
    const age = session.initiator ? rekeyAfterMs : Math.max(rekeyAfterMs, rejectAfterMs - RESPONDER_REKEY_MARGIN_MS);
    return (
      now - session.createdMs >= age ||
      session.nextCounter - FIRST_DATA_COUNTER >= rekeyAfterMessages ||
      this.isSilent(now)
    );
  }
}
