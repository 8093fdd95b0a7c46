/** A QUIC swarm that crashes and is started again at the same port: its peers notice at once. */

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { endpoint, openEndpoint } from '../../src/endpoint/index.ts';
import { openQuicSwarm, quic } from '../../src/swarms/quic/index.ts';
import { type UdpAddr, openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';

it('a peer that crashed and came back at its port is noticed by the next ask, and reached by the one after it', async () => {
  const { swarm: inner, deafen } = deafened(await openUdpSwarm({ bind: '127.0.0.1:0' }));
  await using alice = quic(inner, { privateKey: testKey(0) });
  const open = async (bind: string) => {
    const swarm = await openQuicSwarm({ bind, privateKey: testKey(1) });
    swarm.serve(({ payload }) => payload);
    return swarm;
  };
  const bob = await open('127.0.0.1:0');
  const dst = alice.parseAddr(bob.addr.text);
  await alice.ask(dst, Uint8Array.of(1));
  const { missed, hear } = deafen();
  await bob.close();
  await missed;
  await using reborn = await open(dst.inner.text);
  await new Promise((resolve) => setTimeout(resolve, 100));
  hear();
  await assert.rejects(alice.ask(dst, Uint8Array.of(2)), (error) => P2PError.is(error, 'disconnected'));
  assert.deepEqual(await alice.ask(dst, Uint8Array.of(3)), Uint8Array.of(3));
  assert.equal(reborn.addr.text, dst.text);
});

it('an endpoint that crashed and came back at its key and port is noticed by the next send, and reached by the one after it', async () => {
  const udp = await openUdpSwarm({ bind: '127.0.0.1:0' });
  const { swarm, deafen } = deafened(udp);
  await using alice = endpoint(swarm, { privateKey: testKey(0) });
  const open = (bind: string) => openEndpoint({ bind, privateKey: testKey(1) });
  const bob = await open('127.0.0.1:0');
  const [addr] = bob.localAddrs();
  const connection = await alice.connect(addr!);
  await connection.send(Uint8Array.of(1), { acked: true });
  const { missed, hear } = deafen();
  await bob.close();
  await missed;
  await using reborn = await open(addr!.text);
  // The last word of the first one may be behind others in the socket.
  await new Promise((resolve) => setTimeout(resolve, 100));
  hear();
  await assert.rejects(connection.send(Uint8Array.of(2), { acked: true }), (error) =>
    P2PError.is(error, 'disconnected'),
  );
  assert.equal((await connection.closed).by, 'stateless_reset');
  await alice.send(addr!, Uint8Array.of(3), { acked: true });
  assert.deepEqual((await reborn.messages().next()).value?.payload, Uint8Array.of(3));
});

interface Deaf {
  /** Something has come that was not heard. */
  readonly missed: Promise<void>;
  readonly hear: () => void;
}

/** A swarm that can be made to hear nothing. */
function deafened(udp: Swarm<UdpAddr>): { readonly swarm: Swarm<UdpAddr>; readonly deafen: () => Deaf } {
  let deaf = false;
  const missed = Promise.withResolvers<void>();
  const swarm: Swarm<UdpAddr> = {
    realm: udp.realm,
    counters: udp.counters,
    closed: udp.closed,
    get addr() {
      return udp.addr;
    },
    localAddrs: () => udp.localAddrs(),
    parseAddr: (text) => udp.parseAddr(text),
    tryParseAddr: (text) => udp.tryParseAddr(text),
    mtu: (dst) => udp.mtu(dst),
    tell: (dst, payload, options) => udp.tell(dst, payload, options),
    listen: (handler) => udp.listen((message) => (deaf ? missed.resolve() : handler(message))),
    drain: (options) => udp.drain(options),
    close: () => udp.close(),
    [Symbol.asyncDispose]: () => udp.close(),
  };
  const deafen = (): Deaf => {
    deaf = true;
    const hear = (): void => {
      deaf = false;
    };
    return { missed: missed.promise, hear };
  };
  return { swarm, deafen };
}
