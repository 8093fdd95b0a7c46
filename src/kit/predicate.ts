/** Predicates of the application that decide whom to talk to: they fail closed. */

import { describeValue } from '../core/limits.ts';

/** A no, with why where the predicate misbehaved. */
export interface PredicateRefusal {
  /** What it threw, or a `TypeError` when it answered neither true nor false. */
  readonly cause: unknown;
}

/**
 * Asks a predicate. Only `true` is a yes; a promise is none, whatever it settles with, and neither is a throw.
 *
 * @returns `undefined` for a yes.
 */
export function refusalOf<T>(predicate: (subject: T) => unknown, subject: T): PredicateRefusal | undefined {
  try {
    const answer = predicate(subject);
    if (answer === true) return undefined;
    if (answer === false) return { cause: undefined };
    // Its rejection is part of the same no, and nobody else listens to it.
    if (answer instanceof Promise) answer.catch(() => {});
    return { cause: new TypeError(`Cannot admit: expected true or false at once, got ${describeValue(answer)}`) };
  } catch (cause) {
    return { cause };
  }
}
