/** Hooks and codecs that throw, hang or re-enter: each costs one connection, and the node goes on. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { handshake, onConnect, onDisconnect, reading, writing } from '../../src/node/index.ts';
import { type Talker, texts, World } from '../support/node-world.ts';

const bug = (): never => {
  throw new Error('a bug of the user');
};

/** That the node still does its work: with a fresh peer that speaks properly. */
async function worksStill(world: World, talker: Talker): Promise<void> {
  const other = await world.talker();
  const before = talker.heard.length;
  const peer = await world.connect(other.node, talker.addr);
  peer.send('fine');
  await world.run(other.node.drain());
  assert.equal(talker.heard.length, before + 1);
  await world.close(other.node);
}

describe('bugs of the user', () => {
  it('a handshake that throws', async () => {
    const world = new World();
    const b = await world.talker();
    let broken = true;
    b.node.enable(handshake(() => (broken ? bug() : Promise.resolve())));
    for (let round = 0; round < 2; round++) {
      broken = true;
      const a = world.node();
      await world.connect(a, b.addr);
      assert.deepEqual([b.node.connected, b.node.connecting], [0, 0]);
      broken = false;
      await worksStill(world, b);
      await world.close(a);
    }
    await world.close(b.node);
  });

  it('a decoder that throws, in making, pushing and decoding', async () => {
    for (const where of ['making', 'push', 'next'] as const) {
      const world = new World();
      const a = await world.talker();
      const heard: string[] = [];
      let broken = true;
      const decoder: typeof texts.decoder = (connection) => {
        const inner = texts.decoder(connection);
        if (!broken) return inner;
        if (where === 'making') return bug();
        return {
          push: where === 'push' ? bug : (chunk) => inner.push(chunk),
          next: where === 'next' ? bug : () => inner.next(),
          get bufferedBytes() {
            return inner.bufferedBytes;
          },
        };
      };
      const node = world.node({ codec: { ...texts, decoder } });
      node.enable(reading({ onMessage: (_, text) => void heard.push(text) }));
      const addr = await node.listen();
      const peer = await world.connect(a.node, addr);
      if (peer.state === 'open') peer.send('x');
      await world.clock.advance(10);
      assert.equal(node.connected, 0, where);
      if (where !== 'making') assert.equal(node.heuristics.ended.get('malformed'), 1, where);
      broken = false;
      await world.clock.advance(10);
      const again = await world.connect(a.node, addr);
      again.send('y');
      await world.run(a.node.drain());
      assert.deepEqual(heard, ['y'], where);
      await world.close(a.node, node);
    }
  });

  it('onMessage that throws, or rejects', async () => {
    for (const onMessage of [bug, () => Promise.reject(new Error('a bug of the user'))]) {
      const world = new World();
      const b = await world.talker(
        {},
        {
          onMessage: (_, text) => (text === 'fine' ? void b.heard.push(text) : onMessage()),
        },
      );
      const a = await world.talker();
      const peer = await world.connect(a.node, b.addr);
      peer.send('x');
      await world.clock.advance(10);
      assert.equal(b.node.heuristics.ended.get('handler_error'), 1);
      await worksStill(world, b);
      await world.close(a.node, b.node);
    }
  });

  it('an encoder that throws: the message is refused, the next one goes, and nothing of the first', async () => {
    const world = new World();
    const encoder: typeof texts.encoder = () => ({
      encode: (text, writer) => {
        writer.uint32(text.length);
        if (text === 'bad') bug();
        writer.bytes(new TextEncoder().encode(text));
      },
    });
    const [node, b] = [world.node({ codec: { ...texts, encoder } }), await world.talker()];
    node.enable(writing());
    const peer = await world.connect(node, b.addr);
    for (let i = 0; i < 3; i++) {
      assert.throws(() => peer.send('bad'), /a bug of the user/);
      assert.throws(() => peer.send('bad', { priority: i }), /a bug of the user/);
      peer.send('good');
    }
    await world.run(node.drain());
    assert.deepEqual(b.heard, ['good', 'good', 'good']);
    await world.close(node, b.node);
  });

  it('onConnect that throws, before and after a wait', async () => {
    for (const wait of [false, true]) {
      const world = new World();
      const b = await world.talker();
      let broken = true;
      b.node.enable(
        onConnect(async () => {
          if (wait) await Promise.resolve();
          if (broken) bug();
        }),
      );
      const a = world.node();
      await world.connect(a, b.addr);
      assert.equal(b.node.connected, 0);
      assert.equal(b.node.heuristics.ended.get('on_connect_error'), 1);
      broken = false;
      await worksStill(world, b);
      await world.close(a, b.node);
    }
  });

  it('onDisconnect that throws is counted', async () => {
    const world = new World();
    const b = await world.talker();
    b.node.enable(onDisconnect(bug));
    for (let round = 1; round <= 2; round++) {
      await worksStill(world, b);
      await world.clock.advance(10);
      assert.equal(b.node.heuristics.hookErrors, round);
      assert.equal(b.node.connected, 0);
    }
    await world.close(b.node);
  });

  it('hooks that call the node back: disconnect in onMessage and onConnect, close in onDisconnect', async () => {
    const world = new World();
    const b = await world.talker({}, { onMessage: (peer) => void peer.disconnect() });
    const a = await world.talker();
    const peer = await world.connect(a.node, b.addr);
    for (let i = 0; i < 10; i++) peer.send('x');
    await world.clock.advance(10);
    assert.deepEqual([a.node.connected, b.node.connected], [0, 0]);

    const c = world.node();
    c.enable(onConnect((connection) => void connection.disconnect()));
    const left = world.connect(a.node, await c.listen());
    await left;
    assert.equal(c.connected, 0);

    const d = world.node();
    let closed: Promise<void> | undefined;
    d.enable(onDisconnect(() => void (closed = d.close())));
    const there = await world.connect(d, a.addr);
    await world.run(there.disconnect());
    await world.run(closed!);
    await world.close(a.node, b.node, c);
  });

  it('a handler that awaits its own disconnect does not wait for ever', async () => {
    const world = new World();
    const b = await world.talker({}, { onMessage: (peer) => peer.disconnect() });
    const a = await world.talker();
    const peer = await world.connect(a.node, b.addr);
    peer.send('x');
    await world.run(peer.closed);
    await world.clock.advance(10_000);
    assert.equal(b.node.connected, 0);
    await world.close(a.node, b.node);
  });
});
