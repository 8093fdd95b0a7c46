/**
 * TLS 1.3 with a self-signed certificate on both sides: whoever connects proves to have the key in the certificate, and
 * names, dates and authorities do not matter. The key is judged before a byte is delivered.
 */

import { constants } from 'node:crypto';
import { type Duplex } from 'node:stream';
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls';

import { copyBytes } from '../core/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { assertFunction } from '../core/limits.ts';
import { type Realm } from '../core/realm.ts';
import { type PublicKey } from '../core/secure.ts';
import { systemRealm } from '../drive/system-realm.ts';
import { encodePem } from '../formats/pem.ts';
import { exportKey } from '../keys/import-key.ts';
import { assertPrivateKey, type PrivateKey } from '../keys/private-key.ts';
import { identityOf, keyOf } from '../swarms/quic/identity.ts';
import { type Connection } from './connection.ts';
import { handshake, type HandshakeContext } from './handshake.ts';
import { type Hook, type HookHandle } from './hook.ts';
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

/** What a socket decrypts ahead while it is not read: one record, where Node's own default is four. */
const UNREAD_BYTES = 16_384;

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
    const socket = await secured(stream.takeSocket(), context, localRole === 'initiator', signal);
    try {
      const publicKey = peerKey(socket, connection);
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
  return createSecureContext({
    cert: encodePem('CERTIFICATE', certificate!),
    key: exportKey(privateKey, 'pem'),
    minVersion: 'TLSv1.3',
    // A resumed session shows no certificate, and a ticket is one more thing to keep.
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
}

/** A TLS socket over `stream`, once the peer has proven its key. It takes the halves apart as the socket below does. */
function secured(
  stream: Duplex,
  secureContext: SecureContext,
  isClient: boolean,
  signal: AbortSignal,
): Promise<TLSSocket> {
  // Certificates are self-signed: we judge the key ourselves.
  const common = {
    highWaterMark: UNREAD_BYTES,
    secureContext,
    rejectUnauthorized: false,
  };
  const socket = isClient
    ? connect({ ...common, socket: stream, checkServerIdentity: () => undefined })
    : new TLSSocket(stream, { ...common, isServer: true, requestCert: true });
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      socket.off('end', onEnd);
      socket.off('close', onError);
      socket.pause(); // Before any message is there to be missed.
    };
    const onError = (cause?: Error | boolean): void => {
      stop();
      socket.on('error', () => undefined); // Nobody waits for it any more.
      socket.destroy();
      reject(secureError(cause));
    };
    const onEnd = (): void => onError();
    const onAbort = (): void => {
      onError();
      reject(signal.reason);
    };
    socket.once('error', onError);
    socket.once('end', onEnd);
    socket.once('close', onError);
    socket.resume(); // A stream that nobody reads does not say that it has ended.
    socket.once(isClient ? 'secureConnect' : 'secure', () => {
      stop();
      resolve(socket);
    });
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

/** A peer that closes may only be full; only what is said of certificates is about who we or they are. */
function secureError(cause: Error | boolean | undefined): P2PError {
  const cannot = 'Cannot secure connection: ';
  if (!(cause instanceof Error)) {
    return new P2PError('disconnected', 'remote', `${cannot}the peer closed the connection`, { sent: 'no' });
  }
  const { code = '' } = cause as NodeJS.ErrnoException;
  const isSsl = code.startsWith('ERR_SSL_');
  const found = isSsl ? (/CERT|UNKNOWN_CA/.test(code) ? 'identity_mismatch' : 'refused') : 'disconnected';
  return new P2PError(found, 'remote', cannot + cause.message, { sent: 'no', cause });
}

/** The key that the peer has proven to have. */
function peerKey(socket: TLSSocket, { addr }: Connection): PublicKey {
  const certificate = socket.getPeerX509Certificate();
  const key = certificate === undefined ? undefined : keyOf(copyBytes(certificate.raw));
  if (key !== undefined) return key;
  const why = certificate === undefined ? 'it has no certificate' : 'its certificate cannot be read';
  throw new P2PError('identity_mismatch', 'remote', `Cannot accept ${addr}: ${why}`);
}
