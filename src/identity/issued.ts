/** Checks whether the key of one certificate has signed another: Ed25519, ECDSA on P-256 and P-384, and RSA. */

import { ecdsaPublicKey, ed25519PublicKey, rsaPublicKey } from '#crypto';
import { equalBytes } from '../base/bytes.ts';
import type { RsaHash } from '../crypto/rsa.ts';
import type { EcdsaCurve, SignatureKey } from '../crypto/suite.ts';
import type { Certificate } from './certificate.ts';
import { derOid, TAG } from './der.ts';
import { OIDS, type Oid } from './oid.ts';
import { RSA_ENCRYPTION, rsaNumbers } from './rsa-key.ts';
import { type AlgorithmIdentifier, decodeSpki, type SubjectPublicKeyInfo } from './spki.ts';

/** RFC 4055 §5. */
const RSA_HASHES: Readonly<Record<Oid, RsaHash>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};

/** Curves, with the only signature algorithm accepted for each. RFC 5480 §2.1.1.1, RFC 5758 §3.2. */
const CURVES: readonly { readonly oid: Oid; readonly curve: EcdsaCurve; readonly signature: Oid }[] = [
  { oid: OIDS.prime256v1, curve: 'p-256', signature: OIDS.ecdsaWithSha256 },
  { oid: '1.3.132.0.34', curve: 'p-384', signature: '1.2.840.10045.4.3.3' },
];

/** Whether the key of `issuer` has signed `child`; names are not checked. Never throws. */
export function issued(issuer: Certificate, child: Certificate): 'yes' | 'no' | 'unsupported' {
  const key = decodeSpki(issuer.spki);
  const verifier = key === undefined ? undefined : verifierOf(key, child.signatureAlgorithm);
  if (verifier === 'unsupported') return verifier;
  return verifier?.verify(child.toBeSigned, child.signature) === true ? 'yes' : 'no';
}

/** The verifier of an algorithm for a key; `undefined` when the key is invalid. */
function verifierOf(
  { algorithm, bits }: SubjectPublicKeyInfo,
  signature: AlgorithmIdentifier,
): SignatureKey | 'unsupported' | undefined {
  switch (algorithm.oid) {
    case OIDS.ed25519:
      return isPlain(algorithm) && isPlain(signature) && signature.oid === OIDS.ed25519
        ? ed25519PublicKey(bits)
        : 'unsupported';
    case OIDS.ecPublicKey: {
      const { parameters } = algorithm;
      const known = CURVES.find(({ oid }) => parameters !== undefined && equalBytes(parameters, derOid(oid)));
      return known !== undefined && isPlain(signature) && signature.oid === known.signature
        ? ecdsaPublicKey(known.curve, bits)
        : 'unsupported';
    }
    case RSA_ENCRYPTION: {
      const name = RSA_HASHES[signature.oid];
      return name === undefined || !isNull(algorithm) || !isNull(signature) ? 'unsupported' : rsaKey(bits, name);
    }
    default:
      return 'unsupported';
  }
}

function isPlain({ parameters }: AlgorithmIdentifier): boolean {
  return parameters === undefined;
}

/** RFC 4055 §1.2: the parameters are NULL; other algorithms have none. */
function isNull({ parameters }: AlgorithmIdentifier): boolean {
  return parameters !== undefined && equalBytes(parameters, Uint8Array.of(TAG.null, 0));
}

function rsaKey(bits: Uint8Array, name: RsaHash): SignatureKey | undefined {
  const key = rsaNumbers(bits);
  return key === undefined ? undefined : rsaPublicKey(key.modulus, key.exponent, name);
}
