/** One end of tcp-swarm.ts as a process of its own. Both ends of every kind answer orders; see {@link TcpOrder}. */

import { connect, createServer, type Socket } from 'node:net';

import { type Bytes, concatBytes } from '../src/base/bytes.ts';
import { generateKey } from '../src/identity/keys.ts';
import {
  createNode,
  type Handshake,
  handshake,
  lengthDelimited,
  noise,
  reading,
  type Transform,
  writing,
} from '../src/node/index.ts';
import { frameNoiseMessage, NoiseHandshake, NoiseRecordReader, sealRecords } from '../src/protocols/noise/index.ts';
import { openTcpSwarm } from '../src/swarms/tcp/index.ts';
import { obey } from './harness/child.ts';

/** What an end is told: to expect messages, to answer when all are processed, or to send them to an address. */
export type TcpOrder =
  | { readonly do: 'open' }
  | { readonly do: 'expect'; readonly count: number }
  | { readonly do: 'received' }
  | { readonly do: 'send'; readonly addr: string; readonly count: number; readonly bytes: number };

/** Both ends of one kind. */
interface End {
  readonly addr: string;
  send(addr: string, count: number, bytes: number): Promise<void>;
}

/** What a handler would get: made, so that the ceiling does as much. */
let last: Uint8Array | undefined;
let received = 0;
let expected = Infinity;
let done: ((last: number | undefined) => void) | undefined;

/** Called for messages that were processed; says when all that were expected have been. */
function processed(messages: number): void {
  received += messages;
  if (received >= expected) done?.(last?.length);
}

/** Messages that are sent before the loop looks whether there is room; fewer of large ones. */
const BURST_BYTES = 512_000;
const BURST = Math.max(1, Math.min(500, Math.floor(BURST_BYTES / Number(process.argv[3]))));
const HEADER_BYTES = 4;

/** The ceiling: frames written side by side into large buffers by hand, and no encryption. */
async function plain(): Promise<End> {
  const server = createServer({ noDelay: true }, (socket) => {
    let rest: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      let messages = 0;
      while (at + HEADER_BYTES <= all.length) {
        const end = at + HEADER_BYTES + all.readUInt32BE(at);
        if (end > all.length) break;
        last = new Uint8Array(all.buffer, all.byteOffset + at + HEADER_BYTES, end - at - HEADER_BYTES);
        at = end;
        messages++;
      }
      rest = all.subarray(at);
      processed(messages);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { readonly port: number };
  let socket: Socket | undefined;
  return {
    addr: String(port),
    send: async (addr, count, bytes) => {
      socket ??= connect({ port: Number(addr), host: '127.0.0.1', noDelay: true });
      const payload = Buffer.alloc(bytes, 1);
      for (let sent = 0; sent < count;) {
        const burst = Math.min(BURST, count - sent);
        const batch = Buffer.allocUnsafe(burst * (HEADER_BYTES + bytes));
        for (let i = 0, at = 0; i < burst; i++, at += HEADER_BYTES + bytes) {
          batch.writeUInt32BE(bytes, at);
          batch.set(payload, at + HEADER_BYTES);
        }
        sent += burst;
        if (!socket.write(batch)) await new Promise((resolve) => socket!.once('drain', resolve));
      }
    },
  };
}

async function swarm(): Promise<End> {
  const tcp = await openTcpSwarm({ bind: '127.0.0.1:0', privateKey: generateKey() });
  tcp.listen(({ payload }) => processed(payload.length === 0 ? 0 : 1));
  return {
    addr: tcp.addr.text,
    send: async (addr, count, bytes) => {
      const dst = tcp.parseAddr(addr);
      const payload = new Uint8Array(bytes).fill(1);
      await tcp.tell(dst, new Uint8Array(0)); // a connection; counted by nobody
      for (let sent = 0; sent < count;) {
        let told: Promise<void> | undefined;
        for (const end = Math.min(sent + BURST, count); sent < end; sent++) told = tcp.tell(dst, payload);
        await told;
      }
      await tcp.drain();
    },
  };
}

/** A node with a handshake, frames of 4 bytes and what follows. */
async function overNode(security: Handshake): Promise<End> {
  const node = createNode({ security, codec: lengthDelimited({ prefixBytes: 4 }), bind: '127.0.0.1:0' });
  node.enable(writing());
  node.enable(reading({ onMessage: () => processed(1) }));
  const addr = await node.listen();
  return {
    addr,
    send: async (to, count, bytes) => {
      const peer = node.connection(to) ?? (await node.connect(to));
      const payload = new Uint8Array(bytes).fill(1);
      for (let sent = 0; sent < count;) {
        let room = true;
        for (const end = Math.min(sent + BURST, count); sent < end; sent++) room = peer.send(payload);
        if (!room) await peer.ready();
        else await new Promise((resolve) => setImmediate(resolve));
      }
      await peer.flushed();
    },
  };
}

/** Noise with a record for each message, as libp2p has it. Messages of a batch all have one size. */
function recordForEach(messageBytes: number): Handshake {
  return handshake(async ({ stream, connection }) => {
    const machine = new NoiseHandshake({
      pattern: 'NN',
      hash: 'BLAKE2s',
      role: connection.side === 'responder' ? 'initiator' : 'responder',
      ephemeralSeed: crypto.getRandomValues(new Uint8Array(32)),
    });
    while (machine.turn !== 'done') {
      if (machine.turn === 'write') {
        const written = machine.write();
        if (written.ok) await stream.write(frameNoiseMessage(written.bytes));
      } else {
        const [high, low] = await stream.read(2);
        machine.read(await stream.read(high! * 256 + low!));
      }
    }
    const { send, receive } = machine.finish();
    const reader = new NoiseRecordReader(receive);
    const transport: Transform = {
      seal: (batch) => {
        const all = concatBytes(...batch);
        const sealed: Uint8Array[] = [];
        for (let at = 0; at < all.length; at += messageBytes) {
          sealed.push(sealRecords(send, all.subarray(at, at + messageBytes)) as Bytes);
        }
        return [concatBytes(...sealed)];
      },
      open: (chunk) => reader.push(chunk) as readonly Bytes[],
    };
    return { transport };
  });
}

const KINDS: Readonly<Record<string, (bytes: number) => Promise<End>>> = {
  plain,
  swarm,
  noise: () => overNode(noise({ pattern: 'XX' })),
  'noise-each': (bytes) => overNode(recordForEach(HEADER_BYTES + bytes)),
};

const [kind, size] = process.argv.slice(2);
const end = await KINDS[kind!]!(Number(size));
obey((order: TcpOrder): unknown => {
  if (order.do === 'open') return end.addr;
  if (order.do === 'send') return end.send(order.addr, order.count, order.bytes);
  if (order.do === 'received') {
    return new Promise((resolve) => {
      done = resolve;
      processed(0);
    });
  }
  [received, expected, done] = [0, order.count, undefined];
  return undefined;
});
