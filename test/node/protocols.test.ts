/** Reading and writing in virtual time. Names follow the original's list of behaviours. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Connection, lengthDelimited, onConnect, reading, writing } from '../../src/node/index.ts';
import { texts, World } from './world.ts';

describe('reading and writing', () => {
  it('typed messages: each side echoes only what is new to it', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    const heard: string[] = [];
    for (const node of [a, b]) {
      const seen = new Set<string>();
      const out = node.enable(writing({ codec: texts }));
      const onMessage = (peer: Connection, text: string): void => {
        heard.push(text);
        if (seen.has(text)) return;
        seen.add(text);
        out.send(peer, text);
      };
      node.enable(reading({ codec: texts, onMessage }));
      node.enable(onConnect((peer) => peer.localRole === 'initiator' && out.send(peer, 'salute')));
    }
    await world.connect(a, await b.listen());
    await world.clock.advance(100);
    assert.deepEqual(heard, ['salute', 'salute', 'salute']);
    await world.close(a, b);
  });

  it('a message that cannot be one ends the connection; sending is disconnected then', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), world.node()];
    const raw = b.enable(
      writing({ codec: { encoder: () => ({ encode: (_: null, out) => out.uint32(0xffff_ffff) }) } }),
    );
    const there = await world.connect(b, a.addr);
    const [here] = a.node.connections();
    raw.send(there, null);
    assert.equal((await world.run(here!.closed)).reason, 'oversize');
    assert.throws(() => a.out.send(here!, 'x'), { code: 'disconnected' });
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
    a.out.send(peer, 'hello');
    await world.clock.advance(1000);
    assert.equal(b.connections()[0]!.stats.wire.received, 9); // It lies in the network's buffer.
    assert.equal(b.stats.received.messages, 0);
    assert.throws(() => a.out.send(b.connections()[0]!, 'x'), { code: 'unsupported' });
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
        if (!a.out.send(peer, sent.at(-1)!)) await a.node.ready(peer);
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
    for (const text of all) a.out.send(peer, text);
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
    for (let i = 0; i < 25; i++) a.out.send(peer, 'x');
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
    for (let i = 0; i < 100; i++) a.out.send(peer, String(i));
    await world.run(a.node.drain());
    assert.equal(b.heard.length, 100);
    await world.close(a.node, b.node);
  });

  it('isFatal lets bad messages pass whose end the codec has found, and they are counted', async () => {
    const world = new World();
    const a = await world.talker();
    const node = world.node();
    const heard: string[] = [];
    const picky = {
      decoder: (connection: Connection) => {
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
    const isFatal = (error: unknown): boolean => !(error instanceof Error && error.message === 'bad');
    node.enable(reading({ codec: picky, onMessage: (_, text) => void heard.push(text), isFatal }));
    const peer = await world.connect(a.node, await node.listen());
    for (const text of ['one', 'bad', 'two', 'bad', 'three']) a.out.send(peer, text);
    await world.run(a.node.drain());
    assert.deepEqual(heard, ['one', 'two', 'three']);
    assert.equal(node.heuristics.toleratedErrors, 2);
    await world.close(a.node, node);
  });

  it('pause and resume of the handle', async () => {
    const world = new World();
    const [a, node] = [await world.talker(), world.node()];
    const heard: string[] = [];
    const handle = node.enable(reading({ codec: texts, onMessage: (_, text) => void heard.push(text) }));
    const peer = await world.connect(a.node, await node.listen());
    const [here] = node.connections();
    handle.pause(here!);
    a.out.send(peer, 'wait');
    await world.clock.advance(100_000);
    assert.deepEqual(heard, []);
    handle.resume(here!);
    await world.clock.advance(10);
    assert.deepEqual(heard, ['wait']);
    await world.close(a.node, node);
  });
});

describe('sending', () => {
  it('the largest message that lengthDelimited takes by default can be sent by default', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    const out = a.enable(writing({ codec: lengthDelimited() }));
    const peer = await world.connect(a, await b.listen());
    const largest = new Uint8Array(16 * 2 ** 20);
    assert.equal(out.send(peer, largest), false);
    assert.throws(() => out.send(peer, new Uint8Array(largest.length + 1)), { code: 'mtu_exceeded' });
    await world.close(a, b);
  });

  it('true, then false above the high-water mark, then limit_exceeded; ready and flushed wait', async () => {
    const world = new World({ windowBytes: 1000 });
    const a = await world.talker({}, {}, { maxQueueBytes: 3000, highWaterBytes: 1500, timeoutMs: Infinity });
    const b = world.node();
    const peer = await world.connect(a.node, await b.listen());
    const text = 'x'.repeat(96); // 100 bytes in a frame
    const answers = Array.from({ length: 30 }, () => a.out.send(peer, text));
    assert.deepEqual([answers[14], answers[15]], [true, false]);
    assert.throws(() => a.out.send(peer, text), { code: 'limit_exceeded', sent: 'no' });
    assert.throws(() => a.out.send(peer, text, { delivery: true }), { code: 'limit_exceeded' });
    assert.equal(await world.codeOf(a.node.ready(peer, { timeoutMs: 50 })), 'timeout');
    assert.equal(await world.codeOf(a.node.flushed(peer, { timeoutMs: 50 })), 'timeout');
    await world.close(a.node, b);
  });

  it('one message larger than the whole queue is refused, and costs nothing', async () => {
    const world = new World();
    const a = await world.talker({}, {}, { maxQueueBytes: 1000 });
    const b = await world.talker();
    const peer = await world.connect(a.node, b.addr);
    assert.throws(() => a.out.send(peer, 'x'.repeat(20_000)), { code: 'limit_exceeded' });
    a.out.send(peer, 'small');
    await world.run(a.node.drain());
    assert.deepEqual(b.heard, ['small']);
    await world.close(a.node, b.node);
  });

  it('delivery: resolves when the message is in the kernel, rejects when the connection ends first', async () => {
    const world = new World({ windowBytes: 100 });
    const [a, b] = [await world.talker(), world.node()];
    const peer = await world.connect(a.node, await b.listen());
    const first = a.out.send(peer, 'x', { delivery: true });
    assert.equal(await world.codeOf(first), 'resolved');
    const second = a.out.send(peer, 'y'.repeat(500), { delivery: true });
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
    const handle = node.enable(reading({ codec: texts, onMessage: (_, text) => void heard.push(text[0]!) }));
    const peer = await world.connect(a.node, await node.listen());
    handle.pause(node.connections()[0]!);
    const big = 'x'.repeat(400_000);
    a.out.send(peer, big);
    a.out.send(peer, big);
    await world.clock.advance(1); // Both are on their way to the kernel.
    const late = a.out.send(peer, 'late', { delivery: true, timeoutMs: 1000 });
    assert.equal(a.out.send(peer, 'also late', { timeoutMs: 1000 }), true);
    a.out.send(peer, 'z');
    assert.equal(await world.codeOf(late), 'timeout');
    handle.resume(node.connections()[0]!);
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
    for (let i = 0; i < 100; i++) a.out.send(peer, 'transfer'.padEnd(100_000, 'x'), { priority: -1 });
    a.out.send(peer, 'urgent', { priority: 1 });
    a.out.send(peer, 'normal');
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
    assert.equal(hub.out.broadcast('one'), 4);
    assert.equal(hub.out.broadcast('two'), 4);
    await world.clock.advance(10);
    for (const { heard } of peers) assert.deepEqual(heard, ['one', 'two']);
    await world.close(hub.node, ...peers.map(({ node }) => node));
  });

  it('a peer that takes nothing ends with write_timeout; its messages are told', async () => {
    const world = new World({ windowBytes: 1000 });
    const [a, b] = [await world.talker({}, {}, { timeoutMs: 200 }), world.node()];
    const peer = await world.connect(a.node, await b.listen());
    const fate = a.out.send(peer, 'x'.repeat(5000), { delivery: true });
    const how = await world.run(peer.closed);
    assert.deepEqual([how.origin, how.reason], ['writing', 'write_timeout']);
    assert.equal(await world.codeOf(fate), 'disconnected');
    await world.close(a.node, b);
  });
});
