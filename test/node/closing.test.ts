/** How connections end: nothing that was flushed is lost, and reasons reach the peer where the codec can carry them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Bytes } from '../../src/base/bytes.ts';
import {
  type Disconnect,
  lengthDelimited,
  onConnect,
  onDisconnect,
  reading,
  type TcpConnection,
  writing,
} from '../../src/node/index.ts';
import { never, World } from '../support/node-world.ts';

/** A handler that takes a millisecond for each message. */
function slowly(world: World, heard: string[]) {
  return async (_: unknown, text: string): Promise<void> => {
    await new Promise<void>((resolve) => void world.clock.setTimer(world.clock.nowMs() + 1, resolve));
    heard.push(text);
  };
}

describe('a polite end', () => {
  it('fifty messages and an end: all fifty are processed by a slow handler', async () => {
    for (const end of ['disconnect', 'drain', 'close'] as const) {
      const world = new World();
      const heard: string[] = [];
      const [a, b] = [await world.talker(), await world.talker({}, { onMessage: slowly(world, heard) })];
      const peer = await world.connect(a.node, b.addr);
      for (let i = 0; i < 50; i++) peer.send(String(i));
      await world.run(peer.flushed());
      if (end === 'disconnect') await world.run(peer.disconnect());
      else if (end === 'drain') await world.run(a.node.drain());
      else await world.run(a.node.close());
      await world.clock.advance(100);
      assert.equal(heard.length, 50, end);
      await world.close(a.node, b.node);
    }
  });

  it('drain flushes what still waits, however much it is', async () => {
    const world = new World({ windowBytes: 2000 });
    const heard: string[] = [];
    const [a, b] = [await world.talker(), await world.talker({}, { onMessage: slowly(world, heard) })];
    const peer = await world.connect(a.node, b.addr);
    for (let i = 0; i < 1000; i++) peer.send(String(i).padEnd(100));
    await world.run(a.node.drain());
    assert.equal(heard.length, 1000);
    assert.equal(peer.state, 'closed');
    await world.close(a.node, b.node);
  });

  it('both drain at once, and both get everything', async () => {
    const world = new World();
    const [left, right]: string[][] = [[], []];
    const a = await world.talker({}, { onMessage: slowly(world, left!) });
    const b = await world.talker({}, { onMessage: slowly(world, right!) });
    const peer = await world.connect(a.node, b.addr);
    const [there] = b.node.connections();
    for (let i = 0; i < 100; i++) {
      peer.send(String(i));
      there!.send(String(i));
    }
    await world.run(Promise.all([a.node.drain(), b.node.drain()]));
    assert.deepEqual([left!.length, right!.length], [100, 100]);
    await world.close(a.node, b.node);
  });

  it('answers that are still made when the other side has ended go out', async () => {
    const world = new World();
    const codec = lengthDelimited();
    const b = world.node({ codec });
    b.enable(writing());
    const onMessage = async (peer: TcpConnection<Uint8Array>, message: Bytes): Promise<void> => {
      await new Promise<void>((resolve) => void world.clock.setTimer(world.clock.nowMs() + 50, resolve));
      peer.send(message);
    };
    b.enable(reading({ onMessage }));
    const a = world.node({ codec });
    a.enable(writing());
    let answers = 0;
    a.enable(reading({ onMessage: () => void answers++ }));
    const peer = await world.connect(a, await b.listen());
    for (let i = 0; i < 10; i++) peer.send(new Uint8Array(1));
    await world.run(a.drain());
    assert.equal(answers, 10);
    await world.close(a, b);
  });

  it('a peer that does not end in time: drain rejects, and the connection is gone', async () => {
    const world = new World({ windowBytes: 100 });
    const [a, b] = [await world.talker({}, {}, { timeoutMs: Infinity }), world.node()];
    const peer = await world.connect(a.node, await b.listen());
    peer.send('x'.repeat(1000));
    assert.equal(await world.codeOf(a.node.drain({ timeoutMs: 500 })), 'timeout');
    await world.clock.advance(1);
    assert.equal(a.node.connected, 0);
    await world.close(a.node, b);
  });

  it('the node stays usable after drain', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), await world.talker()];
    await world.connect(a.node, b.addr);
    await world.run(a.node.drain());
    assert.equal(a.node.listeningAddr, undefined);
    const peer = await world.connect(a.node, b.addr);
    peer.send('again');
    await world.run(a.node.drain());
    assert.deepEqual(b.heard, ['again']);
    await world.close(a.node, b.node);
  });
});

describe('reasons', () => {
  const codec = lengthDelimited({ reasons: true });

  it('what disconnect, drain and close say reaches the peer, behind all messages', async () => {
    const world = new World();
    const seen: (string | undefined)[] = [];
    const heard: number[] = [];
    const b = world.node({ codec });
    b.enable(reading({ onMessage: (_, message) => void heard.push(message.length) }));
    b.enable(onDisconnect((_, { said }) => void seen.push(said)));
    await b.listen();
    for (const end of ['disconnect', 'drain', 'close'] as const) {
      const a = world.node({ codec });
      a.enable(writing());
      const peer = await world.connect(a, b.listeningAddr!);
      peer.send(new Uint8Array(7));
      if (end === 'disconnect') await world.run(peer.disconnect({ reason: 'no more potatoes' }));
      else if (end === 'drain') await world.run(a.drain({ reason: 'going home' }));
      await world.close(a);
      await world.clock.advance(10);
    }
    assert.deepEqual(seen, ['no more potatoes', 'going home', 'shutdown']);
    assert.deepEqual(heard, [7, 7, 7]);
    await world.close(b);
  });

  it('a peer at fault is told why', async () => {
    const world = new World();
    const [a, b] = [world.node({ codec }), world.node({ codec })];
    a.enable(writing());
    a.enable(reading({ onMessage: () => undefined, idleTimeoutMs: 100 }));
    b.enable(reading({ onMessage: () => undefined }));
    const peer = await world.connect(b, await a.listen());
    const how: Disconnect = await world.run(peer.closed);
    assert.equal(how.said, 'idle');
    await world.close(a, b);
  });

  it('a codec that cannot carry reasons puts nothing on the wire', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), await world.talker()];
    const peer = await world.connect(a.node, b.addr);
    await world.run(peer.disconnect({ reason: 'secret' }));
    assert.equal(peer.stats.wire.sent, 0);
    await world.close(a.node, b.node);
  });
});

describe('close', () => {
  it('during listen leaves nobody listening, whenever it comes', async () => {
    for (let steps = 0; steps < 8; steps++) {
      const world = new World();
      const [a, b] = [world.node({}, '10.0.0.1'), world.node({}, '10.0.0.1')];
      const listening = world.codeOf(a.listen('10.0.0.1:7000'));
      for (let i = 0; i < steps; i++) await Promise.resolve();
      await world.close(a);
      assert.ok(['closed', 'resolved'].includes(await listening));
      assert.equal(a.listeningAddr, undefined);
      assert.equal(await world.run(b.listen('10.0.0.1:7000')), '10.0.0.1:7000', `after ${steps} steps`);
      await world.close(b);
    }
  });

  it('ends within a second, whatever peers and hooks do', async () => {
    const world = new World({ windowBytes: 100 });
    const [a, b] = [await world.talker(), world.node()];
    a.node.enable(onDisconnect(() => never()));
    a.node.enable(onConnect(() => never()));
    const peer = await world.connect(a.node, await b.listen());
    peer.send('x'.repeat(10_000));
    const waiting = world.codeOf(peer.flushed());
    const from = world.clock.nowMs();
    await world.close(a.node);
    assert.ok(world.clock.nowMs() - from <= 1000);
    assert.equal(await waiting, 'closed');
    assert.deepEqual([a.node.connected, a.node.connections().length], [0, 0]);
    await world.close(b);
  });

  it('what was sent goes out, if the peer takes it at once', async () => {
    const world = new World({ windowBytes: 5000 });
    const [a, b] = [await world.talker(), await world.talker()];
    const peer = await world.connect(a.node, b.addr);
    for (let i = 0; i < 200; i++) peer.send(String(i).padEnd(100));
    await world.close(a.node);
    await world.clock.advance(10);
    assert.equal(b.heard.length, 200);
    assert.equal(await world.codeOf(a.node.drain()), 'closed');
    await world.close(b.node);
  });

  it('gives up what is being set up', async () => {
    const world = new World({ latencyMs: 1000 });
    const [a, b] = [world.node(), world.node()];
    const connecting = world.codeOf(a.connect(await b.listen()));
    await world.clock.advance(500);
    await world.close(a);
    assert.equal(await connecting, 'closed');
    await world.close(b);
  });
});
