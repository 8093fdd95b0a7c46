/** One end of the endpoint bench, as a process of its own; `bench/endpoint.ts` starts it and talks to it. */

import { type QuicConnection, openEndpoint, type OpenEndpointOptions } from 'shoal/endpoint';
import { obey } from './harness/child.ts';
import type { EndpointOrder, EndpointReport } from './endpoint-orders.ts';

/** What is not measured just now must not end: others take turns for longer than the idle timeout. */
const base = { bind: '127.0.0.1:0', keepAliveMs: 5000 };
/** `jumbo`: finds datagrams of 9000 bytes on loopback. */
const options: OpenEndpointOptions = process.argv[2] === 'jumbo' ? { ...base, maxMtuBytes: 9000 } : base;
const endpoint = await openEndpoint(options);
let connection: QuicConnection | undefined;

async function serve(echo: boolean): Promise<void> {
  for await (const { payload, reply, connection: from } of endpoint.messages()) {
    if (reply !== undefined) void reply.finish(payload);
    else if (echo) void from.send(payload, { timeoutMs: Infinity });
  }
}

/** Runs `act` again and again, `inFlight` at a time, for so long. */
async function keepBusy(inFlight: number, forMs: number, act: () => Promise<unknown>): Promise<EndpointReport> {
  const began = performance.now();
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - began < forMs) {
      await act();
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { count, ms: performance.now() - began };
}

async function timed(count: number, act: () => Promise<QuicConnection>): Promise<EndpointReport> {
  const began = performance.now();
  // Ended as soon as it is there, as qp2p's end when nobody holds them any more.
  for (let i = 0; i < count; i++) void (await act()).close();
  return { count, ms: performance.now() - began };
}

async function client(addr: string, count: number, bytes: number): Promise<void> {
  await using own = await openEndpoint({ ...options, listen: false });
  const to = await own.connect(addr, { timeoutMs: 60_000 });
  const payload = new Uint8Array(bytes).fill(9);
  for (let i = 0; i < count; i++) void to.send(payload, { timeoutMs: Infinity });
  let got = 0;
  for await (const message of to.messages()) {
    if (message.payload.length !== bytes) throw new Error(`got ${message.payload.length} bytes`);
    if (++got === count) return;
  }
  throw new Error(`the connection ended after ${got} of ${count}`);
}

obey(async (order: EndpointOrder): Promise<EndpointReport> => {
  switch (order.do) {
    case 'serve':
      void serve(order.echo);
      return { addr: endpoint.addr.text };
    case 'connect':
      connection = await endpoint.connect(order.addr);
      return {};
    case 'bidi': {
      const payload = new Uint8Array(order.bytes).fill(7);
      return keepBusy(order.inFlight, order.forMs, () => connection!.request(payload));
    }
    case 'uni': {
      const payload = new Uint8Array(order.bytes).fill(7);
      return keepBusy(order.inFlight, order.forMs, () => connection!.send(payload, { acked: true }));
    }
    case 'connects':
      return timed(order.count, () => endpoint.connect(order.addrs[0]!, { fresh: true }));
    case 'anys':
      return timed(order.count, () => endpoint.connectToAny(order.addrs, { fresh: true }));
    case 'clients':
      break;
  }
  const began = performance.now();
  await Promise.all(Array.from({ length: order.clients }, () => client(order.addr, order.count, order.bytes)));
  return { count: order.clients, ms: performance.now() - began };
});
