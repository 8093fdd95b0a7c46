/** Strict DER, byte by byte (ITU-T X.690 §8 and §10). */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { der, type DerReader, derUnsigned, readDer, TAG } from '../../src/identity/der.ts';

const read = <T>(bytes: readonly number[], reader: (reader: DerReader) => T): T | undefined =>
  readDer(Uint8Array.from(bytes), reader);

describe('DER', () => {
  it('lengths of any size come back as they went, in their shortest form', () => {
    for (const [length, head] of [
      [0, [4, 0]],
      [127, [4, 0x7f]],
      [128, [4, 0x81, 0x80]],
      [255, [4, 0x81, 0xff]],
      [256, [4, 0x82, 1, 0]],
      [65_535, [4, 0x82, 0xff, 0xff]],
      [65_536, [4, 0x83, 1, 0, 0]],
    ] as const) {
      const element = der(TAG.octetString, new Uint8Array(length));
      assert.deepEqual([...element.subarray(0, head.length)], head);
      assert.equal(readDer(element, (reader) => reader.octetString())?.length, length);
    }
  });

  it('other forms of lengths, and elements that are cut off or go on, are refused', () => {
    for (const bytes of [
      [],
      [4],
      [4, 0x80, 0, 0],
      [4, 0x81],
      [4, 0x81, 1, 7],
      [4, 0x81, 0x7f, ...new Uint8Array(127)],
      [4, 0x82, 0, 0x80, ...new Uint8Array(128)],
      [4, 0x82, 0, 1, 7],
      [4, 0x83, 0, 1, 0, ...new Uint8Array(256)],
      [4, 0x84, 0, 0, 0, 1, 7],
      [4, 0xff],
      [4, 2, 7],
      [4, 1, 7, 7],
      [5, 1, 7],
    ]) {
      assert.equal(
        read(bytes, (reader) => reader.octetString()),
        undefined,
        String(bytes.slice(0, 8)),
      );
    }
    assert.deepEqual(
      read([4, 1, 7], (reader) => reader.octetString()),
      Uint8Array.of(7),
    );
  });

  it('integers are in their shortest form', () => {
    const integer = (...bytes: number[]): Uint8Array | undefined =>
      read([2, bytes.length, ...bytes], (reader) => reader.integer());
    for (const right of [[0], [0x7f], [0x80], [0, 0x80], [0xff], [0xff, 0x7f], [1, 0]]) {
      assert.deepEqual(integer(...right), Uint8Array.from(right));
    }
    for (const wrong of [[], [0, 0], [0, 0x7f], [0xff, 0x80], [0xff, 0xff]]) assert.equal(integer(...wrong), undefined);
    const small = (...bytes: number[]): number | undefined =>
      read([2, bytes.length, ...bytes], (reader) => reader.smallInteger());
    assert.equal(small(0x7f), 127);
    for (const wrong of [[0x80], [0, 0x80], [0xff], [1, 0], []]) assert.equal(small(...wrong), undefined);
    assert.deepEqual(derUnsigned(new Uint8Array(0)), Uint8Array.of(2, 1, 0));
    assert.deepEqual(derUnsigned(Uint8Array.of(0, 0, 0x80)), Uint8Array.of(2, 2, 0, 0x80));
    assert.deepEqual(derUnsigned(Uint8Array.of(0, 0)), Uint8Array.of(2, 1, 0));
  });

  it('there is one true and one false, bit strings are whole bytes, tags have low numbers', () => {
    const boolean = (...bytes: number[]): boolean | undefined =>
      read([1, bytes.length, ...bytes], (reader) => reader.boolean());
    assert.equal(boolean(0xff), true);
    assert.equal(boolean(0), false);
    for (const wrong of [[1], [0x7f], [], [0, 0], [0xff, 0xff]]) assert.equal(boolean(...wrong), undefined);
    const bits = (...bytes: number[]): Uint8Array | undefined =>
      read([3, bytes.length, ...bytes], (reader) => reader.bitString());
    assert.deepEqual(bits(0, 7), Uint8Array.of(7));
    assert.deepEqual(bits(0), new Uint8Array(0));
    for (const wrong of [[], [1, 2], [7, 0x80]]) assert.equal(bits(...wrong), undefined);
    const any = (...bytes: number[]): Uint8Array | undefined => read(bytes, (reader) => reader.any());
    assert.deepEqual(any(0xa3, 1, 7), Uint8Array.of(0xa3, 1, 7));
    for (const wrong of [[], [0x1f, 1, 7], [0xbf, 0x20, 0]]) assert.equal(any(...wrong), undefined);
  });

  it('what a reader leaves over is refused, inside and outside', () => {
    const inner = (bytes: readonly number[]): true | undefined =>
      read(bytes, (reader) => {
        const list = reader.sequence();
        list.any();
        list.end();
        return true;
      });
    assert.equal(inner([0x30, 2, 5, 0]), true);
    assert.equal(inner([0x30, 4, 5, 0, 5, 0]), undefined);
    assert.equal(inner([0x30, 2, 5, 0, 0]), undefined);
    assert.equal(inner([0x30, 0]), undefined);
  });

  it('mistakes of a reader are not taken for bad bytes', () => {
    assert.throws(
      () =>
        read([5, 0], () => {
          throw new TypeError('a bug');
        }),
      TypeError,
    );
  });
});
