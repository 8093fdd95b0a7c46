/**
 * Finds peers to begin with: candidates of several sources in, staggered attempts out, until enough peers are connected
 * or every source has answered.
 *
 * - Sources stand in the order of preference. Each is asked after its delay, or as soon as nothing else is left to try.
 * - Attempts begin `staggerMs` apart, at most `maxParallel` at once. A source gets two turns for each turn of the next
 *   one, and leaves one place for every other source: silent or many candidates of one source delay no other for long.
 * - Each candidate has one outcome: it led to a peer, or it was refused with one readable reason.
 * - The first peer is reported at once. Further attempts go on until `minPeers`; then the rest is given up.
 */

import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { printableText } from '../../base/reason.ts';
import type { Candidate, CandidateFault, ReachedProof } from '../../core/candidate.ts';
import type { PeerId } from '../../core/peer-id.ts';
import { CandidateQueue } from './candidate-queue.ts';

/** A source as the machine sees it. */
export interface BootstrapSource {
  readonly name: string;
  /** How long after the start it is asked, unless nothing else is left to try before. */
  readonly afterMs: number;
  /** How long it is waited for. @default the `sourceTimeoutMs` of all */
  readonly timeoutMs?: number | undefined;
}

/** The limits of a bootstrap. */
export interface BootstrapLimits {
  /** Connected peers that are enough. */
  readonly minPeers: number;
  /** Between the beginnings of two attempts. */
  readonly staggerMs: number;
  /** Attempts at the same time. */
  readonly maxParallel: number;
  /** An attempt without an outcome has failed then: `silent`. */
  readonly attemptTimeoutMs: number;
  /** A source that goes on for longer counts as answered. */
  readonly sourceTimeoutMs: number;
  /** Candidates of one source that are considered. */
  readonly maxCandidates: number;
}

/** What the machine needs beside its limits. */
export interface BootstrapMachineOptions extends BootstrapLimits {
  /** In the order of preference. At most 16. */
  readonly sources: readonly BootstrapSource[];
  /**
   * Refuses candidates of any source: this node itself, a blacklist. Asked before an attempt, and again with the
   * PeerID of the peer that answered.
   */
  readonly screen: (candidate: Candidate) => CandidateFault | undefined;
}

/** A connected peer. */
export interface BootstrapPeer {
  readonly id: PeerId;
  readonly candidate: Candidate;
  /** Since the start. */
  readonly afterMs: number;
  readonly proof?: ReachedProof | undefined;
}

/** A candidate that led to no peer. */
export interface RefusedCandidate {
  readonly candidate: Candidate;
  readonly reason: CandidateFault;
  /** The reason as a sentence, without control characters: `203.0.113.7:4000 (cache) is silent: no answer in 5000 ms`. */
  readonly text: string;
}

/**
 * What became of a source. `not_asked` and `stopped`: enough peers were found before it was asked, or before it had named
 * all its candidates.
 */
export type SourceState = 'answered' | 'failed' | 'timed_out' | 'stopped' | 'not_asked';

/** A source at the end. */
export interface SourceOutcome {
  readonly name: string;
  readonly state: SourceState;
  /** Candidates that it named and that no other source had named before. */
  readonly candidates: number;
  /** Candidates beyond the bound, which were not considered. */
  readonly omitted: number;
  /** Why it failed. */
  readonly cause?: unknown;
}

/** The end of a bootstrap. */
export interface BootstrapResult {
  /** In the order in which they connected. */
  readonly peers: readonly BootstrapPeer[];
  /** In the order in which they were refused. */
  readonly refused: readonly RefusedCandidate[];
  readonly sources: readonly SourceOutcome[];
  readonly tookMs: number;
}

/** What the caller has to do. */
export type BootstrapTransmit =
  /** Ask this source, by its index. */
  | { readonly type: 'ask'; readonly source: number }
  /** Nothing more is wanted from it. */
  | { readonly type: 'stop'; readonly source: number }
  | { readonly type: 'dial'; readonly attempt: number; readonly candidate: Candidate }
  /** Abort the attempt, or close the connection that came of it. */
  | { readonly type: 'give_up'; readonly attempt: number };

/** What happened. */
export type BootstrapEvent =
  | { readonly type: 'connected'; readonly peer: BootstrapPeer; readonly isFirst: boolean }
  | { readonly type: 'refused'; readonly refused: RefusedCandidate }
  /** Enough peers are connected, or every source has answered. The machine has ended. */
  | { readonly type: 'ready'; readonly result: BootstrapResult };

/** The outcome of an attempt. */
export type AttemptOutcome =
  | {
      readonly peer: PeerId;
      /** How the address was proven to be dialable; absent when the peer may have been connected in another way. */
      readonly proof?: ReachedProof | undefined;
    }
  | { readonly fault: CandidateFault; /** In words. */ readonly detail?: string | undefined };

const MAX_DETAIL_CHARACTERS = 200;

interface Attempt {
  readonly candidate: Candidate;
  readonly source: number;
  readonly endMs: Millis;
}

interface Source extends BootstrapSource {
  state: SourceState | 'asked';
  /** When it is asked, or no longer waited for. */
  nextMs: Millis;
  candidates: number;
  omitted: number;
  cause?: unknown;
}

/** The machine. */
export class Bootstrap implements Machine<BootstrapTransmit, BootstrapEvent> {
  readonly #options: BootstrapMachineOptions;
  readonly #outbox = new Outbox<BootstrapTransmit, BootstrapEvent, 'next'>();
  readonly #startMs: Millis;
  /** Fixed. */
  readonly #sources: readonly Source[];
  readonly #queue: CandidateQueue;
  /** What was named, by PeerID and address. Bounded by the sources and `maxCandidates`. */
  readonly #seen = new Set<string>();
  /** Bounded by `maxParallel`. */
  readonly #running = new Map<number, Attempt>();
  /** By PeerID. Bounded by `minPeers`. */
  readonly #peers = new Map<PeerId, BootstrapPeer>();
  /** Bounded by the candidates. */
  readonly #refused: RefusedCandidate[] = [];
  #attempts = 0;
  #nextDialMs: Millis;
  #result: BootstrapResult | undefined;

  /** Starts at `now`. */
  constructor(now: Millis, options: BootstrapMachineOptions) {
    this.#options = options;
    this.#startMs = now;
    this.#nextDialMs = now;
    this.#sources = options.sources.map(({ name, afterMs, timeoutMs }) => ({
      name,
      afterMs,
      timeoutMs,
      state: 'not_asked',
      nextMs: now + afterMs,
      candidates: 0,
      omitted: 0,
    }));
    this.#queue = new CandidateQueue(options.sources.length, options.maxParallel);
    this.#advance(now);
  }

  /** Set when the machine has ended. */
  get result(): BootstrapResult | undefined {
    return this.#result;
  }

  /** A source has named a candidate. @param source - its index. */
  addCandidate(now: Millis, source: number, candidate: Candidate): void {
    const from = this.#sources[source];
    if (this.#result !== undefined || from === undefined) return;
    const key = `${candidate.id ?? ''} ${candidate.addr}`;
    if (this.#seen.has(key)) return;
    if (from.candidates >= this.#options.maxCandidates) {
      from.omitted++;
      return;
    }
    this.#seen.add(key);
    from.candidates++;
    const fault = this.#options.screen(candidate);
    if (fault !== undefined) this.#refuse(candidate, fault);
    else if (candidate.id === undefined || !this.#peers.has(candidate.id)) this.#queue.add(source, candidate);
    this.#advance(now);
  }

  /** A source has named all its candidates, or has failed. @param source - its index. */
  sourceFinished(now: Millis, source: number, failure?: { readonly cause: unknown }): void {
    const from = this.#sources[source];
    if (from?.state !== 'asked') return;
    from.state = failure === undefined ? 'answered' : 'failed';
    from.cause = failure?.cause;
    this.#advance(now);
  }

  /** An attempt has ended. The first outcome counts; that of an attempt that was given up is ignored. */
  attemptEnded(now: Millis, attempt: number, outcome: AttemptOutcome): void {
    const ended = this.#running.get(attempt);
    if (ended === undefined) return;
    this.#end(attempt, ended);
    if ('fault' in outcome) this.#refuse(ended.candidate, outcome.fault, outcome.detail);
    else this.#answered(now, attempt, ended.candidate, outcome.peer, outcome.proof);
    this.#advance(now);
  }

  /** Ends now, with what was found. */
  stop(now: Millis): void {
    if (this.#result === undefined) this.#finish(now);
  }

  handleTimeout(now: Millis): void {
    if (this.#outbox.takeDue(now).length === 0) return;
    for (const [number, attempt] of this.#running) {
      if (now < attempt.endMs) continue;
      this.#end(number, attempt);
      this.#outbox.transmit({ type: 'give_up', attempt: number });
      this.#refuse(attempt.candidate, 'silent', `no answer in ${this.#options.attemptTimeoutMs} ms`);
    }
    for (const [i, source] of this.#sources.entries()) {
      if (source.state !== 'asked' || now < source.nextMs) continue;
      source.state = 'timed_out';
      this.#outbox.transmit({ type: 'stop', source: i });
    }
    this.#advance(now);
  }

  poll(): Output<BootstrapTransmit, BootstrapEvent> {
    return this.#outbox.poll();
  }

  #answered(now: Millis, attempt: number, candidate: Candidate, id: PeerId, proof: ReachedProof | undefined): void {
    const isWrong = candidate.id !== undefined && candidate.id !== id;
    const fault = isWrong ? 'wrong_key' : this.#options.screen({ ...candidate, id });
    if (fault !== undefined) {
      this.#outbox.transmit({ type: 'give_up', attempt });
      this.#refuse(candidate, fault, `${id} is there`);
      return;
    }
    // Another address of the peer was faster; the caller has one connection for both.
    if (this.#peers.has(id)) return;
    const peer = { id, candidate, afterMs: now - this.#startMs, ...(proof === undefined ? {} : { proof }) };
    this.#peers.set(id, peer);
    this.#outbox.event({ type: 'connected', peer, isFirst: this.#peers.size === 1 });
    this.#queue.removePeer(id);
    for (const [other, running] of this.#running) {
      if (running.candidate.id !== id) continue;
      this.#end(other, running);
      this.#outbox.transmit({ type: 'give_up', attempt: other });
    }
  }

  #end(number: number, { source }: Attempt): void {
    this.#running.delete(number);
    this.#queue.free(source);
  }

  #refuse(candidate: Candidate, reason: CandidateFault, detail?: string): void {
    const { addr, id, source } = candidate;
    const who = id === undefined || addr.includes(id) ? addr : `${id}@${addr}`;
    const more = detail === undefined || detail === '' ? '' : `: ${detail.slice(0, MAX_DETAIL_CHARACTERS)}`;
    const text = printableText(`${who} (${source}) ${MEANINGS[reason]}${more}`);
    const refused = { candidate, reason, text };
    this.#refused.push(refused);
    this.#outbox.event({ type: 'refused', refused });
  }

  /** Asks, dials and ends, as far as it is time for it, and sets the timer for the rest. */
  #advance(now: Millis): void {
    const { minPeers } = this.#options;
    if (this.#peers.size < minPeers) {
      this.#askSources(now);
      this.#dial(now);
    }
    if (this.#peers.size >= minPeers || this.#isIdle) this.#finish(now);
    else this.#arm();
  }

  /** Whether nothing is left to wait for but sources that are not asked yet. */
  get #isIdle(): boolean {
    return this.#running.size === 0 && this.#queue.size === 0 && !this.#sources.some(({ state }) => state === 'asked');
  }

  #askSources(now: Millis): void {
    for (const source of this.#sources)
      if (source.state === 'not_asked' && now >= source.nextMs) this.#ask(now, source);
    // When nothing else is left to try, the next one before its time.
    const next = this.#isIdle ? this.#sources.find(({ state }) => state === 'not_asked') : undefined;
    if (next !== undefined) this.#ask(now, next);
  }

  #ask(now: Millis, source: Source): void {
    source.state = 'asked';
    source.nextMs = now + (source.timeoutMs ?? this.#options.sourceTimeoutMs);
    this.#outbox.transmit({ type: 'ask', source: this.#sources.indexOf(source) });
  }

  #dial(now: Millis): void {
    const { maxParallel, staggerMs, attemptTimeoutMs } = this.#options;
    while (now >= this.#nextDialMs && this.#running.size < maxParallel) {
      const next = this.#queue.take();
      if (next === undefined) return;
      const attempt = this.#attempts++;
      this.#running.set(attempt, { ...next, endMs: now + attemptTimeoutMs });
      this.#nextDialMs = now + staggerMs;
      this.#outbox.transmit({ type: 'dial', attempt, candidate: next.candidate });
    }
  }

  #arm(): void {
    let next = Infinity;
    for (const { endMs } of this.#running.values()) next = Math.min(next, endMs);
    for (const { state, nextMs } of this.#sources) {
      if (state === 'asked' || state === 'not_asked') next = Math.min(next, nextMs);
    }
    if (this.#queue.isReady && this.#running.size < this.#options.maxParallel) next = Math.min(next, this.#nextDialMs);
    this.#outbox.arm('next', next);
  }

  #finish(now: Millis): void {
    for (const attempt of this.#running.keys()) this.#outbox.transmit({ type: 'give_up', attempt });
    for (const [i, source] of this.#sources.entries()) {
      if (source.state !== 'asked') continue;
      source.state = 'stopped';
      this.#outbox.transmit({ type: 'stop', source: i });
    }
    this.#running.clear();
    this.#outbox.disarm('next');
    this.#result = {
      peers: [...this.#peers.values()],
      refused: this.#refused,
      sources: this.#sources.map(({ name, state, candidates, omitted, cause }) => {
        const outcome = { name, state: state === 'asked' ? 'stopped' : state, candidates, omitted };
        return cause === undefined ? outcome : { ...outcome, cause };
      }),
      tookMs: now - this.#startMs,
    };
    this.#outbox.event({ type: 'ready', result: this.#result });
  }
}

/** What is wrong with a candidate, as the end of a sentence that begins with its address. */
const MEANINGS: Readonly<Record<CandidateFault, string>> = {
  self: 'is this node',
  blacklisted: 'is on the blacklist',
  not_allowed: 'is not allowed',
  denied: 'denied the connection',
  wrong_network: 'belongs to another network',
  wrong_key: 'has another key',
  silent: 'is silent',
  unreachable: 'is unreachable',
};
