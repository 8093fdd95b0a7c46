/**
 * The endpoint beside the real qp2p: requests, acknowledged messages, large messages, connecting, many clients. Each side is
 * two processes on loopback, and qp2p's are the crate in interop/rust/qp2p. Both systems take turns in every round. Left out
 * by name where cargo is not installed.
 *
 * `shoal, 9000` finds datagrams of 9000 bytes on loopback; qp2p looks up to 1452, as shoal by default.
 */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';

import { Qp2pPeer, qp2pMissing } from '../interop/qp2p-peer.ts';
import type { EndpointOrder, EndpointReport } from './endpoint-orders.ts';
import {
  type Bench,
  type Claim,
  counted,
  type Measure,
  median,
  rateOf,
  ROUND_MS,
  type Round,
} from './harness/bench.ts';
import { Child, endAll, Lazy } from './harness/child.ts';
import { type Cores, type End, programEnd } from './harness/ends.ts';

const PATIENCE_MS = 600_000;
/** Connections at first; a round has as many as it needs. */
const CONNECTS = 200;
const MIB = 2 ** 20;

/** One end of ours, as a process of its own. */
class ShoalPeer extends Child<EndpointOrder, EndpointReport> {
  constructor(kind: string) {
    super(new URL('endpoint-process.ts', import.meta.url), [kind]);
  }

  override order(order: EndpointOrder): Promise<EndpointReport> {
    return super.order(order, PATIENCE_MS);
  }
}

/** What one system can be measured at. */
interface System extends AsyncDisposable {
  /** The client and the server. */
  readonly ends: readonly End[];
  /** The client and the server that echoes messages. */
  readonly echoEnds: readonly End[];
  requests(bytes: number, inFlight: number): Promise<Round>;
  acknowledged(bytes: number, inFlight: number): Promise<Round>;
  /** Milliseconds for so many connections, one after the other. */
  connects(count: number): Promise<number>;
  connectsToAny(count: number, dead: string): Promise<number>;
  /** Milliseconds. */
  clients(clients: number, count: number, bytes: number): Promise<number>;
}

const perSecond = ({ count = 0, ms = 1 }: EndpointReport, each = 1): Round => rateOf(count, ms, each);
/** Large messages are counted in MiB. */
const weight = (bytes: number): number => (bytes >= MIB ? bytes / MIB : 1);

async function shoal(kind: string): Promise<System> {
  const [server, client, echo] = [new ShoalPeer(kind), new ShoalPeer(kind), new ShoalPeer(kind)];
  const { addr } = await server.order({ do: 'serve', echo: false });
  const { addr: echoAddr } = await echo.order({ do: 'serve', echo: true });
  await client.order({ do: 'connect', addr: addr! });
  const busy = async (what: 'bidi' | 'uni', bytes: number, inFlight: number): Promise<Round> =>
    perSecond(await client.order({ do: what, bytes, inFlight, forMs: ROUND_MS }), weight(bytes));
  return {
    ends: [client, server],
    echoEnds: [client, echo],
    requests: (bytes, inFlight) => busy('bidi', bytes, inFlight),
    acknowledged: (bytes, inFlight) => busy('uni', bytes, inFlight),
    connects: async (count) => (await client.order({ do: 'connects', addrs: [addr!], count })).ms!,
    connectsToAny: async (count, dead) => (await client.order({ do: 'anys', addrs: [dead, addr!], count })).ms!,
    clients: async (clients, count, bytes) =>
      (await client.order({ do: 'clients', addr: echoAddr!, clients, count, bytes })).ms!,
    [Symbol.asyncDispose]: () => endAll([server, client, echo]),
  };
}

async function qp2p(): Promise<System> {
  // An hour, so that what is not measured just now does not end.
  const [server, client, echo] = ['--quiet', '--quiet', '--echo'].map(
    (mode) => new Qp2pPeer('--quiet', '--idle', '3600000', mode),
  ) as [Qp2pPeer, Qp2pPeer, Qp2pPeer];
  const [addr, echoAddr] = [await server.address(), await echo.address()];
  client.command('connect', addr);
  /** Rounds of each kind of work. */
  const rounds = new Map<string, () => Promise<Round>>();
  const busy = (verb: 'uni' | 'bidi', bytes: number, inFlight: number): Promise<Round> => {
    const key = `${verb} ${bytes} ${inFlight}`;
    const run = async (count: number): Promise<number> =>
      (await client.ask(verb === 'uni' ? 'sent' : 'asked', verb, 1, Math.max(count, inFlight), bytes, inFlight)).ms!;
    if (!rounds.has(key)) rounds.set(key, counted(run, bytes >= MIB ? 20 : 1000, weight(bytes)));
    return rounds.get(key)!();
  };
  return {
    ends: [client, server].map(({ pid }) => programEnd(pid)),
    echoEnds: [client, echo].map(({ pid }) => programEnd(pid)),
    requests: (bytes, inFlight) => busy('bidi', bytes, inFlight),
    acknowledged: (bytes, inFlight) => busy('uni', bytes, inFlight),
    connects: async (count) => (await client.ask('done', 'connects', addr, count)).ms!,
    connectsToAny: async (count, dead) => (await client.ask('done', 'anys', count, dead, addr)).ms!,
    clients: async (clients, count, bytes) =>
      (await client.ask('done', 'clients', echoAddr, clients, count, bytes)).ms!,
    [Symbol.asyncDispose]: () => endAll([server, client, echo]),
  };
}

const SYSTEMS = [
  { label: 'shoal', start: () => shoal('plain') },
  { label: 'shoal, 9000', start: () => shoal('jumbo') },
  { label: 'qp2p', start: qp2p, missing: (): string | false => named('qp2p', qp2pMissing()) },
] as const;

const named = (what: string, reason: string | false): string | false => reason !== false && `${what}, since ${reason}`;

function measuresOf(
  { label, missing }: { readonly label: string; readonly missing?: () => string | false },
  system: Lazy<System>,
  dead: Lazy<DeadAddress>,
): readonly Measure[] {
  const measure = (what: string, unit: string, on: Cores, round: (system: System) => Promise<Round>): Measure => ({
    name: `${label}: ${what}`,
    unit,
    on,
    missing,
    ends: async () => (await system.get()).ends,
    round: async () => round(await system.get()),
  });
  const connects = counted(async (count) => (await system.get()).connects(count), CONNECTS);
  const anys = counted(async (count) => (await system.get()).connectsToAny(count, (await dead.get()).addr), CONNECTS);
  const crowd = (what: string, clients: number, count: number, bytes: number): Measure => ({
    ...measure(what, 'a second', 'two cores', async (all) => rateOf(1, await all.clients(clients, count, bytes))),
    ends: async () => (await system.get()).echoEnds,
    isSingle: true,
  });
  return [
    measure('request, 64 B, one', 'a second', 'one core', (all) => all.requests(64, 1)),
    measure('acknowledged, 64 B, 100 in flight', 'a second', 'two cores', (all) => all.acknowledged(64, 100)),
    measure('acknowledged, 1 MiB, 4 in flight', 'MiB/s', 'two cores', (all) => all.acknowledged(MIB, 4)),
    measure('connect', 'a second', 'one core', connects),
    measure('connect to any of [dead, good]', 'a second', 'one core', anys),
    crowd('100 clients × 100 × 200 B, there and back', 100, 100, 200),
    crowd('10 clients × 4 × 1 MiB, there and back', 10, 4, MIB),
  ];
}

/** The house goals, as ratios of rates: twice the time is half the rate. */
const GOALS: Readonly<Record<string, number>> = {
  'request, 64 B, one': 0.8,
  'acknowledged, 64 B, 100 in flight': 1,
  connect: 0.5,
  'connect to any of [dead, good]': 0.5,
};

interface DeadAddress extends AsyncDisposable {
  readonly addr: string;
}

/** A port on loopback at which nothing answers. */
async function deadAddress(): Promise<DeadAddress> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    addr: `127.0.0.1:${socket.address().port}`,
    [Symbol.asyncDispose]: () => {
      socket.close();
      return Promise.resolve();
    },
  };
}

export const endpointBench: Bench = {
  name: 'endpoint',
  question: 'how does the endpoint compare with the real qp2p, two processes each?',
  prepare: () => {
    const dead = new Lazy(deadAddress);
    const systems = SYSTEMS.map((each) => ({ each, system: new Lazy<System>(each.start) }));
    const measures = systems.flatMap(({ each, system }) => measuresOf(each, system, dead));
    const claims: Claim[] = [];
    for (const { name } of measures.filter(({ name: subject }) => subject.startsWith('shoal'))) {
      const [label, what] = name.split(/: /) as [string, string];
      const goal = label === 'shoal' && GOALS[what] !== undefined ? { ratio: GOALS[what] } : undefined;
      claims.push({ subject: name, baseline: `qp2p: ${what}`, goal });
    }
    const [many, one] = ['shoal: acknowledged, 64 B, 100 in flight', 'shoal: request, 64 B, one'];
    return {
      measures: measures.toSorted((a, b) => a.name.split(': ')[1]!.localeCompare(b.name.split(': ')[1]!)),
      claims,
      controls: [
        {
          what: 'more in flight is more a second',
          needs: [many, one],
          holds: (figures) => median(figures.get(many)!) > median(figures.get(one)!),
        },
      ],
      [Symbol.asyncDispose]: () => endAll([...systems.map(({ system }) => system), dead]),
    };
  },
};
