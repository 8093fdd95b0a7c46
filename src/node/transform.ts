/**
 * What carries the bytes of a connection. A handshake may put something else in place of the plain socket: a
 * {@link Transform}, which is a cipher without I/O (Noise, say), or any duplex stream of node:stream (a TLS socket, say).
 *
 * A handshake need not handle bytes that were read past its end: the node carries them over.
 */

import { type Duplex } from 'node:stream';

import { type Bytes } from '../base/bytes.ts';
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

/** What a handshake came to. */
export interface HandshakeResult {
  /** What carries the bytes from now on. @default the socket as it is */
  readonly transport?: Transform | Duplex | undefined;
  /**
   * The peer's key, when the handshake has proven it; `accept` is asked about it, and it is shown as
   * `connection.publicKey`.
   */
  readonly publicKey?: PublicKey | undefined;
  /** Bytes that the handshake has read and that belong to what comes after it: they go through `transport` first. */
  readonly rest?: Bytes | undefined;
}
