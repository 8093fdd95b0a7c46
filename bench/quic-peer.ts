/** One end of the QUIC comparison, as a process of its own; `bench/quic-swarm.ts` starts it and talks to it. */

import { obey } from './harness/child.ts';
import {
  answer,
  type BenchClient,
  type BenchConnection,
  identity,
  type Order,
  type Report,
  systemOf,
} from './quic-system.ts';

const system = await systemOf(process.argv[2]!);
const me = identity();
const connections: BenchConnection[] = [];
const clients: BenchClient[] = [];

/** Runs `act` again and again, `inFlight` at a time, until it is told to end. */
async function keepBusy(inFlight: number, more: () => boolean, act: () => Promise<void>): Promise<number> {
  let count = 0;
  const worker = async (): Promise<void> => {
    while (more()) {
      await act();
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return count;
}

async function asks({ bytes, inFlight, forMs }: Order & { readonly do: 'asks' }): Promise<Report> {
  const request = new Uint8Array(bytes).fill(7);
  const expected = answer(request).length;
  const [connection] = connections;
  const began = performance.now();
  const count = await keepBusy(
    inFlight,
    () => performance.now() - began < forMs,
    async () => {
      const response = await connection!.ask(request);
      if (response.length !== expected) throw new Error(`got ${response.length} bytes, expected ${expected}`);
    },
  );
  return { count, ms: performance.now() - began };
}

async function handshakes({ infos, inFlight }: Order & { readonly do: 'handshakes' }): Promise<Report> {
  const client = await system.client(me);
  const left = [...infos];
  const made: BenchConnection[] = [];
  const began = performance.now();
  const count = await keepBusy(
    inFlight,
    () => left.length > 0,
    async () => {
      const connection = await client.connect(left.pop()!);
      await connection.ask(new Uint8Array(1));
      made.push(connection);
    },
  );
  const ms = performance.now() - began;
  for (const connection of made) connection.close();
  client.close();
  return { count, ms };
}

/** A swarm has one connection to a peer: whoever wants more needs more swarms, as more peers would. */
async function connect({ info, count }: Order & { readonly do: 'connect' }): Promise<Report> {
  for (let i = 0; i < count; i++) {
    const another = clients.length === 0 || process.argv[2]!.startsWith('shoal');
    if (another) clients.push(await system.client(me));
    const connection = await clients.at(-1)!.connect(info);
    await connection.ask(new Uint8Array(32));
    connections.push(connection);
  }
  return {};
}

async function serve({ count }: Order & { readonly do: 'serve' }): Promise<Report> {
  const infos: string[] = [];
  for (let i = 0; i < count; i++) infos.push(await system.serve(answer, me));
  return { infos };
}

function memory(): Report {
  globalThis.gc?.();
  return { rssBytes: process.memoryUsage.rss() };
}

obey((order: Order): Report | Promise<Report> => {
  if (order.do === 'serve') return serve(order);
  if (order.do === 'connect') return connect(order);
  if (order.do === 'asks') return asks(order);
  if (order.do === 'handshakes') return handshakes(order);
  return memory();
});
