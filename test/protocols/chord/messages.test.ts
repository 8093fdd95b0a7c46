import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Bytes, concatBytes, fromHex, toHex } from '../../../src/base/bytes.ts';
import {
  type ChordRequest,
  encodeFound,
  encodeNeighbours,
  encodeRequest,
  readFound,
  readNeighbours,
  readRequest,
} from '../../../src/protocols/chord/messages.ts';

interface Vectors {
  readonly tag: string;
  readonly requests: readonly {
    readonly hex: string;
    readonly type: ChordRequest['type'];
    readonly addr?: string;
    readonly key?: string;
  }[];
  readonly neighbours: readonly {
    readonly hex: string;
    readonly predecessor?: string;
    readonly successors: readonly string[];
  }[];
  readonly found: readonly {
    readonly hex: string;
    readonly kind: 'owners' | 'closer';
    readonly addrs: readonly string[];
  }[];
}

const file = new URL('../../vectors/chord.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors;
const tag = fromHex(vectors.tag);

describe('messages of Chord', () => {
  it('are read and written as recorded', () => {
    for (const { hex, type, addr, key } of vectors.requests) {
      const request = (
        type === 'state' ? { type } : type === 'notify' ? { type, addr } : { type, key: fromHex(key!) }
      ) as ChordRequest;
      assert.deepEqual(readRequest(fromHex(hex), tag), request);
      assert.equal(toHex(encodeRequest(tag, request)), hex);
    }
    for (const { hex, predecessor, successors } of vectors.neighbours) {
      assert.deepEqual(readNeighbours(fromHex(hex)), { predecessor, successors });
      assert.equal(toHex(encodeNeighbours({ predecessor, successors })), hex);
    }
    for (const { hex, kind, addrs } of vectors.found) {
      assert.deepEqual(readFound(fromHex(hex)), { kind, addrs });
      assert.equal(toHex(encodeFound({ kind, addrs })), hex);
    }
  });

  it('cut short, longer, of another network or version are invalid', () => {
    const whole: readonly [Bytes, (bytes: Bytes) => unknown][] = [
      ...vectors.requests.map(({ hex }) => [fromHex(hex), (bytes: Bytes) => readRequest(bytes, tag)] as const),
      ...vectors.neighbours.map(({ hex }) => [fromHex(hex), readNeighbours] as const),
      ...vectors.found.map(({ hex }) => [fromHex(hex), readFound] as const),
    ].map(([bytes, read]) => [bytes, read]);
    for (const [bytes, read] of whole) {
      for (let length = 0; length < bytes.length; length++) assert.equal(read(bytes.slice(0, length)), undefined);
      assert.equal(read(concatBytes(bytes, Uint8Array.of(0))), undefined);
      assert.equal(read(concatBytes(Uint8Array.of(2), bytes.subarray(1))), undefined);
    }
    assert.equal(readRequest(fromHex(vectors.requests[0]!.hex), fromHex('0000000000000000')), undefined);
  });

  it('with too many or too long addresses, or what is no UTF-8, are invalid', () => {
    assert.equal(readFound(encodeFound({ kind: 'closer', addrs: Array.from({ length: 33 }, () => 'a') })), undefined);
    assert.equal(readFound(encodeFound({ kind: 'closer', addrs: ['a'.repeat(513)] })), undefined);
    assert.equal(readFound(encodeFound({ kind: 'closer', addrs: [''] })), undefined);
    assert.equal(readFound(fromHex('01020101ff')), undefined);
    assert.equal(readFound(new Uint8Array(100_000)), undefined);
    assert.equal(readRequest(new Uint8Array(100_000), tag), undefined);
    assert.equal(readNeighbours(new Uint8Array(100_000)), undefined);
  });
});
