/** Messages that are views: in the slab of a busy socket, and lent for the time of a handler. */

import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import type { Bytes } from '../../src/base/bytes.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import { SLAB_BYTES } from '../../src/net/pipe.ts';
import { BUSY_BYTES, MAX_SLABS, Slab } from '../../src/net/slab.ts';
import {
  type Decoder,
  type DecoderOptions,
  lengthDelimited,
  mapCodec,
  reading,
  varintDelimited,
  writing,
} from '../../src/node/index.ts';
import { NodeCore } from '../../src/node/node-core.ts';
import * as fc from '../support/fast-check.ts';
import { World } from '../support/node-world.ts';

const codec = lengthDelimited();

function decoderOf(options?: DecoderOptions): Decoder<Bytes> {
  return codec.decoder(undefined as never, options);
}

/** Frames with bytes that tell them apart. */
function framed(sizes: readonly number[]): { readonly messages: readonly Bytes[]; readonly stream: Bytes } {
  const random = createSeededRandom(sizes.length);
  const messages = sizes.map((size) => random.bytes(size));
  const stream = new Uint8Array(sizes.reduce((sum, size) => sum + size + 4, 0));
  let at = 0;
  for (const message of messages) {
    new DataView(stream.buffer).setUint32(at, message.length);
    stream.set(message, at + 4);
    at += 4 + message.length;
  }
  return { messages, stream };
}

/** Reads a stream as a busy socket does: into slabs, piece after piece. */
function* pieces(stream: Bytes, most: (at: number) => number, reuses: boolean): Generator<Bytes, void, undefined> {
  let slab = new Uint8Array(SLAB_BYTES);
  let place = 64;
  for (let at = 0; at < stream.length;) {
    if (place + 16_384 > SLAB_BYTES) {
      if (!reuses) slab = new Uint8Array(SLAB_BYTES);
      place = 64;
    }
    const length = Math.min(Math.max(1, most(at)), 65_536, SLAB_BYTES - place, stream.length - at);
    slab.set(stream.subarray(at, at + length), place);
    yield new Uint8Array(slab.buffer, place, length);
    place += length;
    at += length;
  }
}

const sizes = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 300 }),
    fc.integer({ min: 7000, max: 66_000 }),
    fc.integer({ min: 0, max: 300_000 }),
  ),
  { maxLength: 40 },
);
const cuts = fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 20 });

describe('frames in slabs', () => {
  it('are those of the stream, however it is cut, and stay as they are while the slab is read into further', () => {
    fc.assert(
      fc.property(sizes, cuts, (all, lengths) => {
        const { messages, stream } = framed(all);
        const decoder = decoderOf();
        const got: Bytes[] = [];
        let [i, taken] = [0, 0];
        for (const piece of pieces(stream, () => lengths[i++ % lengths.length]!, false)) {
          decoder.push(piece);
          taken += piece.length;
          for (let next = decoder.next(); next !== undefined; next = decoder.next()) got.push(next);
          const returned = got.reduce((sum, { length }) => sum + length + 4, 0);
          assert.equal(decoder.bufferedBytes, taken - returned);
        }
        assert.deepEqual(got, messages);
      }),
      { numRuns: 60 },
    );
  });

  it('are the same when they are lent, and the slab is used again', () => {
    fc.assert(
      fc.property(sizes, cuts, fc.constantFrom(true, 'checked' as const), (all, lengths, borrowed) => {
        const { messages, stream } = framed(all);
        const decoder = decoderOf({ borrowed });
        let [i, at] = [0, 0];
        for (const piece of pieces(stream, () => lengths[i++ % lengths.length]!, true)) {
          decoder.push(piece);
          for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
            assert.deepEqual(next, messages[at++]);
          }
        }
        assert.equal(at, messages.length);
      }),
      { numRuns: 60 },
    );
  });

  it('from 8 to 64 KiB are views, others have memory of their own', () => {
    const { stream } = framed([100, 8191, 8192, 40_000]);
    const decoder = decoderOf();
    const buffers: number[] = [];
    for (const piece of pieces(stream, () => 65_536, false)) {
      decoder.push(piece);
      for (let next = decoder.next(); next !== undefined; next = decoder.next()) buffers.push(next.buffer.byteLength);
    }
    assert.deepEqual(buffers, [100, 8191, SLAB_BYTES, SLAB_BYTES]);
  });
});

describe('slabs of sockets', () => {
  it('are given only while large reads come, and at most 64 at a time', () => {
    const slabs = Array.from({ length: MAX_SLABS + 1 }, () => new Slab(false, () => assert.fail('idle')));
    try {
      assert.equal(slabs[0]!.place(), undefined);
      for (const slab of slabs) slab.expect();
      const places = slabs.map((slab) => slab.place());
      assert.equal(places.filter((place) => place !== undefined).length, MAX_SLABS);
      assert.equal(places.at(-1), undefined);
      assert.equal(slabs[0]!.filled(BUSY_BYTES - 1).length, BUSY_BYTES - 1);
      assert.equal(slabs[0]!.place(), undefined, 'a small read ends it');
      assert.notEqual(slabs.at(-1)!.place(), undefined, 'another one gets the place');
    } finally {
      for (const slab of slabs) slab.stop();
    }
  });

  it('cannot be transferred, because others are views of them and the system reads into them', () => {
    const slab = new Slab(false, () => undefined);
    slab.expect();
    const { buffer } = slab.place()!;
    assert.equal(buffer.byteLength, SLAB_BYTES);
    try {
      structuredClone(buffer, { transfer: [buffer] });
    } catch {
      // Newer versions of Node throw.
    }
    assert.equal(buffer.byteLength, SLAB_BYTES);
    slab.stop();
  });

  it('are given back by a socket that has read nothing for a second', () => {
    let fire: (() => void) | undefined;
    let nowMs = 5000;
    const now = mock.method(performance, 'now', () => nowMs);
    const set = mock.method(globalThis, 'setTimeout', (act: () => void) => {
      fire = act;
      return { unref: () => undefined };
    });
    try {
      let idle = 0;
      const slab = new Slab(false, () => {
        idle++;
        slab.release();
      });
      slab.expect();
      assert.notEqual(slab.place(), undefined);
      nowMs += 1001;
      fire!();
      assert.equal(idle, 1);
      assert.equal(slab.place(), undefined);
    } finally {
      now.mock.restore();
      set.mock.restore();
    }
  });
});

describe('reading with borrowed', () => {
  it('hands out the bytes of each message until the handler returns, and then overwrites them where that is checked', async () => {
    for (const framing of [lengthDelimited(), varintDelimited()]) {
      const world = new World({ windowBytes: 1_000_000 });
      const [alice, bob] = [world.node({ codec: framing }), world.node({ codec: framing })];
      alice.enable(writing());
      const kept: Bytes[] = [];
      const seen: number[] = [];
      bob.enable(
        reading({
          borrowed: 'checked',
          onMessage: (_, message) => {
            assert.ok(message.every((byte) => byte === message[0]));
            seen.push(message.length, message[0]!);
            kept.push(message);
          },
        }),
      );
      const peer = await world.connect(alice, await bob.listen());
      for (const [i, size] of [10, 5000, 30_000, 200_000, 1_000_000, 20].entries())
        peer.send(new Uint8Array(size).fill(i + 1));
      await world.clock.advance(1000);
      assert.deepEqual(seen, [10, 1, 5000, 2, 30_000, 3, 200_000, 4, 1_000_000, 5, 20, 6]);
      for (const [i, message] of kept.entries())
        assert.notEqual(message[0], i + 1, 'a message that was kept is overwritten');
      assert.deepEqual(kept.at(-1), new Uint8Array(20).fill(0xdb));
      await world.close(alice, bob);
    }
  });

  it('a handler that returns a promise has the bytes until that settles', async () => {
    const world = new World({ windowBytes: 1_000_000 });
    const [alice, bob] = [world.node({ codec }), world.node({ codec })];
    alice.enable(writing());
    const calls: { readonly message: Bytes; readonly done: () => void }[] = [];
    bob.enable(
      reading({
        borrowed: 'checked',
        onMessage: (_, message) => new Promise<void>((done) => calls.push({ message, done })),
      }),
    );
    const peer = await world.connect(alice, await bob.listen());
    for (let i = 1; i <= 3; i++) peer.send(new Uint8Array(150_000).fill(i));
    for (let i = 1; i <= 3; i++) {
      await world.clock.advance(100);
      assert.equal(calls.length, i);
      const { message, done } = calls[i - 1]!;
      assert.ok(message.every((byte) => byte === i));
      done();
      await world.clock.advance(100);
      assert.notEqual(message[0], i);
    }
    await world.close(alice, bob);
  });

  it('what a handler keeps for a connection that ends meanwhile stays as it is', async () => {
    const world = new World({ windowBytes: 1_000_000 });
    const [alice, bob, carol] = [world.node({ codec }), world.node({ codec }), world.node({ codec }, '10.9.0.1')];
    for (const node of [alice, carol]) node.enable(writing());
    const messages: Bytes[] = [];
    bob.enable(reading({ borrowed: true, onMessage: (_, message) => new Promise(() => void messages.push(message)) }));
    const addr = await bob.listen();
    const peer = await world.connect(alice, addr);
    peer.send(new Uint8Array(150_000).fill(1));
    await world.clock.advance(100);
    await world.run(alice.close());
    (await world.connect(carol, addr)).send(new Uint8Array(150_000).fill(2));
    await world.clock.advance(100);
    assert.deepEqual(
      messages.map((message) => [message.length, message.every((byte) => byte === message[0]), message[0]]),
      [
        [150_000, true, 1],
        [150_000, true, 2],
      ],
    );
    await world.close(bob, carol);
  });

  it('lends through a codec that converts messages', async () => {
    const world = new World();
    const sums = mapCodec(codec, {
      decode: (bytes) => bytes.reduce((sum, byte) => sum + byte, 0),
      encode: (b: Bytes) => b,
    });
    const [alice, bob] = [world.node({ codec }), world.node({ codec: sums })];
    alice.enable(writing());
    const heard: number[] = [];
    bob.enable(reading({ borrowed: 'checked', onMessage: (_, sum) => void heard.push(sum) }));
    const peer = await world.connect(alice, await bob.listen());
    for (let i = 0; i < 3; i++) peer.send(Uint8Array.of(1, 2, i));
    await world.clock.advance(10);
    assert.deepEqual(heard, [3, 4, 5]);
    await world.close(alice, bob);
  });

  it('peers that begin large messages and stop are counted with the buffers that they use again', async () => {
    const world = new World({ windowBytes: 1_000_000 });
    const [alice, bob] = [world.node({ codec }), world.node({ codec })];
    assert.ok(bob instanceof NodeCore);
    alice.enable(writing());
    let heard = 0;
    bob.enable(reading({ borrowed: true, onMessage: () => void heard++ }));
    const addr = await bob.listen();
    const peer = await world.connect(alice, addr);
    peer.send(new Uint8Array(1_000_000));
    await world.clock.advance(100);
    assert.equal(heard, 1);
    assert.equal(bob.memory.reading.held, 0, 'an idle connection holds none');
    const hostile = world.node(
      { codec: { ...codec, encoder: () => ({ encode: (b: Uint8Array, out) => out.bytes(b) }) } },
      '10.9.0.2',
    );
    hostile.enable(writing());
    (await world.connect(hostile, addr)).send(Uint8Array.of(0, 0x0f, 0x42, 0x40, 1, 2, 3));
    await world.clock.advance(100);
    assert.ok(bob.memory.reading.held >= 1_000_000, `${bob.memory.reading.held} bytes`);
    await world.close(alice, hostile, bob);
    assert.equal(bob.memory.reading.held, 0);
  });

  it('refuses what would need two messages at a time, and values of other types', () => {
    const onMessage = (): void => undefined;
    assert.throws(() => reading({ onMessage, borrowed: true, concurrency: 2 }), RangeError);
    assert.throws(() => reading({ onMessage, borrowed: 'checked', overflow: 'drop' }), RangeError);
    // @ts-expect-error no such value
    assert.throws(() => reading({ onMessage, borrowed: 'yes' }), TypeError);
  });
});
