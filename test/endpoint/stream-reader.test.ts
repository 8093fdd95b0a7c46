/** What is read of one direction of a stream, and in which words it fails. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes } from '../../src/base/bytes.ts';
import { STREAM_CODE } from '../../src/endpoint/codes.ts';
import { type StreamFault, StreamFailure, StreamReader } from '../../src/endpoint/stream-reader.ts';
import {
  encodeBytes,
  encodeParts,
  type Framing,
  PREFACE,
  qp2pFraming,
  shoalFraming,
} from '../../src/protocols/endpoint/frame.ts';
import { FakeStream } from '../swarms/quic-session-world.ts';

const none = new Uint8Array(0);
const message = (payload: Uint8Array, preface?: number): Uint8Array => concatBytes(...encodeBytes(payload, preface));
const first = (bytes: number): Uint8Array => message(new Uint8Array(bytes), PREFACE.MESSAGES);

const reading = (bytes: Uint8Array, after: FakeStream['after'] = 'open', kind: 'uni' | 'bidi' = 'bidi') =>
  readingIn(shoalFraming, bytes, after, kind);

function readingIn<M>(framing: Framing<M>, bytes: Uint8Array, after: FakeStream['after'], kind: 'uni' | 'bidi') {
  const stream = Object.assign(new FakeStream(kind), { incoming: bytes, after });
  return { stream, reader: new StreamReader(stream.stream, framing) };
}

const faultOf = (got: unknown): unknown => (got instanceof StreamFailure ? got.fault : got);

describe('a stream reader', () => {
  it('says in its own words why nothing more comes', () => {
    const cases: readonly [StreamFault, number | undefined, string, string, RegExp][] = [
      [
        'reset',
        STREAM_CODE.OVERSIZE,
        'mtu_exceeded',
        'remote',
        /^Cannot read: the message is larger than the peer takes/,
      ],
      ['reset', STREAM_CODE.TIMEOUT, 'timeout', 'remote', /made no progress for longer than the peer waits/],
      ['reset', STREAM_CODE.VERSION, 'unsupported', 'remote', /does not know this version of the framing/],
      ['reset', 77, 'refused', 'remote', /has stopped or reset the stream \(code 77\)/],
      ['reset', undefined, 'refused', 'remote', /\(code 0\)/],
      ['oversize', undefined, 'mtu_exceeded', 'remote', /the message is over the limit; raise it/],
      ['stopped', undefined, 'disconnected', 'local', /it was stopped here/],
      ['lost', undefined, 'disconnected', 'path', /the connection has ended/],
      ['not_messages', undefined, 'unsupported', 'remote', /it carries bytes; take them from readable/],
      ['not_bytes', undefined, 'unsupported', 'remote', /it carries messages; take them from next\(\)/],
      ['malformed', undefined, 'unsupported', 'remote', /the peer sent no message \(malformed\)/],
      ['version', undefined, 'unsupported', 'remote', /\(version\)/],
      ['empty_payload', undefined, 'unsupported', 'remote', /\(empty_payload\)/],
    ];
    for (const [fault, reset, code, side, text] of cases) {
      const error = new StreamFailure(fault, reset).error('read');
      assert.deepEqual([error.code, error.side], [code, side], `${fault} ${reset}`);
      assert.match(error.message, text);
    }
  });

  it('gives messages up to the limit exactly, one after the other, and then how it ended', () => {
    const { stream, reader } = reading(concatBytes(first(100), message(new Uint8Array(0))), 'finished');
    for (const size of [100, 0]) {
      const got = reader.next(100);
      assert.ok(typeof got === 'object' && 'message' in got);
      assert.equal(got.message.length, size);
    }
    assert.deepEqual([reader.next(100), reader.next(100), reader.held, stream.done], ['end', 'end', 0, []]);
    const over = reading(first(101));
    assert.equal(faultOf(over.reader.next(100)), 'oversize');
    assert.deepEqual(over.stream.done, [`stop ${STREAM_CODE.OVERSIZE}`, `reset ${STREAM_CODE.OVERSIZE}`]);
    assert.deepEqual([faultOf(over.reader.next(100)), over.reader.held], ['oversize', 0], 'it stays so');
    const uni = reading(first(101), 'open', 'uni');
    assert.equal(faultOf(uni.reader.next(100)), 'oversize');
    assert.deepEqual(uni.stream.done, [`stop ${STREAM_CODE.OVERSIZE}`], 'there is no other direction');
  });

  it('waits for the rest of a message, and calls one that ends in the middle malformed', () => {
    const whole = first(50);
    const { stream, reader } = reading(whole.subarray(0, 20));
    assert.deepEqual([reader.next(100), reader.held], [undefined, 19], 'all but the preface');
    stream.receiveState = 'open';
    stream.incoming = whole.subarray(20);
    assert.ok(!(reader.next(100) instanceof StreamFailure));
    assert.equal(reader.held, 0);
    const cut = reading(whole.subarray(0, 20), 'finished');
    assert.equal(faultOf(cut.reader.next(100)), 'malformed');
    assert.deepEqual(cut.stream.done[0], `stop ${STREAM_CODE.MALFORMED}`);
    for (const after of ['reset', 'lost'] as const) {
      const gone = reading(whole.subarray(0, 20), after);
      assert.equal(faultOf(gone.reader.next(100)), after);
    }
  });

  it('knows what a stream carries by its first byte, after one that only announces it', () => {
    const kinds = [PREFACE.MESSAGES, PREFACE.BYTES, PREFACE.WELCOME, 0x7f].map((kind) => reading(Uint8Array.of(kind)));
    assert.deepEqual(
      kinds.map(({ reader }) => reader.content()),
      ['messages', 'bytes', 'welcome', undefined],
    );
    assert.deepEqual(kinds[3]!.stream.done[0], `stop ${STREAM_CODE.VERSION}`);
    const { stream, reader } = reading(Uint8Array.of(PREFACE.OPENED));
    assert.deepEqual([reader.announced, reader.content(), reader.announced], [false, undefined, true]);
    Object.assign(stream, { receiveState: 'open', incoming: Uint8Array.of(PREFACE.BYTES, 7) });
    assert.deepEqual([reader.content(), reader.held], ['bytes', 1]);
    const twice = reading(Uint8Array.of(PREFACE.OPENED, PREFACE.OPENED));
    assert.equal(twice.reader.content(), undefined);
    assert.equal(faultOf(twice.reader.next(9)), 'version');
  });

  it('gives bytes as they come, and takes neither kind for the other', () => {
    const { stream, reader } = reading(Uint8Array.of(PREFACE.BYTES, 1, 2, 3), 'finished');
    assert.equal(faultOf(reader.next(9)), 'not_messages');
    assert.deepEqual(reader.bytes(2), Uint8Array.of(1, 2, 3), 'what came with the first byte');
    assert.deepEqual([reader.bytes(2), stream.done], ['end', []]);
    assert.equal(faultOf(reading(first(1)).reader.bytes(9)), 'not_bytes');
    const more = reading(Uint8Array.of(PREFACE.BYTES));
    assert.equal(more.reader.bytes(2), undefined);
    Object.assign(more.stream, { receiveState: 'open', incoming: Uint8Array.of(4, 5, 6) });
    assert.deepEqual([more.reader.bytes(2), more.reader.bytes(2)], [Uint8Array.of(4, 5), Uint8Array.of(6)]);
  });

  it('that is stopped says so, and holds nothing', () => {
    const { stream, reader } = reading(first(50).subarray(0, 20));
    reader.next(100);
    reader.stop(9);
    assert.deepEqual([faultOf(reader.next(100)), faultOf(reader.bytes(1)), reader.held], ['stopped', 'stopped', 0]);
    assert.deepEqual(stream.done, ['stop 9']);
    const rest = reading(Uint8Array.of(1));
    rest.reader.discard();
    assert.deepEqual(rest.stream.done, [`stop ${STREAM_CODE.DONE}`]);
    const clean = reading(none, 'finished');
    clean.reader.discard();
    assert.deepEqual([clean.stream.done, clean.stream.receiveState], [[], 'finished']);
  });

  it('in the framing of qp2p takes one message a stream, at its end', () => {
    const one = concatBytes(...encodeParts({ header: none, dst: none, payload: new Uint8Array(5) }));
    const { stream, reader } = readingIn(qp2pFraming, one, 'open', 'uni');
    assert.equal(reader.next(100), undefined, 'more may come');
    Object.assign(stream, { receiveState: 'open', after: 'finished' });
    const got = reader.next(100);
    assert.ok(typeof got === 'object' && 'message' in got);
    assert.equal(got.message.payload.length, 5);
    const longer = readingIn(qp2pFraming, concatBytes(one, Uint8Array.of(0)), 'finished', 'uni');
    assert.equal(faultOf(longer.reader.next(100)), 'malformed');
    const reset = readingIn(qp2pFraming, one, 'reset', 'uni');
    assert.equal(faultOf(reset.reader.next(100)), 'reset');
  });
});
