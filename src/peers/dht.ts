/** The DHT of a connection manager: its nodes are peers, and it says where peers are. */

import type { PeerId } from '../core/peer-id.ts';
import { leadsTo } from '../discovery/peer-record.ts';
import type { Dht } from '../overlay/kademlia/dht.ts';
import { type LiveDht, startDht } from '../overlay/kademlia/open-dht.ts';
import { SERVICE } from '../protocols/peers/constants.ts';
import { type PeerAddr, peerAddr } from './address.ts';
import type { ResolvedOptions } from './options.ts';
import type { RemotePeers } from './remote-peers.ts';
import { ServiceChannel, type ServiceHost } from './service-channel.ts';

export class PeersDht {
  readonly #channel: ServiceChannel;
  readonly #dht: LiveDht<PeerAddr>;
  readonly #isAnnounced: boolean;
  #isJoining = false;

  constructor(
    { id, privateKey, kind, networkName, dht }: ResolvedOptions,
    host: ServiceHost,
    peers: RemotePeers,
    ownAddrs: () => readonly string[],
  ) {
    this.#channel = new ServiceChannel('dht', SERVICE.DHT, host);
    const { announce = kind === 'node', ...more } = typeof dht === 'object' ? dht : {};
    this.#isAnnounced = announce;
    // A transport of the program may have addresses that no record can carry.
    const addrs = (): readonly string[] => ownAddrs().filter((addr) => leadsTo(addr, id));
    const options = {
      ...more,
      networkName,
      privateKey,
      kind: kind === 'node' ? ('server' as const) : ('client' as const),
      addrs,
      // A connected peer answers over its connection, whatever address is meant: `reached` says which ones are proven.
      probe: () => Promise.resolve(false),
      keepInner: true,
    };
    this.#dht = startDht(this.#channel, options, {
      addrs,
      place: (peer, texts) => {
        peers.reaching.claims(
          peer,
          texts.filter((text) => leadsTo(text, peer)),
        );
        return peerAddr(peer);
      },
      isReachable: (peer) => peers.get(peer)?.kind === 'node',
    });
    peers.services.set(SERVICE.DHT, this.#channel);
    peers.reaching.sources.push(this.#dht);
  }

  get dht(): Dht<PeerAddr> {
    return this.#dht;
  }

  /** A peer has connected, or it has become known that others can dial it. */
  async met(id: PeerId): Promise<void> {
    this.#dht.reachable(id);
    if (this.#isJoining || this.#dht.table().length > 0) return;
    this.#isJoining = true;
    try {
      const { peers } = await this.#dht.join([peerAddr(id)]);
      if (peers > 0 && this.#isAnnounced) await this.#dht.announce();
    } catch {
      // The peer has no DHT, or is gone: the next one may have it.
    } finally {
      this.#isJoining = false;
    }
  }

  async close(): Promise<void> {
    await this.#dht.close();
    await this.#channel.close();
  }
}
