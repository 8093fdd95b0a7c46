/** Several handlers attached as one: all of them or none. */

/**
 * Begins each in order, and answers what ends them all.
 *
 * @throws what one of them throws; those before it are ended again.
 */
export function joinListening(begin: readonly (() => Disposable)[]): Disposable {
  const begun: Disposable[] = []; // Bounded by `begin`.
  const end = (): void => {
    for (const each of begun) each[Symbol.dispose]();
  };
  try {
    for (const each of begin) begun.push(each());
  } catch (error) {
    end();
    throw error;
  }
  return { [Symbol.dispose]: end };
}
