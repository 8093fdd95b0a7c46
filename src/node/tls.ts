/**
 * TLS 1.3 with a self-signed certificate on both sides: each side proves that it owns the key in its certificate;
 * names, dates and authorities are ignored. The node's `accept` checks the key before anything is delivered.
 */

import type { Bytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { encodePem } from '../identity/pem.ts';
import { exportKey } from '../identity/import-key.ts';
import { assertPrivateKey, type PrivateKey } from '../identity/private-key.ts';
import { identityOf, keyOf } from '../identity/quic-identity.ts';
import type { TcpConnection } from './connection.ts';
import { type Handshake, handshake, type HandshakeContext } from './handshake.ts';
import { peerCertificate, type SecureContext, secureContext, secureStream } from '../net/tls-stream.ts';
import type { HandshakeResult } from './transform.ts';

/** Options of TLS. */
export interface TlsOptions {
  /** This node's own key; Ed25519, or P-256. */
  readonly privateKey: PrivateKey;
  /** The time limit of the handshake, without the time of `accept`. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /** The source of time and randomness for the certificate. @default the system's */
  readonly realm?: Realm | undefined;
}

/**
 * A handshake that encrypts and authenticates with node:tls. Both sides need it. Messages sent together share TLS
 * records.
 *
 * @throws {TypeError | RangeError} for invalid options, or a key that TLS cannot use.
 * @example
 * ```ts
 * const node = createNode({ security: tls({ privateKey }), accept: ({ id }) => id === friend });
 * ```
 */
export function tls(options: TlsOptions): Handshake {
  return handshake(tlsHandshake(options), { timeoutMs: options.timeoutMs });
}

/**
 * The same as a part of a larger handshake that exchanges something else first.
 *
 * @throws {TypeError | RangeError} as {@link tls}.
 */
export function tlsHandshake(options: TlsOptions): (context: HandshakeContext) => Promise<HandshakeResult> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { privateKey, realm = systemRealm } = options;
  const secure = contextOf(privateKey, realm);
  return async ({ connection, stream, signal, accept }) => {
    const isClient = connection.side === 'responder';
    const socket = await secureStream(stream.takeSocket(), secure, isClient, signal);
    try {
      const publicKey = peerKey(peerCertificate(socket), connection);
      await accept(publicKey);
      return { transport: socket, publicKey };
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
}

function contextOf(privateKey: PrivateKey, realm: Realm): SecureContext {
  assertPrivateKey(privateKey);
  const [certificate] = identityOf(privateKey, realm).chain;
  return secureContext(encodePem('CERTIFICATE', certificate!), exportKey(privateKey, 'pem'));
}

/** The key that the peer has proven to own. */
function peerKey(certificate: Bytes | undefined, { addr }: TcpConnection): PublicKey {
  const key = certificate === undefined ? undefined : keyOf(certificate);
  if (key !== undefined) return key;
  const why = certificate === undefined ? 'it has no certificate' : 'its certificate cannot be read';
  throw new P2PError('identity_mismatch', 'remote', `Cannot accept ${addr}: ${why}`);
}
