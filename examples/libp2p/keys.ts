/**
 * Keys as libp2p has them: in protobuf, as peer ids, and in the payloads of its Noise handshake, where a signature binds the
 * static key to the identity. Source: libp2p's specs of peer ids and noise.
 */

import type { Bytes, PublicKey } from 'shoal';
import { concatBytes, encodeText } from 'shoal/bytes';
import type { PrivateKey } from 'shoal/keys';
import type { NoiseIdentity } from 'shoal/node';
import { defaultKeyRegistry, encodeSpki, OIDS } from 'shoal/x509';
import { decodeFields, field } from './protobuf.ts';

/** KeyType of Ed25519, and bytes of such a key. */
const ED25519 = 1;
const KEY_BYTES = 32;
const PURPOSE = encodeText('noise-libp2p-static-key:');

/** libp2p's PublicKey message of an Ed25519 key. */
export function encodeLibp2pKey({ spki }: PublicKey): Bytes {
  return concatBytes(field(1, ED25519), field(2, spki.subarray(-KEY_BYTES)));
}

/** The key in a PublicKey message; `undefined` when it is no Ed25519 key. */
export function decodeLibp2pKey(message: Uint8Array): PublicKey | undefined {
  const fields = decodeFields(message);
  const bits = fields?.bytes.get(2)?.[0];
  if (fields?.numbers.get(1) !== ED25519 || bits?.length !== KEY_BYTES) return undefined;
  return defaultKeyRegistry.verifier(encodeSpki({ algorithm: { oid: OIDS.ed25519 }, bits }))?.publicKey;
}

/** A libp2p peer id: the key itself as an identity multihash, in base58. */
export function libp2pPeerId(key: PublicKey): string {
  const message = encodeLibp2pKey(key);
  return base58(concatBytes(Uint8Array.of(0, message.length), message));
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

function base58(bytes: Uint8Array): string {
  let number = 0n;
  for (const byte of bytes) number = number * 256n + BigInt(byte);
  let text = '';
  for (; number > 0n; number /= 58n) text = BASE58[Number(number % 58n)]! + text;
  for (let i = 0; bytes[i] === 0; i++) text = `1${text}`;
  return text;
}

/** The payloads of libp2p's Noise: identity key and signature, and the peer's are verified. */
export function libp2pIdentity(privateKey: PrivateKey): NoiseIdentity {
  return {
    write: ({ staticKey }) =>
      concatBytes(
        field(1, encodeLibp2pKey(privateKey.publicKey)),
        field(2, privateKey.sign(concatBytes(PURPOSE, staticKey))),
      ),
    read: (payload, { staticKey }) => {
      const fields = decodeFields(payload);
      const [key, signature] = [fields?.bytes.get(1)?.[0], fields?.bytes.get(2)?.[0]];
      const publicKey = key === undefined ? undefined : decodeLibp2pKey(key);
      if (publicKey === undefined || signature === undefined) return undefined;
      const verifier = defaultKeyRegistry.verifier(publicKey.spki);
      return verifier?.verify(concatBytes(PURPOSE, staticKey), signature) === true ? publicKey : undefined;
    },
  };
}
