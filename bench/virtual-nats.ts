/**
 * How many datagrams a second does a virtual network carry on one core, and how long does it take to build one?
 *
 * A thousand NATs with two hosts each. Host `i` exchanges datagrams with host `i ^ 1`, behind the next NAT: each datagram
 * leaves one NAT and enters another, which lets in only whom its own host has sent to. Baseline: the same handlers call each
 * other through a queue, with the copy of the payload that sending makes, and no network. Controls: every datagram arrives,
 * and where nobody has sent to the partner first none does.
 */

import { copyMessage } from '../src/base/bytes.ts';
import { createMemoryRealm } from '../src/swarms/memory/index.ts';
import type { DatagramSocket } from '../src/net/network.ts';
import { createVirtualInternet, type VirtualHost, type VirtualNat } from '../src/testing/index.ts';
import type { VirtualClock } from '../src/runtime/virtual-clock.ts';
import { type Bench, counted, median } from './harness/bench.ts';

const NATS = 1000;
const HOSTS = 2 * NATS;
const BYTES = 1200;
const FIRST_PORT = 2000;
const GOAL_DATAGRAMS_PER_SECOND = 300_000;
/** 2000 hosts behind 1000 NATs in a second. */
const GOAL_HOSTS_PER_SECOND = 2000;
const payload = new Uint8Array(BYTES).fill(7);

interface Built {
  readonly clock: VirtualClock;
  readonly nats: readonly VirtualNat[];
  readonly hosts: readonly VirtualHost[];
}

function build(): Built {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const net = createVirtualInternet({ realm });
  const nats = Array.from({ length: NATS }, () => net.nat('port'));
  const hosts = Array.from({ length: HOSTS }, (_, i) => net.host({ behind: nats[i % NATS]! }));
  return { clock: realm.clock, nats, hosts };
}

/** Sends `rounds` datagrams from each host to its partner. @returns how many came, and in how many milliseconds. */
async function exchange(rounds: number, isPunched: boolean): Promise<{ readonly came: number; readonly ms: number }> {
  const { clock, nats, hosts } = build();
  // These NATs keep the port of a host, so that everybody is found without a server.
  const sockets: DatagramSocket[] = [];
  for (const [i, { network }] of hosts.entries()) {
    sockets.push(await network.bindUdp({ bind: { ip: '0.0.0.0', port: FIRST_PORT + i } }));
  }
  const outside = hosts.map((_, i) => nats[i % NATS]!.ip);
  const send = (i: number): void => sockets[i]!.send(payload, outside[i ^ 1]!, FIRST_PORT + (i ^ 1));
  if (isPunched) for (let i = 0; i < HOSTS; i++) send(i);
  await clock.advance(1000); // Before there is anybody to hear them.
  let came = 0;
  for (const [i, socket] of sockets.entries()) {
    let left = rounds;
    socket.sink = {
      onDatagram: () => {
        came++;
        if (--left > 0) send(i);
      },
    };
  }
  const startedAt = performance.now();
  // Without leave from both sides only the second of each pair would come through.
  for (let i = 0; i < HOSTS; i += isPunched ? 1 : 2) send(i);
  await clock.advance(100_000);
  const ms = performance.now() - startedAt;
  await Promise.all(sockets.map((socket) => socket.close()));
  return { came, ms };
}

/** The same number of calls and copies, through a queue. @returns milliseconds */
function calls(rounds: number): number {
  let queue: (() => void)[] = [];
  const left = Array.from({ length: HOSTS }, () => rounds);
  const send = (i: number): void => {
    const bytes = copyMessage(payload);
    queue.push(() => hear(i ^ 1, bytes));
  };
  const hear = (i: number, bytes: Uint8Array): void => {
    if (--left[i]! > 0 && bytes.length === BYTES) send(i);
  };
  const startedAt = performance.now();
  for (let i = 0; i < HOSTS; i++) send(i);
  while (queue.length > 0) {
    const due = queue;
    queue = [];
    for (const act of due) act();
  }
  return performance.now() - startedAt;
}

export const virtualNats: Bench = {
  name: 'virtual-nats',
  question: `datagrams of ${BYTES} bytes between ${HOSTS} hosts behind ${NATS} NATs, in virtual time on one core`,
  prepare: () => {
    let haveAllCome = true;
    let unasked: number | undefined;
    const [own, handlers, building] = ['virtual network', 'handlers through a queue', 'building the network'];
    const exchanges = async (count: number): Promise<number> => {
      unasked ??= (await exchange(1, false)).came;
      const { came, ms } = await exchange(count / HOSTS, true);
      haveAllCome &&= came === count;
      return ms;
    };
    const builds = (count: number): number => {
      const startedAt = performance.now();
      for (let i = 0; i < count; i += HOSTS) build();
      return performance.now() - startedAt;
    };
    return {
      measures: [
        { name: own, unit: 'datagrams/s', round: counted(exchanges, 50 * HOSTS, 1, HOSTS) },
        { name: handlers, unit: 'calls/s', round: counted((count) => calls(count / HOSTS), 50 * HOSTS, 1, HOSTS) },
        { name: building, unit: 'hosts/s', round: counted(builds, HOSTS, 1, HOSTS) },
      ],
      claims: [
        { subject: own, baseline: handlers, goal: { figure: GOAL_DATAGRAMS_PER_SECOND } },
        { subject: building, baseline: handlers, goal: { figure: GOAL_HOSTS_PER_SECOND } },
      ],
      controls: [
        { what: 'every datagram arrived', needs: [own], holds: () => haveAllCome },
        { what: 'nothing came in that nobody had asked for', needs: [own], holds: () => unasked === 0 },
        {
          what: 'handlers alone are faster than the network',
          needs: [own, handlers],
          holds: (figures) => median(figures.get(handlers)!) > median(figures.get(own)!),
        },
      ],
    };
  },
};
