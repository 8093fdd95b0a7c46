/** The options and basic types of a session. */

import type { Side } from '../../core/accept.ts';

/** Options of a session. */
export interface TcpSessionOptions {
  /** The largest payload that this side accepts. */
  readonly maxMessageBytes: number;
  /** The window of this side, for tells and for requests each. */
  readonly windowBytes: number;
  /** The port that this side listens on; 0: none. */
  readonly port: number;
  /**
   * The role of the peer: a responder has more time to send its hello, because its application checks the initiator
   * first. @default 'initiator'
   */
  readonly side?: Side | undefined;
  /** The time without messages after which the connection ends. Infinity: never. */
  readonly idleTimeoutMs: number;
  /** Whether more may be held, given the bytes held for the peer already. @default always */
  readonly mayHold?: ((heldBytes: number) => boolean) | undefined;
  /** The bytes that may be written but not in the kernel. @default 1 MiB */
  readonly highWaterBytes?: (() => number) | undefined;
}

/**
 * How far the session has read its input: completely, up to the limit of one turn, up to the memory limit, or until bytes have left or a
 * message is released.
 */
export type ReadState = 'done' | 'more' | 'held' | 'full';

/**
 * hello: the peer's hello has not arrived; watch: checks whether the peer is alive and the connection idle; bye: it has
 * not ended in time.
 */
export type TcpTimer = 'hello' | 'watch' | 'bye';
