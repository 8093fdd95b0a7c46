/** What comes on the streams of a QUIC session: tells and requests. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { REFUSED } from '../../src/swarm-kit/ask-slot.ts';
import { CODE } from '../../src/swarms/quic/codes.ts';
import { frame } from '../scenarios/raw-quic-peer.ts';
import { type FakeStream, MAX, ok, setUp, settled } from './quic-session-world.ts';

describe('a QUIC session: tells that come', () => {
  it('are taken up to the largest size exactly, also empty ones; one byte more is turned down and counted', () => {
    const s = setUp();
    for (const size of [0, 1, MAX]) s.come('uni', new Uint8Array(size));
    assert.deepEqual([s.delivered, s.session.held], [[0, 1, MAX], 0]);
    const over = s.come('uni', new Uint8Array(MAX + 1));
    assert.deepEqual([over.done, s.drops], [[`stop ${CODE.OVERSIZE}`, `reset ${CODE.OVERSIZE}`], ['oversize']]);
    assert.deepEqual([s.session.held, s.host.memory.held, s.session.busy], [0, 0, false]);
  });

  it('are held until they are whole; one that is reset or lost is given up without a word', () => {
    const s = setUp();
    for (const after of ['reset', 'lost'] as const) {
      const stream = s.come('uni', new Uint8Array(300), 'open');
      assert.deepEqual([s.session.held, s.host.memory.held, s.session.busy], [300, 300, true]);
      stream.receiveState = 'open';
      stream.after = after;
      s.session.handleReadable(stream.stream);
      assert.deepEqual([s.session.held, s.host.memory.held, s.session.busy], [0, 0, false]);
    }
    assert.deepEqual([s.delivered, s.drops], [[], []]);
  });

  it('wait while nobody listens or the handler has enough, and go on in order', () => {
    const s = setUp();
    s.host.listening = false;
    const streams = [5, 6].map((size) => s.come('uni', new Uint8Array(size)));
    assert.deepEqual([s.delivered, streams[0]!.incoming.length], [[], 5]);
    s.host.listening = true;
    s.session.unpark();
    assert.deepEqual(s.delivered, [5, 6]);
    const one = setUp({ pending: { maxPendingMessages: 1 } });
    one.session.tellBudget.take(10);
    one.come('uni', new Uint8Array(7));
    assert.deepEqual(one.delivered, []);
    one.session.tellBudget.give(10);
    assert.deepEqual(one.delivered, [7]);
  });

  it('begin while up to four of the largest size are unfinished, and then the oldest alone goes on', () => {
    const s = setUp();
    const begun = [MAX, MAX, MAX, MAX].map((size) => s.come('uni', new Uint8Array(size), 'open'));
    assert.equal(s.session.held, 4 * MAX);
    const fifth = s.come('uni', new Uint8Array(1), 'open');
    assert.deepEqual([s.session.held, fifth.incoming.length], [4 * MAX + 1, 0]);
    const sixth = s.come('uni', new Uint8Array(9));
    assert.deepEqual([sixth.incoming.length, s.delivered], [9, []]);
    Object.assign(begun[0]!, { after: 'finished', receiveState: 'open' });
    s.session.handleReadable(begun[0]!.stream);
    assert.deepEqual(s.delivered, [MAX, 9], 'there is room for the one that waited');
  });

  it('of a peer that holds some already wait while all hold as much as they may', () => {
    const s = setUp({ maxSwarmBytes: 500 });
    const first = s.come('uni', new Uint8Array(100), 'open');
    const second = s.come('uni', new Uint8Array(400), 'open');
    const third = s.come('uni', new Uint8Array(1));
    assert.deepEqual([s.session.held, third.incoming.length], [500, 1]);
    Object.assign(second, { after: 'finished', receiveState: 'open' });
    s.session.handleReadable(second.stream);
    assert.deepEqual([s.delivered, s.told.room > 0], [[400, 1], true]);
    assert.equal(first.done.length, 0);
  });
});

describe('a QUIC session: requests that come', () => {
  it('are served once they are whole; frames that cannot be are malformed, too large ones oversize', () => {
    const s = setUp();
    for (const size of [0, MAX]) s.come('bidi', frame(new Uint8Array(size)));
    assert.deepEqual(
      s.asked.map(({ bytes }) => bytes),
      [0, MAX],
    );
    const cases: readonly [Uint8Array, FakeStream['after'], number, string | undefined][] = [
      [frame(new Uint8Array(0), MAX + 1), 'open', CODE.OVERSIZE, 'oversize'],
      [frame(new Uint8Array(5), 6), 'finished', CODE.MALFORMED, 'malformed'],
      [new Uint8Array(3), 'finished', CODE.MALFORMED, 'malformed'],
      [frame(new Uint8Array(7), 6), 'finished', CODE.MALFORMED, 'malformed'],
      [frame(new Uint8Array(5), 6), 'reset', CODE.CANCELLED, undefined],
      [frame(new Uint8Array(5), 6), 'lost', CODE.CANCELLED, undefined],
    ];
    for (const [bytes, after, code, drop] of cases) {
      s.drops.length = 0;
      const stream = s.come('bidi', bytes, after);
      assert.deepEqual([stream.done, s.drops], [[`stop ${code}`, `reset ${code}`], drop === undefined ? [] : [drop]]);
      assert.deepEqual([s.session.held, s.asked.length], [0, 2]);
    }
    const late = s.come('bidi', frame(new Uint8Array(5)), 'open');
    late.incoming = new Uint8Array(1);
    s.session.handleReadable(late.stream);
    assert.deepEqual(late.done, [`stop ${CODE.MALFORMED}`], 'more than the frame');
  });

  it('are answered behind the length, or reset with 1', async () => {
    const s = setUp();
    const [good, bad] = [s.come('bidi', frame(new Uint8Array(1))), s.come('bidi', frame(new Uint8Array(2)))];
    assert.equal(s.session.busy, true);
    s.asked[0]!.answer(ok(20_000));
    s.asked[1]!.answer(REFUSED);
    await settled();
    assert.deepEqual([good.written.length, good.sendState, bad.done], [20_004, 'finished', [`reset ${CODE.REFUSED}`]]);
    assert.deepEqual([s.session.busy, s.told.sent], [false, 20_000]);
  });

  it('wait while more than four answers of the largest size are not taken, and go on when they are', async () => {
    const s = setUp();
    const blocked = [0, 1, 2, 3].map(() => {
      const stream = s.come('bidi', frame(new Uint8Array(1)));
      stream.room = 0;
      return stream;
    });
    for (const { answer } of s.asked) answer(ok(MAX));
    await settled();
    const fifth = s.come('bidi', frame(new Uint8Array(1)));
    assert.equal(s.asked.length, 5, 'four are not too many');
    fifth.room = 0;
    s.asked[4]!.answer(ok(1));
    await settled();
    const sixth = s.come('bidi', frame(new Uint8Array(1)));
    assert.deepEqual([s.asked.length, sixth.incoming.length], [5, 5]);
    blocked[0]!.room = Infinity;
    s.session.handleWritable(blocked[0]!.stream);
    assert.deepEqual([s.asked.length, blocked[0]!.written.length], [6, MAX + 4]);
    s.session.handleStopped(fifth.stream);
    assert.ok(P2PError.is(s.asked[4]!.aborted, 'disconnected'));
    assert.equal(s.asked[0]!.aborted, undefined, 'it was answered');
  });

  it('that the asker gave up are given up, and an answer that comes then goes nowhere', async () => {
    const s = setUp();
    const stream = s.come('bidi', frame(new Uint8Array(1)));
    s.session.handleStopped(stream.stream);
    assert.ok(P2PError.is(s.asked[0]!.aborted, 'disconnected'));
    s.asked[0]!.answer(ok(5));
    await settled();
    assert.deepEqual([stream.written.length, s.session.busy], [0, false]);
  });
});
