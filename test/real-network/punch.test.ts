/** Punching over this machine's loopback: there is nothing to cross, but the sockets are those of the system. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { openObserver, type PunchedPath, type Puncher, punching, tcpPuncher, udpPuncher } from '../../src/nat/index.ts';
import type { Network } from '../../src/net/network.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';

/** The sockets of this machine, on which nothing but loopback is known. */
const loopback: Network = {
  dial: (options) => systemNetwork.dial(options),
  listen: (options) => systemNetwork.listen(options),
  bindUdp: (options) => systemNetwork.bindUdp(options),
  interfaces: () => systemNetwork.interfaces().filter(({ ip }) => ip === '127.0.0.1'),
  onInterfacesChanged: (listener) => systemNetwork.onInterfacesChanged(listener),
};

async function observed() {
  const opened = await Promise.all([0, 1].map(() => openObserver({ bind: '127.0.0.1:0' })));
  const observers = opened.map(({ addresses }) => parseSocketAddress(addresses[0]!)!);
  return { observers, close: () => Promise.all(opened.map((observer) => observer.close())) };
}

async function punch<P extends PunchedPath>(left: Puncher<P>, right: Puncher<P>): Promise<readonly [P, P]> {
  const [own, theirs] = await Promise.all([left.offer(), right.offer()]);
  assert.deepEqual([own.ports, theirs.ports], ['steady', 'steady']);
  return Promise.all([
    left.punch(own, theirs, { side: 'initiator', rttMs: 1 }),
    right.punch(theirs, own, { side: 'responder', rttMs: 1 }),
  ]);
}

describe('punching on loopback', () => {
  it('UDP: each finds the address of the other, and the swarms talk by it', async () => {
    const { observers, close } = await observed();
    const open = async () => {
      const network = punching(loopback);
      const swarm = await openUdpSwarm({ network, bind: '127.0.0.1:0' });
      return { swarm, puncher: udpPuncher({ network, port: swarm.addr.port, observers: () => observers }) };
    };
    const [left, right] = [await open(), await open()];
    const [near, far] = await punch(left.puncher, right.puncher);
    assert.deepEqual([near.remote.port, far.remote.port], [right.swarm.addr.port, left.swarm.addr.port]);
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    right.swarm.listen(({ payload }) => resolve(decodeText(payload)));
    await left.swarm.tell(`127.0.0.1:${near.remote.port}`, encodeText('hello'));
    assert.equal(await promise, 'hello');
    await Promise.all([left.swarm.close(), right.swarm.close(), close()]);
  });

  it('TCP: both get the same connection', async () => {
    const { observers, close } = await observed();
    const open = () => tcpPuncher({ network: loopback, observers: () => observers });
    const [left, right] = [open(), open()];
    const [near, far] = await punch(left, right);
    assert.deepEqual(near.connection.local.port, far.connection.remote.port);
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const ignore = (): void => undefined;
    far.connection.pipe.sink = { onData: (chunk) => resolve(decodeText(chunk)), onEnd: ignore, onClose: ignore };
    far.connection.pipe.resume();
    near.connection.pipe.write([encodeText('hello')], ignore);
    assert.equal(await promise, 'hello');
    for (const { connection } of [near, far]) connection.pipe.destroy();
    await Promise.all([left[Symbol.asyncDispose](), right[Symbol.asyncDispose](), close()]);
  });
});
