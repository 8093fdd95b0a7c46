/**
 * What `openPeers` costs beside the swarm that it stands on: asks on a live connection, the first answer of a cached peer, idle
 * peers, and tells a second over TCP and over QUIC, which is reliable UDP. Both ends are processes of their own on loopback.
 * Control: the TCP swarm beside a second pair of processes of the same kind.
 */

import { type Bench, type Claim, counted, type Measure, rateOf, ROUND_MS, type Round, same } from './harness/bench.ts';
import { Child, endAll, Lazy } from './harness/child.ts';
import { cpuOf, type End } from './harness/ends.ts';
import { coresOf } from './harness/requests.ts';
import type { PeersKind, PeersOrder, PeersReport, Target } from './peers-process.ts';

/** At most 1.15 times the CPU, at least 0.9 times the throughput, at most 1.3 times the time, at most one hundredth of a core. */
const GOALS = { cpu: 1.15, rate: 0.9, first: 0.77, idle: 100 };
const ASKS = [
  { bytes: 64, inFlight: 64 },
  { bytes: 1024, inFlight: 64 },
  { bytes: 1_048_576, inFlight: 4 },
  { bytes: 64, inFlight: 1 },
  { bytes: 1024, inFlight: 1 },
] as const;
const TELL_BYTES = [64, 1024, 16_384, 65_536] as const;
const FIRST_ANSWERS = 15;
const IDLE_PEERS = 1000;
const IDLE_MS = 40_000;
/** A thousand connections take minutes on a busy machine. */
const HOLD_PATIENCE_MS = 900_000;

const PROCESS = new URL('peers-process.ts', import.meta.url);
const startEnd = (): Child<PeersOrder, PeersReport> => new Child(PROCESS);

/** Two ends of one kind. */
class Pair implements AsyncDisposable {
  readonly ends: readonly End[];
  readonly #client = startEnd();
  readonly #server = startEnd();
  readonly #kind: PeersKind;
  #target: Target | undefined;

  constructor(kind: PeersKind) {
    this.#kind = kind;
    this.ends = [this.#client, this.#server];
  }

  async open(): Promise<this> {
    const [{ targets }] = (await Promise.all(
      [this.#server, this.#client].map((end) => end.order({ do: 'open', kind: this.#kind, count: 1 })),
    )) as [PeersReport, PeersReport];
    this.#target = targets![0]!;
    return this;
  }

  async asks(bytes: number, inFlight: number): Promise<Round> {
    const done = await this.#client.order({ do: 'asks', to: this.#target!, bytes, inFlight, ms: ROUND_MS });
    return rateOf(done.count!, done.ms!);
  }

  /** Milliseconds until the receiver has processed all. */
  async tells(bytes: number, count: number): Promise<number> {
    await this.#server.order({ do: 'expect', count });
    const received = this.#server.order({ do: 'received' });
    const began = performance.now();
    const sent = this.#client.order({ do: 'tells', to: this.#target!, bytes, count });
    await received;
    const ms = performance.now() - began;
    await sent;
    return ms;
  }

  /** First answers, one after the other. */
  async firstAnswers(): Promise<Round> {
    const order = { do: 'first answers', kind: this.#kind, to: this.#target!, count: FIRST_ANSWERS } as const;
    return { figure: 1000 / (await this.#client.order(order)).ms!, operations: FIRST_ANSWERS };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll([this.#server, this.#client]);
  }
}

interface Idle {
  readonly kib: number;
  /** Milliseconds for each one of CPU. */
  readonly idle: number;
}

/** Many connections that nothing is said on. */
async function holdIdle(kind: PeersKind): Promise<Idle> {
  await using many = startEnd();
  await using one = startEnd();
  const { targets } = await many.order({ do: 'open', kind, count: IDLE_PEERS }, HOLD_PATIENCE_MS);
  const { bytes } = await one.order({ do: 'hold', kind, to: targets! }, HOLD_PATIENCE_MS);
  const { cpuUs } = await cpuOf([one], () => new Promise((resolve) => setTimeout(resolve, IDLE_MS)));
  return { kib: bytes! / IDLE_PEERS / 1024, idle: (IDLE_MS * 1000) / cpuUs };
}

const LABEL: Readonly<Record<PeersKind, string>> = {
  tcp: 'TCP swarm',
  quic: 'QUIC swarm',
  'peers over tcp': 'peers over TCP',
  'peers over quic': 'peers over QUIC',
};

function between(
  pair: Lazy<Pair>,
  name: string,
  unit: string,
  inFlight: number,
  round: (pair: Pair) => Promise<Round>,
): Measure {
  return {
    name,
    unit,
    on: coresOf(inFlight),
    ends: async () => (await pair.get()).ends,
    round: async () => round(await pair.get()),
  };
}

function askMeasures(label: string, pair: Lazy<Pair>): readonly Measure[] {
  return ASKS.map(({ bytes, inFlight }) =>
    between(pair, `${label}: ${sizeText(bytes)} × ${inFlight}`, 'asks/s', inFlight, (both) =>
      both.asks(bytes, inFlight),
    ),
  );
}

function tellMeasures(label: string, pair: Lazy<Pair>): readonly Measure[] {
  return TELL_BYTES.map((bytes) => {
    const round = counted(async (count) => (await pair.get()).tells(bytes, count), 2000);
    return between(pair, `${label}: tells of ${sizeText(bytes)}`, 'tells/s', 2, round);
  });
}

function idleMeasures(kind: PeersKind): readonly Measure[] {
  let held: Promise<Idle> | undefined;
  const name = `${LABEL[kind]}: ${IDLE_PEERS} idle peers`;
  const once = (): Promise<Idle> => (held ??= holdIdle(kind));
  return [
    {
      name,
      unit: 'ms a CPU ms',
      on: 'not pinned',
      isSingle: true,
      round: async () => ({ figure: (await once()).idle }),
    },
    {
      name: `${name}, memory`,
      unit: 'peers a MiB',
      on: 'not pinned',
      isSingle: true,
      round: async () => ({ figure: 1024 / (await once()).kib }),
    },
  ];
}

export const peersBench: Bench = {
  name: 'peers',
  question: 'what openPeers costs beside the swarm that it stands on, and what an idle peer costs',
  prepare: () => {
    const [tcp, again, peers, quic, peersOverQuic] = (
      ['tcp', 'tcp', 'peers over tcp', 'quic', 'peers over quic'] as const
    ).map((kind) => new Lazy(() => new Pair(kind).open())) as [
      Lazy<Pair>,
      Lazy<Pair>,
      Lazy<Pair>,
      Lazy<Pair>,
      Lazy<Pair>,
    ];
    const claims: Claim[] = ASKS.flatMap(({ bytes, inFlight }) => {
      const of = (label: string): string => `${label}: ${sizeText(bytes)} × ${inFlight}`;
      const [subject, baseline] = [of(LABEL['peers over tcp']), of(LABEL.tcp)];
      return [
        { subject, baseline, goal: { cpu: GOALS.cpu } },
        { subject, baseline, goal: { ratio: GOALS.rate } },
      ];
    });
    const first = (kind: PeersKind): string => `${LABEL[kind]}: first answer`;
    const idle = (kind: PeersKind): string => `${LABEL[kind]}: ${IDLE_PEERS} idle peers`;
    claims.push(
      { subject: first('peers over tcp'), baseline: first('tcp'), goal: { ratio: GOALS.first } },
      { subject: idle('peers over tcp'), baseline: idle('tcp'), goal: { figure: GOALS.idle } },
      { subject: `${idle('peers over tcp')}, memory`, baseline: `${idle('tcp')}, memory` },
    );
    for (const [kind, base] of [
      ['peers over tcp', 'tcp'],
      ['peers over quic', 'quic'],
    ] as const) {
      for (const bytes of TELL_BYTES) {
        const of = (each: PeersKind): string => `${LABEL[each]}: tells of ${sizeText(bytes)}`;
        claims.push({ subject: of(kind), baseline: of(base) });
      }
    }
    const control = askMeasures('TCP swarm again', again).slice(0, 1);
    return {
      measures: [
        ...idleMeasures('tcp'),
        ...idleMeasures('peers over tcp'),
        ...interleaved(askMeasures(LABEL.tcp, tcp), askMeasures(LABEL['peers over tcp'], peers)),
        ...control,
        between(tcp, first('tcp'), 'a second', 1, (pair) => pair.firstAnswers()),
        between(peers, first('peers over tcp'), 'a second', 1, (pair) => pair.firstAnswers()),
        ...interleaved(tellMeasures(LABEL.tcp, tcp), tellMeasures(LABEL['peers over tcp'], peers)),
        ...interleaved(tellMeasures(LABEL.quic, quic), tellMeasures(LABEL['peers over quic'], peersOverQuic)),
      ],
      claims,
      controls: [same('TCP swarm again: 64 B × 64', 'TCP swarm: 64 B × 64', '', 1.25)],
      [Symbol.asyncDispose]: () => endAll([tcp, again, peers, quic, peersOverQuic]),
    };
  },
};

/** Takes pairs of measures in turns, so that what is compared is measured one after the other. */
function interleaved(ours: readonly Measure[], others: readonly Measure[]): readonly Measure[] {
  return ours.flatMap((own, at) => [own, others[at]!]);
}

function sizeText(bytes: number): string {
  if (bytes >= 1_048_576) return `${bytes / 1_048_576} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`;
}
