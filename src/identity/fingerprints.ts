/** Fingerprints of public keys, and the PeerIDs made from them. */

import { hash, shake256 } from '#crypto';
import { assertFunction, describeOption } from '../base/checks.ts';
import { encodePeerId, type PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';

/** Computes the 32 bytes of a PeerID from a public key. */
export type Fingerprint = (publicKey: PublicKey) => Uint8Array;

/** The built-in fingerprints. All hash the key's SPKI. */
export const fingerprints: {
  /** SHAKE256 with 32 bytes of output: the default everywhere; as go-p2p's p2pkeswarm. */
  readonly shake256: Fingerprint;
  /** SHA3-256: as go-p2p's quicswarm. */
  readonly sha3: Fingerprint;
} = {
  shake256: (publicKey) => shake256(publicKey.spki, 32),
  sha3: (publicKey) => hash('sha3-256', publicKey.spki),
};

/**
 * The PeerID of a public key.
 *
 * @param fingerprint - one of {@link fingerprints}, or your own. @default fingerprints.shake256
 * @throws {TypeError} when `publicKey` is not a public key.
 * @throws {RangeError} when `fingerprint` does not return 32 bytes.
 */
export function peerIdOfKey(publicKey: PublicKey, fingerprint: Fingerprint = fingerprints.shake256): PeerId {
  if (!(publicKey?.spki instanceof Uint8Array)) {
    throw new TypeError(
      `Cannot take publicKey: expected { algorithm, spki }, got ${describeOption('publicKey', publicKey)}`,
    );
  }
  assertFunction(fingerprint, 'fingerprint');
  return encodePeerId(fingerprint(publicKey));
}
