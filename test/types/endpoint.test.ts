/** `shoal/endpoint` as a user's compiler sees it. Checked by `tsc`; there is nothing to run. */

import { describe, it } from 'node:test';

import {
  type Connection,
  type Endpoint,
  endpoint,
  type IncomingMessage,
  openEndpoint,
  type ReceivedMessage,
} from '../../src/endpoint/index.ts';
import { createMemoryRealm, type MemoryAddr } from '../../src/swarms/memory/index.ts';
import { type UdpAddr } from '../../src/swarms/udp.ts';

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
  yes<Equal<typeof connection, Connection<UdpAddr>>>();
  for await (const message of udp.messages()) {
    yes<Equal<typeof message, IncomingMessage<Connection<UdpAddr>>>>();
    await message.reply?.finish({ header: message.header, payload: message.payload });
  }
  for await (const accepted of udp.connections()) yes<Equal<typeof accepted, Connection<UdpAddr>>>();
  for await (const event of udp.events()) {
    if (event.type === 'unsent') void [event.message, event.error.sent];
    // @ts-expect-error only an end has a reason
    if (event.type === 'connected') void event.closed;
  }
  const answer = await connection.request(new Uint8Array(1));
  yes<Equal<typeof answer, ReceivedMessage>>();

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

describe('types of the endpoint', () => {
  it('compile as said', () => {});
});
