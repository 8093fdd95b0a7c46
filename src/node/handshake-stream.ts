/** The byte stream of a new connection during its handshake. */

import type { Duplex } from 'node:stream';

import { type Bytes, concatBytes, EMPTY_BYTES } from '../base/bytes.ts';
import { assertBytes, wholeNumber } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import type { Pipe, PipeSink } from '../net/pipe.ts';
import { PipeDuplex } from '../net/pipe-duplex.ts';
import { StreamPipe } from '../net/stream-pipe.ts';

/** The bytes of a new connection, read and written by a handshake. Every wait ends at the handshake's deadline. */
export interface HandshakeStream {
  /**
   * Reads exactly `length` bytes, which then belong to the caller. One read at a time.
   *
   * @throws {TypeError | RangeError} (at once) while another read is pending, or for more than 1 MiB.
   * @throws {P2PError} (by rejection) `disconnected` when the peer disconnects first; the signal's reason.
   */
  read(length: number): Promise<Bytes>;
  /**
   * Writes bytes; resolves when they are in the kernel. They must not change until then.
   *
   * @throws {P2PError} (by rejection) `disconnected`; the signal's reason.
   */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Returns the socket itself, or on a virtual host an equivalent stream, for libraries that need one (node:tls). Bytes
   * already read are put back. The stream cannot be used afterwards, and the handshake must return a `transport`.
   */
  takeSocket(): Duplex;
}

/** The maximum of one read. */
const MAX_READ_BYTES = 1_048_576;
/**
 * Chunks that may wait; more are joined, since a chunk costs more than the few bytes that a hostile peer puts into it.
 */
const MAX_CHUNKS = 64;
/** Bytes received but not requested; at this limit reading pauses until more is requested. */
const MAX_AHEAD_BYTES = 65_536;

/** The stream of one handshake. @internal */
export class ByteStream implements HandshakeStream, PipeSink {
  readonly #pipe: Pipe;
  readonly #signal: AbortSignal;
  readonly #realm: Realm;
  /** Bounded by {@link MAX_AHEAD_BYTES} plus one chunk, or by the requested length. */
  #chunks: Bytes[] = [];
  #bytes = 0;
  #wanted:
    | { readonly length: number; readonly resolve: (bytes: Bytes) => void; readonly reject: (error: unknown) => void }
    | undefined;
  #ended: P2PError | undefined;
  #hasEnded = false;
  #isTaken = false;

  constructor(pipe: Pipe, signal: AbortSignal, realm: Realm) {
    this.#pipe = pipe;
    this.#realm = realm;
    this.#signal = signal;
    pipe.sink = this;
    signal.addEventListener('abort', this.#onAbort);
  }

  /** Whether the socket was taken, so that a transport is required. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Whether the peer has closed its half. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  read(length: number): Promise<Bytes> {
    wholeNumber(length, 'length', 0, 0, MAX_READ_BYTES);
    if (this.#wanted !== undefined) throw new TypeError('Cannot read: another read is under way');
    if (this.#signal.aborted) return Promise.reject(this.#signal.reason);
    if (this.#isTaken) return Promise.reject(new TypeError('Cannot read: the socket was taken'));
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve, reject };
      this.#serve();
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    assertBytes(bytes, 'bytes');
    if (this.#signal.aborted) return Promise.reject(this.#signal.reason);
    if (this.#isTaken) return Promise.reject(new TypeError('Cannot write: the socket was taken'));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(this.#signal.reason);
      this.#signal.addEventListener('abort', onAbort);
      this.#pipe.write([bytes], (error) => {
        this.#signal.removeEventListener('abort', onAbort);
        if (error === undefined || error === null) resolve();
        else reject(gone(error));
      });
    });
  }

  takeSocket(): Duplex {
    this.#isTaken = true;
    this.#pipe.pause();
    this.#pipe.unshift(this.rest());
    return this.#pipe instanceof StreamPipe ? this.#pipe.release() : new PipeDuplex(this.#pipe, this.#realm);
  }

  /** Bytes received but not requested; they belong to the protocol after the handshake. */
  rest(): Bytes {
    const rest = this.#chunks.length === 1 ? this.#chunks[0]! : concatBytes(...this.#chunks);
    this.#chunks = [];
    this.#bytes = 0;
    return rest;
  }

  /** The handshake is over. */
  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#wanted?.reject(gone());
    this.#wanted = undefined;
    if (!this.#isTaken) this.#pipe.pause();
  }

  onData(chunk: Bytes): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#chunks.length > MAX_CHUNKS) this.#chunks = [concatBytes(...this.#chunks)];
    this.#serve();
  }

  onEnd(): void {
    this.#hasEnded = true;
    this.#fail(gone());
  }

  onClose(error: Error | undefined): void {
    this.#fail(gone(error));
  }

  readonly #onAbort = (): void => {
    this.#wanted?.reject(this.#signal.reason);
    this.#wanted = undefined;
  };

  #fail(error: P2PError): void {
    this.#ended ??= error;
    this.#serve();
  }

  #serve(): void {
    const wanted = this.#wanted;
    if (wanted !== undefined && this.#bytes >= wanted.length) {
      this.#wanted = undefined;
      wanted.resolve(this.#takeBytes(wanted.length));
    } else if (wanted !== undefined && this.#ended !== undefined) {
      this.#wanted = undefined;
      wanted.reject(this.#ended);
    }
    if (this.#wanted !== undefined) this.#pipe.resume();
    else if (this.#bytes > MAX_AHEAD_BYTES) this.#pipe.pause();
  }

  #takeBytes(length: number): Bytes {
    if (length === 0) return EMPTY_BYTES;
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : concatBytes(...this.#chunks);
    const rest = all.subarray(length);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
    return all.slice(0, length);
  }
}

function gone(cause?: unknown): P2PError {
  const message = 'Cannot finish handshake: the peer is gone';
  return new P2PError('disconnected', 'remote', message, cause === undefined ? {} : { cause });
}
