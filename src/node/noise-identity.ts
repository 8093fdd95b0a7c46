/** Who a peer is, in the payloads of a Noise handshake. Source: docs/wire/noise.md §4. */

import { type Bytes, concatBytes, encodeText } from '../base/bytes.ts';
import { type PublicKey } from '../core/secure.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import { type PrivateKey } from '../identity/private-key.ts';

/** What a payload is bound to. */
export interface NoiseBinding {
  /** The static key (X25519, 32 bytes) of the side whose payload it is. */
  readonly staticKey: Uint8Array;
  /** The handshake hash before the message: of this handshake only. */
  readonly handshakeHash: Uint8Array;
}

/** How payloads say and prove who a peer is; for protocols that have payloads of their own. */
export interface NoiseIdentity {
  /** Our payload. */
  write(binding: NoiseBinding): Uint8Array;
  /** The key that the peer's payload proves; `undefined` when it proves none, which ends the handshake. Must not throw. */
  read(payload: Uint8Array, binding: NoiseBinding): PublicKey | undefined;
}

const PURPOSE: Bytes = encodeText('shoal/noise/static-key');
/** Bytes of the length of the SPKI. */
const LENGTH_BYTES = 2;

function signedText({ staticKey, handshakeHash }: NoiseBinding): Bytes {
  return concatBytes(PURPOSE, handshakeHash, staticKey);
}

/** shoal's own payloads: the SPKI, and a signature that binds the static key to it. */
export function signedIdentity(privateKey: PrivateKey): NoiseIdentity {
  const { spki } = privateKey.publicKey;
  const head = Uint8Array.of(spki.length >>> 8, spki.length);
  return {
    write: (binding) => concatBytes(head, spki, privateKey.sign(signedText(binding))),
    read: (payload, binding) => {
      if (payload.length < LENGTH_BYTES) return undefined;
      const end = LENGTH_BYTES + ((payload[0]! << 8) | payload[1]!);
      const verifier = defaultKeyRegistry.verifier(payload.slice(LENGTH_BYTES, end));
      return verifier?.verify(signedText(binding), payload.subarray(end)) === true ? verifier.publicKey : undefined;
    },
  };
}
