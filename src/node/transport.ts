/**
 * What carries the bytes of a connection. A handshake may put something else in place of the plain socket: a
 * {@link Transform}, which is a cipher without I/O (Noise, say), or any duplex stream of node:stream (a TLS socket, say).
 *
 * Whoever writes a handshake need not think of bytes that were read past its end: the node carries them over.
 */

import { type Duplex } from 'node:stream';

import { type Bytes } from '../core/bytes.ts';
import { type PublicKey } from '../core/secure.ts';

/**
 * Changes bytes on their way, in both directions, and does no I/O. It is called for batches, never for single messages:
 * many small messages are sealed as one record.
 */
export interface Transform {
  /**
   * What goes on the wire for one flush.
   *
   * @param batch - all that is flushed now, in order, cut anywhere; together up to some 256 KiB or one large message.
   *   Borrowed: not to be kept nor changed.
   * @returns pieces that are the node's to keep.
   */
  seal(batch: readonly Uint8Array[]): readonly Uint8Array[];
  /**
   * The plain bytes in what came from the wire. What is not a whole record yet is kept here, within a bound. Throwing
   * ends the connection with the reason `malformed`.
   *
   * @param chunk - cut anywhere; the transform's to keep.
   * @returns pieces that are the node's to keep; they may be views of `chunk`.
   */
  open(chunk: Bytes): readonly Bytes[];
  /**
   * What `open` has left, so that no input costs much in one turn: called in later turns until it answers `undefined`, while
   * nothing more is read. May throw as `open` does. @default `open` leaves nothing
   */
  more?(): readonly Bytes[] | undefined;
  /** Last bytes before this side's half is closed. @default none */
  end?(): readonly Uint8Array[];
}

/** What a handshake may put in place of the socket. */
export type Transport = Transform | Duplex;

/** What a handshake came to. */
export interface HandshakeResult {
  /** What carries the bytes from now on. @default the socket as it is */
  readonly transport?: Transport | undefined;
  /** The peer's key, when the handshake has proven it; shown as `connection.publicKey`. */
  readonly publicKey?: PublicKey | undefined;
  /** Bytes that the handshake has read and that belong to what comes after it: they go through `transport` first. */
  readonly rest?: Bytes | undefined;
}

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
 * A stream of bytes to one peer, as the node uses it: over a socket, over a {@link Transform}, or in memory. It starts
 * paused.
 */
export interface Pipe {
  /** Who hears of what happens; replaced when the handshake is over. */
  sink: PipeSink | undefined;
  /** The socket or other stream below, while nothing has taken its place; `undefined` in memory. */
  readonly stream: Duplex | undefined;
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
