/** Calls that may throw for reasons that change nothing. */

/** @returns whether the call did not throw. */
export function doesNotThrow(call: () => unknown): boolean {
  try {
    call();
    return true;
  } catch {
    return false;
  }
}
