/** DNS-SD for LAN discovery: the service `_shoal._udp.local`, whose TXT record holds what the node announces. */

import type { Bytes } from '../base/bytes.ts';
import { type SocketAddress, withoutZone } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import type { LocalNetwork } from '../net/local-networks.ts';
import type { DatagramSocket, Network } from '../net/network.ts';
import type { Beacon, BeaconSource } from '../protocols/beacon/beacon.ts';
import { readRecordTxt, recordTxt } from '../protocols/beacon/txt.ts';
import { Mdns, MDNS, type MdnsEvent, type MdnsTransmit } from '../protocols/mdns/mdns.ts';
import type { MdnsService } from '../protocols/mdns/records.ts';
import { Driver } from '../runtime/driver.ts';
import type { CounterSet } from '../swarm-kit/counter-set.ts';
import { portOfText } from './lan-addrs.ts';

const SERVICE_TYPE = '_shoal._udp.local';
/** A record is signed again after this time; others take it for two hours. */
const RECORD_MS = 1_800_000;

/** What multicast DNS needs of LAN discovery. */
export interface LanMdnsOptions {
  readonly network: Network;
  readonly realm: Realm;
  readonly beacon: Beacon;
  readonly counters: CounterSet;
  readonly signal: AbortSignal | undefined;
  readonly addrsOn: (interfaceName: string) => readonly string[];
  /** A record came from a peer. */
  readonly onRecord: (source: BeaconSource, record: Bytes) => void;
}

interface Announced {
  readonly addrs: string;
  readonly madeMs: number;
  readonly service: MdnsService | undefined;
}

export class LanMdns {
  readonly #options: LanMdnsOptions;
  readonly #machine: Mdns;
  readonly #driver: Driver<MdnsTransmit, MdnsEvent>;
  readonly #ipv4: DatagramSocket | undefined;
  readonly #ipv6: DatagramSocket | undefined;
  #networks: ReadonlyMap<string, LocalNetwork> = new Map();
  /** What is announced, by interface. Bounded by the interfaces. */
  readonly #announced = new Map<string, Announced>();
  /** Groups that are joined, as `4 eth0`. Bounded by the interfaces. */
  readonly #joined = new Set<string>();

  /** @throws (by rejection) {P2PError} `in_use` when another program has port 5353 and does not share it. */
  static async open(options: LanMdnsOptions): Promise<LanMdns> {
    const { network, signal } = options;
    const bind = (ip: string): Promise<DatagramSocket> =>
      network.bindUdp({ bind: { ip, port: MDNS.port }, reuseAddress: true, ipv6Only: ip === '::', signal });
    const ipv4 = await bind('0.0.0.0');
    try {
      return new LanMdns(options, ipv4, await bind('::'));
    } catch (error) {
      if (P2PError.is(error, 'unreachable') || P2PError.is(error, 'unsupported')) {
        return new LanMdns(options, ipv4, undefined);
      }
      await ipv4.close();
      throw error;
    }
  }

  private constructor(options: LanMdnsOptions, ipv4: DatagramSocket, ipv6: DatagramSocket | undefined) {
    const { realm } = options;
    this.#options = options;
    this.#ipv4 = ipv4;
    this.#ipv6 = ipv6;
    this.#machine = new Mdns(realm.nowMs(), {
      serviceType: SERVICE_TYPE,
      random: (length) => realm.random(length),
      service: (name) => this.#service(name),
    });
    this.#driver = new Driver(this.#machine, {
      realm,
      background: true,
      transmit: (transmit) => this.#send(transmit),
      event: (event) => this.#on(event),
      failed: () => void this.close(),
    });
    for (const socket of this.#sockets) {
      // RFC 6762 §11: what has another one may have come from elsewhere.
      socket.setTtl(MDNS.ttl);
      socket.setMulticastTtl(MDNS.ttl);
      socket.sink = {
        onDatagram: (payload, ip, port) => this.#handle(payload, { ip, port }),
        onSendFailed: () => options.counters.countDrop('lan.send_failed'),
      };
    }
  }

  /** Follows the interfaces. */
  follow(networks: ReadonlyMap<string, LocalNetwork>): void {
    this.#networks = networks;
    const wanted = new Set<string>();
    for (const { name, addresses, hasIpv6 } of networks.values()) {
      if (addresses.some(({ ip }) => !ip.includes(':'))) wanted.add(`4 ${name}`);
      if (hasIpv6) wanted.add(`6 ${name}`);
    }
    for (const key of this.#joined) {
      if (wanted.has(key)) continue;
      this.#joined.delete(key);
      this.#membership(key, 'leaveMulticast');
    }
    for (const key of wanted) {
      if (!this.#joined.has(key) && this.#membership(key, 'joinMulticast')) this.#joined.add(key);
    }
    this.#machine.setInterfaces(this.#options.realm.nowMs(), [...networks.values()]);
    this.refresh();
  }

  /** Announces what has changed. */
  refresh(): void {
    let isChanged = false;
    for (const name of this.#networks.keys()) {
      const before = this.#announced.get(name)?.service;
      if (this.#service(name) !== before) isChanged = true;
    }
    if (isChanged) this.#machine.refresh(this.#options.realm.nowMs());
    this.#driver.poll();
  }

  /** Says goodbye. */
  async close(): Promise<void> {
    this.#machine.close();
    this.#driver.poll();
    this.#driver.stop();
    await Promise.all(this.#sockets.map((socket) => socket.close()));
  }

  get #sockets(): readonly DatagramSocket[] {
    return [this.#ipv4, this.#ipv6].flatMap((socket) => (socket === undefined ? [] : [socket]));
  }

  /** What is announced on an interface; the same object until it changes. */
  #service(name: string): MdnsService | undefined {
    const { realm, beacon, addrsOn } = this.#options;
    const network = this.#networks.get(name);
    if (network === undefined) return undefined;
    const [addrs, nowMs] = [addrsOn(name), realm.nowMs()];
    const known = this.#announced.get(name);
    const text = `${network.networks} ${addrs.join(' ')}`;
    if (known?.addrs === text && nowMs < known.madeMs + RECORD_MS) return known.service;
    const record = beacon.record(nowMs, realm.wallMs(), name);
    const port = addrs.length === 0 ? undefined : portOfText(addrs[0]!);
    const ips = network.addresses.map(({ ip }) => withoutZone(ip));
    const service =
      record === undefined || port === undefined ? undefined : { port, txt: recordTxt(record), ips: [...new Set(ips)] };
    this.#announced.set(name, { addrs: text, madeMs: nowMs, service });
    return service;
  }

  #handle(payload: Uint8Array, from: SocketAddress): void {
    const network = [...this.#networks.values()].find((each) => each.contains(from.ip));
    if (network === undefined) {
      this.#options.counters.countDrop('lan.foreign_source');
      return;
    }
    this.#machine.handleDatagram(this.#options.realm.nowMs(), from, network.name, payload);
    this.#driver.poll();
  }

  #on(event: MdnsEvent): void {
    if (event.type === 'dropped') this.#options.counters.countDrop(event.reason);
    else if (event.type === 'found') {
      const record = readRecordTxt(event.txt);
      const { ip, port, interfaceName } = event;
      if (record !== undefined) this.#options.onRecord({ ip, port, interfaceName }, record);
    }
  }

  #send({ interfaceName, to, bytes }: MdnsTransmit): void {
    for (const [socket, group] of [
      [this.#ipv4, MDNS.ipv4Group],
      [this.#ipv6, MDNS.ipv6Group],
    ] as const) {
      const isIpv6 = group.includes(':');
      if (socket === undefined || (to !== undefined && to.ip.includes(':') !== isIpv6)) continue;
      if (to === undefined && !this.#joined.has(`${isIpv6 ? 6 : 4} ${interfaceName}`)) continue;
      this.#options.counters.countSent(bytes.length);
      try {
        if (to !== undefined) socket.send(bytes, to.ip, to.port);
        else if (isIpv6) socket.send(bytes, `${group}%${interfaceName}`, MDNS.port);
        else {
          socket.setMulticastInterface(interfaceName);
          socket.send(bytes, group, MDNS.port);
        }
      } catch {
        // The interface has gone.
        this.#options.counters.countDrop('lan.send_failed');
      }
    }
  }

  /** @returns whether it worked: an interface may go at any time. */
  #membership(key: string, verb: 'joinMulticast' | 'leaveMulticast'): boolean {
    const [socket, group] = key.startsWith('4') ? [this.#ipv4, MDNS.ipv4Group] : [this.#ipv6, MDNS.ipv6Group];
    try {
      socket?.[verb](group, key.slice(2));
      return socket !== undefined;
    } catch {
      return false;
    }
  }
}
