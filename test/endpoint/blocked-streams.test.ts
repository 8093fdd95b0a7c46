/** Streams that stand still: writes that a peer does not read, and streams on which nobody has spoken. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { type BiStream, STREAM_CODE } from '../../src/endpoint/index.ts';
import { bytes, errorOf, pair, take, type World, world } from '../support/endpoint-world.ts';

const small = { streamWindowBytes: 10_000, connectionWindowBytes: 20_000, sendWindowBytes: 20_000 };

async function blocked(w: World): Promise<{ readonly stream: BiStream; readonly there: BiStream['receive'] }> {
  const { here, there } = await pair(w, small);
  const stream = await w.run(here.openBi());
  const [incoming] = await w.run(take(there.streams(), 1));
  return { stream, there: incoming!.receive };
}

async function resetSeen(w: World, receive: BiStream['receive']): Promise<void> {
  const reader = receive.readable.getReader();
  const error = await w.run(
    (async () => {
      for (;;) if ((await reader.read()).done) return undefined;
    })().catch((thrown: unknown) => thrown),
  );
  assert.ok(P2PError.is(error, 'refused'), String(error));
  assert.match(error.message, new RegExp(`code ${STREAM_CODE.CANCELLED}`));
}

describe('endpoint: writes that the peer does not read', () => {
  it('abort ends the write under way, at once, and the peer sees the reset', async () => {
    const w = world();
    const { stream, there } = await blocked(w);
    const writer = stream.send.writable.getWriter();
    const writing = errorOf(writer.write(new Uint8Array(100_000)));
    await w.pass(1000);
    const before = w.realm.nowMs();
    await w.run(writer.abort(new Error('enough')));
    assert.equal((await w.run(writing)).code, 'disconnected');
    assert.equal(w.realm.nowMs(), before);
    await resetSeen(w, there);
  });

  it('abort ends a close that waits for the write before it', async () => {
    const w = world();
    const { stream, there } = await blocked(w);
    const writer = stream.send.writable.getWriter();
    const writing = errorOf(writer.write(new Uint8Array(100_000)));
    const closing = writer.close().then(
      () => 'closed',
      () => 'not closed',
    );
    await w.pass(1000);
    await w.run(writer.abort());
    assert.deepEqual([(await w.run(writing)).code, await w.run(closing)], ['disconnected', 'not closed']);
    await resetSeen(w, there);
  });

  it('pipeTo with a signal that has fired resets the stream, though a write before it is blocked', async () => {
    const w = world();
    const { stream, there } = await blocked(w);
    const writer = stream.send.writable.getWriter();
    const writing = errorOf(writer.write(new Uint8Array(100_000)));
    writer.releaseLock();
    await w.pass(1000);
    const source = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(10)) });
    const piped = source.pipeTo(stream.send.writable, { signal: AbortSignal.abort(new Error('enough')) });
    assert.equal(await w.run(piped.catch((error: Error) => error.message)), 'enough');
    assert.equal((await w.run(writing)).code, 'disconnected');
    await resetSeen(w, there);
  });

  it('close resolves when the peer has read on', async () => {
    const w = world();
    const { stream, there } = await blocked(w);
    const writer = stream.send.writable.getWriter();
    const written = writer.write(new Uint8Array(100_000));
    const closed = writer.close();
    const reader = there.readable.getReader();
    let total = 0;
    await w.run(
      (async () => {
        for (let read; !(read = await reader.read()).done;) total += read.value.length;
      })(),
    );
    await w.run(Promise.all([written, closed]));
    assert.equal(total, 100_000);
  });
});

describe('endpoint: streams without data', () => {
  it('the responder sees a stream before its opener writes, and can send on it first', async () => {
    for (const framed of [false, true]) {
      const w = world({ latencyMs: 10 });
      const { here, there } = await pair(w);
      const stream = await w.run(here.openBi());
      const [incoming] = await w.run(take(there.streams(), 1));
      assert.ok(incoming?.send !== undefined);
      assert.equal(incoming.id.number, stream.id.number);
      if (framed) {
        await w.run(incoming.send.send(bytes('220 ready')));
        assert.deepEqual(await w.run(stream.receive.next()), bytes('220 ready'));
        await w.run(stream.send.finish(bytes('EHLO')));
        assert.deepEqual(await w.run(incoming.receive.next()), bytes('EHLO'));
      } else {
        const greeting = incoming.send.writable.getWriter();
        await w.run(greeting.write(bytes('220 ready')));
        const reader = stream.receive.readable.getReader();
        assert.deepEqual((await w.run(reader.read())).value, bytes('220 ready'));
        const writer = stream.send.writable.getWriter();
        await w.run(writer.write(bytes('EHLO')));
        const theirs = incoming.receive.readable.getReader();
        assert.deepEqual((await w.run(theirs.read())).value, bytes('EHLO'));
      }
    }
  });

  it('a stream without data is not reset, and a reset before any data reaches the peer', async () => {
    const w = world();
    const { here, there } = await pair(w, { streamTimeoutMs: 5000 }, { streamTimeoutMs: 5000 });
    const resting = await w.run(here.openUni());
    await w.pass(20_000);
    const [incoming] = await w.run(take(there.streams(), 1));
    await w.run(resting.finish(bytes('late')));
    assert.deepEqual(await w.run(incoming!.receive.next()), bytes('late'));
    const given = await w.run(here.openUni());
    await w.pass(100);
    const [seen] = await w.run(take(there.streams(), 1));
    given.reset(99);
    assert.match((await w.run(errorOf(seen!.receive.next()))).message, /code 99/);
  });

  it('messages on an announced stream that was not taken come as messages', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const stream = await w.run(here.openUni());
    await w.pass(1000);
    await w.run(stream.send(bytes('one')));
    await w.run(stream.finish(bytes('two')));
    const got = await w.run(take(there.messages(), 2));
    assert.deepEqual(
      got.map(({ payload }) => payload),
      [bytes('one'), bytes('two')],
    );
    assert.equal(there.streams().tryNext(), undefined);
  });

  it('data written in the turn of opening is sent without an announcement', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const before = here.stats!.sentStreamFrames;
    const stream = await w.run(here.openUni().then((opened) => opened.finish(bytes('now')).then(() => opened)));
    await w.run(take(there.messages(), 1));
    assert.equal(here.stats!.sentStreamFrames - before, 1, stream.id.text);
  });
});
