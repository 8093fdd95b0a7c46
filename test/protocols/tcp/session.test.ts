import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { BYE, CHUNK_BYTES, MESSAGE_COST_BYTES, REFUSAL_TOO_LARGE } from '../../../src/protocols/tcp/constants.ts';
import { FrameWriter } from '../../../src/protocols/tcp/frame-writer.ts';
import { Pair } from './pair.ts';

const bytes = (length: number, fill = 1): Bytes => new Uint8Array(length).fill(fill);
const MIB = 1_048_576;

/** What frames look like on the wire. */
function written(write: (writer: FrameWriter) => void): Bytes {
  const writer = new FrameWriter();
  write(writer);
  return concatBytes(...writer.take());
}

describe('TcpSession: tells', () => {
  it('of any size arrive in order, however the stream is cut', () => {
    const pair = Pair.open();
    const random = createSeededRandom(3);
    const sizes = [0, 1, 63, 64, 127, 128, 16_383, CHUNK_BYTES, CHUNK_BYTES + 1, 200_000, 5];
    const payloads = sizes.map((size) => random.bytes(size));
    for (const payload of payloads) pair.alice.session.tell(pair.now, payload);
    pair.alice.poll();
    const stream = concatBytes(...pair.alice.sent.splice(0));
    for (let at = 0; at < stream.length;) {
      const length = 1 + Math.floor(random.next() * 5000);
      pair.bob.session.handleBytes(pair.now, stream.slice(at, at + length));
      pair.bob.poll();
      at += length;
    }
    assert.deepEqual(pair.bob.told, payloads);
  });

  it('small ones are written at once, and side by side in one piece', () => {
    const pair = Pair.open();
    for (let i = 0; i < 100; i++) assert.equal(pair.alice.session.tell(pair.now, bytes(5)), undefined);
    pair.alice.poll();
    assert.equal(pair.alice.sent.length, 1);
    assert.equal(pair.alice.sent[0]!.length, 100 * 7);
  });

  it('a large one is taken when all of it is written, and its bytes are then the caller’s again', () => {
    const pair = Pair.open();
    const payload = bytes(3 * MIB);
    const ticket = pair.alice.session.tell(pair.now, payload);
    assert.ok(ticket !== undefined);
    pair.alice.poll();
    assert.deepEqual(pair.alice.of('taken'), []); // the pipe has to take the first part before the rest is written
    pair.run();
    assert.deepEqual(pair.alice.of('taken'), [{ type: 'taken', ticket }]);
    payload.fill(0);
    assert.deepEqual(pair.bob.told, [bytes(3 * MIB)]);
  });

  it('of one priority keep their order, more urgent ones overtake', () => {
    const pair = Pair.open();
    const send = (fill: number, size: number, priority: number): void =>
      void pair.alice.session.tell(pair.now, bytes(size, fill), priority);
    send(1, 2 * MIB, 0);
    send(2, 10, 0);
    send(3, MIB, 1);
    send(4, 10, 2);
    pair.run();
    assert.deepEqual(
      pair.bob.told.map((payload) => payload[0]),
      [4, 3, 1, 2],
    );
  });

  it('that nobody reads stop the sender, and go on when there is room; asks go on meanwhile', () => {
    const window = 64 * 1024;
    const pair = Pair.open({}, { windowBytes: window });
    pair.bob.readsTells = false;
    pair.bob.serve = (id, payload) => void pair.bob.session.answer(pair.now, id, payload);
    const cost = 1000 + MESSAGE_COST_BYTES;
    for (let i = 0; i < 200; i++) pair.alice.session.tell(pair.now, bytes(1000, i));
    pair.run();
    assert.equal(pair.bob.told.length, Math.floor(window / cost));
    pair.alice.session.ask(pair.now, bytes(5000, 7), MIB);
    pair.run();
    assert.deepEqual(pair.alice.of('answer')[0]?.payload, bytes(5000, 7));
    for (let released = 0; released < 200; released++) {
      assert.ok(pair.bob.told.length > released);
      pair.bob.session.release(1000);
      pair.run();
    }
    assert.deepEqual(
      pair.bob.told.map((payload) => payload[0]),
      Array.from({ length: 200 }, (_, i) => i),
    );
    assert.equal(pair.alice.ended(), undefined);
  });

  it('may be larger than the window', () => {
    const pair = Pair.open({}, { windowBytes: 4096 });
    for (let i = 0; i < 5; i++) pair.alice.session.tell(pair.now, bytes(MIB, i));
    pair.run();
    assert.equal(pair.bob.told.length, 5);
  });

  it('that are given up half way are as if they had not been', () => {
    const pair = Pair.open();
    const ticket = pair.alice.session.tell(pair.now, bytes(4 * MIB));
    pair.alice.poll();
    pair.alice.session.giveUpTell(ticket!);
    pair.alice.session.tell(pair.now, bytes(3, 3));
    pair.run();
    assert.deepEqual(pair.bob.told, [bytes(3, 3)]);
    assert.ok(pair.bob.session.isQuiet && pair.alice.session.isQuiet);
  });

  it('requestAcknowledgement() tells when the peer has read all', () => {
    const pair = Pair.open();
    for (const size of [10, MIB]) pair.alice.session.tell(pair.now, bytes(size));
    assert.equal(pair.alice.session.unacknowledged, 2);
    pair.alice.session.requestAcknowledgement();
    pair.run();
    assert.equal(pair.alice.session.unacknowledged, 0);
    assert.ok(pair.alice.of('acknowledged').length > 0);
    assert.equal(pair.alice.frames.filter(({ type }) => type === 'ping').length, 1);
  });
});

describe('TcpSession: asks', () => {
  it('get their own answers, in any order', () => {
    const pair = Pair.open();
    const waiting: (() => void)[] = [];
    pair.bob.serve = (id, payload) =>
      void waiting.push(() => void pair.bob.session.answer(pair.now, id, bytes(payload.length + 1, payload[0])));
    const ids = [10, 300_000, 20].map((size, i) => pair.alice.session.ask(pair.now, bytes(size, i), MIB));
    pair.run();
    for (const answer of waiting.toReversed()) answer();
    pair.run();
    const answers = new Map(pair.alice.of('answer').map(({ id, payload }) => [id, payload]));
    assert.deepEqual(
      ids.map((id) => answers.get(id)),
      [bytes(11, 0), bytes(300_001, 1), bytes(21, 2)],
    );
    assert.ok(pair.alice.session.isQuiet && pair.bob.session.isQuiet);
  });

  it('are not held up by a large answer', () => {
    const pair = Pair.open();
    pair.bob.serve = (id, payload) => void pair.bob.session.answer(pair.now, id, bytes(payload[0] === 1 ? 8 * MIB : 3));
    pair.alice.session.ask(pair.now, bytes(1, 1), 16 * MIB);
    pair.carry(pair.alice, pair.bob);
    pair.carry(pair.bob, pair.alice);
    const small = pair.alice.session.ask(pair.now, bytes(1, 2), 16 * MIB);
    pair.run();
    assert.deepEqual(
      pair.alice.of('answer').map(({ id }) => id),
      [small, small - 1],
    );
  });

  it('are refused with a code and bytes', () => {
    const pair = Pair.open();
    pair.bob.serve = (id) => pair.bob.session.refuse(pair.now, id, 7, bytes(2, 9));
    const id = pair.alice.session.ask(pair.now, bytes(1), 0);
    pair.run();
    assert.deepEqual(pair.alice.of('refusal'), [{ type: 'refusal', id, code: 7, payload: bytes(2, 9) }]);
  });

  it('an answer that is larger than asked for becomes a refusal', () => {
    const pair = Pair.open();
    const taken: boolean[] = [];
    pair.bob.serve = (id) => void taken.push(pair.bob.session.answer(pair.now, id, bytes(11)));
    pair.alice.session.ask(pair.now, bytes(1), 10);
    pair.alice.session.ask(pair.now, bytes(1), 11);
    pair.run();
    assert.deepEqual(taken, [false, true]);
    assert.equal(pair.alice.of('refusal')[0]?.code, REFUSAL_TOO_LARGE);
    assert.equal(pair.alice.of('answer').length, 1);
  });

  it('that are cancelled reach the handler’s side, and what is on its way is dropped', () => {
    const pair = Pair.open();
    const ids: number[] = [];
    pair.bob.serve = (id) => void ids.push(id);
    const id = pair.alice.session.ask(pair.now, bytes(1), 16 * MIB);
    pair.run();
    pair.bob.session.answer(pair.now, ids[0]!, bytes(4 * MIB));
    pair.carry(pair.bob, pair.alice);
    pair.alice.session.cancelAsk(id);
    pair.run();
    assert.deepEqual(pair.bob.of('cancelled'), [{ type: 'cancelled', id }]);
    assert.deepEqual(pair.alice.of('answer'), []);
    assert.ok(pair.alice.session.isQuiet && pair.bob.session.isQuiet);
    assert.equal(pair.alice.ended() ?? pair.bob.ended(), undefined);
  });

  it('that are cancelled before they have gone never arrive', () => {
    const pair = Pair.open();
    const ids = [2 * MIB, 5].map((size) => pair.alice.session.ask(pair.now, bytes(size), 0));
    pair.alice.poll();
    for (const id of ids) pair.alice.session.cancelAsk(id);
    pair.run();
    assert.equal(pair.bob.of('request').length, 1); // the small one had gone; the large one was called back
    assert.deepEqual(pair.bob.of('cancelled').length, 1);
    assert.ok(pair.bob.session.isQuiet);
  });

  it('wait while the answers to earlier ones are not taken', () => {
    const pair = Pair.open({}, { windowBytes: 65_536, maxMessageBytes: MIB });
    let served = 0;
    pair.bob.serve = (id) => {
      served++;
      pair.bob.session.answer(pair.now, id, bytes(MIB));
    };
    for (let i = 0; i < 100; i++) pair.alice.session.ask(pair.now, bytes(1), MIB);
    pair.alice.poll();
    for (const piece of pair.alice.sent.splice(0)) {
      pair.bob.session.handleBytes(pair.now, piece);
      pair.bob.poll();
    }
    assert.ok(served <= 3, `${served} answers of a MiB were made for a peer that takes none`);
    pair.run();
    assert.equal(pair.alice.of('answer').length, 100);
  });
});

describe('TcpSession: the end', () => {
  it('retire() loses nothing: what is queued goes, requests are answered, then both end', () => {
    const pair = Pair.open();
    const ids: number[] = [];
    pair.bob.serve = (id) => void ids.push(id);
    pair.alice.session.ask(pair.now, bytes(10), MIB);
    pair.alice.session.tell(pair.now, bytes(2 * MIB, 1));
    pair.alice.session.retire(pair.now, BYE.REPLACED);
    pair.run();
    assert.equal(pair.bob.told.length, 1);
    assert.deepEqual(pair.bob.of('retiring')[0]?.code, BYE.REPLACED);
    assert.equal(pair.alice.ended() ?? pair.bob.ended(), undefined);
    pair.bob.session.answer(pair.now, ids[0]!, bytes(MIB, 2));
    pair.run();
    assert.deepEqual(pair.alice.of('answer')[0]?.payload, bytes(MIB, 2));
    assert.deepEqual(pair.alice.ended(), { by: 'local', code: BYE.REPLACED, reason: '' });
    assert.deepEqual(pair.bob.ended(), { by: 'peer', code: BYE.REPLACED, reason: '' });
  });

  it('tells that cross a bye arrive', () => {
    const pair = Pair.open();
    pair.alice.session.retire(pair.now, BYE.IDLE);
    pair.alice.poll();
    pair.bob.session.tell(pair.now, bytes(3, 5));
    pair.run();
    assert.deepEqual(pair.alice.told, [bytes(3, 5)]);
    assert.ok(pair.alice.ended() !== undefined && pair.bob.ended() !== undefined);
  });

  it('a quiet connection says bye after its idle timeout, and not before', () => {
    const pair = Pair.open({ idleTimeoutMs: 100_000 }, { idleTimeoutMs: 1_000_000 });
    pair.advance(50_000);
    pair.bob.session.tell(pair.now, bytes(1));
    pair.advance(99_999);
    assert.equal(pair.alice.ended(), undefined);
    pair.advance(15_002);
    assert.deepEqual(pair.alice.ended(), { by: 'local', code: BYE.IDLE, reason: 'idle' });
    assert.deepEqual(pair.bob.ended(), { by: 'peer', code: BYE.IDLE, reason: 'idle' });
  });

  it('a peer that falls silent while something is awaited is dead after 30 s', () => {
    const pair = Pair.open();
    pair.alice.session.ask(pair.now, bytes(1), 0);
    pair.advance(29_999, false);
    assert.equal(pair.alice.ended(), undefined);
    assert.ok(pair.alice.frames.some(({ type }) => type === 'ping'));
    pair.advance(2, false);
    assert.equal(pair.alice.ended()?.code, BYE.UNRESPONSIVE);
    assert.deepEqual(pair.alice.of('ask_failed'), [{ type: 'ask_failed', id: 1, sent: 'maybe' }]);
  });

  it('a slow handler on a peer that lives is waited for', () => {
    const pair = Pair.open();
    pair.alice.session.ask(pair.now, bytes(1), 0);
    pair.advance(600_000);
    assert.equal(pair.alice.ended(), undefined);
  });

  it('a peer that reads nothing is given up, whatever it says', () => {
    const pair = Pair.open();
    for (let i = 0; i < 100; i++) pair.alice.session.tell(pair.now, bytes(20_000));
    for (let i = 0; i < 60 && pair.alice.ended() === undefined; i++) {
      pair.bob.session.tell(pair.now, bytes(1));
      pair.bob.poll();
      for (const piece of pair.bob.sent.splice(0)) {
        pair.bob.session.handleFlushed(piece.length);
        pair.alice.session.handleBytes(pair.now, piece);
      }
      pair.advance(1000, false);
    }
    assert.equal(pair.alice.ended()?.by, 'timeout');
    assert.equal(pair.alice.ended()?.reason, 'reads nothing');
    assert.ok(pair.alice.of('tell_failed').length > 0);
  });

  it('a write that the watch catches before its flush is not taken for a peer that reads nothing', () => {
    for (let idleMs = 14_000; idleMs <= 59_000; idleMs += 500) {
      const pair = Pair.open();
      pair.advance(idleMs);
      pair.alice.session.tell(pair.now, bytes(100));
      pair.alice.poll();
      // The watch fires while what was written is still on its way to the kernel.
      pair.now = Math.max(pair.now, pair.alice.until ?? pair.now);
      pair.alice.session.handleTimeout(pair.now);
      pair.alice.poll();
      assert.equal(pair.alice.ended(), undefined, `after ${idleMs} ms`);
      pair.run();
      assert.equal(pair.bob.told.length, 1);
    }
  });

  it('no hello within 5 s is the end', () => {
    const pair = new Pair();
    pair.advance(4999, false);
    assert.equal(pair.alice.ended(), undefined);
    pair.advance(1, false);
    assert.equal(pair.alice.ended()?.by, 'timeout');
  });

  it('close() says so, and everything under way fails, knowing what may have been sent', () => {
    const pair = Pair.open();
    pair.bob.serve = () => {};
    const begun = pair.alice.session.tell(pair.now, bytes(4 * MIB));
    const asked = pair.alice.session.ask(pair.now, bytes(1), 0);
    pair.carry(pair.alice, pair.bob);
    const unsent = pair.alice.session.tell(pair.now, bytes(10));
    pair.alice.session.close(BYE.CLOSED, 'closed');
    pair.run();
    assert.deepEqual(
      pair.alice.of('tell_failed').map(({ ticket, sent }) => [ticket === begun, ticket === unsent, sent]),
      [
        [true, false, 'maybe'],
        [false, true, 'no'],
      ],
    );
    assert.deepEqual(pair.alice.of('ask_failed'), [{ type: 'ask_failed', id: asked, sent: 'maybe' }]);
    assert.deepEqual(pair.bob.of('cancelled'), [{ type: 'cancelled', id: asked }]);
    assert.deepEqual(pair.bob.ended(), { by: 'peer', code: BYE.CLOSED, reason: 'closed' });
    assert.equal(pair.alice.events.at(-1)?.type, 'closed');
  });

  it('handleEnd() without a bye is a loss', () => {
    const pair = Pair.open();
    pair.alice.session.ask(pair.now, bytes(1), 0);
    pair.alice.poll();
    pair.alice.session.handleEnd();
    pair.alice.poll();
    assert.equal(pair.alice.ended()?.by, 'lost');
    assert.equal(pair.alice.of('ask_failed').length, 1);
    pair.alice.session.handleBytes(pair.now, bytes(5));
    pair.alice.session.handleEnd();
    pair.alice.poll();
    assert.equal(pair.alice.of('closed').length, 1);
  });
});

describe('a session without memory for more', () => {
  it('reads no further, says that it is there, and goes on where it was', () => {
    let room = true;
    const asked: number[] = [];
    const pair = Pair.open({}, { mayHold: (bytes) => (asked.push(bytes), room) });
    pair.bob.readsTells = false;
    pair.alice.session.tell(pair.now, new Uint8Array(1000));
    pair.run();
    assert.equal(pair.bob.told.length, 1);
    assert.equal(asked.at(-1), 1000 + 64 + 512);
    assert.deepEqual(pair.bob.session.held, { bytes: 1576, stalling: 0 });
    room = false;
    for (let i = 0; i < 3; i++) pair.alice.session.tell(pair.now, new Uint8Array(10));
    pair.alice.session.ask(pair.now, new Uint8Array(10), 10);
    pair.run();
    assert.equal(pair.bob.told.length, 1);
    assert.equal(pair.bob.of('request').length, 0);
    // Far beyond the time in which a peer that says nothing is dead.
    pair.advance(100_000);
    assert.ok(pair.alice.session.isOpen && pair.bob.session.isOpen);
    room = true;
    assert.equal(pair.bob.session.readOn(pair.now), 'done');
    pair.bob.poll();
    assert.equal(pair.bob.told.length, 4);
    assert.equal(pair.bob.of('request').length, 1);
    for (const { length } of pair.bob.told) pair.bob.session.release(length);
    const [request] = pair.bob.of('request');
    pair.bob.session.answer(pair.now, request!.id, new Uint8Array(10));
    pair.run();
    assert.deepEqual(pair.bob.session.held, { bytes: 0, stalling: 0 });
    assert.equal(pair.alice.of('answer').length, 1);
  });

  it('holds what has come of a large message, not what was announced, until it is whole or given up', () => {
    const pair = Pair.open();
    pair.bob.readsTells = false;
    pair.inject(written((w) => w.begin(1, 1_000_000, { type: 'tell' })));
    assert.deepEqual(pair.bob.session.held, { bytes: 512, stalling: 512 });
    pair.inject(written((w) => w.chunk(1, new Uint8Array(1))));
    assert.deepEqual(pair.bob.session.held, { bytes: 1024 + 512, stalling: 1024 + 512 });
    pair.inject(written((w) => w.abort(1)));
    assert.deepEqual(pair.bob.session.held, { bytes: 0, stalling: 0 });
  });

  it('handles at most 1024 frames in one go, and the rest in the next', () => {
    const pair = Pair.open();
    const frames = concatBytes(
      ...Array.from({ length: 3000 }, () => written((w) => w.ping('ping', new Uint8Array(1)))),
    );
    const tells = concatBytes(...Array.from({ length: 3000 }, () => written((w) => w.tell(new Uint8Array(0)))));
    assert.equal(pair.bob.session.handleBytes(pair.now, frames), 'more');
    assert.equal(pair.bob.session.readOn(pair.now), 'more');
    assert.equal(pair.bob.session.readOn(pair.now), 'done');
    assert.equal(pair.bob.session.handleBytes(pair.now, tells), 'more');
    pair.bob.poll();
    assert.equal(pair.bob.told.length, 1024);
  });
});

describe('a connection that was replaced', () => {
  it('lets an ask run to its end, however long it takes, and ends then', () => {
    const pair = Pair.open();
    pair.alice.session.ask(pair.now, new Uint8Array(1), 10);
    pair.run();
    const [request] = pair.bob.of('request');
    pair.bob.session.retire(pair.now, BYE.REPLACED);
    pair.advance(25_000);
    assert.equal(pair.alice.ended() ?? pair.bob.ended(), undefined);
    pair.bob.session.answer(pair.now, request!.id, new Uint8Array(10));
    pair.run();
    assert.equal(pair.alice.of('answer').length, 1);
    assert.ok(pair.alice.ended() !== undefined && pair.bob.ended() !== undefined);
  });
});
