/** One end of peers.ts as a process of its own: it opens swarms of one kind, and does what it is told. */

import type { Addr } from '../src/core/addr.ts';
import type { SecureAskSwarm } from '../src/core/secure.ts';
import { generateKey } from '../src/identity/keys.ts';
import { openPeers, type Peers } from '../src/peers/index.ts';
import { openQuicSwarm } from '../src/swarms/quic/index.ts';
import { openTcpSwarm } from '../src/swarms/tcp/index.ts';
import { obey } from './harness/child.ts';

/** What an end is made of. */
export type PeersKind = 'tcp' | 'quic' | 'peers over tcp' | 'peers over quic';

/** What an end is told. */
export type PeersOrder =
  | { readonly do: 'open'; readonly kind: PeersKind; readonly count: number }
  | { readonly do: 'asks'; readonly to: Target; readonly bytes: number; readonly inFlight: number; readonly ms: number }
  | { readonly do: 'tells'; readonly to: Target; readonly bytes: number; readonly count: number }
  | { readonly do: 'expect'; readonly count: number }
  /** Answered when all that was expected has come. */
  | { readonly do: 'received' }
  | { readonly do: 'first answers'; readonly kind: PeersKind; readonly to: Target; readonly count: number }
  | { readonly do: 'hold'; readonly kind: PeersKind; readonly to: readonly Target[] };

/** Where an end is: the text of its address in its own swarm, and its addresses as `openPeers` takes them. */
export interface Target {
  readonly addr: string;
  readonly addrs: readonly string[];
}

/** What an end answers. */
export interface PeersReport {
  readonly targets?: readonly Target[];
  readonly count?: number;
  readonly ms?: number;
  readonly bytes?: number;
}

type Swarm = SecureAskSwarm<Addr>;

/** Swarms that share an IP: a TCP swarm has at most 100 connections with one. */
const SWARMS_PER_IP = 50;
/** Tells between two looks at whether there is room. */
const BURST = 64;

function open(kind: PeersKind, number = 0): Promise<Swarm> {
  const options = { privateKey: generateKey(), bind: `127.0.0.${1 + Math.floor(number / SWARMS_PER_IP)}:0` };
  if (kind === 'tcp') return openTcpSwarm({ ...options, idleTimeoutMs: Infinity });
  if (kind === 'quic') return openQuicSwarm(options);
  return openPeers({ ...options, transports: [kind === 'peers over tcp' ? 'tcp' : 'quic'] });
}

function peersOf(swarm: Swarm): Peers | undefined {
  return 'maintain' in swarm ? (swarm as Peers) : undefined;
}

/** Tells a connection manager where a peer is, as its cache would: an address that has led to the peer before. */
function know(swarm: Swarm, { addr, addrs }: Target): void {
  const peers = peersOf(swarm);
  if (peers === undefined) return;
  const { id } = peers.parseAddr(addr);
  for (const each of addrs) {
    peers.add({ id, addr: each, source: 'cache', seenMs: Date.now(), expiresMs: Infinity, trust: 'reached' });
  }
}

let swarms: Swarm[] = [];
let received = 0;
let expected = Infinity;
let counted: (() => void) | undefined;

async function opened(kind: PeersKind, count: number): Promise<PeersReport> {
  for (let i = 0; i < count; i++) {
    const swarm = await open(kind, i);
    swarm.serve(({ payload }) => payload);
    swarm.listen(() => {
      if (++received >= expected) counted?.();
    });
    swarms.push(swarm);
  }
  const targets = swarms.map((swarm) => ({ addr: swarm.addr.text, addrs: peersOf(swarm)?.addrs ?? [] }));
  return { targets };
}

async function asks({ to, bytes, inFlight, ms }: PeersOrder & { readonly do: 'asks' }): Promise<PeersReport> {
  const swarm = swarms[0]!;
  know(swarm, to);
  const [dst, request] = [swarm.parseAddr(to.addr), new Uint8Array(bytes).fill(7)];
  await swarm.ask(dst, request);
  const began = performance.now();
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - began < ms) {
      const answer = await swarm.ask(dst, request);
      if (answer.length !== bytes) throw new Error(`got ${answer.length} bytes, expected ${bytes}`);
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { count, ms: performance.now() - began };
}

async function tells({ to, bytes, count }: PeersOrder & { readonly do: 'tells' }): Promise<PeersReport> {
  const swarm = swarms[0]!;
  know(swarm, to);
  const [dst, payload] = [swarm.parseAddr(to.addr), new Uint8Array(bytes).fill(1)];
  for (let sent = 0; sent < count;) {
    let told: Promise<void> | undefined;
    for (const end = Math.min(sent + BURST, count); sent < end; sent++) told = swarm.tell(dst, payload);
    await told;
  }
  await swarm.drain();
  return {};
}

/** The median time from a fresh swarm, which knows the address, to the first answer. */
async function firstAnswers({ kind, to, count }: PeersOrder & { readonly do: 'first answers' }): Promise<PeersReport> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const swarm = await open(kind);
    know(swarm, to);
    const began = performance.now();
    await swarm.ask(swarm.parseAddr(to.addr), Uint8Array.of(1));
    times.push(performance.now() - began);
    await swarm.close();
  }
  return { ms: times.toSorted((a, b) => a - b)[count >> 1]! };
}

/** Connects to all, and keeps the connections. @returns the bytes that all of them take here */
async function hold({ kind, to }: PeersOrder & { readonly do: 'hold' }): Promise<PeersReport> {
  for (const swarm of swarms) await swarm.close();
  const swarm = await open(kind);
  swarms = [swarm];
  const before = used();
  for (const target of to) {
    know(swarm, target);
    const dst = swarm.parseAddr(target.addr);
    peersOf(swarm)?.maintain(peersOf(swarm)!.parseAddr(target.addr));
    await swarm.ask(dst, Uint8Array.of(1));
  }
  await new Promise((resolve) => setTimeout(resolve, 1500)); // What was allocated for the handshakes.
  return { bytes: used() - before };
}

function used(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function allReceived(): Promise<PeersReport> {
  return new Promise((resolve) => {
    counted = () => resolve({});
    if (received >= expected) counted();
  });
}

obey((order: PeersOrder): PeersReport | Promise<PeersReport> => {
  if (order.do === 'open') return opened(order.kind, order.count);
  if (order.do === 'asks') return asks(order);
  if (order.do === 'tells') return tells(order);
  if (order.do === 'received') return allReceived();
  if (order.do === 'first answers') return firstAnswers(order);
  if (order.do === 'hold') return hold(order);
  [received, expected, counted] = [0, order.count, undefined];
  return {};
});
