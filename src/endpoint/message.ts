/** What applications send and get: bytes, or with `preset: 'qp2p'` messages in three parts. */

import type { Bytes } from '../base/bytes.ts';

/**
 * A message of qp2p that has come: header and payload may go to many destinations, `dst` tells which one. What each part means is
 * the application's. The bytes are the receiver's to keep; they may be views into one buffer, so never transfer it.
 */
export interface Qp2pMessage {
  readonly header: Bytes;
  readonly dst: Bytes;
  readonly payload: Bytes;
}

/** A message of qp2p to send. */
export interface OutgoingQp2pMessage {
  /** @default empty */
  readonly header?: Uint8Array | undefined;
  /** @default empty */
  readonly dst?: Uint8Array | undefined;
  /** At least one byte: qp2p takes no empty payload. */
  readonly payload: Uint8Array;
}

/**
 * What can be sent: bytes, and with `preset: 'qp2p'` also three parts. The bytes are the caller's again when the call's promise settles.
 *
 * @typeParam M - what comes: `Bytes`, or {@link Qp2pMessage}.
 */
export type OutgoingMessage<M = Bytes> = M extends Qp2pMessage ? Uint8Array | OutgoingQp2pMessage : Uint8Array;
