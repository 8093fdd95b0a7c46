/**
 * The cipher of one direction: a key and a counter.
 *
 * Source: the Noise Protocol Framework, revision 34, §5.1, §4.2 (REKEY), §12.3 (the nonce of ChaChaPoly).
 */

import { chacha20Poly1305 } from '#crypto';
import { type Bytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { assertBytes, wholeNumber } from '../../base/checks.ts';
import { AEAD_TAG_BYTES, type AeadKey, type ImportAeadKey } from '../../crypto/suite.ts';
import { KEY_BYTES } from './hashing.ts';

/** Nonces from here on are not used. Noise ends at 2^64 − 2; 2^53 is not reached in practice either. */
export const MAX_NONCE: number = Number.MAX_SAFE_INTEGER;

/** The longest Noise message (§3). */
export const MAX_NOISE_MESSAGE_BYTES = 65_535;

/** The faults of a message or a record. */
export type NoiseFault =
  /** Shorter than its required content. */
  | 'too_short'
  /** Longer than 65 535 bytes (§3). */
  | 'too_long'
  /** A public key of low order: the shared secret would be known to everyone. */
  | 'low_order'
  /** Forged, truncated, out of order, or sealed for another peer. */
  | 'undecryptable'
  /** No nonce is left under this key. */
  | 'exhausted';

const NONCE_ZERO: Bytes = new Uint8Array(12);
/** §4.2: the nonce 2^64 − 1, which is reserved for REKEY. */
const NONCE_REKEY: Bytes = new Uint8Array(12).fill(0xff, 4);

/** Seals or opens in order; results belong to the caller. */
export class CipherState {
  readonly #importAead: ImportAeadKey;
  #key: AeadKey;
  #next: number;
  readonly #nonce = NONCE_ZERO.slice();

  /**
   * @param key - 32 bytes.
   * @param nonce - the first one. @default 0
   * @throws {TypeError | RangeError} for a key of another length, or an invalid nonce.
   */
  constructor(key: Uint8Array, importAead: ImportAeadKey = chacha20Poly1305, nonce = 0) {
    this.#importAead = importAead;
    this.#key = importAead(key);
    this.#next = wholeNumber(nonce, 'nonce', 0, 0, MAX_NONCE);
  }

  /** The nonce of the next message. */
  get nonce(): number {
    return this.#next;
  }

  /**
   * The sealed text, 16 bytes longer than the plaintext.
   *
   * @throws {RangeError} for more than 65 519 bytes, the maximum of a Noise message.
   */
  seal(associated: Uint8Array, plaintext: Uint8Array): Bytes | NoiseFault {
    checkPlaintext(plaintext); // before memory is allocated for it
    const sealed = new Uint8Array(plaintext.length + AEAD_TAG_BYTES);
    return this.sealInto(associated, plaintext, sealed, 0) ?? sealed;
  }

  /** Writes the sealed text into `out` at `offset`. @throws {RangeError} when it does not fit, and as {@link seal}. */
  sealInto(associated: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): NoiseFault | undefined {
    checkPlaintext(plaintext);
    if (this.#next >= MAX_NONCE) return 'exhausted';
    this.#key.seal(this.#nonceOf(this.#next), associated, plaintext, out, offset);
    this.#next++;
    return undefined;
  }

  /** The plaintext. After a fault the state is unchanged (§5.1). */
  open(associated: Uint8Array, sealed: Uint8Array): Bytes | NoiseFault {
    const plaintext = this.peek(associated, sealed);
    if (typeof plaintext !== 'string') this.#next++;
    return plaintext;
  }

  /** The result that {@link open} would return; does not change the state. */
  peek(associated: Uint8Array, sealed: Uint8Array): Bytes | NoiseFault {
    assertBytes(sealed, 'sealed');
    if (this.#next >= MAX_NONCE) return 'exhausted';
    if (sealed.length < AEAD_TAG_BYTES) return 'too_short';
    if (sealed.length > MAX_NOISE_MESSAGE_BYTES) return 'too_long';
    const plaintext = new Uint8Array(sealed.length - AEAD_TAG_BYTES);
    return this.#key.open(this.#nonceOf(this.#next), associated, sealed, plaintext, 0) ? plaintext : 'undecryptable';
  }

  /**
   * §4.2: derives a new key from the old one, which cannot be recovered. The nonce continues. Both sides must do it at
   * the same position.
   */
  rekey(): void {
    const sealed = new Uint8Array(KEY_BYTES + AEAD_TAG_BYTES);
    this.#key.seal(NONCE_REKEY, EMPTY_BYTES, new Uint8Array(KEY_BYTES), sealed, 0);
    this.#key = this.#importAead(sealed.subarray(0, KEY_BYTES));
    sealed.fill(0);
  }

  /** §12.3: four zeros, then the counter in eight bytes, little-endian. */
  #nonceOf(counter: number): Bytes {
    const nonce = this.#nonce;
    let rest = counter;
    for (let i = 4; i < nonce.length; i++) {
      nonce[i] = rest % 0x100;
      rest = Math.floor(rest / 0x100);
    }
    return nonce;
  }
}

function checkPlaintext(plaintext: Uint8Array): void {
  assertBytes(plaintext, 'plaintext');
  const most = MAX_NOISE_MESSAGE_BYTES - AEAD_TAG_BYTES;
  if (plaintext.length > most) {
    throw new RangeError(`Cannot take plaintext: expected at most ${most} bytes, got ${plaintext.length}`);
  }
}
