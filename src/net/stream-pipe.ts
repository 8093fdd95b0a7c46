/** Bytes over a socket, or over any other duplex stream. */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { type Bytes, copyBytes } from '../base/bytes.ts';
import type { Pipe, PipeSink, PipeSpace } from './pipe.ts';
import { BUSY_BYTES, Slab } from './slab.ts';
import { canReadInto, readWith, SCRATCH, SCRATCH_CORNER } from './socket-buffer.ts';

/** After a message of this size that was read directly into its buffer, more large ones are likely. */
const LARGE_BYTES = 131_072;
/** A socket that was idle in the midst of large reads this often gets no slab any more. */
const MAX_IDLES = 256;

export class StreamPipe implements Pipe {
  sink: PipeSink | undefined;
  readonly stream: Duplex;
  /** The stream that counts the bytes on the wire: for example the socket below a TLS socket. */
  readonly #wire: Duplex;
  #error: Error | undefined;
  #isReading = false;
  #slab: Slab | undefined;

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
    const { _handle: handle } = this.#wire as { readonly _handle?: { readonly writeQueueSize?: unknown } | null };
    const queued = handle?.writeQueueSize;
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
    let ofSlab: Uint8Array | undefined;
    /** Large reads in a row that were no part of a large message. */
    let large = 0;
    let idles = 0;
    const idle = (): void => {
      this.#slab?.release();
      ofSlab = undefined;
      idles++;
      replace(SCRATCH);
    };
    const replace = readWith(stream, {
      next: () => {
        const place = space.space();
        ofSlab = undefined;
        if (place !== undefined) {
          this.#slab?.release();
          large = 0;
          wasLarge = place.length >= LARGE_BYTES;
          return place;
        }
        if (wasLarge) {
          wasLarge = false;
          return SCRATCH_CORNER;
        }
        ofSlab = this.#slab?.place();
        return ofSlab ?? SCRATCH;
      },
      read: (buffer, bytes) => {
        if (buffer === ofSlab) this.sink?.onData(this.#slab!.filled(bytes));
        else if (buffer === SCRATCH || buffer === SCRATCH_CORNER) {
          large = bytes >= BUSY_BYTES ? large + 1 : 0;
          if (large > 1 && space.takesViews && idles < MAX_IDLES)
            (this.#slab ??= new Slab(space.returnsViews, idle)).expect();
          this.sink?.onData(copyOf(buffer, bytes));
        } else space.filled(bytes);
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

  readonly #onClose = (): void => {
    this.#slab?.stop();
    this.sink?.onClose(this.#error);
  };
}

/** Copies the first bytes of the scratch buffer. */
function copyOf(buffer: Uint8Array, length: number): Bytes {
  const source = buffer.subarray(0, length);
  if (length <= 2048) return copyBytes(source);
  const copy = Buffer.allocUnsafeSlow(length);
  copy.set(source);
  return new Uint8Array(copy.buffer, copy.byteOffset, length);
}
