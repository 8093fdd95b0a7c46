/** What all peers together make a node, and a TCP swarm, hold: bounded by one budget, and given back; in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { inspect } from '../../src/core/inspect.ts';
import { type TcpConnection, lengthDelimited, reading, writing } from '../../src/node/index.ts';
import { NodeCore } from '../../src/node/node-core.ts';
import type { TcpSwarm, TcpSwarmOptions } from '../../src/swarms/tcp/index.ts';
import { tcpWorld } from '../support/tcp-world.ts';
import { rawTexts, World } from '../support/node-world.ts';

const MAX = 200_000;
const codec = lengthDelimited();
/** A frame of a megabyte, of which half comes. */
const HALF = `\u0000\u000f\u0042\u0040${'x'.repeat(500_000)}`;

describe('maxNodeBytes', () => {
  it('bounds what unfinished messages of all peers take; who moves nothing makes room, and small messages go on', async () => {
    const world = new World();
    const bob = world.node({ codec, maxNodeBytes: MAX, maxConnectionsPerIp: 100 });
    assert.ok(bob instanceof NodeCore);
    let heard = 0;
    bob.enable(reading({ progressTimeoutMs: Infinity, idleTimeoutMs: Infinity, onMessage: () => void heard++ }));
    const addr = await bob.listen();
    const hostile = Array.from({ length: 40 }, (_, i) => world.node({ codec: rawTexts }, `10.7.${i}.1`));
    const read = bob.memory.reading;
    let most = 0;
    for (const node of hostile) {
      node.enable(writing({ timeoutMs: Infinity }));
      (await world.connect(node, addr)).send(HALF);
      most = Math.max(most, read.held);
    }
    for (let i = 0; i < 100; i++) {
      await world.clock.advance(20);
      most = Math.max(most, read.held);
    }
    assert.ok(read.waiting > 0 && read.held > MAX / 2, `${read.waiting} wait, ${read.held} bytes`);
    assert.ok(most <= 2 * MAX + 40 * 65_536, `${most} bytes`);
    const honest = world.node({ codec }, '10.8.0.1');
    honest.enable(writing());
    const peer = await world.connect(honest, addr);
    peer.send(new Uint8Array(4000));
    await world.clock.advance(20);
    assert.equal(heard, 1);
    peer.send(new Uint8Array(100_000));
    await world.clock.advance(20_000);
    assert.equal(heard, 2, 'a large one, too');
    assert.ok(bob.heuristics.ended.get('over_budget')! > 0);
    await world.close(honest, ...hostile);
    await world.clock.advance(5000); // One that still waited for memory has that long to move.
    assert.deepEqual([read.held, read.waiting], [0, 0]);
    await world.close(bob);
  });

  it('messages in handlers count until they are done, also when their peer has gone', async () => {
    const world = new World();
    const bob = world.node({ codec, maxNodeBytes: MAX });
    assert.ok(bob instanceof NodeCore);
    const { promise, resolve } = Promise.withResolvers<void>();
    bob.enable(reading({ onMessage: () => promise }));
    const alice = world.node({ codec });
    alice.enable(writing());
    (await world.connect(alice, await bob.listen())).send(new Uint8Array(50_000));
    await world.clock.advance(100);
    await world.close(alice);
    await world.clock.advance(6000);
    assert.equal(bob.memory.reading.held, 50_004);
    resolve();
    await world.clock.advance(0);
    assert.equal(bob.memory.reading.held, 0);
    await world.close(bob);
  });

  it('bounds what waits to be sent to all peers; each may have 64 KiB, and it is given back', async () => {
    const world = new World({ windowBytes: 1000 });
    const bob = world.node({ codec, maxNodeBytes: MAX });
    assert.ok(bob instanceof NodeCore);
    bob.enable(writing({ timeoutMs: Infinity }));
    const peers: TcpConnection<Uint8Array>[] = [];
    const others = Array.from({ length: 4 }, () => world.node());
    for (const other of others) peers.push(await world.connect(bob, await other.listen()));
    const send = (i: number, bytes: number) => () => peers[i]!.send(new Uint8Array(bytes - 4));
    send(0, MAX)();
    const full = (error: unknown) =>
      P2PError.is(error, 'limit_exceeded') && error.message.includes(`maxNodeBytes, ${MAX} bytes for all peers`);
    assert.throws(send(0, 5), full);
    assert.throws(send(1, 65_537), full);
    send(1, 65_536)();
    assert.throws(send(1, 5), full);
    assert.equal(bob.memory.queuedBytes, MAX + 65_536);
    await world.close(others[0]!);
    await world.clock.advance(10_000);
    assert.ok(bob.memory.queuedBytes <= 65_536);
    send(2, 100_000)();
    await world.close(bob, ...others);
    assert.equal(bob.memory.queuedBytes, 0);
  });
});

describe('maxSwarmBytes of the TCP swarm', () => {
  it('bounds what tells that nobody reads take, goes on with small asks, and comes back', async () => {
    const { realm, open: openAt } = tcpWorld({ latencyMs: 1 });
    const open = (i: number, ip: string, options: Partial<TcpSwarmOptions> = {}): Promise<TcpSwarm> =>
      openAt(i, ip, { maxMessageBytes: 100_000, ...options });
    const bob = await open(0, '10.0.0.1', { maxSwarmBytes: MAX, maxConnectionsPerIp: 100 });
    const [to] = bob.localAddrs();
    const { promise, resolve } = Promise.withResolvers<void>();
    let told = 0;
    bob.listen(() => {
      told++;
      return promise;
    });
    bob.serve(({ payload }) => payload);
    const held = () => Number(inspect(bob).state?.['heldBytes']);
    const tellers = [];
    for (let i = 1; i <= 12; i++) tellers.push(await open(i, `10.1.${i}.1`));
    const tells = tellers.flatMap((teller) =>
      Array.from({ length: 40 }, () => teller.tell(to!, new Uint8Array(9000), { timeoutMs: 300_000 })),
    );
    const settled = Promise.allSettled(tells);
    let most = 0;
    for (let i = 0; i < 200; i++) {
      await realm.clock.advance(10);
      most = Math.max(most, held());
    }
    assert.ok(most > MAX / 2 && most <= 2 * MAX + 12 * 9600, `${most} bytes`);
    assert.ok(Number(inspect(bob).state?.['waiting']) > 0);
    const honest = await open(50, '10.2.0.1');
    assert.equal((await realm.clock.run(honest.ask(to!, new Uint8Array(100)))).length, 100);
    await realm.clock.advance(20_000);
    assert.equal(inspect(bob).state?.['connections'], 13);
    resolve();
    await realm.clock.run(settled);
    await realm.clock.advance(1000);
    assert.equal(told, 480);
    assert.equal(held(), 0);
    await realm.clock.run(Promise.all([bob, honest, ...tellers].map((swarm) => swarm.close())));
  });
});
