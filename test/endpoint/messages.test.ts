import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText } from '../../src/base/bytes.ts';
import { bytes, drops, echo, errorOf, nowhere, pair, take, world } from '../support/endpoint-world.ts';

describe('endpoint: messages', () => {
  it('a unidirectional message arrives whole; send resolves when it is taken, with acked when it is acknowledged', async () => {
    const w = world({ latencyMs: 50 });
    const { here, there } = await pair(w);
    const sentAt = w.realm.nowMs();
    await w.run(here.send(new Uint8Array(1024).fill(7)));
    assert.equal(w.realm.nowMs(), sentAt, 'handed over at once');
    await w.run(here.send(bytes('acked'), { acked: true }));
    assert.ok(w.realm.nowMs() - sentAt >= 100, 'a round trip');
    const got = await w.run(take(there.messages(), 2));
    assert.deepEqual(
      got.map(({ payload }) => payload.length).toSorted((a, b) => a - b),
      [5, 1024],
    );
    assert.ok(got.every(({ reply }) => reply === undefined));
    await w.run(here.close());
  });

  it('messages that are awaited one by one cost a round trip each, and not the delay of acknowledgements', async () => {
    const w = world({ latencyMs: 5 });
    const { here, there } = await pair(w);
    void take(there.messages(), 20);
    const startedMs = w.realm.nowMs();
    for (let i = 0; i < 20; i++) await w.run(here.send(bytes('x'), { acked: true }));
    assert.ok(w.realm.nowMs() - startedMs <= 20 * 11, `${w.realm.nowMs() - startedMs} ms`);
  });

  it('acked resolves although the application there has not taken the message', async () => {
    const w = world();
    const { here } = await pair(w);
    await w.run(here.send(bytes('hi'), { acked: true }));
    assert.equal(here.closeReason, undefined);
  });

  it('a request gets the answer on the same stream, whatever its size', async () => {
    const w = world();
    const { here, bob } = await pair(w);
    void echo(bob);
    for (const size of [0, 1, 1200, 70_000, 1_048_576]) {
      const answer = await w.run(here.request(new Uint8Array(size).fill(3)));
      assert.equal(answer.length, size);
      assert.ok(answer.every((byte) => byte === 3));
    }
    const many = Array.from({ length: 500 }, (_, i) => i % 256);
    const answers = await w.run(Promise.all(many.map((i) => here.request(Uint8Array.of(i)))));
    assert.deepEqual(
      answers.map((answer) => answer[0]),
      many,
    );
  });

  it('a request fails when its stream ends or is reset without an answer, and by its timeout', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const feed = there.messages();
    const ended = errorOf(here.request(bytes('end')));
    const [first] = await w.run(take(feed, 1));
    await first!.reply!.finish();
    assert.equal((await w.run(ended)).code, 'refused');
    const reset = errorOf(here.request(bytes('reset')));
    const [second] = await w.run(take(feed, 1));
    second!.reply!.reset(300);
    assert.match((await w.run(reset)).message, /code 300/);
    const silent = await w.run(errorOf(here.request(bytes('silent'), { timeoutMs: 500 })));
    assert.deepEqual([silent.code, silent.sent], ['timeout', 'maybe']);
    await w.pass(10);
    const [third] = await w.run(take(feed, 1));
    assert.equal((await w.run(errorOf(third!.reply!.finish(bytes('late'))))).code, 'refused');
  });

  it('messages on bidirectional streams have a reply, those on unidirectional ones have none', async () => {
    const w = world();
    const { here, there } = await pair(w);
    void here.request(bytes('ask')).catch(() => {});
    await w.run(here.send(bytes('tell')));
    const got = await w.run(take(there.messages(), 2));
    assert.deepEqual(got.map(({ payload, reply }) => `${decodeText(payload)} ${reply !== undefined}`).toSorted(), [
      'ask true',
      'tell false',
    ]);
    assert.ok(got.every(({ connection }) => connection === there));
  });

  it('several messages of one stream arrive in order, both ways', async () => {
    const w = world('lossy');
    const { here, there } = await pair(w);
    const stream = await w.run(here.openBi());
    const feed = there.messages();
    for (let i = 0; i < 50; i++) await w.run(stream.send.send(Uint8Array.of(i)));
    const got = await w.run(take(feed, 50));
    assert.deepEqual(
      got.map(({ payload }) => payload[0]),
      Array.from({ length: 50 }, (_, i) => i),
    );
    assert.equal(new Set(got.map(({ reply }) => reply)).size, 1, 'they share the stream to answer on');
    const reply = got[0]!.reply!;
    for (let i = 0; i < 50; i++) await w.run(reply.send(Uint8Array.of(i, i)));
    await w.run(reply.finish());
    const back: number[] = [];
    await w.run(
      (async () => {
        for await (const answer of stream.receive) back.push(answer[0]!);
      })(),
    );
    assert.deepEqual(
      back,
      Array.from({ length: 50 }, (_, i) => i),
    );
    await w.run(stream.send.finish(bytes('last'), { acked: true }));
    assert.equal(decodeText((await w.run(take(feed, 1)))[0]!.payload), 'last');
  });

  it('a stream that does not end delays nothing else, though the original reads one after the other', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const held = await w.run(here.openUni());
    await w.run(held.send(bytes('whole, and its stream goes on')));
    const cut = await w.run(here.openUni());
    const writer = cut.writable.getWriter();
    await w.run(writer.write(new Uint8Array(10)));
    await w.run(here.send(bytes('later'), { acked: true }));
    const got = await w.run(take(there.messages(), 2));
    assert.deepEqual(
      got.map(({ payload }) => decodeText(payload)),
      ['whole, and its stream goes on', 'later'],
    );
  });

  it('a small message overtakes a large one', async () => {
    const w = world({ latencyMs: 20, bytesPerSecond: 1_000_000 });
    const { here, there } = await pair(w);
    const large = here.send(new Uint8Array(12 * 2 ** 20), { timeoutMs: 120_000 });
    await w.pass(500);
    await w.run(here.send(bytes('small'), { priority: 1 }));
    const got = await w.run(take(there.messages(), 2));
    assert.deepEqual(
      got.map(({ payload }) => payload.length),
      [5, 12 * 2 ** 20],
    );
    await w.run(large);
  });

  it('messages with a higher priority go first', async () => {
    const w = world({ latencyMs: 20, bytesPerSecond: 200_000 });
    const { here, there } = await pair(w);
    const sizes = [1, 2, 3].map((n) => 100_000 + n);
    const sends = [-5, 0, 5].map((priority, i) =>
      here.send(new Uint8Array(sizes[i]!), { priority, timeoutMs: 60_000 }),
    );
    const got = await w.run(take(there.messages(), 3));
    assert.deepEqual(
      got.map(({ payload }) => payload.length),
      sizes.toReversed(),
    );
    await w.run(Promise.all(sends));
    assert.throws(() => here.send(bytes('x'), { priority: 0.5 }), TypeError);
  });

  it('a stream has an id that both ends agree on', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const [uni, bi] = await w.run(Promise.all([here.openUni(), here.openBi()]));
    await w.run(Promise.all([uni.send(bytes('u')), bi.send.send(bytes('b'))]));
    const got = await w.run(take(there.messages(), 2));
    for (const { stream } of got) {
      const ours = stream.kind === 'uni' ? uni.id : bi.id;
      assert.deepEqual(
        [stream.opener, stream.kind, stream.index, stream.number],
        [ours.opener, ours.kind, ours.index, ours.number],
      );
      assert.match(stream.text, /^initiator (uni|bidi) stream 0 of /);
    }
    const back = await w.run(there.openUni());
    assert.equal(back.id.opener, 'responder');
  });

  it('unread messages stop the sender after 256 messages and 100 streams, and it goes on when they are read', async () => {
    const w = world();
    const { here, there } = await pair(w);
    let handedOver = 0;
    for (let i = 0; i < 400; i++) void here.send(Uint8Array.of(1), { timeoutMs: Infinity }).then(() => handedOver++);
    await w.pass(5000);
    assert.equal(handedOver, 356);
    const got = await w.run(take(there.messages(), 400));
    assert.equal(got.length, 400);
    await w.pass(1000);
    assert.equal(handedOver, 400);
  });

  it('unread bytes stop the sender too', async () => {
    const w = world();
    const { here, there } = await pair(w, { sendWindowBytes: 65_536 });
    let handedOver = 0;
    for (let i = 0; i < 40; i++)
      void here.send(new Uint8Array(2 ** 20), { timeoutMs: Infinity }).then(() => handedOver++);
    await w.pass(5000);
    // 4 MiB of messages that are not taken, and the window of the connection.
    assert.ok(handedOver >= 4 && handedOver <= 9, String(handedOver));
    await w.run(take(there.messages(), 40));
  });

  it('stream limits are what the options say', async () => {
    const w = world();
    const { here, there } = await pair(w, {}, { maxUniStreams: 3, maxBidiStreams: 2 });
    for (let i = 0; i < 3; i++) await w.run(here.openUni());
    for (let i = 0; i < 2; i++) await w.run(here.openBi());
    for (const opening of [here.openUni({ timeoutMs: 100 }), here.openBi({ timeoutMs: 100 })]) {
      const error = await w.run(errorOf(opening));
      assert.deepEqual([error.code, error.sent], ['timeout', 'no']);
    }
    assert.equal(there.closeReason, undefined);
  });

  it('one iterator gets the messages of all connections in turn, each with its connection', async () => {
    const w = world();
    const bob = w.open();
    const peers = [w.open(), w.open(), w.open()];
    const connections = await w.run(Promise.all(peers.map((peer) => peer.connect(bob.addr))));
    await w.run(
      Promise.all(
        connections.flatMap((connection) =>
          Array.from({ length: 20 }, () => connection.send(bytes('x'), { acked: true })),
        ),
      ),
    );
    const got = await w.run(take(bob.messages(), 60));
    assert.deepEqual(
      new Set(got.map(({ connection }) => connection.peerId)),
      new Set(peers.map(({ peerId }) => peerId)),
    );
    assert.equal(
      new Set(got.slice(0, 3).map(({ connection }) => connection.peerId)).size,
      3,
      'nobody has to wait for all of another',
    );
  });

  it('an iterator over one connection gets its messages in place of the iterator over all', async () => {
    const w = world();
    const { here, there, bob } = await pair(w);
    const all = bob.messages();
    const own = there.messages();
    await w.run(here.send(bytes('own'), { acked: true }));
    assert.equal(all.tryNext(), undefined);
    assert.equal(decodeText((await w.run(own.next())).value!.payload), 'own');
    await own.return();
    await w.run(here.send(bytes('all'), { acked: true }));
    assert.equal(decodeText((await w.run(all.next())).value!.payload), 'all');
  });

  it('messages that waited before go to an iterator over their connection, and back to that over all when it is left', async () => {
    const w = world();
    const { bob, here, there } = await pair(w);
    await w.run(here.send(bytes('first'), { acked: true }));
    const own = there.messages();
    const all = bob.messages();
    assert.equal(all.tryNext(), undefined);
    assert.equal(decodeText(own.tryNext()!.payload), 'first');
    await w.run(here.send(bytes('second'), { acked: true }));
    const waiting = all.next();
    await own.return();
    assert.equal(decodeText((await w.run(waiting)).value!.payload), 'second');
  });

  it('a small message does not keep the large buffer in memory that its stream was read into', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const stream = await w.run(here.openUni());
    for (const size of [200_000, 100, 200_000, 70_000]) await w.run(stream.send(new Uint8Array(size)));
    for (const { payload } of await w.run(take(there.messages(), 4))) {
      const { byteLength } = payload.buffer;
      assert.ok(byteLength < Math.max(65_536, payload.length * 1.25), `${payload.length} bytes in ${byteLength}`);
    }
  });

  it('a message over the limit is refused before it is sent, and before it is buffered', async () => {
    const w = world();
    const { here, bob, there } = await pair(w, { maxMessageBytes: 1000 }, { maxMessageBytes: 100 });
    const local = await w.run(errorOf(here.send(new Uint8Array(1001))));
    assert.deepEqual([local.code, local.side, local.sent], ['mtu_exceeded', 'local', 'no']);
    const remote = await w.run(errorOf(here.request(new Uint8Array(101))));
    assert.deepEqual([remote.code, remote.side], ['mtu_exceeded', 'remote']);
    assert.equal(drops(bob, 'endpoint.oversize'), 1);
    void echo(bob);
    assert.equal((await w.run(here.request(new Uint8Array(100)))).length, 100, 'the connection lives');
    const answer = await w.run(errorOf(here.request(new Uint8Array(100), { maxResponseBytes: 99 })));
    assert.equal(answer.code, 'mtu_exceeded');
    assert.equal(there.closeReason, undefined);
  });

  it('a hundred large messages sent at once arrive in turn, though only a few fit into the memory of the peer', async () => {
    const w = world({ latencyMs: 5 });
    const { here, there } = await pair(
      w,
      { keepAliveMs: 1000 },
      { maxMessageBytes: 2 ** 20, maxConnectionBytes: 2 ** 21, connectionWindowBytes: 2 ** 20 },
    );
    const sends = Array.from({ length: 100 }, (_, i) =>
      here.send(new Uint8Array(1_000_000).fill(i), { timeoutMs: Infinity }),
    );
    const got: number[] = [];
    void (async () => {
      for await (const { payload } of there.messages()) got.push(payload[0]!);
    })();
    for (let i = 0; i < 20 && got.length < 100; i++) await w.pass(1000);
    assert.deepEqual(
      got.toSorted((a, b) => a - b),
      Array.from({ length: 100 }, (_, i) => i),
    );
    await w.run(Promise.all(sends));
  });

  it('a send that is not awaited may fail without ending the process', async () => {
    const w = world();
    const { here, alice } = await pair(w);
    const stream = await w.run(here.openUni());
    w.realm.cut();
    for (let i = 0; i < 200; i++) void here.send(bytes('x'));
    void stream.send(bytes('x'), { acked: true });
    void alice.send(nowhere(w), bytes('x'));
    await w.run(here.close());
    void here.send(bytes('x'));
    void stream.finish(bytes('x'));
    void alice.trySend(nowhere(w), bytes('x'));
    await w.pass(60_000);
  });

  it('ten thousand messages sent at once all arrive', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const sends = Array.from({ length: 10_000 }, (_, i) =>
      here.send(Uint8Array.of(i >> 8, i & 255), { timeoutMs: Infinity }),
    );
    const got = await w.run(take(there.messages(), 10_000));
    await w.run(Promise.all(sends));
    assert.equal(new Set(got.map(({ payload }) => payload[0]! * 256 + payload[1]!)).size, 10_000);
  });

  it('messages wait for a stream up to maxQueuedMessages, and more fail at once', async () => {
    const w = world();
    const { here } = await pair(w, { maxQueuedMessages: 5, maxUniStreams: 2, maxPendingMessages: 1 });
    const sends = Array.from({ length: 12 }, () =>
      here.send(bytes('x'), { timeoutMs: 1000 }).then(
        () => 'sent',
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    const results = await w.run(Promise.all(sends));
    assert.deepEqual(results.filter((result) => result === 'limit_exceeded').length, 5);
    assert.deepEqual(results.filter((result) => result === 'sent').length, 2 + 1);
  });
});
