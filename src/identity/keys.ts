/** `shoal/keys`: private and public keys, fingerprints, PeerIDs, signatures for applications. Names only. */

export { fingerprints, peerIdOf, sshFingerprint, sshWireKey, type Fingerprint } from './fingerprints.ts';
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
