/**
 * What carries the bytes of a connection. A handshake may replace the plain socket with a {@link Transform}, a cipher
 * without I/O (Noise, for example), or with any duplex stream of node:stream (a TLS socket, for example).
 *
 * A handshake need not handle bytes that were read beyond its end: the node passes them on.
 */

import type { Duplex } from 'node:stream';

import type { Bytes } from '../base/bytes.ts';
import type { PublicKey } from '../core/secure.ts';

/**
 * Converts bytes in both directions, and does no I/O. It is called for batches, never for single messages: many small
 * messages are sealed as one record.
 */
export interface Transform {
  /**
   * Seals the bytes of one flush.
   *
   * @param batch - all bytes of the flush, in order, in pieces of any size; in total up to about 256 KiB or one large
   * message. Do not keep or change it.
   * @returns pieces that then belong to the node.
   */
  seal(batch: readonly Uint8Array[]): readonly Uint8Array[];
  /**
   * Returns the plain bytes of received bytes. Incomplete records are kept here, within a limit. A throw ends the
   * connection with the reason `malformed`.
   *
   * @param chunk - received bytes, split anywhere; they belong to the transform.
   * @returns pieces that then belong to the node; they may be views of `chunk`.
   */
  open(chunk: Bytes): readonly Bytes[];
  /**
   * Returns what `open` has deferred, so that no input blocks for long: called asynchronously until it returns
   * `undefined`, while nothing more is read. May throw as `open` does. @default `open` defers nothing
   */
  more?(): readonly Bytes[] | undefined;
  /** The last bytes before this side's half is closed. @default none */
  end?(): readonly Uint8Array[];
}

/** The result of a handshake. */
export interface HandshakeResult {
  /** Carries the bytes from now on. @default the plain socket */
  readonly transport?: Transform | Duplex | undefined;
  /**
   * The peer's key, if the handshake has proven it; it is passed to `accept` and available as `connection.publicKey`.
   */
  readonly publicKey?: PublicKey | undefined;
  /** Bytes that the handshake has read beyond its end: they pass through `transport` first. */
  readonly rest?: Bytes | undefined;
}
