/** How a session is made, and what it says of itself. */

import { type Side } from '../../core/accept.ts';

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
