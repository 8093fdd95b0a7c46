import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { bytes, errorOf, pair, take, world } from '../support/endpoint-world.ts';

describe('endpoint: exact semantics', () => {
  it('bytes given to send are the caller’s again when it resolves', async () => {
    const w = world();
    const { here, there } = await pair(w);
    for (const size of [10, 100_000]) {
      const payload = new Uint8Array(size).fill(1);
      await w.run(here.send(payload));
      payload.fill(2);
    }
    const got = await w.run(take(there.messages(), 2));
    assert.ok(got.every(({ payload }) => payload.every((byte) => byte === 1)));
  });

  it('messages of different streams may overtake each other', async () => {
    const w = world({ latencyMs: 20, loss: 0.2 });
    const { here, there } = await pair(w);
    for (let i = 0; i < 200; i++) await w.run(here.send(new Uint8Array(1000).fill(i)));
    await w.run(here.drain({ timeoutMs: 300_000 }));
    const got = (await w.run(take(there.messages(), 200))).map(({ payload }) => payload[0]!);
    assert.notDeepEqual(
      got,
      got.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(got).size, 200, 'but each comes, and once');
  });

  it('messages that have come survive the close of the peer', async () => {
    const w = world();
    const { here, there } = await pair(w);
    for (let i = 0; i < 300; i++) await w.run(here.send(Uint8Array.of(i % 256), { acked: true }));
    await w.run(here.close());
    await w.run(there.closed);
    const got = await w.run(take(there.messages(), 301));
    assert.equal(got.length, 300, 'those that waited for room too');
  });

  it('a body that has come survives the close of the peer too', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const stream = await w.run(here.openUni());
    const writer = stream.writable.getWriter();
    await w.run(writer.write(new Uint8Array(300_000)));
    const incoming = (await w.run(there.streams().next())).value!;
    const closing = writer.close();
    await w.run(here.drain());
    await w.run(closing);
    await w.run(here.close());
    await w.run(there.closed);
    let total = 0;
    for await (const chunk of incoming.receive.readable) total += chunk.length;
    assert.equal(total, 300_000);
  });

  it('a close loses what was not acknowledged; drain first, and nothing is lost', async () => {
    const w = world({ latencyMs: 50 });
    const first = await pair(w);
    for (let i = 0; i < 100; i++) await w.run(first.here.send(new Uint8Array(10_000)));
    await w.run(first.here.close());
    await w.pass(1000);
    const lost = await w.run(take(first.there.messages(), 100));
    assert.ok(lost.length < 100, `${lost.length} arrived`);
    const second = await pair(w);
    for (let i = 0; i < 100; i++) await w.run(second.here.send(new Uint8Array(10_000)));
    const reading = take(second.there.messages(), 100);
    await w.run(second.here.drain());
    await w.run(second.here.close());
    assert.equal((await w.run(reading)).length, 100);
  });

  it('closing drops messages that have come and were not taken', async () => {
    const w = world();
    const { here, there } = await pair(w);
    await w.run(here.send(bytes('not taken'), { acked: true }));
    await w.run(there.close());
    assert.deepEqual(await w.run(there.messages().next()), { done: true, value: undefined });
  });

  it('dropping a connection closes nothing, also after garbage collection', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const freed = new WeakRef(await w.run(alice.connect(bob.addr)));
    for (let i = 0; i < 10; i++) {
      collect();
      await w.pass(100);
    }
    assert.equal(alice.openConnections().length, 1);
    assert.equal(freed.deref()?.closeReason, undefined);
    await w.run(alice.send(bob.peerId, bytes('still'), { acked: true }));
  });

  it('a loss is reported once to each observer: closed, the event, the iterator', async () => {
    const w = world();
    const { alice, here, there } = await pair(w);
    const events = alice.events();
    const feed = here.messages();
    await w.run(there.close({ code: 400 }));
    await w.run(here.closed);
    assert.equal((await w.run(errorOf(feed.next()))).code, 'disconnected');
    assert.equal((await w.run(feed.next())).done, true);
    assert.equal((await w.run(here.messages().next())).done, true, 'a second iterator hears nothing of it');
    assert.deepEqual([(await w.run(take(events, 1)))[0]?.type, events.tryNext()], ['disconnected', undefined]);
  });

  it('a signal ends every kind of wait, and leaves no listener', async () => {
    const w = world();
    const { alice, here, there } = await pair(w, { maxBidiStreams: 1 });
    const stop = new AbortController();
    const { signal } = stop;
    const held = await w.run(here.openBi());
    const waits = [
      here.request(bytes('x'), { signal }),
      here.openBi({ signal }),
      held.receive.next({ signal }),
      there.messages({ signal }).next(),
      alice.connections({ signal }).next(),
      alice.messages({ signal }).next(),
      alice.events({ signal }).next(),
    ].map((wait) =>
      wait.then(
        () => 'done',
        (error: unknown) => error,
      ),
    );
    await w.pass(10);
    stop.abort('stop');
    assert.deepEqual(
      await w.run(Promise.all(waits)),
      waits.map(() => 'stop'),
    );
    assert.equal(here.closeReason, undefined);
  });

  it('every wait has a deadline, or takes one', async () => {
    const w = world();
    const { alice, here, there } = await pair(w, { maxBidiStreams: 1, keepAliveMs: 1000 });
    const held = await w.run(here.openBi());
    const startedMs = w.realm.nowMs();
    for (const wait of [here.request(bytes('x')), here.openBi(), held.receive.next()]) {
      assert.equal((await w.run(errorOf(wait))).code, 'timeout');
    }
    assert.equal(w.realm.nowMs() - startedMs, 30_000);
    for (const feed of [
      there.messages({ timeoutMs: 50 }),
      alice.connections({ timeoutMs: 50 }),
      alice.events({ timeoutMs: 50 }),
    ]) {
      assert.equal((await w.run(errorOf(feed.next()))).code, 'timeout');
    }
  });

  it('a cancelled request frees its stream on both sides', async () => {
    const w = world();
    const { here, there } = await pair(w, { maxBidiStreams: 2, keepAliveMs: 1000 });
    for (let i = 0; i < 20; i++) {
      assert.equal((await w.run(errorOf(here.request(bytes('x'), { timeoutMs: 20 })))).code, 'timeout');
      await w.run(take(there.messages(), 1));
    }
  });
});
