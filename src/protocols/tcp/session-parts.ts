/** What a session is made with and of. */

import { type Side } from '../../core/accept.ts';
import { type Millis } from '../../base/machine.ts';
import { PING_AFTER_MS, PING_TIMEOUT_MS } from './constants.ts';
import { type MessageHead } from './frames.ts';
import { type Outgoing } from './lanes.ts';

/** How a session is made. */
export interface TcpSessionOptions {
  /** The largest payload that this side takes. */
  readonly maxMessageBytes: number;
  /** What may be under way to this side, of tells and of requests each. */
  readonly windowBytes: number;
  /** The port that this side listens on; 0: none. */
  readonly port: number;
  /** What the peer is: a responder may take longer to say hello, since its application judges the initiator first. @default 'initiator' */
  readonly side?: Side | undefined;
  /** How long nothing may be said before the connection is given up. Infinity: for ever. */
  readonly idleTimeoutMs: number;
  /** Whether there is memory for more when so many bytes are held for the peer already. @default always */
  readonly mayHold?: ((heldBytes: number) => boolean) | undefined;
  /** What may be written and not be in the kernel. @default 1 MiB */
  readonly highWaterBytes?: (() => number) | undefined;
}

/** How far the session has read what it was handed: all of it, as much as one turn is to do, or as far as there was memory. */
export type ReadState = 'done' | 'more' | 'held';

/**
 * hello: the peer's hello has not come; watch: is the peer alive, is the connection idle; bye: it has not ended in time.
 */
export type TcpTimer = 'hello' | 'watch' | 'bye';

/** An ask under way. */
export interface Asked {
  readonly maxResponseBytes: number;
  readonly outgoing: Outgoing;
}

/** A request whose answer is not all written. */
export interface Served {
  readonly head: MessageHead & { readonly type: 'request' };
  readonly size: number;
  answer: Outgoing | undefined;
}

/** Whether a byte may have left, of a message that was not all written. */
export function sentOf({ stream }: Outgoing): 'no' | 'maybe' {
  return stream === undefined ? 'no' : 'maybe';
}

/** However short the idle timeout, it is not looked at more often. */
const MIN_WATCH_MS = 10;

/** When to look at a connection again: at the end of a silence or of the idle timeout, or in a while where both are past. */
export function watchAt(
  now: Millis,
  heardMs: Millis,
  pinged: boolean,
  idleAtMs: Millis,
  idleTimeoutMs: number,
): Millis {
  const silentAtMs = heardMs + PING_AFTER_MS + (pinged ? PING_TIMEOUT_MS : 0);
  const at = Math.min(silentAtMs, idleAtMs);
  return at > now ? at : now + Math.max(Math.min(PING_AFTER_MS, idleTimeoutMs), MIN_WATCH_MS);
}

/** Why a peer counts as dead that has not answered a ping, or taken a byte, for so long; `undefined` when it does not. */
export function deathOf(unansweredMs: number, stuckMs: number): string | undefined {
  const patienceMs = PING_AFTER_MS + PING_TIMEOUT_MS;
  if (unansweredMs >= patienceMs) return 'no answer to pings';
  return stuckMs >= patienceMs ? 'reads nothing' : undefined;
}
