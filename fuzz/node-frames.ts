/** Real frames of the node's codecs, to be spoilt, and decoders that read them in pieces. */

import { type Bytes, concatBytes, encodeText } from '../src/base/bytes.ts';
import { type Codec, type TcpConnection, lengthDelimited, lines, varintDelimited } from '../src/node/index.ts';
import { SendQueue } from '../src/node/send-queue.ts';

const nobody = {} as TcpConnection;
const messages: readonly Uint8Array[] = [0, 1, 5, 200, 300].map((size) => new Uint8Array(size).fill(size));

function framesOf(codec: Codec<unknown, Uint8Array>): Bytes {
  const queue = new SendQueue(Infinity);
  const encoder = codec.encoder(nobody);
  for (const message of messages) queue.push(0, message, encoder);
  if (encoder.encodeReason !== undefined)
    queue.push(0, 'bye', { encode: (text, out) => encoder.encodeReason!(text, out) });
  return concatBytes(...queue.take(Infinity, 0, () => undefined)!.pieces);
}

const byteCodecs: readonly Codec<Bytes, Uint8Array>[] = [
  lengthDelimited({ maxFrameBytes: 1000, reasons: true }),
  lengthDelimited({ prefixBytes: 2, endian: 'little', maxFrameBytes: 1000 }),
  varintDelimited({ maxFrameBytes: 1000 }),
];
const codecs: readonly Codec<unknown, never>[] = [...byteCodecs, lines({ maxLineBytes: 100 })];

/** What one side may send. */
export const nodeFrames: readonly Bytes[] = [...byteCodecs.map(framesOf), encodeText('hello\r\nyou\n\nthere\n')];

/** Every codec reads the input, cut in two; refusing it is right, holding more than it is not. */
export function feedNodeCodecs(input: Bytes): void {
  const middle = input.length >> 1;
  for (const codec of codecs) {
    const decoder = codec.decoder(nobody);
    for (const [chunk, pushed] of [
      [input.slice(0, middle), middle],
      [input.slice(middle), input.length],
    ] as const) {
      try {
        decoder.push(chunk);
        while (decoder.next() !== undefined);
      } catch (error) {
        if (error instanceof Error && /^Cannot read (frame|line)/.test(error.message)) break;
        throw error;
      }
      if (decoder.bufferedBytes > pushed) throw new Error(`holds ${decoder.bufferedBytes} of ${pushed} bytes`);
    }
  }
}
