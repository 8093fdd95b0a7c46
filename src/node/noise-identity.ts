/** The peer's identity, in the payloads of a Noise handshake. Source: docs/wire/noise.md §4. */

import { type Bytes, concatBytes, encodeText } from '../base/bytes.ts';
import type { PublicKey } from '../core/secure.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import type { PrivateKey } from '../identity/private-key.ts';

/** The values that a payload is bound to. */
export interface NoiseBinding {
  /** The static key (X25519, 32 bytes) of the side that sends the payload. */
  readonly staticKey: Uint8Array;
  /** The handshake hash before the message: unique to this handshake. */
  readonly handshakeHash: Uint8Array;
}

/** How payloads state and prove an identity, for protocols with their own payloads. */
export interface NoiseIdentity {
  /** Creates this side's payload. */
  write(binding: NoiseBinding): Uint8Array;
  /**
   * The key that the peer's payload proves; `undefined` when it proves none, which aborts the handshake. Must not
   * throw.
   */
  read(payload: Uint8Array, binding: NoiseBinding): PublicKey | undefined;
}

const PURPOSE: Bytes = encodeText('shoal/noise/static-key');
/** Bytes of the SPKI's length field. */
const LENGTH_BYTES = 2;

function signedText({ staticKey, handshakeHash }: NoiseBinding): Bytes {
  return concatBytes(PURPOSE, handshakeHash, staticKey);
}

/** The payload format of this package: the SPKI, and a signature that binds the static key to it. */
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
