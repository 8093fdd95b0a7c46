/**
 * Signs of attacks by source: what cannot be decrypted, malformed frames, handshakes, messages. It counts, and reports with evidence;
 * what follows is the program's decision, or that of a {@link banPolicy}.
 */

import { describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { ipNetwork } from '../base/ip.ts';
import type { Millis } from '../base/machine.ts';
import { SourceShares } from '../base/source-shares.ts';
import type { TraceEvent } from '../core/realm.ts';
import { type AttackSignal, type Observation, observationOf } from './attack-observations.ts';
import { parseTarget } from './target-index.ts';

/** A source has crossed a threshold. */
export interface AttackEvent {
  readonly type: 'attack';
  /** A PeerID, an IPv4 address, or a /64 of IPv6: what `PeerLists.ban` takes. */
  readonly source: string;
  readonly signal: AttackSignal;
  /** Whether the source is certain. A program that bans an uncertain IP lets others choose who is banned. */
  readonly isProven: boolean;
  /** Observations since `firstMs`. */
  readonly count: number;
  /** The time to which the threshold applies. */
  readonly perMs: number;
  /** In realm time. */
  readonly firstMs: Millis;
  readonly lastMs: Millis;
  /** Up to four texts, of 200 characters at most. They may contain text of the peer: escape them where they are shown. */
  readonly samples: readonly string[];
  /** How many events of this source and signal there were in a row, this one included. */
  readonly times: number;
}

/** From how many observations in which time a source is reported. */
export interface AttackThreshold {
  readonly count: number;
  readonly perMs: number;
}

/** Thresholds and bounds. */
export interface AttackSignalsOptions {
  /** Called for each event, inside of the call that observed it. Must not throw. */
  readonly onAttack: (event: AttackEvent) => void;
  /**
   * @default undecryptable 100 in 10 s, malformed 10 in 60 s, handshakes_failed 20 in 60 s, handshakes 120 in 60 s, rate 10 000 in 1 s
   */
  readonly thresholds?: Partial<Readonly<Record<AttackSignal, AttackThreshold>>> | undefined;
  /** Counts by source and signal. When they are full, the source network with the most loses one. @default 16_384 */
  readonly maxCounts?: number | undefined;
}

const THRESHOLDS: Readonly<Record<AttackSignal, AttackThreshold>> = {
  undecryptable: { count: 100, perMs: 10_000 },
  malformed: { count: 10, perMs: 60_000 },
  handshakes_failed: { count: 20, perMs: 60_000 },
  handshakes: { count: 120, perMs: 60_000 },
  rate: { count: 10_000, perMs: 1000 },
};
const MAX_SAMPLES = 4;
const MAX_SAMPLE_CHARACTERS = 200;
const MAX_PAUSE_MS = 3_600_000;
/** After so much silence a source begins anew. */
const FORGET_MS = 600_000;

/** The observations of one source and signal: a sliding window of two halves, and what came since the last event. */
interface Count {
  readonly source: string;
  readonly signal: AttackSignal;
  readonly isProven: boolean;
  windowMs: Millis;
  current: number;
  previous: number;
  /** Since the last event. */
  count: number;
  firstMs: Millis;
  lastMs: Millis;
  samples: string[];
  times: number;
  /** No event before this time. */
  quietUntilMs: Millis;
}

/** Counts observations, and reports sources that cross a threshold. */
export class AttackSignals {
  readonly #onAttack: (event: AttackEvent) => void;
  readonly #thresholds: Readonly<Record<AttackSignal, AttackThreshold>>;
  readonly #maxCounts: number;
  /** Bounded by `maxCounts`, with a share per network of sources. */
  readonly #counts = new Map<string, Count>();
  readonly #shares = new SourceShares<string>();

  /** @throws {TypeError | RangeError} for options out of bounds. */
  constructor(options: AttackSignalsOptions) {
    this.#onAttack = options.onAttack;
    this.#maxCounts = wholeNumber(options.maxCounts, 'maxCounts', 16_384, 16, 2 ** 20);
    this.#thresholds = { ...THRESHOLDS };
    for (const [name, threshold] of Object.entries(options.thresholds ?? {})) {
      if (!Object.hasOwn(THRESHOLDS, name)) {
        throw new TypeError(
          `Cannot take thresholds: expected ${Object.keys(THRESHOLDS).join(', ')}, got ${describeValue(name)}`,
        );
      }
      wholeNumber(threshold.count, `thresholds.${name}.count`, 1, 1, 2 ** 31);
      quantity(threshold.perMs, `thresholds.${name}.perMs`, 1, 1, 86_400_000);
      this.#thresholds = { ...this.#thresholds, [name]: threshold };
    }
  }

  /** Counts that are kept. */
  get size(): number {
    return this.#counts.size;
  }

  /** Takes an event of `realm.trace`, of any layer: most are no signs of attacks. */
  trace(event: TraceEvent): void {
    for (const observation of observationOf(event)) this.note(event.atMs, observation);
  }

  /** Takes an observation: counts it for the PeerID, and for the network of the IP. */
  note(now: Millis, observation: Observation): void {
    const { id, ip } = observation;
    if (id !== undefined) this.#count(now, id, ip ?? id, observation);
    if (ip !== undefined) this.#count(now, ipNetwork(ip), ip, observation);
  }

  #count(now: Millis, source: string, host: string, { signal, isProven, sample, times = 1 }: Observation): void {
    const key = `${signal} ${isProven} ${source}`;
    const threshold = this.#thresholds[signal];
    let count = this.#counts.get(key);
    if (count === undefined || (now - count.lastMs >= FORGET_MS && now >= count.quietUntilMs)) {
      if (count === undefined) this.#makeRoom(host);
      const empty = { current: 0, previous: 0, count: 0, samples: [], times: 0, quietUntilMs: -Infinity };
      count = { source, signal, isProven, windowMs: now, firstMs: now, lastMs: now, ...empty };
      this.#counts.set(key, count);
      this.#shares.add(host, key);
    }
    slide(count, now, threshold.perMs);
    if (count.count === 0) count.firstMs = now;
    count.current += times;
    count.count += times;
    count.lastMs = now;
    if (sample !== undefined && count.samples.length < MAX_SAMPLES) {
      count.samples.push(sample.slice(0, MAX_SAMPLE_CHARACTERS));
    }
    const share = 1 - (now - count.windowMs) / threshold.perMs;
    const isOver = count.current + count.previous * share >= threshold.count && count.count >= threshold.count;
    if (isOver && now >= count.quietUntilMs) this.#report(now, count, threshold);
  }

  #report(now: Millis, count: Count, { perMs }: AttackThreshold): void {
    const { source, signal, isProven, firstMs, lastMs, samples } = count;
    count.times++;
    // A source that goes on is reported again and again, each time after twice the pause.
    count.quietUntilMs = now + Math.min(MAX_PAUSE_MS, perMs * 2 ** Math.min(30, count.times - 1));
    const event = { source, signal, isProven, count: count.count, perMs, firstMs, lastMs, samples, times: count.times };
    count.count = 0;
    count.samples = [];
    this.#onAttack({ type: 'attack', ...event });
  }

  #makeRoom(host: string): void {
    if (this.#counts.size < this.#maxCounts) return;
    const victim = this.#shares.victimFor(host) ?? this.#shares.oldestOfBusiest!;
    this.#shares.delete(victim);
    this.#counts.delete(victim);
  }
}

/** Moves the window on: the last whole one before this one counts in part. */
function slide(count: Count, now: Millis, perMs: number): void {
  const passed = Math.floor((now - count.windowMs) / perMs);
  if (passed <= 0) return;
  count.previous = passed === 1 ? count.current : 0;
  count.current = 0;
  count.windowMs += passed * perMs;
}

/** What a policy decides to ban. */
export interface BanDecision {
  /** What `PeerLists.ban` takes. */
  readonly target: string;
  readonly reason: string;
  readonly forMs: number;
  readonly by: 'policy';
}

/** When a policy bans. */
export interface BanPolicyOptions {
  /** The first ban; each further one in a row lasts twice as long. @default 600_000, ten minutes */
  readonly forMs?: number | undefined;
  /** @default 86_400_000, one day */
  readonly maxForMs?: number | undefined;
  /** Signals that lead to a ban. @default all but `handshakes` */
  readonly signals?: readonly AttackSignal[] | undefined;
}

/**
 * The default policy: bans a source whose events are proven to be its own. It is off until the program uses it.
 *
 * @returns a function that decides about an event; `undefined` for no ban.
 * @throws {TypeError | RangeError} for options out of bounds.
 */
export function banPolicy(options: BanPolicyOptions = {}): (event: AttackEvent) => BanDecision | undefined {
  const forMs = quantity(options.forMs, 'forMs', 600_000, 1, Infinity);
  const maxForMs = quantity(options.maxForMs, 'maxForMs', Math.max(86_400_000, forMs), forMs, Infinity);
  const signals = new Set(options.signals ?? ['undecryptable', 'malformed', 'handshakes_failed', 'rate']);
  return ({ source, signal, isProven, count, firstMs, lastMs, times }) => {
    // Else anybody could have a peer banned, by datagrams that bear its IP.
    if (!isProven || !signals.has(signal) || parseTarget(source) === undefined) return undefined;
    const seconds = ((lastMs - firstMs) / 1000).toFixed(1);
    const reason = `${signal.replaceAll('_', ' ')}: ${count} in ${seconds} s`;
    return { target: source, reason, forMs: Math.min(maxForMs, forMs * 2 ** Math.min(30, times - 1)), by: 'policy' };
  };
}
