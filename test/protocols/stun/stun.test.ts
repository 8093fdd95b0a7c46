import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import {
  attributeOf,
  decodeAddress,
  decodeError,
  decodeXorAddress,
  encodeAddress,
  encodeError,
  encodeXorAddress,
} from '../../../src/protocols/stun/attributes.ts';
import { STUN_ATTRIBUTE, STUN_BINDING } from '../../../src/protocols/stun/constants.ts';
import { crc32 } from '../../../src/protocols/stun/crc32.ts';
import { checkIntegrity, decodeStun, encodeStun, isStun, type StunClass } from '../../../src/protocols/stun/message.ts';
import { MAX_STREAMED_STUN_BYTES, StunStreamReader } from '../../../src/protocols/stun/stream-reader.ts';
import {
  assert as check,
  array,
  constantFrom,
  integer,
  property,
  record,
  uint8Array,
} from '../../support/fast-check.ts';

const TRANSACTION = 'b7e7a701bc34d686fa87dfae';

/** RFC 5769 §2.1 to §2.4, with its errata. */
const VECTORS = {
  request:
    `000100582112a442${TRANSACTION}` +
    '802200105354554e207465737420636c69656e74' +
    '002400046e0001ff' +
    '80290008932ff9b151263b36' +
    '000600096576746a3a68367659202020' +
    '000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2' +
    '80280004e57a3bcf',
  ipv4:
    `0101003c2112a442${TRANSACTION}` +
    '8022000b7465737420766563746f7220' +
    '002000080001a147e112a643' +
    '000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7' +
    '80280004c07d4c96',
  ipv6:
    `010100482112a442${TRANSACTION}` +
    '8022000b7465737420766563746f7220' +
    '002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9' +
    '00080014a382954e4be67bf11784c97c8292c275bfe3ed41' +
    '80280004c8fb0b4c',
  longTerm:
    '000100602112a44278ad3433c6ad72c029da412e' +
    '00060012e3839ee38388e383aae38383e382afe382b90000' +
    '0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700' +
    '00080014f67024656dd64a3e02b8e0712e85c9a28ca89666',
} as const;

const PASSWORD = encodeText('VOkJxbRl1RmTxUk/WvJxBt');

describe('STUN vectors of RFC 5769', () => {
  for (const [name, key] of [
    ['request', PASSWORD],
    ['ipv4', PASSWORD],
    ['ipv6', PASSWORD],
    // MD5 of user:realm:password.
    ['longTerm', fromHex('e8ca7ad59d5eb0518e312911d2dab2a9')],
  ] as const) {
    it(`${name}: is read, and its integrity is right by the right key only`, () => {
      const bytes = fromHex(VECTORS[name]);
      const message = decodeStun(bytes);
      assert.ok(message !== undefined);
      assert.equal(message.hasFingerprint, name !== 'longTerm');
      assert.equal(checkIntegrity(bytes, message, key), true);
      assert.equal(checkIntegrity(bytes, message, encodeText('another')), false);
    });
  }

  it('addresses of the answers', () => {
    for (const [name, expected] of [
      ['ipv4', { ip: '192.0.2.1', port: 32_853 }],
      ['ipv6', { ip: '2001:db8:1234:5678:11:2233:4455:6677', port: 32_853 }],
    ] as const) {
      const message = decodeStun(fromHex(VECTORS[name]))!;
      assert.equal(message.class, 'success');
      const value = attributeOf(message, STUN_ATTRIBUTE.XOR_MAPPED_ADDRESS)!;
      assert.deepEqual(decodeXorAddress(value, message.transactionId), expected);
      assert.equal(toHex(encodeXorAddress(expected, message.transactionId)), toHex(value));
    }
  });

  it('no flipped bit of a message with integrity and fingerprint is taken', () => {
    for (const name of ['request', 'ipv4', 'ipv6'] as const) {
      const bytes = fromHex(VECTORS[name]);
      for (let bit = 0; bit < 8 * bytes.length; bit++) {
        const flipped = bytes.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        const message = decodeStun(flipped);
        if (message === undefined) continue;
        // A flipped type or length can make another attribute of the fingerprint: then there is none, and the integrity tells.
        assert.equal(message.hasFingerprint, false, `${name}, bit ${bit}`);
        const isInFingerprint = bit >= 8 * (bytes.length - 8);
        assert.equal(checkIntegrity(flipped, message, PASSWORD), isInFingerprint, `${name}, bit ${bit}`);
      }
    }
  });

  it('no flipped bit of a message with integrity alone passes the check', () => {
    const bytes = fromHex(VECTORS.longTerm);
    const key = fromHex('e8ca7ad59d5eb0518e312911d2dab2a9');
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const message = decodeStun(flipped);
      assert.equal(message !== undefined && checkIntegrity(flipped, message, key), false, `bit ${bit}`);
    }
  });
});

describe('STUN messages', () => {
  const transactionId = fromHex(TRANSACTION);

  it('the checksum is that of ISO 3309', () => {
    assert.equal(crc32(encodeText('123456789')), 0xcbf4_3926);
  });

  it('what is written is read', () => {
    const messages = record({
      class: constantFrom<StunClass>('request', 'indication', 'success', 'error'),
      method: integer({ min: 0, max: 0xfff }),
      transactionId: uint8Array({ minLength: 12, maxLength: 12 }),
      attributes: array(record({ type: integer({ min: 0x0030, max: 0x7fff }), value: uint8Array({ maxLength: 40 }) }), {
        maxLength: 6,
      }),
    });
    check(
      property(messages, constantFrom('sha1', 'sha256', undefined), (message, integrity) => {
        const key = integrity === undefined ? undefined : PASSWORD;
        const bytes = encodeStun(message, { integrityKey: key, integrity });
        const read = decodeStun(bytes)!;
        assert.deepEqual(
          {
            ...read,
            transactionId: [...read.transactionId],
            attributes: read.attributes.map(({ type, value }) => [type, [...value]]),
          },
          {
            class: message.class,
            method: message.method,
            transactionId: [...message.transactionId],
            attributes: message.attributes.map(({ type, value }) => [type, [...value]]),
            integrityAt: integrity === 'sha1' ? read.integrityAt : undefined,
            integritySha256At: integrity === 'sha256' ? read.integritySha256At : undefined,
            hasFingerprint: true,
          },
        );
        assert.equal(checkIntegrity(bytes, read, PASSWORD), integrity !== undefined);
      }),
    );
  });

  it('attributes behind the integrity are not read', () => {
    const signed = encodeStun(
      { class: 'request', method: STUN_BINDING, transactionId, attributes: [] },
      { integrityKey: PASSWORD, fingerprint: false },
    );
    const more = new Uint8Array(signed.length + 8);
    more.set(signed);
    more.set(fromHex('0003000400000006'), signed.length);
    new DataView(more.buffer).setUint16(2, more.length - 20);
    const message = decodeStun(more)!;
    assert.deepEqual(message.attributes, []);
    assert.equal(checkIntegrity(more, message, PASSWORD), true);
  });

  it('wrong cookies, lengths and orders are no messages', () => {
    const bytes = encodeStun({ class: 'request', method: STUN_BINDING, transactionId, attributes: [] });
    for (const wrong of [
      bytes.subarray(0, 19),
      bytes.subarray(0, 24),
      Uint8Array.of(...bytes, 0, 0, 0, 0),
      Uint8Array.of(...bytes, 0),
      Uint8Array.of(0x40, ...bytes.subarray(1)),
      new Uint8Array(20),
    ]) {
      assert.equal(decodeStun(wrong), undefined);
    }
    const attributes = Array.from({ length: 65 }, () => ({ type: 0x7000, value: new Uint8Array(0) }));
    const many = encodeStun(
      { class: 'request', method: STUN_BINDING, transactionId, attributes },
      { fingerprint: false },
    );
    assert.equal(decodeStun(many), undefined);
  });

  it('what cannot be written is a RangeError', () => {
    const message = { class: 'request', method: STUN_BINDING, transactionId, attributes: [] } as const;
    assert.throws(() => encodeStun({ ...message, method: 0x1000 }), RangeError);
    assert.throws(() => encodeStun({ ...message, transactionId: new Uint8Array(11) }), RangeError);
    const huge = [{ type: 1, value: new Uint8Array(65_530) }];
    assert.throws(() => encodeStun({ ...message, attributes: huge }), RangeError);
    assert.throws(() => encodeAddress({ ip: 'somewhere', port: 1 }), RangeError);
  });

  it('hostile bytes throw nothing', () => {
    check(
      property(uint8Array({ maxLength: 200 }), (bytes) => {
        const message = decodeStun(bytes, true);
        decodeAddress(bytes);
        decodeXorAddress(bytes, new Uint8Array(12));
        decodeError(bytes);
        if (message !== undefined) checkIntegrity(bytes, message, PASSWORD);
      }),
      { numRuns: 2000 },
    );
  });

  it('errors are from 300 to 699', () => {
    assert.deepEqual(decodeError(encodeError({ code: 438, reason: 'Stale Nonce' })), {
      code: 438,
      reason: 'Stale Nonce',
    });
    for (const wrong of ['00000200', '00000464', '000007', '']) assert.equal(decodeError(fromHex(wrong)), undefined);
  });
});

describe('STUN on a stream', () => {
  const bytes = encodeStun({
    class: 'request',
    method: STUN_BINDING,
    transactionId: fromHex(TRANSACTION),
    attributes: [],
  });

  it('messages come whole, however they are cut', () => {
    const both = Uint8Array.of(...bytes, ...bytes);
    for (let cut = 0; cut <= both.length; cut++) {
      const reader = new StunStreamReader();
      const read: string[] = [];
      for (const chunk of [both.subarray(0, cut), both.subarray(cut)]) {
        reader.push(chunk);
        for (let one = reader.next(); one !== undefined; one = reader.next()) read.push(toHex(one as Uint8Array));
      }
      assert.deepEqual(read, [toHex(bytes), toHex(bytes)]);
    }
  });

  it('what is no message, or a large one, ends it', () => {
    const reader = new StunStreamReader();
    reader.push(new Uint8Array(20).fill(7));
    assert.equal(reader.next(), 'malformed');
    const large = new StunStreamReader();
    const header = bytes.slice(0, 20);
    new DataView(header.buffer).setUint16(2, MAX_STREAMED_STUN_BYTES);
    large.push(header);
    assert.equal(large.next(), 'malformed');
    assert.equal(isStun(header), true);
  });
});
