/** What goes wrong, as one line for people and an exit code. */

import { P2PError } from 'shoal';

/** Exit codes of every command. */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** It was asked for rightly, and did not work. The message is all that people get to see. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

/** What to do about a failure of the library, in terms of the command. */
const ADVICE: Readonly<Partial<Record<P2PError['code'], string>>> = {
  mtu_exceeded: 'add frag to --stack on both sides, or use quic',
  timeout: 'is the peer there, with the same --stack?',
  unreachable: 'is the peer there, with the same --stack?',
  identity_mismatch: 'the peer at that address has another key than the address says',
};

/** The message of what was thrown, with advice where there is any, on one line. */
export function explain(error: unknown): string {
  const advice = P2PError.is(error) ? ADVICE[error.code] : undefined;
  const text = error instanceof Error ? error.message : String(error);
  return `${text.replaceAll(/\s*\n\s*/g, ' ')}${advice === undefined ? '' : ` (${advice})`}`;
}

/** What the process ends with after `error`. */
export function exitCodeOf(error: unknown): number {
  return error instanceof UsageError ? EXIT.usage : EXIT.failure;
}

/** Runs what a user's text goes into; the library calls bad text misuse, the command calls it wrong usage. */
export function asUsage<T>(what: string, run: () => Promise<T>): Promise<T>;
export function asUsage<T>(what: string, run: () => T): T;
export function asUsage(what: string, run: () => unknown): unknown {
  const fail = (error: unknown): never => {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new UsageError(`${what}: ${error.message}`, { cause: error });
  };
  try {
    const result = run();
    return result instanceof Promise ? result.catch(fail) : result;
  } catch (error) {
    return fail(error);
  }
}

/** Runs what a server needs. What fails is an address or a store of this machine, and no peer: there is no advice for it. */
export function asServer<T>(what: string, run: () => Promise<T>): Promise<T> {
  return asUsage(what, run).catch((error: unknown) => {
    throw P2PError.is(error) ? new Failure(error.message, { cause: error }) : error;
  });
}
