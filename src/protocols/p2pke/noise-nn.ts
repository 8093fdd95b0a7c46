/**
 * Noise_NN_25519_ChaChaPoly_BLAKE2b, as plain functions: each step takes the values of the one before and changes
 * nothing, so that a forged message costs a handshake nothing (fault P5 of the original).
 *
 * Source: the Noise Protocol Framework, revision 34, §§4, 5, 7.4 (pattern NN: → e; ← e, ee).
 */

import { type Bytes, concatBytes, EMPTY_BYTES } from '../../base/bytes.ts';
import type { ImportAeadKey, X25519PrivateKey } from '../../crypto/suite.ts';
import { initialHash, mixHash, mixKey, split, type TransportKeys } from '../noise/hashing.ts';
import { PROTOCOL_NAME, TAG_BYTES } from './constants.ts';

const HASH = 'BLAKE2b';
const NONCE_ZERO: Bytes = new Uint8Array(12);
const CHAINING_KEY: Bytes = initialHash(HASH, PROTOCOL_NAME);
/** The hash with the empty prologue mixed in. */
const INITIAL_HASH: Bytes = mixHash(HASH, CHAINING_KEY, EMPTY_BYTES);

/** Handshake hash after message 1. */
export function hashAfterHello(ephemeral: Uint8Array, payload: Uint8Array): Bytes {
  return mixHash(HASH, mixHash(HASH, INITIAL_HASH, ephemeral), payload);
}

/** Both sides after message 2. */
export interface Established {
  /** Handshake hash after message 2. */
  readonly hash: Bytes;
  readonly keys: TransportKeys;
}

/**
 * The responder writes message 2.
 *
 * @returns `undefined` when the initiator's ephemeral is a point of low order.
 */
export function writeReply(
  helloHash: Uint8Array,
  theirEphemeral: Uint8Array,
  ephemeral: X25519PrivateKey,
  payload: Uint8Array,
  importAead: ImportAeadKey,
): { readonly body: Bytes; readonly established: Established } | undefined {
  const secret = ephemeral.sharedSecret(theirEphemeral);
  if (secret === undefined) return undefined;
  const h = mixHash(HASH, helloHash, ephemeral.publicKey);
  const { chainingKey, key } = mixKey(HASH, CHAINING_KEY, secret);
  const sealed = new Uint8Array(payload.length + TAG_BYTES);
  importAead(key).seal(NONCE_ZERO, h, payload, sealed, 0);
  return {
    body: concatBytes(ephemeral.publicKey, sealed),
    established: { hash: mixHash(HASH, h, sealed), keys: split(HASH, chainingKey) },
  };
}

/**
 * The initiator reads message 2: `'low_order'` or `'undecryptable'` when it is not for this handshake.
 *
 * @param helloHashes - of the messages 1 with this ephemeral that it may be an answer to.
 * @returns with the index of the one that it is an answer to.
 */
export function readReply(
  helloHashes: readonly Uint8Array[],
  ephemeral: X25519PrivateKey,
  theirEphemeral: Uint8Array,
  sealed: Uint8Array,
  importAead: ImportAeadKey,
):
  | { readonly payload: Bytes; readonly established: Established; readonly index: number }
  | 'low_order'
  | 'undecryptable' {
  const secret = ephemeral.sharedSecret(theirEphemeral);
  if (secret === undefined) return 'low_order';
  const { chainingKey, key } = mixKey(HASH, CHAINING_KEY, secret);
  const aead = importAead(key);
  const payload = new Uint8Array(sealed.length - TAG_BYTES);
  for (const [index, helloHash] of helloHashes.entries()) {
    const h = mixHash(HASH, helloHash, theirEphemeral);
    if (!aead.open(NONCE_ZERO, h, sealed, payload, 0)) continue;
    return { payload, established: { hash: mixHash(HASH, h, sealed), keys: split(HASH, chainingKey) }, index };
  }
  return 'undecryptable';
}
