/** `shoal/endpoint` as a user's compiler sees it. Checked by `tsc`; there is nothing to run. */

import { describe, it } from 'node:test';

import {
  type QuicConnection,
  type Endpoint,
  endpoint,
  type EndpointOptions,
  type IncomingMessage,
  openEndpoint,
  type OpenEndpointOptions,
  type Qp2pMessage,
} from '../../src/endpoint/index.ts';
import { createMemoryRealm, type MemoryAddr } from '../../src/swarms/memory/index.ts';
import type { UdpAddr } from '../../src/swarms/udp.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;

/** Compiled, never called. */
export async function inference(): Promise<void> {
  const udp = await openEndpoint({ bind: '127.0.0.1:0' });
  yes<Equal<typeof udp, Endpoint<UdpAddr>>>();
  const over = await openEndpoint({ over: createMemoryRealm().swarm() });
  yes<Equal<typeof over, Endpoint<MemoryAddr>>>();
  const wrapped = endpoint(createMemoryRealm().swarm());
  yes<Equal<typeof wrapped, Endpoint<MemoryAddr>>>();

  await using connection = await udp.connect('127.0.0.1:5000', { fresh: true, retry: true });
  yes<Equal<typeof connection, QuicConnection<UdpAddr>>>();
  for await (const message of udp.messages()) {
    yes<Equal<typeof message, IncomingMessage<QuicConnection<UdpAddr>>>>();
    yes<Equal<typeof message.payload, Uint8Array<ArrayBuffer>>>();
    await message.reply?.finish(message.payload);
    // @ts-expect-error only qp2p's messages have three parts
    void message.header;
  }
  for await (const accepted of udp.connections()) yes<Equal<typeof accepted, QuicConnection<UdpAddr>>>();
  for await (const event of udp.events()) {
    if (event.type === 'unsent') void [event.message, event.error.sent];
    // @ts-expect-error only an end has a reason
    if (event.type === 'connected') void event.closed;
  }
  const answer = await connection.request(new Uint8Array(1));
  yes<Equal<typeof answer, Uint8Array<ArrayBuffer>>>();
  const stream = await connection.openBi();
  for await (const each of stream.receive) yes<Equal<typeof each, Uint8Array<ArrayBuffer>>>();

  // @ts-expect-error three parts are qp2p's
  void connection.send({ header: new Uint8Array(1), dst: new Uint8Array(1), payload: new Uint8Array(1) });
  // @ts-expect-error nor a payload in an object
  void udp.send('127.0.0.1:5000', { payload: new Uint8Array(1) });
  // @ts-expect-error a text is no message
  void connection.send('text');
  // @ts-expect-error a socket of its own, or a swarm
  void openEndpoint({ bind: '127.0.0.1:0', over: createMemoryRealm().swarm() });
  // @ts-expect-error a memory address is no UDP address
  void udp.connect(createMemoryRealm().swarm().addr);
  // @ts-expect-error none of the ways to trust
  void openEndpoint({ trust: 'everyone' });
  // @ts-expect-error a text that nobody has looked at is no PeerID
  void udp.connect('127.0.0.1:5000', { expect: 'somebody' });
}

/** Compiled, never called. */
export async function withPreset(options: OpenEndpointOptions, over: EndpointOptions<MemoryAddr>): Promise<void> {
  const qp2p = await openEndpoint({ ...options, preset: 'qp2p' });
  yes<Equal<typeof qp2p, Endpoint<UdpAddr, Qp2pMessage>>>();
  const onSwarm = await openEndpoint({ over: createMemoryRealm().swarm(), preset: 'qp2p' });
  yes<Equal<typeof onSwarm, Endpoint<MemoryAddr, Qp2pMessage>>>();
  const wrapped = endpoint(createMemoryRealm().swarm(), { ...over, preset: 'qp2p' });
  yes<Equal<typeof wrapped, Endpoint<MemoryAddr, Qp2pMessage>>>();
  const native = await openEndpoint(options);
  yes<Equal<typeof native, Endpoint<UdpAddr>>>();

  const connection = await qp2p.connect('127.0.0.1:5000');
  yes<Equal<typeof connection, QuicConnection<UdpAddr, Qp2pMessage>>>();
  await connection.send({ header: new Uint8Array(1), payload: new Uint8Array(1) });
  await connection.send(new Uint8Array(1));
  yes<Equal<Awaited<ReturnType<typeof connection.request>>, Qp2pMessage>>();
  for await (const { header, dst, payload, reply, connection: from } of qp2p.messages()) {
    yes<Equal<typeof header, Uint8Array<ArrayBuffer>>>();
    await reply?.finish({ header, dst, payload });
    yes<Equal<typeof from, QuicConnection<UdpAddr, Qp2pMessage>>>();
  }
  // @ts-expect-error a message has a payload
  void connection.send({ header: new Uint8Array(1) });
  // @ts-expect-error there is no such preset
  void openEndpoint({ preset: 'qp3p' });
}

describe('types of the endpoint', () => {
  it('compile as said', () => {});
});
