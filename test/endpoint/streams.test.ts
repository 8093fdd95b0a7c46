import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText } from '../../src/base/bytes.ts';
import type { P2PError } from '../../src/core/errors.ts';
import { bytes, drops, errorOf, pair, take, world } from '../support/endpoint-world.ts';

/** Everything that a Web Stream gives. */
async function drainOf(readable: ReadableStream<Uint8Array>): Promise<number> {
  let total = 0;
  for await (const chunk of readable) total += chunk.length;
  return total;
}

describe('endpoint: streams', () => {
  it('a body too large to buffer goes as a Web Stream, and the writer waits for the reader', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const outgoing = await w.run(here.openUni());
    const writer = outgoing.writable.getWriter();
    let written = 0;
    const writing = (async () => {
      const chunk = new Uint8Array(65_536).fill(7);
      for (let i = 0; i < 320; i++) {
        await writer.write(chunk);
        written += chunk.length;
      }
      await writer.close();
    })();
    const incoming = (await w.run(there.streams().next())).value!;
    await w.pass(1000);
    // The window of a stream, in chunks.
    assert.ok(written > 900_000 && written < 1_200_000, `${written} bytes were taken`);
    assert.equal(incoming.send, undefined);
    const [total] = await w.run(Promise.all([drainOf(incoming.receive.readable), writing]));
    assert.equal(total, 320 * 65_536);
  });

  it('bytes go both ways on a bidirectional stream', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const { send, receive } = await w.run(here.openBi());
    const writer = send.writable.getWriter();
    await w.run(writer.write(bytes('question')));
    await w.run(writer.close());
    const incoming = (await w.run(there.streams().next())).value!;
    assert.equal(await w.run(drainOf(incoming.receive.readable)), 8);
    const back = incoming.send!.writable.getWriter();
    await w.run(back.write(bytes('the answer')));
    await w.run(back.close());
    assert.equal(await w.run(drainOf(receive.readable)), 10);
  });

  it('aborting a body resets the stream there, cancelling it stops the writer here', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const bodies = there.streams();
    const first = await w.run(here.openUni());
    const writer = first.writable.getWriter();
    await w.run(writer.write(bytes('begin')));
    const incoming = (await w.run(bodies.next())).value!;
    const reader = incoming.receive.readable.getReader();
    assert.equal((await w.run(reader.read())).value?.length, 5);
    await w.run(writer.abort());
    assert.equal((await w.run(errorOf(reader.read()))).code, 'refused');
    const second = await w.run(here.openUni());
    const other = second.writable.getWriter();
    await w.run(other.write(bytes('begin')));
    const cancelled = (await w.run(bodies.next())).value!;
    await w.run(cancelled.receive.readable.cancel());
    await w.pass(10);
    assert.equal((await w.run(errorOf(other.write(bytes('more'))))).code, 'refused');
  });

  it('a stream carries messages or bytes, never both', async () => {
    const w = world();
    const { here } = await pair(w);
    const stream = await w.run(here.openUni());
    await w.run(stream.send(bytes('a message')));
    assert.throws(
      () => stream.writable,
      (error: P2PError) => error.code === 'unsupported',
    );
    const other = await w.run(here.openUni());
    await w.run(other.writable.getWriter().write(bytes('bytes')));
    assert.equal((await w.run(errorOf(other.send(bytes('x'))))).code, 'unsupported');
  });

  it('the end of a stream: finish ends it, and nothing can follow', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const { send, receive } = await w.run(here.openBi());
    await w.run(send.send(bytes('one')));
    await w.run(send.finish(undefined, { acked: true }));
    await w.run(send.finish());
    assert.equal((await w.run(errorOf(send.send(bytes('two'))))).code, 'disconnected');
    const [got] = await w.run(take(there.messages(), 1));
    await w.run(got!.reply!.finish());
    assert.equal(await w.run(receive.next()), undefined);
  });

  it('reset and stop carry their codes', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const { send, receive } = await w.run(here.openBi());
    await w.run(send.send(bytes('one')));
    const [got] = await w.run(take(there.messages(), 1));
    got!.reply!.reset(4242);
    assert.match((await w.run(errorOf(receive.next()))).message, /4242/);
    const uni = await w.run(there.openUni());
    await w.run(uni.send(bytes('one')));
    const stream = await w.run(here.openBi());
    stream.receive.stop(99);
    assert.equal((await w.run(errorOf(stream.receive.next()))).code, 'disconnected');
  });

  it('a reset after a whole message takes nothing back', async () => {
    const w = world();
    const { here, there, bob } = await pair(w);
    const stream = await w.run(here.openUni());
    await w.run(stream.send(bytes('whole')));
    await w.pass(10);
    stream.reset(500);
    await w.pass(10);
    assert.equal(decodeText((await w.run(take(there.messages(), 1)))[0]!.payload), 'whole');
    assert.equal(drops(bob, 'endpoint.reset'), 1);
  });

  it('streams end with their connection, and say so', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const { send, receive } = await w.run(here.openBi());
    await w.run(send.send(bytes('one')));
    const reading = errorOf(receive.next());
    const bodies = there.streams();
    await w.run(there.close({ code: 300 }));
    await w.run(here.closed);
    assert.equal((await w.run(reading)).code, 'disconnected');
    assert.equal((await w.run(errorOf(send.send(bytes('two'))))).code, 'disconnected');
    assert.equal((await w.run(errorOf(here.openUni()))).code, 'disconnected');
    assert.deepEqual(await w.run(bodies.next()), { done: true, value: undefined });
  });

  it('priorities of streams can change while they are open', async () => {
    const w = world({ latencyMs: 20, bytesPerSecond: 200_000 });
    const { here, there } = await pair(w);
    const slow = await w.run(here.openUni({ priority: 5 }));
    slow.setPriority(-5);
    const sends = [slow.finish(new Uint8Array(200_000)), here.send(new Uint8Array(200_001), { timeoutMs: 60_000 })];
    const got = await w.run(take(there.messages(), 2));
    assert.deepEqual(
      got.map(({ payload }) => payload.length),
      [200_001, 200_000],
    );
    await w.run(Promise.all(sends));
  });
});
