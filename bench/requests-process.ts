/** One end of requests.ts as a process of its own: `serve KIND`, or `ask KIND ADDR` and then orders. */

import { once } from 'node:events';
import { type AddressInfo, connect as connectNet, createServer } from 'node:net';

import type { Addr, SecureAskSwarm } from 'shoal';
import { openQuicSwarm } from 'shoal/quic';
import { openTcpSwarm } from 'shoal/tcp';
import { testKey } from 'shoal/testing';
import type { RequestOrder } from './requests-orders.ts';

/** Sends one request; resolves when its answer is there. */
type Request = (request: Uint8Array) => Promise<unknown>;

interface Kind {
  readonly serve: () => Promise<string>;
  readonly connect: (addr: string) => Promise<Request>;
}

const bind = '127.0.0.1:0';

function swarmKind(open: (key: number) => Promise<SecureAskSwarm<Addr>>): Kind {
  return {
    serve: async () => {
      const swarm = await open(2);
      swarm.serve(({ payload }) => payload);
      return swarm.addr.text;
    },
    connect: async (addr) => {
      const swarm = await open(1);
      const dst = swarm.parseAddr(addr);
      return (request) => swarm.ask(dst, request);
    },
  };
}

// Addresses come from the swarm's own parseAddr and localAddrs only.
const anySwarm = (swarm: unknown): SecureAskSwarm<Addr> => swarm as SecureAskSwarm<Addr>;

/** Raw `net`, both ends writing what they get: answers are told apart by their sizes only. */
const net: Kind = {
  serve: async () => {
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on('data', (chunk) => socket.write(chunk));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return String((server.address() as AddressInfo).port);
  },
  connect: async (port) => {
    const socket = connectNet({ host: '127.0.0.1', port: Number(port), noDelay: true });
    await once(socket, 'connect');
    const waiting: { readonly bytes: number; readonly done: (value: undefined) => void }[] = [];
    let come = 0;
    socket.on('data', (chunk) => {
      come += chunk.length;
      while (waiting.length > 0 && come >= waiting[0]!.bytes) {
        const { bytes, done } = waiting.shift()!;
        come -= bytes;
        done(undefined);
      }
    });
    return (request) =>
      new Promise((done) => {
        waiting.push({ bytes: request.length, done });
        socket.write(request);
      });
  },
};

const OURS: Readonly<Record<string, Kind>> = {
  net,
  tcp: swarmKind(async (key) => anySwarm(await openTcpSwarm({ bind, privateKey: testKey(key) }))),
  quic: swarmKind(async (key) => anySwarm(await openQuicSwarm({ bind, privateKey: testKey(key) }))),
};

async function kindOf(name: string): Promise<Kind> {
  return OURS[name] ?? ((await import(new URL(`rivals/requests/${name}.mjs`, import.meta.url).href)) as Kind);
}

async function rate(request: Request, { bytes, inFlight, forMs }: RequestOrder): Promise<number> {
  const payload = new Uint8Array(bytes).fill(7);
  const start = performance.now();
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < start + forMs) {
      await request(payload);
      done++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (done * 1000) / (performance.now() - start);
}

const [, , role, name, addr] = process.argv;
const kind = await kindOf(name!);
if (role === 'serve') process.send!(await kind.serve());
else {
  const request = await kind.connect(addr!);
  await request(new Uint8Array(8));
  process.on('message', (order: RequestOrder) => void rate(request, order).then((figure) => process.send!(figure)));
  process.send!('ready');
}
process.on('disconnect', () => process.exit());
