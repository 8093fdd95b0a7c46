/**
 * The reach machine: which address of which peer is dialled when. Sources give candidates; the driver dials, and reports one outcome for
 * each attempt. See docs/architecture.md, "Reaching peers", for the order.
 *
 * A peer that somebody wants is sought in rounds. A round asks the sources, dials each candidate once, and ends with a path, or when
 * nothing is left to try. An open path ends all other attempts, unless it leads by way of a relay: then better ones go on.
 */

import { toHex } from '../../../base/bytes.ts';
import { assertBytes, assertFunction, quantity, wholeNumber } from '../../../base/checks.ts';
import type { Machine, Millis, Output } from '../../../base/machine.ts';
import { Outbox } from '../../../base/outbox.ts';
import { createSeededRandom, type SeededRandom } from '../../../base/seeded-random.ts';
import { SourceShares } from '../../../base/source-shares.ts';
import type { PeerId } from '../../../core/peer-id.ts';
import { Dialer, type Verdict } from './dialer.ts';
import { DueQueue } from './due-queue.ts';
import { type Attempt, Entry, improves, recordOf } from './entry.ts';
import { explanationOf, type ReachExplanation } from './explain.ts';
import { boundedDetail } from './history.ts';
import type {
  AttemptResult,
  FailureReason,
  MaintainOptions,
  ReachAction,
  ReachCandidate,
  ReachEvent,
  ReachOptions,
  ReachPath,
  ReachPolicy,
  UnreachableReason,
} from './types.ts';

/** While attempts of a round run, sources are asked again after this time, then after twice as long: the peer may have moved. */
const FIRST_SEARCH_PAUSE_MS = 1000;
/** A connection that lasted this long was no failure: the next round after it begins at once. */
const STABLE_MS = 10_000;
/** Between two looks for a better path than by a relay. The second one comes early: a punch can miss by chance. */
const IMPROVE_MS = 60_000;
const FIRST_IMPROVE_MS = 15_000;
/** A candidate that led to somebody else rests: the first time so long, then twice as long. */
const FIRST_REST_MS = 30_000;
const MAX_REST_MS = 3_600_000;
const MAX_ADDR_CHARACTERS = 512;
/** Reasons by which a candidate shows that it does not lead to this peer. */
const LEADS_ELSEWHERE: ReadonlySet<FailureReason> = new Set(['wrong_key', 'wrong_network', 'self', 'version']);
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;
/** The longest pause after a lost path while somebody waits for the peer: less than what a session waits for its next path. */
const MAX_WAITED_PAUSE_MS = 4000;
const MAX_TIME_MS = 86_400_000;

/** What `want` returns; `unwant` takes it back. */
export type WantToken = number;

/** Decides which address of which peer is dialled when. */
export class ReachMachine implements Machine<ReachAction, ReachEvent> {
  readonly #out = new Outbox<ReachAction, ReachEvent, 'due'>();
  readonly #dialer: Dialer;
  readonly #random: SeededRandom;
  readonly #limits: {
    readonly roundMs: number;
    readonly searchMs: number;
    readonly maxPeers: number;
    readonly maxCandidates: number;
  };
  /** Bounded by `maxPeers`; {@link ReachMachine.#entry} makes room. */
  readonly #entries = new Map<PeerId, Entry>();
  /** Entries that may be evicted, by the source that made them. Bounded by the entries. */
  readonly #idle = new SourceShares<PeerId>();
  /** The peer of each token. Bounded by the calls that the owner admits. */
  readonly #tokens = new Map<WantToken, Entry>();
  readonly #due = new DueQueue<Entry>();
  #token = 1;
  #now: Millis = 0;

  /** @throws {TypeError | RangeError} for options out of bounds. */
  constructor(options: ReachOptions) {
    assertBytes(options.seed, 'seed');
    assertFunction(options.mayTry, 'mayTry');
    this.#random = createSeededRandom(toHex(options.seed));
    this.#limits = {
      roundMs: quantity(options.roundMs, 'roundMs', 30_000, 1, MAX_TIME_MS),
      searchMs: quantity(options.searchMs, 'searchMs', 5000, 0, MAX_TIME_MS),
      maxPeers: wholeNumber(options.maxPeers, 'maxPeers', 4096, 1, 2 ** 20),
      maxCandidates: wholeNumber(options.maxCandidates, 'maxCandidates', 32, 1, 1024),
    };
    this.#dialer = new Dialer(
      {
        mayTry: options.mayTry,
        prefer: options.prefer ?? ['tcp', 'quic'],
        transports: options.transports,
        headStartMs: quantity(options.headStartMs, 'headStartMs', 250, 0, 10_000),
        staggerMs: quantity(options.staggerMs, 'staggerMs', 150, 100, 250),
        attemptMs: quantity(options.attemptMs, 'attemptMs', 10_000, 1, MAX_TIME_MS),
        maxAttemptsPerPeer: wholeNumber(options.maxAttemptsPerPeer, 'maxAttemptsPerPeer', 8, 1, 8),
        maxAttempts: wholeNumber(options.maxAttempts, 'maxAttempts', 128, 1, 65_536),
      },
      {
        act: (action) => this.#out.transmit(action),
        refused: (entry, known, verdict) => this.#refuse(entry, known.candidate, verdict),
      },
    );
  }

  /** Peers that are known. */
  get peers(): number {
    return this.#entries.size;
  }

  /** Attempts that run. */
  get attempts(): number {
    return this.#dialer.size;
  }

  /**
   * Somebody wants a path to this peer. With a path there is `reached` at once; else a round begins, unless one is running. Each call
   * counts: the peer is wanted until every token has been given back.
   */
  want(now: Millis, id: PeerId, { policy }: { readonly policy?: ReachPolicy | undefined } = {}): WantToken {
    this.#now = now;
    const token = this.#token++;
    const entry = this.#entry(id);
    if (entry === undefined) {
      this.#out.event({ type: 'unreachable', id, reason: 'full', tried: [] });
      return token;
    }
    entry.wants++;
    this.#tokens.set(token, entry);
    this.#used(entry);
    if (policy !== undefined) entry.policy = policy;
    if (entry.path !== undefined) this.#out.event({ type: 'reached', id, ...entry.path });
    else if (!entry.isSeeking || !entry.isFull) this.#startRound(entry);
    this.#advance(entry);
    return token;
  }

  /** Gives a token of `want` back. When nobody wants the peer any more its attempts are given up. */
  unwant(now: Millis, token: WantToken): void {
    this.#now = now;
    const entry = this.#tokens.get(token);
    if (entry === undefined) return;
    this.#tokens.delete(token);
    entry.wants--;
    this.#letGo(entry);
  }

  /** Keeps a path to this peer until `drop`: rounds follow each other with growing pauses, for ever. */
  maintain(now: Millis, id: PeerId, options: MaintainOptions = {}): void {
    const firstPauseMs = quantity(options.firstPauseMs, 'firstPauseMs', FIRST_PAUSE_MS, 1, MAX_TIME_MS);
    const maxPauseMs = quantity(
      options.maxPauseMs,
      'maxPauseMs',
      Math.max(firstPauseMs, MAX_PAUSE_MS),
      firstPauseMs,
      MAX_TIME_MS,
    );
    this.#now = now;
    const entry = this.#entry(id);
    if (entry === undefined) {
      this.#out.event({ type: 'unreachable', id, reason: 'full', tried: [] });
      return;
    }
    const wasMaintained = entry.maintained !== undefined;
    entry.maintained = { firstPauseMs, maxPauseMs };
    this.#used(entry);
    if (options.policy !== undefined) entry.policy = options.policy;
    const isInRound = entry.isSeeking && entry.isFull;
    if (entry.path === undefined && !isInRound && !wasMaintained) this.#startRound(entry);
    this.#advance(entry);
  }

  /** Which paths to a peer may be used from now on. A path that is open stays; the owner ends what it excludes. */
  setPolicy(now: Millis, id: PeerId, policy: ReachPolicy): void {
    this.#now = now;
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.policy = policy;
    this.#advance(entry);
  }

  /** Ends `maintain`. An open path stays as it is. */
  drop(now: Millis, id: PeerId): void {
    this.#now = now;
    const entry = this.#entries.get(id);
    if (entry?.maintained === undefined) return;
    entry.maintained = undefined;
    if (entry.path === undefined) entry.nextRoundMs = Infinity;
    this.#letGo(entry);
  }

  /** A source has an address. It is dialled at once when it is due; for a peer that nobody wants it is kept while there is room. */
  candidate(now: Millis, id: PeerId, candidate: ReachCandidate): void {
    this.#now = now;
    const entry = this.#entry(id, candidate.source);
    if (entry === undefined) return;
    if (candidate.addr.length > MAX_ADDR_CHARACTERS) {
      const addr = `${candidate.addr.slice(0, MAX_ADDR_CHARACTERS - 1)}…`;
      this.#refuse(entry, { ...candidate, addr }, { rule: 'not_allowed', reason: 'the address is too long' });
      return;
    }
    entry.candidates.expire(now);
    const known = entry.candidates.add(now, candidate);
    if (known === undefined) {
      const reason = `the peer has too many candidates of ${candidate.source}`;
      this.#refuse(entry, candidate, { rule: 'share', reason });
      return;
    }
    const verdict = this.#dialer.why(now, entry, known);
    if (verdict !== undefined) this.#refuse(entry, candidate, verdict);
    if (!entry.isWanted || !this.#dialer.isPending(now, entry, known)) return;
    if (!entry.isSeeking) this.#seek(entry, false);
    this.#advance(entry);
  }

  /** All sources have answered. */
  searched(now: Millis, id: PeerId): void {
    this.#now = now;
    const entry = this.#entries.get(id);
    if (entry === undefined || !entry.isSeeking) return;
    entry.searchUntilMs = now;
    this.#advance(entry);
  }

  /** What came of an attempt. A second outcome, and one of an unknown attempt, has no effect. */
  outcome(now: Millis, number: number, result: AttemptResult): void {
    this.#now = now;
    const attempt = this.#dialer.take(number);
    if (attempt === undefined) return;
    const { entry, known, lane } = attempt;
    this.#record(attempt, result);
    const { transport, addr, kind } = known.candidate;
    if (result.type === 'open') {
      known.failures = 0;
      known.again = false;
      known.candidate = { ...known.candidate, trust: 'reached' };
      if (improves(kind, entry.firmPath)) this.#use(entry, { transport, addr, kind, side: 'responder' });
    } else {
      const { reason } = result;
      const wasCutShort = reason === 'abandoned' && attempt.abandoned === 'made_room';
      known.again = wasCutShort && known.tries < 2 && known.round === entry.round;
      if (reason !== 'abandoned' || attempt.abandoned === 'timeout') known.failures++;
      if (LEADS_ELSEWHERE.has(reason)) {
        known.pausedUntilMs = now + Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** Math.min(10, known.failures - 1));
      }
      const before = entry.lanes.get(lane);
      if (before?.latest === attempt) before.nextMs = now;
    }
    this.#advance(entry);
    for (let next = this.#dialer.nextWaiting(); next !== undefined; next = this.#dialer.nextWaiting()) {
      this.#advance(next);
    }
    this.#rest(entry);
  }

  /** There is a path to the peer: of an attempt, opened by the peer, or now used instead of another. */
  connected(now: Millis, id: PeerId, path: ReachPath): void {
    this.#now = now;
    const entry = this.#entry(id);
    if (entry === undefined) return; // Everything known is in use; the connection lives without this machine.
    this.#used(entry);
    if (path.side === 'responder') {
      const known = entry.candidates.find(path.kind, path.transport, path.addr);
      if (known !== undefined) known.candidate = { ...known.candidate, trust: 'reached' };
    }
    this.#use(entry, path);
    this.#advance(entry);
  }

  /** No path to the peer is left. */
  disconnected(now: Millis, id: PeerId, reason: string): void {
    this.#now = now;
    const entry = this.#entries.get(id);
    if (entry?.path === undefined) return;
    const isStable = now - entry.pathSinceMs >= STABLE_MS;
    entry.path = undefined;
    entry.isInDoubt = false;
    entry.lastLoss = { atMs: now, reason: boundedDetail(reason)! };
    entry.flaps = isStable ? 0 : entry.flaps + 1;
    if (!entry.isWanted) {
      this.#letGo(entry);
      return;
    }
    // The first loss is followed by a dial at once; a peer that accepts and closes again meets growing pauses.
    entry.isSeeking = false;
    const pauseMs = entry.flaps <= 1 ? 0 : this.#pauseMs(entry, entry.flaps - 1);
    entry.nextRoundMs = now + (entry.wants > 0 ? Math.min(pauseMs, MAX_WAITED_PAUSE_MS) : pauseMs);
    this.#advance(entry);
  }

  /** The path to a peer may be dead, because the uplink of this host has changed: others are tried at once, beside it. */
  doubt(now: Millis, id: PeerId): void {
    this.#now = now;
    const entry = this.#entries.get(id);
    if (entry?.path === undefined || entry.isInDoubt) return;
    entry.isInDoubt = true;
    this.#used(entry);
    for (const known of entry.candidates.values()) known.pausedUntilMs = -Infinity;
    this.#startRound(entry);
    this.#advance(entry);
  }

  /** The host slept, or its uplink has changed: all that is wanted is tried again at once. */
  wake(now: Millis): void {
    this.#now = now;
    for (const entry of this.#entries.values()) {
      if (!entry.isWanted || entry.path?.kind === 'direct' || entry.path?.kind === 'punch') continue;
      entry.failures = entry.flaps = 0;
      for (const attempt of entry.attempts) this.#dialer.abandon(attempt, 'woken');
      for (const known of entry.candidates.values()) known.pausedUntilMs = -Infinity;
      this.#startRound(entry);
      this.#advance(entry);
    }
  }

  /** All that is known of a peer: candidates, attempts, and what would help. `undefined` for an unknown peer. */
  explain(now: Millis, id: PeerId): ReachExplanation | undefined {
    const entry = this.#entries.get(id);
    return entry === undefined ? undefined : explanationOf(now, entry, (known) => this.#dialer.why(now, entry, known));
  }

  handleTimeout(now: Millis): void {
    this.#now = now;
    for (const entry of this.#due.takeDue(now)) this.#advance(entry);
  }

  poll(): Output<ReachAction, ReachEvent> {
    this.#out.arm('due', this.#due.nextMs ?? Infinity);
    return this.#out.poll();
  }

  /** The entry of a peer; a new one takes the place of one that nobody uses. */
  #entry(id: PeerId, source = 'own'): Entry | undefined {
    const known = this.#entries.get(id);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#limits.maxPeers) {
      const victim = this.#idle.victimFor(source, 0);
      if (victim === undefined) return undefined;
      this.#idle.delete(victim);
      this.#due.set(this.#entries.get(victim)!, Infinity);
      this.#entries.delete(victim);
    }
    const entry = new Entry(id, source, this.#limits.maxCandidates);
    this.#entries.set(id, entry);
    this.#idle.add(source, id);
    return entry;
  }

  #used(entry: Entry): void {
    this.#idle.delete(entry.id);
  }

  /** Lets an entry be evicted when nothing uses it. */
  #rest(entry: Entry): void {
    if (entry.isIdle && !this.#idle.has(entry.id)) this.#idle.add(entry.source, entry.id);
  }

  #letGo(entry: Entry): void {
    if (!entry.isWanted) {
      for (const attempt of entry.attempts) this.#dialer.abandon(attempt, 'unwanted');
      entry.isSeeking = false;
      entry.nextRoundMs = Infinity;
    }
    this.#rest(entry);
    this.#advance(entry);
  }

  #startRound(entry: Entry): void {
    entry.round++;
    entry.candidates.expire(this.#now);
    entry.lanes.clear();
    entry.tried = [];
    entry.nextRoundMs = Infinity;
    this.#seek(entry, true);
    entry.searchPauseMs = FIRST_SEARCH_PAUSE_MS;
    this.#search(entry);
  }

  #search(entry: Entry): void {
    entry.nextSearchMs = this.#now + entry.searchPauseMs;
    entry.searchPauseMs *= 2;
    entry.searchUntilMs = this.#now + this.#limits.searchMs;
    this.#out.transmit({ type: 'search', id: entry.id });
  }

  #seek(entry: Entry, isFull: boolean): void {
    entry.isSeeking = true;
    entry.isFull = isFull;
    entry.startMs = this.#now;
    entry.deadlineMs = this.#now + this.#limits.roundMs;
    entry.searchUntilMs = this.#now;
  }

  /** Does what is due for a peer, and sets when it is due next. */
  #advance(entry: Entry): void {
    const now = this.#now;
    for (const attempt of entry.attempts) if (now >= attempt.deadlineMs) this.#dialer.abandon(attempt, 'timeout');
    if (entry.isSeeking && now >= entry.deadlineMs) this.#endRound(entry, 'deadline');
    if (now >= entry.nextRoundMs) this.#startRound(entry);
    let dueMs = Infinity;
    if (entry.isSeeking) {
      if (entry.isFull && entry.attempts.size > 0 && now >= entry.nextSearchMs) this.#search(entry);
      const { hasPending, nextMs } = this.#dialer.launch(now, entry);
      const isOver = !hasPending && entry.attempts.size === 0 && now >= entry.searchUntilMs;
      if (isOver) this.#endRound(entry, entry.tried.length === 0 ? 'no_address' : 'all_failed');
      else {
        const searchMs = entry.isFull && entry.attempts.size > 0 ? later(now, entry.nextSearchMs) : Infinity;
        dueMs = Math.min(nextMs, entry.deadlineMs, later(now, entry.searchUntilMs), searchMs);
      }
    }
    if (!entry.isSeeking) this.#dialer.stopWaiting(entry);
    dueMs = Math.min(dueMs, entry.nextRoundMs);
    for (const { abandoned, deadlineMs } of entry.attempts) {
      if (abandoned === undefined) dueMs = Math.min(dueMs, deadlineMs);
    }
    this.#due.set(entry, dueMs);
  }

  #endRound(entry: Entry, reason: UnreachableReason): void {
    entry.isSeeking = false;
    for (const attempt of entry.attempts) this.#dialer.abandon(attempt, 'deadline');
    if (!entry.isFull) return; // It tried what came late; the pause before the next round is as it was.
    if (entry.path !== undefined) {
      entry.isInDoubt = false;
      if (entry.path.kind !== 'relay') this.#rest(entry);
      else entry.nextRoundMs = this.#now + this.#jittered(entry.improvements++ === 0 ? FIRST_IMPROVE_MS : IMPROVE_MS);
      return;
    }
    entry.failures++;
    this.#out.event({ type: 'unreachable', id: entry.id, reason, tried: entry.tried });
    if (entry.maintained !== undefined) entry.nextRoundMs = this.#now + this.#pauseMs(entry, entry.failures);
  }

  /** A path is open, and is the one in use. */
  #use(entry: Entry, path: ReachPath): void {
    const wasConnected = entry.path !== undefined;
    entry.isInDoubt = false;
    entry.path = path;
    entry.failures = 0;
    if (!wasConnected) {
      entry.improvements = 0;
      entry.pathSinceMs = this.#now;
      if (entry.isWanted) this.#out.event({ type: 'reached', id: entry.id, ...path });
    }
    for (const attempt of entry.attempts) {
      if (!improves(attempt.known.candidate.kind, path)) this.#dialer.abandon(attempt, 'other_path');
    }
    if (path.kind !== 'relay') {
      entry.isSeeking = false;
      entry.nextRoundMs = Infinity;
    } else if (!entry.isSeeking) entry.nextRoundMs = Math.min(entry.nextRoundMs, this.#now);
  }

  #record(attempt: Attempt, result: AttemptResult): void {
    const { entry, known } = attempt;
    const record = recordOf(this.#now, attempt, result);
    known.last = record;
    entry.note(record);
    this.#out.event({ type: 'tried', id: entry.id, ...record });
  }

  #refuse(entry: Entry, { transport, addr, kind, source }: ReachCandidate, { rule, reason }: Verdict): void {
    const record = { transport, addr, kind, source, atMs: this.#now, rule, reason: boundedDetail(reason)! };
    if (entry.history.addRefused(record)) this.#out.event({ type: 'not_dialled', id: entry.id, ...record });
  }

  #pauseMs({ maintained }: Entry, failures: number): number {
    const { firstPauseMs, maxPauseMs } = maintained ?? { firstPauseMs: FIRST_PAUSE_MS, maxPauseMs: MAX_PAUSE_MS };
    return this.#jittered(Math.min(maxPauseMs, firstPauseMs * 2 ** Math.min(30, failures - 1)));
  }

  /** Half to all of it: peers that were lost together do not come back together. */
  #jittered(ms: number): number {
    return ms * (0.5 + this.#random.next() / 2);
  }
}

const later = (now: Millis, atMs: Millis): Millis => (atMs > now ? atMs : Infinity);
