/**
 * A realm is a world: the only source of time and randomness for everything that lives in it. A swarm has one, a
 * wrapper has its inner swarm's, so that a network of a thousand nodes runs in virtual time and replays from a seed.
 */

import { type Addr } from './addr.ts';
import { type Bytes } from '../base/bytes.ts';
import { describeValue } from '../base/checks.ts';

/** A world. {@link systemRealm} is this machine's; `createMemoryRealm` makes virtual ones. */
export interface Realm {
  /** Monotonic milliseconds; only differences mean anything. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch, for what is signed or shown. It may jump. */
  wallMs(): number;
  /** `length` random bytes, fit for keys in the system realm, replayable in a seeded one. */
  random(length: number): Bytes;
  /** Gets every event of every layer, when present. Must not throw; costs nothing when absent. */
  readonly trace?: ((event: TraceEvent) => void) | undefined;
}

/** @throws {TypeError} when `value` has not what every realm has. */
export function assertRealm(value: unknown): asserts value is Realm {
  const realm = value as Partial<Record<'nowMs' | 'wallMs' | 'random', unknown>> | null | undefined;
  for (const verb of ['nowMs', 'wallMs', 'random'] as const) {
    if (typeof realm?.[verb] !== 'function') {
      throw new TypeError(`Cannot take realm: expected { nowMs, wallMs, random }, got ${describeValue(value)}`);
    }
  }
}

/** What happened, for logs and tests. Layers narrow `type` and add fields of their own. */
export interface TraceEvent {
  /** The layer that speaks: `udp`, `p2pke`, `mbapp` … */
  readonly layer: string;
  /**
   * What happened. Used by several layers: `opened`, `closed`, `session`, `handshake_failed`, `addr_changed`,
   * `mtu_changed`, `dropped`, `handler_error`, `clock_differs`, `own_key_elsewhere` (another process has proven our key).
   */
  readonly type: string;
  /** The realm's monotonic time. */
  readonly atMs: number;
  readonly addr?: Addr | undefined;
  /** Why, in a word: a drop reason or an error code. */
  readonly reason?: string | undefined;
  readonly cause?: unknown;
}

/** What a clock can be asked to do beside telling the time; a realm may have one as `clock`. */
export interface Clock {
  /** Monotonic milliseconds; the same as the realm's `nowMs`. */
  nowMs(): number;
  /**
   * Calls `callback` once, when the time is `atMs` or later, never inside this call. Timers of one instant fire in the
   * order in which they were armed.
   */
  setTimer(atMs: number, callback: () => void, options?: TimerOptions): Timer;
  /**
   * Names a wait, so that tools can report what hangs.
   *
   * @param what - for people: `ask 3 from 5`; called only when it is read.
   * @returns call it when the wait is over.
   */
  noteWait?(what: () => string): () => void;
}

/** How a timer behaves. */
export interface TimerOptions {
  /**
   * Housekeeping that nobody awaits: it does not keep the process alive, nor a virtual clock running.
   * @default false
   */
  readonly background?: boolean | undefined;
}

/** An armed timer. */
export interface Timer {
  /** Disarms it. Harmless when it has fired. */
  cancel(): void;
}

/** A realm that brings its own clock. */
export interface ClockedRealm extends Realm {
  readonly clock: Clock;
}
