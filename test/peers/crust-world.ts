/** What the tests of crust's behaviours share. */

import assert from 'node:assert/strict';

import type { Candidate } from '../../src/core/candidate.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import type { PeerChange, Peers, PeersOptions } from '../../src/peers/index.ts';
import { PeersWorld } from '../support/peers-world.ts';

export interface Watched {
  readonly changes: PeerChange[];
  readonly types: string[];
  isOver: boolean;
}

/** Changes of a node, as they come, but not what dialling back finds. */
export function watch(peers: Peers): Watched {
  const seen = { changes: [] as PeerChange[], types: [] as string[], isOver: false };
  void (async () => {
    for await (const change of peers.changes()) {
      seen.changes.push(change);
      if (change.type !== 'kind') seen.types.push(change.type);
    }
    seen.isOver = true;
  })();
  return seen;
}

export interface TwoPeers {
  readonly w: PeersWorld;
  readonly alice: Peers;
  readonly bob: Peers;
  readonly a: VirtualHost;
  readonly b: VirtualHost;
}

/** Two nodes on hosts of their own; the second one echoes. */
export async function pair(options: Partial<PeersOptions> = {}): Promise<TwoPeers> {
  const w = new PeersWorld({ latencyMs: 20, trace: undefined });
  const [a, b] = [w.net.host({ name: 'a' }), w.net.host({ name: 'b' })];
  const [alice, bob] = [await w.open(1, a, options), await w.open(2, b, options)];
  bob.serve(({ payload }) => payload);
  return { w, alice, bob, a, b };
}

/** What a call fails with; `undefined` when it does not. */
export function caught(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (cause: unknown) => cause,
  );
}

/** The error of a call that must fail. */
export async function failureOf(w: PeersWorld, call: Promise<unknown>): Promise<P2PError> {
  const error = await w.run(caught(call));
  assert.ok(P2PError.is(error), String(error));
  return error;
}

export const portOf = ({ addrs }: Peers): number => Number(/:([0-9]+)$/.exec(addrs[0]!)![1]);

/** An address of a peer that the user was told. */
export const candidateFor = (peers: Peers, addr: string): Candidate => ({
  id: peers.id,
  addr,
  source: 'invitation',
  seenMs: 0,
  expiresMs: Infinity,
  trust: 'given',
});

/** 100 numbered messages of 20 KiB. */
export const NUMBERED: readonly Uint8Array[] = Array.from({ length: 100 }, (_, i) => new Uint8Array(20_480).fill(i));
