/**
 * A key algorithm of your own, in the registry of `shoal/x509`: Ed448, which go-p2p names and has no codec for. A peer with such a key and
 * a peer with an Ed25519 key talk over p2pke; PeerIDs, files and public keys work as with all others.
 */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { exportKey, generateKey, importKey, peerIdOfKey } from 'shoal/keys';
import { p2pke } from 'shoal/p2pke';
import { openUdpSwarm } from 'shoal/udp';
import { createKeyRegistry, ed25519, encodePkcs8, encodeSpki, type KeyAlgorithm, OIDS } from 'shoal/x509';

const BYTES = 57;

/** Ed448 (RFC 8032 §5.2, RFC 8410) by node:crypto. */
const ed448: KeyAlgorithm = {
  name: 'ed448',
  identifier: { oid: OIDS.ed448 },
  signatureIdentifier: { oid: OIDS.ed448 },
  secretBytes: BYTES,
  isSecret: (secret) => secret.length === BYTES,
  publicBits: (secret) => {
    const { x } = createPublicKey(keyOf(secret)).export({ format: 'jwk' });
    return new Uint8Array(Buffer.from(x!, 'base64url'));
  },
  sign: (secret) => {
    const key = keyOf(secret);
    return (message) => new Uint8Array(sign(null, message, key));
  },
  // Never throws: the bits come from a peer.
  verify: (bits) => {
    if (bits.length !== BYTES) return undefined;
    try {
      const spki = encodeSpki({ algorithm: { oid: OIDS.ed448 }, bits: new Uint8Array(bits) });
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
      return (message, signature) => signature.length === 2 * BYTES && verify(null, message, key, signature);
    } catch {
      return undefined;
    }
  },
  // In PKCS#8 the secret is an octet string.
  encodeSecret: (secret) => Uint8Array.of(4, BYTES, ...secret),
  decodeSecret: (octets) =>
    octets.length === BYTES + 2 && octets[0] === 4 && octets[1] === BYTES
      ? new Uint8Array(octets.subarray(2))
      : undefined,
};

function keyOf(secret: Uint8Array): KeyObject {
  const der = encodePkcs8({ algorithm: { oid: OIDS.ed448 }, privateKey: ed448.encodeSecret(secret) });
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
}

const registry = createKeyRegistry([ed25519, ed448]);
const made = generateKeyPairSync('ed448').privateKey.export({ format: 'der', type: 'pkcs8' });
const aliceKey = importKey(new Uint8Array(made), { registry });
console.log(`alice has a key of ${aliceKey.algorithm}, PeerID ${peerIdOfKey(aliceKey.publicKey)}`);
// A file of it is PKCS#8 like all others.
const again = importKey(exportKey(aliceKey, 'pem'), { registry });

const bind = '127.0.0.1:0';
await using alice = p2pke(await openUdpSwarm({ bind }), { privateKey: again, registry });
await using bob = p2pke(await openUdpSwarm({ bind }), { privateKey: generateKey(), registry });
const { promise, resolve } = Promise.withResolvers<string>();
bob.listen(({ src, payload }) => {
  const { algorithm } = bob.knownPublicKey(src)!;
  resolve(`${new TextDecoder().decode(payload)}, from a key of ${algorithm}`);
});
await alice.tell(bob.addr, new TextEncoder().encode('hello'));
const heard = await promise;
console.log(`bob hears: ${heard}`);
if (heard !== 'hello, from a key of ed448') throw new Error('bob should know whom he hears');
