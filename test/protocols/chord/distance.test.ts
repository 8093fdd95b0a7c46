import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { distanceAbsolute, distanceForward } from '../../../src/overlay/chord/index.ts';
import { isBetween } from '../../../src/protocols/chord/distance.ts';

/** As go-p2p answers. */
const FORWARD = [
  ['00000008', '00000001', '00000007'],
  ['00000001', '00000008', 'fffffff9'],
  ['00', '00', '00'],
  ['00', 'ff', '01'],
  ['0100', '00ff', '0001'],
] as const;
const ABSOLUTE = [
  ['ffffffff', '00000000', 'ffffffff'],
  ['00000000', 'ffffffff', 'ffffffff'],
  ['00000008', '00000001', '00000007'],
  ['00000001', '00000008', '00000007'],
] as const;

describe('distances of Chord', () => {
  it('are those of go-p2p', () => {
    for (const [to, from, expected] of FORWARD)
      assert.equal(toHex(distanceForward(fromHex(to), fromHex(from))), expected);
    for (const [to, from, expected] of ABSOLUTE)
      assert.equal(toHex(distanceAbsolute(fromHex(to), fromHex(from))), expected);
    assert.throws(
      () => distanceForward(new Uint8Array(4), new Uint8Array(3)),
      /RangeError.*the same length, got 4 and 3/,
    );
    assert.throws(() => distanceAbsolute(new Uint8Array(4), new Uint8Array(3)), RangeError);
  });

  it('agree with numbers of any size', () => {
    const random = createSeededRandom('chord');
    for (let i = 0; i < 2000; i++) {
      const length = 1 + Math.floor(random.next() * 9);
      const [a, b] = [random.bytes(length), random.bytes(length)];
      const [x, y] = [BigInt(`0x${toHex(a)}`), BigInt(`0x${toHex(b)}`)];
      const hex = (value: bigint): string => value.toString(16).padStart(2 * length, '0');
      assert.equal(toHex(distanceForward(a, b)), hex(BigInt.asUintN(8 * length, x - y)));
      assert.equal(toHex(distanceAbsolute(a, b)), hex(x > y ? x - y : y - x));
    }
  });

  it('between means on the way forward, and from a place to itself the whole ring', () => {
    const at = (value: number): Uint8Array => Uint8Array.of(value);
    for (let from = 0; from < 8; from++) {
      for (let to = 0; to < 8; to++) {
        for (let id = 0; id < 8; id++) {
          const [way, length] = [(id - from + 8) % 8, (to - from + 8) % 8 || 8];
          assert.equal(
            isBetween(at(id * 32), at(from * 32), at(to * 32)),
            way > 0 && way < length,
            `${from} ${id} ${to}`,
          );
        }
      }
    }
  });
});
