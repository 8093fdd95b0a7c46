/** Keys as a user's compiler sees them. Checked by `tsc`; there is nothing to run. */

import { describe, it } from 'node:test';

import type { Bytes } from '../../src/base/bytes.ts';
import { generateKey, type PrivateKey, verifyText } from '../../src/identity/keys.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;

/** Compiled, never called. */
export function signedText(): void {
  const key: PrivateKey = generateKey();
  const signature = key.signText('example.org/login 1', new Uint8Array(1));
  yes<Equal<typeof signature, Bytes>>();
  yes<Equal<ReturnType<typeof verifyText>, boolean>>();
  void verifyText(key.publicKey, 'example.org/login 1', new Uint8Array(1), signature);
  // @ts-expect-error the context comes first
  void key.signText(new Uint8Array(1), 'example.org/login 1');
  // @ts-expect-error no context
  void verifyText(key.publicKey, new Uint8Array(1), signature);
  // @ts-expect-error a text is no bytes
  void key.signText('example.org/login 1', 'challenge');
}

describe('types of keys', () => {
  it('compile', () => undefined);
});
