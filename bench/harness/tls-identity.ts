/** A key and a certificate for node:tls, as the TCP swarm makes them. */

import { exportKey } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import { createSelfSignedCertificate, defaultKeyRegistry } from 'shoal/x509';

/** @param key - the number of a test key. */
export function tlsIdentity(key: number): { readonly key: string; readonly cert: string } {
  const signer = testKey(key);
  const certificate = createSelfSignedCertificate({
    signer,
    registry: defaultKeyRegistry,
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 86_400_000,
    serialNumber: Uint8Array.of(1),
  });
  const base64 = Buffer.from(certificate).toString('base64');
  return { key: exportKey(signer, 'pem'), cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n` };
}
