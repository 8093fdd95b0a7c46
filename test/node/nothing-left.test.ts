/** What is armed, held and waited for when calls of a node have ended, however they ended: nothing. */

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';

import {
  createNode,
  handshake,
  type HandshakeContext,
  type Node,
  noise,
  reading,
  writing,
} from '../../src/node/index.ts';
import { type FlatNetwork, flatNetwork } from '../support/flat-network.ts';
import { createVirtualClock } from '../../src/runtime/virtual-clock.ts';
import { createMemoryRealm, type MemoryRealm } from '../../src/swarms/memory/index.ts';
import { watchedClock, type WatchedClock } from '../support/watched-clock.ts';
import { never, texts } from '../support/node-world.ts';

interface Watched {
  readonly clock: WatchedClock;
  readonly realm: MemoryRealm<WatchedClock>;
  readonly net: FlatNetwork;
  node(ip: string): Node<string, string>;
}

function watched(): Watched {
  const time = createVirtualClock();
  const clock = watchedClock(time);
  const realm = createMemoryRealm({ clock });
  // What the network has to do after a connection is not the node's.
  const net = flatNetwork({ realm: createMemoryRealm({ clock: time }), latencyMs: 1 });
  return {
    clock,
    realm,
    net,
    node: (ip) => createNode({ security: 'none', codec: texts, realm, network: net.host(ip), bind: `${ip}:0` }),
  };
}

/** How a call ended, by the name or code of its error. */
const fate = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (error as { code?: string }).code ?? (error as Error).message,
  );

/** @param reason - how the dial is to end. */
async function failing(
  reason: string,
  perform: (context: HandshakeContext) => Promise<void>,
  end: (alice: Node, bob: Node, abort: AbortController) => void = () => undefined,
): Promise<void> {
  const w = watched();
  const [alice, bob] = [w.node('10.0.0.1'), w.node('10.0.0.2')];
  const abort = new AbortController();
  alice.enable(handshake(perform, { timeoutMs: 3000 }));
  const addr = await bob.listen();
  const dialling = fate(alice.connect(addr, { signal: abort.signal, timeoutMs: 2000 }));
  await w.clock.advance(100);
  end(alice, bob, abort);
  assert.equal(await w.clock.run(dialling), reason);
  assert.deepEqual([alice.connecting, alice.connected, alice.isConnecting(addr)], [0, 0, false]);
  await w.clock.advance(100);
  assert.deepEqual([w.clock.armed, w.clock.waits, bob.connecting], [0, [], 0]);
  await w.clock.run(Promise.all([alice.close(), bob.close()]));
  await w.clock.advance(100);
  assert.equal(w.clock.armed, 0);
}

describe('nothing is left', () => {
  it('of a dial whose handshake fails', () => failing('refused', () => Promise.reject(new Error('not one of us'))));

  it('of a dial whose handshake is late', () => failing('timeout', ({ signal }) => never(signal)));

  it('of a dial that is given up', () =>
    failing(
      'enough',
      ({ signal }) => never(signal),
      (_, __, abort) => abort.abort(new Error('enough')),
    ));

  it('of a dial to an IP that is banned meanwhile', () =>
    failing(
      'refused',
      ({ signal }) => never(signal),
      (alice) => alice.ban('10.0.0.2'),
    ));

  it('of a dial of a node that closes', () =>
    failing(
      'closed',
      ({ signal }) => never(signal),
      (alice) => void alice.close(),
    ));

  it('of a dial that nobody answers', async () => {
    const w = watched();
    const alice = w.node('10.0.0.1');
    const dialled = await w.clock.run(fate(alice.connect('10.0.0.9:7', { timeoutMs: 500 })));
    assert.notEqual(dialled, 'resolved');
    assert.deepEqual([w.clock.armed, w.clock.waits, alice.connecting], [0, [], 0]);
  });

  it('of the set-up of a connection that is open; of one that is disconnected; of a node that is closed', async () => {
    const w = watched();
    const [alice, bob] = [w.node('10.0.0.1'), w.node('10.0.0.2')];
    for (const node of [alice, bob]) {
      node.enable(noise({ pattern: 'XX', realm: w.realm, timeoutMs: 3000 }));
      node.enable(reading({ onMessage: () => undefined, idleTimeoutMs: Infinity, progressTimeoutMs: Infinity }));
    }
    const addr = await bob.listen();
    const signal = new AbortController().signal;
    const listeners = (): number => getEventListeners(signal, 'abort').length;
    const peer = await w.clock.run(alice.connect(addr, { signal }));
    await w.clock.advance(10);
    assert.deepEqual([bob.connected, w.clock.armed, w.clock.waits, listeners()], [1, 0, [], 0]);
    assert.equal(await w.clock.run(peer.disconnect({ signal })), true);
    await w.clock.advance(10);
    assert.deepEqual([bob.connected, w.clock.armed, w.clock.waits, listeners()], [0, 0, [], 0]);
    const again = await w.clock.run(alice.connect(addr));
    await w.clock.advance(10);
    await w.clock.run(alice.close());
    assert.equal(again.state, 'closed');
    await w.clock.advance(100);
    assert.deepEqual([bob.connected, w.clock.armed, w.clock.waits], [0, 0, []]);
  });

  it('of reading and writing, when their connection has ended with messages and deadlines under way', async () => {
    const w = watched();
    const [alice, bob] = [w.node('10.0.0.1'), w.node('10.0.0.2')];
    alice.enable(writing());
    bob.enable(
      reading({
        onMessage: () => never(),
        rate: { messagesPerSecond: 1 },
      }),
    );
    const addr = await bob.listen();
    const peer = await w.clock.run(alice.connect(addr));
    const fates = Array.from({ length: 20 }, () =>
      fate(peer.send('x'.repeat(100_000), { delivery: true, timeoutMs: 30_000 })),
    );
    const waiting = fate(peer.flushed({ timeoutMs: 60_000 }));
    await w.clock.advance(1500);
    assert.ok(w.clock.armed > 0);
    bob.ban('10.0.0.1');
    await w.clock.advance(20_000);
    assert.deepEqual([bob.connected, alice.connected], [0, 0]);
    assert.ok((await Promise.all(fates)).includes('disconnected'));
    assert.equal(await waiting, 'disconnected');
    assert.deepEqual([w.clock.armed, w.clock.waits], [0, []]);
  });

  it('of a peer that is faster than its rate, when its connection has ended', async () => {
    const w = watched();
    const [alice, bob] = [w.node('10.0.0.1'), w.node('10.0.0.2')];
    alice.enable(writing());
    const heard: string[] = [];
    bob.enable(
      reading({
        onMessage: (_, text) => void heard.push(text),
        idleTimeoutMs: Infinity,
        progressTimeoutMs: Infinity,
        rate: { messagesPerSecond: 0.001, burstSeconds: 1000 },
      }),
    );
    const peer = await w.clock.run(alice.connect(await bob.listen()));
    for (let i = 0; i < 3; i++) peer.send(String(i));
    await w.clock.advance(100);
    assert.deepEqual([heard, w.clock.armed], [['0'], 1]);
    bob.ban('10.0.0.1');
    await w.clock.advance(100);
    assert.deepEqual([bob.connected, w.clock.armed, w.clock.waits], [0, 0, []]);
  });

  it('of a connection that has ended while it waited for memory', async () => {
    const w = watched();
    const alice = w.node('10.0.0.1');
    const carol = w.node('10.1.0.1');
    const bob = createNode({
      security: 'none',
      codec: texts,
      realm: w.realm,
      network: w.net.host('10.0.0.2'),
      bind: '10.0.0.2:0',
      maxNodeBytes: 65_536,
    });
    for (const node of [alice, carol]) node.enable(writing());
    bob.enable(reading({ onMessage: () => never(), idleTimeoutMs: Infinity, progressTimeoutMs: Infinity }));
    const addr = await bob.listen();
    for (const node of [alice, carol]) {
      const peer = await w.clock.run(node.connect(addr));
      peer.send('x'.repeat(900_000));
    }
    await w.clock.advance(1500);
    assert.equal(w.clock.armed, 3, 'two writers look at what is stuck, and the budget at who moves nothing');
    for (const ip of ['10.0.0.1', '10.1.0.1']) bob.ban(ip);
    await w.clock.advance(20_000);
    assert.deepEqual([bob.connected, alice.connected, carol.connected], [0, 0, 0]);
    assert.deepEqual([w.clock.armed, w.clock.waits], [0, []]);
  });
});
