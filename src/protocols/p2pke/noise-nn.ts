/**
 * Noise_NN_25519_ChaChaPoly_BLAKE2b, as plain functions: each step takes the values of the one before and changes
 * nothing, so that a forged message costs a handshake nothing (fault P5 of the original).
 *
 * Source: the Noise Protocol Framework, revision 34, §§4, 5, 7.4 (pattern NN: → e; ← e, ee).
 */

import { hash, hkdf } from '#crypto';
import { concatBytes, EMPTY_BYTES, encodeText, type Bytes } from '../../core/bytes.ts';
import { type ImportAeadKey, type X25519PrivateKey } from '../../crypto/suite.ts';
import { PROTOCOL_NAME, TAG_BYTES } from './constants.ts';

const HASH_BYTES = 64;
const KEY_BYTES = 32;
const NONCE_ZERO: Bytes = new Uint8Array(12);

function mixHash(h: Uint8Array, data: Uint8Array): Bytes {
  return hash('blake2b512', concatBytes(h, data));
}

/** §5.2 InitializeSymmetric: a name of at most HASHLEN bytes is padded with zeros. */
const CHAINING_KEY: Bytes = concatBytes(encodeText(PROTOCOL_NAME), new Uint8Array(HASH_BYTES - PROTOCOL_NAME.length));
/** The hash with the empty prologue mixed in. */
const INITIAL_HASH: Bytes = mixHash(CHAINING_KEY, EMPTY_BYTES);

/** Handshake hash after message 1. */
export function hashAfterHello(ephemeral: Uint8Array, payload: Uint8Array): Bytes {
  return mixHash(mixHash(INITIAL_HASH, ephemeral), payload);
}

/** The two keys of a session. */
export interface TransportKeys {
  readonly initiatorToResponder: Bytes;
  readonly responderToInitiator: Bytes;
}

/** Both sides after message 2. */
export interface Established {
  /** Handshake hash after message 2. */
  readonly hash: Bytes;
  readonly keys: TransportKeys;
}

function afterSecret(secret: Uint8Array): { readonly chainingKey: Uint8Array; readonly key: Uint8Array } {
  const output = hkdf('blake2b512', secret, CHAINING_KEY, EMPTY_BYTES, 2 * HASH_BYTES);
  return {
    chainingKey: output.subarray(0, HASH_BYTES),
    key: output.subarray(HASH_BYTES, HASH_BYTES + KEY_BYTES),
  };
}

function split(chainingKey: Uint8Array): TransportKeys {
  const output = hkdf('blake2b512', EMPTY_BYTES, chainingKey, EMPTY_BYTES, 2 * HASH_BYTES);
  return {
    initiatorToResponder: output.slice(0, KEY_BYTES),
    responderToInitiator: output.slice(HASH_BYTES, HASH_BYTES + KEY_BYTES),
  };
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
  const h = mixHash(helloHash, ephemeral.publicKey);
  const { chainingKey, key } = afterSecret(secret);
  const sealed = new Uint8Array(payload.length + TAG_BYTES);
  importAead(key).seal(NONCE_ZERO, h, payload, sealed, 0);
  return {
    body: concatBytes(ephemeral.publicKey, sealed),
    established: { hash: mixHash(h, sealed), keys: split(chainingKey) },
  };
}

/** The initiator reads message 2: `'low_order'` or `'undecryptable'` when it is not for this handshake. */
export function readReply(
  helloHash: Uint8Array,
  ephemeral: X25519PrivateKey,
  theirEphemeral: Uint8Array,
  sealed: Uint8Array,
  importAead: ImportAeadKey,
): { readonly payload: Bytes; readonly established: Established } | 'low_order' | 'undecryptable' {
  const secret = ephemeral.sharedSecret(theirEphemeral);
  if (secret === undefined) return 'low_order';
  const h = mixHash(helloHash, theirEphemeral);
  const { chainingKey, key } = afterSecret(secret);
  const payload = new Uint8Array(sealed.length - TAG_BYTES);
  if (!importAead(key).open(NONCE_ZERO, h, sealed, payload, 0)) return 'undecryptable';
  return { payload, established: { hash: mixHash(h, sealed), keys: split(chainingKey) } };
}
