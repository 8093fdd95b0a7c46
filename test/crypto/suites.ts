/** Both implementations of `#crypto`, as the interface they share; that this compiles is a test in itself. */

import * as node from '../../src/crypto/node.ts';
import * as noble from '../../src/crypto/noble.ts';
import { loadSodiumAead, type SodiumLibrary } from '../../src/crypto/sodium.ts';
import type { CryptoSuite, ImportAeadKey } from '../../src/crypto/suite.ts';

export const suites: readonly CryptoSuite[] = [node, noble];

interface Sodium {
  readonly importAead: ImportAeadKey;
  /** libsodium's Ed25519, which shoal does not use: a third opinion. */
  readonly verify: (key: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;
}

interface SodiumModule extends SodiumLibrary {
  crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
}

/** `sodium-native`, where it is installed. */
export async function loadSodium(): Promise<Sodium | undefined> {
  const name: string = 'sodium-native'; // a variable, so that the compiler does not insist on it
  try {
    const { default: library } = (await import(name)) as { readonly default: SodiumModule };
    return {
      importAead: await loadSodiumAead(),
      verify: (key, message, signature) => library.crypto_sign_verify_detached(signature, message, key),
    };
  } catch {
    return undefined;
  }
}
