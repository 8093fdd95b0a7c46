/**
 * What observers say of this host's addresses, and what follows from it: the address under which others see a socket, and how the NAT
 * in between maps. Each network of observers has one vote, a verdict needs more than half of the votes, and a standing verdict goes
 * only when another one has them, so that a minority of liars moves nothing.
 */

import { formatSocketAddress, ipVersion, type SocketAddress } from '../../base/ip.ts';
import type { Millis } from '../../base/machine.ts';
import { sourceOf, SourceShares } from '../../base/source-shares.ts';
import { type Certainty, certaintyOf, elect, type Elected, mostCommon } from './votes.ts';

/** One answer of an observer. */
export interface Observation {
  /** Where the observer was asked. */
  readonly observer: SocketAddress;
  /** The address under which it saw the socket. */
  readonly mapped: SocketAddress;
}

/** A verdict about the address of a socket as others see it. */
export interface AddressVerdict {
  readonly ip: string;
  readonly ipCertainty: Certainty;
  /** The port, where observers agree on one; else each destination sees another one. */
  readonly port: number | undefined;
  readonly portCertainty: Certainty | undefined;
}

/**
 * How a NAT maps a socket (RFC 4787 §4.1): to the same address for every destination, to one for each IP, or to one for each IP and
 * port. `none`: others see the socket's own address. `dependent`: one of the latter two, and no observer has shown which.
 */
export type MappingBehavior =
  | 'none'
  | 'endpoint-independent'
  | 'address-dependent'
  | 'address-and-port-dependent'
  | 'dependent';

/** How the ports of mappings follow from each other: as the socket's own, one after the other, or in no order. */
export type PortAllocation = 'preserved' | 'sequential' | 'random';

/** A verdict about the NAT. */
export interface MappingVerdict {
  readonly behavior: MappingBehavior;
  readonly certainty: Certainty;
  /** Known when the mapping depends on the destination, or is the socket's own port. */
  readonly ports: PortAllocation | undefined;
  /** Between one port and the next, for `sequential`. */
  readonly portStep: number | undefined;
}

/** Observers that are remembered for one socket. */
const MAX_OBSERVERS = 64;
/** A new mapping of a sequential NAT may be as far from the last one: others behind it make mappings in between. */
const MAX_SEQUENTIAL_STEP = 16;

/** How old an observation may be. @default 600_000 (10 min), as long as the longest usual pause between two reports */
export interface ObservedAddressesOptions {
  readonly maxAgeMs?: number | undefined;
}

interface Entry {
  readonly observer: SocketAddress;
  readonly mapped: SocketAddress;
  readonly atMs: Millis;
}

/** What is known of one socket, or of several that the system treats alike. */
export class ObservedAddresses {
  readonly #maxAgeMs: number;
  /** By the observer's address, the latest last. Bounded by {@link MAX_OBSERVERS}, with a share per source. */
  readonly #entries = new Map<string, Entry>();
  readonly #shares = new SourceShares<string>();
  /** The standing verdict of each family, and when an observer last said its IP, and its port. */
  readonly #standing = new Map<
    4 | 6,
    { readonly verdict: AddressVerdict; readonly supportedMs: Millis; readonly portSupportedMs: Millis }
  >();

  constructor({ maxAgeMs = 600_000 }: ObservedAddressesOptions = {}) {
    this.#maxAgeMs = maxAgeMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Takes an answer. An observer that has answered before changes its vote. */
  note(now: Millis, { observer, mapped }: Observation): void {
    if (ipVersion(observer.ip) !== ipVersion(mapped.ip)) return;
    const key = formatSocketAddress(observer.ip, observer.port);
    this.#drop(key);
    if (this.#entries.size >= MAX_OBSERVERS) this.#drop(this.#shares.victimFor(observer.ip)!);
    this.#entries.set(key, { observer, mapped, atMs: now });
    this.#shares.add(observer.ip, key);
    this.#judge(ipVersion(mapped.ip)!, now);
  }

  /** Forgets everything: the interfaces have changed, and what was said holds no more. */
  clear(): void {
    this.#entries.clear();
    this.#shares.clear();
    this.#standing.clear();
  }

  /** The address of this family as others see it; `undefined` without observers, or while they do not agree and nothing stood before. */
  address(now: Millis, family: 4 | 6): AddressVerdict | undefined {
    this.#judge(family, now);
    return this.#standing.get(family)?.verdict;
  }

  /**
   * How the NAT maps; `undefined` with fewer than two observers, unless others see the socket's own address.
   *
   * @param local - the socket's own addresses of the family: those of the interfaces, with its port.
   */
  mapping(now: Millis, family: 4 | 6, local: readonly SocketAddress[]): MappingVerdict | undefined {
    const address = this.address(now, family);
    if (address === undefined) return undefined;
    const entries = this.#of(family, now);
    const own = local.find(({ ip, port }) => ip === address.ip && port === address.port);
    if (own !== undefined) return verdict('none', address.portCertainty!, 'preserved');
    const votes = votesOf(entries);
    if (votes.length < 2) return undefined;
    const ports = local[0] === undefined ? undefined : portPattern(entries, local[0].port);
    const [, agreeing] = mostCommon(votes.map(({ mapped }) => textOf(mapped)));
    const standing = votes.filter(({ mapped }) => mapped.ip === address.ip && mapped.port === address.port).length;
    // What two have made, one bad answer does not flip: it stands while half of the votes say so.
    const stands = 2 * standing >= votes.length && address.portCertainty !== 'assumed';
    if (stands || 2 * agreeing > votes.length) {
      const preserved = local.some(({ port }) => port === address.port);
      const certainty = stands ? address.portCertainty! : certaintyOf(agreeing);
      return verdict('endpoint-independent', certainty, preserved ? 'preserved' : undefined);
    }
    // Of two that differ one may lie; of three, two that do not lie differ.
    const certainty = votes.length >= 3 ? 'proven' : 'assumed';
    const behavior = dependence(entries);
    return { behavior, certainty, ports: ports?.pattern, portStep: ports?.step };
  }

  #of(family: 4 | 6, now: Millis): readonly Entry[] {
    for (const [key, { atMs }] of this.#entries) if (now - atMs >= this.#maxAgeMs) this.#drop(key);
    return [...this.#entries.values()].filter(({ mapped }) => ipVersion(mapped.ip) === family);
  }

  #drop(key: string): void {
    if (this.#entries.delete(key)) this.#shares.delete(key);
  }

  #judge(family: 4 | 6, now: Millis): void {
    const votes = votesOf(this.#of(family, now));
    if (votes.length === 0) {
      this.#standing.delete(family);
      return;
    }
    const standing = this.#standing.get(family);
    // A verdict without support for long yields to the observers that answer.
    const before =
      standing === undefined || now - standing.supportedMs >= this.#maxAgeMs ? undefined : standing.verdict;
    const ip = elect(
      votes.map(({ mapped }) => mapped.ip),
      before === undefined ? undefined : { value: before.ip, certainty: before.ipCertainty },
    );
    if (ip === undefined) {
      this.#standing.delete(family);
      return;
    }
    const supporters = votes.filter(({ mapped }) => mapped.ip === ip.value);
    const beforePort = before?.ip === ip.value ? this.#standingPort(family, supporters, now) : undefined;
    const port = elect(
      supporters.map(({ mapped }) => mapped.port),
      beforePort,
    );
    const portSupporters = supporters.filter(({ mapped }) => mapped.port === port?.value);
    const portBefore = beforePort?.value === port?.value ? standing?.portSupportedMs : undefined;
    this.#standing.set(family, {
      verdict: { ip: ip.value, ipCertainty: ip.certainty, port: port?.value, portCertainty: port?.certainty },
      supportedMs: Math.max(latest(supporters), standing?.supportedMs ?? -Infinity),
      portSupportedMs: Math.max(latest(portSupporters), portBefore ?? -Infinity),
    });
  }

  /**
   * The port that stands. Unlike an IP it goes without a successor, when less than half of the votes say it, or no observer for long: a
   * NAT may give each destination another one.
   */
  #standingPort(family: 4 | 6, votes: readonly Entry[], now: Millis): Elected<number> | undefined {
    const { verdict, portSupportedMs } = this.#standing.get(family)!;
    const { port, portCertainty } = verdict;
    if (port === undefined || now - portSupportedMs >= this.#maxAgeMs) return undefined;
    const saying = votes.filter(({ mapped }) => mapped.port === port).length;
    return votes.length < 2 || 2 * saying >= votes.length ? { value: port, certainty: portCertainty! } : undefined;
  }
}

const verdict = (
  behavior: MappingBehavior,
  certainty: Certainty,
  ports: PortAllocation | undefined,
): MappingVerdict => ({ behavior, certainty, ports, portStep: undefined });

const latest = (entries: readonly Entry[]): Millis => Math.max(-Infinity, ...entries.map(({ atMs }) => atMs));

const textOf = ({ ip, port }: SocketAddress): string => formatSocketAddress(ip, port);

/** The latest word of each network of observers. */
function votesOf(entries: readonly Entry[]): readonly Entry[] {
  return [...new Map(entries.map((entry) => [sourceOf(entry.observer.ip), entry])).values()];
}

/** Whether mappings differ between the ports of one observer's IP; observers that were asked on two ports say. */
function dependence(entries: readonly Entry[]): MappingBehavior {
  const byIp = Map.groupBy(entries, ({ observer }) => observer.ip);
  let [same, different] = [0, 0];
  for (const one of byIp.values()) {
    if (one.length < 2) continue;
    if (new Set(one.map(({ mapped }) => textOf(mapped))).size === 1) same++;
    else different++;
  }
  if (same === different) return 'dependent';
  return same > different ? 'address-dependent' : 'address-and-port-dependent';
}

/** How the ports of mappings follow from each other, in the order in which they were made. */
function portPattern(
  entries: readonly Entry[],
  ownPort: number,
): { readonly pattern: PortAllocation; readonly step: number | undefined } | undefined {
  const ports = [...new Set(entries.map(({ mapped }) => mapped.port))];
  if (ports.length < 2) return ports[0] === ownPort ? { pattern: 'preserved', step: undefined } : undefined;
  const steps = ports.slice(1).map((port, i) => port - ports[i]!);
  const [step, count] = mostCommon(steps);
  const isSequential = Math.abs(step) <= MAX_SEQUENTIAL_STEP && 2 * count > steps.length;
  return isSequential ? { pattern: 'sequential', step } : { pattern: 'random', step: undefined };
}
