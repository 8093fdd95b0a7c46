/**
 * Asks over p2pke and mbapp on UDP, against a bare dgram request and response, both ends in processes of their own.
 *
 *     node --conditions=shoal-source bench/asks.ts [--sodium]
 *
 * Control: bare dgram against itself in the same round must come out between 0.7 and 1.4.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { createSocket } from 'node:dgram';

import { mbapp } from 'shoal/mbapp';
import { p2pke } from 'shoal/p2pke';
import { loadSodiumAead } from 'shoal/sodium';
import { testKey } from 'shoal/testing';
import { type UdpAddr, openUdpSwarm } from 'shoal/udp';
import { type AskSwarm, type Addr } from 'shoal';

const ROUND_MS = 700;
const ROUNDS = 5;
const bind = '127.0.0.1:0';
const withSodium = process.argv.includes('--sodium');

type Kind = 'dgram' | 'node:crypto' | 'sodium';

async function stack(kind: Kind, key: number): Promise<AskSwarm<Addr>> {
  const udp = await openUdpSwarm({ bind });
  const aead = kind === 'sodium' ? await loadSodiumAead() : undefined;
  const swarm: unknown = mbapp(p2pke<UdpAddr>(udp, { privateKey: testKey(key), aead }));
  return swarm as AskSwarm<Addr>;
}

async function serve(kind: Kind): Promise<string> {
  if (kind !== 'dgram') {
    const swarm = await stack(kind, 2);
    swarm.serve(({ payload }) => payload);
    return swarm.localAddrs()[0]!.text;
  }
  const socket = createSocket({ type: 'udp4', lookup: (host, _, done) => done(null, host, 4) });
  socket.on('message', (data, { port, address }) => socket.send(data, port, address));
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
  return `127.0.0.1:${socket.address().port}`;
}

/** One request and its response. */
type Ask = (request: Uint8Array) => Promise<void>;

async function client(kind: Kind, server: string): Promise<Ask> {
  if (kind !== 'dgram') {
    const swarm = await stack(kind, 1);
    const dst = swarm.parseAddr(server);
    return async (request) => void (await swarm.ask(dst, request));
  }
  const [host, port] = server.split(':') as [string, string];
  const socket = createSocket({ type: 'udp4', lookup: (name, _, done) => done(null, name, 4) });
  const waiting = new Map<number, () => void>();
  let next = 0;
  socket.on('message', (data) => {
    const id = data.readUInt32BE(0);
    waiting.get(id)?.();
    waiting.delete(id);
  });
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
  return (request) =>
    new Promise((resolve) => {
      const id = next++;
      const datagram = Buffer.from(request);
      datagram.writeUInt32BE(id, 0);
      waiting.set(id, resolve);
      socket.send(datagram, Number(port), host);
    });
}

/** Requests a second, with so many in flight. */
async function rate(ask: Ask, bytes: number, inFlight: number): Promise<number> {
  const request = new Uint8Array(bytes).fill(7);
  const end = performance.now() + ROUND_MS;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      await ask(request);
      done++;
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (done * 1000) / (performance.now() - start);
}

const CASES = [
  { name: '64 B, one after the other', bytes: 64, inFlight: 1, goals: { 'node:crypto': 0.5, sodium: 0.5 } },
  { name: '64 B, 8 in flight', bytes: 64, inFlight: 8, goals: { 'node:crypto': 0.28, sodium: 0.5 } },
  { name: '16 KiB, one after the other', bytes: 16_384, inFlight: 1, goals: {} },
  { name: '16 KiB, 8 in flight', bytes: 16_384, inFlight: 8, goals: {} },
] as const;

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** What a serving process says when it is up. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('message', (text) => resolve(typeof text === 'string' ? text : ''));
  });
}

async function main(): Promise<void> {
  const kinds: Kind[] = withSodium ? ['dgram', 'node:crypto', 'sodium'] : ['dgram', 'node:crypto'];
  const children: ChildProcess[] = [];
  const asks = new Map<Kind, Ask>();
  for (const kind of kinds) {
    const child = fork(import.meta.filename, ['--serve', kind]);
    children.push(child);
    asks.set(kind, await client(kind, await addressOf(child)));
  }
  for (const ask of asks.values()) await rate(ask, 64, 8);
  const rows: Record<string, unknown>[] = [];
  for (const { name, bytes, inFlight, goals } of CASES) {
    const rates = new Map<string, number[]>();
    const note = (key: string, value: number): void => void rates.set(key, [...(rates.get(key) ?? []), value]);
    for (let round = 0; round < ROUNDS; round++) {
      for (const kind of kinds) note(kind, await rate(asks.get(kind)!, bytes, inFlight));
      note('control', await rate(asks.get('dgram')!, bytes, inFlight));
    }
    for (const kind of [...kinds.slice(1), 'control'] as const) {
      const ratio = median(rates.get(kind)!.map((value, i) => value / rates.get('dgram')![i]!));
      const goal = (goals as Readonly<Record<string, number>>)[kind];
      const verdict =
        kind === 'control'
          ? ratio > 0.7 && ratio < 1.4
            ? 'ok'
            : 'not to be trusted'
          : goal === undefined
            ? ''
            : ratio >= goal
              ? 'met'
              : 'missed';
      rows.push({
        case: name,
        against: kind,
        'a second': Math.round(median(rates.get(kind)!)),
        'of dgram': Number(ratio.toFixed(2)),
        goal,
        verdict,
      });
    }
  }
  console.table(rows);
  for (const child of children) child.kill();
  process.exit(0);
}

if (process.argv[2] === '--serve') process.send!(await serve(process.argv[3] as Kind));
else await main();
