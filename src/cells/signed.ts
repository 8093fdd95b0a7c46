/** Cells whose values are signed: what was not signed by one of the allowed keys is refused. Source: docs/wire/cells.md. */

import { type Bytes, encodeText } from '../base/bytes.ts';
import { assertString, describeValue } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { PublicKey } from '../core/secure.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import type { Verifier } from '../identity/key-algorithm.ts';
import { assertPrivateKey, type PrivateKey } from '../identity/private-key.ts';
import {
  decodeSigned,
  encodeSigned,
  SIGNED_OVERHEAD_BYTES,
  signedHash,
  TRACKER_PURPOSE,
} from '../protocols/cell/signed-form.ts';
import type { Cell } from './cell.ts';
import { translated } from './translated.ts';

/** Options of {@link signed}. */
export interface SignedOptions {
  /** Signs what is written: Ed25519. */
  readonly privateKey: PrivateKey;
  /** The keys whose values are accepted: Ed25519, 1 to 64. @default that of `privateKey` */
  readonly signers?: readonly PublicKey[] | undefined;
  /** What the signatures are for: 1 to 255 bytes of UTF-8. @default 'p2p/cell-tracker', as go-p2p's tracker */
  readonly purpose?: string | undefined;
}

const MAX_SIGNERS = 64;
const MAX_PURPOSE_BYTES = 255;

/**
 * Wraps a cell: values are signed when written, and verified when read. An empty cell is empty, signed by nobody. A server can still show an old value.
 *
 * Reading what no allowed key has signed rejects with `identity_mismatch`. Closing closes the inner cell.
 *
 * @throws {TypeError | RangeError} for invalid arguments.
 */
export function signed(inner: Cell, options: SignedOptions): Cell {
  const { privateKey, signers = [privateKey?.publicKey], purpose = TRACKER_PURPOSE } = options ?? {};
  assertPrivateKey(privateKey);
  assertString(purpose, 'purpose');
  const { length } = encodeText(purpose);
  if (length === 0 || length > MAX_PURPOSE_BYTES) {
    throw new RangeError(`Cannot take purpose: expected 1 to ${MAX_PURPOSE_BYTES} bytes, got ${length}`);
  }
  if (!Array.isArray(signers) || signers.length === 0 || signers.length > MAX_SIGNERS) {
    throw new RangeError(`Cannot take signers: expected 1 to ${MAX_SIGNERS} keys`);
  }
  const verifiers = [privateKey.publicKey, ...(signers as readonly PublicKey[])].map(verifierOf).slice(1);
  return translated(inner, {
    overheadBytes: SIGNED_OVERHEAD_BYTES,
    wrap: (payload) => encodeSigned(payload, privateKey.sign(signedHash(purpose, payload))),
    unwrap: (value) => openSigned(value, purpose, verifiers),
  });
}

function verifierOf(key: PublicKey): Verifier {
  const verifier = key?.algorithm === 'ed25519' ? defaultKeyRegistry.verifier(key.spki) : undefined;
  if (verifier !== undefined) return verifier;
  throw new TypeError(`Cannot take signers: expected Ed25519 keys, got ${describeValue(key?.algorithm)}`);
}

function openSigned(value: Bytes, purpose: string, verifiers: readonly Verifier[]): Bytes {
  const parts = decodeSigned(value);
  if (parts !== undefined) {
    const signedBytes = signedHash(purpose, parts.payload);
    if (verifiers.some((each) => each.verify(signedBytes, parts.signature))) return parts.payload;
  }
  const what = 'Cannot read cell: no accepted key has signed what is in it';
  throw new P2PError('identity_mismatch', 'remote', what, { sent: 'no' });
}
