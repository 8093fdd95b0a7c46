/** Generates private keys. */

import { assertFunction } from '../base/checks.ts';
import { defaultKeyRegistry } from './ecdsa-p256.ts';
import type { KeyRegistry } from './key-algorithm.ts';
import { privateKeyOf, type PrivateKey } from './private-key.ts';

/** Options of a new key. */
export interface GenerateKeyOptions {
  /** An algorithm name in the registry: `ed25519` or `ecdsa-p256`. @default 'ed25519' */
  readonly algorithm?: string | undefined;
  /**
   * The source of the secret. `realm.random` makes keys that are reproducible from the realm's seed: use it for tests
   * only.
   * @default the system's `crypto.getRandomValues`
   */
  readonly random?: ((length: number) => Uint8Array) | undefined;
  /** @default Ed25519 and ECDSA on P-256 */
  readonly registry?: KeyRegistry | undefined;
}

function systemRandom(length: number): Uint8Array {
  return globalThis.crypto.getRandomValues(new Uint8Array(length));
}

/** The number of retries for a secret out of range; for P-256 one in 2^32 is. */
const MAX_DRAWS = 16;

/**
 * Generates a private key.
 *
 * @throws {TypeError} when the registry does not know the algorithm.
 * @throws {RangeError} when `random` returns the wrong number of bytes, or only bytes that cannot be a key.
 */
export function generateKey(options: GenerateKeyOptions = {}): PrivateKey {
  const { algorithm: name = 'ed25519', random = systemRandom, registry = defaultKeyRegistry } = options;
  assertFunction(random, 'random');
  const algorithm = registry.byName(name);
  let secret = random(algorithm?.secretBytes ?? 32);
  for (let draws = 1; draws < MAX_DRAWS && algorithm?.isSecret(secret) === false; draws++) {
    secret = random(algorithm.secretBytes);
  }
  return privateKeyOf(registry, name, secret);
}
