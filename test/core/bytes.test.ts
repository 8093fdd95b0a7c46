import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import {
  compareBytes,
  concatBytes,
  copyBytes,
  decodeText,
  encodeText,
  equalBytes,
  fromHex,
  toHex,
} from '../../src/core/bytes.ts';

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
