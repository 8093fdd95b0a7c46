/** The way to a TURN server: a UDP socket or a TCP connection of its own. */

import type { Bytes } from '../base/bytes.ts';
import { ipVersion, type SocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import type { Network } from '../net/network.ts';
import { TurnStreamReader } from '../protocols/turn/channel-data.ts';

/** Messages to and from a server. */
export interface TurnLink {
  readonly isReliable: boolean;
  /** Bytes that have not left yet. */
  readonly queuedBytes: number;
  /** Set once. */
  onMessage: (bytes: Bytes) => void;
  /** Called once. */
  onFailed: (cause: unknown) => void;
  /** Called when everything has left. */
  onFlushed: (() => void) | undefined;
  send(bytes: Bytes): void;
  close(): Promise<void> | void;
}

const nothing = (): void => undefined;

/** @throws {P2PError} (by rejection) as `Network.bindUdp` and `Network.dial`. */
export function openTurnLink(
  network: Network,
  server: SocketAddress,
  transport: 'udp' | 'tcp',
  signal: AbortSignal,
): Promise<TurnLink> {
  return transport === 'udp' ? overUdp(network, server, signal) : overTcp(network, server, signal);
}

async function overUdp(network: Network, server: SocketAddress, signal: AbortSignal): Promise<TurnLink> {
  const ip = ipVersion(server.ip) === 4 ? '0.0.0.0' : '::';
  const socket = await network.bindUdp({ bind: { ip, port: 0 }, signal });
  const link: TurnLink = {
    isReliable: false,
    get queuedBytes() {
      return socket.queuedBytes;
    },
    onMessage: nothing,
    onFailed: nothing,
    onFlushed: undefined,
    send: (bytes) => socket.send(bytes, server.ip, server.port),
    close: () => socket.close(),
  };
  socket.sink = {
    onDatagram: (payload, from, port) => {
      // Others may send to the socket too.
      if (from === server.ip && port === server.port) link.onMessage(payload);
    },
    onFlushed: () => link.onFlushed?.(),
    onError: (cause) => link.onFailed(cause),
  };
  return link;
}

async function overTcp(network: Network, server: SocketAddress, signal: AbortSignal): Promise<TurnLink> {
  const { pipe } = await network.dial({ remote: server, signal, noDelay: true });
  const reader = new TurnStreamReader();
  let queuedBytes = 0;
  let hasEnded = false;
  const end = (why: string, cause?: unknown): void => {
    if (hasEnded) return;
    hasEnded = true;
    pipe.destroy();
    link.onFailed(new P2PError('disconnected', 'remote', `The TURN server ${why}`, { cause }));
  };
  const link: TurnLink = {
    isReliable: true,
    get queuedBytes() {
      return queuedBytes;
    },
    onMessage: nothing,
    onFailed: nothing,
    onFlushed: undefined,
    send: (bytes) => {
      queuedBytes += bytes.length;
      pipe.write([bytes], () => {
        queuedBytes -= bytes.length;
        if (queuedBytes === 0) link.onFlushed?.();
      });
    },
    close: () => {
      hasEnded = true;
      pipe.end();
    },
  };
  pipe.sink = {
    onData: (chunk) => {
      reader.push(chunk);
      for (let next = reader.next(); next !== undefined; next = reader.next()) {
        if (next === 'malformed') {
          end('sends what is not TURN');
          return;
        }
        link.onMessage(next);
      }
    },
    onEnd: () => end('closed the connection'),
    onClose: (error) => end('closed the connection', error),
  };
  pipe.resume();
  return link;
}
