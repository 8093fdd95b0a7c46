/** A node of the DHT, as programs use it. */

import type { Bytes } from '../../base/bytes.ts';
import type { Addr } from '../../core/addr.ts';
import type { Candidate, CandidateOptions, CandidateSource } from '../../core/candidate.ts';
import type { Counters } from '../../core/counters.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { CallOptions, Closed } from '../../core/swarm.ts';
import type { PeerRecord } from '../../discovery/peer-record.ts';
import type { RecordVerdict } from '../../protocols/kademlia/messages.ts';
import type { DhtPeer, LookupExplanation } from './explain.ts';
import type { DhtKind } from './options.ts';

/** What came of joining. */
export interface DhtJoined {
  /** Contacts in the table. */
  readonly peers: number;
  readonly explain: LookupExplanation;
}

/** What a lookup of a peer found. */
export interface DhtFound {
  /** The nodes closest to the PeerID that answered, from the closest on. */
  readonly peers: readonly DhtPeer[];
  /** The peer itself, if it answered. */
  readonly peer: DhtPeer | undefined;
  readonly explain: LookupExplanation;
}

/** What a lookup of a value found. */
export interface DhtValue {
  /** `undefined` when no node had it. Nobody has vouched for it: see the option `validate`. */
  readonly value: Bytes | undefined;
  /** How long the node that had it keeps it. */
  readonly ttlMs: number;
  readonly explain: LookupExplanation;
}

/** What a lookup of signed records found. */
export interface DhtRecordsFound {
  /** Verified records, those issued last first; addresses that storing nodes did not reach are left out. */
  readonly records: readonly PeerRecord[];
  readonly explain: LookupExplanation;
}

/** What came of storing. */
export interface DhtStored {
  /** For each key, the nodes that took it, this one included. */
  readonly accepted: readonly number[];
  /** Requests sent for it, lookups included. */
  readonly asked: number;
  /** How many nodes did what with the own record: `from_the_future` and `expired` mean that this machine's clock is wrong. */
  readonly records: Readonly<Partial<Record<RecordVerdict, number>>>;
  /** Up to 16 of the lookups. */
  readonly lookups: readonly LookupExplanation[];
}

/** Options of storing. */
export interface DhtStoreOptions extends CallOptions {
  /** @default the `ttlMs` of the node */
  readonly ttlMs?: number | undefined;
  /** Whether it is stored again before it expires, until {@link Dht.forget} or `close`. @default true */
  readonly republish?: boolean | undefined;
}

/** A contact of the table. */
export interface DhtContact extends DhtPeer {
  /** The leading bits that its position shares with the own one. */
  readonly sharedBits: number;
  /** How long ago it answered. */
  readonly answeredMsAgo: number;
  readonly rttMs: number | undefined;
  /** Requests without an answer since. */
  readonly failures: number;
  /** Which form it speaks. */
  readonly form: 'binary' | 'json' | 'unknown';
}

/** The state of a node: plain data of this moment. */
export interface DhtInspection {
  readonly id: PeerId;
  readonly networkName: string;
  readonly kind: DhtKind;
  /** The own position, 64 hexadecimal digits. */
  readonly position: string;
  /** Whether the own lookups are done. */
  readonly isJoined: boolean;
  /** False when so many nodes in a row did not answer that nothing expires. */
  readonly isOnline: boolean;
  /** Estimated from how close the closest nodes are. @default unknown */
  readonly estimatedNodes?: number | undefined;
  readonly contacts: number;
  readonly spares: number;
  readonly buckets: readonly { readonly sharedBits: number; readonly live: number; readonly spare: number }[];
  readonly values: number;
  readonly valueBytes: number;
  readonly providedKeys: number;
  readonly records: number;
  /** Signatures checked so far. */
  readonly verifications: number;
  /** Keys that this node stores again and again. */
  readonly published: number;
  readonly asks: { readonly sent: number; readonly pending: number };
  /** The last 16 lookups, the latest last. */
  readonly lookups: readonly LookupExplanation[];
  readonly drops: Readonly<Record<string, number>>;
}

/** A node of the DHT. As a source of candidates it looks up the record of the wanted peer. */
export interface Dht<A extends Addr> extends CandidateSource, AsyncDisposable {
  readonly id: PeerId;
  /** `dht` over those of the swarm. */
  readonly counters: Counters;
  /** The end of the first join, of which nothing is required: a first node has nobody to ask. Never rejects. */
  readonly ready: Promise<DhtJoined>;
  readonly closed: Promise<Closed>;

  /**
   * Begins from nodes, or again from the table: looks this node up, and one place in each part of the key space.
   *
   * @throws {P2PError} (by rejection) `unreachable` when none of the nodes answered, `closed`.
   */
  join(nodes?: readonly (A | string)[], options?: CallOptions): Promise<DhtJoined>;

  /** The round trip to a node. @throws {P2PError} (by rejection) `unreachable`, `timeout`, `closed`. */
  ping(node: A | string, options?: CallOptions): Promise<number>;

  /**
   * Finds the nodes closest to a PeerID; with `untilFound` it ends as soon as the peer itself has answered, with a third of the requests.
   *
   * @throws {TypeError} (by rejection) when `id` is not a PeerID.
   */
  findNode(
    id: PeerId | string,
    options?: CallOptions & { readonly untilFound?: boolean | undefined },
  ): Promise<DhtFound>;

  /**
   * Stores a value at the nodes closest to a key of 1 to 256 bytes. Only the PeerID that stored it may replace it before it expires.
   *
   * @throws {RangeError} (at once) when key or value are too long.
   */
  put(key: Uint8Array, value: Uint8Array, options?: DhtStoreOptions): Promise<DhtStored>;

  /** The same for many values: they are sorted by region, and each region is visited once. Duplicate keys are a `RangeError`. */
  putMany(
    entries: Iterable<readonly [key: Uint8Array, value: Uint8Array]>,
    options?: DhtStoreOptions,
  ): Promise<DhtStored>;

  /** Finds a value. */
  get(key: Uint8Array, options?: CallOptions): Promise<DhtValue>;

  /**
   * Without keys: publishes the own signed record under the own PeerID. With keys: publishes that this node provides them; ten thousand keys
   * cost about as much as one request to each node of the network, since regions are visited once.
   *
   * @throws {TypeError} (at once) when the node has no `privateKey`.
   */
  announce(keys?: Iterable<Uint8Array>, options?: DhtStoreOptions): Promise<DhtStored>;

  /** Stops storing a key again. @returns whether it was. */
  forget(key: Uint8Array): boolean;

  /** Finds the signed record of a peer: where it says that it is, as far as others reached it. */
  lookup(id: PeerId | string, options?: CallOptions): Promise<DhtRecordsFound>;

  /** Finds the records of peers that provide a key. @param options.limit - default 16 */
  providers(key: Uint8Array, options?: CallOptions & { readonly limit?: number | undefined }): Promise<DhtRecordsFound>;

  candidates(id?: PeerId, options?: CandidateOptions): Iterable<Candidate> | AsyncIterable<Candidate>;

  /** The contacts of the table, by bucket. */
  table(): readonly DhtContact[];

  /** The state of the node. */
  inspect(): DhtInspection;

  /** Leaves: ends what is under way, and closes the swarm unless made with `keepInner`. Idempotent; never rejects. */
  close(): Promise<void>;
}
