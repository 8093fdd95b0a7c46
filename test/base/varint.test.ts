import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import { toHex } from '../../src/base/bytes.ts';
import {
  encodeVarint,
  encodeVarint64,
  readVarint,
  readVarint64,
  varintLength,
  writeVarint,
} from '../../src/base/varint.ts';

describe('varint', () => {
  for (const [value, hex] of [
    [0, '00'],
    [1, '01'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [2 ** 53 - 1, 'ffffffffffffff0f'],
  ] as const) {
    it(`writes ${value} as ${hex}, as Go does`, () => assert.equal(toHex(encodeVarint(value)), hex));
  }

  it('reads back every number, at any offset', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(20), (value, offset) => {
        const bytes = new Uint8Array(offset + varintLength(value) + 3).fill(0xff);
        const end = writeVarint(bytes, offset, value);
        assert.deepEqual(readVarint(bytes, offset), { value, end });
        assert.deepEqual(readVarint64(bytes, offset), { value: BigInt(value), end });
      }),
    );
  });

  it('throws at once for what is no such number, and never hangs', () => {
    for (const write of [varintLength, encodeVarint, (value: number) => writeVarint(new Uint8Array(10), 0, value)]) {
      for (const wrong of [-1, 1.5, Number.NaN, Infinity, -Infinity, 2 ** 53])
        assert.throws(() => write(wrong), RangeError);
      for (const wrong of ['7', undefined, null, 7n]) assert.throws(() => write(wrong as unknown as number), TypeError);
    }
    assert.throws(() => encodeVarint64(-1n), RangeError);
    assert.throws(() => encodeVarint64(5 as unknown as bigint), TypeError);
  });

  it('reads back every 64-bit number', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const bytes = encodeVarint64(value);
        assert.deepEqual(readVarint64(bytes), { value, end: bytes.length });
      }),
    );
  });

  it('never throws at any bytes, and refuses what is cut off or longer than 64 bits', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 16 }), fc.integer({ min: -1, max: 20 }), (bytes, offset) => {
        const read = readVarint(bytes, offset);
        const read64 = readVarint64(bytes, offset);
        if (read !== undefined) assert.deepEqual(read64, { value: BigInt(read.value), end: read.end });
        if (read64 !== undefined && read === undefined) assert.ok(read64.value > 2n ** 53n - 1n);
      }),
      { numRuns: 2000 },
    );
    assert.equal(readVarint(Uint8Array.of(0x80)), undefined);
    assert.equal(readVarint64(new Uint8Array(11).fill(0x80)), undefined);
    assert.equal(readVarint64(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 255, 2)), undefined);
    assert.equal(readVarint(encodeVarint64(2n ** 53n)), undefined);
  });

  it('refuses to write what does not fit', () => {
    for (const value of [-1, 1.5, 2 ** 53, Number.NaN]) assert.throws(() => encodeVarint(value), RangeError);
    assert.throws(() => writeVarint(new Uint8Array(1), 0, 128), RangeError);
    assert.throws(() => encodeVarint64(-1n), RangeError);
    assert.throws(() => encodeVarint64(2n ** 64n), RangeError);
  });
});
