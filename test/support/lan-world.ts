/** Nodes on virtual LANs, in virtual time. */

import type { CandidateOptions } from '../../src/core/candidate.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { Lan, LanOptions } from '../../src/discovery/lan-options.ts';
import { openLan } from '../../src/discovery/lan.ts';
import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import type { PrivateKey } from '../../src/identity/private-key.ts';
import type { LanPeer } from '../../src/protocols/beacon/lan-peers.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** A node that takes part in LAN discovery, and what it has heard. */
export interface LanNode {
  readonly lan: Lan;
  readonly id: PeerId;
  readonly key: PrivateKey;
  /** New and changed peers, in the order in which they were heard. */
  readonly heard: LanPeer[];
  /** When each peer was heard first, by the realm's clock. */
  readonly heardMs: Map<PeerId, number>;
  /** Hosts that use its key. */
  readonly elsewhere: string[];
}

/** Joins LAN discovery on a host, with a TCP port of its own in the addresses. */
export async function joinLan(
  host: VirtualHost,
  seed: number,
  options: Partial<LanOptions> & { readonly tcpPort?: number } = {},
): Promise<LanNode> {
  const { tcpPort = 5000 + seed, ...more } = options;
  const key = options.privateKey ?? testKey(seed);
  const id = peerIdOfKey(key.publicKey);
  const heard: LanPeer[] = [];
  const heardMs = new Map<PeerId, number>();
  const elsewhere: string[] = [];
  const lan = await openLan({
    privateKey: key,
    networkName: 'test',
    addrs: [`${id}@[::]:${tcpPort}`],
    network: host.network,
    realm: host.realm,
    onPeer: (peer) => {
      heard.push(peer);
      if (!heardMs.has(peer.id)) heardMs.set(peer.id, host.realm.nowMs());
    },
    onKeyElsewhere: (ip) => void elsewhere.push(ip),
    ...more,
  });
  return { lan, id, key, heard, heardMs, elsewhere };
}

/** All candidates until the source ends. */
export async function candidatesOf(lan: Lan, id?: PeerId, options?: CandidateOptions): Promise<string[]> {
  const found: string[] = [];
  for await (const { addr } of lan.candidates(id, options)) found.push(addr);
  return found;
}
