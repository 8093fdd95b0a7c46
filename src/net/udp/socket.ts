/** A bound node:dgram socket, made so that sending is synchronous. */

import { type Socket, type SocketOptions, createSocket } from 'node:dgram';

import { P2PError } from '../../core/errors.ts';
import { type SocketAddress, formatSocketAddress, ipVersion } from '../../base/ip.ts';

/** How a socket is made. */
export interface UdpSocketOptions {
  readonly bind: SocketAddress;
  readonly recvBufferBytes: number;
  readonly sendBufferBytes: number;
  readonly reusePort: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * dgram looks every destination up, by default in a later turn, and the buffer would have to stay untouched until then.
 * Destinations are IPs already, so they are their own result, at once.
 */
const sameAddress = (
  address: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void => callback(null, address, address.includes(':') ? 6 : 4);

/** @throws (by rejection) {P2PError} `in_use` or `unreachable`, naming address and port; `signal.reason`. */
export function bindSocket(options: UdpSocketOptions): Promise<Socket> {
  const { bind, signal } = options;
  const lookup = sameAddress;
  // `[::]` takes both families; a concrete IPv6 address takes its own.
  const { reusePort } = options;
  const socketOptions: SocketOptions =
    ipVersion(bind.ip) === 6
      ? { type: 'udp6', ipv6Only: bind.ip !== '::', reusePort, lookup }
      : { type: 'udp4', reusePort, lookup };
  const socket = createSocket(socketOptions);
  return new Promise<Socket>((resolve, reject) => {
    const fail = (error: unknown): void => {
      signal?.removeEventListener('abort', onAbort);
      socket.close();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason);
    const onError = (cause: NodeJS.ErrnoException): void => fail(bindError(bind, cause));
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    signal?.addEventListener('abort', onAbort);
    socket.once('error', onError);
    socket.bind({ address: bind.ip, port: bind.port, exclusive: true }, () => {
      socket.off('error', onError);
      signal?.removeEventListener('abort', onAbort);
      sizeBuffers(socket, options);
      resolve(socket);
    });
  });
}

function bindError(bind: SocketAddress, cause: NodeJS.ErrnoException): P2PError {
  const where = formatSocketAddress(bind.ip, bind.port);
  if (cause.code === 'EADDRINUSE') {
    return new P2PError('in_use', 'local', `Cannot bind UDP to ${where}: the port is in use`, { cause, sent: 'no' });
  }
  if (cause.code === 'ENOTSUP' || cause.code === 'ENOPROTOOPT') {
    const message = `Cannot bind UDP to ${where}: this system cannot share ports (reusePort)`;
    return new P2PError('unsupported', 'local', message, { cause, sent: 'no' });
  }
  const why = cause.code === 'EADDRNOTAVAIL' ? 'this machine does not have that address' : cause.message;
  return new P2PError('unreachable', 'local', `Cannot bind UDP to ${where}: ${why}`, { cause, sent: 'no' });
}

/** Asks for the sizes; the kernel grants what it allows (Linux cuts down silently, others refuse and keep theirs). */
function sizeBuffers(socket: Socket, { recvBufferBytes, sendBufferBytes }: UdpSocketOptions): void {
  try {
    socket.setRecvBufferSize(recvBufferBytes);
    socket.setSendBufferSize(sendBufferBytes);
  } catch (error) {
    // ENOBUFS: more than this system allows. Its own size stays, and `inspect` shows it.
    if (!(error instanceof Error)) throw error;
  }
}
