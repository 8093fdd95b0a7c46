/** Under which addresses a port is seen, and how its NAT gives out ports: what an offer says. */

import { formatSocketAddress, ipVersion, type SocketAddress } from '../../base/ip.ts';
import { sourceOf } from '../../base/source-shares.ts';
import type { Realm } from '../../core/realm.ts';
import type { PunchPorts } from '../../protocols/punch/offer.ts';
import { type Observation, ObservedAddresses } from '../../protocols/reachability/observed-addresses.ts';
import { mostCommon } from '../../protocols/reachability/votes.ts';
import { clockOf } from '../../runtime/system-realm.ts';

/** What observers have said of a port. */
export interface ObservedPort {
  /** IPv4 first. With random ports several of them. */
  readonly addrs: readonly SocketAddress[];
  /** Of IPv4. */
  readonly ports: PunchPorts;
  readonly next: { readonly port: number; readonly delta: number } | undefined;
}

/** As what an observer saw it; `undefined` without an answer. */
export type Seen = Promise<SocketAddress | undefined>;

/** How a port is observed. */
export interface ObserveOptions {
  readonly realm: Realm;
  readonly observers: readonly SocketAddress[];
  /** The addresses of this host, with the port. */
  readonly local: readonly SocketAddress[];
  /** Asks from the port. */
  readonly ask: (observer: SocketAddress) => Seen;
  /** Those that answer so long after the first one, or the second one, are not waited for. */
  readonly patienceMs: readonly number[];
  /** Asks from so many other ports, one after the other, without waiting for answers in between. */
  readonly askFresh: (observer: SocketAddress, count: number) => Promise<readonly Seen[]>;
}

/** Observers that are asked: as many as make a verdict proven. */
const MAX_IPV4_OBSERVERS = 3;
const MAX_IPV6_OBSERVERS = 1;
/** Fresh ports that show how ports follow each other. */
const FRESH_PORTS = 3;
/** A new mapping may be as far from the last one: others behind the NAT make mappings in between. */
const MAX_STEP = 16;
/** Ports of a random NAT are in a row by chance less than once in 10 000 times, even where it has 64 of them. */
const MIN_ROW = 5;
/** Addresses that show the range of random ports. */
const MAX_SAMPLES = 5;

/** Asks observers, and again from fresh ports where the port depends on the destination. */
export async function observePort({
  realm,
  observers,
  local,
  ask,
  askFresh,
  patienceMs,
}: ObserveOptions): Promise<ObservedPort> {
  const chosen = [...pick(observers, 4, MAX_IPV4_OBSERVERS), ...pick(observers, 6, MAX_IPV6_OBSERVERS)];
  const seen = await gather(realm, patienceMs, chosen.map(ask));
  const observed = seen.flatMap((mapped, i) => (mapped === undefined ? [] : [{ observer: chosen[i]!, mapped }]));
  const v6 = observed.find(({ mapped }) => ipVersion(mapped.ip) === 6)?.mapped;
  const v4 = observed.filter(({ mapped }) => ipVersion(mapped.ip) === 4);
  const rest = v6 === undefined ? [] : [v6];
  const [first] = v4;
  if (first === undefined) return { addrs: rest, ports: 'unknown', next: undefined };
  const steady = steadyAddress(realm.nowMs(), v4, local);
  if (steady !== undefined) return { addrs: [steady, ...rest], ports: 'steady', next: undefined };
  const fresh = await gather(realm, patienceMs, await askFresh(first.observer, FRESH_PORTS));
  const { ip } = fresh.find((one) => one !== undefined) ?? first.mapped;
  const portsOf = (addrs: readonly (SocketAddress | undefined)[]): readonly (number | undefined)[] =>
    addrs.map((one) => (one?.ip === ip ? one.port : undefined));
  const next = nextPort(portsOf(seen), portsOf(fresh));
  const samples = [...seen, ...fresh].filter((one) => one?.ip === ip).slice(-MAX_SAMPLES) as SocketAddress[];
  return { addrs: [...samples, ...rest], ports: next === undefined ? 'random' : 'sequential', next };
}

/** Observers of a family, of different networks as long as there are such. */
function pick(observers: readonly SocketAddress[], family: 4 | 6, count: number): readonly SocketAddress[] {
  const ofFamily = observers.filter(({ ip }) => ipVersion(ip) === family);
  const networks = new Set<string>();
  const first: SocketAddress[] = [];
  const others: SocketAddress[] = [];
  for (const observer of ofFamily) {
    const network = sourceOf(observer.ip);
    (networks.has(network) ? others : first).push(observer);
    networks.add(network);
  }
  return [...first, ...others].slice(0, count);
}

/** The answers in the order of the questions, those that did not come in time as `undefined`. */
function gather(
  realm: Realm,
  patienceMs: readonly number[],
  asked: readonly Seen[],
): Promise<readonly (SocketAddress | undefined)[]> {
  const answers: (SocketAddress | undefined)[] = asked.map(() => undefined);
  let [open, answered] = [asked.length, 0];
  return new Promise((resolve) => {
    const finish = (): void => resolve(answers);
    if (open === 0) finish();
    for (const [i, one] of asked.entries()) {
      void one.then((answer) => {
        answers[i] = answer;
        const waitMs = answer === undefined ? undefined : patienceMs[answered++];
        if (--open === 0) finish();
        else if (waitMs !== undefined) {
          clockOf(realm).setTimer(realm.nowMs() + waitMs, finish, { background: true });
        }
      });
    }
  });
}

/** The address that all destinations see; `undefined` when they see different ones. One observer is believed. */
function steadyAddress(
  now: number,
  observed: readonly Observation[],
  local: readonly SocketAddress[],
): SocketAddress | undefined {
  const texts = new Set(observed.map(({ mapped }) => formatSocketAddress(mapped.ip, mapped.port)));
  if (texts.size === 1) return observed[0]!.mapped;
  const addresses = new ObservedAddresses();
  for (const one of observed) addresses.note(now, one);
  const behavior = addresses.mapping(now, 4, local)?.behavior;
  const verdict = addresses.address(now, 4);
  const isSteady = behavior === 'none' || behavior === 'endpoint-independent';
  return isSteady && verdict?.port !== undefined ? { ip: verdict.ip, port: verdict.port } : undefined;
}

/**
 * The port of the next mapping, when ports follow each other.
 *
 * @param before - as what the observers saw the port, in the order in which they were asked.
 * @param fresh - those from which was asked after that, in the order in which they asked. What has no answer has most probably a mapping, too.
 */
function nextPort(
  before: readonly (number | undefined)[],
  fresh: readonly (number | undefined)[],
): { readonly port: number; readonly delta: number } | undefined {
  const inRow = afterRow([...before, ...fresh].filter((port) => port !== undefined));
  if (inRow !== undefined) return inRow;
  const steps = [before, fresh].flatMap(stepsOf);
  if (steps.length === 0) return undefined;
  const [delta, count] = mostCommon(steps);
  if (delta === 0 || Math.abs(delta) > MAX_STEP || 3 * count < 2 * steps.length) return undefined;
  const [first, last] = [before, fresh].map((ports) => ports.filter((port) => port !== undefined));
  if (last!.length === 0 || first!.some((port) => last!.some((later) => (later - port) * delta <= 0))) return undefined;
  const [port] = mostCommon(fresh.flatMap((one, i) => (one === undefined ? [] : [one + (fresh.length - i) * delta])));
  return { port, delta };
}

/** The port after many that make a row without gaps, in whatever order they came: questions overtake each other on machines with several cores. */
function afterRow(ports: readonly number[]): { readonly port: number; readonly delta: number } | undefined {
  const sorted = [...new Set(ports)].toSorted((a, b) => a - b);
  const steps = new Set(sorted.slice(1).map((port, i) => port - sorted[i]!));
  const [step = Infinity] = steps;
  if (sorted.length < MIN_ROW || steps.size > 1 || step > MAX_STEP) return undefined;
  const isRising = ports.at(-1)! > ports[0]!;
  return isRising ? { port: sorted.at(-1)! + step, delta: step } : { port: sorted[0]! - step, delta: -step };
}

/** Between one port and the next, by each two of them. */
function stepsOf(ports: readonly (number | undefined)[]): readonly number[] {
  return ports.flatMap((to, j) =>
    ports.slice(0, j).flatMap((from, i) => (from === undefined || to === undefined ? [] : [(to - from) / (j - i)])),
  );
}
