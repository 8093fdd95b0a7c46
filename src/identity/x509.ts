/** `shoal/x509`: object identifiers, keys as SPKI and PKCS#8, certificates. Exports only. */

export {
  createSelfSignedCertificate,
  parseCertificate,
  verifySelfSigned,
  type Certificate,
  type CertificateExtension,
  type NewCertificate,
  type SelfSignedOptions,
} from './certificate.ts';
export { defaultKeyRegistry, ecdsaP256 } from './ecdsa-p256.ts';
export {
  createKeyRegistry,
  ed25519,
  equalPublicKeys,
  type DecodedPrivateKey,
  type KeyAlgorithm,
  type KeyRegistry,
  type Signer,
  type Verifier,
} from './key-algorithm.ts';
export { createCertificate, type CertificateOptions } from './issue.ts';
export { decodeOid, encodeOid, isOid, OIDS, type KnownOid, type Oid } from './oid.ts';
export { decodePem, encodePem, type PemBlock } from './pem.ts';
export { decodePkcs8, encodePkcs8, type PrivateKeyInfo } from './pkcs8.ts';
export { decodeSpki, encodeSpki, type AlgorithmIdentifier, type SubjectPublicKeyInfo } from './spki.ts';
