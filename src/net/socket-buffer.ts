/**
 * Reads a socket into buffers of our own. Node does that with the option `onread`, which sockets of a server cannot be
 * given; but what the option sets can be set later. Where a version of Node has it otherwise, sockets are read as usual.
 *
 * Without it Node makes a new buffer of 64 KiB for every read, however small, and large messages are copied once more.
 */

import { Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/** How a socket is read. */
export interface SocketReader {
  /** Where the next bytes go. */
  readonly next: () => Uint8Array;
  /** So many bytes have come, to where `next` said before. */
  readonly read: (buffer: Uint8Array, bytes: number) => void;
}

/**
 * Where all sockets are read to when their bytes belong nowhere yet. One for the process: whatever is read is copied out
 * before the next read, and a buffer that is used all the time stays in the processor's cache.
 */
export const SCRATCH: Uint8Array = new Uint8Array(65_536);

/** A corner of it, for the beginning of the next large message: the rest of that is read to its place at once. */
export const SCRATCH_CORNER: Uint8Array = SCRATCH.subarray(0, 2048);

/** What `onread` sets: buffer, callback, and what makes the next buffer. */
interface Fields {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}

/** Whether a stream can be read so: a plain socket, of a Node that we know, in which nothing lies unread. */
export function canReadInto(stream: Duplex): stream is Socket {
  if (!(stream instanceof Socket) || stream instanceof TLSSocket || stream.readableLength > 0) return false;
  return fieldsOf(stream) !== undefined && typeof handleOf(stream)?.useUserBuffer === 'function';
}

/** Reads `socket` with `reader` from now on. */
export function readWith(socket: Socket, reader: SocketReader): void {
  const fields = fieldsOf(socket)!;
  const first = reader.next();
  Object.assign(socket, {
    [fields.buffer]: first,
    [fields.callback]: (bytes: number, buffer: Uint8Array): boolean => {
      reader.read(buffer, bytes);
      // What stops the socket has told its handle; `false` would do so once more.
      return true;
    },
    [fields.generator]: reader.next,
  });
  handleOf(socket)!.useUserBuffer!(first);
}

interface Handle {
  readonly useUserBuffer?: (buffer: Uint8Array) => void;
}

function handleOf(socket: Socket): Handle | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  return typeof handle === 'object' && handle !== null ? handle : undefined;
}

/** The fields of every socket are the same; looked for once. */
let known: Fields | undefined;

function fieldsOf(socket: Socket): Fields | undefined {
  if (known !== undefined) return known;
  const symbols = Object.getOwnPropertySymbols(socket);
  const [buffer, callback, generator] = ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) =>
    symbols.find(({ description }) => description === name),
  );
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined;
  known = { buffer, callback, generator };
  return known;
}
