/**
 * QUIC swarms beside what else there is in JavaScript: asks, large messages, handshakes and memory, two processes on
 * loopback. Rivals that are not installed are left out by name: `npm install --ignore-scripts --prefix bench/rivals/quic`.
 *
 * An ask is a stream of its own, there and back, in every system; a large message is an ask of 1 MiB that gets one byte,
 * four in flight. A handshake ends with the answer to one ask. `shoal, 9000` finds datagrams of 9000 bytes on loopback.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';

import { type Bench, type Claim, type Measure, median } from './harness/bench.ts';
import type { Order, Report } from './quic-system.ts';

/** Servers that a client dials one after the other for the handshakes. */
const HANDSHAKES = 24;
const IDLE_CONNECTIONS = 40;
const PATIENCE_MS = 6000;

interface System {
  readonly label: string;
  readonly name: string;
  readonly rival?: string;
}

const SYSTEMS: readonly System[] = [
  { label: 'shoal', name: 'shoal' },
  { label: 'shoal, 9000', name: 'shoal-jumbo' },
  { label: 'libp2p-quic', name: 'libp2p', rival: '@chainsafe/libp2p-quic' },
  { label: 'iroh', name: 'iroh', rival: '@number0/iroh' },
  { label: 'matrixai', name: 'matrixai', rival: '@matrixai/quic' },
];

/** One end of a system, as a process of its own. */
class Peer {
  readonly #system: string;
  readonly #child: ChildProcess;

  constructor(system: string) {
    this.#system = system;
    this.#child = fork(new URL('quic-peer.ts', import.meta.url), [system], {
      execArgv: ['--conditions=shoal-source', '--expose-gc'],
      // A rival's manifest makes Node complain.
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    });
  }

  order(order: Order): Promise<Report> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => settle(() => reject(new Error(`no answer of ${this.#system} to ${JSON.stringify(order).slice(0, 80)}`))),
        PATIENCE_MS,
      );
      const settle = (end: () => void): void => {
        clearTimeout(timer);
        this.#child.removeAllListeners();
        end();
      };
      this.#child.once('message', (report: Report & { readonly error?: string }) =>
        settle(() => (report.error === undefined ? resolve(report) : reject(new Error(report.error)))),
      );
      this.#child.once('exit', (code) => settle(() => reject(new Error(`the process ended with ${code}`))));
      this.#child.send(order);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    await new Promise<void>((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.disconnect();
    });
  }
}

const perSecond = ({ count = 0, ms = 1 }: Report): number => (count * 1000) / ms;

/** A client with a connection to a server, and everything that is measured between them. */
async function pairOf(
  { label, name, rival }: System,
  forMs: number,
  open: Peer[],
  memory: Map<string, number>,
  failures: Map<string, string>,
): Promise<readonly Measure[]> {
  const start = (): Peer => {
    const peer = new Peer(name);
    open.push(peer);
    return peer;
  };
  const [server, client, house, initiator] = [start(), start(), start(), start()];
  const { infos } = await server.order({ do: 'serve', count: 1 });
  await client.order({ do: 'connect', info: infos![0]!, count: 1 });
  const doors = (await house.order({ do: 'serve', count: HANDSHAKES })).infos!;
  const asks =
    (bytes: number, inFlight: number, times = 1) =>
    async (): Promise<number> =>
      times * perSecond(await client.order({ do: 'asks', bytes, inFlight, forMs }));
  const handshakes = (inFlight: number) => async () =>
    perSecond(await initiator.order({ do: 'handshakes', infos: doors, inFlight }));
  // Does not vary, and takes long.
  const idle = async (): Promise<number> => {
    const known = memory.get(label);
    if (known !== undefined) return 1024 / known;
    await using full = new Peer(name);
    await using many = new Peer(name);
    const [info] = (await full.order({ do: 'serve', count: 1 })).infos!;
    await many.order({ do: 'connect', info: info!, count: 8 });
    const before = (await full.order({ do: 'usage' })).rssBytes!;
    await many.order({ do: 'connect', info: info!, count: IDLE_CONNECTIONS });
    const kib = ((await full.order({ do: 'usage' })).rssBytes! - before) / IDLE_CONNECTIONS / 1024;
    memory.set(label, kib);
    return 1024 / kib;
  };
  /** A rival that breaks or hangs under a load counts as 0 from there on, and the notes say so. */
  const guarded = (what: string, round: () => Promise<number>) => async (): Promise<number> => {
    if (failures.has(`${label}: ${what}`)) return 0;
    try {
      return await round();
    } catch (error) {
      if (rival === undefined) throw error;
      failures.set(`${label}: ${what}`, String(error).split('\n')[0]!);
      return 0;
    }
  };
  const measure = (what: string, unit: string, round: () => Promise<number>): Measure => ({
    name: `${label}: ${what}`,
    unit,
    round: guarded(what, round),
  });
  return [
    measure('32 B, one', 'asks/s', asks(32, 1)),
    measure('32 B, 64 in flight', 'asks/s', asks(32, 64)),
    measure('1 KiB, one', 'asks/s', asks(1024, 1)),
    measure('1 KiB, 64 in flight', 'asks/s', asks(1024, 64)),
    measure('1 MiB', 'MB/s', asks(1_048_576, 4, 1.048576)),
    measure('handshakes', 'a second', handshakes(1)),
    measure('handshakes, 16 at once', 'a second', handshakes(16)),
    measure('idle connections', 'in a MiB of the server', idle),
  ];
}

type Goal = Claim['goal'];

/** The house goals: requests in flight against every rival, bulk and handshakes against the fastest of them. */
function goalOf(what: string, system: string, rival: string): Goal {
  // It hangs under some loads here, and a win over that would mean nothing.
  if (rival === 'matrixai') return undefined;
  if (what.endsWith('64 in flight')) return { ratio: 3 };
  if (rival !== 'libp2p-quic') return undefined;
  if (what === '1 MiB') return { ratio: system === 'shoal' ? 0.35 : 0.5 };
  return what === 'handshakes' && system === 'shoal' ? { ratio: 0.4 } : undefined;
}

export const quicSwarm: Bench = {
  name: 'quic-swarm',
  question: 'how does QUIC compare with what else there is in JavaScript, between two processes?',
  prepare: async (quick) => {
    const there = SYSTEMS.filter(
      ({ rival }) => rival === undefined || existsSync(new URL(`rivals/quic/node_modules/${rival}`, import.meta.url)),
    );
    const open: Peer[] = [];
    const memory = new Map<string, number>();
    const failures = new Map<string, string>();
    const measures: Measure[] = [];
    for (const system of there) measures.push(...(await pairOf(system, quick ? 150 : 1000, open, memory, failures)));
    const claims: Claim[] = [];
    for (const { label } of there.filter(({ rival }) => rival === undefined)) {
      for (const rival of there.filter((other) => other.rival !== undefined)) {
        for (const { name } of measures.filter((measure) => measure.name.startsWith(`${label}: `))) {
          const what = name.slice(label.length + 2);
          const baseline = `${rival.label}: ${what}`;
          claims.push({ subject: name, baseline, goal: goalOf(what, label, rival.label) });
        }
      }
    }
    const missing = SYSTEMS.filter((system) => !there.includes(system)).map(({ rival }) => rival);
    return {
      measures: measures.toSorted((a, b) => a.name.split(': ')[1]!.localeCompare(b.name.split(': ')[1]!)),
      claims,
      controls: (figures) => [
        {
          what: 'more in flight is more a second',
          ok: median(figures.get('shoal: 32 B, 64 in flight')!) > median(figures.get('shoal: 32 B, one')!),
        },
      ],
      notes: () => [
        ...missing.map((rival) => `left out, not installed in bench/rivals/quic: ${rival}`),
        ...[...failures].map(([what, error]) => `failed: ${what}: ${error}`),
        ...[...memory].map(([label, kib]) => `an idle connection costs the server of ${label} ${kib.toFixed(0)} KiB`),
      ],
      [Symbol.asyncDispose]: async () => {
        await Promise.all(open.map((peer) => peer[Symbol.asyncDispose]()));
      },
    };
  },
};
