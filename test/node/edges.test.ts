/** Exact edges and defaults of the node and of the TCP swarm's frames. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { lengthDelimited, reading, writing } from '../../src/node/index.ts';
import { FrameReader } from '../../src/protocols/tcp/frame-reader.ts';
import { FrameWriter } from '../../src/protocols/tcp/frame-writer.ts';
import type { TcpFrame } from '../../src/protocols/tcp/frames.ts';
import { World } from '../support/node-world.ts';

function read(write: (writer: FrameWriter) => void): TcpFrame | 'malformed' | undefined {
  const [writer, reader] = [new FrameWriter(), new FrameReader()];
  write(writer);
  reader.push(concatBytes(...writer.take()));
  return reader.next();
}

describe('exact edges', () => {
  it('a ping has up to 8 bytes, a bye a reason of up to 256, a hello a port of up to 65535', () => {
    for (const type of ['ping', 'pong'] as const) {
      assert.deepEqual(
        read((w) => w.ping(type, new Uint8Array(8))),
        { type, bytes: new Uint8Array(8) },
      );
      assert.equal(
        read((w) => w.ping(type, new Uint8Array(9))),
        'malformed',
      );
    }
    const reason = 'x'.repeat(256);
    assert.deepEqual(
      read((w) => w.bye(0, reason)),
      { type: 'bye', code: 0, reason },
    );
    assert.deepEqual(
      read((w) => w.bye(0, `${reason}y`)),
      { type: 'bye', code: 0, reason },
      'cut when it is written',
    );
    const hello = read((w) => w.hello([1, 2, 3, 4, 65_535]));
    assert.ok(typeof hello === 'object' && hello.type === 'hello' && hello.port === 65_535);
    assert.equal(
      read((w) => w.hello([1, 2, 3, 4, 65_536])),
      'malformed',
    );
  });

  it('a message of exactly maxFrameBytes is taken, of one byte more refused on both sides', async () => {
    const world = new World();
    const alice = world.node({ codec: lengthDelimited({ maxFrameBytes: 1001 }) });
    const bob = world.node({ codec: lengthDelimited({ maxFrameBytes: 1000 }) });
    const sizes: number[] = [];
    alice.enable(writing());
    bob.enable(
      reading({
        onMessage: (_, { length }) => void sizes.push(length),
      }),
    );
    const peer = await world.connect(alice, await bob.listen());
    peer.send(new Uint8Array(1000));
    assert.throws(() => peer.send(new Uint8Array(1002)), /1002 bytes/);
    peer.send(new Uint8Array(1001));
    await world.clock.advance(100);
    assert.deepEqual(sizes, [1000]);
    assert.deepEqual([...bob.heuristics.ended], [['oversize', 1]]);
    await world.close(alice, bob);
  });

  it('a frame that is announced takes 128 KiB before more of it has come', () => {
    const decoder = lengthDelimited().decoder(undefined as never);
    decoder.push(Uint8Array.of(1, 0, 0, 0, 7)); // 16 MiB, of which one byte is there
    assert.equal(decoder.next(), undefined);
    assert.equal(decoder.space!()!.length, 131_071);
  });

  it('with overflow drop 64 messages wait by default', async () => {
    const world = new World();
    const codec = lengthDelimited();
    const [alice, bob] = [world.node({ codec }), world.node({ codec })];
    alice.enable(writing());
    let heard = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const onMessage = (): Promise<void> => (heard++, promise);
    bob.enable(reading({ overflow: 'drop', onMessage }));
    const peer = await world.connect(alice, await bob.listen());
    for (let i = 0; i < 100; i++) peer.send(new Uint8Array(1));
    await world.clock.advance(100);
    resolve();
    await world.clock.advance(100);
    assert.equal(heard, 65);
    assert.equal(bob.heuristics.droppedMessages, 35);
    await world.close(alice, bob);
  });

  it('connecting takes 5 s by default, and a host in memory has its own IP only', async () => {
    const world = new World({ latencyMs: 6000 });
    const [alice, bob] = [world.node(), world.node()];
    const addr = await bob.listen();
    const began = world.realm.nowMs();
    await assert.rejects(world.run(alice.connect(addr)), (error) => P2PError.is(error, 'timeout'));
    assert.equal(world.realm.nowMs() - began, 5000);
    await assert.rejects(world.run(world.node({}, '10.3.0.1').listen('10.3.0.2:80')), (error) =>
      P2PError.is(error, 'unreachable'),
    );
    await world.close(alice, bob);
  });
});
