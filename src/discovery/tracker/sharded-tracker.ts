/** The tracker of a network with several cells: each peer is in the cell that its PeerID says, so a look-up reads one. */

import { describeValue } from '../../base/checks.ts';
import type { Candidate, CandidateOptions } from '../../core/candidate.ts';
import type { Counters, DropReason } from '../../core/counters.ts';
import { isPeerId, type PeerId } from '../../core/peer-id.ts';
import type { Realm } from '../../core/realm.ts';
import { shardOfPeer, shardToken, type TrackerToken } from '../../protocols/cell/token.ts';
import { shuffle } from '../../runtime/shuffle.ts';
import type { Tracker, TrackerOptions } from './tracker-options.ts';

/** Opens the tracker of one cell. */
export type OpenShard = (token: TrackerToken, more: Partial<TrackerOptions>) => Tracker;

/** Cells that are read for a start from anybody, at most: each has some fifty peers. */
const MAX_READ = 8;

export class ShardedTracker implements Tracker {
  readonly #token: TrackerToken;
  readonly #open: OpenShard;
  readonly #realm: Realm;
  readonly #own: number;
  /** By index, as far as they were used. Bounded by the cells. */
  readonly #shards = new Map<number, Tracker>();
  #isClosed = false;

  constructor(token: TrackerToken, { realm, id }: TrackerOptions & { readonly realm: Realm }, open: OpenShard) {
    this.#token = token;
    this.#open = open;
    this.#realm = realm;
    this.#own = id === undefined ? -1 : shardOfPeer(id, token.shards);
    // It announces this node.
    if (this.#own >= 0) this.#shard(this.#own);
  }

  get counters(): Counters {
    const all = [...this.#shards.values()].map(({ counters }) => counters);
    const sum = (of: (counters: Counters) => number): number => all.reduce((total, each) => total + of(each), 0);
    const drops = new Map<DropReason, number>();
    for (const each of all)
      for (const [reason, count] of each.drops) drops.set(reason, (drops.get(reason) ?? 0) + count);
    return {
      layer: 'tracker',
      sent: sum(({ sent }) => sent),
      received: sum(({ received }) => received),
      sentBytes: sum(({ sentBytes }) => sentBytes),
      receivedBytes: sum(({ receivedBytes }) => receivedBytes),
      drops,
    };
  }

  async *candidates(id?: PeerId, options?: CandidateOptions): AsyncGenerator<Candidate> {
    if (id !== undefined) {
      yield* this.#shard(shardOfPeer(id, this.#token.shards)).candidates(id, options);
      return;
    }
    // A new peer does not read the cells of thousands, and not all read the same ones.
    const all = Array.from({ length: this.#token.shards }, (_, index) => index);
    for (const index of shuffle(this.#realm, all).slice(0, MAX_READ)) {
      if (options?.signal?.aborted === true || this.#isClosed) return;
      yield* this.#shard(index).candidates(undefined, options);
    }
  }

  lookUp(id: PeerId, options?: CandidateOptions): Promise<readonly Candidate[]> {
    if (!isPeerId(id)) throw new TypeError(`Cannot look up: expected a PeerID, got ${describeValue(id)}`);
    return this.#shard(shardOfPeer(id, this.#token.shards)).lookUp(id, options);
  }

  announce(addrs?: readonly string[], options?: CandidateOptions): Promise<void> {
    return this.#ownShard('announce').announce(addrs, options);
  }

  withdraw(options?: CandidateOptions): Promise<void> {
    return this.#ownShard('withdraw').withdraw(options);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#shards.values()].map((shard) => shard.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ownShard(what: string): Tracker {
    if (this.#own < 0) throw new TypeError(`Cannot ${what}: the tracker was opened without an id`);
    return this.#shard(this.#own);
  }

  #shard(index: number): Tracker {
    let shard = this.#shards.get(index);
    if (shard === undefined) {
      const announces = index === this.#own ? {} : { addrs: undefined };
      shard = this.#open(shardToken(this.#token, index), announces);
      this.#shards.set(index, shard);
      if (this.#isClosed) void shard.close();
    }
    return shard;
  }
}
