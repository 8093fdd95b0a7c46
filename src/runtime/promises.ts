/** Promises that are made once, so that the data path makes none of its own, and what to ask of one. */

/** What an accepted `tell` may return. */
export const RESOLVED: Promise<void> = Promise.resolve();

/**
 * A rejected promise that is marked as handled: awaiting it throws, ignoring it is safe. That is what makes `tell`
 * fit for fire-and-forget.
 */
export function rejection<T = never>(error: unknown): Promise<T> {
  return markHandled(Promise.reject<T>(error));
}

/** Marks a promise as handled: a caller that awaits it still gets the error; it is not reported as unhandled. */
export function markHandled<P extends Promise<unknown>>(promise: P): P {
  promise.then(undefined, ignore);
  return promise;
}

/** The error has been given to the caller, who may choose to drop it. */
function ignore(): void {}

/** Whether a handler returned a promise. */
export function isPending<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
