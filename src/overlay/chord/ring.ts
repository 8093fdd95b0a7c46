/** A node of a ring, as programs use it. */

import type { Addr } from '../../core/addr.ts';
import type { Counters } from '../../core/counters.ts';
import type { CallOptions, Closed } from '../../core/swarm.ts';

/** How a node of a ring is opened. */
export interface ChordOptions<A extends Addr> {
  /** Nodes with another name are in another ring. 1 to 256 bytes. */
  readonly networkName: string;
  /** Nodes to begin with; a text that is no address of the swarm is an error at once. @default none: this is the first node */
  readonly bootstrap?: readonly (A | string)[] | undefined;
  /**
   * How many nodes behind itself a node knows, 2 to 32. A ring holds as long as not all of them fail between two rounds of upkeep.
   *
   * @default 8
   */
  readonly successors?: number | undefined;
  /** Between two rounds of upkeep. @default 5000 */
  readonly upkeepMs?: number | undefined;
  /** How long a node has to answer. @default 2000 */
  readonly callTimeoutMs?: number | undefined;
  /** Lookups and joins at a time, 1 to 65 536; further ones are refused with `limit_exceeded`. @default 256 */
  readonly maxLookups?: number | undefined;
  /**
   * Where an address is on the ring: 32 bytes. An address that others name and for which it throws is not used.
   *
   * @default a hash of the network name and the PeerID, or the address without one
   */
  readonly placeOf?: ((addr: A) => Uint8Array) | undefined;
  /** Whether `close` leaves the swarm open. @default false */
  readonly keepInner?: boolean | undefined;
}

/** Who is responsible for a key. */
export interface ChordOwners<A extends Addr> {
  /** The node at or behind the place of the key. It may have gone since. */
  readonly owner: A;
  /** The owner and those behind it: where copies belong. */
  readonly owners: readonly A[];
  /** Nodes that were asked, in their order. */
  readonly path: readonly A[];
  /** Nodes that did not answer. */
  readonly silent: readonly A[];
}

/** The state of a node: plain data of this moment. */
export interface ChordInspection {
  readonly addr: string;
  /** The own place, 64 hexadecimal digits. */
  readonly place: string;
  readonly networkName: string;
  readonly predecessor: string | undefined;
  /** From the nearest on; empty while the node is alone. */
  readonly successors: readonly string[];
  /** Nodes across the ring. */
  readonly fingers: readonly string[];
  /** Pending lookups and joins. */
  readonly lookups: number;
  readonly drops: Readonly<Record<string, number>>;
}

/** A node of a ring. */
export interface ChordRing<A extends Addr> extends AsyncDisposable {
  /** `chord` over those of the swarm. */
  readonly counters: Counters;
  /** The end of the first join, of which nothing is required: false when no node answered. Never rejects. */
  readonly ready: Promise<boolean>;
  readonly closed: Promise<Closed>;
  /** The node before this one; `undefined` while none is known. */
  readonly predecessor: A | undefined;
  /** The nodes behind this one, from the nearest on; empty while it is alone. */
  readonly successors: readonly A[];

  /**
   * Enters the ring of the first of these nodes that answers, or joins its ring with the own one.
   *
   * @throws {TypeError} (by rejection) when one is no address of the swarm.
   * @throws {P2PError} (by rejection) `unreachable` when none answers, `limit_exceeded`, `timeout`, `closed`.
   */
  join(nodes: readonly (A | string)[], options?: CallOptions): Promise<void>;

  /**
   * Finds who is responsible for a key of 1 to 256 bytes.
   *
   * @throws {RangeError} (at once) when the key is empty or too long.
   * @throws {P2PError} (by rejection) `unreachable` when it led nowhere, `limit_exceeded`, `timeout`, `closed`.
   */
  lookup(key: Uint8Array, options?: CallOptions): Promise<ChordOwners<A>>;

  /** Calls `listener` when the predecessor or the successors change. Disposing of the result ends that. */
  onNeighbours(listener: () => void): Disposable;

  inspect(): ChordInspection;
  /** Leaves; those around notice when it does not answer. Idempotent, never rejects. */
  close(): Promise<void>;
}
