/** This system's sockets: TCP over node:net, UDP over node:dgram. */

import { type Server, Socket, createServer } from 'node:net';

import { type SocketAddress, canonicalIp } from '../base/ip.ts';
import { describeValue } from '../base/checks.ts';
import { nextTurn } from '../runtime/system-clock.ts';
import { systemGateways } from './gateways.ts';
import { systemInterfaces, watchSystemInterfaces } from './interfaces.ts';
import type { DialOptions, RawConnection, ListenOptions, Listener, Network } from './network.ts';
import { bindError, bindFailureOf, dialError, dialFailureOf } from './socket-errors.ts';
import { StreamPipe } from './stream-pipe.ts';
import { bindSystemUdp } from './udp/socket.ts';

export type { Socket };

/** The sockets and interfaces of this machine. */
export const systemNetwork: Network = {
  dial: ({ remote, bind, signal, noDelay, keepAliveMs }: DialOptions) => {
    const socket = new Socket({ allowHalfOpen: true });
    // Set here and not as options of `connect`: those have no effect on an existing socket.
    if (noDelay === true) socket.setNoDelay();
    if (keepAliveMs !== undefined) socket.setKeepAlive(true, keepAliveMs);
    socket.connect({
      host: remote.ip,
      port: remote.port,
      ...(bind === undefined ? {} : { localAddress: bind.ip, localPort: bind.port }),
    });
    return adopt(socket, remote, signal);
  },
  listen: listenWith,
  bindUdp: bindSystemUdp,
  interfaces: systemInterfaces,
  gateways: systemGateways,
  onInterfacesChanged: watchSystemInterfaces,
};

/** @throws {TypeError} when it is not a socket of node:net. */
export function assertSocket(socket: Socket): void {
  if (typeof socket?.connect === 'function') return;
  throw new TypeError(`Cannot take socket: expected one of node:net, got ${describeValue(socket)}`);
}

/**
 * Adopts a socket of the user as a connection, once it is connected.
 *
 * @param remote - the remote address; the socket is connected to it if it is not connecting yet.
 */
export function adopt(socket: Socket, remote: SocketAddress, signal: AbortSignal): Promise<RawConnection> {
  // Set here as well: the user may have made the socket without it.
  socket.allowHalfOpen = true;
  return new Promise<RawConnection>((resolve, reject) => {
    const stop = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      socket.off('connect', onConnect);
    };
    const onError = (cause: NodeJS.ErrnoException): void => {
      stop();
      socket.destroy();
      reject(dialError(remote, dialFailureOf(cause), cause));
    };
    const onAbort = (): void => {
      stop();
      socket.on('error', () => undefined); // No caller waits for it any more.
      socket.destroy();
      reject(signal.reason);
    };
    const onConnect = (): void => {
      stop();
      resolve(connectionOf(socket));
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort);
    socket.once('error', onError);
    if (socket.pending && !socket.connecting && !socket.destroyed) socket.connect(remote.port, remote.ip);
    if (socket.connecting) socket.once('connect', onConnect);
    else if (socket.destroyed) onError(new Error('the socket is closed'));
    else onConnect();
  });
}

function connectionOf(socket: Socket): RawConnection {
  return {
    pipe: new StreamPipe(socket),
    local: { ip: canonicalIp(socket.localAddress ?? '') ?? '0.0.0.0', port: socket.localPort ?? 0 },
    remote: { ip: canonicalIp(socket.remoteAddress ?? '') ?? '0.0.0.0', port: socket.remotePort ?? 0 },
  };
}

function listenWith(options: ListenOptions): Promise<Listener> {
  const { bind, backlog, reusePort, noDelay = false, keepAliveMs, onConnection, onError } = options;
  const keepAlive = { keepAlive: keepAliveMs !== undefined, keepAliveInitialDelay: keepAliveMs ?? 0 };
  // Paused, so that nothing is read before the node resumes it.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay, ...keepAlive });
  server.on('connection', (socket: Socket) => {
    if (socket.remoteAddress === undefined) socket.destroy(); // It was closed before it could be examined.
    else onConnection(connectionOf(socket));
  });
  return new Promise<Listener>((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void =>
      reject(bindError('listen on', bind, bindFailureOf(cause), cause));
    server.once('error', fail);
    server.listen({ host: bind.ip, port: bind.port, backlog, reusePort, exclusive: true, ipv6Only: false }, () => {
      server.off('error', fail);
      server.on('error', onError);
      resolve({ address: boundTo(server), close: () => stop(server) });
    });
  });
}

function boundTo(server: Server): SocketAddress {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('Bug in shoal: a TCP server has an IP and a port');
  return { ip: canonicalIp(bound.address)!, port: bound.port };
}

/**
 * The port is free in the next turn of the event loop; the server itself ends with its last connection, which is not
 * awaited.
 */
function stop(server: Server): Promise<void> {
  server.close();
  return new Promise((resolve) => nextTurn(resolve));
}
