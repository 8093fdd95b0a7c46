/** Fingerprints of public keys, and the PeerIDs made from them. */

import { hash, shake256 } from '#crypto';
import { concatBytes, encodeText, type Bytes } from '../base/bytes.ts';
import { assertFunction, describeOption } from '../base/checks.ts';
import { encodePeerId, type PeerId } from '../core/peer-id.ts';
import { type PublicKey } from '../core/secure.ts';
import { OIDS } from './oid.ts';
import { decodeSpki } from './spki.ts';

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

function sshString(bytes: Uint8Array): Bytes {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concatBytes(length, bytes);
}

/**
 * A public key in the wire format of SSH (RFC 4253 §6.6; RFC 8709 §4; RFC 5656 §3.1).
 *
 * @throws {TypeError} when the key is neither Ed25519 nor P-256.
 */
export function sshWireKey(publicKey: PublicKey): Bytes {
  const info = decodeSpki(publicKey.spki);
  if (info?.algorithm.oid === OIDS.ed25519) {
    return concatBytes(sshString(encodeText('ssh-ed25519')), sshString(info.bits));
  }
  if (info !== undefined && publicKey.algorithm === 'ecdsa-p256') {
    const names = ['ecdsa-sha2-nistp256', 'nistp256'].map((name) => sshString(encodeText(name)));
    return concatBytes(...names, sshString(info.bits));
  }
  throw new TypeError(`Cannot write SSH key: expected ed25519 or ecdsa-p256, got ${publicKey.algorithm}`);
}

/** OpenSSH's fingerprint: `SHA256:` and unpadded base64. @throws {TypeError} as {@link sshWireKey}. */
export function sshFingerprint(publicKey: PublicKey): string {
  const digest = hash('sha256', sshWireKey(publicKey));
  return `SHA256:${btoa(String.fromCharCode(...digest)).replaceAll('=', '')}`;
}
