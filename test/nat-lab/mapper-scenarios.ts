/** Our port mapper and miniupnpd, with upnpc and natpmpc as witnesses; `mapper-lab.test.ts` judges. Groups are arguments. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { formatSocketAddress } from '../../src/base/ip.ts';
import { has, Igd } from './igd.ts';
import { Lab } from './lab.ts';
import type { Knock, MapLine, MapperScenario } from './mapper-scenario.ts';
import { pause } from './pause.ts';
import { report } from './report-line.ts';

const say = (scenario: MapperScenario): void => report(scenario);
const OUTSIDE = '11.22.33.10';
const WAN = '11.22.33.1';
const HOST = '192.168.60.2';
const RIVAL = path.join(import.meta.dirname, '../../bench/rivals/port-mapping');

/** What upnpc lists, once it says what is expected; it is asked for some seconds. */
async function listed(
  lab: Lab,
  expected: (list: string) => boolean,
): Promise<{ readonly list: string; readonly ms: number }> {
  const begun = performance.now();
  for (;;) {
    // Without its search, which takes two seconds.
    const list = lab.try('igd', 'upnpc', ['-u', 'http://192.168.60.1:5555/rootDesc.xml', '-l']);
    const ms = Math.round(performance.now() - begun);
    if (expected(list) || ms > 30_000) return { list, ms };
    await pause(100);
  }
}

const knock = (lab: Lab, { mappings }: MapLine): Promise<Knock> => {
  const [first] = mappings;
  if (first?.external === undefined) return Promise.resolve({});
  return lab.node('internet', 'knock.ts', formatSocketAddress(first.external.ip, first.external.port)).next<Knock>();
};

/** A mapping of both protocols over its life. */
async function mapped(lab: Lab, igd: Igd, via: string): Promise<void> {
  igd.start();
  await listed(lab, (list) => list.includes('ExternalIPAddress'));
  const port = 5000;
  const mapping = lab.node('igd', 'map.ts', via, '4', String(port), '7200000');
  const verdict = await mapping.next<MapLine>();
  const isThere = (list: string): boolean => list.includes(`UDP  ${port}->`) && list.includes(`TCP  ${port}->`);
  const before = await listed(lab, isThere);
  const publicAddress = lab.try('igd', 'natpmpc', ['-g', '192.168.60.1']);
  const through = await knock(lab, verdict);
  await igd.stop();
  // Epochs tell a restart from clocks that differ once two seconds and more are between them (RFC 6886 §3.6, RFC 6887 §8.5).
  await pause(4000);
  igd.start();
  const restarted = await listed(lab, isThere);
  const again = await knock(lab, verdict);
  mapping.end();
  let closed = await mapping.next<MapLine>();
  while (closed.event !== 'closed') closed = await mapping.next<MapLine>();
  const after = await listed(lab, (list) => list.includes('ExternalIPAddress'));
  say({
    name: 'mapped',
    via,
    family: 4,
    verdict,
    through,
    listed: [before.list, restarted.list, after.list],
    again,
    publicAddress,
    remadeMs: restarted.ms,
    closed,
  });
  await igd.stop();
}

/** A pinhole in the IPv6 firewall. */
async function pinhole(lab: Lab, igd: Igd, via: string): Promise<void> {
  igd.start();
  await listed(lab, (list) => list.includes('ExternalIPAddress'));
  const mapping = lab.node('igd', 'map.ts', via, '6', '6000', '600000');
  const verdict = await mapping.next<MapLine>();
  const rules = (): string => lab.sh('igd-nat', 'nft list chain inet igd pinholes');
  const before = rules();
  const through = await knock(lab, verdict);
  mapping.end();
  let closed = await mapping.next<MapLine>();
  while (closed.event !== 'closed') closed = await mapping.next<MapLine>();
  const after = rules();
  const again = await knock(lab, verdict);
  const rulesSeen = [before, '', after] as const;
  say({
    name: 'mapped',
    via,
    family: 6,
    verdict,
    through,
    listed: rulesSeen,
    again,
    publicAddress: '',
    remadeMs: 0,
    closed,
  });
  await igd.stop();
}

async function rival(lab: Lab, igd: Igd): Promise<void> {
  if (!existsSync(path.join(RIVAL, 'node_modules'))) {
    say({ name: 'missing', what: 'nat-port-mapper (npm install --prefix bench/rivals/port-mapping)' });
    return;
  }
  igd.start();
  await listed(lab, (list) => list.includes('ExternalIPAddress'));
  const running = lab.start('igd', process.execPath, [path.join(RIVAL, 'map.mjs'), '192.168.60.1', HOST]);
  for (const line of (await running.ended()).split('\n')) {
    if (line.startsWith('{')) say({ name: 'rival', ...(JSON.parse(line) as { step: string; ms: number }) });
  }
  await igd.stop();
}

/** The command, as a user runs it; and what it leaves. */
async function command(lab: Lab, igd: Igd): Promise<void> {
  igd.start();
  await listed(lab, (list) => list.includes('ExternalIPAddress'));
  const main = path.join(import.meta.dirname, '../../apps/cli/src/main.ts');
  const running = lab.start('igd', process.execPath, ['--conditions=shoal-source', main, 'nat', '--map', '--json']);
  const said = await running.ended();
  const { list } = await listed(lab, (text) => text.includes('ExternalIPAddress'));
  say({ name: 'command', said, after: list });
  await igd.stop();
}

/** A router whose own address is private: miniupnpd refuses to map. */
async function double(lab: Lab): Promise<void> {
  lab.nat('behind', 'port', '100.64.0.2/24', 61, { above: 'igd' });
  const igd = new Igd(lab, { nat: 'behind', lan: '192.168.61' });
  igd.start();
  await pause(1000);
  const running = ['pcp', 'nat-pmp', 'upnp'].map((via, i) =>
    lab.node('behind', 'map.ts', via, '4', String(5000 + i), '7200000'),
  );
  for (const mapping of running) say({ name: 'double', verdict: await mapping.next<MapLine>() });
  for (const mapping of running) mapping.kill();
  await igd.stop();
}

const missing = ['miniupnpd', 'upnpc', 'natpmpc'].filter((program) => !has(program));
if (missing.length > 0) say({ name: 'missing', what: missing.join(', ') });
else {
  const lab = new Lab([`${OUTSIDE}/24`, '2001:db8:0:1::1/64']);
  try {
    lab.nat('igd', 'port', `${WAN}/24`, 60, { gateway: OUTSIDE });
    lab.v6('igd', '2001:db8:0:1::60', '2001:db8:60');
    const igd = new Igd(lab, { nat: 'igd', lan: '192.168.60' });
    for (const group of process.argv.slice(2)) {
      if (group === 'rival') await rival(lab, igd);
      else if (group === 'command') await command(lab, igd);
      else if (group === 'double') await double(lab);
      else if (group.endsWith('6')) await pinhole(lab, igd, group.slice(0, -1));
      else await mapped(lab, igd, group);
    }
  } finally {
    lab.close();
  }
}
