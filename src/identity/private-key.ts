/**
 * Private keys as objects that do not reveal their secret: not in errors, not in logs, not to `util.inspect` or JSON.
 * Only `exportKey` returns the secret.
 */

import { copyBytes, type Bytes } from '../base/bytes.ts';
import { assertBytes, describeOption } from '../base/checks.ts';
import type { PublicKey } from '../core/secure.ts';
import type { KeyRegistry, Signer } from './key-algorithm.ts';
import { signedTextBytes } from './signed-text.ts';

/**
 * A private key. Any object with these members can be used where only signing is needed (a hardware key, for example).
 */
export interface PrivateKey extends Signer {
  /** The same as `publicKey.algorithm`. */
  readonly algorithm: string;
  readonly publicKey: PublicKey;
  /**
   * Signs exactly these bytes, for protocols. **Not for bytes that somebody else chooses**: an application that signs
   * such a challenge may sign anything, for example a valid peer record, which says where this peer can be reached. Use
   * {@link PrivateKey.signText}.
   */
  sign(message: Uint8Array): Bytes;
  /**
   * Signs bytes for an application, also bytes that others choose: the signature is never valid for anything that shoal
   * itself signs. `verifyText` checks it.
   *
   * @param context - the purpose of the signature: 1 to 255 bytes of UTF-8, different for each purpose and version, as
   * in `example.org/login 1`.
   * @throws {TypeError | RangeError} for an invalid context or bytes.
   */
  signText(context: string, bytes: Uint8Array): Bytes;
  /** Readable text without the secret. */
  toString(): string;
}

/** @throws {TypeError} when `value` cannot sign. The message quotes nothing of it. @internal */
export function assertPrivateKey(value: unknown): asserts value is PrivateKey {
  const { publicKey, sign } = (typeof value === 'object' && value !== null ? value : {}) as Partial<PrivateKey>;
  if (publicKey?.spki instanceof Uint8Array && typeof sign === 'function') return;
  throw new TypeError(`Cannot take privateKey: expected a private key, got ${describeOption('privateKey', value)}`);
}

interface Secret {
  readonly registry: KeyRegistry;
  readonly bytes: Bytes;
}

/** Secrets by key. Bounded by the keys in memory: an entry is collected with its key. */
const secrets = new WeakMap<PrivateKey, Secret>();

class OpaquePrivateKey implements PrivateKey {
  readonly algorithm: string;
  readonly publicKey: PublicKey;
  readonly #sign: (message: Uint8Array) => Bytes;

  constructor(signer: Signer) {
    this.algorithm = signer.publicKey.algorithm;
    this.publicKey = signer.publicKey;
    this.#sign = (message) => {
      assertBytes(message, 'message');
      return signer.sign(message);
    };
  }

  sign(message: Uint8Array): Bytes {
    return this.#sign(message);
  }

  signText(context: string, bytes: Uint8Array): Bytes {
    return this.#sign(signedTextBytes(context, bytes));
  }

  toString(): string {
    return `PrivateKey(${this.algorithm})`;
  }

  toJSON(): object {
    return { algorithm: this.algorithm, privateKey: 'not shown' };
  }
}

/**
 * The private key of a secret. @throws {TypeError} {RangeError} when it is not a secret of that algorithm. @internal
 */
export function privateKeyOf(registry: KeyRegistry, algorithm: string, secret: Uint8Array): PrivateKey {
  const key = new OpaquePrivateKey(registry.signer(algorithm, secret));
  secrets.set(key, { registry, bytes: copyBytes(secret) });
  return key;
}

/** The secret of a key made by this library. @throws {TypeError} for any other object. @internal */
export function secretOf(key: PrivateKey): Secret {
  const secret = secrets.get(key);
  if (secret === undefined) throw new TypeError('Cannot export key: it was not made by generateKey or importKey');
  return secret;
}
