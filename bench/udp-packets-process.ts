/** One end of the benches of datagrams: it sends or counts over one link, as it is told. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import type { Addr } from '../src/core/addr.ts';
import type { Counters } from '../src/core/counters.ts';
import type { Swarm } from '../src/core/swarm.ts';
import { chacha20Poly1305 } from '../src/crypto/node.ts';
import { generateKey } from '../src/identity/keys.ts';
import { OVERHEAD_BYTES } from '../src/protocols/p2pke/index.ts';
import { RESOLVED } from '../src/runtime/promises.ts';
import { p2pke } from '../src/swarms/p2pke/index.ts';
import { openUdpSwarm } from '../src/swarms/udp.ts';
import { obey } from './harness/child.ts';
import { type ImportAeadKey, loadWasmAead } from 'shoal/wasm-aead';
import { loadSodium } from './harness/sodium.ts';

/** What carries messages: `bare` are raw datagrams, each sealed and opened, which is what no secure link can do without. */
export type Link = 'raw' | 'bare' | 'udp' | 'p2pke' | 'p2pke-wasm' | 'p2pke-sodium';

export type UdpOrder =
  | { readonly do: 'open' }
  | { readonly do: 'flood'; readonly addr: string; readonly bytes: number; readonly ms: number }
  | { readonly do: 'trickle'; readonly addr: string; readonly bytes: number; readonly count: number }
  | { readonly do: 'count' }
  | { readonly do: 'counted' };

export interface UdpReport {
  readonly addr?: string;
  readonly count?: number;
  readonly elapsedMs?: number;
  /** Dropped since the start, by the receiving socket's buffer and by the swarm. */
  readonly socketDrops?: number;
  readonly swarmDrops?: number;
}

/** Sends between two turns of the event loop, for both alike. */
const BURST = 32;
/** As the UDP swarm asks for by default. */
const [RECV_BUFFER_BYTES, SEND_BUFFER_BYTES] = [4_194_304, 1_048_576];
/** Nothing comes any more after so long. */
const QUIET_MS = 60;

const arrivals = { count: 0, firstMs: 0, lastMs: 0 };

function arrived(): void {
  arrivals.lastMs = performance.now();
  if (arrivals.count++ === 0) arrivals.firstMs = arrivals.lastMs;
}

/** One end of a link. */
interface LinkEnd {
  readonly addr: string;
  /** Sends one packet; answers a promise only when the socket is full. */
  readonly sending: (addr: string, payload: Uint8Array) => () => Promise<void> | undefined;
  readonly swarmDrops: () => number;
}

async function openRaw(isSealed: boolean): Promise<LinkEnd> {
  const raw = createSocket({ type: 'udp4', lookup: (address, _options, callback) => callback(null, address, 4) });
  // With a synchronous lookup `bind` may be done when it returns.
  const listening = once(raw, 'listening');
  raw.bind(0, '127.0.0.1');
  await listening;
  raw.setRecvBufferSize(RECV_BUFFER_BYTES);
  raw.setSendBufferSize(SEND_BUFFER_BYTES);
  const [key, nonce, header] = [chacha20Poly1305(new Uint8Array(32)), new Uint8Array(12), new Uint8Array(4)];
  const seal = (payload: Uint8Array): Uint8Array => {
    const datagram = new Uint8Array(payload.length + OVERHEAD_BYTES);
    key.seal(nonce, header, payload, datagram, 4);
    return datagram;
  };
  raw.on('message', (datagram) => {
    if (!isSealed) arrived();
    else if (key.open(nonce, header, datagram.subarray(4), new Uint8Array(datagram.length - OVERHEAD_BYTES), 0))
      arrived();
  });
  let flushed: (() => void) | undefined;
  const onSent = (): void => {
    if (flushed === undefined || raw.getSendQueueCount() > 0) return;
    flushed();
    flushed = undefined;
  };
  return {
    addr: `127.0.0.1:${raw.address().port}`,
    sending: (addr, payload) => {
      const port = portOf(addr);
      return () => {
        raw.send(isSealed ? seal(payload) : payload, port, '127.0.0.1', onSent);
        return raw.getSendQueueCount() === 0 ? undefined : new Promise((resolve) => (flushed = resolve));
      };
    },
    swarmDrops: () => 0,
  };
}

const AEADS: { readonly [L in Link]?: () => Promise<ImportAeadKey | undefined> } = {
  'p2pke-wasm': loadWasmAead,
  'p2pke-sodium': loadSodium,
};

async function openSwarm(link: Link): Promise<LinkEnd> {
  const udp = await openUdpSwarm({ bind: '127.0.0.1:0' });
  const aead = await AEADS[link]?.();
  const made: unknown = link === 'udp' ? udp : p2pke(udp, { privateKey: generateKey(), aead });
  // Addresses come from the swarm's own parseAddr only.
  const swarm = made as Swarm<Addr>;
  swarm.listen(arrived);
  return {
    addr: swarm.addr.text,
    sending: (addr, payload) => {
      const dst = swarm.parseAddr(addr);
      return () => {
        const told = swarm.tell(dst, payload);
        return told === RESOLVED ? undefined : told;
      };
    },
    swarmDrops: () => {
      let drops = 0;
      for (let at: Counters | undefined = swarm.counters; at !== undefined; at = at.inner) {
        for (const count of at.drops.values()) drops += count;
      }
      return drops;
    },
  };
}

const portOf = (addr: string): number => Number(addr.slice(addr.lastIndexOf(':') + 1));

/** Datagrams that the kernel had no room for, where it tells. */
export function socketDrops(addr: string): number {
  try {
    const local = `:${portOf(addr).toString(16).toUpperCase().padStart(4, '0')}`;
    const line = readFileSync('/proc/net/udp', 'utf8')
      .split('\n')
      .find((each) => each.trim().split(/\s+/)[1]?.endsWith(local) === true);
    return Number(line?.trim().split(/\s+/).at(-1) ?? 0);
  } catch {
    return 0;
  }
}

let end: LinkEnd;

async function flood(addr: string, bytes: number, ms: number): Promise<UdpReport> {
  const send = end.sending(addr, new Uint8Array(bytes).fill(7));
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

async function trickle(addr: string, bytes: number, count: number): Promise<UdpReport> {
  const send = end.sending(addr, new Uint8Array(bytes));
  for (let i = 0; i < count; i++) {
    await send();
    if (i % 20 === 19) await delay(1);
  }
  return { count };
}

async function counted(): Promise<UdpReport> {
  for (let before = -1; before !== arrivals.count;) {
    before = arrivals.count;
    await delay(QUIET_MS);
  }
  const { count, lastMs, firstMs } = arrivals;
  return { count, elapsedMs: lastMs - firstMs, socketDrops: socketDrops(end.addr), swarmDrops: end.swarmDrops() };
}

async function handle(order: UdpOrder): Promise<UdpReport> {
  switch (order.do) {
    case 'open': {
      const link = process.argv[2] as Link;
      end = await (link === 'raw' || link === 'bare' ? openRaw(link === 'bare') : openSwarm(link));
      return { addr: end.addr };
    }
    case 'flood':
      return flood(order.addr, order.bytes, order.ms);
    case 'trickle':
      return trickle(order.addr, order.bytes, order.count);
    case 'count':
      arrivals.count = 0;
      return {};
    case 'counted':
      break;
  }
  return counted();
}

if (process.argv[1] === import.meta.filename) obey(handle);
