/** Simulations as a user's compiler sees them. Checked by `tsc`; there is nothing to run. */

import { describe, it } from 'node:test';
import { type Simulation, findFailure, simulate } from '../../src/testing/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;

interface Chat {
  readonly lines: readonly string[];
}
declare const chat: Chat;

/** Compiled, never called. */
export async function inference(): Promise<void> {
  const { failure } = await simulate({
    nodes: 2,
    durationMs: 1,
    open: async ({ index, host }) => {
      yes<Equal<typeof index, number>>();
      void host.network;
      return Promise.resolve(chat);
    },
    // The nodes are what `open` returns, without a type argument.
    run: (simulation) => yes<Equal<typeof simulation, Simulation<Chat>>>() as undefined,
    check: ({ node }) => void node(0)?.lines,
  });
  yes<Equal<NonNullable<typeof failure>['phase'], 'open' | 'run' | 'check' | 'liveness'>>();
  // @ts-expect-error nodes are required
  await simulate({ durationMs: 1, open: () => chat });
  // @ts-expect-error no such fault
  await findFailure({ nodes: 1, durationMs: 1, open: () => chat, chaos: [{ type: 'flood', atMs: 0, forMs: 1 }] });
}

describe('types of simulations', () => {
  it('are checked by the compiler', () => {});
});
