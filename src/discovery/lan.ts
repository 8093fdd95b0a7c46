/** LAN discovery: finds the nodes of a network on the LANs of this host, without any address known before. */

import { systemNetwork } from '#system-network';
import { assertFunction, assertSignal, assertString, describeValue, wholeNumber } from '../base/checks.ts';
import { encodeText } from '../base/bytes.ts';
import { canonicalIp, ipVersion } from '../base/ip.ts';
import type { Candidate, CandidateOptions } from '../core/candidate.ts';
import type { DropReason } from '../core/counters.ts';
import type { PeerId } from '../core/peer-id.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { assertPrivateKey } from '../identity/private-key.ts';
import { localNetworks, type LocalNetwork } from '../net/local-networks.ts';
import { assertNetwork, type Network } from '../net/network.ts';
import { Beacon, type BeaconEvent, type BeaconTransmit } from '../protocols/beacon/beacon.ts';
import type { LanPeer } from '../protocols/beacon/lan-peers.ts';
import { Driver } from '../runtime/driver.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { admittedAddr, ownAddrsOn } from './lan-addrs.ts';
import type { Lan, LanOptions } from './lan-options.ts';
import { LanMdns } from './lan-mdns.ts';
import { LanSockets } from './lan-sockets.ts';
import { PeerFeed } from './peer-feed.ts';

const MAX_NAME_BYTES = 255;
/** A key in use elsewhere is told at most this often. */
const KEY_ELSEWHERE_MS = 60_000;

/**
 * Joins LAN discovery: asks at once who is there, and answers others until closed. Its sockets keep the process running.
 *
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws {P2PError} (by rejection) `in_use` when another program has the port and does not share it; `unsupported`.
 *
 * @example
 * ```ts
 * await using lan = await openLan({
 *   privateKey,
 *   networkName: 'my-app',
 *   addrs: () => swarm.localAddrs().map(({ text }) => text),
 * });
 * for await (const { id, addr } of lan.candidates()) console.log(id, addr);
 * ```
 */
export function openLan(options: LanOptions): Promise<Lan> {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { privateKey, networkName, addrs, broadcast, interfaces, onPeer, onKeyElsewhere } = options;
  const { network = systemNetwork, realm = systemRealm } = options;
  assertRealm(realm);
  assertNetwork(network);
  assertPrivateKey(privateKey);
  assertString(networkName, 'networkName');
  const { length } = encodeText(networkName);
  if (length === 0 || length > MAX_NAME_BYTES) {
    throw new RangeError(`Cannot take networkName: expected 1 to ${MAX_NAME_BYTES} bytes, got ${length}`);
  }
  if (typeof addrs !== 'function') assertStrings(addrs, 'addrs');
  if (interfaces !== undefined) assertStrings(interfaces, 'interfaces');
  if (onPeer !== undefined) assertFunction(onPeer, 'onPeer');
  if (onKeyElsewhere !== undefined) assertFunction(onKeyElsewhere, 'onKeyElsewhere');
  if (broadcast !== undefined && (ipVersion(broadcast) !== 4 || canonicalIp(broadcast) !== broadcast)) {
    throw new TypeError(`Cannot take broadcast: expected an IPv4 address, got ${describeValue(broadcast)}`);
  }
  assertSignal(options.signal);
  const port = wholeNumber(options.port, 'port', 5483, 0, 65_535);
  wholeNumber(options.maxPeers, 'maxPeers', 1024, 1, 65_536);
  return OpenLan.open(options, network, realm, port);
}

function assertStrings(value: unknown, label: string): asserts value is readonly string[] {
  if (!Array.isArray(value))
    throw new TypeError(`Cannot take ${label}: expected an array, got ${describeValue(value)}`);
  for (const [i, each] of value.entries()) assertString(each, `${label}[${i}]`);
}

class OpenLan implements Lan {
  readonly counters: CounterSet = new CounterSet('lan');
  readonly #options: LanOptions;
  readonly #network: Network;
  readonly #realm: Realm;
  readonly #beacon: Beacon;
  readonly #driver: Driver<BeaconTransmit, BeaconEvent>;
  readonly #watch: Disposable;
  readonly #sockets: LanSockets;
  /** Those that are used, by name. Bounded by the interfaces. */
  #networks: ReadonlyMap<string, LocalNetwork> = new Map();
  /** Bounded by the calls of `candidates` that have not ended. */
  readonly #feeds = new Set<PeerFeed>();
  #mdns: LanMdns | undefined;
  #keyToldMs = -Infinity;
  #closing: Promise<void> | undefined;

  static async open(options: LanOptions, network: Network, realm: Realm, port: number): Promise<Lan> {
    let lan: OpenLan | undefined;
    const { broadcast, ipv6 = true, signal } = options;
    const sockets = await LanSockets.open({
      network,
      port,
      broadcast,
      signal,
      ipv6: ipv6 && broadcast === undefined,
      onDatagram: (payload, ip, from) => {
        if (lan !== undefined) lan.#handle(payload, ip, from);
      },
      onSendFailed: () => lan?.counters.countDrop('lan.send_failed'),
    });
    lan = new OpenLan(options, network, realm, sockets);
    try {
      if (options.mdns === true) await lan.#openMdns();
    } catch (error) {
      await lan.close();
      throw error;
    }
    return lan;
  }

  private constructor(options: LanOptions, network: Network, realm: Realm, sockets: LanSockets) {
    this.#options = options;
    this.#network = network;
    this.#realm = realm;
    this.#sockets = sockets;
    this.#beacon = new Beacon(realm.nowMs(), {
      signer: options.privateKey,
      networkName: options.networkName,
      random: (length) => realm.random(length),
      answers: options.answer,
      maxPeers: options.maxPeers,
      addrsOn: (name) => this.#addrsOn(name),
      admitAddr: (addr, name, id) => {
        const local = this.#networks.get(name);
        return local && admittedAddr(local, addr, id);
      },
    });
    this.#driver = new Driver(this.#beacon, {
      realm,
      // A search waits for answers.
      background: () => this.#feeds.size === 0,
      transmit: (transmit) => this.#send(transmit),
      event: (event) => this.#on(event),
      failed: () => void this.close(),
    });
    this.#watch = network.onInterfacesChanged(() => this.#follow());
    this.#follow();
  }

  get port(): number {
    return this.#sockets.port;
  }

  get peers(): readonly LanPeer[] {
    return this.#beacon.peers(this.#realm.nowMs());
  }

  get hasPeers(): boolean {
    return this.peers.length > 0;
  }

  async *candidates(id?: PeerId, { signal }: CandidateOptions = {}): AsyncGenerator<Candidate> {
    if (this.#closing !== undefined) return;
    using feed = new PeerFeed(this.#realm, id, signal);
    this.#feeds.add(feed);
    try {
      for (const peer of this.peers) feed.push(peer);
      this.query();
      yield* feed.candidates();
    } finally {
      this.#feeds.delete(feed);
    }
  }

  query(): void {
    if (this.#closing !== undefined) return;
    this.#beacon.query(this.#realm.nowMs(), this.#realm.wallMs());
    this.#driver.poll();
    this.#mdns?.refresh();
  }

  setAnswering(answering: boolean): void {
    this.#beacon.answers = answering;
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #openMdns(): Promise<void> {
    const mdns = await LanMdns.open({
      network: this.#network,
      realm: this.#realm,
      beacon: this.#beacon,
      counters: this.counters,
      signal: this.#options.signal,
      addrsOn: (name) => this.#addrsOn(name),
      onRecord: (source, record) => {
        this.#beacon.handleRecord(this.#realm.nowMs(), this.#realm.wallMs(), source, record);
        this.#driver.poll();
      },
    });
    this.#mdns = mdns;
    mdns.follow(this.#networks);
  }

  #end(): Promise<void> {
    this.#driver.stop();
    this.#watch[Symbol.dispose]();
    for (const feed of this.#feeds) feed[Symbol.dispose]();
    return Promise.all([this.#sockets.close(), this.#mdns?.close()]).then(() => undefined);
  }

  #follow(): void {
    const { interfaces, broadcast } = this.#options;
    const used = localNetworks(this.#network.interfaces()).filter(({ name, isInternal, broadcasts }) => {
      if (interfaces?.includes(name) === false) return false;
      return broadcast === undefined ? !isInternal || interfaces !== undefined : broadcasts.includes(broadcast);
    });
    this.#networks = new Map(used.map((network) => [network.name, network]));
    this.#sockets.follow(used);
    this.#mdns?.follow(this.#networks);
    this.#beacon.setInterfaces(this.#realm.nowMs(), this.#realm.wallMs(), used);
    this.#driver.poll();
  }

  #addrsOn(name: string): readonly string[] {
    const { addrs } = this.#options;
    const network = this.#networks.get(name);
    if (network === undefined) return [];
    try {
      return ownAddrsOn(network, typeof addrs === 'function' ? addrs() : addrs);
    } catch (cause) {
      this.#handlerFailed(cause);
      return [];
    }
  }

  #send({ interfaceName, to, bytes }: BeaconTransmit): void {
    const network = this.#networks.get(interfaceName);
    if (network === undefined) return;
    this.counters.countSent(bytes.length);
    if (to === undefined) this.#sockets.ask(bytes, network);
    else this.#sockets.answer(bytes, to);
  }

  #handle(payload: Uint8Array, ip: string, port: number): void {
    if (this.#closing !== undefined) return;
    this.counters.countReceived(payload.length);
    const network = [...this.#networks.values()].find((each) => each.contains(ip));
    if (network === undefined) {
      this.counters.countDrop('lan.foreign_source');
      return;
    }
    const source = { ip, port, interfaceName: network.name };
    this.#beacon.handleDatagram(this.#realm.nowMs(), this.#realm.wallMs(), source, payload);
    this.#driver.poll();
  }

  #on(event: BeaconEvent): void {
    if (event.type === 'dropped') {
      const { reason } = event;
      this.counters.countDrop(reason satisfies DropReason);
    } else if (event.type === 'key_elsewhere') this.#keyElsewhere(event.source.ip);
    else if (event.noted !== 'same') {
      const { peer } = event;
      for (const feed of this.#feeds) feed.push(peer);
      this.#callOut(() => this.#options.onPeer?.(peer));
    }
  }

  #keyElsewhere(ip: string): void {
    const nowMs = this.#realm.nowMs();
    if (nowMs < this.#keyToldMs + KEY_ELSEWHERE_MS) return;
    this.#keyToldMs = nowMs;
    this.#realm.trace?.({ layer: 'lan', type: 'own_key_elsewhere', atMs: nowMs, reason: ip });
    this.#callOut(() => this.#options.onKeyElsewhere?.(ip));
  }

  #callOut(call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#handlerFailed(cause);
    }
  }

  #handlerFailed(cause: unknown): void {
    this.counters.countDrop('handler_error');
    this.#realm.trace?.({ layer: 'lan', type: 'handler_error', atMs: this.#realm.nowMs(), cause });
  }
}
