/**
 * Multicast DNS service discovery (RFC 6762, RFC 6763) of one service, without I/O: announces it on each interface, and looks for other
 * instances of it.
 *
 * A conflict of names gives this side another random name: nobody has typed the old one anywhere.
 */

import { type Bytes, toHex } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { SourceBuckets, TokenBucket } from '../../base/token-bucket.ts';
import { Browser, type FoundInstance } from './browser.ts';
import { decodeMdns, type DnsMessage, type DnsRecord, encodeMdns } from './message.ts';
import { allRecords, isSameRecord, type MdnsService, serviceRecords, type ServiceRecords } from './records.ts';
import { conflicts, Responder } from './responder.ts';

/** Where multicast DNS is spoken (RFC 6762 §3, §5). */
export const MDNS = { port: 5353, ipv4Group: '224.0.0.251', ipv6Group: 'ff02::fb', ttl: 255 } as const;

/** A datagram to send. */
export interface MdnsTransmit {
  readonly interfaceName: string;
  /** `undefined`: the group. */
  readonly to: SocketAddress | undefined;
  readonly bytes: Bytes;
}

/** What happened. */
export type MdnsEvent =
  | ({ readonly type: 'found'; readonly interfaceName: string } & FoundInstance)
  | { readonly type: 'gone'; readonly interfaceName: string; readonly label: string }
  /** Somebody else has the name; this side has another one now. */
  | { readonly type: 'renamed'; readonly label: string }
  | { readonly type: 'dropped'; readonly reason: 'malformed' | 'mdns.rate_limited' };

/** What the machine needs. */
export interface MdnsOptions {
  /** `_shoal._udp.local`. */
  readonly serviceType: string;
  /** `length` unpredictable bytes: the realm's `random`. */
  readonly random: (length: number) => Uint8Array;
  /** What is announced on an interface; `undefined`: nothing. Called for every message, so it should cost nothing. */
  readonly service: (interfaceName: string) => MdnsService | undefined;
}

/** An interface of this host. */
export interface MdnsInterface {
  readonly name: string;
  /** Any text that tells the networks that it is attached to from others. */
  readonly networks: string;
}

const LABEL_BYTES = 16;
const MAX_INTERFACES = 64;
/** Messages of one IP that are read. */
const PER_SOURCE = { perSecond: 50, burst: 100, maxSources: 1024 } as const;
/** Messages that are read in all: each takes some 50 µs. */
const IN_ALL = { perSecond: 500, burst: 500 } as const;
/** RFC 6762 §8.1: after 15 conflicts within ten seconds it probes every five seconds. */
const MAX_CONFLICTS = 15;
const CONFLICTS_MS = 10_000;
const CONFLICT_PAUSE_MS = 5000;

interface OnInterface {
  readonly networks: string;
  readonly responder: Responder;
  readonly browser: Browser;
}

/** The machine. */
export class Mdns implements Machine<MdnsTransmit, MdnsEvent> {
  readonly #options: MdnsOptions;
  readonly #outbox = new Outbox<MdnsTransmit, MdnsEvent, 'next'>();
  /** Bounded by {@link MAX_INTERFACES}. */
  readonly #interfaces = new Map<string, OnInterface>();
  readonly #sources = new SourceBuckets(PER_SOURCE.perSecond, PER_SOURCE.burst, PER_SOURCE.maxSources);
  readonly #all: TokenBucket;
  /** When the last conflicts were. Bounded by {@link MAX_CONFLICTS}. */
  readonly #conflicts: Millis[] = [];
  #label: string;

  constructor(now: Millis, options: MdnsOptions) {
    this.#options = options;
    this.#all = new TokenBucket(IN_ALL.perSecond, IN_ALL.burst, now);
    this.#label = this.#newLabel();
  }

  /** The first label of the instance's name, and of the host's. */
  get label(): string {
    return this.#label;
  }

  /** Replaces the interfaces. On those that are new, or attached elsewhere, it begins anew. */
  setInterfaces(now: Millis, interfaces: readonly MdnsInterface[]): void {
    const before = new Map(this.#interfaces);
    this.#interfaces.clear();
    for (const { name, networks } of interfaces.slice(0, MAX_INTERFACES)) {
      const known = before.get(name);
      if (known?.networks === networks) this.#interfaces.set(name, known);
      else {
        const made = this.#onInterface(name, networks);
        this.#interfaces.set(name, made);
        if (this.#options.service(name) !== undefined) made.responder.start(now);
        made.browser.start(now);
      }
    }
    this.#arm();
  }

  /** What is announced has changed. */
  refresh(now: Millis): void {
    for (const [name, { responder }] of this.#interfaces) {
      const isThere = this.#options.service(name) !== undefined;
      if (responder.state !== 'idle') responder.refresh(now);
      else if (isThere) responder.start(now);
    }
    this.#arm();
  }

  /** Says goodbye on all interfaces; nothing follows. */
  close(): void {
    for (const { responder } of this.#interfaces.values()) responder.goodbye();
    this.#interfaces.clear();
    this.#arm();
  }

  /** Takes a datagram that came on an interface. */
  handleDatagram(now: Millis, from: SocketAddress, interfaceName: string, bytes: Uint8Array): void {
    const on = this.#interfaces.get(interfaceName);
    if (on === undefined) return;
    if (!this.#sources.take(now, from.ip) || !this.#all.take(now)) {
      this.#outbox.event({ type: 'dropped', reason: 'mdns.rate_limited' });
      return;
    }
    const message = decodeMdns(bytes);
    // RFC 6762 §6: responses come from the port of multicast DNS.
    if (message === undefined || (message.isResponse && from.port !== MDNS.port)) {
      this.#outbox.event({ type: 'dropped', reason: 'malformed' });
      return;
    }
    const ours = this.#records(interfaceName);
    const theirs = message.isResponse ? message.answers : message.authorities;
    if (ours !== undefined && conflicts(theirs, ours, (record) => this.#isOwn(record))) this.#rename(now);
    else if (message.isResponse) on.browser.handleResponse(now, message, from.ip);
    else on.responder.handleQuery(now, message, from, bytes.length);
    this.#arm();
  }

  handleTimeout(now: Millis): void {
    this.#outbox.takeDue(now);
    for (const { responder, browser } of this.#interfaces.values()) {
      responder.handleTimeout(now);
      browser.handleTimeout(now);
    }
    this.#arm();
  }

  poll(): Output<MdnsTransmit, MdnsEvent> {
    return this.#outbox.poll();
  }

  #onInterface(interfaceName: string, networks: string): OnInterface {
    const send = (message: DnsMessage, to?: SocketAddress): void =>
      this.#outbox.transmit({ interfaceName, to, bytes: encodeMdns(message) });
    const between = (min: number, max: number): number => {
      const [high, low] = this.#options.random(2);
      return min + Math.floor(((high! * 256 + low!) * (max - min + 1)) / 65_536);
    };
    return {
      networks,
      responder: new Responder({ send, between, records: () => this.#records(interfaceName) }),
      browser: new Browser(this.#options.serviceType, {
        send,
        between,
        found: (instance) => {
          if (instance.label !== this.#label) this.#outbox.event({ type: 'found', interfaceName, ...instance });
        },
        gone: (label) => {
          if (label !== this.#label) this.#outbox.event({ type: 'gone', interfaceName, label });
        },
      }),
    };
  }

  #records(interfaceName: string): ServiceRecords | undefined {
    const service = this.#options.service(interfaceName);
    return service && serviceRecords(this.#options.serviceType, this.#label, service);
  }

  /** Whether a record is one of ours, on whatever interface: two of them may be in one network. */
  #isOwn(record: DnsRecord): boolean {
    return [...this.#interfaces.keys()].some((name) => {
      const records = this.#records(name);
      return records !== undefined && allRecords(records).some((one) => isSameRecord(one, record));
    });
  }

  #rename(now: Millis): void {
    while (this.#conflicts.length > 0 && this.#conflicts[0]! <= now - CONFLICTS_MS) this.#conflicts.shift();
    const isMany = this.#conflicts.length >= MAX_CONFLICTS;
    if (isMany) this.#conflicts.shift();
    this.#conflicts.push(now);
    this.#label = this.#newLabel();
    for (const { responder } of this.#interfaces.values()) {
      if (responder.state !== 'idle') responder.start(now, isMany ? CONFLICT_PAUSE_MS : 0);
    }
    this.#outbox.event({ type: 'renamed', label: this.#label });
  }

  #newLabel(): string {
    return toHex(this.#options.random(LABEL_BYTES));
  }

  #arm(): void {
    let next = Infinity;
    for (const { responder, browser } of this.#interfaces.values()) {
      next = Math.min(next, responder.dueMs, browser.dueMs);
    }
    this.#outbox.arm('next', next);
  }
}
