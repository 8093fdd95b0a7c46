/** One end of the node's benches, as a process of its own: told what to do in messages. */

import type { Socket } from 'node:net';
import {
  createNode,
  lengthDelimited,
  type Node,
  reading,
  type TcpConnection,
  tls,
  writing,
} from '../src/node/index.ts';
import { testKey } from '../src/testing/test-key.ts';
import { obey } from './harness/child.ts';
import { rawConnect, rawListen, rawReader, RawSender } from './node-raw.ts';

/** What carries messages. */
export type Carrier = 'shoal' | 'shoal-borrowed' | 'shoal-tls' | 'raw';

/** What an end can be told. */
export type NodeOrder =
  | {
      readonly type: 'open';
      readonly carrier: Carrier;
      readonly echo: boolean;
      readonly reusePort?: boolean;
      readonly bind?: string;
    }
  | { readonly type: 'connect'; readonly addr: string; readonly connections: number; readonly from?: string }
  | { readonly type: 'expect'; readonly count: number }
  /** Answered when all that was expected is processed. */
  | { readonly type: 'received' }
  | { readonly type: 'flood'; readonly bytes: number; readonly count: number; readonly batch?: number }
  | { readonly type: 'ping'; readonly bytes: number; readonly count: number }
  | { readonly type: 'cycle'; readonly addr: string; readonly count: number }
  | { readonly type: 'churn'; readonly addr: string; readonly clients: number; readonly count: number }
  | { readonly type: 'nodes'; readonly count: number }
  | { readonly type: 'hops'; readonly nodes: number; readonly count: number }
  | { readonly type: 'count' }
  | { readonly type: 'memory' };

/** What it answers. */
export interface NodeAnswer {
  readonly addr?: string;
  readonly ns?: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly bytes?: number;
  readonly connections?: number;
  readonly count?: number;
}

/** A way to send to one peer. */
interface Outlet {
  send(message: Uint8Array): boolean;
  room(): Promise<void>;
  /** Until what was sent is in the kernel, where one can know. */
  flushed?(): Promise<void>;
}

/** Its messages are bytes. */
type BytesNode = Node<Uint8Array, Uint8Array>;

let node: BytesNode | undefined;
let isRaw = false;
let count = 0;
let expected = Infinity;
let onReceived: (() => void) | undefined;
let onPong: (() => void) | undefined;
const outlets: Outlet[] = [];
const sockets: Socket[] = [];
const codec = lengthDelimited();

function arrived(): void {
  if (++count === expected) onReceived?.();
  onPong?.();
}

function fullNode(
  tlsKey?: number,
  options: { reusePort?: boolean; bind?: string; echo?: boolean; borrowed?: boolean } = {},
): BytesNode {
  const made = createNode({
    security: tlsKey === undefined ? 'none' : tls({ privateKey: testKey(tlsKey) }),
    codec,
    bind: options.bind ?? '127.0.0.1:0',
    maxConnections: 200_000,
    maxConnectionsPerIp: 200_000,
    maxConnecting: 200_000,
    reusePort: options.reusePort,
  });
  made.enable(writing());
  const onMessage =
    options.echo === true ? (peer: TcpConnection<Uint8Array>, message: Uint8Array) => void peer.send(message) : arrived;
  // Between two rounds others are measured, for as long as that takes.
  made.enable(reading({ onMessage, idleTimeoutMs: Infinity, borrowed: options.borrowed }));
  return made;
}

async function open(order: Extract<NodeOrder, { type: 'open' }>): Promise<NodeAnswer> {
  isRaw = order.carrier === 'raw';
  if (!isRaw) {
    const borrowed = order.carrier === 'shoal-borrowed';
    node = fullNode(order.carrier === 'shoal-tls' ? process.pid % 200 : undefined, { ...order, borrowed });
    return { addr: await node.listen() };
  }
  const { addr } = await rawListen((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    const sender = new RawSender(socket);
    rawReader(socket, order.echo ? (message) => void sender.send(message) : arrived);
  });
  return { addr };
}

async function connectMany(addr: string, connections: number, source?: string): Promise<NodeAnswer> {
  for (let i = 0; i < connections; i++) {
    if (isRaw) {
      const socket = await rawConnect(addr, source);
      socket.on('error', () => undefined);
      sockets.push(socket);
      rawReader(socket, arrived);
      const sender = new RawSender(socket);
      outlets.push({ send: (message) => sender.send(message), room: () => sender.drained() });
    } else {
      // A node of its own for each further connection, as a node has one to each address.
      const from = i === 0 ? node! : fullNode();
      const peer = await from.connect(addr);

      outlets.push({
        send: (message) => peer.send(message),
        room: () => peer.ready(),
        flushed: () => peer.flushed(),
      });
    }
  }
  return {};
}

async function flood(bytes: number, each: number, batch?: number): Promise<NodeAnswer> {
  const message = new Uint8Array(bytes).fill(7);
  await Promise.all(
    outlets.map(async (outlet) => {
      for (let i = 0; i < each; i++) {
        if (!outlet.send(message)) await outlet.room();
        else if (batch !== undefined && i % batch === batch - 1) await outlet.flushed?.();
      }
    }),
  );
  return {};
}

async function ping(bytes: number, times: number): Promise<NodeAnswer> {
  const message = new Uint8Array(bytes).fill(7);
  const [outlet] = outlets;
  const took = new Float64Array(times);
  await new Promise<void>((resolve) => {
    let i = 0;
    let from = performance.now();
    onPong = () => {
      const now = performance.now();
      took[i] = now - from;
      if (++i === times) {
        onPong = undefined;
        resolve();
        return;
      }
      from = now;
      outlet!.send(message);
    };
    outlet!.send(message);
  });
  took.sort();
  const at = (share: number): number => took[Math.floor((times - 1) * share)]! * 1e6;
  return { p50: at(0.5), p99: at(0.99) };
}

async function cycle(addr: string, times: number): Promise<NodeAnswer> {
  const from = performance.now();
  for (let i = 0; i < times; i++) {
    if (isRaw) {
      const socket = await rawConnect(addr);
      await new Promise<void>((resolve) => void socket.once('close', resolve).destroy());
    } else {
      const connection = await node!.connect(addr);
      await connection.disconnect();
    }
  }
  return { ns: (performance.now() - from) * 1e6 };
}

/** Many clients at once, each of which connects, says something and leaves, again and again. */
async function churn(addr: string, clients: number, times: number): Promise<NodeAnswer> {
  const all = Array.from({ length: clients }, () => createNode({ security: 'none', codec }));
  const from = performance.now();
  await Promise.all(
    all.map(async (client) => {
      client.enable(writing());
      for (let i = 0; i < times; i++) {
        const peer = await client.connect(addr);
        peer.send(new Uint8Array(32));
        await peer.disconnect();
      }
    }),
  );
  const ns = (performance.now() - from) * 1e6;
  await Promise.all(all.map((client) => client.close()));
  return { ns };
}

async function nodes(times: number): Promise<NodeAnswer> {
  const from = performance.now();
  for (let i = 0; i < times; i++) {
    const one = fullNode();
    await one.listen();
    await one.close();
  }
  return { ns: (performance.now() - from) * 1e6 };
}

/** One message along a line of nodes in this process. */
async function hops(length: number, times: number): Promise<NodeAnswer> {
  const line: BytesNode[] = [];
  let arrive: (() => void) | undefined;
  for (let i = 0; i < length; i++) {
    const one = createNode({ security: 'none', codec, bind: '127.0.0.1:0', maxConnectionsPerIp: 10 });
    one.enable(writing());
    const onMessage = (peer: TcpConnection<Uint8Array>, message: Uint8Array): void => {
      const onward = one.connections().find((other) => other !== peer);
      if (onward === undefined) arrive?.();
      else onward.send(message);
    };
    one.enable(reading({ onMessage }));
    await one.listen();
    line.push(one);
  }
  const peers: TcpConnection<Uint8Array>[] = [];
  for (let i = 1; i < length; i++) peers.push(await line[i - 1]!.connect(line[i]!.listeningAddr!));
  const from = performance.now();
  for (let i = 0; i < times; i++) {
    await new Promise<void>((resolve) => {
      arrive = resolve;
      peers[0]!.send(new Uint8Array(5));
    });
  }
  const ns = (performance.now() - from) * 1e6;
  await Promise.all(line.map((one) => one.close()));
  return { ns };
}

function memory(): NodeAnswer {
  const collect: unknown = Reflect.get(globalThis, 'gc');
  if (typeof collect === 'function') collect();
  return { bytes: process.memoryUsage.rss(), connections: node?.connected ?? sockets.length };
}

function received(): Promise<NodeAnswer> {
  return new Promise((resolve) => {
    onReceived = () => resolve({});
    if (count >= expected) onReceived();
  });
}

function expect(messages: number): NodeAnswer {
  count = 0;
  expected = messages;
  onReceived = undefined;
  return {};
}

obey(async (order: NodeOrder): Promise<NodeAnswer> => {
  switch (order.type) {
    case 'open':
      return open(order);
    case 'connect':
      return connectMany(order.addr, order.connections, order.from);
    case 'expect':
      return expect(order.count);
    case 'received':
      return received();
    case 'flood':
      return flood(order.bytes, order.count, order.batch);
    case 'ping':
      return ping(order.bytes, order.count);
    case 'cycle':
      return cycle(order.addr, order.count);
    case 'churn':
      return churn(order.addr, order.clients, order.count);
    case 'nodes':
      return nodes(order.count);
    case 'hops':
      return hops(order.nodes, order.count);
    case 'count':
      return { count };
    case 'memory':
      break;
  }
  return memory();
});
