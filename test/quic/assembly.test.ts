/** What comes on a stream in pieces, joined once. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes } from '../../src/base/bytes.ts';
import type { QuicStream } from '../../src/protocols/quic/stream.ts';
import { Assembly } from '../../src/quic/sending.ts';

/** A stream that has these pieces, one for each `read`. */
class Pieces {
  readonly #left: Bytes[];
  isPaused = false;
  reads = 0;

  constructor(pieces: readonly Bytes[]) {
    this.#left = [...pieces];
  }

  read(maxBytes: number): Bytes | undefined {
    this.reads++;
    const [piece] = this.#left;
    if (piece === undefined) return undefined;
    this.#left.shift();
    if (piece.length > maxBytes) this.#left.unshift(piece.slice(maxBytes));
    return piece.slice(0, maxBytes);
  }

  get stream(): QuicStream {
    return this as unknown as QuicStream;
  }
}

function pattern(length: number, from = 0): Bytes {
  return Uint8Array.from({ length }, (_, i) => (from + i) % 251);
}

/** Pieces of these sizes, one after the other in one pattern. */
function cut(sizes: readonly number[]): readonly Bytes[] {
  let at = 0;
  return sizes.map((size) => pattern(size, (at += size) - size));
}

const SIZES: readonly (readonly number[])[] = [
  [1],
  [5000],
  Array.from({ length: 10_000 }, () => 1),
  [1, 5000, 1, 5000, 1, 70_000, 3],
  Array.from({ length: 200 }, (_, i) => (i * 977) % 4100),
].map((sizes) => sizes.filter((size) => size > 0));

describe('an assembly', () => {
  for (const sizes of SIZES) {
    const whole = concatBytes(...cut(sizes));
    it(`joins ${sizes.length} pieces, ${whole.length} bytes, in order, and takes no more room than they need`, () => {
      const assembly = new Assembly();
      assert.equal(assembly.take(new Pieces(cut(sizes)).stream, 2 ** 20), whole.length);
      assert.deepEqual(assembly.head(3), whole.subarray(0, 3));
      const bytes = assembly.bytes();
      assert.deepEqual(bytes, whole);
      assert.equal(bytes.buffer.byteLength, whole.length);
      assert.equal(assembly.bytes().buffer, bytes.buffer, 'joined once');
    });

    it(`drops from the front of ${sizes.length} pieces, ${whole.length} bytes, and takes more behind them`, () => {
      const assembly = new Assembly();
      assembly.take(new Pieces(cut(sizes)).stream, 2 ** 20);
      let at = 0;
      for (let step = 1; at + step < whole.length; step = step * 3 + 1) {
        assembly.drop(step);
        at += step;
        assert.deepEqual(assembly.head(9), whole.subarray(at, at + 9));
      }
      assembly.take(new Pieces([pattern(10), pattern(3000)]).stream, 2 ** 20);
      assert.deepEqual(assembly.bytes(), concatBytes(whole.subarray(at), pattern(10), pattern(3000)));
      assembly.drop(assembly.length);
      assert.deepEqual([assembly.length, assembly.bytes().length, assembly.frameLength()], [0, 0, undefined]);
    });
  }

  it('takes one byte more than the limit at most', () => {
    const assembly = new Assembly();
    assert.equal(assembly.take(new Pieces([pattern(60), pattern(60)]).stream, 99), 100);
    assert.deepEqual(assembly.bytes(), concatBytes(pattern(60), pattern(40)));
  });

  it('asks a stream that has given all no second time', () => {
    const pieces = new Pieces([pattern(10)]);
    pieces.isPaused = true;
    new Assembly().take(pieces.stream, 99);
    assert.equal(pieces.reads, 1);
  });

  it('reads the length of a frame that begins in several pieces', () => {
    const assembly = new Assembly();
    const frame = Uint8Array.of(0x80, 0, 1, 2, 9);
    const bytes = [...frame].map((byte) => Uint8Array.of(byte));
    assembly.take(new Pieces(bytes.slice(0, 3)).stream, 99);
    assert.equal(assembly.frameLength(), undefined);
    assembly.take(new Pieces(bytes.slice(3)).stream, 99);
    assert.equal(assembly.frameLength(), 0x8000_0102);
  });
});
