/** Asking a filter of the application, such as `accept`, whether a peer may talk. */

import { describeValue } from '../base/checks.ts';

/**
 * Only `true` admits. Anything else is a no: `false` is the ordinary one, and any other value, a promise included, and a
 * throw are faults of the filter, returned as an error for the caller to count and trace.
 *
 * @param ask - calls the filter; may throw.
 */
export function askFilter(ask: () => unknown): boolean | Error {
  let answer: unknown;
  try {
    answer = ask();
  } catch (cause) {
    return cause instanceof Error ? cause : new Error('The filter threw something that is no error', { cause });
  }
  if (typeof answer === 'boolean') return answer;
  // A promise that rejects later must not end the process.
  if (answer instanceof Promise) answer.catch(() => undefined);
  return new TypeError(`The filter must return true or false, got ${describeValue(answer)}: taken as false`);
}
