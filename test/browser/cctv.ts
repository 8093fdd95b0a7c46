/** The verdicts of the package as users get it on the CCTV Ed25519 vectors, wherever it runs: one rule has one answer. */

import { defaultKeyRegistry, encodeSpki, OIDS } from 'shoal/x509';

/** One vector of `cctv-ed25519.json`. */
export interface CctvVector {
  readonly key: string;
  readonly sig: string;
  readonly msg: string;
}

const fromHex = (hex: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

/** A digit for each vector: 1 where the signature is accepted. */
export function cctvVerdicts(vectors: readonly CctvVector[]): string {
  return vectors
    .map(({ key, sig, msg }) => {
      const spki = encodeSpki({ algorithm: { oid: OIDS.ed25519 }, bits: fromHex(key) });
      const verifier = defaultKeyRegistry.verifier(spki);
      return verifier?.verify(new TextEncoder().encode(msg), fromHex(sig)) === true ? '1' : '0';
    })
    .join('');
}
