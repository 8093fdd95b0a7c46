/**
 * Relays: this node as one for others, and relays for this node. What a relay carries is QUIC between the two peers, so it can read
 * and change nothing. Peers and relays talk over the sessions that they have anyway.
 */

import { type Addr, ipOf, portOf } from '../core/addr.ts';
import { formatSocketAddress, parseSocketAddress, type SocketAddress } from '../base/ip.ts';
import type { PeerId } from '../core/peer-id.ts';
import { relayOf } from '../nat/relay-address.ts';
import type { RelayReservation } from '../nat/relay-link.ts';
import { relaySwarm, type RelaySwarm } from '../nat/relay-swarm.ts';
import { type RelayService, serveRelay } from '../nat/relay-service.ts';
import { ABILITY, SERVICE } from '../protocols/peers/constants.ts';
import { type PeerAddr, peerAddr } from './address.ts';
import type { LivePath } from './live-session.ts';
import type { ResolvedOptions } from './options.ts';
import { ServiceChannel, type ServiceHost } from './service-channel.ts';

/** What relaying needs from the connection manager. */
export interface RelayingHooks extends ServiceHost {
  /** The path of a session with a peer. */
  pathOf(id: PeerId): LivePath | undefined;
  /** What a connected peer does for others, and where it says that it is reached. */
  abilitiesOf(id: PeerId): number;
  addrsOf(id: PeerId): readonly string[];
  connected(): Iterable<PeerId>;
  /** Keeps a session with a relay, or lets it go. */
  hold(id: PeerId, isHeld: boolean): void;
  /** A reservation at a relay is there, or not any more. */
  changed(relay: PeerId, state: RelayReservation<PeerAddr>['state'], reason: string | undefined): void;
}

/** Relays at which a node reserves that it has chosen itself: one may fail. */
const MAX_CHOSEN = 2;
/** Relays that are tried for a peer of which nobody has said where it is. */
const MAX_GUESSED = 3;

export class Relaying {
  /** From clients to this node, and back. */
  readonly toClients: ServiceChannel;
  /** From this node to relays, and back. */
  readonly toRelays: ServiceChannel;
  readonly swarm: RelaySwarm<PeerAddr>;
  readonly service: RelayService<PeerAddr> | undefined;
  readonly #options: ResolvedOptions;
  readonly #hooks: RelayingHooks;
  /** Relays of the options. Bounded by these. */
  readonly #own: ReadonlySet<PeerId>;
  /** Relays at which this node has reserved. Bounded by the options and MAX_CHOSEN. */
  readonly #wanted = new Set<PeerId>();
  /** The last state of each reservation. Bounded as the reservations. */
  readonly #states = new Map<PeerId, RelayReservation<PeerAddr>['state']>();
  /** Relays that refused, or were lost: not chosen again while others are there. Bounded by {@link MAX_FAILED}. */
  readonly #failed = new Set<PeerId>();

  constructor(options: ResolvedOptions, hooks: RelayingHooks) {
    this.#options = options;
    this.#hooks = hooks;
    this.toClients = new ServiceChannel('relay', SERVICE.FROM_RELAY, hooks);
    this.toRelays = new ServiceChannel('relay', SERVICE.TO_RELAY, hooks);
    const { serveRelay: serves } = options;
    if (serves !== undefined) {
      const socketAddressOf = ({ id }: PeerAddr): SocketAddress | undefined => socketOf(hooks.pathOf(id)?.addr);
      this.service = serveRelay(this.toClients, { ...serves, socketAddressOf });
    }
    this.swarm = relaySwarm<PeerAddr>(this.toRelays, { onChange: () => this.#changed() });
    const own = typeof options.relays === 'boolean' ? [] : options.relays.map(({ id }) => id);
    this.#own = new Set(own.filter((id) => id !== options.id));
  }

  /** Reserves at the relays of the options. To be called once the way to them can be found. */
  begin(): void {
    for (const id of this.#own) this.#want(id);
  }

  /** What this node does for others. */
  get abilities(): number {
    return this.service === undefined ? 0 : ABILITY.RELAY;
  }

  /** A session with a peer has a path: it may be a relay. */
  connected(id: PeerId): void {
    // Public hosts too: a firewall that lets out nothing but port 443 keeps its hosts from dialling them.
    if (
      this.#options.relays !== true ||
      this.service !== undefined ||
      this.#wanted.size >= MAX_CHOSEN ||
      this.#wanted.has(id)
    )
      return;
    if (this.#failed.has(id) || !this.#isRelay(id)) return;
    this.#want(id);
  }

  /** The session with a peer has ended: another relay takes its place. */
  lost(id: PeerId, reason: string): void {
    if (!this.#own.has(id) && this.#wanted.has(id)) {
      this.#release(id);
      this.#chooseOthers();
    }
    // A place at this node ends with the session, and whether this node still has its own at a relay is asked.
    this.toClients.lost(id, reason);
    this.toRelays.lost(id, reason);
  }

  /** Own addresses at relays, with where the relay is. */
  addrs(): readonly string[] {
    const texts: string[] = [];
    for (const { relay, state } of this.swarm.reservations) {
      const at = state === 'reserved' ? this.#whereIs(relay.id) : undefined;
      if (at !== undefined) texts.push(`relay://${this.#options.id}@${relay.id}@${at}`);
    }
    return texts;
  }

  /** Relays that may lead to a peer: those at which this node has reserved, and those that it is connected with. */
  addrsFor(peer: PeerId): readonly string[] {
    const relays = new Set<PeerId>(this.#wanted);
    for (const id of this.#hooks.connected()) if (this.#isRelay(id)) relays.add(id);
    relays.delete(peer);
    return [...relays].slice(0, MAX_GUESSED).map((relay) => `relay://${peer}@${relay}`);
  }

  /** Whether a peer has a place at this node. */
  serves(id: PeerId): boolean {
    return this.service?.peers.some((peer) => peer.id === id) === true;
  }

  /** Whether this node has a place at a peer, or wants one. */
  wants(id: PeerId): boolean {
    return this.#wanted.has(id);
  }

  isOwn(addr: Addr): boolean {
    const relay = relayOf(addr) as PeerAddr | undefined;
    return relay !== undefined && this.#own.has(relay.id);
  }

  get reservations(): readonly RelayReservation<PeerAddr>[] {
    return this.swarm.reservations;
  }

  async close(): Promise<void> {
    await this.service?.close();
    await this.toClients.close();
  }

  #want(id: PeerId): void {
    this.#wanted.add(id);
    this.#hooks.hold(id, true);
    // What comes of it is said by `onChange`.
    this.swarm.reserve(peerAddr(id)).catch(() => undefined);
  }

  #release(id: PeerId): void {
    this.#wanted.delete(id);
    this.#states.delete(id);
    this.swarm.release(peerAddr(id));
    this.#hooks.hold(id, false);
    if (this.#failed.size >= MAX_FAILED) this.#failed.clear();
    this.#failed.add(id);
  }

  #chooseOthers(): void {
    const before = this.#wanted.size;
    for (const id of this.#hooks.connected()) this.connected(id);
    if (this.#wanted.size > before || this.#wanted.size > 0) return;
    // Those that failed before are better than none.
    this.#failed.clear();
  }

  #changed(): void {
    for (const { relay, state, reason } of this.swarm?.reservations ?? []) {
      if (this.#states.get(relay.id) === state) continue;
      this.#states.set(relay.id, state);
      if (state !== 'reserving') this.#hooks.changed(relay.id, state, reason);
      if (state !== 'refused' || this.#own.has(relay.id)) continue;
      this.#release(relay.id);
      this.#chooseOthers();
    }
  }

  #isRelay(id: PeerId): boolean {
    const path = this.#hooks.pathOf(id);
    return path !== undefined && path.kind !== 'relay' && (this.#hooks.abilitiesOf(id) & ABILITY.RELAY) !== 0;
  }

  /** Where others can dial a relay: as this node has, or as the relay says, with the IP from which it came. */
  #whereIs(id: PeerId): string | undefined {
    const path = this.#hooks.pathOf(id);
    const socket = socketOf(path?.addr);
    if (path === undefined || socket === undefined) return undefined;
    if (path.side === 'responder') return formatSocketAddress(socket.ip, socket.port);
    for (const text of this.#hooks.addrsOf(id)) {
      const at = text.slice(text.lastIndexOf('@') + 1);
      if (parseSocketAddress(at)?.ip === socket.ip) return at;
    }
    return undefined;
  }
}

/** Relays that are remembered as failed. */
const MAX_FAILED = 64;

function socketOf(addr: Addr | undefined): SocketAddress | undefined {
  const ip = addr === undefined ? undefined : ipOf(addr);
  return addr === undefined || ip === undefined ? undefined : { ip, port: portOf(addr) ?? 0 };
}
