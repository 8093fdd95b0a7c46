/** What applications send and get. */

import { type Bytes, EMPTY_BYTES } from '../base/bytes.ts';
import { assertBytes, describeValue } from '../base/checks.ts';
import { type MessageParts } from '../protocols/endpoint/frame.ts';

/**
 * A message in three parts: header and payload may go to many destinations, `dst` tells which one. What each part means is
 * the application's.
 */
export interface ThreePartMessage {
  /** @default empty */
  readonly header?: Uint8Array | undefined;
  /** @default empty */
  readonly dst?: Uint8Array | undefined;
  readonly payload: Uint8Array;
}

/** What can be sent: a payload alone, or three parts. The bytes are the caller's again when the call's promise settles. */
export type OutgoingMessage = Uint8Array | ThreePartMessage;

/** What has come. The bytes are the receiver's to keep; they may be views into one buffer, so never transfer it. */
export interface ReceivedMessage {
  readonly header: Bytes;
  readonly dst: Bytes;
  readonly payload: Bytes;
}

/** @returns the three parts. @throws {TypeError} when `message` is no message. */
export function partsOf(message: OutgoingMessage): MessageParts<Uint8Array> {
  if (message instanceof Uint8Array) return { header: EMPTY_BYTES, dst: EMPTY_BYTES, payload: message };
  if (typeof message !== 'object' || message === null) {
    throw new TypeError(
      `Cannot take message: expected a Uint8Array or { header, dst, payload }, got ${describeValue(message)}`,
    );
  }
  const { header = EMPTY_BYTES, dst = EMPTY_BYTES, payload } = message;
  assertBytes(header, 'message.header');
  assertBytes(dst, 'message.dst');
  assertBytes(payload, 'message.payload');
  return { header, dst, payload };
}
