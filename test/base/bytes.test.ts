import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import {
  allocMessage,
  compareBytes,
  concatBytes,
  copyBytes,
  copyMessage,
  decodeText,
  encodeText,
  equalBytes,
  fromHex,
  takeBytes,
  toHex,
} from '../../src/base/bytes.ts';

const bytes = fc.uint8Array({ maxLength: 40 });

describe('bytes', () => {
  it('copyBytes gives plain bytes of its own', () => {
    const source = Buffer.from('abc');
    const copy = copyBytes(source);
    source.fill(0);
    assert.equal(Object.getPrototypeOf(copy), Uint8Array.prototype);
    assert.equal(copy.buffer.byteLength, 3);
    assert.equal(decodeText(copy), 'abc');
  });

  it('concatBytes, equalBytes and compareBytes agree with node:buffer', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        assert.deepEqual(Buffer.from(concatBytes(a, b)), Buffer.concat([a, b]));
        assert.equal(equalBytes(a, b), Buffer.compare(a, b) === 0);
        assert.equal(Math.sign(compareBytes(a, b)), Buffer.compare(a, b));
      }),
    );
  });

  it('toHex and fromHex are inverse, in either case', () => {
    fc.assert(
      fc.property(bytes, (a) => {
        assert.equal(toHex(a), Buffer.from(a).toString('hex'));
        assert.deepEqual(fromHex(toHex(a).toUpperCase()), copyBytes(a));
      }),
    );
  });

  it('fromHex refuses what is no hex', () => {
    for (const text of ['a', 'zz', '0x12', '12 34']) assert.throws(() => fromHex(text), TypeError);
    // @ts-expect-error not a string
    assert.throws(() => fromHex(12), TypeError);
  });

  it('decodeText gives undefined for what is not UTF-8', () => {
    assert.equal(decodeText(Uint8Array.of(0xff)), undefined);
    assert.equal(decodeText(encodeText('\u{1F41F}')), '\u{1F41F}');
    assert.equal(decodeText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41)), '\uFEFFA');
  });
});

describe('buffers that are transferred', () => {
  it('a slab that is gone is replaced: the next message has its bytes', () => {
    const first = allocMessage(100);
    structuredClone(first, { transfer: [first.buffer] });
    assert.equal(first.length, 0);
    assert.equal(allocMessage(100).length, 100);
    assert.deepEqual(copyMessage(Uint8Array.from({ length: 100 }, (_, i) => i)).at(99), 99);
  });

  it('takeBytes shares a buffer only with nothing: the end of most of it', () => {
    const bytes = Uint8Array.from({ length: 10 }, (_, i) => i);
    for (const [start, end, shares] of [
      [0, 10, true],
      [4, 10, true],
      [5, 10, false],
      [0, 9, false],
      [3, 8, false],
      [10, 10, false],
    ] as const) {
      const taken = takeBytes(bytes, start, end);
      assert.deepEqual([...taken], [...bytes].slice(start, end));
      assert.equal(taken.buffer === bytes.buffer, shares, `${start} to ${end}`);
    }
  });

  it('takeBytes makes no Buffer of a part of a Buffer', () => {
    assert.deepStrictEqual(takeBytes(Buffer.from([1, 2, 3, 4]), 1, 3), Uint8Array.of(2, 3));
  });
});
