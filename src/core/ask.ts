/** Request and response. */

import { type Addr } from './addr.ts';
import { type Bytes } from '../base/bytes.ts';
import { type AskHandler } from './message.ts';
import { type CallOptions, type Swarm } from './swarm.ts';

/** How an ask is given up, and how much answer is welcome. */
export interface AskOptions extends CallOptions {
  /** A larger answer rejects with `limit_exceeded`. @default what the swarm can carry */
  readonly maxResponseBytes?: number | undefined;
}

/** When nothing else is said, an ask is given up after 30 s, as go-p2p's mbapp does. */
export const DEFAULT_ASK_TIMEOUT_MS = 30_000;

/** The ability to ask and to serve. */
export interface Asks<in out A extends Addr> {
  /** The most bytes that `ask(dst, …)` takes now. Not `mtu()`: some layers carry asks in another way than tells. */
  maxRequestBytes(dst: A | string): number;

  /**
   * Sends a request and waits for its answer.
   *
   * An ask to the swarm's own address is served locally. The request is the caller's again when the promise settles; the
   * answer is the caller's to keep.
   *
   * @throws {TypeError} (at once) for misuse, as `tell`.
   * @throws {P2PError} (by rejection) `timeout` (default 30 s), `refused` when the handler refuses, throws or is not
   *   there, `mtu_exceeded` before anything is sent, `limit_exceeded` when the answer is larger than
   *   `maxResponseBytes`, `unreachable`, `closed`. Its `sent` says whether a retry could make the peer act twice.
   */
  ask(dst: A | string, request: Uint8Array, options?: AskOptions): Promise<Bytes>;

  /**
   * Answers requests until the returned disposable is disposed of. One handler at a time.
   *
   * The handler returns the answer, which belongs to the swarm from then on, or throws a `Refusal`; any other throw is a
   * plain `refused` at the asker.
   *
   * @throws {TypeError} (at once) when a handler is already there.
   */
  serve(handler: AskHandler<A>): Disposable;
}

/** A swarm that can ask. */
export interface AskSwarm<in out A extends Addr> extends Swarm<A>, Asks<A> {}

/** Whether a swarm can ask; narrows its type. */
export function canAsk<A extends Addr>(swarm: Swarm<A>): swarm is AskSwarm<A> {
  return 'ask' in swarm;
}
