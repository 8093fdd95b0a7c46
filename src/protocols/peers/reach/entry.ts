/** What the reach machine knows of one peer. */

import type { Millis } from '../../../base/machine.ts';
import type { PeerId } from '../../../core/peer-id.ts';
import { CandidateTable, type Known } from './candidates.ts';
import { boundedDetail, ReachHistory } from './history.ts';
import type { AttemptRecord, AttemptResult, ReachKind, ReachPath, ReachPolicy, ReachRule } from './types.ts';

/** A running attempt. */
export interface Attempt {
  readonly number: number;
  readonly entry: Entry;
  readonly known: Known;
  readonly lane: string;
  readonly startMs: Millis;
  /** When it is given up. */
  readonly deadlineMs: Millis;
  /** Why it was given up; its outcome is still to come. */
  abandoned: ReachRule | undefined;
}

/** Candidates of one transport and kind, which are dialled one after the other. */
export interface Lane {
  /** No dial before this time. */
  nextMs: Millis;
  /** The latest attempt: when it fails the next one begins at once. */
  latest: Attempt | undefined;
  lastFamily: number;
}

/** One peer. */
export class Entry {
  readonly id: PeerId;
  readonly candidates: CandidateTable;
  readonly history: ReachHistory = new ReachHistory();
  /** Bounded by `maxAttemptsPerPeer`. */
  readonly attempts: Set<Attempt> = new Set<Attempt>();
  /** Lanes that have dialled in this round. Bounded by the candidates. */
  readonly lanes: Map<string, Lane> = new Map<string, Lane>();
  /** What was tried in this round. Bounded by two attempts for each candidate, and for candidates that came later by {@link MAX_TRIED}. */
  tried: AttemptRecord[] = [];
  policy: ReachPolicy = 'any';
  /** Tokens of `want` that have not been given back. */
  wants = 0;
  maintained: { readonly firstPauseMs: number; readonly maxPauseMs: number } | undefined;
  path: ReachPath | undefined;
  /** The uplink has changed, and the path may be dead: another one is sought beside it. */
  isInDoubt = false;
  pathSinceMs: Millis = 0;
  lastLoss: { readonly atMs: Millis; readonly reason: string } | undefined;
  /** Rounds are numbered: a candidate is dialled once in each. */
  round = 0;
  /** Whether a round is running. */
  isSeeking = false;
  /** Whether the round asked the sources; else it tries candidates that came after the last one. */
  isFull = false;
  startMs: Millis = 0;
  deadlineMs: Millis = 0;
  /** No candidates are awaited after this time. */
  /** When the sources are asked again, and the pause after that. */
  nextSearchMs: Millis = Infinity;
  searchPauseMs = 0;
  searchUntilMs: Millis = 0;
  /** When the next round begins; Infinity for none. */
  nextRoundMs: Millis = Infinity;
  /** Rounds in a row that came to nothing. */
  failures = 0;
  /** Looks for a better path than by a relay that have ended since there is a path. */
  improvements = 0;
  /** Connections in a row that were lost soon. */
  flaps = 0;
  /** The source that made the entry. */
  readonly source: string;

  constructor(id: PeerId, source: string, maxCandidates: number) {
    this.id = id;
    this.source = source;
    this.candidates = new CandidateTable(maxCandidates);
  }

  /** Whether somebody needs a path, or a better one than by a relay. */
  get isWanted(): boolean {
    return this.wants > 0 || this.maintained !== undefined || this.path?.kind === 'relay' || this.isInDoubt;
  }

  /** The path, unless it is in doubt. */
  get firmPath(): ReachPath | undefined {
    return this.isInDoubt ? undefined : this.path;
  }

  /** Whether it may be forgotten. */
  get isIdle(): boolean {
    return !this.isWanted && this.path === undefined && this.attempts.size === 0;
  }

  /** Attempts that are not for relays. */
  get directAttempts(): number {
    let count = 0;
    for (const { known } of this.attempts) if (known.candidate.kind !== 'relay') count++;
    return count;
  }

  /** Adds to what was tried. */
  note(record: AttemptRecord): void {
    this.history.addAttempt(record);
    if (this.tried.length < MAX_TRIED) this.tried.push(record);
  }
}

const MAX_TRIED = 128;

/** Whether a path of this kind is worth having beside the one that is open. A relay is all that is replaced. */
export function improves(kind: ReachKind, open: ReachPath | undefined): boolean {
  return open === undefined || (open.kind === 'relay' && kind !== 'relay');
}

/** Why the policy excludes a kind of path; `undefined` when it does not. */
export function excludedBy(policy: ReachPolicy, kind: ReachKind, isOwnRelay: boolean): string | undefined {
  const allowed: Readonly<Record<ReachPolicy, boolean>> = {
    any: true,
    direct: kind !== 'relay',
    no_third_party: kind === 'direct',
    own_relays: kind !== 'relay' || isOwnRelay,
    relayed: kind === 'relay',
  };
  return allowed[policy] ? undefined : `the policy for this peer is ${policy}`;
}

/** What is remembered of an attempt that has ended. */
export function recordOf(now: Millis, attempt: Attempt, result: AttemptResult): AttemptRecord {
  const { known, startMs, abandoned } = attempt;
  const { transport, addr, kind, source } = known.candidate;
  const failed = result.type === 'failed' ? result : undefined;
  // An attempt that ran out of time met silence, whatever the transport calls its end.
  const reason = abandoned === 'timeout' && failed?.reason === 'abandoned' ? 'silent' : failed?.reason;
  const rule: ReachRule = failed?.reason === 'abandoned' ? (abandoned ?? 'outcome') : 'outcome';
  const detail = boundedDetail(failed?.detail);
  return { transport, addr, kind, source, startMs, endMs: now, result: reason ?? 'open', rule, detail };
}
