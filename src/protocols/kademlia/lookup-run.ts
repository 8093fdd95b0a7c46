/** Runs one lookup: sends its requests, looks at what the answers have besides contacts, and reports how it went. */

import type { Millis } from '../../base/machine.ts';
import { type Asks, Prepared } from './asks.ts';
import { type Candidate, Lookup, type LookupEnd, type Seed, type Untaken } from './lookup.ts';
import { MAX_ANSWER_CONTACTS, type Query, type Reply, type WireContact } from './messages.ts';
import type { NetworkSize } from './network-size.ts';
import type { KadDrop, LookupReport, NodeOptions, Times } from './node-types.ts';
import type { KeyText } from './position.ts';
import type { Table } from './table.ts';

/** What lookups share. */
export interface RunHost {
  readonly options: NodeOptions;
  readonly table: Table;
  readonly asks: Asks;
  readonly size: NetworkSize;
  readonly drop: (reason: KadDrop, count?: number) => void;
  /** Starts a lookup, and stops it at its deadline. */
  readonly start: (times: Times, run: LookupRun) => void;
}

/** A lookup to run. */
export interface RunSpec {
  readonly what: string;
  readonly target: KeyText;
  readonly query: Query;
  /** The closest nodes that must have answered. */
  readonly width: number;
  /** Requests in all, for each of them. @default 8 */
  readonly asksPerWidth?: number | undefined;
  /** Nodes to begin with besides those of the table. */
  readonly seeds?: readonly Seed[] | undefined;
  /** Whether it takes the whole region when there are suspiciously many nodes at the target. @default false */
  readonly isGuarded?: boolean | undefined;
  /** Looks at an answer. @returns whether what was looked for is found */
  readonly onReply?: ((times: Times, reply: Reply, candidate: Candidate) => boolean) | undefined;
  readonly onEnd: (times: Times, run: LookupRun) => void;
}

/** A crowded region is searched up to this many times wider. */
const MAX_WIDENING = 4;
/** Requests of a lookup for each of the nodes that are wanted. */
const ASKS_PER_WIDTH = 8;

export class LookupRun {
  readonly lookup: Lookup;
  readonly deadlineMs: Millis;
  readonly #host: RunHost;
  readonly #spec: RunSpec;
  readonly #request: Prepared;
  readonly #startedMs: Millis;
  readonly #untaken: Untaken & { surplus: number } = { self: 0, farther: 0, network: 0, surplus: 0 };
  #isCrowded = false;
  /** Requests of the search of the region. */
  #regionAsked = 0;
  #endedMs: Millis | undefined;

  constructor(times: Times, host: RunHost, spec: RunSpec) {
    const { options, table } = host;
    const { target, width, seeds = [] } = spec;
    this.#host = host;
    this.#spec = spec;
    this.#startedMs = times.now;
    this.deadlineMs = times.now + options.lookupMs;
    this.#request = new Prepared(spec.query, options);
    const known = table.closest(target, Math.max(width, options.k), 'live');
    // A few that others have named, where few have answered yet.
    const more = known.length < options.k ? table.closest(target, 2 * options.k, 'all') : [];
    this.lookup = new Lookup(
      {
        target,
        width,
        alpha: options.alpha,
        paths: options.paths,
        asksPerWidth: spec.asksPerWidth ?? ASKS_PER_WIDTH,
        maxTries: options.maxTries,
        maxPerNetwork: Math.max(options.maxPerNetworkInBucket, options.k >> 2),
        networkOf: options.networkOf,
        positionOf: (id) => table.get(id)?.position ?? options.space.ofPeer(id),
        self: options.self,
      },
      [...seeds, ...known, ...more],
    );
  }

  /** Whether there were suspiciously many nodes at the target. */
  get isCrowded(): boolean {
    return this.#isCrowded;
  }

  get isOver(): boolean {
    return this.#endedMs !== undefined;
  }

  /** Sends what can be sent now, or ends. */
  pump(times: Times): void {
    if (this.isOver) return;
    for (let candidate = this.lookup.next(); candidate !== undefined; candidate = this.lookup.next()) {
      this.#ask(times, candidate, 0);
    }
    if (this.lookup.ended === undefined) return;
    if (this.lookup.ended === 'converged' && this.#searchRegion(times)) return;
    this.#endedMs = times.now;
    this.#spec.onEnd(times, this);
  }

  /** Ends it now. */
  stop(times: Times, reason: LookupEnd): void {
    if (this.isOver) return;
    this.lookup.end(reason);
    this.#endedMs = times.now;
    this.#spec.onEnd(times, this);
  }

  report(now: Millis): LookupReport {
    const { lookup } = this;
    const nearest = lookup.nearest();
    return {
      what: this.#spec.what,
      target: this.#spec.target,
      hops: lookup.hops,
      asked: lookup.asked + this.#regionAsked,
      answered: lookup.answered,
      failed: lookup.failed,
      ended: lookup.ended ?? 'stopped',
      tookMs: (this.#endedMs ?? now) - this.#startedMs,
      untaken: { ...this.#untaken },
      density: this.#host.size.density(this.#spec.target, positionsOf(nearest)),
      isCrowded: this.#isCrowded,
      nearest: nearest.map(({ id, addr }) => ({ id, addr })),
    };
  }

  /**
   * When there are suspiciously many nodes at the target, all nodes of the region are found: nodes are asked for more
   * contacts than the closest, which would be those that somebody has put there.
   *
   * @returns whether the lookup goes on
   */
  #searchRegion(times: Times): boolean {
    const { size, options, start } = this.#host;
    const { target, width, isGuarded = false } = this.#spec;
    if (this.#isCrowded || !isGuarded) return false;
    const nearest = this.lookup.nearest();
    this.#isCrowded = size.isCrowded(target, positionsOf(nearest));
    if (!this.#isCrowded) return false;
    const peer = options.networkName === '' ? target : undefined;
    const region = new LookupRun(times, this.#host, {
      what: 'region',
      target,
      query: { op: 'find', position: target, peer, limit: MAX_ANSWER_CONTACTS },
      width: MAX_WIDENING * width,
      seeds: nearest,
      onEnd: (at, run) => {
        this.#regionAsked = run.lookup.asked;
        const found = run.lookup.nearest();
        const inside = found.filter(({ position }) => size.isInRegion(target, position)).length;
        this.lookup.widen(Math.min(Math.max(inside, width), MAX_WIDENING * width));
        this.lookup.add(found);
        this.pump(at);
      },
    });
    start(times, region);
    return true;
  }

  #ask(times: Times, candidate: Candidate, tries: number): void {
    this.#host.asks.send(times, {
      to: candidate,
      request: this.#request,
      tries,
      done: (at, { answer, isFinal, isDead }) => {
        if (answer !== undefined) this.#take(at, candidate, answer.reply, answer.surplus);
        else if (this.lookup.handleFailure(candidate, isFinal || this.isOver)) {
          if (isDead) this.#host.asks.gaveUp(at, candidate.id);
        } else {
          this.lookup.askAgain(candidate);
          this.#ask(at, candidate, tries + 1);
        }
        this.pump(at);
      },
    });
  }

  #take(times: Times, candidate: Candidate, reply: Reply, surplus: number): void {
    const untaken = this.lookup.handleAnswer(candidate, contactsOf(reply));
    this.#untaken.self += untaken.self;
    this.#untaken.farther += untaken.farther;
    this.#untaken.network += untaken.network;
    this.#untaken.surplus += surplus;
    if (surplus > 0) this.#host.drop('too_many_contacts', surplus);
    if (untaken.network > 0) this.#host.drop('crowded_network', untaken.network);
    if (!this.isOver && this.#spec.onReply?.(times, reply, candidate) === true) this.lookup.end('found');
  }
}

function contactsOf(reply: Reply): readonly WireContact[] {
  return 'contacts' in reply ? reply.contacts : [];
}

/** The positions of candidates. */
export function positionsOf(candidates: readonly { readonly position: KeyText }[]): KeyText[] {
  return candidates.map(({ position }) => position);
}
