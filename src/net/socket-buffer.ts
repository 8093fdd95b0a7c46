/**
 * Reads a socket into own buffers. Node's option `onread` does this but cannot be set for sockets of a server; its
 * effect can be set later. If a version of Node works differently, sockets are read as usual.
 *
 * Without it Node allocates a new buffer of 64 KiB for every read, however small, and large messages are copied once
 * more.
 */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** The buffers for reading a socket. */
export interface SocketReader {
  /** The buffer for the next bytes. */
  readonly next: () => Uint8Array;
  /** Reports the number of bytes read into the last result of `next`. */
  readonly read: (buffer: Uint8Array, bytes: number) => void;
}

/**
 * The buffer for all sockets whose next bytes do not belong to a large message. One per process: the bytes are copied
 * out before the next read, and a buffer in constant use stays in the processor's cache.
 */
export const SCRATCH: Uint8Array = new Uint8Array(65_536);

/** A part of it, for the beginning of the next large message, whose rest is then read directly into its buffer. */
export const SCRATCH_CORNER: Uint8Array = SCRATCH.subarray(0, 2048);

/** The fields that `onread` sets: buffer, callback, and the function that returns the next buffer. */
interface Fields {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}

/** Whether a stream can be read this way: a plain socket of a known Node version, without unread bytes. */
export function canReadInto(stream: Duplex): stream is Socket {
  // `encrypted` is what all sockets of node:tls have; that module takes longer to load than all of node:net.
  if (!(stream instanceof Socket) || 'encrypted' in stream || stream.readableLength > 0) return false;
  return fieldsOf(stream) !== undefined && typeof handleOf(stream)?.useUserBuffer === 'function';
}

/**
 * Reads `socket` with `reader` from now on.
 *
 * @returns replaces the buffer for the next bytes. Each call costs a few bytes until the socket is closed.
 */
export function readWith(socket: Socket, reader: SocketReader): (buffer: Uint8Array) => void {
  const fields = fieldsOf(socket)!;
  const first = reader.next();
  Object.assign(socket, {
    [fields.buffer]: first,
    [fields.callback]: (bytes: number, buffer: Uint8Array): boolean => {
      reader.read(buffer, bytes);
      // A caller that pauses the socket has stopped its handle; `false` would stop it again.
      return true;
    },
    [fields.generator]: reader.next,
  });
  handleOf(socket)!.useUserBuffer!(first);
  return (buffer) => {
    Object.assign(socket, { [fields.buffer]: buffer });
    handleOf(socket)?.useUserBuffer?.(buffer);
  };
}

interface Handle {
  readonly useUserBuffer?: (buffer: Uint8Array) => void;
}

function handleOf(socket: Socket): Handle | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  return typeof handle === 'object' && handle !== null ? handle : undefined;
}

/** The fields are the same for every socket; looked up once. */
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
