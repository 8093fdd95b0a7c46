/** Which address of a peer is dialled when, and which attempt makes room for another. */

import type { Millis } from '../../../base/machine.ts';
import { bestOf, familyOf, isClaimed, type Known, laneOf } from './candidates.ts';
import { type Attempt, type Entry, excludedBy, improves } from './entry.ts';
import type { ReachAction, ReachOptions, ReachRule } from './types.ts';

/** After which an attempt may have to make room for others: enough for three round trips of 300 ms. It gets another one later. */
const PATIENCE_MS = 1000;
/** After which a probe is given up: before TCP sends its second SYN (RFC 6298 §2: after 1 s). */
const PROBE_MS = 900;

/** After which a hole punch is given up: 1000 probes at 100 a second, and what comes before and after them. */
const PUNCH_MS = 20_000;

/** The options of the machine, checked. */
export interface DialerOptions {
  readonly prefer: readonly string[];
  readonly transports: readonly string[] | undefined;
  readonly headStartMs: number;
  readonly staggerMs: number;
  readonly attemptMs: number;
  readonly maxAttemptsPerPeer: number;
  readonly maxAttempts: number;
  readonly mayTry: ReachOptions['mayTry'];
}

/** Why a candidate is not dialled now. */
export interface Verdict {
  readonly rule: ReachRule;
  readonly reason: string;
}

/** What the dialler needs from the machine. */
interface DialerHooks {
  readonly act: (action: ReachAction) => void;
  readonly refused: (entry: Entry, known: Known, verdict: Verdict) => void;
}

/** The attempts of all peers. */
export class Dialer {
  readonly #options: DialerOptions;
  readonly #hooks: DialerHooks;
  /** Oldest first. Bounded by `maxAttempts`. */
  readonly #attempts = new Map<number, Attempt>();
  /** Peers that wait for a place of all. Bounded by the peers. */
  readonly #waiting = new Set<Entry>();
  #number = 1;

  constructor(options: DialerOptions, hooks: DialerHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  /** Attempts that run. */
  get size(): number {
    return this.#attempts.size;
  }

  /** Why a candidate is not dialled for this peer; `undefined` when it may be. `mayTry` is asked when it is dialled. */
  why(now: Millis, entry: Entry, known: Known): Verdict | undefined {
    const { candidate } = known;
    const { transports } = this.#options;
    if (now >= (candidate.expiresMs ?? Infinity)) return { rule: 'expired', reason: 'the candidate has expired' };
    if (transports !== undefined && !transports.includes(candidate.transport)) {
      return { rule: 'transport', reason: `this node does not use ${candidate.transport}` };
    }
    const excluded = excludedBy(entry.policy, candidate.kind, candidate.isOwnRelay === true);
    if (excluded !== undefined) return { rule: 'policy', reason: excluded };
    if (now < known.pausedUntilMs) {
      return { rule: 'paused', reason: 'it led to something else than this peer a short time ago' };
    }
    return undefined;
  }

  /** Whether a candidate is still to be dialled in this round. */
  isPending(now: Millis, entry: Entry, known: Known): boolean {
    if (known.attempt !== undefined || !improves(known.candidate.kind, entry.firmPath)) return false;
    if (known.round === entry.round && !known.again) return false;
    return this.why(now, entry, known) === undefined;
  }

  /**
   * Dials what is due for a peer.
   *
   * @returns when there is more to dial; Infinity when nothing is pending, or places must become free first.
   */
  launch(now: Millis, entry: Entry): { readonly hasPending: boolean; readonly nextMs: Millis } {
    this.#waiting.delete(entry);
    for (;;) {
      const first = this.#next(now, entry, false);
      // Second attempts begin while no first one is due.
      const next = first !== undefined && first.dueMs <= now ? first : (this.#next(now, entry, true) ?? first);
      if (next === undefined) return { hasPending: false, nextMs: Infinity };
      const nextMs = Math.min(later(now, next.dueMs), later(now, first?.dueMs ?? Infinity));
      if (next.dueMs > now) return { hasPending: true, nextMs };
      const roomMs = this.#makeRoom(now, entry, next.known);
      if (roomMs !== undefined) return { hasPending: true, nextMs: Math.min(roomMs, nextMs) };
      this.#dial(now, entry, next.known, next.lane);
    }
  }

  /** The attempt with this number ends. @returns `undefined` when it has ended before. */
  take(number: number): Attempt | undefined {
    const attempt = this.#attempts.get(number);
    if (attempt === undefined) return undefined;
    this.#attempts.delete(number);
    attempt.entry.attempts.delete(attempt);
    attempt.known.attempt = undefined;
    return attempt;
  }

  /** The peer that gets the next free place: of those that wait, the one with the fewest attempts. */
  nextWaiting(): Entry | undefined {
    if (this.#attempts.size >= this.#options.maxAttempts) return undefined;
    let best: Entry | undefined;
    for (const entry of this.#waiting) {
      if (best === undefined || entry.attempts.size < best.attempts.size) best = entry;
      if (best.attempts.size === 0) break;
    }
    return best;
  }

  /** A peer waits no more. */
  stopWaiting(entry: Entry): void {
    this.#waiting.delete(entry);
  }

  /** Gives up an attempt; its outcome is still to come. */
  abandon(attempt: Attempt, rule: ReachRule): void {
    if (attempt.abandoned !== undefined) return;
    attempt.abandoned = rule;
    this.#hooks.act({ type: 'abandon', attempt: attempt.number, rule });
  }

  /** The next candidate of a peer and when it is due: the earliest lane, of equal ones the preferred one. @param again - second attempts. */
  #next(
    now: Millis,
    entry: Entry,
    again: boolean,
  ): { readonly known: Known; readonly lane: string; readonly dueMs: Millis } | undefined {
    /** Bounded by the candidates. */
    const lanes = new Map<string, Known[]>();
    for (const known of entry.candidates.values()) {
      if (known.again !== again || !this.isPending(now, entry, known)) continue;
      const lane = laneOf(known.candidate);
      const pending = lanes.get(lane);
      if (pending === undefined) lanes.set(lane, [known]);
      else pending.push(known);
    }
    if (lanes.size === 0) return undefined;
    const busy = new Set([...entry.attempts].map(({ lane }) => lane));
    let best: { readonly known: Known; readonly lane: string; readonly dueMs: Millis } | undefined;
    let ahead = 0;
    for (const lane of this.#inOrder(new Set([...lanes.keys(), ...busy]))) {
      const pending = lanes.get(lane);
      if (pending !== undefined) {
        const before = entry.lanes.get(lane);
        const dueMs = before?.nextMs ?? entry.startMs + headStarts(lane, ahead) * this.#options.headStartMs;
        if (best === undefined || dueMs < best.dueMs) {
          best = { known: bestOf(pending, before?.lastFamily)!, lane, dueMs };
        }
      }
      // A transport has its advance over the next one while it has something to try.
      if (lane !== 'relay') ahead++;
    }
    return best;
  }

  /** Lanes by preference: relays, direct ones, punching. */
  #inOrder(lanes: ReadonlySet<string>): readonly string[] {
    const { prefer } = this.#options;
    const place = (lane: string): number => {
      if (lane === 'relay') return -1;
      const punches = lane.startsWith('punch ');
      const index = prefer.indexOf(punches ? lane.slice('punch '.length) : lane);
      return (index < 0 ? prefer.length : index) + (punches ? prefer.length + 1 : 0);
    };
    return [...lanes].toSorted((a, b) => place(a) - place(b));
  }

  /**
   * Makes a place for an attempt: its own peer's oldest one makes room, or for all peers the oldest one of a peer that has more.
   *
   * @returns `undefined` when there is a place; else when to look again, unless an outcome comes first.
   */
  #makeRoom(now: Millis, entry: Entry, known: Known): Millis | undefined {
    const { maxAttemptsPerPeer, maxAttempts } = this.#options;
    const isRelay = known.candidate.kind === 'relay';
    const full = isRelay
      ? entry.attempts.size >= maxAttemptsPerPeer
      : entry.directAttempts >= Math.max(1, maxAttemptsPerPeer - 1) || entry.attempts.size >= maxAttemptsPerPeer;
    // A place that has become free goes to the peer with the fewest attempts.
    const poorer = this.nextWaiting();
    const hasPlace =
      this.#attempts.size < maxAttempts && (poorer === undefined || poorer.attempts.size >= entry.attempts.size);
    if (!full && hasPlace) return undefined;
    if (!full) this.#waiting.add(entry);
    // A second attempt has all its time, and waits for a place that becomes free.
    if (known.again) return Infinity;
    if (full) return this.#relieve(now, entry.attempts, (each) => isRelay || each.known.candidate.kind !== 'relay');
    return this.#relieve(now, this.#attempts.values(), (each) => each.entry.attempts.size > entry.attempts.size);
  }

  #relieve(now: Millis, attempts: Iterable<Attempt>, mayYield: (attempt: Attempt) => boolean): Millis {
    for (const attempt of attempts) {
      if (!mayYield(attempt)) continue;
      // One place at a time: an attempt that has been given up frees its place with its outcome.
      if (attempt.abandoned !== undefined) return Infinity;
      const dueMs = attempt.startMs + PATIENCE_MS;
      if (dueMs > now) return dueMs;
      this.abandon(attempt, 'made_room');
      return Infinity;
    }
    return Infinity;
  }

  #dial(now: Millis, entry: Entry, known: Known, lane: string): void {
    const { candidate } = known;
    const isProbe = isClaimed(known);
    known.tries = known.round === entry.round ? known.tries + 1 : 1;
    known.round = entry.round;
    known.again = false;
    const { mayTry, staggerMs, attemptMs } = this.#options;
    const reason = mayTry(now, entry.id, candidate);
    if (reason !== undefined) {
      this.#hooks.refused(entry, known, { rule: 'not_allowed', reason });
      return;
    }
    const number = this.#number++;
    const timeMs = candidate.kind === 'punch' ? PUNCH_MS : isProbe ? Math.min(PROBE_MS, attemptMs) : attemptMs;
    const deadlineMs = now + timeMs;
    const attempt: Attempt = { number, entry, known, lane, startMs: now, deadlineMs, abandoned: undefined };
    this.#attempts.set(number, attempt);
    entry.attempts.add(attempt);
    entry.lanes.set(lane, { nextMs: now + staggerMs, latest: attempt, lastFamily: familyOf(known) });
    known.attempt = number;
    const { transport, addr, kind } = candidate;
    this.#hooks.act({ type: 'dial', attempt: number, id: entry.id, transport, addr, kind, isProbe });
  }
}

/** How many head starts a lane leaves to others: relays none, punches one to all that is dialled directly. */
function headStarts(lane: string, ahead: number): number {
  if (lane === 'relay') return 0;
  return lane.startsWith('punch ') ? Math.min(ahead, 1) : ahead;
}

const later = (now: Millis, atMs: Millis): Millis => (atMs > now ? atMs : Infinity);
