/** Waits that end in time. */

import { type Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** What {@link within} answers when time is up. */
export const LATE: unique symbol = Symbol('late');

/** The result of `promise`, or {@link LATE} after `ms` milliseconds. Rejects as the promise does, if that is sooner. */
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
