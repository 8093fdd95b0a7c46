/** What is sent where, from how both NATs give out ports. Source: docs/wire/punch.md §3 and §4. */

import {
  formatSocketAddress,
  ipVersion,
  isLinkLocalIp,
  isLoopbackIp,
  isPrivateIp,
  isSharedIp,
  type SocketAddress,
} from '../../base/ip.ts';
import type { PunchOffer } from './offer.ts';

/** What a plan is made from. */
export interface PunchPlanInput {
  readonly own: PunchOffer;
  readonly theirs: PunchOffer;
  /** IPs that are known to be the peer's. */
  readonly proven: readonly string[];
  /** Whether an address is in a subnet of this host. */
  readonly isNear: (address: SocketAddress) => boolean;
  /** Whether an address that somebody claims may be probed at all. */
  readonly mayProbe: (address: SocketAddress) => boolean;
}

/** An address to probe. */
export interface PunchTarget {
  readonly to: SocketAddress;
  readonly isNear: boolean;
  readonly maxProbes: number;
}

/** Ports of the other side's NAT that are guessed at. */
export interface PunchGuesses {
  readonly ip: string;
  /** Where its ports probably are; the rest of 1024 to 65535 comes after it. */
  readonly likely: readonly [first: number, last: number] | undefined;
}

/** What is done. */
export interface PunchPlan {
  /** In the order of sending. */
  readonly targets: readonly PunchTarget[];
  /** The other side's ports are random: they are guessed. */
  readonly guess: PunchGuesses | undefined;
  /** The own ports are random: many sockets send there. */
  readonly openTo: SocketAddress | undefined;
  /** What is not tried, and why. Empty when everything is. */
  readonly left: string;
}

/** A punch that cannot succeed. */
export interface HopelessPunch {
  readonly why: string;
}

/** Probes to an address, at most. */
export const MAX_PROBES_PER_ADDRESS = 10;
/** Addresses of a sequential NAT that are predicted. */
export const PREDICTED_PORTS = 8;
/** Probes to an address that only opens the own filter for the IP: the peer will come from another port. */
const OPENING_PROBES = 3;
/** Ports that are farther apart show no range. */
const MAX_LIKELY_RANGE = 4096;
const FIRST_PORT = 1024;
const LAST_PORT = 65_535;

const textOf = ({ ip, port }: SocketAddress): string => formatSocketAddress(ip, port);
const isHard = ({ ports }: PunchOffer): boolean => ports === 'random' || ports === 'sequential';

/** Decides what is done; a text says why nothing can help. */
export function planPunch({ own, theirs, proven, isNear, mayProbe }: PunchPlanInput): PunchPlan | HopelessPunch {
  const allowed = unique(theirs.addrs).filter(mayProbe);
  const near = allowed.filter(isNear);
  const far = allowed.filter((address) => !near.includes(address));
  const far6 = far.filter(({ ip }) => ipVersion(ip) === 6);
  const far4 = far.filter(({ ip }) => ipVersion(ip) === 4);
  const target = (to: SocketAddress): PunchTarget => ({
    to,
    isNear: near.includes(to),
    maxProbes: MAX_PROBES_PER_ADDRESS,
  });
  const all = (v4: readonly PunchTarget[]): readonly PunchTarget[] => [...near.map(target), ...v4, ...far6.map(target)];
  const isHopeless4 = isHard(own) && isHard(theirs) && (own.ports === 'random' || theirs.ports === 'random');
  if (isHopeless4) {
    const kind =
      own.ports === theirs.ports
        ? 'both NATs give random ports'
        : `one NAT gives random ports, the other ${own.ports === 'random' ? theirs.ports : own.ports} ones`;
    const left = `${kind}: only a relay can work`;
    const targets = all([]);
    return targets.length === 0 ? { why: left } : { targets, guess: undefined, openTo: undefined, left };
  }
  if (allowed.length === 0) {
    const why =
      theirs.ports === 'unknown'
        ? 'the peer knows only addresses of its own network, because no observer has answered it: it may be blocked there'
        : `none of the ${theirs.addrs.length} addresses that the peer offers may be tried from here`;
    return { why };
  }
  // The other side finds nothing to send to, so it does not even begin.
  if (near.length === 0 && !own.addrs.some(({ ip }) => isWide(ip))) return { why: UNOBSERVED };
  if (theirs.ports === 'sequential' && theirs.next !== undefined && far4.length > 0) {
    const predicted = predict(far4[0]!.ip, theirs.next).filter(mayProbe);
    return { targets: all(predicted.map(target)), guess: undefined, openTo: undefined, left: '' };
  }
  const known = far4.find(({ ip }) => proven.includes(ip));
  if (theirs.ports === 'random' && far4.length > 0) {
    // What was observed is the mapping of another destination: sending there opens the own NAT for the IP.
    const opening = far4.slice(0, 1).map((to) => ({ ...target(to), maxProbes: OPENING_PROBES }));
    const guess = known === undefined ? undefined : { ip: known.ip, likely: likelyPorts(known.ip, far4) };
    return { targets: all(opening), guess, openTo: undefined, left: known === undefined ? UNPROVEN : '' };
  }
  const openTo = own.ports === 'random' ? known : undefined;
  const isUnproven = own.ports === 'random' && known === undefined && far4.length > 0;
  const left = isUnproven ? UNPROVEN : '';
  return { targets: all(far4.map(target)), guess: undefined, openTo, left };
}

/** Whether an IP means the same host everywhere. */
const isWide = (ip: string): boolean => !isPrivateIp(ip) && !isSharedIp(ip) && !isLinkLocalIp(ip) && !isLoopbackIp(ip);

const UNOBSERVED =
  'this host knows only addresses of its own network, because no observer has answered it: it may be blocked here';
const UNPROVEN = 'random ports are not searched, because no IP is proven to be that of the peer';

function unique(addresses: readonly SocketAddress[]): readonly SocketAddress[] {
  return [...new Map(addresses.map((address) => [textOf(address), address])).values()];
}

function predict(ip: string, { port, delta }: { readonly port: number; readonly delta: number }): SocketAddress[] {
  const ports = Array.from({ length: PREDICTED_PORTS }, (_, k) => port + delta * k);
  const valid = ports.filter((each) => each >= FIRST_PORT && each <= LAST_PORT);
  return [...new Set(valid)].map((each) => ({ ip, port: each }));
}

/** The range in which the ports of an IP lie, widened since few of them were seen; `undefined` when they show none. */
function likelyPorts(ip: string, seen: readonly SocketAddress[]): readonly [number, number] | undefined {
  const ports = seen.filter((one) => one.ip === ip).map(({ port }) => port);
  const [low, high] = [Math.min(...ports), Math.max(...ports)];
  if (ports.length < 2 || high - low > MAX_LIKELY_RANGE) return undefined;
  const margin = Math.max(16, high - low);
  return [Math.max(FIRST_PORT, low - margin), Math.min(LAST_PORT, high + margin)];
}
