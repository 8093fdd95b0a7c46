/**
 * A realm is the only source of time and randomness for everything in it. A swarm has one; a wrapper uses that of its
 * inner swarm. A network of a thousand nodes can thus run in virtual time and be replayed from a seed.
 */

import type { Addr } from './addr.ts';
import type { Bytes } from '../base/bytes.ts';
import { describeValue } from '../base/checks.ts';

/** A source of time and randomness. {@link systemRealm} is this machine's; `createMemoryRealm` makes virtual ones. */
export interface Realm {
  /** Monotonic milliseconds; only differences are meaningful. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch, for values that are signed or shown. It may jump. */
  wallMs(): number;
  /** `length` random bytes: cryptographically secure in the system realm, reproducible in a seeded one. */
  random(length: number): Bytes;
  /** Receives every event of every layer, if present. Must not throw. Tracing costs nothing when it is absent. */
  readonly trace?: ((event: TraceEvent) => void) | undefined;
}

/** @throws {TypeError} when `value` lacks a member that every realm has. */
export function assertRealm(value: unknown): asserts value is Realm {
  const realm = value as Partial<Record<'nowMs' | 'wallMs' | 'random', unknown>> | null | undefined;
  for (const verb of ['nowMs', 'wallMs', 'random'] as const) {
    if (typeof realm?.[verb] !== 'function') {
      throw new TypeError(`Cannot take realm: expected { nowMs, wallMs, random }, got ${describeValue(value)}`);
    }
  }
}

/** An event, for logs and tests. Layers narrow `type` and add their own fields. */
export interface TraceEvent {
  /** The layer that reports it: `udp`, `p2pke`, `mbapp` … */
  readonly layer: string;
  /**
   * The kind of event. Used by several layers: `opened`, `closed`, `session`, `handshake_failed`, `addr_changed`,
   * `mtu_changed`, `dropped`, `handler_error`, `clock_differs`, `own_key_elsewhere` (another process has proven this
   * node's key).
   */
  readonly type: string;
  /** The realm's monotonic time. */
  readonly atMs: number;
  readonly addr?: Addr | undefined;
  /** What the peer is, where that is known: an initiator has dialled this node. */
  readonly side?: 'initiator' | 'responder' | undefined;
  /** The reason: a drop reason or an error code. */
  readonly reason?: string | undefined;
  readonly cause?: unknown;
}

/** A clock with timers; a realm may have one as `clock`. */
export interface Clock {
  /** Monotonic milliseconds; the same as the realm's `nowMs`. */
  nowMs(): number;
  /**
   * Calls `callback` once, when the time is `atMs` or later, never synchronously inside this call. Timers with the same
   * time fire in the order in which they were set.
   */
  setTimer(atMs: number, callback: () => void, options?: TimerOptions): Timer;
  /**
   * Names a wait, so that tools can report what hangs.
   *
   * @param what - a readable description: `ask 3 from 5`; called only when it is displayed.
   * @returns a function to call when the wait is over.
   */
  noteWait?(what: () => string): () => void;
}

/** How a timer behaves. */
export interface TimerOptions {
  /**
   * A housekeeping timer that no caller awaits: it keeps neither the process alive nor a virtual clock running.
   * @default false
   */
  readonly background?: boolean | undefined;
}

/** A pending timer. */
export interface Timer {
  /** Cancels it. Has no effect after it has fired. */
  cancel(): void;
}

/** A realm that brings its own clock. */
export interface ClockedRealm extends Realm {
  readonly clock: Clock;
}
