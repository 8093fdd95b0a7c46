/** A byte stream to one peer, over a socket, a cipher, or in memory. */

import type { Bytes } from '../base/bytes.ts';

/** Receives the events of a {@link Pipe}. Never called synchronously inside a call to the pipe. */
export interface PipeSink {
  /** @param chunk - belongs to the sink. */
  onData(chunk: Bytes): void;
  /** The peer has closed its half: it sent its last byte. */
  onEnd(): void;
  /** The pipe has closed; called once, after all other events. */
  onClose(error: Error | undefined): void;
}

/** A pipe may read pieces one after the other into buffers of this size, which pieces keep in memory as a whole. */
export const SLAB_BYTES = 262_144;

/** A place for reading bytes without a copy. */
export interface PipeSpace {
  /** Whether pieces may be views of buffers of {@link SLAB_BYTES}. */
  readonly takesViews: boolean;
  /**
   * Whether such a buffer may be used again: while the pipe is read, the last piece is processed, except for a rest of less than 64 KiB.
   */
  readonly returnsViews: boolean;
  /** Where to read the next bytes, when they belong to a large message; `undefined`: anywhere. */
  space(): Uint8Array | undefined;
  /** Reports the number of bytes read there, instead of `onData`. */
  filled(bytes: number): void;
}

/** A byte stream to one peer, over a socket, over a cipher, or in memory. It starts paused. */
export interface Pipe {
  /** Receives the events; replaced after the handshake. */
  sink: PipeSink | undefined;
  /** Bytes received from and sent to the wire, including the overhead of all layers. */
  readonly wireReceived: number;
  readonly wireSent: number;
  /**
   * Whether written pieces are no longer referenced after `done`: true for sockets, false for streams that pass them
   * on.
   */
  readonly releases: boolean;
  /** Written bytes that are not in the kernel yet, as far as can be known. */
  readonly unsentBytes: number;
  /**
   * Lets the pipe read large messages directly into their buffers. Called once, after the handshake; optional for a
   * pipe.
   */
  readInto?(space: PipeSpace): void;
  /**
   * Writes the pieces in order.
   *
   * @param pieces - must not change until `done`.
   * @param done - called once: without an error when all pieces are in the kernel.
   */
  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): void;
  pause(): void;
  resume(): void;
  /** Puts back bytes that were read too far; they are delivered first when reading resumes. */
  unshift(chunk: Bytes): void;
  /** Closes this half after everything written. */
  end(): void;
  /** Closes both halves at once. */
  destroy(): void;
}
