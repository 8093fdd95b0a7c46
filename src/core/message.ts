/** What handlers get. */

import { type Addr } from './addr.ts';
import { type Bytes } from '../base/bytes.ts';

/**
 * One message as its receiver sees it. The receiver may keep it.
 *
 * `payload` is the receiver's to keep and to change. It may be a view into a larger buffer, so never transfer its
 * buffer to a worker; copy it first.
 */
export interface Message<out A extends Addr> {
  /** Who sent it: an address that can be told back to. On secure swarms it holds the sender's proven PeerID. */
  readonly src: A;
  /** Which of our addresses it came to. */
  readonly dst: A;
  readonly payload: Bytes;
}

/** A message that wants an answer. All its properties are its own: a spread copy has them, `signal` too. */
export interface Request<out A extends Addr> extends Message<A> {
  /**
   * Fires when the answer is of no use any more: at the asker's deadline, when the asker gives up (where the wire can
   * say so), or when the serving swarm closes.
   */
  readonly signal: AbortSignal;
}

/** Called for each message, in order of arrival per source. */
export type TellHandler<A extends Addr> = (message: Message<A>) => void | Promise<void>;

/** Called for each request; what it returns is the answer, and belongs to the swarm from then on. */
export type AskHandler<A extends Addr> = (request: Request<A>) => Uint8Array | Promise<Uint8Array>;
