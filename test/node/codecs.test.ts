/** Ready-made frames: what is encoded is decoded, cut anywhere; hostile bytes never grow anything. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import { type Bytes, concatBytes, toHex } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { type Codec, type TcpConnection, lengthDelimited, lines, varintDelimited } from '../../src/node/index.ts';
import { SendQueue } from '../../src/node/send-queue.ts';

const nobody = {} as TcpConnection;

function encodeAll<Out>(codec: Codec<unknown, Out>, messages: readonly Out[]): Bytes {
  const queue = new SendQueue(Infinity);
  const encoder = codec.encoder(nobody);
  for (const message of messages) queue.push(0, message, encoder);
  const pieces: Uint8Array[] = [];
  for (let batch = queue.take(1, 0, () => undefined); batch !== undefined; batch = queue.take(1, 0, () => undefined)) {
    pieces.push(...batch.pieces);
  }
  return concatBytes(...pieces);
}

/** Decodes bytes that come in pieces; `sizes` are repeated. */
function decodeAll<In>(codec: Codec<In, never>, bytes: Bytes, sizes: readonly number[]): In[] {
  const decoder = codec.decoder(nobody);
  const messages: In[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(sizes[i % sizes.length]!, 1);
    decoder.push(bytes.slice(at, at + size));
    at += size;
    for (let next = decoder.next(); next !== undefined; next = decoder.next()) messages.push(next);
  }
  assert.equal(decoder.bufferedBytes, 0);
  return messages;
}

const frames: Readonly<Record<string, Codec<Bytes, Uint8Array>>> = {
  '4 bytes big': lengthDelimited(),
  '4 bytes little': lengthDelimited({ endian: 'little' }),
  '2 bytes big': lengthDelimited({ prefixBytes: 2 }),
  '2 bytes little': lengthDelimited({ prefixBytes: 2, endian: 'little' }),
  '1 byte': lengthDelimited({ prefixBytes: 1 }),
  '4 bytes with reasons': lengthDelimited({ reasons: true }),
  varint: varintDelimited(),
};

const anySizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 });

for (const [name, codec] of Object.entries(frames)) {
  describe(`frames: ${name}`, () => {
    it('what is encoded is decoded, cut anywhere', () => {
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 255 }), { maxLength: 20 }), anySizes, (messages, sizes) => {
          const decoded = decodeAll(codec, encodeAll(codec, messages), sizes);
          assert.deepEqual(decoded.map(toHex), messages.map(toHex));
        }),
        { numRuns: 200 },
      );
    });

    it('any bytes give messages or an error, and hold no more than came', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 400 }), anySizes, (bytes, sizes) => {
          const decoder = codec.decoder(nobody);
          let pushed = 0;
          try {
            for (let at = 0, i = 0; at < bytes.length; i++) {
              const chunk = bytes.slice(at, at + sizes[i % sizes.length]!);
              decoder.push(chunk);
              at += chunk.length;
              pushed += chunk.length;
              while (decoder.next() !== undefined);
              assert.ok(decoder.bufferedBytes <= pushed);
            }
          } catch (error) {
            assert.ok(error instanceof Error);
            if (error instanceof assert.AssertionError) throw error;
          }
        }),
        { numRuns: 500 },
      );
    });
  });
}

describe('lengthDelimited', () => {
  it('writes what it says', () => {
    const bytes = Uint8Array.of(7, 8);
    const written = (codec: Codec<unknown, Uint8Array>): string => toHex(encodeAll(codec, [bytes]));
    assert.equal(written(lengthDelimited()), '000000020708');
    assert.equal(written(lengthDelimited({ endian: 'little' })), '020000000708');
    assert.equal(written(lengthDelimited({ prefixBytes: 2 })), '00020708');
    assert.equal(written(lengthDelimited({ prefixBytes: 2, endian: 'little' })), '02000708');
    assert.equal(written(lengthDelimited({ prefixBytes: 1 })), '020708');
    assert.equal(written(varintDelimited()), '020708');
    assert.equal(toHex(encodeAll(varintDelimited(), [new Uint8Array(300)])).slice(0, 4), 'ac02');
  });

  it('a frame above the limit is refused by its length alone, in both directions', () => {
    for (const make of [lengthDelimited, varintDelimited]) {
      const codec = make({ maxFrameBytes: 100 });
      assert.throws(() => encodeAll(codec, [new Uint8Array(101)]), { code: 'mtu_exceeded' });
      const head = encodeAll(make(), [new Uint8Array(101)]).slice(0, 4);
      const decoder = codec.decoder(nobody);
      decoder.push(head);
      assert.throws(
        () => decoder.next(),
        (error) => P2PError.is(error, 'limit_exceeded'),
      );
    }
    const most = lengthDelimited({ prefixBytes: 1 });
    assert.throws(() => encodeAll(most, [new Uint8Array(256)]), { code: 'mtu_exceeded' });
  });

  it('a large frame gathers only what has come', () => {
    const decoder = lengthDelimited({ maxFrameBytes: 2 ** 31 }).decoder(nobody);
    decoder.push(Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 1, 2, 3));
    const before = process.memoryUsage().arrayBuffers;
    assert.equal(decoder.next(), undefined);
    assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000);
    assert.equal(decoder.bufferedBytes, 7);
  });

  it('a frame of several mebibytes comes whole', () => {
    const message = Uint8Array.from({ length: 5_000_000 }, (_, i) => i % 251);
    const [decoded] = decodeAll(lengthDelimited(), encodeAll(lengthDelimited(), [message]), [65_536]);
    assert.ok(Buffer.from(message).equals(decoded!));
  });

  it('refuses wrong options', () => {
    // @ts-expect-error three bytes
    assert.throws(() => lengthDelimited({ prefixBytes: 3 }), RangeError);
    assert.throws(() => lengthDelimited({ prefixBytes: 1, maxFrameBytes: 256 }), RangeError);
    assert.throws(() => varintDelimited({ maxFrameBytes: -1 }), RangeError);
    // @ts-expect-error a text
    assert.throws(() => encodeAll(lengthDelimited(), ['text']), TypeError);
  });
});

describe('varintDelimited', () => {
  it('a length of more than five bytes is malformed, at once', () => {
    const decoder = varintDelimited().decoder(nobody);
    decoder.push(new Uint8Array(5).fill(0xff));
    assert.throws(() => decoder.next(), /more than five bytes/);
  });
});

describe('lines', () => {
  it('what is encoded is decoded, cut anywhere', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 50 }).filter((text) => !/[\r\n]/.test(text));
    fc.assert(
      fc.property(fc.array(line), anySizes, (texts, sizes) => {
        const whole = texts.filter((text) => text.isWellFormed());
        assert.deepEqual(decodeAll(lines(), encodeAll(lines(), whole), sizes), whole);
      }),
    );
  });

  it('takes off a carriage return, refuses long lines, bad UTF-8 and newlines', () => {
    const decoder = lines({ maxLineBytes: 5 }).decoder(nobody);
    decoder.push(new TextEncoder().encode('hello\r\nbye\n'));
    assert.deepEqual([decoder.next(), decoder.next(), decoder.next()], ['hello', 'bye', undefined]);
    decoder.push(new TextEncoder().encode('abcdefg'));
    assert.throws(() => decoder.next(), { code: 'limit_exceeded' });
    const bad = lines().decoder(nobody);
    bad.push(Uint8Array.of(0xff, 0x0a));
    assert.throws(() => bad.next(), /not UTF-8/);
    assert.throws(() => encodeAll(lines(), ['a\nb']), TypeError);
    assert.throws(() => encodeAll(lines({ maxLineBytes: 5 }), ['abcdef']), { code: 'mtu_exceeded' });
  });
});
