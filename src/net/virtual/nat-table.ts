/** The table of a NAT or a stateful firewall, sans-IO: what leaves gets a mapping, what comes in needs one. */

import type { SeededRandom } from '../../base/seeded-random.ts';
import type { NatDependence, NatPorts, NatRules } from './nat-rules.ts';
import type { Packet, PacketAddr, PacketAddrs, TcpHeader } from './packet.ts';

/** A socket of a host inside and one that it has sent to, or that has sent to it. */
interface Session {
  /** Of the other one. */
  readonly ip: string;
  untilMs: number;
  /** Of TCP: closed halves, and whether it was answered. */
  isAnswered: boolean;
  hasFinOut: boolean;
  hasFinIn: boolean;
}

/** A socket of a host inside and its address outside. */
interface Mapping {
  readonly inside: PacketAddr;
  readonly outside: PacketAddr;
  /** For which destinations it is the mapping of `inside`: the one it was made for, and who came in by it. Bounded by `sessions`. */
  readonly keys: Set<string>;
  /** Bounded by the table. */
  readonly sessions: Map<string, Session>;
  /** Lets every host in, until it is removed. */
  readonly isForwarded: boolean;
  untilMs: number;
}

/** Why a packet does not go through. */
export type NatRefusal = 'nat.full' | 'nat.unsolicited';

/** How a table behaves: the rules of a NAT as they are for one family. */
export interface NatTableOptions extends Pick<
  NatRules,
  | 'filtering'
  | 'refresh'
  | 'unsolicited'
  | 'portRange'
  | 'udpTimeoutMs'
  | 'tcpTimeoutMs'
  | 'tcpTransitoryTimeoutMs'
  | 'maxSessions'
> {
  readonly mapping: NatDependence | 'none';
  readonly ports: NatPorts;
  readonly random: SeededRandom;
  readonly addrs: PacketAddrs;
}

/** Of one protocol and one family of addresses. */
export class NatTable {
  readonly #options: NatTableOptions;
  /** By the address inside, and there by what the mapping depends on. Bounded by `maxSessions`. */
  readonly #byInside = new Map<string, Map<string, Mapping>>();
  /** By the address outside. Bounded by `maxSessions`. */
  readonly #byOutside = new Map<string, Mapping>();
  /** Pairs of addresses that the router took for its own, and until when. Bounded by `maxSessions`. */
  readonly #accepted = new Map<string, number>();
  /** Mappings and their sessions. */
  #size = 0;
  #sweptAtMs = -SWEEP_MS;
  #nextPort: number;

  constructor(options: NatTableOptions) {
    this.#options = options;
    const [first, last] = options.portRange;
    // Where a router begins to count depends on what it did before.
    this.#nextPort = first + Math.floor(options.random.next() * (last - first + 1));
  }

  /** Mappings, also those that have run out and were not swept yet. */
  get size(): number {
    return this.#byOutside.size;
  }

  /** Forgets everything, as a reboot does. */
  clear(): void {
    this.#byInside.clear();
    this.#byOutside.clear();
    this.#accepted.clear();
    this.#size = 0;
  }

  /**
   * Forwards an outside address to an inside one, for every host.
   *
   * @returns a function that removes it; `undefined` when the outside address is taken, or the table is full.
   */
  forward(now: number, outside: PacketAddr, inside: PacketAddr): (() => void) | undefined {
    const other = this.#byOutside.get(outside.text);
    const isFree = other === undefined || other.untilMs <= now || other.inside.text === inside.text;
    if (!isFree || !this.#hasRoom(now)) return undefined;
    if (other !== undefined) this.#remove(other);
    const mapping = this.#add(inside, outside, this.#isSteady ? '' : FORWARDED, true);
    return () => this.#remove(mapping);
  }

  /**
   * A packet leaves.
   *
   * @param ip - the address of the NAT outside.
   * @returns the address that it leaves from.
   */
  handleOutbound(now: number, packet: Packet, ip: string): PacketAddr | NatRefusal {
    const { src, dst } = packet;
    let key = this.#keyOf(dst);
    const own = `${APART} ${dst.text}`;
    const mappings = this.#byInside.get(src.text);
    let mapping = mappings?.get(own) ?? mappings?.get(key);
    if (mapping?.sessions.has(dst.text) !== true) {
      const outside = mapping?.outside.text ?? `${ip}:${src.port}`;
      if (this.#isTaken(now, outside, dst)) [key, mapping] = [own, undefined];
    }
    // A router that was given another address has other mappings.
    if (mapping !== undefined && (mapping.untilMs <= now || this.#isStale(mapping, ip))) {
      this.#remove(mapping);
      mapping = undefined;
    }
    mapping ??= this.#map(now, src, key, ip);
    if (mapping === undefined) return 'nat.full';
    const session = this.#session(now, mapping, dst);
    if (session === undefined) return 'nat.full';
    this.#touch(now, mapping, session, packet.tcp, true);
    return mapping.outside;
  }

  /**
   * A packet has come in.
   *
   * @returns the address inside that it is for.
   */
  handleInbound(now: number, packet: Packet): PacketAddr | NatRefusal {
    const { src, dst, tcp } = packet;
    const mapping = this.#byOutside.get(dst.text);
    const isLive = mapping !== undefined && mapping.untilMs > now;
    if (!isLive || (!mapping.isForwarded && !this.#mayEnter(now, mapping, src))) {
      if (this.#options.unsolicited === 'accept' && this.#accepted.size < this.#options.maxSessions) {
        this.#accepted.set(`${dst.text}<${src.text}`, now + ACCEPTED_MS);
      }
      return 'nat.unsolicited';
    }
    const session = this.#session(now, mapping, src);
    if (session === undefined) return 'nat.full';
    this.#answerBy(now, mapping, src);
    if (tcp !== undefined || this.#options.refresh === 'both') this.#touch(now, mapping, session, tcp, false);
    return mapping.inside;
  }

  /** Whether the router holds this pair of addresses for its own. */
  #isTaken(now: number, outside: string, dst: PacketAddr): boolean {
    return (this.#accepted.get(`${outside}<${dst.text}`) ?? 0) > now;
  }

  /** Answers to who came in leave by the mapping that it came in by. */
  #answerBy(now: number, mapping: Mapping, src: PacketAddr): void {
    const key = this.#keyOf(src);
    if (mapping.keys.has(key)) return;
    const mappings = this.#byInside.get(mapping.inside.text)!;
    const other = mappings.get(key);
    if (other !== undefined && other.untilMs > now) return;
    // The mapping itself is among them, so they stay.
    if (other !== undefined) this.#remove(other);
    mapping.keys.add(key);
    mappings.set(key, mapping);
  }

  #isStale(mapping: Mapping, ip: string): boolean {
    return this.#options.mapping !== 'none' && mapping.outside.ip !== ip;
  }

  /** Whether a socket has one mapping for all destinations. */
  get #isSteady(): boolean {
    return this.#options.mapping === 'endpoint-independent' || this.#options.mapping === 'none';
  }

  /** Which of the mappings of a socket is for `dst`. */
  #keyOf(dst: PacketAddr): string {
    const { mapping } = this.#options;
    return mapping === 'address-dependent' ? dst.ip : mapping === 'address-and-port-dependent' ? dst.text : '';
  }

  #mayEnter(now: number, mapping: Mapping, src: PacketAddr): boolean {
    const { filtering } = this.#options;
    if (filtering === 'endpoint-independent') return true;
    const session = mapping.sessions.get(src.text);
    if (session !== undefined && session.untilMs > now) return true;
    if (filtering === 'address-and-port-dependent') return false;
    for (const { ip, untilMs } of mapping.sessions.values()) if (ip === src.ip && untilMs > now) return true;
    return false;
  }

  #session(now: number, mapping: Mapping, other: PacketAddr): Session | undefined {
    const known = mapping.sessions.get(other.text);
    if (known !== undefined && known.untilMs > now) return known;
    if (known === undefined && !this.#hasRoom(now)) return undefined;
    const session = { ip: other.ip, untilMs: 0, isAnswered: false, hasFinOut: false, hasFinIn: false };
    if (known === undefined) this.#size++;
    mapping.sessions.set(other.text, session);
    return session;
  }

  #touch(now: number, mapping: Mapping, session: Session, tcp: TcpHeader | undefined, isOutbound: boolean): void {
    session.untilMs = now + this.#lifetimeMs(session, tcp, isOutbound);
    if (mapping.isForwarded) return;
    if (session.untilMs >= mapping.untilMs) mapping.untilMs = session.untilMs;
    else if (tcp !== undefined) {
      mapping.untilMs = 0;
      for (const { untilMs } of mapping.sessions.values()) mapping.untilMs = Math.max(mapping.untilMs, untilMs);
    }
  }

  #lifetimeMs(session: Session, tcp: TcpHeader | undefined, isOutbound: boolean): number {
    const { udpTimeoutMs, tcpTimeoutMs, tcpTransitoryTimeoutMs } = this.#options;
    if (tcp === undefined) return udpTimeoutMs;
    // As Linux does: what still comes for a connection that was reset has ten seconds.
    if (tcp.rst) return Math.min(RESET_MS, tcpTransitoryTimeoutMs);
    if (tcp.syn && !tcp.ack) {
      session.hasFinIn = false;
      session.hasFinOut = false;
      session.isAnswered = false;
    }
    if (tcp.fin && isOutbound) session.hasFinOut = true;
    if (tcp.fin && !isOutbound) session.hasFinIn = true;
    if (tcp.ack && !tcp.syn) session.isAnswered = true;
    const isClosing = session.hasFinIn && session.hasFinOut;
    return session.isAnswered && !isClosing ? tcpTimeoutMs : tcpTransitoryTimeoutMs;
  }

  #map(now: number, inside: PacketAddr, key: string, ip: string): Mapping | undefined {
    if (!this.#hasRoom(now)) return undefined;
    const isApart = key.startsWith(APART);
    const outside = this.#options.mapping === 'none' ? inside : this.#outside(now, inside, ip, isApart);
    if (outside === undefined) return undefined;
    const stale = this.#byOutside.get(outside.text);
    if (stale !== undefined) this.#remove(stale);
    return this.#add(inside, outside, key, false);
  }

  #add(inside: PacketAddr, outside: PacketAddr, key: string, isForwarded: boolean): Mapping {
    const previous = this.#byInside.get(inside.text)?.get(key);
    if (previous !== undefined) this.#remove(previous);
    const untilMs = isForwarded ? Infinity : 0; // Until it is used.
    const mapping: Mapping = { inside, outside, keys: new Set([key]), sessions: new Map(), isForwarded, untilMs };
    const mappings = this.#byInside.get(inside.text);
    if (mappings === undefined) this.#byInside.set(inside.text, new Map([[key, mapping]]));
    else mappings.set(key, mapping);
    this.#byOutside.set(outside.text, mapping);
    return mapping;
  }

  /** A free outside address. */
  #outside(now: number, inside: PacketAddr, ip: string, isApart: boolean): PacketAddr | undefined {
    const { ports, portRange, addrs, random } = this.#options;
    const [first, last] = portRange;
    const count = last - first + 1;
    const isFree = (port: number): boolean => {
      const mapping = this.#byOutside.get(`${ip}:${port}`);
      return mapping === undefined || mapping.untilMs <= now;
    };
    if (ports === 'preserve' && !isApart && isFree(inside.port)) return addrs.get(ip, inside.port);
    let port = ports === 'random' ? first + Math.floor(random.next() * count) : this.#nextPort;
    for (let tried = 0; tried < count; tried++, port++) {
      if (port > last) port = first;
      if (!isFree(port)) continue;
      if (ports !== 'random') this.#nextPort = port === last ? first : port + 1;
      return addrs.get(ip, port);
    }
    return undefined;
  }

  #hasRoom(now: number): boolean {
    if (this.#size < this.#options.maxSessions) return true;
    // Once a second at most, or a flood would have it do nothing else.
    if (now < this.#sweptAtMs + SWEEP_MS) return false;
    this.#sweptAtMs = now;
    for (const mapping of this.#byOutside.values()) {
      if (mapping.untilMs <= now) this.#remove(mapping);
      else {
        for (const [text, { untilMs }] of mapping.sessions) {
          if (untilMs <= now && mapping.sessions.delete(text)) this.#size--;
        }
      }
    }
    return this.#size < this.#options.maxSessions;
  }

  #remove(mapping: Mapping): void {
    const { inside, outside, keys, sessions } = mapping;
    if (this.#byOutside.get(outside.text) !== mapping) return; // A reboot, or another use of the port, was faster.
    this.#byOutside.delete(outside.text);
    this.#size -= sessions.size;
    const mappings = this.#byInside.get(inside.text);
    if (mappings === undefined) return;
    for (const key of keys) if (mappings.get(key) === mapping) mappings.delete(key);
    if (mappings.size === 0) this.#byInside.delete(inside.text);
  }
}

/** The key of a forwarded port where mappings depend on destinations: that of none. */
const FORWARDED = 'forwarded';
/** The key of a mapping for one destination, beside that of all others. */
const APART = 'apart';
const RESET_MS = 10_000;
/** As long as Linux holds a datagram that nobody has answered. */
const ACCEPTED_MS = 30_000;
const SWEEP_MS = 1000;
