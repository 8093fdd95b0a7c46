import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { QuicStream } from '../../../src/protocols/quic/stream.ts';
import { join, pattern, readAll, Reader, text, writeAll } from './network.ts';

describe('bytes', () => {
  it('5 MB arrive whole on unidirectional and bidirectional streams of both sides at once', () => {
    const { net, alice, bob, there, back } = join();
    const big = pattern(5_000_000);
    const got = { alice: readAll(alice), bob: readAll(bob) };
    const streams = [there.open('uni')!, there.open('bidi')!, back.open('uni')!, back.open('bidi')!];
    assert.deepEqual(
      streams.map(({ id, kind, opened }) => [id, kind, opened]),
      [
        [2, 'uni', 'here'],
        [0, 'bidi', 'here'],
        [3, 'uni', 'here'],
        [1, 'bidi', 'here'],
      ],
    );
    for (const stream of streams) writeAll(stream.connection === there ? alice : bob, stream, big);
    assert.ok(net.run(() => streams.every(({ sendState }) => sendState === 'acknowledged')));
    for (const readers of [got.alice, got.bob]) {
      assert.equal(readers.size, 2);
      for (const [stream, reader] of readers) {
        assert.equal(stream.receiveState, 'finished');
        assert.equal(stream.opened, 'there');
        assert.ok(Buffer.from(big).equals(reader.bytes));
      }
    }
  });

  it('the end travels with the last bytes', () => {
    const { net, bob, there } = join();
    const states: string[] = [];
    bob.react = (event) => {
      if (event.type === 'stream') states.push(`${event.stream.read()?.length} ${event.stream.receiveState}`);
    };
    there.open('uni')!.write(text('hello'), true);
    net.pass(100);
    assert.deepEqual(states, ['5 finished']);
  });

  it('an empty stream is a message too', () => {
    const { net, bob, there } = join();
    const stream = there.open('uni')!;
    stream.finish();
    net.pass(100);
    const [opened] = bob.all('stream');
    assert.equal(opened?.stream.read(), undefined);
    assert.equal(opened?.stream.receiveState, 'finished');
    assert.equal(stream.sendState, 'acknowledged');
  });

  it('write copies: the caller may use its bytes again at once', () => {
    const { net, bob, there } = join();
    const got = readAll(bob);
    const bytes = text('keep me');
    there.open('uni')!.write(bytes, true);
    bytes.fill(0);
    net.pass(100);
    assert.equal([...got.values()][0]!.bytes.toString(), 'keep me');
  });

  it('read hands out bytes that no later read changes', () => {
    const { net, bob, there } = join();
    there.open('uni')!.write(pattern(5000), true);
    net.pass(100);
    const { stream } = bob.saw('stream')!;
    const parts = [stream.read(1000)!, stream.read(1000)!, stream.read()!];
    assert.deepEqual(
      parts.map(({ length }) => length),
      [1000, 1000, 3000],
    );
    assert.ok(Buffer.concat(parts).equals(pattern(5000)));
    assert.equal(stream.read(), undefined);
  });

  it('acknowledged comes when the transport there has everything, whether it was read or not', () => {
    const { net, alice, there } = join();
    const stream = there.open('uni')!;
    stream.write(text('x'), true);
    assert.equal(stream.sendState, 'finished');
    net.pass(100);
    assert.deepEqual(
      alice.all('acknowledged').map((event) => event.stream),
      [stream],
    );
    assert.equal(stream.sendState, 'acknowledged');
  });

  it('far more streams than are allowed at a time go through one connection', () => {
    const { net, alice, bob, there } = join({ both: { maxBidiStreams: 4 } });
    bob.react = (event) => {
      if (event.type !== 'stream') return;
      const bytes = event.stream.read();
      event.stream.write(bytes!, true);
    };
    let answers = 0;
    let asked = 0;
    const ask = (): void => {
      for (let stream; asked < 1000 && (stream = there.open('bidi')) !== undefined; asked++) {
        stream.write(text(String(asked)), true);
      }
    };
    alice.react = (event) => {
      if (event.type === 'streams_available') ask();
      if (event.type === 'readable' && event.stream.read() !== undefined) answers++;
    };
    ask();
    assert.equal(asked, 4);
    assert.ok(net.run(() => answers === 1000));
    assert.equal([...there.streams].length, 0);
  });
});

describe('flow control', () => {
  it('a sender stops at the stream window of a peer that does not read, and goes on when it does', () => {
    const { net, alice, bob, there } = join({ bob: { streamWindowBytes: 10_000 } });
    const stream = there.open('uni')!;
    assert.equal(stream.write(pattern(25_000), true), 10_000);
    assert.equal(stream.sendState, 'open');
    net.pass(1000);
    assert.equal(alice.saw('writable'), undefined);
    const reader = new Reader();
    reader.take(bob.saw('stream')!.stream);
    net.pass(100);
    assert.equal(reader.length, 10_000);
    assert.equal(alice.all('writable').length, 1);
    assert.equal(stream.write(pattern(25_000).subarray(10_000), true), 10_000);
  });

  it('the connection window holds over all streams', () => {
    const { net, bob, there } = join({ bob: { streamWindowBytes: 10_000, connectionWindowBytes: 15_000 } });
    const taken = [there.open('uni')!, there.open('uni')!, there.open('uni')!].map((s) => s.write(pattern(10_000)));
    assert.deepEqual(taken, [10_000, 5000, 0]);
    net.pass(1000);
    assert.equal(bob.endpoint.gauges()!.connections, 1);
  });

  it('the send window bounds what we hold, whatever the peer allows', () => {
    const { there } = join({ alice: { sendWindowBytes: 5000 } });
    const taken = there.open('uni')!.write(pattern(100_000));
    assert.ok(taken >= 5000 && taken < 10_000, String(taken));
  });

  it('an unfinished stream holds up no other', () => {
    const { net, bob, there } = join({ both: { streamWindowBytes: 10_000 } });
    const got = readAll(bob);
    const stuck = there.open('uni')!;
    stuck.write(text('begun'));
    for (let i = 0; i < 50; i++) there.open('uni')!.write(text(`done ${i}`), true);
    net.pass(200);
    const finished = [...got.keys()].filter(({ receiveState }) => receiveState === 'finished');
    assert.equal(finished.length, 50);
    assert.equal(stuck.sendState, 'open');
  });
});

describe('priority', () => {
  it('higher goes first, and equal ones take turns', () => {
    const { net, bob, there } = join({ both: { initialMtuBytes: 1200, maxMtuBytes: 1200 } });
    const order: QuicStream[] = [];
    const readers = readAll(bob);
    bob.react = ((before) => (event) => {
      before(event);
      if (event.type === 'readable' || event.type === 'stream') {
        if (event.stream.receiveState === 'finished') order.push(event.stream);
      }
    })(bob.react);
    const open = (priority: number): number => {
      const stream = there.open('uni')!;
      stream.setPriority(priority);
      stream.write(pattern(20_000), true);
      return stream.id;
    };
    const low = open(-5);
    const normal = open(0);
    const high = open(7);
    net.pass(2000);
    assert.equal(readers.size, 3);
    assert.deepEqual(
      order.map(({ id }) => id),
      [high, normal, low],
    );
  });

  it('only whole numbers of 32 bits are priorities', () => {
    const stream = join().there.open('uni')!;
    for (const priority of [0.5, 2 ** 31, Number.NaN]) assert.throws(() => stream.setPriority(priority), RangeError);
    stream.setPriority(-(2 ** 31));
  });
});

describe('giving up', () => {
  it('reset tells the peer the code, and drops what it has not read', () => {
    const { net, bob, there } = join();
    const stream = there.open('bidi')!;
    stream.write(text('never mind'));
    net.pass(100);
    stream.reset(77);
    assert.equal(stream.sendState, 'reset');
    net.pass(100);
    const { stream: other } = bob.saw('stream')!;
    assert.equal(other.read(), undefined);
    assert.deepEqual([other.receiveState, other.resetCode, other.sendState], ['reset', 77, 'open']);
  });

  it('stop tells the peer the code, and its sending side ends there', () => {
    const { net, alice, bob, there } = join();
    const stream = there.open('uni')!;
    stream.write(pattern(5000));
    net.pass(100);
    const { stream: other } = bob.saw('stream')!;
    other.stop(2 ** 40);
    assert.equal(other.receiveState, 'stopped');
    net.pass(100);
    assert.deepEqual(
      alice.all('stopped').map((event) => event.stream),
      [stream],
    );
    assert.deepEqual([stream.sendState, stream.stopCode], ['stopped', 2 ** 40]);
    assert.equal(stream.write(text('more')), 0);
    assert.equal([...there.streams].length, 0);
  });

  it('a stream that was finished can still be stopped and reset', () => {
    const { net, bob, there } = join({ bob: { streamWindowBytes: 2000 } });
    const finished = there.open('uni')!;
    assert.equal(finished.write(pattern(1000), true), 1000);
    finished.reset(5);
    assert.equal(finished.sendState, 'reset');
    net.pass(100);
    const [event] = bob.all('stream');
    if (event !== undefined) assert.notEqual(event.stream.read(), pattern(1000));
    assert.equal([...there.streams].length, 0);
  });

  it('codes beyond 2^53 - 1 are misuse', () => {
    const stream = join().there.open('bidi')!;
    assert.throws(() => stream.reset(2 ** 53), RangeError);
    assert.throws(() => stream.stop(-1), RangeError);
  });

  it('streams opened and reset without end leave nothing behind', () => {
    const { net, alice, bob, there } = join();
    let opened = 0;
    const churn = (): void => {
      for (let stream; opened < 3000 && (stream = there.open('bidi')) !== undefined; opened++) {
        stream.write(text('x'));
        stream.reset(1);
        stream.stop(1);
      }
    };
    alice.react = (event) => {
      if (event.type === 'streams_available') churn();
    };
    bob.react = (event) => {
      if (event.type !== 'stream' && event.type !== 'readable') return;
      event.stream.read();
      event.stream.reset(2);
    };
    churn();
    assert.ok(net.run(() => opened === 3000 && [...bob.saw('connected')!.connection.streams].length === 0));
    assert.equal([...there.streams].length, 0);
  });
});

describe('streams that a peer is allowed', () => {
  it('are 200 of each kind at first, and grow to what is set while it has half of them open, and no further', () => {
    for (const kind of ['uni', 'bidi'] as const) {
      const { net, bob, there } = join({ bob: { maxUniStreams: 600, maxBidiStreams: 600 } });
      let opened = 0;
      const open = (): number => {
        for (let stream; (stream = there.open(kind)) !== undefined; opened++) stream.write(text('x'));
        net.pass(100);
        return opened;
      };
      assert.deepEqual([open(), open(), open(), open()], [200, 400, 600, 600]);
      assert.equal(bob.all('stream').length, 600);
    }
  });

  it('stay as they are while fewer than half are open', () => {
    const { net, there } = join({ bob: { maxUniStreams: 600 } });
    const few = Array.from({ length: 99 }, () => there.open('uni')!);
    for (const stream of few) stream.write(text('x'));
    net.pass(100);
    let opened = 0;
    while (there.open('uni') !== undefined) opened++;
    assert.equal(opened, 101);
  });
});
