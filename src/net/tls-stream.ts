/**
 * TLS 1.3 over a stream, with a self-signed certificate on both sides. Names, dates and authorities are not checked.
 */

import { constants } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls';

import { type Bytes, copyBytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';

export type { SecureContext };

/** The bytes that a paused socket decrypts in advance: one record; Node's default is four. */
const UNREAD_BYTES = 16_384;

/** A TLS context with this certificate and private key, both PEM. */
export function secureContext(certificate: string, privateKey: string): SecureContext {
  return createSecureContext({
    cert: certificate,
    key: privateKey,
    minVersion: 'TLSv1.3',
    // A resumed session shows no certificate, and tickets would have to be stored.
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
}

/**
 * A TLS socket over `stream`, once the peer has proven its key. Its halves close separately, as those of the socket
 * below.
 */
export function secureStream(
  stream: Duplex,
  context: SecureContext,
  isClient: boolean,
  signal: AbortSignal,
): Promise<TLSSocket> {
  // Certificates are self-signed: the caller checks the key.
  const common = {
    highWaterMark: UNREAD_BYTES,
    secureContext: context,
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
      socket.pause(); // Before any message can be missed.
    };
    const onError = (cause?: Error | boolean): void => {
      stop();
      socket.on('error', () => undefined); // No caller waits for it any more.
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
    socket.resume(); // A paused stream does not report its end.
    socket.once(isClient ? 'secureConnect' : 'secure', () => {
      stop();
      // Without a tls.Server, Node reports faults of later records by this event only, and the connection would stay.
      if (!isClient) socket.on('_tlsError', (error: Error) => socket.destroy(error));
      resolve(socket);
    });
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

/** A peer that closes the connection may only be full; only certificate errors concern an identity. */
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

/** The certificate that the peer has proven to own, DER. */
export function peerCertificate(socket: TLSSocket): Bytes | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? undefined : copyBytes(certificate.raw);
}
