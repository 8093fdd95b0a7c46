/** Connection managers on virtual hosts, in virtual time. */

import { type CandidateSource } from '../../src/core/candidate.ts';
import { type PeerId } from '../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { type VirtualHost } from '../../src/net/virtual/types.ts';
import { openPeers, type Peers, type PeersOptions } from '../../src/peers/index.ts';
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
