/** Promises with a time limit. */

import type { Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** The result of {@link within} at the deadline. */
export const LATE: unique symbol = Symbol('late');

/** The result of `promise`, or {@link LATE} after `ms` milliseconds. Rejects if the promise rejects first. */
export function within<T>(realm: Realm, ms: number, promise: Promise<T>): Promise<T | typeof LATE> {
  if (ms === Infinity) return promise;
  return new Promise((resolve, reject) => {
    const timer = clockOf(realm).setTimer(realm.nowMs() + ms, () => resolve(LATE));
    promise.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
