/** Peer exchange between connection managers: each tells the others of the peers that it has reached. */

import type { CandidateSource } from '../core/candidate.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PeerExchangeOptions } from '../discovery/exchange-options.ts';
import { peerExchange } from '../discovery/peer-exchange.ts';
import { leadsTo } from '../discovery/peer-record.ts';
import { SERVICE } from '../protocols/peers/constants.ts';
import type { PeerAddr } from './address.ts';
import type { ResolvedOptions } from './options.ts';
import { ServiceChannel, type ServiceHost } from './service-channel.ts';

/** A node that knows fewer peers than this asks each peer that it connects to. */
const ENOUGH_PEERS = 16;

/** What the exchange needs from the connection manager. */
export interface ExchangeHooks extends ServiceHost {
  ownAddrs(): readonly string[];
  /** Whether this node knows that an address leads to a peer. */
  leadsThere(id: PeerId, addr: string): boolean;
  /** Another process signs records with this node's key. */
  keyElsewhere(): void;
}

export class Exchange {
  readonly channel: ServiceChannel;
  readonly source: CandidateSource;
  readonly #exchange: ReturnType<typeof peerExchange<PeerAddr>>;

  constructor({ id, privateKey, kind, lists, exchange }: ResolvedOptions, hooks: ExchangeHooks) {
    this.channel = new ServiceChannel('exchange', SERVICE.EXCHANGE, hooks);
    const options: PeerExchangeOptions<PeerAddr> = {
      ...(typeof exchange === 'object' ? exchange : {}),
      privateKey,
      kind,
      // A transport of the program may have addresses that no record can carry.
      addrs: () => hooks.ownAddrs().filter((addr) => leadsTo(addr, id)),
      leadsThere: (peer, addr) => hooks.leadsThere(peer, addr),
      mayKeep: (id) => lists.decide({ id }).isAllowed,
      onKeyElsewhere: () => hooks.keyElsewhere(),
    };
    this.#exchange = peerExchange(this.channel, options);
    this.source = this.#exchange;
  }

  /** This node has connected to a peer: it may know others. */
  async connected(id: PeerId): Promise<void> {
    if (this.#exchange.records.length >= ENOUGH_PEERS) return;
    try {
      await this.#exchange.exchange(id);
    } catch {
      // What cannot be asked now is asked of the next peer.
    }
  }

  /** Whether a record of a peer is known. */
  knows(id: PeerId): boolean {
    return this.#exchange.record(id) !== undefined;
  }

  /** Tells a peer this node's addresses, which have changed. */
  async tell(id: PeerId): Promise<void> {
    // What it cannot be told now it learns with the next exchange.
    await this.#exchange.exchange(id).catch(() => undefined);
  }

  close(): void {
    this.#exchange[Symbol.dispose]();
    void this.channel.close();
  }
}
