/** Attaches several handlers as one: all of them or none. */

/**
 * Begins each in order, and returns one disposable that ends all of them.
 *
 * @throws the error of the first one that throws; those before it are ended.
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
