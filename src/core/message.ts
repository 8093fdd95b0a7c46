/** Messages, requests and their handlers. */

import type { Addr } from './addr.ts';
import type { Bytes } from '../base/bytes.ts';

/**
 * A received message.
 *
 * The receiver may keep and change `payload`. It may be a view into a larger buffer, so never transfer its buffer to a
 * worker; copy it first.
 */
export interface Message<out A extends Addr> {
  /** The sender's address, to which a reply can be sent. On secure swarms it holds the sender's proven PeerID. */
  readonly src: A;
  /** The address of this node that the message was sent to. */
  readonly dst: A;
  readonly payload: Bytes;
}

/** A message that expects an answer. All properties are own properties, including `signal`: a spread copy has them. */
export interface Request<out A extends Addr> extends Message<A> {
  /**
   * Aborts when the answer is no longer needed: at the asker's deadline, when the asker cancels (if the wire format can
   * signal it), or when the serving swarm closes.
   */
  readonly signal: AbortSignal;
}

/** Called for each message, in order of arrival per source. */
export type TellHandler<A extends Addr> = (message: Message<A>) => void | Promise<void>;

/** Called for each request; the returned bytes are the answer, and then belong to the swarm. */
export type AskHandler<A extends Addr> = (request: Request<A>) => Uint8Array | Promise<Uint8Array>;
