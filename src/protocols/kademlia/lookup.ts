/**
 * An iterative lookup: asks the closest nodes that are known for closer ones, a few at a time, until the closest have all
 * answered. It does no I/O and has no clock. It always ends: a node is asked at most `maxTries` times, and all together
 * `asksPerWidth` for each node that is wanted.
 */

import type { Form, WireContact } from './messages.ts';
import { closerTo, type KeyText } from './position.ts';

/** A node that a lookup may ask. */
export interface Candidate {
  readonly id: KeyText;
  readonly position: KeyText;
  readonly addr: string;
  readonly form: Form;
  /** How many answers led to it; 0 for those of the own table. */
  readonly hop: number;
  /** The disjoint path that asks it. */
  readonly path: number;
  /** The network of its IP; empty where it is not counted. */
  readonly network: string;
  state: 'new' | 'asked' | 'answered' | 'failed';
  /** Requests to it so far. */
  tries: number;
  /** Who named it; `undefined` for those of the own table. */
  readonly teller: Candidate | undefined;
  /** What came of the nodes that it named. */
  namedAnswered: number;
  namedFailed: number;
}

/** A node to begin with. */
export type Seed = Pick<Candidate, 'id' | 'position' | 'addr' | 'form'>;

/**
 * Why a lookup ended:
 *
 * | reason | meaning |
 * | --- | --- |
 * | `converged` | the closest nodes have all answered |
 * | `found` | what was looked for is there |
 * | `no_peers` | no node is known to ask |
 * | `no_answer` | no node answered |
 * | `too_many_asks` | the bound on requests was reached |
 * | `deadline` | the time was over |
 * | `stopped` | the caller stopped it, or the node was closed |
 */
export type LookupEnd = 'converged' | 'found' | 'no_peers' | 'no_answer' | 'too_many_asks' | 'deadline' | 'stopped';

/** The bounds of a lookup. */
export interface LookupOptions {
  readonly target: KeyText;
  /** The closest nodes that must have answered. */
  readonly width: number;
  /** Requests at the same time, for each path. */
  readonly alpha: number;
  /** Paths that have no node in common. */
  readonly paths: number;
  /** Requests in all, for each of the closest nodes that are wanted. */
  readonly asksPerWidth: number;
  /** Requests to one node. */
  readonly maxTries: number;
  /** Nodes with IPs of one network among the closest. */
  readonly maxPerNetwork: number;
  /** The network of a packed address's IP; empty where it is not counted. */
  readonly networkOf: (addr: string, id: KeyText) => string;
  /** The position of a raw PeerID. */
  readonly positionOf: (id: KeyText) => KeyText;
  /** The own raw PeerID: it is not asked. */
  readonly self: KeyText;
}

/** What a lookup did not take of an answer. */
export interface Untaken {
  /** The asked node itself, or this node. */
  self: number;
  /** Farther than the closest that have answered already. */
  farther: number;
  /** Of a network that has as many among the closest as it may. */
  network: number;
}

/** When as many nodes that somebody named have failed, and none has answered, the others that it named are not asked. */
const MAX_FAILED_NAMES = 4;

/** The candidates of one path from the closest on. Bounded by {@link Lookup.maxListed}. */
type Path = Candidate[];

/** One lookup. */
export class Lookup {
  readonly options: LookupOptions;
  readonly #paths: Path[];
  /** Every node that was ever a candidate: none is asked on two paths. Bounded by `maxSeen`. */
  readonly #seen = new Map<KeyText, Candidate>();
  #width: number;
  #asks = 0;
  #answered = 0;
  #failed = 0;
  #hops = 0;
  /** Nodes asked for the first time that have not answered yet, by path; repeated requests do not count. */
  readonly #fresh: number[];
  #pending = 0;
  #ended: LookupEnd | undefined;

  constructor(options: LookupOptions, seeds: readonly Seed[]) {
    this.options = options;
    this.#width = options.width;
    const paths = Math.max(1, Math.min(options.paths, seeds.length));
    this.#paths = Array.from({ length: paths }, () => []);
    this.#fresh = this.#paths.map(() => 0);
    this.add(seeds);
  }

  get ended(): LookupEnd | undefined {
    return this.#ended;
  }

  /** The closest nodes that must have answered; it grows when there are suspiciously many. */
  get width(): number {
    return this.#width;
  }

  /** Requests sent so far. */
  get asked(): number {
    return this.#asks;
  }

  get answered(): number {
    return this.#answered;
  }

  get failed(): number {
    return this.#failed;
  }

  /** The most answers that led to a node that answered, itself included. */
  get hops(): number {
    return this.#hops;
  }

  /** Requests after which it ends. */
  get maxAsks(): number {
    return this.options.asksPerWidth * this.#width;
  }

  /** Candidates of a path that are kept. */
  get maxListed(): number {
    return 4 * this.#width;
  }

  /** The nodes that have answered, from the closest on, of all paths. */
  nearest(count: number = this.#width): Candidate[] {
    const answered = this.#paths.flat().filter(({ state }) => state === 'answered');
    answered.sort((a, b) => closerTo(this.options.target, a.position, b.position));
    return answered.slice(0, count);
  }

  /** More nodes to begin with. */
  add(seeds: readonly Seed[]): void {
    for (const [i, seed] of seeds.entries()) this.#add(seed, seed.position, i % this.#paths.length);
  }

  /** Demands more of the closest nodes. */
  widen(width: number): void {
    this.#width = Math.max(this.#width, width);
    if (this.#ended === 'converged') this.#ended = undefined;
  }

  end(reason: LookupEnd): void {
    this.#ended ??= reason;
  }

  /** The next node to ask now; `undefined` when none is: see `ended`. */
  next(): Candidate | undefined {
    if (this.#ended !== undefined) return undefined;
    for (const [i, path] of this.#paths.entries()) {
      if (this.#fresh[i]! >= this.options.alpha) continue;
      const candidate = this.#nextOf(path);
      if (candidate === undefined) continue;
      if (this.#asks >= this.maxAsks) {
        if (this.#pending === 0) this.#ended = 'too_many_asks';
        return undefined;
      }
      this.#ask(candidate);
      return candidate;
    }
    if (this.#pending === 0)
      this.#ended = this.#seen.size === 0 ? 'no_peers' : this.#answered === 0 ? 'no_answer' : 'converged';
    return undefined;
  }

  /**
   * A node has answered.
   *
   * @param contacts - the nodes that it named
   * @returns what was not taken.
   */
  handleAnswer(candidate: Candidate, contacts: readonly WireContact[]): Untaken {
    const untaken: Untaken = { self: 0, farther: 0, network: 0 };
    this.#settle(candidate, 'answered');
    this.#answered++;
    if (candidate.teller !== undefined) candidate.teller.namedAnswered++;
    this.#hops = Math.max(this.#hops, candidate.hop + 1);
    const farthest = this.#farthestAnswered(candidate.path);
    for (const contact of contacts) {
      if (contact.id === this.options.self || contact.id === candidate.id) {
        untaken.self++;
        continue;
      }
      if (this.#seen.has(contact.id)) continue;
      const position = this.options.positionOf(contact.id);
      if (farthest !== undefined && closerTo(this.options.target, position, farthest) >= 0) untaken.farther++;
      else if (!this.#add(contact, position, candidate)) untaken.network++;
    }
    return untaken;
  }

  /**
   * A request was not answered in time, or the node cannot be reached.
   *
   * @param isFinal - it makes no sense to ask again
   * @returns whether the node is given up; else it is asked again, and {@link Lookup.askAgain} says so.
   */
  handleFailure(candidate: Candidate, isFinal: boolean): boolean {
    if (!isFinal && candidate.tries < this.options.maxTries && this.#asks < this.maxAsks && this.#ended === undefined) {
      // The path goes on meanwhile: a slow node does not block it.
      if (candidate.tries === 1) this.#fresh[candidate.path]!--;
      return false;
    }
    this.#settle(candidate, 'failed');
    this.#failed++;
    const { teller } = candidate;
    if (teller !== undefined) {
      teller.namedFailed++;
      if (isDiscredited(teller)) this.#forget(teller);
    }
    return true;
  }

  /** Takes back the nodes that a node has named and that were not asked; others may name them again. */
  #forget(teller: Candidate): void {
    const path = this.#paths[teller.path]!;
    for (let i = path.length - 1; i >= 0; i--) {
      const candidate = path[i]!;
      if (candidate.teller !== teller || candidate.state !== 'new') continue;
      path.splice(i, 1);
      this.#seen.delete(candidate.id);
    }
  }

  /** Counts a repeated request. */
  askAgain(candidate: Candidate): void {
    candidate.tries++;
    this.#asks++;
  }

  #settle(candidate: Candidate, state: 'answered' | 'failed'): void {
    if (candidate.tries === 1) this.#fresh[candidate.path]!--;
    candidate.state = state;
    this.#pending--;
  }

  #ask(candidate: Candidate): void {
    candidate.state = 'asked';
    candidate.tries = 1;
    this.#asks++;
    this.#pending++;
    this.#fresh[candidate.path]!++;
  }

  /** The first node among the closest ones of a path that was not asked yet. */
  #nextOf(path: Path): Candidate | undefined {
    let counted = 0;
    for (const candidate of path) {
      if (candidate.state === 'failed') continue;
      if (counted++ >= this.#width) return undefined;
      if (candidate.state === 'new') return candidate;
    }
    return undefined;
  }

  /** The position of the farthest of the closest nodes, once as many as are wanted have answered. */
  #farthestAnswered(path: number): KeyText | undefined {
    let counted = 0;
    for (const { state, position } of this.#paths[path]!)
      if (state === 'answered' && ++counted === this.#width) return position;
    return undefined;
  }

  /** @returns whether its network has room among the candidates. */
  #add(seed: Seed | WireContact, position: KeyText, from: Candidate | number): boolean {
    if (seed.id === this.options.self || this.#seen.has(seed.id)) return true;
    const teller = typeof from === 'number' ? undefined : from;
    const at = typeof from === 'number' ? from : from.path;
    const hop = teller === undefined ? 0 : teller.hop + 1;
    const path = this.#paths[at]!;
    const network = this.options.networkOf(seed.addr, seed.id);
    if (network !== '') {
      let count = 0;
      for (const each of path) if (each.network === network && each.state !== 'failed') count++;
      if (count >= this.options.maxPerNetwork) return false;
    }
    const { id, addr, form } = seed;
    const candidate: Candidate = {
      id,
      position,
      addr,
      form,
      hop,
      path: at,
      network,
      state: 'new',
      tries: 0,
      teller,
      namedAnswered: 0,
      namedFailed: 0,
    };
    let index = path.length;
    while (index > 0 && closerTo(this.options.target, position, path[index - 1]!.position) < 0) index--;
    path.splice(index, 0, candidate);
    this.#seen.set(id, candidate);
    if (path.length > this.maxListed) this.#dropFarthest(path);
    return true;
  }

  /** Makes room: the farthest node that was not asked, which may be named again later. */
  #dropFarthest(path: Path): void {
    const index = path.findLastIndex(({ state }) => state === 'new' || state === 'failed');
    if (index < 0) return;
    const [dropped] = path.splice(index, 1);
    if (dropped?.state === 'new') this.#seen.delete(dropped.id);
  }
}

function isDiscredited({ namedAnswered, namedFailed }: Candidate): boolean {
  return namedAnswered === 0 && namedFailed >= MAX_FAILED_NAMES;
}
