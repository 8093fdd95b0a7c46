/** What a session needs of its swarm. */

import type { Bytes } from '../../base/bytes.ts';
import type { Serving } from '../../swarm-kit/ask-slot.ts';
import type { PendingLimits } from '../../swarm-kit/pending-budget.ts';
import type { SwarmMemory } from './swarm-memory.ts';

/** @typeParam S - a session. */
export interface SessionHooks<S> {
  readonly maxMessageBytes: number;
  readonly datagramTells: boolean;
  readonly pending: PendingLimits;
  /** Whether there is a handler; without one, tells are left unread. */
  readonly listening: boolean;
  /** A tell has come. */
  deliver(session: S, payload: Bytes): void;
  serve(session: S, request: Bytes): Serving;
  /** A message of the peer was dropped. */
  count(session: S, drop: 'oversize' | 'malformed'): void;
  countSent(bytes: number): void;
  /** Something was given to the connection: its datagrams leave later in this turn. */
  scheduleFlush(): void;
  /** What all sessions hold. */
  readonly memory: SwarmMemory;
  /** A tell has been acknowledged, or is lost: `drain` looks again. */
  settled(): void;
  nowMs(): number;
}
