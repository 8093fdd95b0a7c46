/** Whole nodes behind NATs of the kernel; `peers-lab.test.ts` judges. Groups are arguments. */

import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import type { PeersOptions } from '../../src/peers/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { has, Igd } from './igd.ts';
import { Lab, type LabProcess, type NatOptions } from './lab.ts';
import type { KernelNatKind } from './nft-rules.ts';
import { pause } from './pause.ts';
import type { Asked, PeersLine, PeersOrder, PeersScenario, PeersSetup } from './peers-scenario.ts';
import { report } from './report-line.ts';
import { KERNEL_KINDS } from './scenario.ts';
import { canBeDirect } from '../support/nat-matrix.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';

/** Three networks of the internet, each with two hosts. */
const OUTSIDE = ['203.0.113.10', '203.0.113.11', '198.51.100.10', '198.51.100.11', '192.0.2.10', '192.0.2.11'];
const V6 = '2001:db8:0:1::1';
/** One relays, on the port that every firewall lets out; the others are there to be observers. */
const HELPERS = [
  { seed: 1, at: `${OUTSIDE[0]}:443`, serveRelay: true },
  { seed: 2, at: `${OUTSIDE[2]}:4000`, serveRelay: false },
  { seed: 3, at: `${OUTSIDE[4]}:4000`, serveRelay: false },
] as const;
/** How long a way is waited for: what fails once is tried again after 20 to 60 s, and the runner of the tests allows two minutes of silence. */
const POSSIBLE_MS = 75_000;
const IMPOSSIBLE_MS = 6000;

const say = (scenario: PeersScenario): void => report(scenario);
const idOf = (seed: number): string => peerIdOfKey(testKey(seed).publicKey);

/** A node that runs. */
class LabPeer {
  readonly id: string;
  readonly #process: LabProcess;
  addrs: readonly string[] = [];

  constructor(lab: Lab, namespace: string, setup: PeersSetup) {
    this.id = idOf(setup.seed);
    this.#process = lab.node(namespace, 'peers-peer.ts', JSON.stringify(setup));
  }

  async until<E extends PeersLine['event']>(event: E): Promise<PeersLine & { readonly event: E }> {
    for (;;) {
      const line = await this.#process.next<PeersLine>();
      if (line.event === 'up' || line.event === 'mapped') this.addrs = line.addrs;
      if (line.event === event) return line as PeersLine & { readonly event: E };
    }
  }

  say(order: PeersOrder): void {
    this.#process.say(order);
  }

  async ask(id: string, waitMs: number, addrs: readonly string[] = []): Promise<Asked> {
    this.say({ order: 'ask', id, waitMs, addrs });
    const { event: _, ...asked } = await this.until('asked');
    return asked;
  }

  kill(): void {
    this.#process.kill();
  }
}

let seeds = 10;
const running: LabPeer[] = []; // Bounded by the scenarios.
function start(lab: Lab, namespace: string, setup: Omit<PeersSetup, 'seed'> & { readonly seed?: number }): LabPeer {
  const peer = new LabPeer(lab, namespace, { seed: seeds++, ...setup });
  running.push(peer);
  return peer;
}

async function helpers(lab: Lab, places: readonly string[]): Promise<void> {
  const all = HELPERS.slice(0, places.length).map(({ seed, serveRelay }, i) =>
    start(lab, 'internet', { seed, options: { bind: places[i]!, serveRelay } }),
  );
  await Promise.all(all.map((helper) => helper.until('up')));
}

/** Nodes that know the helpers, and nobody else. */
async function nodes(
  lab: Lab,
  names: readonly string[],
  places: readonly string[],
  options: Partial<PeersOptions> = {},
): Promise<readonly LabPeer[]> {
  const ids = HELPERS.slice(0, places.length).map(({ seed }) => idOf(seed));
  const contacts = ids.map((id, i) => `${id}@${places[i]}`);
  const all = names.map((name) =>
    start(lab, name, { options: { contacts, fallbackAfterMs: 0, ...options }, helpers: ids }),
  );
  await Promise.all(all.map((node) => node.until('reserved')));
  // Until the verdict about the own NAT is in, which the offers need.
  await pause(2000);
  return all;
}

const AT = HELPERS.map(({ at }) => at);

/** Every kind with every kind, both directions: in each round every node talks with another one. */
async function matrix(lab: Lab, rounds: readonly number[]): Promise<void> {
  const kinds: readonly NatKind[] = ['open', ...(KERNEL_KINDS as readonly NatKind[])];
  for (const [i, kind] of KERNEL_KINDS.entries()) lab.nat(`${kind}-b`, kind, `203.0.113.${80 + i}/24`, 80 + i);
  lab.publicHost('open-b', ['203.0.113.51/24'], OUTSIDE[0]);
  await helpers(lab, AT);
  const all = await nodes(lab, [...kinds, ...kinds.map((kind) => `${kind}-b`)], AT);
  const [first, second] = [all.slice(0, kinds.length), all.slice(kinds.length)];
  for (const round of rounds) {
    await Promise.all(
      kinds.map(async (a, i) => {
        const j = (i + round) % kinds.length;
        const b = kinds[j]!;
        const [near, far] = [first[i]!, second[j]!];
        const asked = await near.ask(far.id, canBeDirect(a, b) ? POSSIBLE_MS : IMPOSSIBLE_MS);
        say({ name: 'pair', group: 'matrix', a, b, asked });
        near.say({ order: 'drop', id: far.id });
        far.say({ order: 'drop', id: near.id });
      }),
    );
  }
}

/** Where NATs stand: both behind one, with and without hairpin, one NAT behind another, and IPv6 firewalls. */
async function places(lab: Lab): Promise<void> {
  nat(lab, 'hairpin', 'full', 40, { hairpin: true });
  nat(lab, 'plain', 'port', 41);
  for (const name of ['hairpin', 'plain']) lab.second(name, `${name}-2`);
  lab.nat('double', 'port', '100.64.0.2/24', 50, { above: 'port' });
  for (const kind of ['full', 'port', 'random'] as const)
    nat(lab, `far-${kind}`, kind, { full: 90, port: 91, random: 92 }[kind]);
  await helpers(lab, AT);
  const pairs = [
    ['hairpin', 'hairpin-2'],
    ['plain', 'plain-2'],
    ['double', 'far-port'],
    ['far-random', 'double'],
    ['far-full', 'double'],
  ] as const;
  const names = [...new Set(pairs.flat())];
  const all = await nodes(lab, names, AT);
  const of = (name: string): LabPeer => all[names.indexOf(name as (typeof names)[number])]!;
  for (const [a, b] of pairs) {
    say({ name: 'pair', group: 'places', a, b, asked: await of(a).ask(of(b).id, POSSIBLE_MS) });
  }
}

function nat(lab: Lab, name: string, kind: KernelNatKind, number: number, options: NatOptions = {}): void {
  lab.nat(name, kind, `203.0.113.${number}/24`, number, options);
}

async function ipv6(lab: Lab): Promise<void> {
  for (const name of ['a', 'b']) {
    lab.v6Firewall(`six-${name}`, `2001:db8:0:1::${name}`, `2001:db8:${name}`);
    lab.v6Route(`six-${name}`, V6);
  }
  const at = [`[${V6}]:443`, `[${V6}]:4000`, `[${V6}]:4001`];
  await helpers(lab, at);
  const [a, b] = await nodes(lab, ['six-a', 'six-b'], at);
  say({ name: 'pair', group: 'ipv6', a: 'six-a', b: 'six-b', asked: await a!.ask(b!.id, POSSIBLE_MS) });
}

/** The NATs of two peers with a direct path forget everything: the path, and the next one. */
async function reboot(lab: Lab): Promise<void> {
  if (!has('conntrack')) return say({ name: 'missing', what: 'conntrack' });
  nat(lab, 'far-full', 'full', 90);
  await helpers(lab, AT);
  const [a, b] = await nodes(lab, ['random', 'far-full'], AT);
  const ask = async (group: string): Promise<void> =>
    say({ name: 'pair', group, a: 'random', b: 'far-full', asked: await a!.ask(b!.id, POSSIBLE_MS) });
  await ask('before the reboot');
  for (const name of ['random', 'far-full']) lab.reboot(name);
  return ask('after the reboot');
}

/** Both NATs give random ports, and one router forwards ports when it is asked. */
async function mapped(lab: Lab): Promise<void> {
  if (!has('miniupnpd')) return say({ name: 'missing', what: 'miniupnpd' });
  lab.nat('igd', 'random', '11.22.33.1/24', 60, { gateway: '11.22.33.10' });
  const igd = new Igd(lab, { nat: 'igd', lan: '192.168.60' });
  igd.start();
  await pause(1000);
  await helpers(lab, AT);
  const [[a], [b]] = await Promise.all([nodes(lab, ['random'], AT), nodes(lab, ['igd'], AT, { portMapping: true })]);
  await pause(3000);
  say({ name: 'pair', group: 'mapped', a: 'random', b: 'igd', asked: await a!.ask(b!.id, POSSIBLE_MS) });
  return igd.stop();
}

/** The same with parts of somebody else: relay and puncher, and a port that a person has forwarded. */
async function foreign(lab: Lab): Promise<void> {
  for (const kind of ['full', 'port'] as const) nat(lab, `far-${kind}`, kind, { full: 90, port: 91 }[kind]);
  const [relay, observer] = [`${OUTSIDE[1]}:9000`, `${OUTSIDE[3]}:3478`];
  await lab.node('internet', 'foreign-helper.ts', relay, observer).next();
  const names = ['open', 'address', 'port', 'random', 'far-full', 'far-port'];
  const all = names.map((name) => start(lab, name, { options: {}, foreign: { relay, observer } }));
  await Promise.all(all.map((node) => node.until('up')));
  const of = (name: string): LabPeer => all[names.indexOf(name)]!;
  for (const [a, b] of [
    ['open', 'far-port'],
    ['address', 'far-port'],
    ['port', 'far-full'],
    ['port', 'far-port'],
    ['random', 'far-port'],
  ] as const) {
    const addrs = of(b).addrs.filter((addr) => addr.startsWith('foreign://'));
    const asked = await of(a).ask(of(b).id, a === 'random' ? IMPOSSIBLE_MS : POSSIBLE_MS, addrs);
    say({ name: 'pair', group: 'foreign', a, b, asked });
  }
  lab.sh('random-nat', 'nft add rule ip nat enter iifname wan tcp dport 6000 dnat ip to 192.168.14.2:5000');
  const external = { ip: '203.0.113.24', port: 6000 };
  const b = start(lab, 'random', { options: { bind: '0.0.0.0:5000' }, foreign: { forwarded: ['tcp 5000', external] } });
  await b.until('up');
  const a = start(lab, 'far-port', { options: {} });
  await a.until('up');
  const addrs = b.addrs.filter((addr) => addr.includes(external.ip));
  say({ name: 'pair', group: 'forwarded', a: 'far-port', b: 'random', asked: await a.ask(b.id, POSSIBLE_MS, addrs) });
}

const GROUPS = {
  matrix0: (lab: Lab) => matrix(lab, [0, 1]),
  matrix1: (lab: Lab) => matrix(lab, [2, 3]),
  matrix2: (lab: Lab) => matrix(lab, [4, 5]),
  matrix3: (lab: Lab) => matrix(lab, [6, 7]),
  places,
  ipv6,
  reboot,
  mapped,
  foreign,
} as const;

const lab = new Lab([...OUTSIDE.map((ip) => `${ip}/24`), '11.22.33.10/24', `${V6}/64`]);
try {
  for (const [i, kind] of KERNEL_KINDS.entries()) lab.nat(kind, kind, `203.0.113.${20 + i}/24`, 10 + i);
  lab.publicHost('open', ['203.0.113.50/24'], OUTSIDE[0]);
  for (const group of process.argv.slice(2)) {
    await GROUPS[group as keyof typeof GROUPS](lab);
    for (const peer of running.splice(0)) peer.kill();
  }
} finally {
  lab.close();
}
