/**
 * What is tried in the lab, inside the namespaces: the groups that are named. Writes one line of JSON for each scenario; `nat-lab.test.ts` judges them.
 */

import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { type SocketAddress, formatSocketAddress } from '../../src/base/ip.ts';
import type { NatVerdict } from '../support/nat-probe.ts';
import { Lab } from './lab.ts';
import { report } from './report-line.ts';
import { KERNEL_KINDS, type Scenario, type TurnResult, type PunchedPair } from './scenario.ts';

const say = (scenario: Scenario): void => report(scenario);
const has = (program: string): boolean => spawnSync('which', [program], { stdio: 'ignore' }).status === 0;
const texts = (addresses: readonly SocketAddress[]): string[] =>
  addresses.map(({ ip, port }) => formatSocketAddress(ip, port));

/** Three networks of the internet, each with two hosts. */
const OUTSIDE = ['203.0.113.10', '203.0.113.11', '198.51.100.10', '198.51.100.11', '192.0.2.10', '192.0.2.11'];

async function kinds(lab: Lab): Promise<void> {
  const helpers = lab.node('internet', 'helpers.ts', OUTSIDE[0]!, OUTSIDE[1]!);
  const addresses = await helpers.next<{ readonly udp: SocketAddress[]; readonly tcp: SocketAddress[] }>();
  const judge = async (kind: string): Promise<void> => {
    for (const protocol of ['udp', 'tcp'] as const) {
      const verdict = await lab.node(kind, 'probe.ts', protocol, ...texts(addresses[protocol])).next<NatVerdict>();
      say({ name: 'verdict', kind, protocol, verdict });
    }
  };
  // Most of a probe is waiting, so they wait at the same time.
  await Promise.all(['open', ...KERNEL_KINDS].map(judge));
  const again = () => lab.node('random', 'probe.ts', 'udp', ...texts(addresses.udp)).next<NatVerdict>();
  const before = await again();
  if (has('conntrack')) {
    lab.reboot('random');
    say({ name: 'reboot', before, after: await again() });
  } else say({ name: 'missing', what: 'conntrack' });
  helpers.kill();
}

async function reports(lab: Lab): Promise<void> {
  const observing = lab.node('internet', 'observers.ts', ...OUTSIDE);
  const { addresses } = await observing.next<{ readonly addresses: readonly string[] }>();
  const judge = async (kind: string): Promise<void> => {
    say({ name: 'report', kind, report: await lab.node(kind, 'report.ts', ...addresses).next() });
  };
  await Promise.all(['open', ...KERNEL_KINDS, 'hairpin', 'double'].map(judge));
  observing.kill();
}

/** STUN programs of others, with our observer. */
async function programs(lab: Lab): Promise<void> {
  const observing = lab.node('internet', 'observers.ts', ...OUTSIDE.slice(0, 2));
  await observing.next();
  const [server, port] = [OUTSIDE[0]!, '3478'];
  const ask = async (program: string, kind: string, args: readonly string[]): Promise<void> =>
    say({ name: 'program', program, kind, said: await lab.start(kind, program, args).ended() });
  const asked: Promise<void>[] = [];
  for (const [program, args] of [
    ['stun', [`${server}:${port}`]],
    ['turnutils_natdiscovery', ['-m', '-f', '-p', port, server]],
  ] as const) {
    if (has(program)) asked.push(...['full', 'address', 'port', 'random'].map((kind) => ask(program, kind, args)));
    else say({ name: 'missing', what: program });
  }
  await Promise.all(asked);
  observing.kill();
}

async function coturn(lab: Lab): Promise<void> {
  if (!has('turnserver')) {
    say({ name: 'missing', what: 'turnserver' });
    return;
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-coturn-'));
  const listen = ['-L', OUTSIDE[2]!, '-L', OUTSIDE[3]!];
  const files = ['-b', path.join(folder, 'db'), '--pidfile', path.join(folder, 'pid'), '--log-file', 'stdout'];
  const server = lab.start('internet', 'turnserver', [
    '-n',
    '-S',
    ...listen,
    '--no-cli',
    '--no-tls',
    '--no-dtls',
    ...files,
  ]);
  const seen = await lab
    .node('port', 'observe.ts', `${OUTSIDE[2]}:3478`)
    .next<{ readonly udp: SocketAddress; readonly tcp: SocketAddress }>();
  say({ name: 'coturn', ...seen });
  server.kill();
}

/** Two peers behind NATs with random ports that have a TURN server in common, and nothing else. */
async function turn(lab: Lab): Promise<void> {
  if (!has('turnserver')) {
    say({ name: 'missing', what: 'turnserver' });
    return;
  }
  lab.nat('random2', 'random', '203.0.113.61/24', 41);
  for (const [mode, ip, credentials] of [
    ['static', OUTSIDE[2]!, ['--lt-cred-mech', '-u', 'ann:password', '-r', 'lab']],
    ['rest', OUTSIDE[4]!, ['--use-auth-secret', '--static-auth-secret=north', '-r', 'lab']],
  ] as const) {
    const folder = mkdtempSync(path.join(tmpdir(), 'shoal-turn-'));
    const files = ['-b', path.join(folder, 'db'), '--pidfile', path.join(folder, 'pid'), '--log-file', 'stdout'];
    const quiet = ['--no-cli', '--no-tls', '--no-dtls'];
    const server = lab.start('internet', 'turnserver', ['-n', '-L', ip, '-E', ip, ...credentials, ...quiet, ...files]);
    for (const transport of ['udp', 'tcp'] as const) {
      const bob = lab.node('random2', 'turn-peer.ts', `${ip}:3478`, transport, mode);
      const { addr } = await bob.next<{ readonly addr: string }>();
      const alice = lab.node('random', 'turn-peer.ts', `${ip}:3478`, transport, mode, addr);
      say({ name: 'turn', mode, transport, ...(await alice.next<TurnResult>()) });
      bob.kill();
    }
    server.kill();
  }
}

async function ipv6(lab: Lab): Promise<void> {
  lab.v6Firewall('six-a', '2001:db8:0:1::a', '2001:db8:a');
  lab.v6Firewall('six-b', '2001:db8:0:1::b', '2001:db8:b');
  for (const name of ['six-a', 'six-b']) lab.v6Route(name, '2001:db8:0:1::1');
  const [a, b] = ['[2001:db8:a::2]:4000', '[2001:db8:b::2]:4000'];
  const pair = async (second: 'send' | 'hear'): Promise<readonly number[]> => {
    const ends = [lab.node('six-a', 'punch6.ts', a, b, 'send'), lab.node('six-b', 'punch6.ts', b, a, second)];
    return Promise.all(ends.map(async (end) => (await end.next<{ readonly heard: number }>()).heard));
  };
  const one = await pair('hear');
  say({ name: 'ipv6', one, both: await pair('send') });
}

/** A router with miniupnpd. Its address has to look public, or it refuses to map. */
async function gateway(lab: Lab): Promise<void> {
  const programs = ['miniupnpd', 'upnpc', 'natpmpc'].filter(
    (program) => !has(program) && !existsSync(`/usr/sbin/${program}`),
  );
  if (programs.length > 0) {
    say({ name: 'missing', what: programs.join(', ') });
    return;
  }
  lab.nat('igd', 'port', '11.22.33.1/24', 60, { gateway: '11.22.33.10' });
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-igd-'));
  const config = path.join(folder, 'miniupnpd.conf');
  const nft = `
    table inet igd {
      chain forward { type filter hook forward priority 0; policy accept; }
      chain enter { type nat hook prerouting priority -100; policy accept; }
      chain leave { type nat hook postrouting priority 100; policy accept; }
    }`;
  writeFileSync(path.join(folder, 'nft'), nft);
  lab.sh('igd-nat', `nft -f ${folder}/nft`);
  writeFileSync(
    config,
    [
      'ext_ifname=wan',
      'listening_ip=lan',
      'enable_natpmp=yes',
      'enable_upnp=yes',
      'secure_mode=yes',
      'min_lifetime=5',
      'max_lifetime=86400',
      'uuid=7c1e6a3e-0000-4000-8000-000000000001',
      'upnp_table_name=igd',
      'upnp_nat_table_name=igd',
      'upnp_forward_chain=forward',
      'upnp_nat_chain=enter',
      'upnp_nat_postrouting_chain=leave',
      'allow 1024-65535 192.168.60.0/24 1024-65535',
      'deny 0-65535 0.0.0.0/0 0-65535',
      '',
    ].join('\n'),
  );
  const server = lab.start('igd-nat', 'miniupnpd', ['-d', '-f', config, '-P', path.join(folder, 'pid')]);
  // It answers within the first second of its life; upnpc searches for 2 s.
  let upnp = '';
  for (let tries = 0; tries < 5 && !upnp.includes('ExternalIPAddress'); tries++) upnp = lab.try('igd', 'upnpc', ['-s']);
  const pmp = lab.try('igd', 'natpmpc', ['-g', '192.168.60.1', '-a', '5001', '5001', 'udp', '600']);
  say({ name: 'gateway', upnp, pmp });
  server.kill();
}

/** Two hosts on a cable with 25 ms each way. */
async function wire(lab: Lab): Promise<void> {
  const devices = lab.wire('near', '10.77.0.1/24', 'far', '10.77.0.2/24', { delayMs: 25, lossPercent: 0 });
  if (devices === undefined) {
    say({ name: 'missing', what: 'TAP devices (/dev/net/tun)' });
    return;
  }
  await devices;
  const observing = lab.node('far', 'observers.ts', '10.77.0.2');
  await observing.next();
  const { rttMs } = await lab.node('near', 'observe.ts', '10.77.0.2:3478').next<{ readonly rttMs: number }>();
  say({ name: 'wire', rttMs });
  observing.kill();
}

/** Each of the first hosts with each of the second ones; a helper carries the offers. */
async function punch(
  lab: Lab,
  protocol: 'udp' | 'tcp',
  first: readonly string[],
  second: readonly string[],
): Promise<void> {
  const observing = lab.node('internet', 'observers.ts', ...OUTSIDE);
  const { addresses } = await observing.next<{ readonly addresses: readonly string[] }>();
  const names = [...first, ...second];
  // One port that every kind lets out.
  const at = `${OUTSIDE[1]}:443`;
  const helper = lab.node('internet', 'punch-helper.ts', at, protocol, protocol === 'udp' ? '14000' : '4000', ...names);
  await helper.next();
  const peers = names.map((name) => lab.node(name, 'punch-peer.ts', name, at, ...addresses));
  for (;;) {
    const said = await helper.next<PunchedPair | { readonly over: true }>();
    if ('over' in said) break;
    say({ name: 'punch', protocol, pair: said });
  }
  for (const one of [observing, ...peers]) one.kill();
}

/** Every kind with every kind, both directions: two hosts of each. */
function punchMatrix(lab: Lab, protocol: 'udp' | 'tcp'): Promise<void> {
  const kinds = ['open', ...KERNEL_KINDS];
  for (const [i, kind] of KERNEL_KINDS.entries()) lab.nat(`${kind}-b`, kind, `203.0.113.${80 + i}/24`, 80 + i);
  lab.publicHost('open-b', ['203.0.113.51/24'], OUTSIDE[0]);
  const second = kinds.map((kind) => `${kind}-b`);
  return punch(lab, protocol, kinds, second);
}

/** A NAT with few random ports, and one behind another, with NATs elsewhere. */
function punchPlaces(lab: Lab): Promise<void> {
  lab.nat('random-64', 'random-64', '203.0.113.90/24', 90);
  lab.nat('far-port', 'port', '203.0.113.91/24', 91);
  lab.nat('far-address', 'address', '203.0.113.92/24', 92);
  return punch(lab, 'udp', ['random-64', 'double'], ['far-port', 'far-address']);
}

const GROUPS = {
  kinds,
  reports,
  programs,
  coturn,
  turn,
  ipv6,
  gateway,
  wire,
  punchUdp: (lab: Lab) => punchMatrix(lab, 'udp'),
  punchTcp: (lab: Lab) => punchMatrix(lab, 'tcp'),
  punchPlaces,
} as const;
type Group = keyof typeof GROUPS;

const lab = new Lab([...OUTSIDE.map((ip) => `${ip}/24`), '11.22.33.10/24', '2001:db8:0:1::1/64']);
try {
  for (const [i, kind] of KERNEL_KINDS.entries()) lab.nat(kind, kind, `203.0.113.${20 + i}/24`, 10 + i);
  lab.publicHost('open', ['203.0.113.50/24'], OUTSIDE[0]);
  lab.nat('hairpin', 'full', '203.0.113.60/24', 40, { hairpin: true });
  lab.nat('double', 'port', '100.64.0.2/24', 50, { above: 'port' });
  for (const group of process.argv.slice(2)) await GROUPS[group as Group](lab);
} finally {
  lab.close();
}
