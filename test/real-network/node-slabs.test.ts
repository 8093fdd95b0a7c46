/** Many messages of 32 KiB over real sockets: in slabs, as views or lent, each with the bytes that were sent. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Bytes } from '../../src/base/bytes.ts';
import { SLAB_BYTES } from '../../src/net/pipe.ts';
import { createNode, lengthDelimited, reading, type ReadingOptions, writing } from '../../src/node/index.ts';
import { NodeCore } from '../../src/node/node-core.ts';
import { LOOPBACK, until } from './nodes.ts';

const MESSAGES = 600;

/** Message `i` has its number in the first bytes and in the last, and a size of its own. */
function message(i: number): Bytes {
  const bytes = new Uint8Array(i % 50 === 49 ? 200_000 : 20_000 + ((i * 7919) % 40_000)).fill(i);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, i);
  view.setUint32(bytes.length - 4, i);
  return bytes;
}

function check(bytes: Bytes, i: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.deepEqual(
    [bytes.length, view.getUint32(0), bytes[5], bytes[bytes.length >> 1], view.getUint32(bytes.length - 4)],
    [message(i).length, i, i & 255, i & 255, i],
  );
}

async function flood(options: ReadingOptions<Bytes>): Promise<NodeCore<Bytes, Uint8Array>> {
  const codec = lengthDelimited();
  const bob = createNode({ security: 'none', codec, bind: LOOPBACK });
  await using alice = createNode({ security: 'none', codec, bind: LOOPBACK });
  alice.enable(writing());
  bob.enable(reading(options));
  const peer = await alice.connect(await bob.listen());
  for (let i = 0; i < MESSAGES; i++) if (!peer.send(message(i))) await peer.ready();
  await peer.flushed();
  assert.ok(bob instanceof NodeCore);
  await until(() => bob.stats.received.messages === MESSAGES, 'all have come');
  return bob;
}

describe('messages in slabs', () => {
  it('that a program keeps stay as they were sent', async () => {
    const kept: Bytes[] = [];
    await using _ = await flood({ onMessage: (_peer, bytes) => void kept.push(bytes) });
    for (const [i, bytes] of kept.entries()) check(bytes, i);
    assert.ok(kept.some(({ buffer }) => buffer.byteLength === SLAB_BYTES));
  });

  it('that are lent are whole until the handler returns, at once or later', async () => {
    let got = 0;
    const now = (_: unknown, bytes: Bytes): void => check(bytes, got++);
    await using _first = await flood({ borrowed: 'checked', onMessage: now });
    assert.equal(got, MESSAGES);
    got = 0;
    const later = async (_: unknown, bytes: Bytes): Promise<void> => {
      const i = got++;
      if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      check(bytes, i);
    };
    await using _second = await flood({ borrowed: 'checked', onMessage: later });
    assert.equal(got, MESSAGES);
  });

  it('count with all of the memory that they keep while a handler has them', async () => {
    let least = Infinity;
    let node: NodeCore<Bytes, Uint8Array> | undefined;
    const handler = async (peer: { readonly stats: unknown }, { buffer }: Bytes): Promise<void> => {
      assert.ok(peer.stats);
      await new Promise((resolve) => setImmediate(resolve));
      if (buffer.byteLength === SLAB_BYTES && node !== undefined) least = Math.min(least, node.memory.reading.held);
    };
    const codec = lengthDelimited();
    await using bob = createNode({ security: 'none', codec, bind: LOOPBACK });
    await using alice = createNode({ security: 'none', codec, bind: LOOPBACK });
    assert.ok(bob instanceof NodeCore);
    node = bob;
    alice.enable(writing());
    bob.enable(reading({ onMessage: handler }));
    const peer = await alice.connect(await bob.listen());
    for (let i = 0; i < MESSAGES; i++) if (!peer.send(message(i))) await peer.ready();
    await until(() => bob.stats.received.messages === MESSAGES, 'all have come');
    await until(() => bob.memory.reading.held === 0, 'all are processed');
    assert.ok(least >= SLAB_BYTES, `${least} bytes`);
  });

  it('of one slab that handlers have at the same time count with it once', async () => {
    const CONCURRENT = 64;
    const running: (() => void)[] = [];
    const sizes = new Set<number>();
    let most = 0;
    await using bob = createNode({ security: 'none', codec: lengthDelimited(), bind: LOOPBACK });
    await using alice = createNode({ security: 'none', codec: lengthDelimited(), bind: LOOPBACK });
    assert.ok(bob instanceof NodeCore);
    const finish = (): void => {
      most = Math.max(most, bob.memory.reading.held);
      for (const end of running.splice(0)) end();
    };
    const onMessage = (_: unknown, { buffer }: Bytes): Promise<void> => {
      sizes.add(buffer.byteLength);
      return new Promise((resolve) => {
        running.push(resolve);
        if (running.length === CONCURRENT) setImmediate(finish);
      });
    };
    alice.enable(writing());
    bob.enable(reading({ concurrency: CONCURRENT, onMessage }));
    const peer = await alice.connect(await bob.listen());
    for (let i = 0; i < 40 * CONCURRENT; i++) if (!peer.send(new Uint8Array(8192))) await peer.ready();
    await until(() => bob.stats.received.messages === 40 * CONCURRENT, 'all have come');
    assert.ok(sizes.has(SLAB_BYTES));
    assert.ok(most <= (CONCURRENT / 4) * SLAB_BYTES, `${most} bytes`);
    await until(() => bob.memory.reading.held === 0, 'all are processed');
  });
});
