/** What a peer may do wrong: each ends its connection, for a reason of a closed set, and costs no more than its bytes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes, EMPTY_BYTES } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { BYE, MAX_UNFINISHED } from '../../../src/protocols/tcp/constants.ts';
import { FrameReader } from '../../../src/protocols/tcp/frame-reader.ts';
import { FrameWriter } from '../../../src/protocols/tcp/frame-writer.ts';
import type { TcpFrame } from '../../../src/protocols/tcp/frames.ts';
import type { TcpSessionOptions } from '../../../src/protocols/tcp/session.ts';
import { Pair } from './pair.ts';

const bytes = (length: number): Bytes => new Uint8Array(length).fill(1);

/** What frames look like on the wire. */
function written(write: (writer: FrameWriter) => void): Bytes {
  const writer = new FrameWriter();
  write(writer);
  return concatBytes(...writer.take());
}

const hello = (fields: readonly number[] = [1, 1000, 4096, 4096, 0]): Bytes => written((w) => w.hello(fields));

/** What bob makes of frames that come behind a good hello. */
function faultOf(
  write: ((writer: FrameWriter) => void) | Uint8Array,
  options: Partial<TcpSessionOptions> = {},
  prepare?: (pair: Pair) => void,
): string | undefined {
  const pair = new Pair({}, { maxMessageBytes: 10_000, windowBytes: 4096, ...options });
  pair.inject(hello());
  prepare?.(pair);
  pair.inject(write instanceof Uint8Array ? write : written(write));
  pair.bob.poll();
  const ended = pair.bob.ended();
  if (ended === undefined) return undefined;
  assert.equal(ended.by, 'fault');
  assert.ok(pair.bob.frames.some((frame) => frame.type === 'bye' && frame.code === BYE.FAULT));
  return ended.fault;
}

describe('TcpSession: hostile peers', () => {
  it('frames that are none are malformed', () => {
    const cases: readonly (readonly number[])[] = [
      [0], // no type
      [1, 99], // an unknown type
      [0xff, 0xff, 0xff, 0x01], // a length that takes four bytes
      [0xc1, 0x80, 0x04], // a length of 65 601
      [2, 2, 1], // a request without maxResponseBytes
      [2, 8, 0x80], // a varint cut off
      [3, 8, 1, 1], // bytes behind the last field
      [2, 7, 1], // a chunk without bytes
      [10, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9], // a ping of nine bytes
      [3, 12, 1, 0xff], // a reason that is no UTF-8
      [1 + 9, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], // beyond 53 bits
      [4, 6, 1, 9, 9], // a begin of no message
    ];
    for (const each of cases) {
      assert.equal(faultOf(Uint8Array.from(each)), 'malformed', `bytes ${each.join(' ')}`);
    }
  });

  it('exact edges: the smallest window, reasons of 256 bytes, refusals of 32 768 bytes', () => {
    const opened = (window: number): string | undefined => {
      const pair = new Pair();
      pair.inject(hello([1, 1000, window, window, 65_535]));
      return pair.bob.ended()?.fault;
    };
    assert.deepEqual([opened(1024), opened(1023)], [undefined, 'malformed']);
    const pair = new Pair();
    pair.inject(
      concatBytes(
        hello(),
        written((w) => w.bye(BYE.CLOSED, 'x'.repeat(256))),
      ),
    );
    assert.deepEqual([pair.bob.ended()?.by, pair.bob.ended()?.reason.length], ['peer', 256]);
    const frame = (fields: readonly number[]): Uint8Array =>
      Uint8Array.of(0x80 | (fields.length & 0x7f), fields.length >> 7, ...fields);
    assert.equal(faultOf(frame([12, 0, ...bytes(257).fill(120)])), 'malformed');
    for (const [length, carried] of [
      [32_768, 32_768],
      [32_769, 0],
    ] as const) {
      const pair = Pair.open();
      pair.bob.serve = (id) => pair.bob.session.refuse(pair.now, id, 7, bytes(length));
      pair.alice.session.ask(pair.now, bytes(1), 0);
      pair.run();
      assert.deepEqual(
        pair.alice.of('refusal').map(({ code, payload }) => [code, payload.length]),
        [[7, carried]],
      );
    }
    assert.equal(asked(32_768), undefined);
    assert.equal(asked(32_769), 'oversize');
  });

  /** What bob makes of a refusal of so many bytes, which comes in parts. */
  function asked(length: number): string | undefined {
    return faultOf(
      (w) => w.begin(1, length, { type: 'refusal', id: 1, code: 9 }),
      {},
      ({ bob, now }) => {
        bob.session.ask(now, bytes(1), 0);
        bob.poll();
      },
    );
  }

  it('a peer that does not end after a goodbye is waited for 10 s', () => {
    const pair = new Pair();
    pair.inject(hello());
    pair.bob.session.retire(pair.now, BYE.IDLE);
    pair.advance(9999, false);
    assert.equal(pair.bob.ended(), undefined);
    pair.advance(1, false);
    assert.equal(pair.bob.ended()?.by, 'timeout');
  });

  it('anything before hello, a second hello, and hellos that cannot be, end it', () => {
    const pair = new Pair();
    pair.inject(written((w) => w.tell(bytes(1))));
    assert.equal(pair.bob.ended()?.fault, 'unexpected');
    assert.equal(faultOf(hello()), 'unexpected');
    for (const fields of [
      [0, 1000, 4096, 4096, 0],
      [1, 1000, 1023, 4096, 0],
      [1, 1000, 4096, 0, 0],
      [1, 1000, 4096, 4096, 65_536],
      [1, 1000, 4096, 4096],
    ]) {
      const other = new Pair();
      other.inject(hello(fields));
      assert.equal(other.bob.ended()?.fault, 'malformed', fields.join(' '));
    }
    const later = new Pair();
    later.inject(hello([2, 1000, 4096, 4096, 80, 7, 7, 7])); // a later version that says more
    assert.ok(later.bob.session.isOpen);
  });

  it('messages that are larger than taken are oversize, before their bytes come', () => {
    assert.equal(
      faultOf((w) => w.tell(bytes(10_001))),
      'oversize',
    );
    assert.equal(
      faultOf((w) => w.begin(1, 10_001, { type: 'tell' })),
      'oversize',
    );
    assert.equal(
      faultOf((w) => w.begin(1, 2 ** 40, { type: 'request', id: 1, maxResponseBytes: 0 })),
      'oversize',
    );
    assert.equal(
      faultOf((w) => w.begin(1, 10_000, { type: 'tell' })),
      undefined,
    );
  });

  it('more than the credit is not taken', () => {
    const tells = (count: number) => (w: FrameWriter) => {
      for (let i = 0; i < count; i++) w.tell(bytes(960)); // 1024 with their cost
    };
    const keepAll = (pair: Pair): void => void (pair.bob.readsTells = false);
    assert.equal(faultOf(tells(4), {}, keepAll), undefined);
    assert.equal(faultOf(tells(5), {}, keepAll), 'over_credit');
    const requests = (w: FrameWriter): void => {
      for (let id = 1; id <= 100; id++) w.message({ type: 'request', id, maxResponseBytes: 0 }, EMPTY_BYTES);
    };
    assert.equal(faultOf(requests), 'over_credit');
    assert.equal(
      faultOf((w) => w.credit(1, 0)),
      'over_credit',
    ); // more given back than was taken
    assert.equal(
      faultOf((w) => w.credit(0, 2 ** 50)),
      'over_credit',
    );
  });

  it('parts must fit together', () => {
    const begin = (w: FrameWriter): void => w.begin(1, 100, { type: 'tell' });
    assert.equal(
      faultOf((w) => w.begin(2, 100, { type: 'tell' })),
      'unexpected',
    ); // streams count from 1
    assert.equal(
      faultOf((w) => w.begin(1, 0, { type: 'tell' })),
      'malformed',
    );
    assert.equal(
      faultOf((w) => w.chunk(1, bytes(1))),
      'unexpected',
    );
    assert.equal(
      faultOf((w) => w.abort(1)),
      'unexpected',
    );
    assert.equal(
      faultOf((w) => (begin(w), w.chunk(1, bytes(101)))),
      'malformed',
    );
    assert.equal(
      faultOf((w) => (begin(w), w.chunk(1, bytes(100)), w.chunk(1, bytes(1)))),
      'unexpected',
    );
    const many = (count: number) => (w: FrameWriter) => {
      for (let i = 1; i <= count; i++) w.begin(i, 1, { type: 'tell' });
    };
    assert.equal(faultOf(many(MAX_UNFINISHED), { windowBytes: 1_000_000 }), undefined);
    assert.equal(faultOf(many(MAX_UNFINISHED + 1), { windowBytes: 1_000_000 }), 'unexpected');
  });

  it('ask ids that are in use, and answers to what was never asked, are unexpected', () => {
    const request = (w: FrameWriter): void => w.message({ type: 'request', id: 1, maxResponseBytes: 0 }, bytes(1));
    assert.equal(
      faultOf((w) => (request(w), request(w))),
      'unexpected',
    );
    assert.equal(
      faultOf((w) => w.message({ type: 'answer', id: 1 }, bytes(1))),
      'unexpected',
    );
    assert.equal(
      faultOf((w) => w.message({ type: 'refusal', id: 0, code: 1 }, bytes(1))),
      'unexpected',
    );
    assert.equal(
      faultOf((w) => w.ping('pong', Uint8Array.of(1))),
      'unexpected',
    );
    const asking = (pair: Pair): void => {
      pair.bob.session.ask(pair.now, bytes(1), 10);
      pair.bob.poll();
    };
    const answer = (size: number) => (w: FrameWriter) => w.message({ type: 'answer', id: 1 }, bytes(size));
    assert.equal(faultOf(answer(10), {}, asking), undefined);
    assert.equal(faultOf(answer(11), {}, asking), 'oversize');
    assert.equal(
      faultOf((w) => w.begin(1, 11, { type: 'answer', id: 1 }), {}, asking),
      'oversize',
    );
    const twice = (w: FrameWriter): void => {
      w.begin(1, 10, { type: 'answer', id: 1 });
      w.begin(2, 10, { type: 'refusal', id: 1, code: 3 });
    };
    assert.equal(faultOf(twice, {}, asking), 'unexpected');
  });

  it('a second answer to one ask is dropped', () => {
    const pair = new Pair();
    pair.inject(hello());
    pair.bob.session.ask(pair.now, bytes(1), 10);
    pair.bob.poll();
    const answer = written((w) => w.message({ type: 'answer', id: 1 }, bytes(2)));
    pair.inject(concatBytes(answer, answer));
    assert.equal(pair.bob.of('answer').length, 1);
    assert.equal(pair.bob.ended(), undefined);
  });

  it('nothing is read behind a fault', () => {
    const pair = new Pair();
    pair.inject(
      concatBytes(
        hello(),
        written((w) => w.abort(9)),
        written((w) => w.tell(bytes(1))),
      ),
    );
    pair.inject(written((w) => w.tell(bytes(1))));
    assert.deepEqual(pair.bob.told, []);
  });

  it('whatever a peer that reads nothing sends, what is kept for it is bounded', () => {
    const pair = new Pair({}, { windowBytes: 4096 });
    pair.bob.readsTells = true;
    pair.bob.serve = (id) => pair.bob.session.refuse(pair.now, id, 9, bytes(30_000));
    pair.inject(hello());
    const random = createSeededRandom(1);
    let request = 0;
    for (let i = 0; i < 20_000 && pair.bob.ended() === undefined; i++) {
      // What is sent is never taken by the pipe.
      pair.inject(
        written((w) => {
          w.ping('ping', random.bytes(8));
          w.cancel(i);
          if (i % 1000 === 0) w.message({ type: 'request', id: ++request, maxResponseBytes: 0 }, EMPTY_BYTES);
        }),
      );
    }
    const kept = pair.bob.sent.reduce((sum, piece) => sum + piece.length, 0) + pair.bob.session.queuedBytes;
    assert.ok(kept < 2_000_000, `${kept} bytes`);
  });

  it('a large frame that comes byte by byte is read all the same', () => {
    const pair = new Pair();
    const stream = concatBytes(
      hello(),
      written((w) => w.tell(bytes(60_000))),
    );
    for (const byte of stream) pair.bob.session.handleBytes(pair.now, Uint8Array.of(byte));
    pair.bob.poll();
    assert.deepEqual(pair.bob.told, [bytes(60_000)]);
  });

  it('noise never throws, and ends by a fault or waits for more', () => {
    const random = createSeededRandom(77);
    for (let round = 0; round < 3000; round++) {
      const pair = new Pair();
      if (round % 2 === 0) pair.inject(hello());
      pair.inject(random.bytes(1 + Math.floor(random.next() * 200)));
      pair.bob.poll();
    }
  });
});

describe('FrameReader', () => {
  it('reads what FrameWriter writes, byte by byte as well as at once', () => {
    const token = Uint8Array.of(1, 2);
    const stream = written((w) => {
      w.hello([1, 2 ** 40, 4096, 70_000, 5000]);
      w.tell(bytes(300));
      w.message({ type: 'request', id: 300, maxResponseBytes: 2 ** 50 }, bytes(2));
      w.message({ type: 'answer', id: 1 }, EMPTY_BYTES);
      w.message({ type: 'refusal', id: 128, code: 255 }, bytes(1));
      w.cancel(9);
      w.begin(70_000, 16_777_216, { type: 'refusal', id: 3, code: 0 });
      w.chunk(1, bytes(65_536));
      w.abort(200);
      w.credit(128, 0);
      w.ping('ping', token);
      w.ping('pong', EMPTY_BYTES);
      w.bye(2, 'grüße');
    });
    const expected: readonly TcpFrame[] = [
      {
        type: 'hello',
        version: 1,
        maxMessageBytes: 2 ** 40,
        tellWindow: 4096,
        requestWindow: 70_000,
        port: 5000,
      },
      { type: 'message', head: { type: 'tell' }, payload: bytes(300) },
      { type: 'message', head: { type: 'request', id: 300, maxResponseBytes: 2 ** 50 }, payload: bytes(2) },
      { type: 'message', head: { type: 'answer', id: 1 }, payload: EMPTY_BYTES },
      { type: 'message', head: { type: 'refusal', id: 128, code: 255 }, payload: bytes(1) },
      { type: 'cancel', id: 9 },
      { type: 'begin', stream: 70_000, size: 16_777_216, head: { type: 'refusal', id: 3, code: 0 } },
      { type: 'chunk', stream: 1, bytes: bytes(65_536) },
      { type: 'abort', stream: 200 },
      { type: 'credit', tellBytes: 128, requestBytes: 0 },
      { type: 'ping', bytes: token },
      { type: 'pong', bytes: EMPTY_BYTES },
      { type: 'bye', code: 2, reason: 'grüße' },
    ];
    for (const step of [1, 7, 4096, stream.length]) {
      const reader = new FrameReader();
      const frames: (TcpFrame | 'malformed')[] = [];
      for (let at = 0; at < stream.length; at += step) {
        reader.push(stream.slice(at, at + step));
        for (let frame; (frame = reader.next()) !== undefined;) frames.push(frame);
      }
      assert.deepEqual(frames, expected);
      assert.equal(reader.pending, 0);
    }
  });
});
