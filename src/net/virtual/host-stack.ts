/** What a host does with packets: sockets above, interfaces below. */

import type { DropReason } from '../../core/counters.ts';
import type { Realm } from '../../core/realm.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import type { DatagramOptions, DatagramSocket, DialOptions, Listener } from '../network.ts';
import type { ListenOptions, Network, NetworkInterface, RawConnection } from '../network.ts';
import { BEFORE_FIRST_PORT } from './binding.ts';
import { type HostClock, hostRealm } from './host-clock.ts';
import type { Packet, PacketAddr } from './packet.ts';
import { LOOPBACK_NAME, Routes } from './routes.ts';
import type { Attachment, Device } from './segment.ts';
import type { SocketHost } from './socket-host.ts';
import { TcpPorts } from './tcp-ports.ts';
import { UdpPorts } from './udp-ports.ts';
import type { PacketTarget, Wire } from './wire.ts';

/** How the sockets of a host are made. */
export interface HostStackOptions {
  readonly name: string;
  readonly wire: Wire;
  readonly hasIpv6: boolean;
  /** Bytes that a connection accepts before they are read. */
  readonly tcpWindowBytes: number;
}

export class HostStack implements Device, SocketHost, Network {
  readonly name: string;
  readonly wire: Wire;
  readonly realm: Realm & { readonly clock: HostClock };
  readonly counters: CounterSet = new CounterSet('host');
  readonly routes: Routes;
  lastPort: number = BEFORE_FIRST_PORT;
  readonly #udp: UdpPorts;
  readonly #tcp: TcpPorts;
  readonly #self: PacketTarget;

  constructor({ name, wire, hasIpv6, tcpWindowBytes }: HostStackOptions) {
    this.name = name;
    this.wire = wire;
    this.realm = hostRealm(wire.realm);
    this.routes = new Routes(hasIpv6);
    this.#udp = new UdpPorts(this);
    this.#tcp = new TcpPorts(this, tcpWindowBytes);
    const { counters } = this;
    this.#self = {
      name: `${name} ${LOOPBACK_NAME}`,
      counters,
      arrive: (packet) => this.#deliver(packet, LOOPBACK_NAME),
    };
  }

  dial(options: DialOptions): Promise<RawConnection> {
    return this.#tcp.dial(options);
  }

  listen(options: ListenOptions): Promise<Listener> {
    return this.#tcp.listen(options);
  }

  bindUdp(options: DatagramOptions): Promise<DatagramSocket> {
    return this.#udp.bind(options);
  }

  interfaces(): readonly NetworkInterface[] {
    return this.routes.interfaces();
  }

  gateways(): readonly string[] {
    return this.routes.gateways();
  }

  onInterfacesChanged(listener: () => void): Disposable {
    return this.routes.onChanged(listener);
  }

  canBind(ip: string): boolean {
    const { kind, isIpv6, ip: bare } = this.wire.addrs.get(ip, 0);
    if (isIpv6 && !this.routes.hasIpv6) return false;
    return kind === 'unspecified' || kind === 'multicast' || kind === 'broadcast' || this.routes.isOwn(bare);
  }

  isBroadcast(dst: PacketAddr): boolean {
    if (dst.isIpv6) return false;
    for (const { segment } of this.routes.attachments) if (segment.isBroadcast(dst)) return true;
    return dst.kind === 'broadcast';
  }

  send(packet: Packet, via: Attachment | undefined): void {
    if (this.realm.clock.isAsleep) {
      this.drop(packet, 'host.asleep');
      return;
    }
    this.counters.countSent(packet.payload.length);
    this.wire.sent(this, packet);
    if (via === undefined) this.wire.carry(packet, this.#self, this.wire.clock.nowMs());
    else via.send(packet);
  }

  sendToMany(packet: Packet, via: Attachment | undefined): void {
    if (!this.realm.clock.isAsleep) {
      const name = via?.interfaceName ?? LOOPBACK_NAME;
      const { counters } = this;
      const self = { name: `${this.name} ${name}`, counters, arrive: (own: Packet) => this.#deliver(own, name) };
      this.wire.carry(packet.copy(packet.payload.slice()), self, this.wire.clock.nowMs());
    }
    if (via !== undefined) this.send(packet, via);
  }

  /** A packet has come in from one of the interfaces. */
  receive(packet: Packet, from: Attachment): void {
    this.#deliver(packet, from.interfaceName);
  }

  drop(packet: Packet, reason: DropReason): void {
    this.wire.drop(this, packet, reason);
  }

  received(packet: Packet): void {
    this.counters.countReceived(packet.payload.length);
    if (this.wire.isTraced) this.wire.note(this, packet, 'received');
  }

  #deliver(packet: Packet, interfaceName: string): void {
    const { dst } = packet;
    if (this.realm.clock.isAsleep) this.drop(packet, 'host.asleep');
    else if (this.routes.isOwn(dst.ip)) {
      if (packet.protocol === 'udp') this.#udp.receive(packet, interfaceName);
      else this.#tcp.receive(packet);
    } else if (dst.kind === 'multicast' || this.isBroadcast(dst)) this.#udp.receiveForMany(packet, interfaceName);
    else this.drop(packet, 'host.not_mine');
  }
}
