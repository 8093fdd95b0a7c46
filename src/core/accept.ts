/** Admission of peers: one predicate for every swarm, node and endpoint that authenticates its peers. */

import { describeValue } from '../base/checks.ts';
import type { Addr } from './addr.ts';
import type { PeerId } from './peer-id.ts';
import type { PublicKey } from './secure.ts';

/** The role of a peer in a session: the initiator dialled, the responder was dialled. */
export type Side = 'initiator' | 'responder';

/** A peer that asks for admission, or that was dialled. It has proven that it owns its key. */
export interface AcceptPeer<out A extends Addr = Addr> {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /** The peer's address: the `src` of messages from it. */
  readonly addr: A;
  /** The role of the peer: `'initiator'` when it dialled this node. */
  readonly side: Side;
}

/**
 * Decides whether a peer is admitted. Only `true` admits it. `false` refuses it; any other value, a throw and a promise
 * that rejects refuse it too, and are counted and traced as `handler_error`. A promise may take up to 5 s (see
 * `ACCEPT_TIMEOUT_MS`). Until the peer is admitted, nothing from it is delivered and it is not announced. A refused
 * peer gets `refused`.
 *
 * The verdict holds as long as the session; `recheck()` of the swarm asks again and ends the sessions of refused peers.
 */
export type Accept<in A extends Addr = Addr> = (peer: AcceptPeer<A>) => boolean | Promise<boolean>;

/** Can ask {@link Accept} again. */
export interface Recheckable {
  /**
   * Asks `accept` again about every peer with a session, and ends the sessions it refuses. Sessions continue until
   * their verdict.
   *
   * @returns settles when all peers are checked; never rejects.
   */
  recheck(): Promise<void>;
}

/** The result of a predicate: an error is a refusal caused by a fault of the predicate. */
export type Verdict = boolean | Error;

/** Converts what a predicate of the application returned, or what its promise resolved to. */
export function verdictOf(answer: unknown): Verdict {
  if (typeof answer === 'boolean') return answer;
  return new TypeError(`accept must return true or false, got ${describeValue(answer)}: taken as false`);
}

/** Converts what a predicate of the application threw, or what its promise rejected with. */
export function verdictOfThrown(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error('accept threw a value that is not an Error', { cause });
}
