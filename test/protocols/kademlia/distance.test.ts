import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compareBytes, fromHex } from '../../../src/base/bytes.ts';
import {
  compareDistances,
  distance,
  distanceLeadingZeros,
  hasBitPrefix,
  isCloser,
  isFarther,
  leadingZeros,
  xorBytes,
} from '../../../src/protocols/kademlia/distance.ts';
import { closerTo, keyText, sharedBits } from '../../../src/protocols/kademlia/position.ts';
import * as fc from '../../support/fast-check.ts';

const hex = (text: string): Uint8Array => fromHex(text);
const keys = fc.uint8Array({ minLength: 0, maxLength: 40 });

describe('distances of Kademlia', () => {
  it('have the values of go-p2p', () => {
    assert.equal(leadingZeros(hex('0010')), 11);
    assert.equal(leadingZeros(hex('')), 0);
    assert.equal(leadingZeros(hex('0000')), 16);
    assert.equal(distanceLeadingZeros(hex('ff'), hex('fe01')), 7);
    assert.equal(compareDistances(hex('00'), hex('01'), hex('02')), -1);
    assert.equal(compareDistances(hex('0000'), hex('01'), hex('0100')), -1);
  });

  it('compare as the distances do byte by byte', () => {
    fc.assert(
      fc.property(keys, keys, keys, (x, a, b) => {
        const expected = Math.sign(compareBytes(distance(x, a), distance(x, b)));
        assert.equal(compareDistances(x, a, b), expected);
        assert.equal(isCloser(x, a, b), expected < 0);
        assert.equal(isFarther(x, a, b), expected > 0);
      }),
    );
  });

  it('are symmetric, and count the bits that two keys share', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        assert.deepEqual(distance(a, b), distance(b, a));
        assert.equal(distanceLeadingZeros(a, b), leadingZeros(distance(a, b)));
        const written = new Uint8Array(40);
        assert.equal(xorBytes(written, a, b), Math.min(a.length, b.length));
        assert.deepEqual(written.subarray(0, Math.min(a.length, b.length)), distance(a, b));
      }),
    );
  });

  it('are the same over texts of 32 characters', () => {
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(key, key, key, (x, a, b) => {
        const texts = [x, a, b].map(keyText) as [string, string, string];
        assert.equal(Math.sign(closerTo(...texts)), compareDistances(x, a, b));
        assert.equal(sharedBits(texts[1], texts[2]), distanceLeadingZeros(a, b));
      }),
    );
  });

  it('refuse a prefix that has fewer bits than are compared, and keys too short match none', () => {
    assert.equal(hasBitPrefix(hex('ff00'), hex('ff'), 8), true);
    assert.equal(hasBitPrefix(hex('fe00'), hex('ff'), 8), false);
    assert.equal(hasBitPrefix(hex('fe00'), hex('ff'), 7), true);
    assert.equal(hasBitPrefix(hex('ff'), hex('ff00'), 9), false);
    assert.throws(() => hasBitPrefix(hex('ff'), hex('ff'), 9), RangeError);
    assert.throws(() => xorBytes(new Uint8Array(1), hex('ffff'), hex('ffff')), RangeError);
    assert.throws(() => distance('a' as never, hex('ff')), TypeError);
  });
});
