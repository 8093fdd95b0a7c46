/**
 * QUIC swarms beside what else there is in JavaScript: asks, large messages, handshakes and memory, two processes on
 * loopback. Rivals that are not installed are left out by name: `npm install --ignore-scripts --prefix bench/rivals/quic`.
 *
 * An ask is a stream of its own, there and back, in every system; a large message is an ask of 1 MiB that gets one byte,
 * four in flight. A handshake ends with the answer to one ask. `shoal, 9000` finds datagrams of 9000 bytes on loopback.
 */

import { type Bench, type Claim, type Measure, median, rateOf, ROUND_MS, type Round } from './harness/bench.ts';
import { Child, endAll, Lazy } from './harness/child.ts';
import { coresOf } from './harness/requests.ts';
import { rivalMissing } from './harness/rivals.ts';
import type { Order, Report } from './quic-system.ts';

/** Servers that a client dials one after the other for the handshakes. */
const DOORS = 24;
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
class Peer extends Child<Order, Report> {
  constructor(system: string) {
    super(new URL('quic-peer.ts', import.meta.url), [system]);
  }

  override order(order: Order): Promise<Report> {
    return super.order(order, PATIENCE_MS);
  }
}

/** A server and a client of a system, and what connects them. */
class QuicPair implements AsyncDisposable {
  readonly server: Peer;
  readonly client: Peer;
  readonly infos: readonly string[];

  private constructor(server: Peer, client: Peer, infos: readonly string[]) {
    [this.server, this.client, this.infos] = [server, client, infos];
  }

  static async start(system: string, servers: number): Promise<QuicPair> {
    const [server, client] = [new Peer(system), new Peer(system)];
    const { infos } = await server.order({ do: 'serve', count: servers });
    return new QuicPair(server, client, infos!);
  }

  /** With a connection. */
  static async connected(system: string): Promise<QuicPair> {
    const pair = await QuicPair.start(system, 1);
    await pair.client.order({ do: 'connect', info: pair.infos[0]!, count: 1 });
    return pair;
  }

  async asks(bytes: number, inFlight: number, each: number): Promise<Round> {
    const { count, ms } = await this.client.order({ do: 'asks', bytes, inFlight, forMs: ROUND_MS });
    return rateOf(count!, ms!, each);
  }

  /** By a client of its own each time, until a round is over. */
  async handshakes(inFlight: number): Promise<Round> {
    let [all, time] = [0, 0];
    while (time < ROUND_MS) {
      const { count, ms } = await this.client.order({ do: 'handshakes', infos: this.infos, inFlight });
      all += count!;
      time += ms!;
    }
    return rateOf(all, time);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll([this.server, this.client]);
  }
}

/** What a connection takes of the server's memory. */
async function idleKib(system: string): Promise<number> {
  await using pair = await QuicPair.connected(system);
  const { server, client, infos } = pair;
  const resident = async (): Promise<number> => (await server.order({ do: 'memory' })).rssBytes!;
  await client.order({ do: 'connect', info: infos[0]!, count: 7 });
  const before = await resident();
  await client.order({ do: 'connect', info: infos[0]!, count: IDLE_CONNECTIONS });
  return ((await resident()) - before) / IDLE_CONNECTIONS / 1024;
}

/** Everything that is measured of a system. */
function measuresOf({ label, name, rival }: System, open: AsyncDisposable[]): Measure[] {
  const pair = new Lazy(() => QuicPair.connected(name));
  const doors = new Lazy(() => QuicPair.start(name, DOORS));
  open.push(pair, doors);
  const missing = rival === undefined ? undefined : rivalMissing('quic', rival);
  const between = (
    of: Lazy<QuicPair>,
    what: string,
    unit: string,
    inFlight: number,
    round: (pair: QuicPair) => Promise<Round>,
  ): Measure => ({
    name: `${label}: ${what}`,
    unit,
    on: coresOf(inFlight),
    missing,
    ends: async () => {
      const { client, server } = await of.get();
      return [client, server];
    },
    round: async () => round(await of.get()),
  });
  const asks = (what: string, unit: string, bytes: number, inFlight: number, each = 1): Measure =>
    between(pair, what, unit, inFlight, (both) => both.asks(bytes, inFlight, each));
  const handshakes = (what: string, inFlight: number): Measure =>
    between(doors, what, 'a second', inFlight, (both) => both.handshakes(inFlight));
  return [
    asks('32 B, one', 'asks/s', 32, 1),
    asks('32 B, 64 in flight', 'asks/s', 32, 64),
    asks('1 KiB, one', 'asks/s', 1024, 1),
    asks('1 KiB, 64 in flight', 'asks/s', 1024, 64),
    asks('1 MiB', 'MB/s', 1_048_576, 4, 1.048576),
    handshakes('handshakes', 1),
    handshakes('handshakes, 16 at once', 16),
    {
      name: `${label}: idle connections`,
      unit: 'in a MiB of the server',
      on: 'not pinned',
      missing,
      isSingle: true,
      round: async () => ({ figure: 1024 / (await idleKib(name)) }),
    },
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
  return what === 'handshakes' && system === 'shoal' ? { ratio: 0.45 } : undefined;
}

export const quicSwarm: Bench = {
  name: 'quic-swarm',
  question: 'how does QUIC compare with what else there is in JavaScript, between two processes?',
  prepare: () => {
    const open: AsyncDisposable[] = [];
    const measures = SYSTEMS.flatMap((system) => measuresOf(system, open));
    const claims: Claim[] = [];
    for (const { label } of SYSTEMS.filter(({ rival }) => rival === undefined)) {
      for (const rival of SYSTEMS.filter((other) => other.rival !== undefined)) {
        for (const { name } of measures.filter((measure) => measure.name.startsWith(`${label}: `))) {
          const what = name.slice(label.length + 2);
          const baseline = `${rival.label}: ${what}`;
          claims.push({ subject: name, baseline, goal: goalOf(what, label, rival.label) });
        }
      }
    }
    return {
      measures: measures.toSorted((a, b) => a.name.split(': ')[1]!.localeCompare(b.name.split(': ')[1]!)),
      claims,
      controls: [
        {
          what: 'more in flight is more a second',
          needs: ['shoal: 32 B, 64 in flight', 'shoal: 32 B, one'],
          holds: (figures) =>
            median(figures.get('shoal: 32 B, 64 in flight')!) > median(figures.get('shoal: 32 B, one')!),
        },
      ],
      [Symbol.asyncDispose]: () => endAll(open),
    };
  },
};
