/** Who may talk: one predicate for every swarm, node and endpoint that authenticates its peers. */

import { describeValue } from '../base/checks.ts';
import { type Addr } from './addr.ts';
import { type PeerId } from './peer-id.ts';
import { type PublicKey } from './secure.ts';

/** Which end of a session a peer is: the initiator dialled, the responder was dialled. */
export type Side = 'initiator' | 'responder';

/** A peer that asks to be let in, or that was dialled. It has proven that it has the key. */
export interface AcceptPeer<out A extends Addr = Addr> {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /** Where it is: the address that messages from it would have as their `src`. */
  readonly addr: A;
  /** What the peer is: `'initiator'` when it dialled this node. */
  readonly side: Side;
}

/**
 * Whether a peer may talk. Only `true` admits it. `false` is the ordinary no; any other value, a throw and a promise that
 * rejects are a no too, counted and traced as `handler_error`. A promise is waited for, up to 5 s (see `ACCEPT_TIMEOUT_MS`).
 * Until the yes nothing of the peer is delivered and it is not announced. A no arrives at the peer as `refused`.
 *
 * The verdict holds as long as the session; `recheck()` of the swarm asks again and ends what is refused.
 */
export type Accept<in A extends Addr = Addr> = (peer: AcceptPeer<A>) => boolean | Promise<boolean>;

/** What asks {@link Accept} again. */
export interface Recheckable {
  /**
   * Asks `accept` again about every peer there is a session with, and ends the sessions that it refuses. They go on until their
   * verdict is there.
   *
   * @returns settles when all are judged; never rejects.
   */
  recheck(): Promise<void>;
}

/** What a predicate has answered: an error stands for a no that is a fault of the predicate. */
export type Verdict = boolean | Error;

/** Judges what a predicate of the application returned, or what its promise resolved to. */
export function verdictOf(answer: unknown): Verdict {
  if (typeof answer === 'boolean') return answer;
  return new TypeError(`accept must return true or false, got ${describeValue(answer)}: taken as false`);
}

/** Judges what a predicate of the application threw, or what its promise rejected with. */
export function verdictOfThrown(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error('accept threw something that is no error', { cause });
}
