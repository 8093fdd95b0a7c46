/**
 * ChaCha20-Poly1305 by libsodium, through the optional package `sodium-native`. For datagrams, where each packet costs
 * one call, it seals 1000 bytes in about 2 µs; node:crypto takes 8 µs (Node 26) to 13 µs (Node 24).
 *
 * It is never selected automatically: load it, and pass the result to the swarm.
 *
 * @example
 * ```ts
 * const aead = await loadSodiumAead();
 * const secure = p2pke(udp, { privateKey, aead });
 * ```
 */

import { copyBytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { AEAD_TAG_BYTES, type AeadKey, type ImportAeadKey } from './suite.ts';

export { type AeadKey, type ImportAeadKey };

/** The two functions of `sodium-native` that are used. */
export interface SodiumLibrary {
  crypto_aead_chacha20poly1305_ietf_encrypt(
    sealed: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array | null,
    secretNonce: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
  crypto_aead_chacha20poly1305_ietf_decrypt(
    plaintext: Uint8Array,
    secretNonce: null,
    sealed: Uint8Array,
    associated: Uint8Array | null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
}

class SodiumAeadKey implements AeadKey {
  readonly #sodium: SodiumLibrary;
  readonly #key: Uint8Array;

  constructor(sodium: SodiumLibrary, key: Uint8Array) {
    this.#sodium = sodium;
    this.#key = copyBytes(key);
  }

  seal(nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
    const end = offset + plaintext.length + AEAD_TAG_BYTES;
    if (end > out.length) throw new RangeError('Cannot seal: out is too short');
    const target = out.subarray(offset, end);
    this.#sodium.crypto_aead_chacha20poly1305_ietf_encrypt(target, plaintext, associated, null, nonce, this.#key);
  }

  open(nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array, out: Uint8Array, offset: number): boolean {
    const length = sealed.length - AEAD_TAG_BYTES;
    if (length < 0) return false;
    if (offset + length > out.length) throw new RangeError('Cannot open: out is too short');
    const target = out.subarray(offset, offset + length);
    try {
      this.#sodium.crypto_aead_chacha20poly1305_ietf_decrypt(target, null, sealed, associated, nonce, this.#key);
      return true;
    } catch {
      target.fill(0);
      return false;
    }
  }
}

/** The AEAD of a `sodium-native` module that the caller has already loaded. */
export function sodiumAead(sodium: SodiumLibrary): ImportAeadKey {
  return (key) => {
    assertBytes(key, 'key', 32);
    return new SodiumAeadKey(sodium, key);
  };
}

/**
 * Loads `sodium-native`.
 *
 * @throws {Error} when the package is not installed or does not run here; the message says what to install.
 */
export async function loadSodiumAead(): Promise<ImportAeadKey> {
  const name = 'sodium-native'; // a variable, so that neither the compiler nor a bundler requires the package
  let module: { readonly default: SodiumLibrary };
  try {
    module = (await import(name)) as { readonly default: SodiumLibrary };
  } catch (cause) {
    throw new Error('Cannot load sodium-native: run `npm install sodium-native@5`, or leave the aead option out', {
      cause,
    });
  }
  return sodiumAead(module.default);
}
