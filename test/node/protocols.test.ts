/** Reading and writing in virtual time. Names follow the original's list of behaviours. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type TcpConnection, lengthDelimited, onConnect, reading, writing } from '../../src/node/index.ts';
import { rawTexts, texts, World } from '../support/node-world.ts';

describe('reading and writing', () => {
  it('typed messages: each side echoes only what is new to it', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    const heard: string[] = [];
    for (const node of [a, b]) {
      const seen = new Set<string>();
      node.enable(writing());
      const onMessage = (peer: TcpConnection<string>, text: string): void => {
        heard.push(text);
        if (seen.has(text)) return;
        seen.add(text);
        peer.send(text);
      };
      node.enable(reading({ onMessage }));
      node.enable(onConnect((peer) => peer.side === 'responder' && peer.send('salute')));
    }
    await world.connect(a, await b.listen());
    await world.clock.advance(100);
    assert.deepEqual(heard, ['salute', 'salute', 'salute']);
    await world.close(a, b);
  });

  it('a message that cannot be one ends the connection; sending is disconnected then', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), world.node({ codec: rawTexts })];
    b.enable(writing());
    const there = await world.connect(b, a.addr);
    const [here] = a.node.connections();
    there.send('\u00ff\u00ff\u00ff\u00ff');
    assert.equal((await world.run(here!.closed)).reason, 'oversize');
    assert.throws(() => here!.send('x'), { code: 'disconnected' });
    assert.equal(a.node.heuristics.ended.get('oversize'), 1);
    await world.close(a.node, b);
  });

  it('the peer closes: the reader ends the connection', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), await world.talker()];
    await world.connect(a.node, b.addr);
    await world.run(a.node.close());
    await world.clock.advance(10);
    assert.equal(b.node.connected, 0);
    assert.equal(b.node.heuristics.ended.get('closed_by_peer'), 1);
    await world.close(b.node);
  });

  it('without reading nothing is read; without writing sending throws', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), world.node()];
    const peer = await world.connect(a.node, await b.listen());
    peer.send('hello');
    await world.clock.advance(1000);
    assert.equal(b.connections()[0]!.stats.wire.received, 9); // It lies in the network's buffer.
    assert.equal(b.stats.received.messages, 0);
    assert.throws(() => b.connections()[0]!.send('x'), { code: 'unsupported' });
    await world.close(a.node, b);
  });

  it('messages are processed in order, one at a time, and the sender waits meanwhile', async () => {
    const world = new World({ windowBytes: 1000 });
    let [running, most] = [0, 0];
    const done: string[] = [];
    const a = await world.talker({}, {}, { maxQueueBytes: 5000, highWaterBytes: 500, timeoutMs: Infinity });
    const onMessage = async (_: unknown, text: string): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => void world.clock.setTimer(world.clock.nowMs() + 10, resolve));
      running--;
      done.push(text);
    };
    const b = await world.talker({}, { onMessage });
    const peer = await world.connect(a.node, b.addr);
    const sent: string[] = [];
    const sender = async (): Promise<void> => {
      for (let i = 0; i < 200; i++) {
        sent.push(`${i}`.padEnd(100));
        if (!peer.send(sent.at(-1)!)) await peer.ready();
      }
    };
    const sending = sender();
    await world.clock.advance(500);
    assert.ok(sent.length < 100, `${sent.length} were accepted while 50 can have been processed`);
    await world.run(sending);
    await world.run(a.node.drain());
    assert.deepEqual(done, sent);
    assert.equal(most, 1);
    await world.close(a.node, b.node);
  });

  it('concurrency: so many at a time, begun in order', async () => {
    const world = new World();
    let [running, most] = [0, 0];
    const begun: string[] = [];
    const onMessage = async (_: unknown, text: string): Promise<void> => {
      begun.push(text);
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => void world.clock.setTimer(world.clock.nowMs() + 10, resolve));
      running--;
    };
    const [a, b] = [await world.talker(), await world.talker({}, { onMessage, concurrency: 4 })];
    const peer = await world.connect(a.node, b.addr);
    const all = Array.from({ length: 20 }, (_, i) => String(i));
    for (const text of all) peer.send(text);
    await world.run(a.node.drain());
    assert.deepEqual(begun, all);
    assert.equal(most, 4);
    await world.close(a.node, b.node);
  });

  it("overflow 'drop': all are counted as received, surplus is dropped and counted", async () => {
    const world = new World();
    let processed = 0;
    const onMessage = async (): Promise<void> => {
      await new Promise<void>((resolve) => void world.clock.setTimer(world.clock.nowMs() + 100, resolve));
      processed++;
    };
    const [a, b] = [await world.talker(), await world.talker({}, { onMessage, overflow: 'drop', maxQueueMessages: 1 })];
    const peer = await world.connect(a.node, b.addr);
    for (let i = 0; i < 25; i++) peer.send('x');
    await world.clock.advance(1000);
    assert.equal(b.node.stats.received.messages, 25);
    assert.equal(processed, 2);
    assert.equal(b.node.heuristics.droppedMessages, 23);
    await world.close(a.node, b.node);
  });

  it("overflow 'drop' drops nothing when the handler keeps up", async () => {
    const world = new World();
    const [a, b] = [await world.talker(), await world.talker({}, { overflow: 'drop', maxQueueMessages: 1 })];
    const peer = await world.connect(a.node, b.addr);
    for (let i = 0; i < 100; i++) peer.send(String(i));
    await world.run(a.node.drain());
    assert.equal(b.heard.length, 100);
    await world.close(a.node, b.node);
  });

  it('isFatal lets bad messages pass whose end the codec has found, and they are counted', async () => {
    const world = new World();
    const a = await world.talker();
    const heard: string[] = [];
    const picky: typeof texts = {
      ...texts,
      decoder: (connection) => {
        const inner = texts.decoder(connection);
        return {
          push: (chunk: Parameters<typeof inner.push>[0]) => inner.push(chunk),
          next: () => {
            const text = inner.next();
            if (text === 'bad') throw new Error('bad');
            return text;
          },
          get bufferedBytes() {
            return inner.bufferedBytes;
          },
        };
      },
    };
    const node = world.node({ codec: picky });
    const isFatal = (error: unknown): boolean => !(error instanceof Error && error.message === 'bad');
    node.enable(reading({ onMessage: (_, text) => void heard.push(text), isFatal }));
    const peer = await world.connect(a.node, await node.listen());
    for (const text of ['one', 'bad', 'two', 'bad', 'three']) peer.send(text);
    await world.run(a.node.drain());
    assert.deepEqual(heard, ['one', 'two', 'three']);
    assert.equal(node.heuristics.toleratedErrors, 2);
    await world.close(a.node, node);
  });

  it('a connection that is paused processes nothing, and goes on when it is resumed', async () => {
    const world = new World();
    const [a, node] = [await world.talker(), world.node()];
    const heard: string[] = [];
    node.enable(reading({ onMessage: (_, text) => void heard.push(text) }));
    const peer = await world.connect(a.node, await node.listen());
    const [here] = node.connections();
    here!.pause();
    peer.send('wait');
    await world.clock.advance(100_000);
    assert.deepEqual(heard, []);
    here!.resume();
    await world.clock.advance(10);
    assert.deepEqual(heard, ['wait']);
    await world.close(a.node, node);
  });
});

describe('sending', () => {
  it('the largest message that lengthDelimited takes by default can be sent by default', async () => {
    const world = new World();
    const [a, b] = [world.node({ codec: lengthDelimited() }), world.node()];
    a.enable(writing());
    const peer = await world.connect(a, await b.listen());
    const largest = new Uint8Array(16 * 2 ** 20);
    assert.equal(peer.send(largest), false);
    assert.throws(() => peer.send(new Uint8Array(largest.length + 1)), { code: 'mtu_exceeded' });
    await world.close(a, b);
  });

  it('true, then false above the high-water mark, then limit_exceeded; ready and flushed wait', async () => {
    const world = new World({ windowBytes: 1000 });
    const a = await world.talker({}, {}, { maxQueueBytes: 3000, highWaterBytes: 1500, timeoutMs: Infinity });
    const b = world.node();
    const peer = await world.connect(a.node, await b.listen());
    const text = 'x'.repeat(96); // 100 bytes in a frame
    const answers = Array.from({ length: 30 }, () => peer.send(text));
    assert.deepEqual([answers[14], answers[15]], [true, false]);
    assert.throws(() => peer.send(text), { code: 'limit_exceeded', sent: 'no' });
    assert.throws(() => peer.send(text, { delivery: true }), { code: 'limit_exceeded' });
    assert.equal(await world.codeOf(peer.ready({ timeoutMs: 50 })), 'timeout');
    assert.equal(await world.codeOf(peer.flushed({ timeoutMs: 50 })), 'timeout');
    await world.close(a.node, b);
  });

  it('one message larger than the whole queue is refused, and costs nothing', async () => {
    const world = new World();
    const a = await world.talker({}, {}, { maxQueueBytes: 1000 });
    const b = await world.talker();
    const peer = await world.connect(a.node, b.addr);
    assert.throws(() => peer.send('x'.repeat(20_000)), { code: 'limit_exceeded' });
    peer.send('small');
    await world.run(a.node.drain());
    assert.deepEqual(b.heard, ['small']);
    await world.close(a.node, b.node);
  });

  it('delivery: resolves when the message is in the kernel, rejects when the connection ends first', async () => {
    const world = new World({ windowBytes: 100 });
    const [a, b] = [await world.talker(), world.node()];
    const peer = await world.connect(a.node, await b.listen());
    const first = peer.send('x', { delivery: true });
    assert.equal(await world.codeOf(first), 'resolved');
    const second = peer.send('y'.repeat(500), { delivery: true });
    await world.clock.advance(100);
    await world.close(b);
    assert.equal(await world.codeOf(second), 'disconnected');
    await world.close(a.node);
  });

  it('a message that is not sent in time is dropped, and the ones around it are not', async () => {
    const world = new World({ windowBytes: 100 });
    const heard: string[] = [];
    const a = await world.talker({}, {}, { timeoutMs: Infinity });
    const node = world.node();
    node.enable(reading({ onMessage: (_, text) => void heard.push(text[0]!) }));
    const peer = await world.connect(a.node, await node.listen());
    node.connections()[0]!.pause();
    const big = 'x'.repeat(400_000);
    peer.send(big);
    peer.send(big);
    await world.clock.advance(1); // Both are on their way to the kernel.
    const late = peer.send('late', { delivery: true, timeoutMs: 1000 });
    assert.equal(peer.send('also late', { timeoutMs: 1000 }), true);
    peer.send('z');
    assert.equal(await world.codeOf(late), 'timeout');
    node.connections()[0]!.resume();
    await world.run(a.node.drain());
    assert.deepEqual(heard, ['x', 'x', 'z']);
    await world.close(a.node, node);
  });

  it('an urgent message passes a large transfer', async () => {
    const world = new World({ windowBytes: 10_000 });
    const heard: string[] = [];
    const b = await world.talker({}, { onMessage: (_, text) => void heard.push(text.slice(0, 6)) });
    const a = await world.talker();
    const peer = await world.connect(a.node, b.addr);
    for (let i = 0; i < 100; i++) peer.send('transfer'.padEnd(100_000, 'x'), { priority: -1 });
    peer.send('urgent', { priority: 1 });
    peer.send('normal');
    await world.run(a.node.drain());
    assert.equal(heard.length, 102);
    assert.ok(heard.indexOf('urgent') < heard.indexOf('normal'));
    assert.ok(heard.indexOf('normal') < 10, `behind ${heard.indexOf('normal')} parts of the transfer`);
    await world.close(a.node, b.node);
  });

  it('broadcast reaches all that have room, and answers how many', async () => {
    const world = new World();
    const hub = await world.talker();
    const peers = await Promise.all(Array.from({ length: 4 }, () => world.talker()));
    for (const { addr } of peers) await world.connect(hub.node, addr);
    assert.equal(hub.node.broadcast('one'), 4);
    assert.equal(hub.node.broadcast('two'), 4);
    await world.clock.advance(10);
    for (const { heard } of peers) assert.deepEqual(heard, ['one', 'two']);
    await world.close(hub.node, ...peers.map(({ node }) => node));
  });

  it('a peer that takes nothing ends with write_timeout; its messages are told', async () => {
    const world = new World({ windowBytes: 1000 });
    const [a, b] = [await world.talker({}, {}, { timeoutMs: 200 }), world.node()];
    const peer = await world.connect(a.node, await b.listen());
    const fate = peer.send('x'.repeat(5000), { delivery: true });
    const how = await world.run(peer.closed);
    assert.deepEqual([how.origin, how.reason], ['writing', 'write_timeout']);
    assert.equal(await world.codeOf(fate), 'disconnected');
    await world.close(a.node, b);
  });
});
