/** Whether a certificate's signature is that of another one's key: by Ed25519, ECDSA on P-256 and P-384, and RSA. */

import { ecdsaPublicKey } from '#crypto';
import { equalBytes } from '../core/bytes.ts';
import { type RsaHash, rsaVerify } from '../crypto/rsa-verify.ts';
import { type Certificate } from './certificate.ts';
import { derOid, readDer } from './der.ts';
import { defaultKeyRegistry } from './ecdsa-p256.ts';
import { OIDS, type Oid } from './oid.ts';
import { decodeSpki, encodeAlgorithmIdentifier, type SubjectPublicKeyInfo } from './spki.ts';

/** RFC 5480 §2.1.1.1, RFC 5758 §3.2. */
const SECP384R1: Oid = '1.3.132.0.34';
const ECDSA_WITH_SHA384: Oid = '1.2.840.10045.4.3.3';
/** RFC 4055 §1.2, §5. */
const RSA_ENCRYPTION: Oid = '1.2.840.113549.1.1.1';
const RSA_HASHES: Readonly<Record<Oid, RsaHash>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};

/** Whether `issuer` has signed `child`: names and signature. Never throws. */
export function issued(issuer: Certificate, child: Certificate): boolean {
  if (!equalBytes(issuer.subject, child.issuer)) return false;
  const verifier = defaultKeyRegistry.verifier(issuer.spki);
  if (verifier !== undefined) {
    const algorithm = defaultKeyRegistry.byName(verifier.publicKey.algorithm)!;
    const expected = encodeAlgorithmIdentifier(algorithm.signatureIdentifier);
    if (!equalBytes(encodeAlgorithmIdentifier(child.signatureAlgorithm), expected)) return false;
    return verifier.verify(child.toBeSigned, child.signature);
  }
  const key = decodeSpki(issuer.spki);
  if (key?.algorithm.oid === OIDS.ecPublicKey) return isP384(key, child);
  return key?.algorithm.oid === RSA_ENCRYPTION && isRsa(key, child);
}

function isP384({ algorithm, bits }: SubjectPublicKeyInfo, child: Certificate): boolean {
  if (child.signatureAlgorithm.oid !== ECDSA_WITH_SHA384) return false;
  if (algorithm.parameters === undefined || !equalBytes(algorithm.parameters, derOid(SECP384R1))) return false;
  return ecdsaPublicKey('p-384', bits)?.verify(child.toBeSigned, child.signature) === true;
}

function isRsa({ bits }: SubjectPublicKeyInfo, child: Certificate): boolean {
  const name = RSA_HASHES[child.signatureAlgorithm.oid];
  if (name === undefined) return false;
  const key = readDer(bits, (reader) => {
    const inner = reader.sequence();
    const modulus = inner.integer();
    const exponent = inner.integer();
    inner.end();
    return modulus[0]! < 0x80 && exponent[0]! < 0x80 ? { modulus, exponent } : undefined; // negative numbers
  });
  return key !== undefined && rsaVerify(key, name, child.toBeSigned, child.signature);
}
