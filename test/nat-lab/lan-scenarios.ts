/** LANs of the kernel, inside the namespaces. Writes one line of JSON for each scenario; `lan-lab.test.ts` judges them. */

import { spawnSync } from 'node:child_process';

import { AVAHI_PROGRAMS, browse, startAvahi } from './avahi.ts';
import { Lab, type LabProcess } from './lab.ts';
import type { Heard, LanScenario } from './lan-scenario.ts';
import { report } from './report-line.ts';

interface Up {
  readonly up: string;
  readonly atMs: number;
}

const say = (scenario: LanScenario): void => report(scenario);

/** A node that is up. */
async function node(lab: Lab, host: string, seed: number, options: object = {}): Promise<LabProcess & Up> {
  const started = lab.node(host, 'lan-node.ts', String(seed), JSON.stringify(options));
  const up = await started.next<Up>();
  return { ...started, ...up };
}

/** The peers that a node hears, until there are so many different ones. */
async function hears(one: LabProcess, count: number): Promise<readonly Heard[]> {
  const found = new Map<string, Heard>();
  while (found.size < count) {
    const heard = await one.next<Heard>();
    found.set(heard.heard, heard);
  }
  return [...found.values()];
}

/** Counts what passes with another TTL or hop limit than 1. */
const COUNTING = `table inet lan {
  counter seen { }
  counter others { }
  chain in { type filter hook input priority 0;
    udp dport 5483 counter name seen
    udp sport 5483 counter name seen
    udp dport 5483 ip ttl != 1 counter name others
    udp sport 5483 ip ttl != 1 counter name others
    udp dport 5483 ip6 hoplimit != 1 counter name others
    udp sport 5483 ip6 hoplimit != 1 counter name others
  }
}`;

function counted(lab: Lab, host: string, name: string): number {
  return Number(/packets (\d+)/.exec(lab.sh(host, `nft list counter inet lan ${name}`))![1]);
}

/** Avahi finds a node, and a node finds what Avahi publishes. */
async function avahi(): Promise<void> {
  for (const host of ['near', 'far']) lab.host(host);
  lab.lan('dns');
  lab.plug('near', 'eth0', 'dns', ['10.88.0.1/24', 'fd88::1/64']);
  lab.plug('far', 'eth0', 'dns', ['10.88.0.2/24', 'fd88::2/64']);
  startAvahi(lab, 'far');
  const announced = await node(lab, 'near', 60, { mdns: true });
  const found = browse(lab, 'far', '_shoal._udp', 5060);
  say({ name: 'avahi', found, ids: [announced.up] });
  // What it announced is published by Avahi, under another name, when it is gone.
  announced.kill();
  const txt = found[0]?.txt ?? [];
  const published = lab.start('far', 'avahi-publish', ['-s', 'a copy (2)', '_shoal._udp', '5060', ...txt]);
  const other = await node(lab, 'near', 61, { mdns: true, port: 5484 });
  say({ name: 'published', heard: (await hears(other, 1))[0]!, id: announced.up });
  published.kill();
}

const lab = new Lab([]);
try {
  for (const host of ['one', 'two', 'big', 'six-a', 'six-b', 'mover']) lab.host(host);
  for (const name of ['lan', 'six', 'far']) lab.lan(name);
  lab.plug('one', 'eth0', 'lan', ['10.55.0.1/24', 'fd55::1/64']);
  lab.plug('two', 'eth0', 'lan', ['10.55.0.2/24', 'fd55::2/64']);
  lab.sh('two', `echo '${COUNTING}' | nft -f -`);

  const first = await node(lab, 'one', 1);
  const second = await node(lab, 'two', 2);
  const [a, b] = await Promise.all([hears(first, 1), hears(second, 1)]);
  say({ name: 'pair', tookMs: [a[0]!.atMs - second.atMs, b[0]!.atMs - second.atMs], heard: [a[0]!, b[0]!] });

  const more = [await node(lab, 'two', 3), await node(lab, 'two', 4)];
  const found = await Promise.all([hears(first, 2), hears(second, 2), hears(more[0]!, 3), hears(more[1]!, 3)]);
  const ids = [first, second, ...more].map(({ up }) => up);
  say({ name: 'host', ids, found: found.map((each) => each.map(({ heard }) => heard)) });
  say({ name: 'ttl', datagrams: counted(lab, 'two', 'seen'), others: counted(lab, 'two', 'others') });

  const others: (LabProcess & Up)[] = [];
  for (let i = 0; i < 10; i++) {
    lab.lan(`ten${i}`);
    lab.plug('big', `eth${i}`, `ten${i}`, [`10.66.${i}.1/24`]);
    lab.host(`small${i}`);
    lab.plug(`small${i}`, 'eth0', `ten${i}`, [`10.66.${i}.2/24`]);
    others.push(await node(lab, `small${i}`, 20 + i));
  }
  const big = await node(lab, 'big', 10);
  await hears(big, 10);
  const heard = await Promise.all(others.map(async (other) => (await hears(other, 1))[0]!));
  say({ name: 'ten', heard, ids: others.map(({ up }) => up), id: big.up });

  // Without an IPv4 address, and with link-local ones only.
  lab.plug('six-a', 'eth0', 'six', []);
  lab.plug('six-b', 'eth0', 'six', []);
  await node(lab, 'six-a', 40);
  say({ name: 'ipv6', heard: (await hears(await node(lab, 'six-b', 41), 1))[0]! });

  lab.plug('mover', 'eth0', 'far', ['10.77.0.1/24']);
  const mover = await node(lab, 'mover', 50);
  lab.plug('mover', 'eth1', 'lan', ['10.55.0.50/24']);
  say({ name: 'moved', heard: (await hears(mover, 1))[0]!, id: first.up });

  const missing = AVAHI_PROGRAMS.filter((program) => spawnSync('which', [program], { stdio: 'ignore' }).status !== 0);
  if (missing.length > 0) say({ name: 'missing', what: missing.join(' ') });
  else await avahi();
} finally {
  lab.close();
}
