/** A QUIC swarm that crashes and is started again at the same port: its peers notice at once. */

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { type Swarm } from '../../src/core/swarm.ts';
import { openQuicSwarm, quic } from '../../src/swarms/quic/index.ts';
import { type UdpAddr, openUdpSwarm } from '../../src/swarms/udp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

it('a peer that crashed and came back at its port is noticed by the next ask, and reached by the one after it', async () => {
  const udp = await openUdpSwarm({ bind: '127.0.0.1:0' });
  let deaf = false;
  const missed = Promise.withResolvers<void>();
  // Hears nothing while the peer goes down, as when it crashes.
  const inner: Swarm<UdpAddr> = {
    realm: udp.realm,
    counters: udp.counters,
    closed: udp.closed,
    localAddrs: () => udp.localAddrs(),
    parseAddr: (text) => udp.parseAddr(text),
    mtu: (dst) => udp.mtu(dst),
    tell: (dst, payload, options) => udp.tell(dst, payload, options),
    listen: (handler) => udp.listen((message) => (deaf ? missed.resolve() : handler(message))),
    drain: (options) => udp.drain(options),
    close: () => udp.close(),
    [Symbol.asyncDispose]: () => udp.close(),
  };
  await using alice = quic(inner, { privateKey: testKey(0) });
  const open = async (bind: string) => {
    const swarm = await openQuicSwarm({ bind, privateKey: testKey(1) });
    swarm.serve(({ payload }) => payload);
    return swarm;
  };
  const bob = await open('127.0.0.1:0');
  const dst = alice.parseAddr(bob.localAddrs()[0]!.text);
  await alice.ask(dst, Uint8Array.of(1));
  deaf = true;
  await bob.close();
  await missed.promise;
  await using reborn = await open(dst.inner.text);
  deaf = false;
  await assert.rejects(alice.ask(dst, Uint8Array.of(2)), (error) => P2PError.is(error, 'disconnected'));
  assert.deepEqual(await alice.ask(dst, Uint8Array.of(3)), Uint8Array.of(3));
  assert.equal(reborn.localAddrs()[0]!.text, dst.text);
});
