/**
 * The two ends of a bench of the node, each a process of its own: shoal, bare node:net, the real pea2pea, or threads on bare
 * sockets in Rust, which do what iperf3 does.
 */

import { Pea2PeaPeer, pea2peaMissing } from '../../interop/pea2pea-peer.ts';
import type { Carrier, NodeAnswer, NodeOrder } from '../node-process.ts';
import { counted, type Measure } from './bench.ts';
import { Child, endAll, Lazy } from './child.ts';
import { type End as Counted, programEnd } from './ends.ts';

/** What an end is made of. */
export type Kind = Carrier | 'pea2pea' | 'sockets';

/** One end. */
export interface End extends Counted, AsyncDisposable {
  readonly addr: string;
  connect(addr: string, connections: number): Promise<void>;
  /** From now on: resolves when so many messages have been processed. */
  expect(count: number): Promise<{ readonly processed: Promise<void> }>;
  /**
   * Sends so many messages over each connection.
   *
   * @param batch - waits until so many are in the kernel before it sends the next. @default it only waits for room
   */
  flood(bytes: number, count: number, batch?: number): Promise<void>;
  /** Nanoseconds for the median and the slowest hundredth. */
  ping(bytes: number, count: number): Promise<{ readonly p50: number; readonly p99: number }>;
  /** Nanoseconds for so many connections, one after the other. */
  cycle(addr: string, count: number): Promise<number>;
  /** The same by many clients, each of which says something before it leaves. @returns nanoseconds. */
  churn(addr: string, clients: number, count: number): Promise<number>;
  /** Nanoseconds for so many nodes that are started and closed. */
  nodes(count: number): Promise<number>;
  /** Resident memory. */
  memory(): Promise<number>;
}

/** An end on Node. */
export class NodeEnd extends Child<NodeOrder, NodeAnswer> implements End {
  addr = '';

  constructor() {
    super(new URL('../node-process.ts', import.meta.url));
  }

  static async start(carrier: Carrier, echo = false, bind?: string): Promise<NodeEnd> {
    const end = new NodeEnd();
    const reusePort = bind !== undefined;
    end.addr = (
      await end.order({ type: 'open', carrier, echo, reusePort, ...(bind === undefined ? {} : { bind }) })
    ).addr!;
    return end;
  }

  /** @param from - an IP of this machine; each has its own ports. */
  async connect(addr: string, connections: number, from?: string): Promise<void> {
    await this.order({ type: 'connect', addr, connections, ...(from === undefined ? {} : { from }) });
  }

  /** How many messages have come since `expect`. */
  async count(): Promise<number> {
    return (await this.order({ type: 'count' })).count!;
  }

  async expect(count: number): Promise<{ readonly processed: Promise<void> }> {
    await this.order({ type: 'expect', count });
    return { processed: this.order({ type: 'received' }).then(() => undefined) };
  }

  async flood(bytes: number, count: number, batch?: number): Promise<void> {
    await this.order({ type: 'flood', bytes, count, ...(batch === undefined ? {} : { batch }) });
  }

  async ping(bytes: number, count: number): Promise<{ readonly p50: number; readonly p99: number }> {
    const { p50, p99 } = await this.order({ type: 'ping', bytes, count });
    return { p50: p50!, p99: p99! };
  }

  async cycle(addr: string, count: number): Promise<number> {
    return (await this.order({ type: 'cycle', addr, count })).ns!;
  }

  async churn(addr: string, clients: number, count: number): Promise<number> {
    return (await this.order({ type: 'churn', addr, clients, count })).ns!;
  }

  async nodes(count: number): Promise<number> {
    return (await this.order({ type: 'nodes', count })).ns!;
  }

  async memory(): Promise<number> {
    return (await this.order({ type: 'memory' })).bytes!;
  }
}

/** An end on the real pea2pea, or on bare sockets. */
export class RustEnd implements End {
  readonly #peer: Pea2PeaPeer;
  readonly #isBare: boolean;
  readonly addr: string;

  private constructor(peer: Pea2PeaPeer, addr: string, isBare: boolean) {
    this.#peer = peer;
    this.addr = addr;
    this.#isBare = isBare;
  }

  static async start(kind: 'pea2pea' | 'sockets', role: 'echo' | 'sink' | 'relay'): Promise<RustEnd> {
    const peer = new Pea2PeaPeer(kind === 'pea2pea' ? '57' : 'sockets', role);
    return new RustEnd(peer, await peer.address(), kind === 'sockets');
  }

  get pid(): number {
    return this.#peer.pid;
  }

  cpuUs(): number | Promise<number> {
    return programEnd(this.pid).cpuUs();
  }

  async connect(addr: string, connections: number): Promise<void> {
    // One more node for each connection but the first, which is the peer's own: it is the one that pings.
    if (!this.#isBare) await this.#peer.ask('connected', 'connect', addr);
    const more = this.#isBare ? connections : connections - 1;
    if (more > 0) await this.#peer.ask('connected', 'spawn', addr, more);
  }

  /** Nanoseconds for so many messages along a line of nodes. */
  async hops(nodes: number, count: number): Promise<number> {
    return (await this.#peer.ask('cycled', 'hops', nodes, count)).ns!;
  }

  async expect(count: number): Promise<{ readonly processed: Promise<void> }> {
    await this.#peer.ask('expecting', 'expect', count);
    return { processed: this.#peer.next('received').then(() => undefined) };
  }

  async flood(bytes: number, count: number, batch = 0): Promise<void> {
    await this.#peer.ask('flooded', 'flood', bytes, count, batch);
  }

  async ping(bytes: number, count: number): Promise<{ readonly p50: number; readonly p99: number }> {
    const { p50, p99 } = await this.#peer.ask('pinged', 'ping', bytes, count);
    return { p50: p50!, p99: p99! };
  }

  async cycle(addr: string, count: number): Promise<number> {
    return (await this.#peer.ask('cycled', 'cycle', addr, count)).ns!;
  }

  async churn(addr: string, clients: number, count: number): Promise<number> {
    return (await this.#peer.ask('cycled', 'churn', addr, clients, count)).ns!;
  }

  async nodes(count: number): Promise<number> {
    return (await this.#peer.ask('cycled', 'nodes', count)).ns!;
  }

  async memory(): Promise<number> {
    return (await this.#peer.ask('memory', 'memory')).bytes!;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#peer[Symbol.asyncDispose]();
  }
}

/** Starts an end. */
export function startEnd(kind: Kind, echo = false): Promise<End> {
  return kind === 'pea2pea' || kind === 'sockets'
    ? RustEnd.start(kind, echo ? 'echo' : 'sink')
    : NodeEnd.start(kind, echo);
}

/** Two ends, with so many connections. */
export class Pair implements AsyncDisposable {
  readonly sender: End;
  readonly receiver: End;
  readonly #connections: number;
  /** Bare sockets count bytes. */
  readonly #countsBytes: boolean;

  private constructor(sender: End, receiver: End, connections: number, countsBytes: boolean) {
    this.sender = sender;
    this.receiver = receiver;
    this.#connections = connections;
    this.#countsBytes = countsBytes;
  }

  static async start(from: Kind, to: Kind, connections = 1, echo = false): Promise<Pair> {
    const [sender, receiver] = await Promise.all([startEnd(from), startEnd(to, echo)]);
    if (connections > 0) await sender.connect(receiver.addr, connections);
    return new Pair(sender, receiver, connections, to === 'sockets');
  }

  /** Milliseconds from before the first message is sent over each connection until the last is processed. */
  async send(bytes: number, each: number, batch?: number): Promise<number> {
    const all = each * this.#connections;
    const { processed } = await this.receiver.expect(this.#countsBytes ? all * bytes : all);
    const from = performance.now();
    const flooded = this.sender.flood(bytes, each, batch);
    await processed;
    const ms = performance.now() - from;
    await flooded;
    return ms;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll([this.sender, this.receiver]);
  }
}

const isRust = (kind: Kind): boolean => kind === 'pea2pea' || kind === 'sockets';

/** A pair that is started when it is needed. */
export class LazyPair extends Lazy<Pair> {
  /** Why it cannot be started, where one end is in Rust. */
  readonly missing: (() => string | false) | undefined;
  readonly #connections: number;

  constructor(from: Kind, to: Kind, connections = 1, echo = false) {
    super(() => Pair.start(from, to, connections, echo));
    this.missing = isRust(from) || isRust(to) ? pea2peaMissing : undefined;
    this.#connections = connections;
  }

  readonly ends = async (): Promise<readonly Counted[]> => {
    const { sender, receiver } = await this.get();
    return [sender, receiver];
  };

  /** @param first - messages over all connections at first. */
  flood(
    name: string,
    bytes: number,
    first: number,
    batch?: number,
    unit: 'messages/s' | 'GB/s' = 'messages/s',
  ): Measure {
    const connections = this.#connections;
    const run = async (count: number): Promise<number> => (await this.get()).send(bytes, count / connections, batch);
    const round = counted(run, first, unit === 'GB/s' ? bytes / 1e9 : 1, connections);
    return { name, unit, on: 'two cores', missing: this.missing, ends: this.ends, round };
  }
}
