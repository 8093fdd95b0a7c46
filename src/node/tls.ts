/**
 * TLS 1.3 with a self-signed certificate on both sides: whoever connects proves to have the key in the certificate, and
 * names, dates and authorities do not matter. The key is judged before a byte is delivered.
 */

import { type Bytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { assertFunction } from '../base/checks.ts';
import { type Realm } from '../core/realm.ts';
import { type PublicKey } from '../core/secure.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { encodePem } from '../identity/pem.ts';
import { exportKey } from '../identity/import-key.ts';
import { assertPrivateKey, type PrivateKey } from '../identity/private-key.ts';
import { identityOf, keyOf } from '../identity/quic-identity.ts';
import { type Connection } from './connection.ts';
import { handshake, type HandshakeContext } from './handshake.ts';
import { type Hook, type HookHandle } from './hook.ts';
import { peerCertificate, type SecureContext, secureContext, secureStream } from '../net/tls-stream.ts';
import { type HandshakeResult } from './transport.ts';

/** How connections are secured. */
export interface TlsOptions {
  /** Our own key; Ed25519, or P-256. */
  readonly privateKey: PrivateKey;
  /**
   * Whether the peer with this key may connect: a promise is waited for. It has proven to have the key.
   * @default everybody may; `connection.publicKey` says who it is
   */
  readonly verify?: ((publicKey: PublicKey, connection: Connection) => boolean | Promise<boolean>) | undefined;
  /** How long it may take. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /** Whose time and randomness the certificate is made with. @default the system's */
  readonly realm?: Realm | undefined;
}

/**
 * A handshake that encrypts and authenticates with node:tls. Both sides need it. Messages that are sent together share TLS
 * records.
 *
 * @throws {TypeError | RangeError} for wrong options, or a key that TLS cannot use.
 * @example
 * ```ts
 * node.enable(tls({ privateKey, verify: (key) => peerIdOf(key) === friend }));
 * ```
 */
export function tls(options: TlsOptions): Hook<HookHandle> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { privateKey, verify, timeoutMs, realm = systemRealm } = options;
  if (verify !== undefined) assertFunction(verify, 'verify');
  const context = contextOf(privateKey, realm);
  const perform = async (shake: HandshakeContext): Promise<HandshakeResult> => {
    const { connection, stream, localRole, signal } = shake;
    const socket = await secureStream(stream.takeSocket(), context, localRole === 'initiator', signal);
    try {
      const publicKey = peerKey(peerCertificate(socket), connection);
      const answer: unknown = verify === undefined || (await verify(publicKey, connection));
      if (answer !== true) {
        throw new P2PError('identity_mismatch', 'remote', `Cannot accept ${connection.addr}: verify refused its key`);
      }
      return { transport: socket, publicKey };
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
  return handshake(perform, { timeoutMs });
}

function contextOf(privateKey: PrivateKey, realm: Realm): SecureContext {
  assertPrivateKey(privateKey);
  const [certificate] = identityOf(privateKey, realm).chain;
  return secureContext(encodePem('CERTIFICATE', certificate!), exportKey(privateKey, 'pem'));
}

/** The key that the peer has proven to have. */
function peerKey(certificate: Bytes | undefined, { addr }: Connection): PublicKey {
  const key = certificate === undefined ? undefined : keyOf(certificate);
  if (key !== undefined) return key;
  const why = certificate === undefined ? 'it has no certificate' : 'its certificate cannot be read';
  throw new P2PError('identity_mismatch', 'remote', `Cannot accept ${addr}: ${why}`);
}
