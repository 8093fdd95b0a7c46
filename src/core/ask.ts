/** Request and response. */

import type { Addr } from './addr.ts';
import type { Bytes } from '../base/bytes.ts';
import type { AskHandler } from './message.ts';
import type { CallOptions, Swarm } from './swarm.ts';

/** The cancellation of an ask, and the limit of its answer. */
export interface AskOptions extends CallOptions {
  /** A larger answer rejects with `limit_exceeded`. @default the maximum of the swarm */
  readonly maxResponseBytes?: number | undefined;
}

/** The default time limit of an ask. Source: go-p2p's mbapp. */
export const DEFAULT_ASK_TIMEOUT_MS = 30_000;

/** The ability to ask and to serve. */
export interface Asks<in out A extends Addr> {
  /**
   * The maximum bytes that `ask(dst, …)` accepts now. It may differ from `mtu()`: some layers carry asks differently
   * from tells.
   */
  maxRequestBytes(dst: A | string): number;

  /**
   * Sends a request and waits for its answer.
   *
   * An ask to the swarm's own address is served locally. The caller must not change the request until the promise
   * settles; the caller may keep and change the answer.
   *
   * @throws {TypeError} (at once) for misuse, as `tell`.
   * @throws {P2PError} (by rejection) `timeout` (default 30 s), `refused` when the handler refuses, throws or does not
   * exist, `mtu_exceeded` before anything is sent, `limit_exceeded` when the answer is larger than `maxResponseBytes`,
   * `unreachable`, `closed`. Its `sent` says whether a retry could make the peer act twice.
   */
  ask(dst: A | string, request: Uint8Array, options?: AskOptions): Promise<Bytes>;

  /**
   * Serves requests until the returned disposable is disposed. One handler at a time.
   *
   * The handler returns the answer, which then belongs to the swarm, or throws a `Refusal`; any other throw is a
   * `refused` without details at the asker.
   *
   * @throws {TypeError} (at once) when a handler is already attached.
   */
  serve(handler: AskHandler<A>): Disposable;
}

/** A swarm that can ask. */
export interface AskSwarm<in out A extends Addr> extends Swarm<A>, Asks<A> {}

/** Whether a swarm can ask; narrows its type. */
export function canAsk<A extends Addr>(swarm: Swarm<A>): swarm is AskSwarm<A> {
  return 'ask' in swarm;
}
