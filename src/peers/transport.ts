/** A swarm below the connection manager, and the paths on it. */

import { type Addr, ipOf, isLoopback, peerIdOf } from '../core/addr.ts';
import type { Side } from '../core/accept.ts';
import type { PathOptions } from '../protocols/peers/path.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Message } from '../core/message.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey, SecureSwarm } from '../core/secure.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import { RESOLVED } from '../runtime/promises.ts';
import type { Puncher } from '../nat/punch/puncher.ts';
import { connectionsOf, type PeerConnections } from '../sessions/connections.ts';

/** A swarm of the program that joins as a transport. Its message handler belongs to the connection manager from then on. */
export interface TransportOptions {
  /** How it is called in addresses and in `prefer`: `name://<address>`. Letters, digits, `-`. */
  readonly name: string;
  /**
   * `relay`: what it sends goes by way of another node, so it is used while there is no direct path. @default 'direct'
   */
  readonly kind?: 'direct' | 'relay' | undefined;
  /** It authenticates its peers; any key and any address type. */
  // oxlint-disable-next-line typescript/no-explicit-any -- swarms are invariant in their address type
  readonly swarm: SecureSwarm<any>;
  /**
   * Whether it delivers what it took, or reports that it could not, as TCP and QUIC do. Otherwise lost messages are sent again
   * after a time. @default false
   */
  readonly isReliable?: boolean | undefined;
  /**
   * Finds out with as little as possible whether something is at an address: it may be a victim's, which somebody else has named.
   * @default such addresses are dialled at once
   */
  readonly probe?: ((addr: Addr) => Promise<boolean>) | undefined;
  /** Opens NATs for this transport, together with the peer's side. @default there is no hole punching */
  readonly puncher?: Puncher | undefined;
  /** Leaves the swarm open when the connection manager closes. @default false */
  readonly keepOpen?: boolean | undefined;
}

/** A transport, and whether `openPeers` has made it. */
export interface OpenedTransport extends TransportOptions {
  /** @default false */
  readonly isOwn?: boolean | undefined;
}

/** What a transport hands up. */
export interface TransportHooks {
  received(transport: Transport, src: Addr, packet: Bytes): void;
  disconnected(transport: Transport, peer: PeerId, reason: string): void;
  /** The swarm has ended by itself. */
  failed(transport: Transport, cause: unknown): void;
}

export class Transport {
  readonly name: string;
  readonly swarm: SecureSwarm<Addr>;
  readonly isReliable: boolean;
  readonly kind: 'direct' | 'relay';
  /** Its place in the order of preference. */
  readonly rank: number;
  readonly keepOpen: boolean;
  readonly isOwn: boolean;
  readonly probe: ((addr: Addr) => Promise<boolean>) | undefined;
  readonly puncher: Puncher | undefined;
  readonly #connections: PeerConnections | undefined;
  readonly #listening: readonly Disposable[];
  /** It is going away: nothing new is dialled from it. */
  isRetired = false;
  #isClosed = false;

  constructor(
    {
      name,
      swarm,
      kind = 'direct',
      isReliable = false,
      keepOpen = false,
      isOwn = false,
      probe,
      puncher,
    }: OpenedTransport,
    rank: number,
    hooks: TransportHooks,
  ) {
    this.name = name;
    this.swarm = swarm as SecureSwarm<Addr>;
    this.isReliable = isReliable;
    this.kind = kind;
    this.keepOpen = keepOpen;
    this.isOwn = isOwn;
    this.probe = probe;
    this.puncher = puncher;
    this.rank = rank;
    this.#connections = connectionsOf(swarm);
    const gone = this.#connections?.onDisconnected((peer, reason) => hooks.disconnected(this, peer, reason));
    const listening = this.swarm.listen(({ src, payload }: Message<Addr>) => hooks.received(this, src, payload));
    this.#listening = gone === undefined ? [listening] : [listening, gone];
    void this.swarm.closed.then(({ by, cause }) => {
      if (by === 'failure' && !this.#isClosed) hooks.failed(this, cause);
    });
  }

  /** Who is behind an address: the PeerID of the key that the transport has proven. */
  keyOf(src: Addr): PublicKey | undefined {
    return this.swarm.knownPublicKey(src);
  }

  peerOf(src: Addr): PeerId | undefined {
    // The PeerIDs in addresses may come from another fingerprint.
    const key = this.keyOf(src);
    return key === undefined ? undefined : peerIdOfKey(key);
  }

  /** The address of a candidate; `undefined` when it is no address of this transport. */
  parse(id: PeerId | undefined, text: string): Addr | undefined {
    const addr = this.swarm.tryParseAddr(text);
    if (addr !== undefined) return addr;
    // The address of a peer at a relay names the peer itself, and what seals the messages names it once more.
    if (this.kind === 'relay' && id !== undefined) return this.swarm.tryParseAddr(`${id}@${text}`);
    return id === undefined || text.startsWith(`${id}@`) ? undefined : this.swarm.tryParseAddr(`${id}@${text}`);
  }

  /** Own addresses, with the name of the transport. Loopback leads others to themselves: it is left out if there is another one. */
  addrs(): readonly string[] {
    const all = this.swarm.localAddrs();
    const outside = all.filter((addr) => !isLoopback(addr));
    return (outside.length > 0 ? outside : all).map(({ text }) => `${this.name}://${text}`);
  }

  /** What a session needs to know of a path. @param side - what the peer is */
  pathOptions({ addr, side }: { readonly addr: Addr; readonly side: Side }, rank: number): PathOptions {
    return { rank, isReliable: this.isReliable, mtu: this.mtu(addr), isPeers: side === 'initiator' };
  }

  mtu(addr: Addr): number {
    return this.swarm.mtu(addr);
  }

  /**
   * Sends a packet. @returns whether it was taken at once; otherwise `taken` is called, without an error when the transport has
   * taken it.
   */
  send(addr: Addr, packet: Bytes, taken: (error?: unknown) => void): boolean {
    const told = this.swarm.tell(addr, packet, { timeoutMs: Infinity });
    if (told === RESOLVED) return true;
    told.then(() => taken(), taken);
    return false;
  }

  /** Ends the connections with a peer, where the transport has such. */
  disconnect(addr: Addr): void {
    const id = peerIdOf(addr);
    if (id !== undefined) this.#connections?.disconnect(id);
  }

  /** Grows when the peer's system shows life, also while no packet is whole. */
  progress(addr: Addr): number {
    const id = peerIdOf(addr);
    return id === undefined ? 0 : (this.#connections?.progress?.(id) ?? 0);
  }

  /** The host behind an address, for limits by source. */
  hostOf(addr: Addr): string {
    return ipOf(addr) ?? this.name;
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const each of this.#listening) each[Symbol.dispose]();
    return this.keepOpen ? RESOLVED : this.swarm.close();
  }
}
