/** One end of every bench of requests and answers, as a process of its own: it serves one kind, or asks a server of it. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect as connectNet, createServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';

import type { Addr, AskSwarm } from 'shoal';
import { mbapp } from 'shoal/mbapp';
import { p2pke } from 'shoal/p2pke';
import { openQuicSwarm } from 'shoal/quic';
import { openSshSwarm } from 'shoal/ssh';
import { openTcpSwarm } from 'shoal/tcp';
import { testKey } from 'shoal/testing';
import { openUdpSwarm, type UdpAddr } from 'shoal/udp';
import { obey } from './harness/child.ts';
import { type ImportAeadKey, loadWasmAead } from 'shoal/wasm-aead';
import { loadSodium } from './harness/sodium.ts';
import { tlsIdentity } from './harness/tls-identity.ts';
import { rawReader, RawSender } from './node-raw.ts';

/** What an end is told: to serve, to connect, or to send requests of so many bytes, so many under way at a time, for so long. */
export type RequestOrder =
  | { readonly do: 'serve' }
  | { readonly do: 'connect'; readonly addr: string }
  | { readonly do: 'ask'; readonly bytes: number; readonly inFlight: number; readonly forMs: number };

/** What it answers. */
export interface RequestReport {
  readonly addr?: string;
  readonly count?: number;
  readonly ms?: number;
}

/** Sends one request; resolves when its answer is there. */
type Request = (request: Uint8Array) => Promise<unknown>;

interface Kind {
  readonly serve: () => Promise<string>;
  readonly connect: (addr: string) => Promise<Request>;
}

const bind = '127.0.0.1:0';

function swarmKind(open: (key: number) => unknown): Kind {
  // Addresses come from the swarm's own parseAddr only.
  const opened = async (key: number): Promise<AskSwarm<Addr>> => (await open(key)) as AskSwarm<Addr>;
  return {
    serve: async () => {
      const swarm = await opened(2);
      swarm.serve(({ payload }) => payload);
      return swarm.addr.text;
    },
    connect: async (addr) => {
      const swarm = await opened(1);
      const dst = swarm.parseAddr(addr);
      return (request) => swarm.ask(dst, request);
    },
  };
}

/** Frames of four bytes of length over one stream, those of a turn in one write; answers come in the order of requests. */
function streamKind(
  listen: (onSocket: (socket: Socket) => void) => { listen: Listen; address: () => unknown },
  connect: (port: number) => Promise<Socket>,
): Kind {
  return {
    serve: async () => {
      const server = listen((socket) => {
        const sender = new RawSender(socket);
        rawReader(socket, (message) => void sender.send(message));
      });
      await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
      return String((server.address() as AddressInfo).port);
    },
    connect: async (port) => {
      const socket = await connect(Number(port));
      const sender = new RawSender(socket);
      const waiting: ((answer: Uint8Array) => void)[] = [];
      rawReader(socket, (answer) => waiting.shift()!(answer));
      return (request) =>
        new Promise((resolve) => {
          waiting.push(resolve);
          sender.send(request);
        });
    },
  };
}

type Listen = (port: number, host: string, done: () => void) => unknown;
const server = (port: number) => ({ port, host: '127.0.0.1', noDelay: true });

const net = streamKind(
  (onSocket) => createServer({ noDelay: true }, onSocket),
  async (port) => {
    const socket = connectNet(server(port));
    await once(socket, 'connect');
    return socket;
  },
);

/** As the swarms: TLS 1.3, a certificate with an Ed25519 key at both ends. */
const tls = streamKind(
  (onSocket) =>
    createTlsServer(
      { ...tlsIdentity(2), minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: false, noDelay: true },
      onSocket,
    ),
  async (port) => {
    const socket = connectTls({ ...server(port), ...tlsIdentity(1), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    return socket;
  },
);

/** Longer than any round trip on loopback. */
const LOST_MS = 200;

const lookup = (host: string, _: unknown, done: (error: null, address: string, family: number) => void): void =>
  done(null, host, 4);

/** Bare datagrams, which are told apart by their first four bytes. */
const dgram: Kind = {
  serve: async () => {
    const socket = createSocket({ type: 'udp4', lookup });
    socket.on('message', (data, { port, address }) => socket.send(data, port, address));
    await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
    return String(socket.address().port);
  },
  connect: async (port) => {
    const socket = createSocket({ type: 'udp4', lookup });
    const waiting = new Map<number, { readonly done: (value: undefined) => void; readonly sentMs: number }>();
    let next = 0;
    const settle = (id: number): void => {
      waiting.get(id)?.done(undefined);
      waiting.delete(id);
    };
    // A datagram that is lost would be waited for without end.
    setInterval(() => {
      for (const [id, { sentMs }] of waiting) if (performance.now() - sentMs > LOST_MS) settle(id);
    }, LOST_MS);
    socket.on('message', (data) => settle(data.readUInt32BE(0)));
    await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
    return (request) =>
      new Promise((done) => {
        const id = next++;
        const datagram = Buffer.from(request);
        datagram.writeUInt32BE(id, 0);
        waiting.set(id, { done, sentMs: performance.now() });
        socket.send(datagram, Number(port), '127.0.0.1');
      });
  },
};

const mbappKind = (loadAead?: () => Promise<ImportAeadKey | undefined>): Kind =>
  swarmKind(async (key) => {
    const udp = await openUdpSwarm({ bind });
    return mbapp(p2pke<UdpAddr>(udp, { privateKey: testKey(key), aead: await loadAead?.() }));
  });

const OURS: Readonly<Record<string, Kind>> = {
  net,
  tls,
  dgram,
  mbapp: mbappKind(),
  'mbapp-wasm': mbappKind(loadWasmAead),
  'mbapp-sodium': mbappKind(loadSodium),
  tcp: swarmKind((key) => openTcpSwarm({ bind, privateKey: testKey(key) })),
  quic: swarmKind((key) => openQuicSwarm({ bind, privateKey: testKey(key) })),
  ssh: swarmKind((key) => openSshSwarm({ bind, privateKey: testKey(key) })),
};

const name = process.argv[2]!;
const kind = OURS[name] ?? ((await import(new URL(`rivals/requests/${name}.mjs`, import.meta.url).href)) as Kind);
let request: Request;

async function ask(bytes: number, inFlight: number, forMs: number): Promise<RequestReport> {
  const payload = new Uint8Array(bytes).fill(7);
  const start = performance.now();
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < start + forMs) {
      await request(payload);
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { count, ms: performance.now() - start };
}

obey(async (order: RequestOrder): Promise<RequestReport> => {
  if (order.do === 'serve') return { addr: await kind.serve() };
  if (order.do === 'ask') return ask(order.bytes, order.inFlight, order.forMs);
  request = await kind.connect(order.addr);
  await request(new Uint8Array(8));
  return {};
});
