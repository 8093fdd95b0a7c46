/** The sending half of a connection, on streams that a test moves by hand. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { Sender } from '../../src/endpoint/sender.ts';
import type { QuicConnection } from '../../src/protocols/quic/connection.ts';
import { Sending } from '../../src/quic/sending.ts';
import { FakeStream } from '../swarms/quic-session-world.ts';

const OVERTAKES = 16_384;

function setUp(maxWaiting = 2) {
  const later: (() => void)[] = [];
  const told: string[] = [];
  const credit = { uni: 0, bidi: 0 };
  const opened: FakeStream[] = [];
  const connection = {
    open: (kind: 'uni' | 'bidi') => {
      if (credit[kind]-- <= 0) return undefined;
      const stream = new FakeStream(kind);
      opened.push(stream);
      return stream;
    },
  };
  const sender = new Sender(
    {
      scheduleFlush: () => {},
      later: (act) => void later.push(act),
      settled: () => void told.push('settled'),
      stopped: (code) => new P2PError('refused', 'remote', `stopped ${code}`),
    },
    connection as unknown as QuicConnection,
    maxWaiting,
  );
  const outcomes: string[] = [];
  const settle =
    (name: string) =>
    (error?: P2PError): void =>
      void outcomes.push(`${name} ${error?.code ?? 'done'}`);
  return {
    sender,
    credit,
    opened,
    later,
    told,
    outcomes,
    settle,
    /** A stream that takes so many bytes. */
    stream: (room: number): FakeStream => Object.assign(new FakeStream('uni'), { room }),
    write: (stream: FakeStream, name: string, bytes: number, acked = false): boolean =>
      sender.write(
        stream.stream,
        new Sending([new Uint8Array(bytes)]),
        settle(name),
        acked ? settle(`${name} acked`) : undefined,
      ),
  };
}

describe('a sender of messages', () => {
  it('is full when as many wait for a stream as may, and gives them out by priority, then in order', () => {
    const s = setUp(3);
    const got: string[] = [];
    const wait = (name: string, priority: number): (() => void) =>
      s.sender.waitFor('uni', { priority, use: () => void got.push(name), fail: s.settle(name) });
    wait('low', -1);
    const stop = wait('gives up', 5);
    assert.equal(s.sender.full, false);
    wait('first', 0);
    assert.deepEqual([s.sender.full, s.sender.waiting, s.sender.acknowledged], [true, 3, false]);
    stop();
    stop();
    assert.deepEqual([s.sender.full, s.sender.waiting], [false, 2]);
    wait('second', 0);
    assert.equal(s.sender.open('uni', 0), undefined, 'others wait before');
    s.credit.uni = 2;
    s.sender.handleAvailable('uni');
    assert.deepEqual([got, s.sender.waiting], [['first', 'second'], 1]);
    s.credit.uni = 1;
    s.sender.handleAvailable('uni');
    assert.deepEqual([got.at(-1), s.opened[2]!.done], ['low', ['priority -1']]);
    s.credit.bidi = 1;
    assert.ok(s.sender.open('bidi', 0) !== undefined);
    assert.deepEqual([s.sender.open('bidi', 0), s.opened[3]!.done], [undefined, []]);
  });

  it('lets messages of up to 16 KiB overtake one that waits for room, and larger ones go in turn', () => {
    const s = setUp();
    const [large, next, small] = [s.stream(10), s.stream(Infinity), s.stream(Infinity)];
    assert.equal(s.write(large, 'large', 50_000), false);
    assert.equal(s.write(small, 'small', OVERTAKES), true);
    assert.equal(s.write(next, 'next', OVERTAKES + 1), false);
    assert.deepEqual([next.written.length, s.later.length], [0, 1]);
    large.room = Infinity;
    s.sender.handleWritable(large.stream);
    assert.deepEqual([s.later.length, s.outcomes], [1, []], 'one turn for all');
    s.later.shift()!();
    assert.deepEqual(s.outcomes, ['large done', 'next done']);
    s.sender.handleWritable(large.stream);
    assert.equal(s.later.length, 0, 'nothing waits on it');
  });

  it('goes on with the highest priority first, then with the oldest', () => {
    const s = setUp();
    const streams = ['a', 'b', 'c'].map((name) => {
      const stream = s.stream(1);
      s.write(stream, name, 50_000);
      return stream;
    });
    s.sender.setPriority(streams[2]!.stream, 7);
    for (const stream of streams.toReversed()) {
      stream.room = Infinity;
      s.sender.handleWritable(stream.stream);
    }
    for (const act of s.later.splice(0)) act();
    assert.deepEqual(s.outcomes, ['c done', 'a done', 'b done']);
    const one = s.stream(1);
    s.write(one, 'alone', 5);
    one.room = 9;
    s.sender.handleWritable(one.stream);
    assert.deepEqual([s.outcomes.at(-1), s.later.length], ['alone done', 0]);
  });

  it('knows when all is acknowledged', () => {
    const s = setUp();
    const [one, two] = [s.stream(Infinity), s.stream(Infinity)];
    assert.equal(s.sender.acknowledged, true);
    assert.deepEqual([s.write(one, 'one', 5, true), s.write(two, 'two', 5)], [true, true]);
    assert.equal(s.sender.acknowledged, false);
    s.sender.handleAcknowledged(one.stream);
    assert.deepEqual([s.outcomes, s.sender.acknowledged], [['one acked done'], false]);
    s.told.length = 0;
    s.sender.handleAcknowledged(two.stream);
    assert.deepEqual([s.told.length > 0, s.sender.acknowledged], [true, true]);
  });

  it('fails what is stopped, reset, or under way when the connection ends; each is told once', () => {
    const s = setUp();
    const [stopped, given, ended] = [s.stream(1), s.stream(1), s.stream(1)];
    for (const [stream, name] of [
      [stopped, 'stopped'],
      [given, 'given'],
      [ended, 'ended'],
    ] as const)
      s.write(stream, name, 9, true);
    s.sender.handleStopped(stopped.stream);
    s.sender.reset(given.stream, 3, new P2PError('disconnected', 'local', 'reset'));
    assert.deepEqual(s.outcomes, [
      'stopped refused',
      'stopped acked refused',
      'given disconnected',
      'given acked disconnected',
    ]);
    assert.deepEqual(given.done, ['reset 3']);
    s.sender.waitFor('bidi', { priority: 0, use: () => {}, fail: s.settle('waiting') });
    s.sender.handleClosed((sent) => new P2PError(sent === 'no' ? 'closed' : 'disconnected', 'path', 'ended'));
    assert.deepEqual(s.outcomes.slice(4), ['waiting closed', 'ended disconnected', 'ended acked disconnected']);
    assert.deepEqual([s.sender.acknowledged, s.sender.waiting], [true, 0]);
    const over = Object.assign(s.stream(1), { sendState: 'stopped', stopCode: 4 });
    assert.equal(s.write(over, 'over', 5), false);
    assert.deepEqual([s.outcomes.at(-1), s.sender.acknowledged], ['over refused', true]);
  });
});
