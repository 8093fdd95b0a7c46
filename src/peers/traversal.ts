/** How peers that cannot be dialled are reached: port mapping, observed addresses, hole punching, relays. */

import { type Addr, ipOf, portOf } from '../core/addr.ts';
import { formatSocketAddress, ipVersion, parseSocketAddress } from '../base/ip.ts';
import type { CallOptions } from '../core/swarm.ts';
import { comparePeerIds, type PeerId } from '../core/peer-id.ts';
import { contacts } from '../discovery/contacts.ts';
import { openPortMapper } from '../nat/port-mapper.ts';
import { relayOf } from '../nat/relay-address.ts';
import type { PortMapper } from '../nat/port-mapping.ts';
import { addressScope } from '../net/address-scope.ts';
import { ABILITY, SERVICE } from '../protocols/peers/constants.ts';
import { excludedBy } from '../protocols/peers/reach/entry.ts';
import {
  decodeReport,
  encodeReport,
  MAX_REPORT_BYTES,
  type NetworkReport,
  type ReachReport,
} from '../protocols/peers/reach/report.ts';
import type { ReachPolicy } from '../protocols/peers/reach/types.ts';
import { ObservedAddresses } from '../protocols/reachability/observed-addresses.ts';
import { loadQuicEngine, quic } from '../swarms/quic/index.ts';
import { RESOLVED } from '../runtime/promises.ts';
import type { PeerAddr } from './address.ts';
import { after } from './after-first-calls.ts';
import type { PeerChange } from './changes.ts';
import type { LivePath } from './live-session.ts';
import type { ResolvedOptions } from './options.ts';
import { transportOptions } from './own-transports.ts';
import { PortMappings } from './port-mappings.ts';
import { Punching } from './punching.ts';
import { type Detours, RELAY_TRANSPORT } from './reaching.ts';
import { Relaying } from './relaying.ts';
import type { RemotePeers } from './remote-peers.ts';
import { ServiceChannel, type ServiceHost } from './service-channel.ts';
import { TurnRelays } from './turn-relays.ts';
import type { OpenedTransport, Transport } from './transport.ts';

/** How often an attempt looks whether what it needs is there. */
const LOOK_MS = 20;
/** How long a punch waits for somebody who observes. */
const OBSERVERS_MS = 1000;
/** How long an address in an offer is good. */
const DIRECT_MS = 60_000;
const NAMED = /^[a-z][a-z0-9-]*:\/\/[^@]+@(.+)$/;

export class Traversal implements Detours {
  readonly #options: ResolvedOptions;
  readonly #peers: RemotePeers;
  readonly #punching: Punching;
  readonly relaying: Relaying;
  readonly #reports: ServiceChannel;
  readonly #changed: (change: PeerChange) => void;
  readonly #observed = new ObservedAddresses();
  #mappings: PortMappings | undefined;
  #ownMapper: PortMapper | undefined;
  #turn: TurnRelays | undefined;

  constructor(options: ResolvedOptions, host: ServiceHost, peers: RemotePeers, changed: (change: PeerChange) => void) {
    this.#options = options;
    this.#peers = peers;
    this.#changed = changed;
    this.#punching = new Punching(options, {
      ...host,
      transport: (name) => peers.reaching.transports.find((each) => each.name === name),
      coordinators: () => this.#able(ABILITY.COORDINATE),
      refusal: (id) => this.#punchRefusal(id),
      pathAddr: (id) => this.#directPath(id)?.addr,
      direct: (id, { name }, { ip, port }, isProven) => {
        const seenMs = options.realm.wallMs();
        const addr = `${name}://${id}@${formatSocketAddress(ip, port)}`;
        const trust = isProven ? 'given' : 'claimed';
        peers.reaching.add({ id, addr, source: 'punch', trust, seenMs, expiresMs: seenMs + DIRECT_MS });
      },
      punched: (addr) => peers.reaching.punched(addr),
    });
    peers.services.set(SERVICE.PUNCH, this.#punching.channel);
    this.relaying = new Relaying(options, {
      ...host,
      pathOf: (id) => peers.openSession(id)?.path,
      abilitiesOf: (id) => peers.get(id)?.hello?.abilities ?? 0,
      addrsOf: (id) => peers.get(id)?.hello?.addrs ?? [],
      connected: () => peers.inUse.keys(),
      hold: (id, isHeld) => peers.maintain(id, isHeld, 'relay'),
      changed: (relay, state, reason) => changed({ type: 'relay', relay, state, reason }),
    });
    peers.services.set(SERVICE.TO_RELAY, this.relaying.toClients);
    peers.services.set(SERVICE.FROM_RELAY, this.relaying.toRelays);
    peers.abilities = this.relaying.abilities | (options.coordinate ? ABILITY.COORDINATE : 0);
    this.#reports = new ServiceChannel('report', SERVICE.REPORT, host);
    this.#reports.serve(({ src }) => encodeReport(this.network, peers.reaching.explain(src.id)));
    peers.services.set(SERVICE.REPORT, this.#reports);
    if (typeof options.relays !== 'boolean' && options.relays.length > 0) {
      const relays = options.relays.map(({ contact }) => contact);
      const { id: self, realm, resolve } = options;
      peers.reaching.sources.push(contacts(relays, { self, realm, resolve, fallbackAfterMs: 0 }));
    }
    options.observers.peers = () => peers.peers;
  }

  /** Opens the transports over relays. */
  start(join: (transport: OpenedTransport) => void, fault: (source: string, text: string) => void): void {
    if (this.#options.relays !== false) void this.#joinRelayed(join, fault);
    this.#turn = new TurnRelays(this.#options, {
      opened: join,
      failed: (server, text) => fault(`turn ${server}`, text),
    });
    this.mapPorts(this.#peers.reaching.transports);
  }

  /** What a relay carries is QUIC, whose engine may have to be fetched. */
  async #joinRelayed(
    join: (transport: OpenedTransport) => void,
    fault: (source: string, text: string) => void,
  ): Promise<void> {
    try {
      join(this.#openRelayed());
    } catch {
      try {
        await loadQuicEngine();
        join(this.#openRelayed());
      } catch (error) {
        fault('relays', error instanceof Error ? error.message : String(error));
      }
    }
  }

  #openRelayed(): OpenedTransport {
    const swarm = quic(this.relaying.swarm, transportOptions(this.#options));
    return { name: RELAY_TRANSPORT, swarm, kind: 'relay', isReliable: true, isOwn: false };
  }

  /** Maps the ports of own transports, if that is wanted. */
  mapPorts(transports: readonly Transport[]): void {
    const { portMapping, network, realm, id } = this.#options;
    if (portMapping === false) return;
    if (this.#mappings === undefined) {
      const mapper =
        portMapping === true
          ? (this.#ownMapper ??= openPortMapper({ network, realm, observed: () => this.#observedIp() }))
          : portMapping;
      this.#mappings ??= new PortMappings(id, network, mapper, () =>
        this.#changed({ type: 'addrs', addrs: this.#peers.reaching.ownAddrs() }),
      );
    }
    this.#mappings.update(transports);
  }

  /** A session has a path, or another one. */
  connected(id: PeerId, path: LivePath): void {
    if (path.kind === 'direct') this.#observe(id, path);
    this.relaying.connected(id);
  }

  lost(id: PeerId, reason: string): void {
    this.relaying.lost(id, reason);
  }

  canPunch(id: PeerId): boolean {
    if (!this.#options.punch || this.#punchRefusal(id) !== undefined) return false;
    const path = this.#peers.openSession(id)?.path;
    // Both sides want a better path than by a relay, and one of them begins.
    if (path !== undefined) return comparePeerIds(this.#options.id, id) < 0;
    return this.#able(ABILITY.COORDINATE).some((each) => each !== id);
  }

  /** What this node knows of its network. */
  get network(): NetworkReport {
    return {
      ports: this.#punching.ports,
      isMapped: (this.#mappings?.addrs().length ?? 0) > 0,
      mapping: this.#mappings?.reasons[0],
      relays: this.relaying.addrs().length,
    };
  }

  /** Asks a peer for its report of the attempts at this node. */
  async report(id: PeerId, call: CallOptions | undefined): Promise<ReachReport | undefined> {
    const answer = await this.#reports.ask(id, new Uint8Array(0), { ...call, maxResponseBytes: MAX_REPORT_BYTES });
    return decodeReport(answer);
  }

  async punch(id: PeerId, transport: Transport, signal: AbortSignal): Promise<Addr> {
    const { observers } = this.#options;
    // After a change of the uplink the peers that observe are dialled again at the same time.
    const isTcp = transport.name === 'tcp';
    await this.#until(() => observers.list(isTcp ? 'tcp' : 'quic').length > 0, OBSERVERS_MS, signal);
    signal.throwIfAborted();
    return this.#punching.punch(id, transport, signal);
  }

  isPunching(id: PeerId, transport: Transport): boolean {
    return this.#punching.isRunning(id, transport.name);
  }

  relaysTo(id: PeerId): readonly string[] {
    return this.relaying.addrsFor(id);
  }

  relayReady(addr: Addr, signal: AbortSignal): Promise<void> {
    const relay = relayOf(addr) as PeerAddr | undefined;
    if (relay === undefined || this.#isOpen(relay.id)) return RESOLVED;
    // Somebody has to want it.
    const stop = this.#peers.withSession(
      relay,
      () => undefined,
      () => undefined,
    );
    return this.#until(() => this.#isOpen(relay.id), Infinity, signal).finally(stop);
  }

  isRelay(id: PeerId): boolean {
    return this.relaying.wants(id);
  }

  isOwnRelay(addr: Addr): boolean {
    return this.relaying.isOwn(addr);
  }

  relayAddrs(): readonly string[] {
    return this.relaying.addrs();
  }

  /** Whether this node relays for a peer, and an address names it as the relay. */
  relays(id: PeerId, addr: string): boolean {
    return this.relaying.serves(id) && addr.startsWith(`${RELAY_TRANSPORT}://${id}@${this.#options.id}@`);
  }

  outsideAddrs(kind: Transport['kind']): readonly string[] {
    return [...(this.#mappings?.addrs() ?? []), ...(kind === 'relay' ? [] : this.#observedAddrs())];
  }

  async close(): Promise<void> {
    this.#turn?.close();
    this.#punching.close();
    void this.#reports.close();
    await Promise.allSettled([this.relaying.close(), this.#mappings?.close(), this.#ownMapper?.close()]);
  }

  /** Connected peers, by direct paths, that do something for others. */
  #able(ability: number): readonly PeerId[] {
    const able: PeerId[] = [];
    for (const id of this.#peers.inUse.keys()) {
      const abilities = this.#peers.get(id)?.hello?.abilities ?? 0;
      if ((abilities & ability) !== 0 && this.#directPath(id) !== undefined) able.push(id);
    }
    return able;
  }

  /** Looks again and again whether something is so. Never rejects. */
  #until(isSo: () => boolean, maxMs: number, signal: AbortSignal): Promise<void> {
    const { realm } = this.#options;
    const untilMs = realm.nowMs() + maxMs;
    return new Promise((resolve) => {
      const look = (): void => {
        if (signal.aborted || isSo() || realm.nowMs() >= untilMs) resolve();
        else after(realm, LOOK_MS, look);
      };
      look();
    });
  }

  /** Whether a peer can be sent to now. */
  #isOpen(id: PeerId): boolean {
    return this.#peers.openSession(id)?.machine.paths.current?.isInDoubt === false;
  }

  #directPath(id: PeerId): LivePath | undefined {
    const path = this.#peers.openSession(id)?.path;
    return path?.kind === 'relay' ? undefined : path;
  }

  #punchRefusal(id: PeerId): 'denied' | 'policy' | 'unsupported' | undefined {
    if (!this.#options.punch) return 'unsupported';
    if (!this.#options.lists.decide({ id }).isAllowed) return 'denied';
    return excludedBy(this.#policyOf(id), 'punch', false) === undefined ? undefined : 'policy';
  }

  #policyOf(id: PeerId): ReachPolicy {
    return this.#peers.reaching.policyOf(id);
  }

  /** A peer says in its hello as what it sees this node: over QUIC that is the socket that listens. */
  #observe(id: PeerId, { transport, addr }: LivePath): void {
    const seen = NAMED.exec(`quic://${this.#peers.get(id)?.hello?.seen ?? ''}`)?.[1];
    const mapped = seen === undefined ? undefined : parseSocketAddress(seen);
    const ip = ipOf(addr);
    if (transport.name !== 'quic' || mapped === undefined || ip === undefined) return;
    if (addressScope(ip, this.#options.network.interfaces()) !== 'public') return;
    this.#observed.note(this.#options.realm.nowMs(), { observer: { ip, port: portOf(addr) ?? 0 }, mapped });
  }

  #observedIp(): string | undefined {
    const seen = this.#observed.address(this.#options.realm.nowMs(), 4);
    return seen === undefined || seen.ipCertainty === 'assumed' ? undefined : seen.ip;
  }

  /** An address that several peers see: others may come in by it, if the NAT lets in everybody. */
  #observedAddrs(): readonly string[] {
    const addrs: string[] = [];
    for (const family of [4, 6] as const) {
      const seen = this.#observed.address(this.#options.realm.nowMs(), family);
      if (seen?.port === undefined || seen.portCertainty === 'assumed' || ipVersion(seen.ip) !== family) continue;
      addrs.push(`quic://${this.#options.id}@${formatSocketAddress(seen.ip, seen.port)}`);
    }
    return addrs;
  }
}
