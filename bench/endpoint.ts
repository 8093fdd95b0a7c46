/**
 * The endpoint beside the real qp2p: requests, acknowledged messages, large messages, connecting, many clients. Each side is
 * two processes on loopback, and qp2p's are the crate in interop/rust/qp2p. Both systems take turns in every round. Left out
 * by name where cargo is not installed.
 *
 * `shoal, 9000` finds datagrams of 9000 bytes on loopback; qp2p looks up to 1452, as shoal by default.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

import { Qp2pPeer, qp2pMissing } from '../interop/qp2p-peer.ts';
import type { EndpointOrder, EndpointReport } from './endpoint-orders.ts';
import { type Bench, type Claim, type Measure, median } from './harness/bench.ts';

const PATIENCE_MS = 600_000;
const CONNECTS = 50;
const WARM_UP_MS = 4000;
const MIB = 2 ** 20;

/** One end of ours, as a process of its own. */
class ShoalPeer implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor(kind: string) {
    this.#child = fork(new URL('endpoint-process.ts', import.meta.url), [kind], {
      execArgv: ['--conditions=shoal-source'],
    });
  }

  async order(order: EndpointOrder): Promise<EndpointReport> {
    this.#child.send(order);
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const [report] = (await once(this.#child, 'message', { signal })) as [EndpointReport];
    if (report.error !== undefined) throw new Error(report.error);
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}

/** What one system can be measured at; a second, except where the name says otherwise. */
interface System extends AsyncDisposable {
  readonly label: string;
  requests(bytes: number, inFlight: number): Promise<number>;
  acknowledged(bytes: number, inFlight: number): Promise<number>;
  connects(): Promise<number>;
  connectsToAny(dead: string): Promise<number>;
  /** Milliseconds. */
  clients(clients: number, count: number, bytes: number): Promise<number>;
}

const perSecond = ({ count = 0, ms = 1 }: EndpointReport): number => (count * 1000) / ms;

async function shoal(label: string, kind: string, forMs: number): Promise<System> {
  const [server, client, echo] = [new ShoalPeer(kind), new ShoalPeer(kind), new ShoalPeer(kind)];
  const { addr } = await server.order({ do: 'serve', echo: false });
  const { addr: echoAddr } = await echo.order({ do: 'serve', echo: true });
  await client.order({ do: 'connect', addr: addr! });
  return {
    label,
    requests: async (bytes, inFlight) => perSecond(await client.order({ do: 'bidi', bytes, inFlight, forMs })),
    acknowledged: async (bytes, inFlight) => perSecond(await client.order({ do: 'uni', bytes, inFlight, forMs })),
    connects: async () => perSecond(await client.order({ do: 'connects', addrs: [addr!], count: CONNECTS })),
    connectsToAny: async (dead) => perSecond(await client.order({ do: 'anys', addrs: [dead, addr!], count: CONNECTS })),
    clients: async (clients, count, bytes) =>
      (await client.order({ do: 'clients', addr: echoAddr!, clients, count, bytes })).ms!,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([server, client, echo].map((peer) => peer[Symbol.asyncDispose]()));
    },
  };
}

async function qp2p(forMs: number): Promise<System> {
  // An hour, so that what is not measured just now does not end.
  const [server, client, echo] = ['--quiet', '--quiet', '--echo'].map(
    (mode) => new Qp2pPeer('--quiet', '--idle', '3600000', mode),
  ) as [Qp2pPeer, Qp2pPeer, Qp2pPeer];
  const [addr, echoAddr] = [await server.address(), await echo.address()];
  client.command('connect', addr);
  /** As many as fit into the time, by the rate of a first few. */
  const rate = async (verb: 'uni' | 'bidi', bytes: number, inFlight: number): Promise<number> => {
    const answer = verb === 'uni' ? 'sent' : 'asked';
    const few = Math.max(inFlight, bytes >= MIB ? 4 : 200);
    const first = perSecond(await client.ask(answer, verb, 1, few, bytes, inFlight));
    const count = Math.max(few, Math.round((first * forMs) / 1000));
    return perSecond(await client.ask(answer, verb, 1, count, bytes, inFlight));
  };
  return {
    label: 'qp2p',
    requests: (bytes, inFlight) => rate('bidi', bytes, inFlight),
    acknowledged: (bytes, inFlight) => rate('uni', bytes, inFlight),
    connects: async () => perSecond(await client.ask('done', 'connects', addr, CONNECTS)),
    connectsToAny: async (dead) => perSecond(await client.ask('done', 'anys', CONNECTS, dead, addr)),
    clients: async (clients, count, bytes) =>
      (await client.ask('done', 'clients', echoAddr, clients, count, bytes)).ms!,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([server, client, echo].map((peer) => peer[Symbol.asyncDispose]()));
    },
  };
}

function measuresOf(system: System, dead: string, quick: boolean, once: Map<string, number>): readonly Measure[] {
  const measure = (what: string, unit: string, round: () => Promise<number>): Measure => ({
    name: `${system.label}: ${what}`,
    unit,
    round,
  });
  /** Takes long, so once and not in every round. */
  const single = (what: string, act: () => Promise<number>) => async (): Promise<number> => {
    const name = `${system.label}: ${what}`;
    if (!once.has(name)) once.set(name, await act());
    return 1000 / once.get(name)!;
  };
  const large = quick ? 4 : 100;
  const crowd = '100 clients × 100 × 200 B, there and back';
  const bulk = `10 clients × ${large} × 1 MiB, there and back`;
  return [
    measure('request, 64 B, one', 'a second', () => system.requests(64, 1)),
    measure('acknowledged, 64 B, 100 in flight', 'a second', () => system.acknowledged(64, 100)),
    measure('acknowledged, 1 MiB, 4 in flight', 'MiB/s', () => system.acknowledged(MIB, 4)),
    measure('connect', 'a second', () => system.connects()),
    measure('connect to any of [dead, good]', 'a second', () => system.connectsToAny(dead)),
    measure(
      crowd,
      'a second',
      single(crowd, () => system.clients(100, 100, 200)),
    ),
    measure(
      bulk,
      'a second',
      single(bulk, () => system.clients(10, large, MIB)),
    ),
  ];
}

/** The house goals, as ratios of rates: twice the time is half the rate. */
const GOALS: Readonly<Record<string, number>> = {
  'request, 64 B, one': 0.8,
  'acknowledged, 64 B, 100 in flight': 1,
  connect: 0.5,
  'connect to any of [dead, good]': 0.5,
};

/** A port on loopback at which nothing answers. */
async function deadAddress(): Promise<{ readonly addr: string; readonly close: () => void }> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { addr: `127.0.0.1:${socket.address().port}`, close: () => socket.close() };
}

export const endpointBench: Bench = {
  name: 'endpoint',
  question: 'how does the endpoint compare with the real qp2p, two processes each?',
  prepare: async (quick) => {
    const forMs = quick ? 200 : 1000;
    const missing = qp2pMissing();
    const dead = await deadAddress();
    const systems = [await shoal('shoal', 'plain', forMs)];
    if (!quick) systems.push(await shoal('shoal, 9000', 'jumbo', forMs));
    if (missing === false) systems.push(await qp2p(forMs));
    // Node compiles what is hot after seconds; both systems get the same time for it.
    for (let rounds = 0; rounds < (quick ? WARM_UP_MS / 4 : WARM_UP_MS) / forMs; rounds++) {
      for (const system of systems) {
        await system.requests(64, 1);
        await system.acknowledged(64, 100);
        await system.connects();
      }
    }
    const times = new Map<string, number>();
    const measures = systems.flatMap((system) => measuresOf(system, dead.addr, quick, times));
    const claims: Claim[] = [];
    for (const { name } of measures.filter(({ name: subject }) => subject.startsWith('shoal'))) {
      const [label, what] = name.split(/: /) as [string, string];
      const goal = label === 'shoal' && GOALS[what] !== undefined ? { ratio: GOALS[what] } : undefined;
      if (missing === false) claims.push({ subject: name, baseline: `qp2p: ${what}`, goal });
    }
    return {
      measures: measures.toSorted((a, b) => a.name.split(': ')[1]!.localeCompare(b.name.split(': ')[1]!)),
      claims,
      controls: (figures) => [
        {
          what: 'more in flight is more a second',
          ok:
            median(figures.get('shoal: acknowledged, 64 B, 100 in flight')!) >
            median(figures.get('shoal: request, 64 B, one')!),
        },
      ],
      notes: () => [
        ...(missing === false ? [] : [`left out: qp2p, since ${missing}`]),
        ...[...times].map(([what, ms]) => `${what}: all arrived in ${(ms / 1000).toFixed(2)} s`),
      ],
      [Symbol.asyncDispose]: async () => {
        dead.close();
        await Promise.all(systems.map((system) => system[Symbol.asyncDispose]()));
      },
    };
  },
};
