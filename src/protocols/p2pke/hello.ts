/** Checks an InitHello before any state is made for it. */

import { copyBytes, type Bytes } from '../../base/bytes.ts';
import type { PublicKey } from '../../core/secure.ts';
import { blake2b256 } from '../../crypto/blake2b.ts';
import type { KeyRegistry, Verifier } from '../../identity/key-algorithm.ts';
import { INIT_HELLO, PURPOSE_TIMESTAMP, VERSION } from './constants.ts';
import type { P2pkeDrop } from './drop-reason.ts';
import { counterOf, decodeInitHello, type InitHelloDatagram } from './messages.ts';
import { hashAfterHello } from './noise-nn.ts';
import { signatureInput } from './signature-input.ts';

/** An InitHello whose signature is valid. The signature proves who made the timestamp, not who sent the datagram (fault P7). */
export interface VerifiedHello {
  /** BLAKE2b-256 of the whole datagram: names the session, and breaks ties. */
  readonly sessionId: Bytes;
  readonly publicKey: PublicKey;
  readonly verifier: Verifier;
  /** TAI64N, 12 bytes. */
  readonly timestamp: Bytes;
  readonly ephemeral: Bytes;
  /** Handshake hash after this message. */
  readonly hash: Bytes;
}

/** The id of the session that an InitHello begins. */
export function sessionIdOf(initHello: Uint8Array): Bytes {
  return blake2b256(initHello);
}

/**
 * Checks all of an InitHello that needs no state; costs one signature check. Nothing is kept of the datagram.
 *
 * @param parsed - the datagram, if `decodeInitHello` has decoded it already.
 */
export function verifyInitHello(
  datagram: Uint8Array,
  registry: KeyRegistry,
  parsed: InitHelloDatagram | undefined = counterOf(datagram) === INIT_HELLO ? decodeInitHello(datagram) : undefined,
): VerifiedHello | P2pkeDrop {
  if (parsed === undefined) return 'malformed';
  const { hello, ephemeral, noisePayload } = parsed;
  if (hello.version !== VERSION) return 'bad_version';
  const verifier = registry.verifier(hello.spki);
  if (verifier === undefined) return 'unknown_key';
  if (!verifier.verify(signatureInput(PURPOSE_TIMESTAMP, hello.timestamp), hello.signature)) return 'bad_signature';
  return {
    sessionId: sessionIdOf(datagram),
    publicKey: verifier.publicKey,
    verifier,
    timestamp: copyBytes(hello.timestamp),
    ephemeral: copyBytes(ephemeral),
    hash: hashAfterHello(ephemeral, noisePayload),
  };
}
