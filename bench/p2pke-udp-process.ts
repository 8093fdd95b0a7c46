/** One end of p2pke-udp.ts as a process of its own: `receive` or `send`, and over what. */

import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import type { Counters } from '../src/core/counters.ts';
import { chacha20Poly1305 } from '../src/crypto/node.ts';
import type { ImportAeadKey } from '../src/crypto/suite.ts';
import { generateKey } from '../src/identity/keys.ts';
import { p2pke } from '../src/swarms/p2pke/index.ts';
import { OVERHEAD_BYTES } from '../src/protocols/p2pke/index.ts';
import { openUdpSwarm } from '../src/swarms/udp.ts';
import { loadSodium } from './harness/sodium.ts';

export const BYTES: number = 1000;
/** How long is warmed up, and how long measured. */
export interface Times {
  readonly warmMs: number;
  readonly measureMs: number;
}

export const TIMES: Times = { warmMs: 700, measureMs: 1300 };
export const QUICK_TIMES: Times = { warmMs: 200, measureMs: 300 };
const BURST = 64;
/** Kernels grant less by default; all contenders ask for the same. */
const BUFFER_BYTES = 4 * 1024 * 1024;

export interface Result {
  readonly received: number;
  readonly total: number;
  readonly seconds: number;
  readonly socketDrops: number;
  readonly layerDrops: Readonly<Record<string, number>>;
}

/** What one end can do, whatever is under it. */
interface End {
  readonly addr: string;
  readonly port: number;
  tell(dst: string): () => void;
  listen(handler: () => void): void;
  drops(): Readonly<Record<string, number>>;
}

const lookup = (
  address: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void => callback(null, address, 4);

const ignore = (): void => {};
const portOf = (dst: string): number => Number(dst.slice(dst.lastIndexOf(':') + 1));

interface RawEnd extends End {
  send(datagram: Uint8Array, port: number): void;
  onDatagram(handler: (datagram: Uint8Array) => void): void;
}

async function openRaw(): Promise<RawEnd> {
  const socket = createSocket({ type: 'udp4', lookup, recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES });
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', () => resolve()));
  const { port } = socket.address();
  const send = (datagram: Uint8Array, to: number): void => socket.send(datagram, to, '127.0.0.1', ignore);
  return {
    addr: `127.0.0.1:${port}`,
    port,
    send,
    onDatagram: (handler) => void socket.on('message', handler),
    tell: (dst) => {
      const payload = new Uint8Array(BYTES);
      const to = portOf(dst);
      return () => send(payload, to);
    },
    listen: (handler) => void socket.on('message', (datagram) => void (datagram.length === BYTES && handler())),
    drops: () => ({}),
  };
}

/** Raw datagrams that are sealed and opened: what no secure link can do without. */
async function openBare(): Promise<End> {
  const raw = await openRaw();
  const key = chacha20Poly1305(new Uint8Array(32));
  const nonce = new Uint8Array(12);
  const header = new Uint8Array(4);
  return {
    ...raw,
    tell: (dst) => {
      const payload = new Uint8Array(BYTES);
      const to = portOf(dst);
      return () => {
        const datagram = new Uint8Array(BYTES + OVERHEAD_BYTES);
        key.seal(nonce, header, payload, datagram, 4);
        raw.send(datagram, to);
      };
    },
    listen: (handler) =>
      raw.onDatagram((datagram) => {
        const opened = new Uint8Array(BYTES);
        if (key.open(nonce, header, datagram.subarray(4), opened, 0)) handler();
      }),
  };
}

async function openShoal(aead: ImportAeadKey | undefined): Promise<End> {
  const udp = await openUdpSwarm({
    bind: '127.0.0.1:0',
    recvBufferBytes: BUFFER_BYTES,
    sendBufferBytes: BUFFER_BYTES,
  });
  const swarm = p2pke(udp, { privateKey: generateKey(), aead });
  const [addr] = swarm.localAddrs();
  return {
    addr: addr!.text,
    port: addr!.inner.port,
    tell: (dst) => {
      const payload = new Uint8Array(BYTES);
      const to = swarm.parseAddr(dst);
      return () => void swarm.tell(to, payload);
    },
    listen: (handler) => void swarm.listen(({ payload }) => void (payload.length === BYTES && handler())),
    drops: () => {
      const drops: Record<string, number> = {};
      for (let at: Counters | undefined = swarm.counters; at !== undefined; at = at.inner) {
        for (const [reason, count] of at.drops) drops[reason] = (drops[reason] ?? 0) + count;
      }
      return drops;
    },
  };
}

/** Datagrams that the kernel had no room for, where it tells. */
export function socketDrops(port: number): number {
  try {
    const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    const line = readFileSync('/proc/net/udp', 'utf8')
      .split('\n')
      .find((each) => each.trim().split(/\s+/)[1]?.endsWith(local) === true);
    return Number(line?.trim().split(/\s+/).at(-1) ?? 0);
  } catch {
    return 0;
  }
}

async function openEnd(contender: string): Promise<End> {
  if (contender === 'raw') return openRaw();
  if (contender === 'bare') return openBare();
  return openShoal(contender === 'sodium' ? await loadSodium() : undefined);
}

async function receive(contender: string, { warmMs }: Times): Promise<void> {
  const end = await openEnd(contender);
  let total = 0;
  let counted = 0;
  let firstMs = 0;
  let beginMs = 0;
  let lastMs = 0;
  end.listen(() => {
    const now = performance.now();
    if (total++ === 0) firstMs = now;
    if (now - firstMs < warmMs) return;
    if (counted++ === 0) beginMs = now;
    lastMs = now;
  });
  process.on('message', () => {
    const result: Result = {
      received: counted,
      total,
      seconds: (lastMs - beginMs) / 1000,
      socketDrops: socketDrops(end.port),
      layerDrops: end.drops(),
    };
    process.send!(result, () => process.exit());
  });
  process.send!(end.addr);
}

async function send(contender: string, { warmMs, measureMs }: Times, dst: string): Promise<void> {
  const end = await openEnd(contender);
  end.listen(() => {});
  const tell = end.tell(dst);
  tell();
  await new Promise((resolve) => setTimeout(resolve, 100)); // the handshake
  const untilMs = performance.now() + warmMs + measureMs;
  let sent = 1;
  while (performance.now() < untilMs) {
    for (let i = 0; i < BURST; i++) tell();
    sent += BURST;
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.send!(sent, () => process.exit());
}

const [, script, role, contender = 'raw', pace = '', dst = ''] = process.argv;
if (script === import.meta.filename) {
  const times = pace === 'quick' ? QUICK_TIMES : TIMES;
  await (role === 'receive' ? receive(contender, times) : send(contender, times, dst));
}
