/** Masked streams without I/O. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes, encodeText, toHex } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { chacha20Poly1305 } from '#crypto';
import { deriveMaskKey } from '../../../src/protocols/mask/key.ts';
import { DatagramMask } from '../../../src/protocols/mask/datagram.ts';
import {
  MAX_FRAME_PADDING_BYTES,
  MAX_FRAME_PAYLOAD_BYTES,
  StreamMasker,
  StreamUnmasker,
} from '../../../src/protocols/mask/stream.ts';
import { array, assert as check, nat, property, uint8Array } from '../../support/fast-check.ts';
import { chiSquaredOf, entropyOf, popcountOf, printableOf } from './statistics.ts';

const key = new Uint8Array(32).fill(0x6b);

function masker(seed: number, side: 'initiator' | 'responder' = 'initiator', its: Uint8Array = key): StreamMasker {
  const random = createSeededRandom(seed);
  return new StreamMasker(its, side, (length) => random.bytes(length));
}

/** Everything that comes out, until more is needed or it failed. */
function all(unmasker: StreamUnmasker): Bytes | 'failed' {
  const pieces: Bytes[] = [];
  for (;;) {
    const piece = unmasker.next();
    if (piece === 'failed') return piece;
    if (piece === undefined) return concatBytes(...pieces);
    pieces.push(piece);
  }
}

function unmasked(stream: Uint8Array, its: Uint8Array = key): Bytes | 'failed' {
  const unmasker = new StreamUnmasker(its, 'initiator');
  unmasker.push(stream.slice());
  return all(unmasker);
}

/** A TLS ClientHello and what could follow. */
const hello = concatBytes(Uint8Array.of(22, 3, 1, 2, 0, 1, 0), new Uint8Array(509));

describe('a masked stream', () => {
  it('gives back what went in, however it was written and split on the way', () => {
    check(
      property(
        array(uint8Array({ maxLength: 3000 }), { maxLength: 30 }),
        array(nat(2000), { maxLength: 50 }),
        (batch, cuts) => {
          const one = masker(1);
          const sent = concatBytes(...batch.flatMap((piece) => one.seal([piece, piece])));
          const unmasker = new StreamUnmasker(key, 'initiator');
          const got: Bytes[] = [];
          let at = 0;
          for (const cut of [...cuts, sent.length]) {
            unmasker.push(sent.slice(at, at + cut));
            at += cut;
            const piece = all(unmasker);
            assert.notEqual(piece, 'failed');
            got.push(piece as Bytes);
            if (at >= sent.length) break;
          }
          assert.deepEqual(concatBytes(...got), concatBytes(...batch.flatMap((piece) => [piece, piece])));
        },
      ),
    );
  });

  it('has the entropy, the set bits and the printable share of random bytes, whatever is inside', () => {
    for (const piece of [
      new Uint8Array(500),
      new Uint8Array(500).fill(255),
      encodeText('GET / HTTP/1.1 '.repeat(33)),
    ]) {
      const one = masker(2);
      const bytes = concatBytes(...Array.from({ length: 200 }, () => one.seal([piece])).flat());
      assert.ok(bytes.length > 100_000);
      assert.ok(entropyOf(bytes) > 7.99);
      assert.ok(Math.abs(popcountOf(bytes) - 4) < 0.03);
      assert.ok(Math.abs(printableOf(bytes) - 95 / 256) < 0.02);
      assert.ok(Math.abs(chiSquaredOf(bytes) - 255) < 115);
    }
  });

  it('has first bytes that are random: of 2000 connections with one handshake no place has a byte of its own', () => {
    const firsts = Array.from({ length: 2000 }, (_, i) => concatBytes(...masker(i).seal([hello])));
    for (const at of [0, 1, 2, 3, 4, 5, 15, 31, 32, 33, 51, 52, 60]) {
      const column = Uint8Array.from(firsts, (bytes) => bytes[at]!);
      assert.ok(Math.abs(chiSquaredOf(column) - 255) < 115, `byte ${at}: ${chiSquaredOf(column)}`);
    }
    // As is said of censors: the first six bytes printable, or more than half of all.
    const printable = firsts.filter((bytes) => printableOf(bytes.subarray(0, 6)) === 1).length;
    assert.ok(printable / firsts.length < 0.01);
  });

  it('has a first flight whose length does not tell what it is, and frames of many lengths', () => {
    const firsts = new Set(Array.from({ length: 500 }, (_, i) => concatBytes(...masker(i).seal([hello])).length));
    assert.ok(firsts.size > 350, String(firsts.size));
    assert.ok(Math.min(...firsts) >= hello.length + 68);
    assert.ok(Math.max(...firsts) <= hello.length + 68 + MAX_FRAME_PADDING_BYTES);
    const one = masker(3);
    for (let i = 0; i < 8; i++) one.seal([hello]);
    const later = new Set(Array.from({ length: 500 }, () => concatBytes(...one.seal([new Uint8Array(30)])).length));
    assert.equal(later.size, 64);
  });

  it('costs 36 bytes for each 16 KiB of a large transfer', () => {
    const one = masker(4);
    for (let i = 0; i < 8; i++) one.seal([hello]);
    const bytes = concatBytes(...one.seal([new Uint8Array(1_048_576)]));
    assert.equal(bytes.length, 1_048_576 + 36 * (1_048_576 / MAX_FRAME_PAYLOAD_BYTES));
  });

  it('of another key, of the other direction, changed by a bit or reflected fails, and then always', () => {
    const stream = concatBytes(...masker(5).seal([encodeText('hello')]));
    assert.deepEqual(unmasked(stream), encodeText('hello'));
    assert.equal(unmasked(stream, new Uint8Array(32)), 'failed');
    const reflected = new StreamUnmasker(key, 'responder');
    reflected.push(stream.slice());
    assert.equal(all(reflected), 'failed');
    reflected.push(concatBytes(...masker(6, 'responder').seal([encodeText('x')])));
    assert.equal(reflected.next(), 'failed');
    for (let i = 0; i < stream.length; i++) {
      const changed = stream.slice();
      changed[i]! ^= 1 << (i % 8);
      assert.equal(unmasked(changed), 'failed');
    }
  });

  it('a frame that promises more than a payload of 16 KiB or a padding of 1023 bytes fails by its lengths', () => {
    for (const [payload, padding, expected] of [
      [MAX_FRAME_PAYLOAD_BYTES, MAX_FRAME_PADDING_BYTES, 0],
      [MAX_FRAME_PAYLOAD_BYTES + 1, 0, 'failed'],
      [0, MAX_FRAME_PADDING_BYTES + 1, 'failed'],
    ] as const) {
      const salt = new Uint8Array(32).fill(3);
      const lengths = Uint8Array.of(payload >> 8, payload & 255, padding >> 8, padding & 255);
      const head = new Uint8Array(20);
      chacha20Poly1305(deriveMaskKey(key, salt, 'initiator')).seal(
        new Uint8Array(12),
        new Uint8Array(0),
        lengths,
        head,
        0,
      );
      const found = unmasked(concatBytes(salt, head));
      assert.equal(found === 'failed' ? found : found.length, expected);
    }
  });

  it('any bytes fail or wait, and are held no longer than a frame', () => {
    check(
      property(uint8Array({ maxLength: 3000 }), (bytes) => {
        const found = unmasked(bytes);
        if (found !== 'failed') assert.deepEqual([found.length, bytes.length < 52], [0, true]);
      }),
    );
  });

  it('the vectors of docs/wire/mask.md', () => {
    const of = (byte: number) => (length: number) => new Uint8Array(length).fill(byte);
    const datagram = new DatagramMask(key, of(1)).seal(encodeText('hello'), 1200);
    assert.equal(toHex(datagram), VECTORS.datagram);
    assert.deepEqual(new DatagramMask(key, of(9)).open(datagram), encodeText('hello'));
    const stream = new StreamMasker(key, 'initiator', of(1));
    const bytes = concatBytes(...stream.seal([encodeText('hello')]), ...stream.seal([encodeText('again')]));
    assert.equal(toHex(bytes), VECTORS.stream);
    assert.deepEqual(unmasked(bytes), encodeText('helloagain'));
  });
});

/** Those of docs/wire/mask.md. */
const VECTORS = {
  datagram: '010101010101010101010101c79b04ab1600793b32ae1a518777d3be5b06d4c492a42b',
  stream: [
    '0101010101010101010101010101010101010101010101010101010101010101b4ab00263e310def82af1dd35ca86bbf',
    '02b12579af0edeff8f5db58c1ced3043021c6b890d9b7419b735a5936c11acd6f66671e4bbe86c6a0f89f29f8f2fba99',
    '696f3d27707f18f8694360cf2f1a6e14968bc1c5f7def35c5ab4',
  ].join(''),
};
