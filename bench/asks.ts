/**
 * Asks over mbapp, p2pke and UDP beside a bare dgram request and response, both ends in processes of their own. With
 * `sodium-native` where `bench/rivals/sodium` is installed.
 *
 * As a program (`--serve KIND`) it is the other process.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { createSocket } from 'node:dgram';

import type { Addr, AskSwarm } from 'shoal';
import { mbapp } from 'shoal/mbapp';
import { p2pke } from 'shoal/p2pke';
import { testKey } from 'shoal/testing';
import { type UdpAddr, openUdpSwarm } from 'shoal/udp';
import { type Bench, type Claim, type Measure, median } from './harness/bench.ts';
import { loadSodium } from './harness/sodium.ts';

const bind = '127.0.0.1:0';
/** Longer than any round trip on loopback. */
const LOST_MS = 200;
const WARM_UP_MS = 800;

type Kind = 'dgram' | 'node:crypto' | 'sodium';

async function stack(kind: Kind, key: number): Promise<AskSwarm<Addr>> {
  const udp = await openUdpSwarm({ bind });
  const aead = kind === 'sodium' ? await loadSodium() : undefined;
  const swarm: unknown = mbapp(p2pke<UdpAddr>(udp, { privateKey: testKey(key), aead }));
  return swarm as AskSwarm<Addr>;
}

async function serve(kind: Kind): Promise<string> {
  if (kind !== 'dgram') {
    const swarm = await stack(kind, 2);
    swarm.serve(({ payload }) => payload);
    return swarm.addr.text;
  }
  const socket = createSocket({ type: 'udp4', lookup: (host, _, done) => done(null, host, 4) });
  socket.on('message', (data, { port, address }) => socket.send(data, port, address));
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
  return `127.0.0.1:${socket.address().port}`;
}

interface Client {
  /** One request and its response. */
  readonly ask: (request: Uint8Array) => Promise<void>;
  readonly close: () => Promise<void> | void;
}

async function client(kind: Kind, server: string): Promise<Client> {
  if (kind !== 'dgram') {
    const swarm = await stack(kind, 1);
    const dst = swarm.parseAddr(server);
    return { ask: async (request) => void (await swarm.ask(dst, request)), close: () => swarm.close() };
  }
  const [host, port] = server.split(':') as [string, string];
  const socket = createSocket({ type: 'udp4', lookup: (name, _, done) => done(null, name, 4) });
  const waiting = new Map<number, { readonly done: () => void; readonly sentMs: number }>();
  let next = 0;
  const settle = (id: number): void => {
    waiting.get(id)?.done();
    waiting.delete(id);
  };
  // A datagram that is lost would be waited for without end.
  const sweep = setInterval(() => {
    for (const [id, { sentMs }] of waiting) if (performance.now() - sentMs > LOST_MS) settle(id);
  }, LOST_MS);
  socket.on('message', (data) => settle(data.readUInt32BE(0)));
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
  const ask = (request: Uint8Array): Promise<void> =>
    new Promise((done) => {
      const id = next++;
      const datagram = Buffer.from(request);
      datagram.writeUInt32BE(id, 0);
      waiting.set(id, { done, sentMs: performance.now() });
      socket.send(datagram, Number(port), host);
    });
  const close = (): void => {
    clearInterval(sweep);
    socket.close();
  };
  return { ask, close };
}

/** Requests a second, with so many in flight. */
async function rate({ ask }: Client, bytes: number, inFlight: number, forMs: number): Promise<number> {
  const request = new Uint8Array(bytes).fill(7);
  const start = performance.now();
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < start + forMs) {
      await ask(request);
      done++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (done * 1000) / (performance.now() - start);
}

interface Case {
  readonly name: string;
  readonly bytes: number;
  readonly inFlight: number;
  readonly goals: Readonly<Partial<Record<Kind, Claim['goal']>>>;
}

/** The original answers 657 asks of 16 KiB a second. */
const FOUR_TIMES_THE_ORIGINAL = { figure: 2628 };

const CASES: readonly Case[] = [
  {
    name: '64 B, one after the other',
    bytes: 64,
    inFlight: 1,
    goals: { 'node:crypto': { ratio: 0.5 }, sodium: { ratio: 0.5 } },
  },
  {
    name: '64 B, 8 in flight',
    bytes: 64,
    inFlight: 8,
    goals: { 'node:crypto': { ratio: 0.28 }, sodium: { ratio: 0.5 } },
  },
  {
    name: '16 KiB, one after the other',
    bytes: 16_384,
    inFlight: 1,
    goals: { 'node:crypto': FOUR_TIMES_THE_ORIGINAL, sodium: FOUR_TIMES_THE_ORIGINAL },
  },
  { name: '16 KiB, 8 in flight', bytes: 16_384, inFlight: 8, goals: {} },
];

/** What a serving process says when it is up. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('message', (text) => resolve(typeof text === 'string' ? text : ''));
  });
}

const nameOf = (kind: string, name: string): string => `${kind === 'dgram' ? 'raw dgram' : `mbapp, ${kind}`}: ${name}`;

/** The bench: `npm run bench -- asks`. */
export const asks: Bench = {
  name: 'asks',
  question: 'How do asks over mbapp, p2pke and UDP compare with a bare dgram request and response?',
  prepare: async (quick) => {
    const forMs = quick ? 150 : 700;
    const kinds: Kind[] = [
      'dgram',
      'node:crypto',
      ...((await loadSodium()) === undefined ? [] : (['sodium'] as const)),
    ];
    const children: ChildProcess[] = [];
    const clients = new Map<Kind, Client>();
    for (const kind of kinds) {
      const child = fork(import.meta.filename, ['--serve', kind]);
      children.push(child);
      clients.set(kind, await client(kind, await addressOf(child)));
    }
    // What is hot is compiled after some thousand calls, in both processes.
    for (const each of clients.values()) await rate(each, 64, 8, WARM_UP_MS);
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    for (const { name, bytes, inFlight, goals } of CASES) {
      for (const kind of kinds) {
        const round = (): Promise<number> => rate(clients.get(kind)!, bytes, inFlight, forMs);
        measures.push({ name: nameOf(kind, name), unit: 'asks/s', round });
        if (kind === 'dgram') measures.push({ name: nameOf('dgram again', name), unit: 'asks/s', round });
        else claims.push({ subject: nameOf(kind, name), baseline: nameOf('dgram', name), goal: goals[kind] });
      }
    }
    return {
      measures,
      claims,
      controls: (figures) =>
        CASES.map(({ name }) => {
          const again = figures.get(nameOf('dgram again', name))!;
          const ratio = median(again.map((figure, i) => figure / figures.get(nameOf('dgram', name))![i]!));
          return { what: `raw dgram against itself, ${name}: ${ratio.toFixed(2)}×`, ok: ratio > 0.7 && ratio < 1.4 };
        }),
      [Symbol.asyncDispose]: async () => {
        for (const each of clients.values()) await each.close();
        for (const child of children) child.kill();
      },
    };
  },
};

if (process.argv[2] === '--serve') process.send!(await serve(process.argv[3] as Kind));
