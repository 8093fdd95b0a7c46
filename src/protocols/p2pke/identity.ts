/** The identity of a node: one per swarm, shared by all its channels. */

import { chacha20Poly1305 } from '#crypto';
import { assertFunction, describeOption, describeValue } from '../../base/checks.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { ImportAeadKey } from '../../crypto/suite.ts';
import { createKeyRegistry, ed25519, type KeyRegistry, type Signer } from '../../identity/key-algorithm.ts';
import { EarlyBudget } from './early-data.ts';
import { Timestamps } from './tai64n.ts';

/** What an identity is made of. */
export interface P2pkeIdentityOptions {
  /** The node's key, of `generateKey` or `importKey`. */
  readonly privateKey: Signer;
  /** Seeds of ephemeral keys and keys of cookies. Must be fit for keys, and never return the same bytes twice. */
  readonly random: (length: number) => Uint8Array;
  /** Algorithms of keys that peers may have. @default Ed25519 only, as in go-p2p */
  readonly registry?: KeyRegistry | undefined;
  /** The cipher; `loadSodiumAead()` loads a faster one. @default the built-in ChaCha20-Poly1305 */
  readonly aead?: ImportAeadKey | undefined;
}

/** An identity, checked and complete. */
export interface P2pkeIdentity {
  readonly signer: Signer;
  readonly publicKey: PublicKey;
  readonly registry: KeyRegistry;
  /** @internal */
  readonly importAead: ImportAeadKey;
  readonly random: (length: number) => Uint8Array;
  /** Grows over all channels of this identity. @internal */
  readonly timestamps: Timestamps;
  /** Bounds the data before RespDone that all channels of this identity keep. @internal */
  readonly earlyBudget: EarlyBudget;
}

const ed25519Only = createKeyRegistry([ed25519]);

/**
 * An identity.
 *
 * @throws {TypeError} for an invalid key or function, or when the registry does not know the key's algorithm.
 */
export function createP2pkeIdentity(options: P2pkeIdentityOptions): P2pkeIdentity {
  const { privateKey, random, registry = ed25519Only, aead = chacha20Poly1305 } = options;
  if (typeof privateKey?.sign !== 'function' || !(privateKey.publicKey?.spki instanceof Uint8Array)) {
    throw new TypeError(
      `Cannot take privateKey: expected a key of generateKey or importKey, got ${describeOption('privateKey', privateKey)}`,
    );
  }
  assertFunction(random, 'random');
  assertFunction(aead, 'aead');
  if (typeof registry?.verifier !== 'function') {
    throw new TypeError(`Cannot take registry: expected one of createKeyRegistry, got ${describeValue(registry)}`);
  }
  if (registry.verifier(privateKey.publicKey.spki) === undefined) {
    const names = registry.algorithms.map(({ name }) => name).join(', ');
    throw new TypeError(
      `Cannot take privateKey: its algorithm is ${privateKey.publicKey.algorithm}, the registry has ${names}`,
    );
  }
  return {
    signer: privateKey,
    publicKey: privateKey.publicKey,
    registry,
    importAead: aead,
    random,
    timestamps: new Timestamps(),
    earlyBudget: new EarlyBudget(),
  };
}
