/** What the lab tells of whole nodes behind NATs, and what these are told. */

import type { PathInfo, PeersOptions } from '../../src/peers/index.ts';
import type { SocketAddress } from '../../src/base/ip.ts';

/** How a node is made; plain data. */
export interface PeersSetup {
  readonly seed: number;
  readonly options: Omit<PeersOptions, 'privateKey'>;
  /** PeerIDs with which it keeps connections. */
  readonly helpers?: readonly string[];
  /** Parts of somebody else, instead of ours: a relay and an observer, as `ip:port`; and a port that is forwarded by hand. */
  readonly foreign?: {
    readonly relay?: string;
    readonly observer?: string;
    readonly forwarded?: readonly [internal: string, external: SocketAddress];
  };
}

/** What a node is told, as lines of JSON. */
export type PeersOrder =
  /** Asks a peer, and waits for a direct path, at most this long. */
  | { readonly order: 'ask'; readonly id: string; readonly waitMs: number; readonly addrs?: readonly string[] }
  | { readonly order: 'drop'; readonly id: string };

/** What came of an ask. */
export interface Asked {
  /** From the ask to its answer; absent when there was none. */
  readonly firstMs?: number;
  /** From the ask to a path without a relay. */
  readonly directMs?: number;
  /** The path at the end. */
  readonly path?: PathInfo;
  /** What `explain` says. */
  readonly text: string;
}

/** What a node says. */
export type PeersLine =
  | { readonly event: 'up'; readonly id: string; readonly addrs: readonly string[] }
  /** It has a place at a relay, or a router forwards its ports. */
  | { readonly event: 'reserved' }
  | { readonly event: 'mapped'; readonly addrs: readonly string[] }
  | ({ readonly event: 'asked' } & Asked);

/** One line of the output. */
export type PeersScenario =
  | { readonly name: 'pair'; readonly group: string; readonly a: string; readonly b: string; readonly asked: Asked }
  | { readonly name: 'missing'; readonly what: string };
