/**
 * What `openPeers` costs beside the swarm that it stands on: asks on a live connection, the first answer of a cached peer, idle
 * peers, and tells a second over TCP and over QUIC, which is reliable UDP. Both ends are processes of their own on loopback. CPU
 * is that of both. Control: the TCP swarm beside a second pair of processes of the same kind.
 */

import { type ChildProcess, fork } from 'node:child_process';

import { type Bench, type Claim, type Figures, type Measure, median } from './harness/bench.ts';
import type { PeersKind, PeersOrder, PeersReport, Target } from './peers-process.ts';

/** At most 1.15 times the CPU, at least 0.9 times the throughput, at most 1.3 times the time, at most one hundredth of a core. */
const GOALS = { cpu: 0.87, rate: 0.9, first: 0.77, idle: 100 };
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

/** A process, which answers one order after the other. */
class End {
  readonly #child: ChildProcess = fork(new URL('peers-process.ts', import.meta.url), {
    execArgv: ['--conditions=shoal-source', '--expose-gc'],
  });

  order(order: PeersOrder): Promise<PeersReport> {
    return new Promise((resolve, reject) => {
      const gone = (code: number | null): void => reject(new Error(`an end has ended with ${code}`));
      this.#child.once('exit', gone);
      this.#child.once('message', (report: PeersReport) => {
        this.#child.off('exit', gone);
        if (report.error === undefined) resolve(report);
        else reject(new Error(report.error));
      });
      this.#child.send(order);
    });
  }

  async close(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.disconnect();
    await exited;
  }
}

/** Two ends of one kind. */
class Pair {
  readonly #server = new End();
  readonly #client = new End();
  target!: Target;

  static async open(kind: PeersKind): Promise<Pair> {
    const pair = new Pair();
    const { targets } = await pair.#server.order({ do: 'open', kind, count: 1 });
    await pair.#client.order({ do: 'open', kind, count: 1 });
    pair.target = targets![0]!;
    return pair;
  }

  /** Asks a second, and asks for each second of CPU of both ends. */
  async asks(bytes: number, inFlight: number, ms: number): Promise<{ readonly rate: number; readonly perCpu: number }> {
    const before = await this.#cpuMs();
    const done = await this.#client.order({ do: 'asks', to: this.target, bytes, inFlight, ms });
    const cpuMs = (await this.#cpuMs()) - before;
    return { rate: (done.count! * 1000) / done.ms!, perCpu: (done.count! * 1000) / cpuMs };
  }

  /** Milliseconds until the receiver has processed all. */
  async tells(bytes: number, count: number): Promise<number> {
    const received = this.#server.order({ do: 'expect', count });
    const began = performance.now();
    const sent = this.#client.order({ do: 'tells', to: this.target, bytes, count });
    await received;
    const ms = performance.now() - began;
    await sent;
    return ms;
  }

  /** First answers a second, one after the other. */
  async firstAnswers(kind: PeersKind): Promise<number> {
    const to = this.target;
    const { ms } = await this.#client.order({ do: 'first answers', kind, to, count: FIRST_ANSWERS });
    return 1000 / ms!;
  }

  async close(): Promise<void> {
    await Promise.all([this.#server.close(), this.#client.close()]);
  }

  async #cpuMs(): Promise<number> {
    const used = await Promise.all([this.#server.order({ do: 'use' }), this.#client.order({ do: 'use' })]);
    return used[0].cpuMs! + used[1].cpuMs!;
  }
}

/** Many connections that nothing is said on. */
async function holdIdle(kind: PeersKind, quick: boolean): Promise<{ readonly kib: number; readonly idle: number }> {
  const [many, one] = [new End(), new End()];
  try {
    const { targets } = await many.order({ do: 'open', kind, count: IDLE_PEERS });
    const { bytes } = await one.order({ do: 'hold', kind, to: targets! });
    const [{ cpuMs: before }, began] = [await one.order({ do: 'use' }), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, quick ? 20_000 : 40_000));
    const cpuMs = (await one.order({ do: 'use' })).cpuMs! - before!;
    return { kib: bytes! / IDLE_PEERS / 1024, idle: (performance.now() - began) / cpuMs };
  } finally {
    await Promise.all([many.close(), one.close()]);
  }
}

const LABEL: Readonly<Record<PeersKind, string>> = {
  tcp: 'TCP swarm',
  quic: 'QUIC swarm',
  'peers over tcp': 'peers over TCP',
  'peers over quic': 'peers over QUIC',
};

/** Asks, as a rate and by CPU; the second figure is of the same round. */
function askMeasures(label: string, pair: Pair, quick: boolean): readonly Measure[] {
  return ASKS.flatMap(({ bytes, inFlight }) => {
    let perCpu = 0;
    const name = `${label}: ${sizeText(bytes)} × ${inFlight}`;
    return [
      {
        name,
        unit: 'asks/s',
        round: async () => {
          const done = await pair.asks(bytes, inFlight, quick ? 500 : 1000);
          perCpu = done.perCpu;
          return done.rate;
        },
      },
      { name: `${name}, CPU`, unit: 'asks a CPU second', round: () => perCpu },
    ];
  });
}

function tellMeasures(label: string, pair: Pair, quick: boolean): readonly Measure[] {
  return TELL_BYTES.map((bytes) => {
    let count = 2000;
    return {
      name: `${label}: tells of ${sizeText(bytes)}`,
      unit: 'tells/s',
      round: async () => {
        const rate = (count * 1000) / (await pair.tells(bytes, count));
        count = Math.max(500, Math.round(rate * (quick ? 0.4 : 0.8)));
        return rate;
      },
    };
  });
}

function idleMeasures(kind: PeersKind, quick: boolean): readonly Measure[] {
  let held: ReturnType<typeof holdIdle> | undefined;
  const name = `${LABEL[kind]}: ${IDLE_PEERS} idle peers`;
  const once = (): ReturnType<typeof holdIdle> => (held ??= holdIdle(kind, quick));
  return [
    { name, unit: 'ms a CPU ms', round: async () => (await once()).idle },
    { name: `${name}, memory`, unit: 'peers a MiB', round: async () => 1024 / (await once()).kib },
  ];
}

export const peersBench: Bench = {
  name: 'peers',
  question: 'what openPeers costs beside the swarm that it stands on, and what an idle peer costs',
  prepare: async (quick) => {
    const [tcp, again, peers, quic, peersOverQuic] = [
      await Pair.open('tcp'),
      await Pair.open('tcp'),
      await Pair.open('peers over tcp'),
      await Pair.open('quic'),
      await Pair.open('peers over quic'),
    ];
    const claims: Claim[] = ASKS.flatMap(({ bytes, inFlight }) => {
      const of = (label: string): string => `${label}: ${sizeText(bytes)} × ${inFlight}`;
      const [subject, baseline] = [of(LABEL['peers over tcp']), of(LABEL.tcp)];
      return [
        { subject: `${subject}, CPU`, baseline: `${baseline}, CPU`, goal: { ratio: GOALS.cpu } },
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
    const controlName = 'TCP swarm again: 64 B × 64';
    const control = askMeasures('TCP swarm again', again, quick).slice(0, 2);
    return {
      measures: [
        ...idleMeasures('tcp', quick),
        ...idleMeasures('peers over tcp', quick),
        ...interleaved(askMeasures(LABEL.tcp, tcp, quick), askMeasures(LABEL['peers over tcp'], peers, quick)),
        ...control,
        { name: first('tcp'), unit: 'a second', round: () => tcp.firstAnswers('tcp') },
        { name: first('peers over tcp'), unit: 'a second', round: () => peers.firstAnswers('peers over tcp') },
        ...interleaved(tellMeasures(LABEL.tcp, tcp, quick), tellMeasures(LABEL['peers over tcp'], peers, quick)),
        ...interleaved(
          tellMeasures(LABEL.quic, quic, quick),
          tellMeasures(LABEL['peers over quic'], peersOverQuic, quick),
        ),
      ],
      claims,
      controls: (figures) => [
        {
          what: 'the TCP swarm needs as much CPU as another TCP swarm',
          ok: isNear(figures, `${controlName}, CPU`, 'TCP swarm: 64 B × 64, CPU'),
        },
      ],
      [Symbol.asyncDispose]: async () => {
        for (const pair of [tcp, again, peers, quic, peersOverQuic]) await pair.close();
      },
    };
  },
};

/** Takes pairs of measures in turns, so that what is compared is measured one after the other. */
function interleaved(ours: readonly Measure[], others: readonly Measure[]): readonly Measure[] {
  const step = ours.length === TELL_BYTES.length ? 1 : 2;
  const all: Measure[] = [];
  for (let at = 0; at < ours.length; at += step) {
    all.push(...ours.slice(at, at + step), ...others.slice(at, at + step));
  }
  return all;
}

/** Whether the ratio of two measures is that of noise. */
function isNear(figures: Figures, name: string, other: string): boolean {
  const [own, base] = [figures.get(name)!, figures.get(other)!];
  const ratio = median(own.map((figure, round) => figure / base[round]!));
  return ratio > 0.8 && ratio < 1.25;
}

function sizeText(bytes: number): string {
  if (bytes >= 1_048_576) return `${bytes / 1_048_576} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`;
}
