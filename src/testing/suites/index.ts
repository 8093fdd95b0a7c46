/** The conformance suites: they check whether an implementation is a valid swarm. */

import type { Addr } from '../../core/addr.ts';
import type { AskSwarm } from '../../core/ask.ts';
import type { SecureSwarm } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import { addressTests } from './addresses.ts';
import { askingTests } from './asking.ts';
import { endingTests } from './ending.ts';
import { handlerTests } from './handlers.ts';
import { securingTests } from './securing.ts';
import { type SuiteFixture, type SuiteRunner, defineSuite } from './suite.ts';
import { tellingTests } from './telling.ts';

export { type SuiteFeatures, type SuiteFixture, type SuiteNet, type SuiteRunner } from './suite.ts';

/**
 * Tests of every rule of the swarm contract.
 *
 * @param runner - `{ describe, it }` of your test runner.
 * @param name - the name of what is tested, for example the stack.
 * @param fixture - creates the swarms.
 *
 * @example
 * ```ts
 * import { describe, it } from 'node:test';
 *
 * swarmSuite({ describe, it }, 'my swarm', {
 *   make: async (n) => {
 *     const realm = createMemoryRealm({ clock: 'virtual' });
 *     const swarms = Array.from({ length: n }, () => realm.swarm());
 *     return { swarms, run: (promise) => realm.clock.run(promise), [Symbol.asyncDispose]: async () => {} };
 *   },
 * });
 * ```
 */
export function swarmSuite<A extends Addr>(runner: SuiteRunner, name: string, fixture: SuiteFixture<Swarm<A>>): void {
  const tests = [...addressTests, ...tellingTests, ...handlerTests, ...endingTests];
  // The tests use only addresses that the swarms under test created, so they are valid for every A.
  defineSuite(runner, `${name}: swarm`, fixture as unknown as SuiteFixture<Swarm<Addr>>, tests);
}

/** Tests of every rule of the contract for asks; for swarms that pass {@link swarmSuite}. */
export function askSuite<A extends Addr>(runner: SuiteRunner, name: string, fixture: SuiteFixture<AskSwarm<A>>): void {
  defineSuite(runner, `${name}: asks`, fixture as unknown as SuiteFixture<AskSwarm<Addr>>, askingTests);
}

/** Tests of every rule of the contract for keys; for swarms that pass {@link swarmSuite}. */
export function secureSuite<A extends Addr>(
  runner: SuiteRunner,
  name: string,
  fixture: SuiteFixture<SecureSwarm<A>>,
): void {
  defineSuite(runner, `${name}: keys`, fixture as unknown as SuiteFixture<SecureSwarm<Addr>>, securingTests);
}
