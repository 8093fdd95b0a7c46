import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../../src/base/bytes.ts';
import {
  decodeDialBackNonce,
  decodeDialBackRequest,
  decodeDialBackStatus,
  type DialBackStatus,
  encodeDialBackNonce,
  encodeDialBackRequest,
  encodeDialBackStatus,
  MIN_DIAL_BACK_REQUEST_BYTES,
} from '../../../src/protocols/reachability/dial-back.ts';
import { assert as check, property, uint8Array } from '../../support/fast-check.ts';

const nonce = Uint8Array.from({ length: 16 }, (_, i) => i);

/** Bytes of IPv6 and UDP headers, the larger ones. */
const HEADERS = 48;

describe('dial-back messages', () => {
  it('requests and answers are read as they were written', () => {
    for (const target of [
      { ip: '203.0.113.7', port: 4000 },
      { ip: '2001:db8::7', port: 65_535 },
    ]) {
      for (const transport of ['udp', 'tcp'] as const) {
        for (const forwarded of [false, true]) {
          const read = decodeDialBackRequest(encodeDialBackRequest({ transport, nonce, target, forwarded }));
          assert.deepEqual(read, { transport, nonce, target, forwarded });
        }
      }
    }
    for (const status of ['sent', 'unreachable', 'refused', 'busy', 'unsupported'] satisfies DialBackStatus[]) {
      assert.equal(decodeDialBackStatus(encodeDialBackStatus(status)), status);
    }
    assert.equal(toHex(decodeDialBackNonce(encodeDialBackNonce(nonce))!), toHex(nonce));
  });

  it('a request pays for a third of what is sent because of it', () => {
    const request = MIN_DIAL_BACK_REQUEST_BYTES + 28;
    const datagrams = 2 * (encodeDialBackNonce(nonce).length + HEADERS);
    // Three SYNs without an answer; or one, an acknowledgement, the message and the end of the connection, 60 bytes of headers each.
    const connection = Math.max(3 * 80, 4 * 80 + encodeDialBackNonce(nonce).length);
    assert.ok(datagrams <= 3 * request && connection <= 3 * request);
  });

  it('a shorter request, a strange one and a port 0 are none', () => {
    const request = encodeDialBackRequest({
      transport: 'udp',
      nonce,
      target: { ip: '203.0.113.7', port: 4000 },
      forwarded: false,
    });
    assert.equal(decodeDialBackRequest(request.subarray(0, -1)), undefined);
    assert.equal(decodeDialBackRequest(request.map((byte, i) => (i === 4 ? 5 : byte))), undefined);
    assert.equal(decodeDialBackRequest(request.map((byte, i) => (i === 21 ? 200 : byte))), undefined);
    assert.equal(decodeDialBackRequest(request.map((byte, i) => (i === 24 || i === 25 ? 0 : byte))), undefined);
    assert.equal(decodeDialBackStatus(Uint8Array.of(...encodeDialBackStatus('sent').subarray(0, 4), 9)), undefined);
  });

  it('hostile bytes and flipped bits throw nothing', () => {
    check(
      property(uint8Array({ maxLength: 250 }), (bytes) => {
        decodeDialBackRequest(bytes);
        decodeDialBackStatus(bytes);
        decodeDialBackNonce(bytes);
      }),
      { numRuns: 1000 },
    );
    const message = encodeDialBackNonce(nonce);
    for (let bit = 0; bit < 8 * message.length; bit++) {
      const flipped = message.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(decodeDialBackNonce(flipped), undefined, `bit ${bit}`);
    }
  });
});
