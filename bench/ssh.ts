/**
 * Asks over the SSH swarm beside the independent Go peer on `golang.org/x/crypto/ssh`, which asks as go-p2p does, and beside our TCP
 * swarm. Both ends are processes of their own. Without Go its measures are left out.
 *
 * As a program (`--serve KIND`) it is the other process.
 */

import { type ChildProcess, fork } from 'node:child_process';

import type { Addr, AskSwarm } from 'shoal';
import { openSshSwarm } from 'shoal/ssh';
import { openTcpSwarm } from 'shoal/tcp';
import { testKey } from 'shoal/testing';
import { GoPeer, goMissing } from '../interop/go-peer.ts';
import { type Bench, type Claim, type Measure, median } from './harness/bench.ts';

const bind = '127.0.0.1:0';
const WARM_UP_MS = 800;

type Kind = 'ssh' | 'tcp';

async function stack(kind: Kind, key: number): Promise<AskSwarm<Addr>> {
  const options = { bind, privateKey: testKey(key) };
  const swarm: unknown = kind === 'ssh' ? await openSshSwarm(options) : await openTcpSwarm(options);
  return swarm as AskSwarm<Addr>;
}

async function serve(kind: Kind): Promise<string> {
  const swarm = await stack(kind, 2);
  swarm.serve(({ payload }) => payload);
  return swarm.addr.text;
}

/** Asks for some time, with so many in flight. @returns asks a second */
type Contender = (bytes: number, inFlight: number, forMs: number) => Promise<number>;

function asker(swarm: AskSwarm<Addr>, server: string): Contender {
  const dst = swarm.parseAddr(server);
  return async (bytes, inFlight, forMs) => {
    const request = new Uint8Array(bytes).fill(7);
    const start = performance.now();
    let done = 0;
    const worker = async (): Promise<void> => {
      while (performance.now() < start + forMs) {
        await swarm.ask(dst, request);
        done++;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    return (done * 1000) / (performance.now() - start);
  };
}

/** One Go peer asks another, or a swarm of ours. */
function goAsker(go: GoPeer, dst: string): Contender {
  return async (bytes, inFlight, forMs) => {
    go.command({ cmd: 'flood', dst, bytes, ms: forMs, times: inFlight });
    const { sent, ms } = await go.next('flooded');
    return (sent! * 1000) / ms!;
  };
}

/** Loads that are claimed of, and the least ratios to the Go peer and to our TCP swarm. */
const CASES = [
  { name: '64 B, one after the other', bytes: 64, inFlight: 1 },
  { name: '64 B, 64 in flight', bytes: 64, inFlight: 64 },
  { name: '16 KiB, one after the other', bytes: 16_384, inFlight: 1 },
  { name: '16 KiB, 8 in flight', bytes: 16_384, inFlight: 8 },
] as const;
const GOALS = { go: { ratio: 1 }, tcp: { ratio: 0.7 } };

const nameOf = (kind: string, name: string): string => `${kind}: ${name}`;

function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('message', (text) => resolve(typeof text === 'string' ? text : ''));
  });
}

/** The bench: `npm run bench -- ssh`. */
export const ssh: Bench = {
  name: 'ssh',
  question: 'How do asks over the SSH swarm compare with a Go peer that asks as go-p2p does, and with our TCP swarm?',
  prepare: async (quick) => {
    const forMs = quick ? 150 : 700;
    const hasGo = goMissing() === false;
    const children: ChildProcess[] = [];
    const swarms: AskSwarm<Addr>[] = [];
    const peers: GoPeer[] = [];
    const contenders = new Map<string, Contender>();
    const addresses = new Map<Kind, string>();
    for (const kind of ['tcp', 'ssh'] as const) {
      const child = fork(import.meta.filename, ['--serve', kind]);
      const [address, swarm] = [await addressOf(child), await stack(kind, 1)];
      children.push(child);
      swarms.push(swarm);
      addresses.set(kind, address);
      contenders.set(kind, asker(swarm, address));
      if (kind === 'tcp') contenders.set('tcp again', contenders.get('tcp')!);
    }
    if (hasGo) {
      const [server, client] = [new GoPeer('ssh', 5), new GoPeer('ssh', 6)];
      peers.push(server, client);
      const address = await server.address();
      await client.address();
      contenders.set('Go', goAsker(client, address));
      contenders.set('ssh to Go', asker(swarms[1]!, address));
      contenders.set('Go to ssh', goAsker(client, addresses.get('ssh')!));
    }
    // What is hot is compiled after some thousand calls, in both processes.
    for (const each of contenders.values()) await each(64, 8, WARM_UP_MS);
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    for (const { name, bytes, inFlight } of CASES) {
      for (const [kind, contender] of contenders) {
        measures.push({ name: nameOf(kind, name), unit: 'asks/s', round: () => contender(bytes, inFlight, forMs) });
      }
      const goals = bytes === 64 ? GOALS : { go: undefined, tcp: undefined };
      claims.push({ subject: nameOf('ssh', name), baseline: nameOf('tcp', name), goal: goals.tcp });
      if (!hasGo) continue;
      claims.push({ subject: nameOf('ssh', name), baseline: nameOf('Go', name), goal: goals.go });
      for (const kind of ['ssh to Go', 'Go to ssh']) {
        claims.push({ subject: nameOf(kind, name), baseline: nameOf('Go', name) });
      }
    }
    return {
      measures,
      claims,
      controls: (figures) =>
        CASES.map(({ name }) => {
          const again = figures.get(nameOf('tcp again', name))!;
          const ratio = median(again.map((figure, i) => figure / figures.get(nameOf('tcp', name))![i]!));
          return { what: `tcp against itself, ${name}: ${ratio.toFixed(2)}×`, ok: ratio > 0.7 && ratio < 1.4 };
        }),
      notes: () => (hasGo ? [] : [`without the Go peer: ${String(goMissing())}`]),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
        await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
        for (const child of children) child.kill();
      },
    };
  },
};

if (process.argv[2] === '--serve') process.send!(await serve(process.argv[3] as Kind));
