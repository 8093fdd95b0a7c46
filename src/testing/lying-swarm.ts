/** Swarms that break one rule of the contract each, to prove that the conformance suites detect it. */

import type { Addr } from '../core/addr.ts';
import type { AskSwarm } from '../core/ask.ts';
import { describeValue } from '../base/checks.ts';
import type { SecureAskSwarm } from '../core/secure.ts';
import { composeAsk, composeSecure } from '../swarm-kit/compose.ts';
import { askingLies } from './lies/asking.ts';
import { handlingLies } from './lies/handling.ts';
import type { Honest, Lies } from './lies/lie.ts';
import { securingLies } from './lies/securing.ts';
import { tellingLies } from './lies/telling.ts';

const LIES: Lies = { ...tellingLies, ...handlingLies, ...askingLies, ...securingLies };

/** The names of all rules that {@link lyingSwarm} can break. */
export const LYING_RULES: readonly string[] = Object.keys(LIES);

/**
 * Returns a swarm that breaks exactly one rule of the contract.
 *
 * @param rule - one of {@link LYING_RULES}.
 * @param honest - a swarm that passes all suites: for example a secure memory swarm.
 * @throws {RangeError} for an unknown rule.
 *
 * @example
 * ```ts
 * const liar = lyingSwarm('close is idempotent', realm.secureSwarm(key));
 * ```
 */
export function lyingSwarm<A extends Addr>(rule: string, honest: SecureAskSwarm<A>): SecureAskSwarm<A> {
  const lie = Object.hasOwn(LIES, rule) ? LIES[rule] : undefined;
  if (lie === undefined) {
    throw new RangeError(`Cannot lie about ${describeValue(rule)}: expected one of ${LYING_RULES.join('; ')}`);
  }
  // Lies only use addresses that the honest swarm created, so they are valid for every A.
  const swarm = honest as unknown as Honest;
  const whole = composeSecure<Addr, AskSwarm<Addr>>(composeAsk<Addr, AskSwarm<Addr>>(swarm, swarm), swarm);
  const lied = lie(swarm);
  const liar = Object.defineProperties(whole, Object.getOwnPropertyDescriptors(lied)) as Honest;
  if (rule !== HANDLER_RULE) refuseWhatIsNoFunction(liar, swarm);
  return liar as unknown as SecureAskSwarm<A>;
}

/** The only lie about the type of handlers; the others keep that check. */
const HANDLER_RULE = 'a handler must be a function';

function refuseWhatIsNoFunction(liar: Honest, honest: Honest): void {
  const listen = liar.listen.bind(liar);
  const serve = liar.serve.bind(liar);
  liar.listen = (handler) => (typeof handler === 'function' ? listen(handler) : honest.listen(handler));
  liar.serve = (handler) => (typeof handler === 'function' ? serve(handler) : honest.serve(handler));
}
