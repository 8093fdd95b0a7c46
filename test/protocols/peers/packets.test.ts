import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import { MAX_ADDRESSES, MAX_BUNDLED, MESSAGE } from '../../../src/protocols/peers/constants.ts';
import {
  decodeDenied,
  decodeHello,
  encodeDenied,
  encodeHello,
  type Hello,
} from '../../../src/protocols/peers/hello.ts';
import { makeOutgoing } from '../../../src/protocols/peers/outgoing.ts';
import {
  decodePacket,
  encodeAck,
  encodeBundle,
  encodeBye,
  encodeDatagram,
  encodeNotice,
  encodePart,
  encodePing,
  encodeSelect,
  finishNumbered,
} from '../../../src/protocols/peers/packets.ts';
import * as fc from '../../support/fast-check.ts';
import vectors from '../../vectors/peers.json' with { type: 'json' };

const bytes = (length: number, fill: number): Bytes => new Uint8Array(length).fill(fill);

/** The hello of the vectors: of version 1, without abilities. */
const HELLO: Hello = {
  oldest: 1,
  newest: 1,
  kind: 'node',
  intent: 'connect',
  token: bytes(8, 1),
  session: bytes(8, 2),
  known: undefined,
  network: bytes(32, 3),
  received: 5,
  partial: 0,
  maxMessageBytes: 16_777_216,
  tellWindow: 20_971_520,
  requestWindow: 20_971_520,
  streamsWindow: 4_194_304,
  streamWindow: 262_144,
  wallMs: 1_796_000_000_000,
  seen: 'AAAA@192.0.2.1:5000',
  addrs: ['tcp://AAAA@198.51.100.7:6000', 'quic://AAAA@198.51.100.7:6000'],
  abilities: 0,
};
const TAG = 0x02020202;

const numbered = (type: Parameters<typeof makeOutgoing>[0], fields: readonly number[], payload = '', code?: number) => {
  const { buffer, size } = makeOutgoing(type, fields, encodeText(payload), { code });
  return finishNumbered(buffer, size, type, TAG, 300, 7);
};

const PACKETS: Readonly<Record<string, Bytes>> = {
  hello: encodeHello('hello', HELLO),
  'hello of version 2': encodeHello('hello', { ...HELLO, newest: 2, abilities: 3 }),
  datagram: encodeDatagram(TAG, 2, encodeText('unnumbered')),
  welcome: encodeHello('welcome', { ...HELLO, kind: 'client', intent: 'bootstrap', known: bytes(8, 9) }),
  denied: encodeDenied({ token: bytes(8, 1), code: 1, reason: 'another network name' }),
  bye: encodeBye(TAG, 2, 'dropped'),
  ack: encodeAck({
    tag: TAG,
    received: 7,
    partial: 1000,
    ranges: [
      { from: 9, to: 9 },
      { from: 200, to: 420 },
    ],
  }),
  ping: encodePing('ping', TAG, 0xdeadbeef),
  pong: encodePing('pong', TAG, 0xdeadbeef),
  select: encodeSelect(TAG, 3),
  tell: numbered(MESSAGE.TELL, [], 'hello'),
  request: numbered(MESSAGE.REQUEST, [65_536], 'what?'),
  answer: numbered(MESSAGE.ANSWER, [299], 'this'),
  refusal: numbered(MESSAGE.REFUSAL, [299], 'no', 3),
  cancel: numbered(MESSAGE.CANCEL, [299]),
  stream: numbered(MESSAGE.STREAM, [4], 'bytes'),
  fin: numbered(MESSAGE.FIN, [4], 'last'),
  reset: numbered(MESSAGE.RESET, [4, 256]),
  window: numbered(MESSAGE.WINDOW, [4, 524_288]),
  credit: numbered(MESSAGE.CREDIT, [1_000_000, 2_000_000, 3_000_000]),
  service: numbered(MESSAGE.SERVICE, [65_536, 1], 'who?'),
  notice: encodeNotice(TAG, 1),
  part: encodePart({
    tag: TAG,
    number: 300,
    received: 7,
    message: MESSAGE.TELL,
    size: 2_000_000,
    offset: 262_144,
    bytes: encodeText('a part'),
  }),
  bundle: encodeBundle(TAG, 7, [
    Object.assign(makeOutgoing(MESSAGE.TELL, [], encodeText('a')), { number: 300 }),
    Object.assign(makeOutgoing(MESSAGE.REQUEST, [10], encodeText('b')), { number: 301 }),
  ]),
};

describe('the wire of connection managers', () => {
  it('is that of the vectors, byte for byte', () => {
    assert.deepEqual(
      Object.fromEntries(Object.entries(PACKETS).map(([name, packet]) => [name, toHex(packet)])),
      vectors,
    );
  });

  it('reads back what it writes', () => {
    assert.deepEqual(decodeHello(PACKETS['hello']!), HELLO);
    assert.deepEqual(decodeDenied(PACKETS['denied']!), { token: bytes(8, 1), code: 1, reason: 'another network name' });
    assert.deepEqual(decodePacket(PACKETS['ack']!), {
      type: 'ack',
      tag: TAG,
      received: 7,
      partial: 1000,
      ranges: [
        { from: 9, to: 9 },
        { from: 200, to: 420 },
      ],
    });
    assert.deepEqual(decodePacket(PACKETS['bundle']!), {
      type: 'bundle',
      tag: TAG,
      number: 300,
      received: 7,
      entries: [
        { message: MESSAGE.TELL, body: encodeText('a') },
        { message: MESSAGE.REQUEST, body: Uint8Array.of(10, 0x62) },
      ],
    });
  });

  it('a hello of a later version, with fields behind those that are known, is read as the version that is known', () => {
    const later = Uint8Array.of(...fromHex(vectors.hello), 1, 2, 3);
    later[6] = 3; // newest
    assert.deepEqual(decodeHello(later), { ...HELLO, newest: 3, abilities: 1 });
  });

  it('whatever is cut off, changed or added, nothing throws, and what is read is within its bounds', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(PACKETS)),
        fc.nat(400),
        fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 }),
        fc.uint8Array({ maxLength: 8 }),
        (packet, cut, changes, more) => {
          const spoilt = Uint8Array.of(...packet.subarray(0, cut), ...more);
          for (const [at, value] of changes) if (at < spoilt.length) spoilt[at] = value;
          const hello = decodeHello(spoilt);
          if (hello !== undefined) assert.ok(hello.addrs.length <= MAX_ADDRESSES && hello.oldest <= hello.newest);
          decodeDenied(spoilt);
          const read = decodePacket(spoilt);
          if (read?.type === 'bundle') assert.ok(read.entries.length <= MAX_BUNDLED);
          if (read?.type === 'part') assert.ok(read.offset + read.bytes.length <= read.size);
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it('texts of a peer have no control characters', () => {
    const hello = decodeHello(encodeHello('hello', { ...HELLO, seen: 'a\u001b[31mb', addrs: ['\u202ex'] }))!;
    assert.deepEqual([hello.seen, hello.addrs], ['a\ufffd[31mb', ['\ufffdx']]);
  });
});
