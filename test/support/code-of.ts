/** How a promise of a test ended. */

import { P2PError, type P2PErrorCode } from '../../src/core/errors.ts';

/** The code with which a promise is rejected; anything but a {@link P2PError} is thrown on. */
export async function codeOf(promise: Promise<unknown>): Promise<P2PErrorCode | 'resolved'> {
  try {
    await promise;
    return 'resolved';
  } catch (error) {
    if (!P2PError.is(error)) throw error;
    return error.code;
  }
}
