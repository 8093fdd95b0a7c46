/**
 * Requests and answers over one connection: the TCP and QUIC swarms beside raw `net`, `ws` and hyperdht, two processes each
 * on loopback. `net` and `ws` encrypt nothing and know nobody; hyperdht does both. Rivals that are not installed are left
 * out by name: `npm install --ignore-scripts --prefix bench/rivals/requests`.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';

import { type Bench, type Claim, type Measure, median } from './harness/bench.ts';
import type { RequestOrder } from './requests-orders.ts';

const CASES = [
  { what: '64 B, one after the other', bytes: 64, inFlight: 1 },
  { what: '64 B, 64 in flight', bytes: 64, inFlight: 64 },
  { what: '1 KiB, 64 in flight', bytes: 1024, inFlight: 64 },
] as const;

const OURS = [
  { kind: 'tcp', label: 'TCP swarm' },
  { kind: 'quic', label: 'QUIC swarm' },
] as const;
const BASELINE = { kind: 'net', label: 'raw net' } as const;
const RIVALS = [
  { kind: 'ws', label: 'ws' },
  { kind: 'hyperdht', label: 'hyperdht' },
] as const;

const PATIENCE_MS = 5000;

function message<T>(child: ChildProcess, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      clearTimeout(late);
      child.off('exit', gone);
      child.off('message', come);
      end();
    };
    const gone = (code: number | null): void => settle(() => reject(new Error(`${what} ended with ${code}`)));
    const come = (value: unknown): void => settle(() => resolve(value as T));
    const late = setTimeout(
      () => settle(() => reject(new Error(`${what} did not answer within ${PATIENCE_MS / 1000} s`))),
      PATIENCE_MS,
    );
    child.on('exit', gone);
    child.on('message', come);
  });
}

/** Both ends of a contender. */
async function start(kind: string, open: ChildProcess[]): Promise<(order: RequestOrder) => Promise<number>> {
  const script = new URL('requests-process.ts', import.meta.url);
  const run = (...args: readonly string[]): ChildProcess => {
    const child = fork(script, args, {
      execArgv: ['--conditions=shoal-source'],
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    });
    open.push(child);
    return child;
  };
  const addr = await message<string>(run('serve', kind), kind);
  const client = run('ask', kind, addr);
  await message(client, kind);
  return (order) => {
    client.send(order);
    return message<number>(client, kind);
  };
}

const installed = (kind: string): boolean =>
  existsSync(new URL(`rivals/requests/node_modules/${kind}`, import.meta.url));

export const requests: Bench = {
  name: 'requests',
  question: 'How many requests a second go over one connection, compared with raw net, ws and hyperdht?',
  prepare: async (quick) => {
    const forMs = quick ? 200 : 700;
    const rivals = RIVALS.filter(({ kind }) => installed(kind));
    const contenders = [BASELINE, ...OURS, ...rivals];
    const open: ChildProcess[] = [];
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const asks = new Map<string, (order: RequestOrder) => Promise<number>>();
    const failed: string[] = [];
    for (const { kind, label } of contenders) {
      try {
        asks.set(kind, await start(kind, open));
      } catch (error) {
        failed.push(`${label}: left out, ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    const there = contenders.filter(({ kind }) => asks.has(kind));
    for (const { what, bytes, inFlight } of CASES) {
      const named = (label: string): string => `${label}: ${what}`;
      for (const { kind, label } of there) {
        measures.push({
          name: named(label),
          unit: 'requests/s',
          round: () => asks.get(kind)!({ bytes, inFlight, forMs }),
        });
      }
      measures.push({
        name: named('raw net again'),
        unit: 'requests/s',
        round: () => asks.get(BASELINE.kind)!({ bytes, inFlight, forMs }),
      });
      for (const { label } of OURS) {
        for (const baseline of there.filter((each) => !OURS.some((own) => own === each))) {
          claims.push({ subject: named(label), baseline: named(baseline.label) });
        }
      }
    }
    return {
      measures,
      claims,
      controls: (figures) =>
        CASES.map(({ what }) => {
          const [one, again] = [figures.get(`raw net: ${what}`)!, figures.get(`raw net again: ${what}`)!];
          const ratio = median(again.map((figure, i) => figure / one[i]!));
          return { what: `raw net against itself, ${what}: ${ratio.toFixed(2)}×`, ok: ratio > 0.6 && ratio < 1.6 };
        }),
      notes: () => [
        ...failed,
        ...RIVALS.filter(({ kind }) => !installed(kind)).map(
          ({ label }) => `${label}: not installed (npm install --ignore-scripts --prefix bench/rivals/requests)`,
        ),
      ],
      [Symbol.asyncDispose]: () => {
        for (const child of open) child.kill('SIGKILL');
        return Promise.resolve();
      },
    };
  },
};
