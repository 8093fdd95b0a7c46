/** Bytes over a socket, or over any other duplex stream. */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { type Bytes, copyBytes } from '../base/bytes.ts';
import type { Pipe, PipeSink, PipeSpace } from './pipe.ts';
import { canReadInto, readWith, SCRATCH, SCRATCH_CORNER } from './socket-buffer.ts';

/** After a message of this size that was read directly into its buffer, more large ones are likely. */
const LARGE_BYTES = 131_072;

export class StreamPipe implements Pipe {
  sink: PipeSink | undefined;
  readonly stream: Duplex;
  /** The stream that counts the bytes on the wire: for example the socket below a TLS socket. */
  readonly #wire: Duplex;
  #error: Error | undefined;
  #isReading = false;

  constructor(stream: Duplex, wire: Duplex = stream) {
    this.stream = stream;
    this.#wire = wire;
    stream.on('error', this.#onError);
    stream.on('close', this.#onClose);
  }

  get releases(): boolean {
    return this.stream instanceof Socket;
  }

  get wireReceived(): number {
    return this.#wire instanceof Socket ? this.#wire.bytesRead : 0;
  }

  get wireSent(): number {
    return this.#wire instanceof Socket ? (this.#wire.bytesWritten ?? 0) : 0;
  }

  /** The system's count if Node exposes it, else the bytes that the stream holds. */
  get unsentBytes(): number {
    const handle: unknown = Reflect.get(this.#wire, '_handle');
    const queued: unknown = typeof handle === 'object' && handle !== null && Reflect.get(handle, 'writeQueueSize');
    return this.stream.writableLength + (typeof queued === 'number' ? queued : 0);
  }

  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    const { stream } = this;
    if (stream.destroyed || stream.writableEnded) {
      process.nextTick(done, this.#error ?? new Error('The stream has ended'));
      return;
    }
    const last = pieces.length - 1;
    if (last > 0) stream.cork();
    for (let i = 0; i < last; i++) stream.write(pieces[i]);
    stream.write(pieces[last] ?? new Uint8Array(0), done);
    if (last > 0) stream.uncork();
  }

  readInto(space: PipeSpace): void {
    const { stream } = this;
    if (!canReadInto(stream)) return;
    stream.off('data', this.#onData);
    if (!this.#isReading) stream.on('end', this.#onEnd);
    this.#isReading = true;
    let wasLarge = false;
    readWith(stream, {
      next: () => {
        const place = space.space();
        if (place === undefined && wasLarge) {
          wasLarge = false;
          return SCRATCH_CORNER;
        }
        if (place !== undefined) wasLarge = place.length >= LARGE_BYTES;
        return place ?? SCRATCH;
      },
      read: (buffer, bytes) => {
        if (buffer !== SCRATCH && buffer !== SCRATCH_CORNER) space.filled(bytes);
        else this.sink?.onData(copyOf(buffer, bytes));
      },
    });
  }

  pause(): void {
    if (this.#isReading) this.stream.pause();
  }

  resume(): void {
    if (!this.#isReading) {
      this.#isReading = true;
      this.stream.on('data', this.#onData);
      this.stream.on('end', this.#onEnd);
    }
    this.stream.resume();
  }

  unshift(chunk: Bytes): void {
    if (chunk.length > 0 && !this.stream.readableEnded) this.stream.unshift(chunk);
  }

  end(): void {
    if (!this.stream.writableEnded) this.stream.end();
  }

  destroy(): void {
    this.stream.destroy();
  }

  /** Returns the stream, paused, to another owner; this pipe receives no more of its events. */
  release(): Duplex {
    const { stream } = this;
    stream.pause();
    stream.off('data', this.#onData);
    stream.off('end', this.#onEnd);
    stream.off('close', this.#onClose);
    stream.off('error', this.#onError);
    // The new owner may not listen yet when it fails.
    stream.on('error', () => undefined);
    return stream;
  }

  readonly #onData = (chunk: Buffer<ArrayBuffer>): void =>
    this.sink?.onData(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));

  readonly #onEnd = (): void => this.sink?.onEnd();

  readonly #onError = (error: Error): void => {
    this.#error ??= error;
  };

  readonly #onClose = (): void => this.sink?.onClose(this.#error);
}

/** Copies the first bytes of the scratch buffer. */
function copyOf(buffer: Uint8Array, length: number): Bytes {
  const source = buffer.subarray(0, length);
  if (length <= 2048) return copyBytes(source);
  const copy = Buffer.allocUnsafeSlow(length);
  copy.set(source);
  return new Uint8Array(copy.buffer, copy.byteOffset, length);
}
