/** Connection managers on virtual hosts, in virtual time. */

import type { CandidateSource } from '../../src/core/candidate.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { openPeers, type PeerChange, type Peers, type PeersOptions } from '../../src/peers/index.ts';
import { connectionsOf, type PeerConnections } from '../../src/sessions/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { VirtualWorld } from './virtual-world.ts';

export const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);

/** A source that knows what it was told. */
export class Directory implements CandidateSource {
  readonly addrs: Map<PeerId, readonly string[]> = new Map();

  candidates(
    id?: PeerId,
  ): { id: PeerId; addr: string; source: string; seenMs: number; expiresMs: number; trust: 'given' }[] {
    // Nobody to begin with: nodes connect when they want somebody.
    const known = id === undefined ? [] : [[id, this.addrs.get(id) ?? []] as const];
    return known.flatMap(([of, addrs]) =>
      addrs.map((addr) => ({
        id: of,
        addr,
        source: 'directory',
        seenMs: 0,
        expiresMs: Infinity,
        trust: 'given' as const,
      })),
    );
  }
}

export class PeersWorld extends VirtualWorld {
  readonly directory: Directory = new Directory();
  readonly opened: Peers[] = [];
  /** Ends connections of a transport. */
  readonly cuts: (readonly [PeerConnections, () => readonly PeerId[]])[] = [];

  /** Opens the node with the test key `i` on a host, and lists its addresses. */
  async open(i: number, host: VirtualHost = this.net.host(), options: Partial<PeersOptions> = {}): Promise<Peers> {
    const { realm, network } = host;
    const peers = await this.run(
      openPeers({ privateKey: testKey(i), realm, network, security: 'noise', sources: [this.directory], ...options }),
    );
    this.directory.addrs.set(peers.id, peers.addrs);
    this.opened.push(peers);
    for (const { swarm } of peers.transports) {
      const connections = connectionsOf(swarm);
      if (connections !== undefined) this.cuts.push([connections, () => peers.list().map(({ id }) => id)]);
    }
    return peers;
  }

  async close(): Promise<void> {
    await this.run(Promise.all(this.opened.map((peers) => peers.close())));
  }
}

/** Changes of a node, as they come. */
export function watch(peers: Peers): PeerChange[] {
  const seen: PeerChange[] = [];
  void (async () => {
    for await (const change of peers.changes()) seen.push(change);
  })();
  return seen;
}

/** Without what dialling back finds. */
export const types = (changes: readonly PeerChange[]): string[] =>
  changes.map(({ type }) => type).filter((type) => type !== 'kind');

export async function pair(options = {}): Promise<{ w: PeersWorld; alice: Peers; bob: Peers }> {
  const w = new PeersWorld({ latencyMs: 20, trace: undefined });
  const alice = await w.open(0, w.net.host({ name: 'a' }), options);
  const bob = await w.open(1, w.net.host({ name: 'b' }), options);
  bob.serve(({ payload }) => payload);
  alice.serve(({ payload }) => payload);
  return { w, alice, bob };
}
