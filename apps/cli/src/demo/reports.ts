/** What goes between the coordinator and the processes it started. */

import type { PeerId } from 'shoal';
import type { ReachKind } from 'shoal/peers';
import type { Fetched } from './blob.ts';
import type { DemoNat } from './node.ts';

/** How a peer process is to begin. */
export interface StartOrder {
  readonly type: 'start';
  readonly name: string;
  /** PEM. */
  readonly key: string;
  /** Where the peers of this demo find each other. */
  readonly lanPort: number;
  /** A file for what it learns; a peer that is started again gets another one. */
  readonly cache?: string | undefined;
  readonly nat?: DemoNat | undefined;
  /** Whether it relays for others. */
  readonly relays?: boolean | undefined;
}

/**
 * From the coordinator. `fetch` has the peer get all the bytes that another one has, `quiet` ends the sending of new
 * messages, `stop` ends the process.
 */
export type Order =
  | StartOrder
  | { readonly type: 'fetch'; readonly from: PeerId }
  | { readonly type: 'quiet' }
  | { readonly type: 'stop' };

/** What one process did with another: a peer that was started again is another process. */
export interface PairReport {
  /** The process id of this peer. */
  readonly here: number;
  readonly there: number;
  /** Tells sent, by the last number given. */
  readonly sent: number;
  /** Tells that came from there. */
  readonly received: number;
  readonly missing: number;
  readonly repeated: number;
}

/** Everything a peer has counted since it started. */
export interface PeerReport {
  readonly pairs: readonly PairReport[];
  readonly tells: number;
  readonly tellBytes: number;
  readonly receivedTells: number;
  readonly receivedBytes: number;
  readonly echoes: number;
  readonly asks: number;
  readonly answers: number;
  readonly asksFailed: number;
  readonly sessions: number;
  /** Round trips of the last tells and asks, in milliseconds. */
  readonly tellMs: readonly number[];
  readonly askMs: readonly number[];
  /** Bytes of the fetch that is under way, or was the last. */
  readonly fetchedBytes?: number | undefined;
  /** Names of the peers that are alive in this one's view. */
  readonly known: readonly string[];
  /** How many peers are reached in which way now. */
  readonly paths: Readonly<Record<ReachKind, number>>;
}

/** The path to a peer is by way of a relay now, or is so no more. */
export interface PathNews {
  readonly type: 'path';
  readonly id: PeerId;
  readonly kind: ReachKind;
  /** How long it was relayed, in milliseconds; `undefined` when it is relayed now. */
  readonly relayedMs: number | undefined;
}

/** From a peer process. */
export type News =
  | { readonly type: 'ready'; readonly id: PeerId; readonly addrs: readonly string[] }
  | { readonly type: 'found' | 'lost'; readonly id: PeerId; readonly name: string }
  | PathNews
  | { readonly type: 'report'; readonly report: PeerReport }
  | { readonly type: 'fetched'; readonly from: PeerId; readonly fetched: Fetched }
  | { readonly type: 'failed'; readonly message: string };
