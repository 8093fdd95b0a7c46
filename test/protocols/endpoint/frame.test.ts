import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assert as check, nat, property, uint8Array } from '../../support/fast-check.ts';

import { concatBytes, encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import {
  encodeBytes,
  encodeParts,
  type MessageParts,
  PREFACE,
  qp2pFraming,
  shoalFraming,
} from '../../../src/protocols/endpoint/frame.ts';

const parts = (header: string, dst: string, payload: Uint8Array): MessageParts<Uint8Array> => ({
  header: fromHex(header),
  dst: fromHex(dst),
  payload,
});
const bytesOf = (chunks: readonly Uint8Array[]): string => toHex(concatBytes(...chunks));

describe('endpoint frames', () => {
  it('are those of the vectors in docs/wire/endpoint.md', () => {
    const hi = encodeText('hi');
    assert.equal(bytesOf(encodeBytes(hi, PREFACE.MESSAGES)), '11026869');
    assert.equal(bytesOf(encodeBytes(hi, undefined)), '026869');
    assert.equal(bytesOf(encodeBytes(new Uint8Array(0), PREFACE.MESSAGES)), '1100');
    const long = encodeBytes(new Uint8Array(300).fill(0xaa), PREFACE.MESSAGES);
    assert.equal(bytesOf(long).slice(0, 8), '11ac02aa');
    assert.equal(bytesOf(encodeParts(parts('01', '0203', hi))), '000200000001000000020000000200000102036869');
  });

  it('shoal: what is encoded decodes to itself, in whatever pieces it comes', () => {
    check(
      property(uint8Array({ maxLength: 20_000 }), nat(), (payload, cut) => {
        const encoded = concatBytes(...encodeBytes(payload, undefined));
        const decoded = shoalFraming.decode(encoded, 20_000);
        assert.ok(typeof decoded === 'object');
        assert.equal(decoded.length, encoded.length);
        assert.equal(toHex(decoded.message), toHex(payload));
        assert.equal(shoalFraming.decode(encoded.subarray(0, cut % encoded.length), 20_000), undefined);
        assert.equal(shoalFraming.wanted(encoded.subarray(0, shoalFraming.maxHeadBytes)), encoded.length);
        assert.ok(shoalFraming.wanted(encoded.subarray(0, cut % encoded.length)) > cut % encoded.length);
      }),
    );
  });

  it('qp2p: what is encoded decodes to itself, in whatever pieces it comes', () => {
    const some = uint8Array({ maxLength: 300 });
    check(
      property(some, some, uint8Array({ minLength: 1, maxLength: 20_000 }), nat(), (header, dst, payload, cut) => {
        const encoded = concatBytes(...encodeParts({ header, dst, payload }));
        const decoded = qp2pFraming.decode(encoded, 30_000);
        assert.ok(typeof decoded === 'object');
        assert.equal(decoded.length, encoded.length);
        assert.deepEqual(
          [decoded.message.header, decoded.message.dst, decoded.message.payload].map(toHex),
          [header, dst, payload].map(toHex),
        );
        assert.equal(qp2pFraming.decode(encoded.subarray(0, cut % encoded.length), 30_000), undefined);
        assert.equal(qp2pFraming.wanted(encoded.subarray(0, qp2pFraming.maxHeadBytes)), encoded.length);
        assert.ok(qp2pFraming.wanted(encoded.subarray(0, cut % encoded.length)) > cut % encoded.length);
      }),
    );
  });

  it('any bytes decode, fail or want more, and never throw or go over the limit', () => {
    check(
      property(uint8Array({ maxLength: 64 }), nat(100), (input, limit) => {
        const ours = shoalFraming.decode(concatBytes(input), limit);
        if (typeof ours === 'object') {
          assert.ok(ours.message.length <= limit);
          assert.ok(ours.length <= input.length);
        }
        const theirs = qp2pFraming.decode(concatBytes(input), limit);
        if (typeof theirs === 'object') {
          const { header, dst, payload } = theirs.message;
          assert.ok(header.length + dst.length + payload.length <= limit);
          assert.ok(theirs.length <= input.length);
        }
      }),
    );
  });

  it('large payloads are not copied, small ones go in one chunk', () => {
    const large = new Uint8Array(100_000);
    for (const chunks of [encodeBytes(large, PREFACE.MESSAGES), encodeParts(parts('', '', large))]) {
      assert.equal(chunks.length, 2);
      assert.equal(chunks[1], large);
    }
    assert.equal(encodeBytes(new Uint8Array(1000), undefined).length, 1);
    assert.equal(encodeParts(parts('01', '', new Uint8Array(1000))).length, 1);
  });

  it('faults are told apart', () => {
    const fault = (hex: string, limit = 1000): unknown => shoalFraming.decode(fromHex(hex), limit);
    assert.equal(fault('ffffffff0f'), 'oversize');
    assert.equal(fault('ffffffff1f'), 'malformed');
    assert.equal(fault('80'), undefined);
    assert.equal(fault('8000'), 'malformed');
    assert.equal(fault(`e807${'aa'.repeat(1000)}`, 999), 'oversize');
    const qp2p = (hex: string): unknown => qp2pFraming.decode(fromHex(hex), 1000);
    assert.equal(qp2p(`0001${'00'.repeat(14)}`), 'version');
    assert.equal(qp2p(`0002${'00'.repeat(14)}`), 'empty_payload');
    assert.equal(qp2p(`0002${'00'.repeat(11)}010001`), 'malformed');
  });
});
