import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assert as check, nat, property, uint8Array } from '../../support/fast-check.ts';

import { type Bytes, concatBytes, encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import {
  encodeMessage,
  type Framing,
  type MessageParts,
  PREFACE,
  qp2pFraming,
  shoalFraming,
} from '../../../src/protocols/endpoint/frame.ts';

const FRAMINGS: readonly [string, Framing][] = [
  ['shoal', shoalFraming],
  ['qp2p', qp2pFraming],
];
const parts = (header: string, dst: string, payload: Uint8Array): MessageParts<Uint8Array> => ({
  header: fromHex(header),
  dst: fromHex(dst),
  payload,
});
const encoded = (framing: Framing, message: MessageParts<Uint8Array>, preface?: number): Bytes =>
  concatBytes(...encodeMessage(framing, message, preface));

describe('endpoint frames', () => {
  it('are those of the vectors in docs/wire/endpoint.md', () => {
    const hi = encodeText('hi');
    assert.equal(toHex(encoded(shoalFraming, parts('', '', hi), PREFACE.MESSAGES)), '110000026869');
    assert.equal(toHex(encoded(shoalFraming, parts('01', '0203', hi), PREFACE.MESSAGES)), '110102020102036869');
    const long = encoded(shoalFraming, parts('', '', new Uint8Array(300).fill(0xaa)), PREFACE.MESSAGES);
    assert.equal(toHex(long.subarray(0, 6)), '110000ac02aa');
    assert.equal(toHex(encoded(qp2pFraming, parts('01', '0203', hi))), '000200000001000000020000000200000102036869');
  });

  for (const [name, framing] of FRAMINGS) {
    it(`${name}: what is encoded decodes to itself, in whatever pieces it comes`, () => {
      const some = uint8Array({ maxLength: 300 });
      check(
        property(some, some, uint8Array({ minLength: 1, maxLength: 20_000 }), nat(), (header, dst, payload, cut) => {
          const bytes = encoded(framing, { header, dst, payload });
          const decoded = framing.decode(bytes, 30_000);
          assert.ok(typeof decoded === 'object');
          assert.equal(decoded.length, bytes.length);
          assert.deepEqual(
            [decoded.message.header, decoded.message.dst, decoded.message.payload].map(toHex),
            [header, dst, payload].map(toHex),
          );
          assert.equal(framing.decode(bytes.subarray(0, cut % bytes.length), 30_000), undefined);
        }),
      );
    });

    it(`${name}: any bytes decode, fail or want more, and never throw or go over the limit`, () => {
      check(
        property(uint8Array({ maxLength: 64 }), nat(100), (bytes, limit) => {
          const decoded = framing.decode(concatBytes(bytes), limit);
          if (typeof decoded !== 'object') return;
          const { header, dst, payload } = decoded.message;
          assert.ok(header.length + dst.length + payload.length <= limit);
          assert.ok(decoded.length <= bytes.length);
        }),
      );
    });
  }

  it('large payloads are not copied, small ones go in one chunk', () => {
    const large = new Uint8Array(100_000);
    const chunks = encodeMessage(shoalFraming, parts('', '', large), PREFACE.MESSAGES);
    assert.equal(chunks.length, 2);
    assert.equal(chunks[1], large);
    assert.equal(encodeMessage(shoalFraming, parts('', '', new Uint8Array(1000)), undefined).length, 1);
  });

  it('faults are told apart', () => {
    const fault = (hex: string, limit = 1000): unknown => shoalFraming.decode(fromHex(hex), limit);
    assert.equal(fault('0000ffffffff0f'), 'oversize');
    assert.equal(fault('0000ffffffff1f'), 'malformed');
    assert.equal(fault('000080'), undefined);
    assert.equal(fault('00008000'), 'malformed');
    assert.equal(fault(`0000e807${'aa'.repeat(1000)}`, 999), 'oversize');
    const qp2p = (hex: string): unknown => qp2pFraming.decode(fromHex(hex), 1000);
    assert.equal(qp2p(`0001${'00'.repeat(14)}`), 'version');
    assert.equal(qp2p(`0002${'00'.repeat(14)}`), 'empty_payload');
    assert.equal(qp2p(`0002${'00'.repeat(11)}010001`), 'malformed');
  });
});
