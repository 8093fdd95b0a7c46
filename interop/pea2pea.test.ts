/** The node against the real pea2pea of both eras: length-delimited frames in both directions, and the simple_rpc example. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes, decodeText, encodeText, toHex } from '../src/base/bytes.ts';
import { createNode, lengthDelimited, type Node, reading, type TcpConnection, writing } from '../src/node/index.ts';
import { pea2peaMissing, type Era, Pea2PeaPeer } from './pea2pea-peer.ts';

const ERAS: readonly Era[] = ['57', '50'];

interface Ours {
  readonly node: Node<Bytes, Uint8Array>;
  /** The next message that came. */
  readonly next: () => Promise<Bytes>;
}

function ours(prefixBytes: 1 | 2 | 4 = 4, onMessage?: (peer: TcpConnection<Uint8Array>, message: Bytes) => void): Ours {
  const node = createNode({ security: 'none', codec: lengthDelimited({ prefixBytes }), bind: '127.0.0.1:0' });
  const messages: Bytes[] = [];
  const waiters: ((message: Bytes) => void)[] = [];
  const keep = (_: TcpConnection, message: Bytes): void => {
    const waiter = waiters.shift();
    if (waiter === undefined) messages.push(message);
    else waiter(message);
  };
  node.enable(writing());
  node.enable(reading({ onMessage: onMessage ?? keep }));
  const next = (): Promise<Bytes> => {
    const message = messages.shift();
    return message === undefined ? new Promise((resolve) => waiters.push(resolve)) : Promise.resolve(message);
  };
  return { node, next };
}

function answer(connection: TcpConnection<Uint8Array>, message: Bytes): void {
  const reply = concatBytes(Uint8Array.of(1), message.subarray(1, 9), encodeText('Echo: '), message.subarray(9));
  connection.send(reply);
}

for (const era of ERAS) {
  describe(`pea2pea 0.${era}`, { skip: pea2peaMissing() }, () => {
    it('we dial, and frames of every size come back as they were', async () => {
      for (const prefixBytes of [4, 2] as const) {
        await using peer = new Pea2PeaPeer(era, 'echo', prefixBytes);
        const { node, next } = ours(prefixBytes);
        await using _ = node;
        const connection = await node.connect(await peer.address());
        for (const size of [1, 2, 255, 256, 8191, 8192, 65_535, ...(prefixBytes === 4 ? [65_536, 1_048_576] : [])]) {
          const message = Uint8Array.from({ length: size }, (_, i) => i % 251);
          connection.send(message);
          assert.deepEqual(await next(), message);
        }
      }
    });

    it('it dials, and frames arrive whole and in order', async () => {
      await using peer = new Pea2PeaPeer(era, 'show');
      await peer.address();
      const { node, next } = ours();
      await using _ = node;
      await peer.ask('connected', 'connect', await node.listen());
      for (let i = 1; i <= 100; i++) peer.tell('send', '0a'.repeat(i));
      for (let i = 1; i <= 100; i++) assert.equal(toHex(await next()), '0a'.repeat(i));
      const [connection] = node.connections();
      assert.equal(connection!.side, 'initiator');
      connection!.send(encodeText('hello'));
      assert.equal(decodeText(await peer.bytes()), 'hello');
    });

    it('a hundred thousand frames in each direction, all of them processed', async () => {
      const count = 100_000;
      await using peer = new Pea2PeaPeer(era, 'sink');
      const { promise, resolve } = Promise.withResolvers<void>();
      let heard = 0;
      const { node } = ours(4, () => {
        if (++heard === count) resolve();
      });
      await using _ = node;
      const connection = await node.connect(await peer.address());
      peer.tell('flood', 64, count);
      await promise;
      if (era === '50') return; // It drops what it cannot queue, and counts it all the same.
      await peer.ask('expecting', 'expect', count);
      for (let i = 0; i < count; i++) if (!connection.send(new Uint8Array(64))) await connection.ready();
      assert.equal((await peer.next('received')).count, count);
    });

    it('its disconnect is our onDisconnect; ours ends its connection', async () => {
      await using peer = new Pea2PeaPeer(era, 'echo');
      const addr = await peer.address();
      const { node, next } = ours();
      await using _ = node;
      const connection = await node.connect(addr);
      // A dial is over here before it is there; an echo shows that it is over there, too.
      connection.send(Uint8Array.of(1));
      await next();
      peer.tell('disconnect');
      assert.equal((await connection.closed).reason, 'closed_by_peer');
      const again = await node.connect(addr);
      await again.disconnect();
      assert.equal((await again.closed).reason, 'closed');
    });

    it('simple_rpc: the same bytes, asked from both sides', async () => {
      await using peer = new Pea2PeaPeer(era, 'rpc');
      const asking = ours();
      await using _ = asking.node;
      const asked = await asking.node.connect(await peer.address());
      const id = Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 7);
      asked.send(concatBytes(Uint8Array.of(0), id, encodeText('ping')));
      assert.deepEqual(await asking.next(), concatBytes(Uint8Array.of(1), id, encodeText('Echo: ping')));

      await using second = new Pea2PeaPeer(era, 'show');
      const { node } = ours(4, answer);
      await using __ = node;
      await node.connect(await second.address());
      second.tell('call', 263, 'ping');
      assert.equal(toHex(await second.bytes()), `010000000000000107${toHex(encodeText('Echo: ping'))}`);
    });
  });
}
