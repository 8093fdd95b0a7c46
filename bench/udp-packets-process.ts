/** One end of the UDP bench: holds a raw socket and a UDP swarm, and sends or counts through either, as it is told. */

import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { type UdpAddr, openUdpSwarm } from '../src/swarms/udp.ts';
import type { Swarm } from '../src/core/swarm.ts';
import { RESOLVED } from '../src/runtime/promises.ts';

export type Link = 'raw' | 'shoal';

export type UdpOrder =
  | { readonly type: 'open' }
  | { readonly type: 'flood'; readonly link: Link; readonly port: number; readonly bytes: number; readonly ms: number }
  | {
      readonly type: 'trickle';
      readonly link: Link;
      readonly port: number;
      readonly bytes: number;
      readonly count: number;
    }
  | { readonly type: 'count'; readonly link: Link }
  | { readonly type: 'counted' };

export interface UdpReply {
  readonly ports?: Readonly<Record<Link, number>>;
  readonly count?: number;
  readonly elapsedMs?: number;
}

/** Sends between two turns of the event loop, for both alike. */
const BURST = 32;
/** As the UDP swarm asks for by default. */
const [RECV_BUFFER_BYTES, SEND_BUFFER_BYTES] = [4_194_304, 1_048_576];
/** Nothing comes any more after so long. */
const QUIET_MS = 60;

let raw: Socket;
let swarm: Swarm<UdpAddr>;
const arrivals = { link: 'raw' as Link, count: 0, firstMs: 0, lastMs: 0 };

function arrived(link: Link): void {
  if (link !== arrivals.link) return;
  arrivals.lastMs = performance.now();
  if (arrivals.count++ === 0) arrivals.firstMs = arrivals.lastMs;
}

async function open(): Promise<UdpReply> {
  raw = createSocket({
    type: 'udp4',
    lookup: (address, _options, callback) => callback(null, address, 4),
  });
  // With a synchronous lookup `bind` may be done when it returns.
  const listening = once(raw, 'listening');
  raw.bind(0, '127.0.0.1');
  await listening;
  raw.setRecvBufferSize(RECV_BUFFER_BYTES);
  raw.setSendBufferSize(SEND_BUFFER_BYTES);
  raw.on('message', () => arrived('raw'));
  swarm = await openUdpSwarm({ bind: '127.0.0.1:0' });
  swarm.listen(() => arrived('shoal'));
  return { ports: { raw: raw.address().port, shoal: swarm.addr.port } };
}

/** Sends one packet; answers a promise only when the socket is full. */
function sending(link: Link, port: number, payload: Uint8Array): () => Promise<void> | undefined {
  if (link === 'shoal') {
    const dst = swarm.parseAddr(`127.0.0.1:${port}`);
    return () => {
      const told = swarm.tell(dst, payload);
      return told === RESOLVED ? undefined : told;
    };
  }
  let flushed: (() => void) | undefined;
  const onSent = (): void => {
    if (flushed === undefined || raw.getSendQueueCount() > 0) return;
    flushed();
    flushed = undefined;
  };
  return () => {
    raw.send(payload, port, '127.0.0.1', onSent);
    return raw.getSendQueueCount() === 0 ? undefined : new Promise((resolve) => (flushed = resolve));
  };
}

async function flood({ link, port, bytes, ms }: Extract<UdpOrder, { type: 'flood' }>): Promise<UdpReply> {
  const send = sending(link, port, new Uint8Array(bytes).fill(7));
  const startedAt = performance.now();
  let count = 0;
  let elapsedMs = 0;
  while (elapsedMs < ms) {
    for (let i = 0; i < BURST; i++) {
      const waiting = send();
      count++;
      if (waiting !== undefined) await waiting;
    }
    await turn();
    elapsedMs = performance.now() - startedAt;
  }
  return { count, elapsedMs };
}

async function trickle({ link, port, bytes, count }: Extract<UdpOrder, { type: 'trickle' }>): Promise<UdpReply> {
  const send = sending(link, port, new Uint8Array(bytes));
  for (let i = 0; i < count; i++) {
    await send();
    if (i % 20 === 19) await delay(1);
  }
  return { count };
}

async function counted(): Promise<UdpReply> {
  for (let before = -1; before !== arrivals.count;) {
    before = arrivals.count;
    await delay(QUIET_MS);
  }
  return { count: arrivals.count, elapsedMs: arrivals.lastMs - arrivals.firstMs };
}

function count({ link }: Extract<UdpOrder, { type: 'count' }>): Promise<UdpReply> {
  Object.assign(arrivals, { link, count: 0 });
  return Promise.resolve({});
}

function handle(order: UdpOrder): Promise<UdpReply> {
  if (order.type === 'open') return open();
  if (order.type === 'flood') return flood(order);
  if (order.type === 'trickle') return trickle(order);
  return order.type === 'count' ? count(order) : counted();
}

process.on('message', (order: UdpOrder) => void handle(order).then((reply) => process.send!(reply)));
process.on('disconnect', () => process.exit());
