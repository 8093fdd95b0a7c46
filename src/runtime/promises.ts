/** Shared promises, so that the data path creates none, and checks of promises. */

/** The result of an accepted `tell`. */
export const RESOLVED: Promise<void> = Promise.resolve();

/**
 * A rejected promise that is marked as handled: awaiting it throws, ignoring it is safe. So the result of `tell` may be
 * ignored.
 */
export function rejection<T = never>(error: unknown): Promise<T> {
  return markHandled(Promise.reject<T>(error));
}

/** Marks a promise as handled: a caller that awaits it still gets the error, but it is not reported as unhandled. */
export function markHandled<P extends Promise<unknown>>(promise: P): P {
  promise.then(undefined, ignore);
  return promise;
}

/** The caller has the error and may ignore it. */
function ignore(): void {}

/** Whether a handler returned a promise. */
export function isPending<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
