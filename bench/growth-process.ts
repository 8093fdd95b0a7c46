/** One end of growth.ts as a process of its own: a server, or a thousand clients of one. */

import type { Addr, SecureAskSwarm } from 'shoal';
import { type Endpoint, openEndpoint, type OpenEndpointOptions, type QuicConnection } from 'shoal/endpoint';
import { generateKey } from 'shoal/keys';
import { createMemoryRealm } from 'shoal/memory';
import { createNode, lengthDelimited, reading, writing } from 'shoal/node';
import { openQuicSwarm } from 'shoal/quic';
import { openTcpSwarm } from 'shoal/tcp';
import { createSeededRandom } from 'shoal/testing';
import { obey } from './harness/child.ts';

/** What is held. */
export type GrowthKind = 'TCP swarm' | 'TCP node' | 'QUIC swarm' | 'QUIC endpoint';

/** What an end is told. */
export type GrowthOrder =
  | { readonly do: 'serve'; readonly kind: GrowthKind }
  /** @param from - the number of the process: each has IPs of its own. */
  | {
      readonly do: 'connect';
      readonly kind: GrowthKind;
      readonly addr: string;
      readonly count: number;
      readonly from: number;
    }
  | { readonly do: 'asks'; readonly forMs: number; readonly inFlight: number }
  | { readonly do: 'memory' }
  | { readonly do: 'realm'; readonly nodes: number; readonly forMs: number };

/** What it answers. */
export interface GrowthReport {
  readonly addr?: string;
  readonly count?: number;
  /** Resident, when garbage has been collected. */
  readonly rssBytes?: number;
  readonly tellUs?: number;
  readonly askUs?: number;
}

type Ask = (request: Uint8Array) => Promise<unknown>;

/** Clients that share an IP: each IP has its own ports. */
const CLIENTS_PER_IP = 50;
const MANY = 200_000;
const ipOf = (number: number): string =>
  `127.0.${Math.floor(number / CLIENTS_PER_IP / 250)}.${2 + (Math.floor(number / CLIENTS_PER_IP) % 250)}`;
const request = new Uint8Array(64).fill(7);
const asks: Ask[] = [];

function openSwarm(kind: GrowthKind, ip: string): Promise<SecureAskSwarm<Addr>> {
  const options = { privateKey: generateKey(), bind: `${ip}:0` };
  return kind === 'TCP swarm'
    ? openTcpSwarm({ ...options, idleTimeoutMs: Infinity, maxConnections: MANY, maxConnectionsPerIp: MANY })
    : openQuicSwarm({ ...options, maxConnections: MANY });
}

const endpointOptions: OpenEndpointOptions = {
  idleTimeoutMs: 600_000,
  maxConnections: 65_536,
  maxConnectionsPerPeer: 65_536,
};

const codec = lengthDelimited();

/** A node without encryption, as most of its benches have it. */
function openNode(bind: string, onMessage: (reply: (message: Uint8Array) => void, message: Uint8Array) => void) {
  const node = createNode({
    security: 'none',
    codec,
    bind,
    maxConnections: MANY,
    maxConnectionsPerIp: MANY,
    maxConnecting: MANY,
  });
  node.enable(writing());
  node.enable(
    reading({
      onMessage: (peer, message) => onMessage((reply) => void peer.send(reply), message),
      idleTimeoutMs: Infinity,
    }),
  );
  return node;
}

async function echo(endpoint: Endpoint): Promise<void> {
  for await (const { payload, reply } of endpoint.messages()) void reply?.finish(payload);
}

async function serve(kind: GrowthKind): Promise<string> {
  if (kind === 'TCP node') return openNode('127.0.0.1:0', (reply, message) => reply(message)).listen();
  if (kind === 'QUIC endpoint') {
    const endpoint: Endpoint = await openEndpoint({ ...endpointOptions, bind: '127.0.0.1:0' });
    void echo(endpoint);
    return endpoint.addr.text;
  }
  const swarm = await openSwarm(kind, '127.0.0.1');
  swarm.serve(({ payload }) => payload);
  return swarm.addr.text;
}

/** Makes connections, and asks once over each. */
async function connect(kind: GrowthKind, addr: string, count: number, from: number): Promise<void> {
  const endpoint: Endpoint | undefined =
    kind === 'QUIC endpoint'
      ? await openEndpoint({ ...endpointOptions, bind: '127.0.0.1:0', keepAliveMs: 20_000 })
      : undefined;
  for (let i = 0; i < count; i++) {
    if (endpoint !== undefined) {
      const connection: QuicConnection = await endpoint.connect(addr, { fresh: true, timeoutMs: 60_000 });
      asks.push((bytes) => connection.request(bytes));
    } else if (kind === 'TCP node') {
      let answered: (() => void) | undefined;
      const peer = await openNode(`${ipOf(from * 1000 + i)}:0`, () => answered?.()).connect(addr);
      asks.push(
        (bytes) =>
          new Promise<void>((resolve) => {
            answered = resolve;
            peer.send(bytes);
          }),
      );
    } else {
      const swarm = await openSwarm(kind, ipOf(from * 1000 + i));
      const dst = swarm.parseAddr(addr);
      asks.push((bytes) => swarm.ask(dst, bytes));
    }
    await asks.at(-1)!(request);
  }
}

/** Asks over one connection after the other, so many under way. */
async function askAll(forMs: number, inFlight: number): Promise<number> {
  const end = performance.now() + forMs;
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) await asks[count++ % asks.length]!(request);
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, asks.length) }, worker));
  return count;
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Nodes in one process, each of which serves; CPU time of a tell and of an ask between two of them by chance. */
async function realm(nodes: number, forMs: number): Promise<GrowthReport> {
  const made = createMemoryRealm();
  let received = 0;
  const swarms = Array.from({ length: nodes }, () => {
    const swarm = made.swarm();
    swarm.listen(() => void received++);
    swarm.serve(({ payload }) => payload);
    return swarm;
  });
  const random = createSeededRandom(1);
  const words = new Uint32Array(random.bytes(4 * 65_536).buffer);
  let at = 0;
  const addrs = swarms.map(({ addr }) => addr);
  /** One of all by chance. */
  const any = <T>(all: readonly T[]): T => all[words[at++ % words.length]! % nodes]!;
  const cpuUs = async (batch: () => Promise<number>): Promise<number> => {
    for (const end = performance.now() + forMs; performance.now() < end;) await batch();
    const before = process.cpuUsage();
    let count = 0;
    for (const end = performance.now() + forMs; performance.now() < end;) count += await batch();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  };
  const BATCH = 64;
  const tellUs = await cpuUs(async () => {
    const before = received;
    for (let i = 0; i < BATCH; i++) void any(swarms).tell(any(addrs), request);
    while (received < before + BATCH) await turn();
    return BATCH;
  });
  const askUs = await cpuUs(async () => {
    await Promise.all(Array.from({ length: BATCH }, () => any(swarms).ask(any(addrs), request)));
    return BATCH;
  });
  return { tellUs, askUs };
}

obey(async (order: GrowthOrder): Promise<GrowthReport> => {
  switch (order.do) {
    case 'serve':
      return { addr: await serve(order.kind) };
    case 'connect':
      await connect(order.kind, order.addr, order.count, order.from);
      return {};
    case 'asks':
      return { count: await askAll(order.forMs, order.inFlight) };
    case 'realm':
      return realm(order.nodes, order.forMs);
    case 'memory':
      break;
  }
  globalThis.gc?.();
  globalThis.gc?.();
  return { rssBytes: process.memoryUsage.rss() };
});
