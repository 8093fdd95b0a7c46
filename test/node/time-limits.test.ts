/** How long peers may be silent, and how fast they may send, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText } from '../../src/base/bytes.ts';
import { type Decoder, lengthDelimited, mapCodec, writing } from '../../src/node/index.ts';
import { rawTexts, texts, World } from '../support/node-world.ts';

/** A decoder of texts that throws for what is none. */
function strict(): Decoder<string> {
  const decode = (bytes: Uint8Array): string => {
    const text = decodeText(bytes);
    if (text === undefined) throw new Error('no text');
    return text;
  };
  return mapCodec(lengthDelimited(), { decode, encode: () => new Uint8Array() }).decoder(undefined as never);
}

describe('time limits of reading', () => {
  it('a silent peer is idle, not sooner than said, and is counted as that only; Infinity is never', async () => {
    const world = new World();
    const [a, b, c] = [
      await world.talker({}, { idleTimeoutMs: 250 }),
      await world.talker(),
      await world.talker({}, { idleTimeoutMs: Infinity }),
    ];
    await world.connect(b.node, a.addr);
    const kept = await world.connect(b.node, c.addr);
    const [here] = a.node.connections();
    await world.clock.advance(200);
    assert.equal(here!.state, 'open');
    await world.clock.advance(100);
    assert.equal(here!.state, 'closed');
    assert.deepEqual([...a.node.heuristics.ended], [['idle', 1]]);
    await world.clock.advance(40_000);
    assert.equal(kept.state, 'open');
    await world.close(a.node, b.node, c.node);
  });

  it('by default a silent peer is idle after 60 s', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), world.node()];
    await world.connect(b, a.addr);
    const [here] = a.node.connections();
    await world.clock.advance(59_900);
    assert.equal(here!.state, 'open');
    await world.clock.advance(100);
    assert.notEqual(here!.state, 'open');
    await world.close(a.node, b);
  });

  it('a peer that does not end its half is waited for 5 s by disconnect, and 30 s by drain', async () => {
    for (const [end, waits] of [
      ['disconnect', 5000],
      ['drain', 30_000],
    ] as const) {
      const world = new World();
      const [a, deaf] = [await world.talker(), world.node()];
      const peer = await world.connect(a.node, await deaf.listen());
      peer.send('x');
      await world.run(peer.flushed());
      const ended = (end === 'disconnect' ? peer.disconnect() : a.node.drain()).catch(() => undefined);
      await world.clock.advance(waits - 100);
      assert.notEqual(peer.state, 'closed', end);
      await world.clock.advance(200);
      assert.equal(peer.state, 'closed', end);
      await ended;
      await world.close(a.node, deaf);
    }
  });

  it('a frame that is too large is oversize, one that is none malformed', async () => {
    for (const [bytes, reason] of [
      ['\u00ff\u00ff\u00ff\u00ff', 'oversize'],
      ['\u0000\u0000\u0000\u0001\u00ff', 'malformed'],
    ] as const) {
      const world = new World();
      const onMessage = (_: unknown, text: string | undefined): void => assert.fail(text);
      const [a, b] = [
        await world.talker({ codec: { ...texts, decoder: () => strict() } }, { onMessage }),
        world.node({ codec: rawTexts }),
      ];
      b.enable(writing());
      (await world.connect(b, a.addr)).send(bytes);
      await world.clock.advance(10);
      assert.deepEqual([...a.node.heuristics.ended], [[reason, 1]]);
      await world.close(a.node, b);
    }
  });

  it('a large frame that keeps arriving is not idle', async () => {
    const world = new World();
    const [a, b] = [
      await world.talker({}, { idleTimeoutMs: 300, progressTimeoutMs: 300 }),
      world.node({ codec: rawTexts }),
    ];
    b.enable(writing());
    const peer = await world.connect(b, a.addr);
    peer.send('\u0000\u0001\u0000\u0000'); // 65 536 bytes follow
    for (let i = 0; i < 32; i++) {
      await world.clock.advance(200);
      peer.send('x'.repeat(2048));
    }
    await world.clock.advance(10);
    assert.deepEqual(
      a.heard.map(({ length }) => length),
      [65_536],
    );
    await world.close(a.node, b);
  });

  it('a frame whose bytes drip in is slow', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), world.node({ codec: rawTexts })];
    b.enable(writing());
    const peer = await world.connect(b, a.addr);
    peer.send('\u0000\u0000\u0001\u0000');
    for (let i = 0; i < 60 && a.node.connected > 0; i++) {
      peer.send('x');
      await world.clock.advance(100);
    }
    assert.equal(a.node.heuristics.ended.get('slow'), 1);
    assert.ok(world.clock.nowMs() < 5300, 'five seconds by default');
    await world.close(a.node, b);
  });

  it('a peer that waits for our own handler is not idle', async () => {
    const world = new World();
    const onMessage = (): Promise<void> =>
      new Promise((resolve) => void world.clock.setTimer(world.clock.nowMs() + 5000, resolve));
    const [a, b] = [await world.talker({}, { onMessage, idleTimeoutMs: 200 }), await world.talker()];
    const peer = await world.connect(b.node, a.addr);
    peer.send('x');
    peer.send('y');
    await world.clock.advance(6000);
    assert.equal(peer.state, 'open');
    await world.close(a.node, b.node);
  });
});

describe('rates', () => {
  it("'delay' lets a peer through at its rate, 'drop' and 'disconnect' do as they say", async () => {
    const world = new World();
    const rate = { messagesPerSecond: 10, burstSeconds: 1 } as const;
    const slow = await world.talker({}, { rate });
    const dropping = await world.talker({}, { rate: { ...rate, exceeded: 'drop' } });
    const strict = await world.talker({}, { rate: { ...rate, exceeded: 'disconnect' } });
    const a = await world.talker();
    for (const { addr } of [slow, dropping, strict]) {
      const peer = await world.connect(a.node, addr);
      for (let i = 0; i < 30; i++) peer.send(String(i));
    }
    await world.clock.advance(1000);
    assert.ok(slow.heard.length >= 19 && slow.heard.length <= 21, `${slow.heard.length} heard`);
    await world.clock.advance(1000);
    assert.equal(slow.heard.length, 30);
    assert.equal(dropping.heard.length, 10);
    assert.equal(dropping.node.heuristics.droppedMessages, 20);
    assert.equal(strict.node.heuristics.ended.get('rate_exceeded'), 1);
    await world.close(a.node, slow.node, dropping.node, strict.node);
  });

  it('bytes have a rate of their own', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), await world.talker({}, { rate: { bytesPerSecond: 1000 } })];
    const peer = await world.connect(a.node, b.addr);
    for (let i = 0; i < 30; i++) peer.send('x'.repeat(96));
    await world.clock.advance(500);
    assert.ok(b.heard.length >= 14 && b.heard.length <= 17, `${b.heard.length} heard`);
    await world.clock.advance(2000);
    assert.equal(b.heard.length, 30);
    await world.close(a.node, b.node);
  });
});
