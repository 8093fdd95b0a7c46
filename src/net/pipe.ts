/** A stream of bytes to one peer, whatever carries it: a socket, a cipher over one, or memory. */

import { type Bytes } from '../base/bytes.ts';

/** Gets what happens on a {@link Pipe}. Never called inside a call to the pipe. */
export interface PipeSink {
  /** @param chunk - the sink's to keep. */
  onData(chunk: Bytes): void;
  /** The other side has closed its half: nothing more will come. */
  onEnd(): void;
  /** The pipe is gone, once, after everything else. */
  onClose(error: Error | undefined): void;
}

/** Where bytes may be read to, without a copy. */
export interface PipeSpace {
  /** Where the next bytes belong, when they are part of a large message; `undefined`: anywhere. */
  space(): Uint8Array | undefined;
  /** So many bytes are there now, in place of `onData`. */
  filled(bytes: number): void;
}

/**
 * A stream of bytes to one peer, over a socket, over a cipher, or in memory. It starts
 * paused.
 */
export interface Pipe {
  /** Who hears of what happens; replaced when the handshake is over. */
  sink: PipeSink | undefined;
  /** Bytes that came from the wire and went there, with all that any layer adds. */
  readonly wireReceived: number;
  readonly wireSent: number;
  /** Whether nobody looks at written pieces after `done`: true of sockets, not of streams that hand them on. */
  readonly releases: boolean;
  /** Bytes that were written and are not in the kernel yet, as far as one can know. */
  readonly unsentBytes: number;
  /**
   * Lets the pipe read large messages to where they belong. Called once, after the handshake; a pipe need not have it.
   */
  readInto?(space: PipeSpace): void;
  /**
   * Writes the pieces in order.
   *
   * @param pieces - not to be changed until `done`.
   * @param done - called once: without an error when all is in the kernel.
   */
  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): void;
  pause(): void;
  resume(): void;
  /** Gives bytes back that were read too much; they come first when reading goes on. */
  unshift(chunk: Bytes): void;
  /** Closes this half behind what was written. */
  end(): void;
  /** Lets go at once. */
  destroy(): void;
}
