/** Routers: they translate addresses, filter unsolicited packets, both, or neither. */

import { CounterSet } from '../../swarm-kit/counter-set.ts';
import type { HostStack } from './host-stack.ts';
import type { NatRules } from './nat-rules.ts';
import { NatTable, type NatTableOptions } from './nat-table.ts';
import { type Packet, type PacketAddr, resetFor } from './packet.ts';
import { Attachment, type Device, type Segment } from './segment.ts';
import type { Wire } from './wire.ts';

/** The tables of one family. */
type Tables = Readonly<Record<'udp' | 'tcp', NatTable>>;

function makeTables(options: NatTableOptions): Tables {
  return { udp: new NatTable(options), tcp: new NatTable(options) };
}

/** A device between a LAN and what is farther up. */
export class Gateway implements Device {
  readonly name: string;
  readonly counters: CounterSet = new CounterSet('nat');
  readonly rules: NatRules;
  /** Sockets of the router itself, on its LANs. */
  readonly router: HostStack;
  readonly #wire: Wire;
  /** The side of the internet. Set once it is attached. */
  #outside!: Attachment;
  /** The side of the LANs. Bounded by who attaches them. */
  readonly #inside: Attachment[] = [];
  /** `undefined` where everything is let through as it is. */
  readonly #ipv4: Tables | undefined;
  readonly #ipv6: Tables | undefined;

  constructor(name: string, wire: Wire, rules: NatRules, router: HostStack) {
    this.router = router;
    this.name = name;
    this.rules = rules;
    this.#wire = wire;
    const isOpen = rules.mapping === 'none' && rules.filtering === 'endpoint-independent';
    const { random, addrs } = wire;
    this.#ipv4 = isOpen ? undefined : makeTables({ ...rules, random, addrs });
    this.#ipv6 =
      rules.ipv6Filtering === 'endpoint-independent'
        ? undefined
        : makeTables({ ...rules, mapping: 'none', filtering: rules.ipv6Filtering, random, addrs });
  }

  /** Whether hosts behind it have the addresses of the LAN only. */
  get isTranslating(): boolean {
    return this.rules.mapping !== 'none';
  }

  /** Mappings of both protocols and families. */
  get mappings(): number {
    return [this.#ipv4, this.#ipv6].reduce(
      (sum, all) => sum + (all === undefined ? 0 : all.udp.size + all.tcp.size),
      0,
    );
  }

  /** How many LANs it has. */
  get lans(): number {
    return this.#inside.length;
  }

  attachOutside(attachment: Attachment): void {
    this.#outside = attachment;
  }

  /** Becomes the router of a LAN; addresses that are not translated are announced farther up. */
  attachInside(segment: Segment): Attachment {
    const attachment = new Attachment(this, `lan${this.#inside.length === 0 ? '' : this.#inside.length}`, segment);
    this.#inside.push(attachment);
    this.router.routes.attachments.push(attachment);
    segment.router = attachment;
    segment.onAnnounce = (ip, isHere) => {
      if ((!ip.includes(':') && this.isTranslating) || ip.startsWith('fe80:')) return;
      if (isHere) this.#outside.segment.announce(ip, this.#outside);
      else this.#outside.segment.withdraw(ip);
    };
    return attachment;
  }

  /**
   * Forwards an outside port, or opens the firewall to an IPv6 address, for every host.
   *
   * @returns undoes it; `undefined` when the port is taken, or nothing is translated or filtered.
   */
  forward(protocol: 'udp' | 'tcp', port: number, inside: PacketAddr): (() => void) | undefined {
    const outside =
      inside.isIpv6 || !this.isTranslating ? inside : this.#wire.addrs.get(this.#outside.ips[0]!.ip, port);
    const table = (inside.isIpv6 ? this.#ipv6 : this.#ipv4)?.[protocol];
    return table?.forward(this.#wire.clock.nowMs(), outside, inside);
  }

  /** Forgets all mappings and connections. */
  reboot(): void {
    for (const tables of [this.#ipv4, this.#ipv6]) {
      tables?.udp.clear();
      tables?.tcp.clear();
    }
  }

  receive(packet: Packet, from: Attachment): void {
    const isForMany = packet.dst.kind === 'multicast' || from.segment.isBroadcast(packet.dst);
    if (from !== this.#outside && (isForMany || from.ips.some(({ ip }) => ip === packet.dst.ip))) {
      this.router.receive(packet, from);
    } else if (isForMany) this.#drop(packet, 'nat.not_routed');
    else if (packet.ttl <= 1) this.#drop(packet, 'ip.ttl');
    else {
      packet.ttl--;
      if (from === this.#outside) this.#receiveOutside(packet);
      else this.#receiveInside(packet);
    }
  }

  #receiveInside(packet: Packet): void {
    const { dst, src, protocol } = packet;
    const now = this.#wire.clock.nowMs();
    const near = this.#insideOf(dst.ip);
    if (near !== undefined) {
      near.send(packet);
      return;
    }
    if (!this.#isAllowed(packet)) {
      this.#drop(packet, 'nat.blocked');
      return;
    }
    const table = (dst.isIpv6 ? this.#ipv6 : this.#ipv4)?.[protocol];
    if (table === undefined) {
      this.#outside.send(packet);
      return;
    }
    // IPv6 is never translated.
    const ip = dst.isIpv6 ? '' : this.#outside.ips[0]!.ip;
    const toSelf = !dst.isIpv6 && dst.ip === ip;
    if (toSelf && !this.rules.hairpin) {
      this.#drop(packet, 'nat.hairpin');
      return;
    }
    const outside = table.handleOutbound(now, packet, ip);
    if (typeof outside === 'string') {
      this.#drop(packet, outside);
      return;
    }
    if (outside !== src) this.#translate(packet, 'src', outside);
    if (toSelf) this.#enter(packet, table);
    else this.#outside.send(packet);
  }

  #receiveOutside(packet: Packet): void {
    const table = (packet.dst.isIpv6 ? this.#ipv6 : this.#ipv4)?.[packet.protocol];
    if (table !== undefined) this.#enter(packet, table);
    else this.#forwardInside(packet);
  }

  /** From outside, or from inside to the address outside. */
  #enter(packet: Packet, table: NatTable): void {
    const inside = table.handleInbound(this.#wire.clock.nowMs(), packet);
    if (typeof inside !== 'string') {
      if (inside !== packet.dst) this.#translate(packet, 'dst', inside);
      this.#forwardInside(packet);
      return;
    }
    this.#drop(packet, inside);
    if (this.rules.unsolicited === 'reject' && packet.tcp?.rst === false) {
      this.#outside.send(resetFor(packet));
    }
  }

  #forwardInside(packet: Packet): void {
    const near = this.#insideOf(packet.dst.ip);
    if (near === undefined) this.#drop(packet, 'ip.no_host');
    else near.send(packet);
  }

  #translate(packet: Packet, which: 'src' | 'dst', to: Packet['src']): void {
    const { text } = packet[which];
    packet[which] = to;
    if (this.#wire.isTraced) this.#wire.note(this, packet, `translated ${which} from ${text}`);
  }

  #insideOf(ip: string): Attachment | undefined {
    for (const attachment of this.#inside) {
      const member = attachment.segment.memberAt(ip);
      if (member !== undefined && member !== attachment) return attachment;
    }
    return undefined;
  }

  #isAllowed({ protocol, dst }: Packet): boolean {
    const { blockUdp, allowTcpPorts } = this.rules;
    return protocol === 'udp' ? !blockUdp : allowTcpPorts === undefined || allowTcpPorts.includes(dst.port);
  }

  #drop(packet: Packet, reason: `${string}.${string}`): void {
    this.#wire.drop(this, packet, reason);
  }
}
