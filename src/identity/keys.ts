/** `shoal/keys`: private and public keys, fingerprints, PeerIDs, signatures for applications. Exports only. */

export { fingerprints, peerIdOfKey, type Fingerprint } from './fingerprints.ts';
export {
  PEER_ID_BYTES,
  PEER_ID_CHARACTERS,
  comparePeerIds,
  decodePeerId,
  encodePeerId,
  isPeerId,
} from '../core/peer-id.ts';
export { generateKey, type GenerateKeyOptions } from './generate-key.ts';
export {
  exportKey,
  exportPublicKey,
  importKey,
  importPublicKey,
  type ImportKeyOptions,
  type PrivateKeyFormat,
} from './import-key.ts';
export { type PrivateKey } from './private-key.ts';
export { verifyText } from './signed-text.ts';
export { sshFingerprint, sshWireKey } from './ssh-key.ts';
