/** This system's UDP sockets: node:dgram with synchronous sending. */

import { type RemoteInfo, type Socket, type SocketOptions, createSocket } from 'node:dgram';

import { type SocketAddress, canonicalIp, ipVersion } from '../../base/ip.ts';
import { wholeNumber } from '../../base/checks.ts';
import type { DatagramOptions, DatagramSink, DatagramSocket } from '../network.ts';
import { systemInterfaces } from '../interfaces.ts';
import { bindError, bindFailureOf } from '../socket-errors.ts';
import { type SendSocket, sendSocketOf } from './send-socket.ts';

/**
 * dgram looks up every destination, by default asynchronously, and the buffer would have to stay unchanged until then.
 * Destinations are IPs already, so the lookup returns them synchronously.
 */
const sameAddress = (
  address: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void => callback(null, address, address.includes(':') ? 6 : 4);

/**
 * @throws (by rejection) {P2PError} `in_use`, `unreachable` or `unsupported`, with address and port; `signal.reason`.
 */
export function bindSystemUdp(options: DatagramOptions): Promise<DatagramSocket> {
  const { bind, signal, reusePort = false, reuseAddress = false, ipv6Only = false } = options;
  const lookup = sameAddress;
  // `[::]` accepts both families; a concrete IPv6 address only its own.
  const socketOptions: SocketOptions =
    ipVersion(bind.ip) === 6
      ? { type: 'udp6', ipv6Only: ipv6Only || bind.ip !== '::', reusePort, reuseAddr: reuseAddress, lookup }
      : { type: 'udp4', reusePort, reuseAddr: reuseAddress, lookup };
  const socket = createSocket(socketOptions);
  return new Promise<DatagramSocket>((resolve, reject) => {
    const fail = (error: unknown): void => {
      signal?.removeEventListener('abort', onAbort);
      socket.close();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason);
    const onError = (cause: NodeJS.ErrnoException): void =>
      fail(bindError('bind UDP to', bind, bindFailureOf(cause), cause));
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
      resolve(new SystemDatagramSocket(socket));
    });
  });
}

/**
 * Requests buffer sizes; the kernel grants what it allows (Linux reduces them silently, others refuse and keep their
 * own).
 */
function sizeBuffers(socket: Socket, { recvBufferBytes, sendBufferBytes }: DatagramOptions): void {
  try {
    if (recvBufferBytes !== undefined) socket.setRecvBufferSize(recvBufferBytes);
    if (sendBufferBytes !== undefined) socket.setSendBufferSize(sendBufferBytes);
  } catch (error) {
    // ENOBUFS: more than this system allows. It keeps its own size, which `inspect` shows.
    if (!(error instanceof Error)) throw error;
  }
}

/** The default of Linux and most other systems. */
const DEFAULT_TTL = 64;

class SystemDatagramSocket implements DatagramSocket {
  readonly address: SocketAddress;
  sink: DatagramSink | undefined;
  readonly #socket: Socket;
  /** The sending part of the socket. */
  readonly #sender: SendSocket;
  readonly #isIpv6: boolean;
  #ttl = DEFAULT_TTL;
  #closing: Promise<void> | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#sender = sendSocketOf(socket);
    const { address, port } = socket.address();
    this.address = { ip: canonicalIp(address)!, port };
    this.#isIpv6 = this.address.ip.includes(':');
    socket.on('message', this.#onMessage);
    socket.on('error', (error) => this.sink?.onError?.(error));
  }

  get queuedDatagrams(): number {
    return this.#sender.getSendQueueCount();
  }

  get queuedBytes(): number {
    return this.#sender.getSendQueueSize();
  }

  get mayWait(): boolean {
    return this.#sender.getSendQueueCount() > 0;
  }

  get recvBufferBytes(): number {
    return this.#socket.getRecvBufferSize();
  }

  get sendBufferBytes(): number {
    return this.#socket.getSendBufferSize();
  }

  send(payload: Uint8Array, ip: string, port: number, ttl?: number): void {
    const host = this.#isIpv6 && !ip.includes(':') ? `::ffff:${ip}` : ip;
    if (ttl === undefined) {
      this.#sender.send(payload, port, host, this.#onSent);
      return;
    }
    this.#socket.setTTL(checkedTtl(ttl));
    try {
      this.#sender.send(payload, port, host, this.#onSent);
    } finally {
      this.#socket.setTTL(this.#ttl);
    }
  }

  setTtl(ttl: number): void {
    this.#ttl = checkedTtl(ttl);
    this.#socket.setTTL(ttl);
  }

  setMulticastTtl(ttl: number): void {
    this.#socket.setMulticastTTL(checkedTtl(ttl));
  }

  setBroadcast(allowed: boolean): void {
    this.#socket.setBroadcast(allowed);
  }

  joinMulticast(group: string, interfaceName?: string): void {
    this.#socket.addMembership(group, this.#multicastInterface(group, interfaceName));
  }

  leaveMulticast(group: string, interfaceName?: string): void {
    this.#socket.dropMembership(group, this.#multicastInterface(group, interfaceName));
  }

  setMulticastInterface(interfaceName: string): void {
    this.#socket.setMulticastInterface(this.#multicastInterface(this.address.ip, interfaceName)!);
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.sink = undefined;
      this.#socket.off('message', this.#onMessage);
      this.#socket.close(() => resolve());
    });
    return this.#closing;
  }

  /** Node's name for an interface: its IPv4 address, or `::%eth0`. */
  #multicastInterface(family: string, interfaceName: string | undefined): string | undefined {
    if (interfaceName === undefined) return undefined;
    const addresses = systemInterfaces().filter(({ name }) => name === interfaceName);
    if (addresses.length === 0) throw new Error(`This machine has no interface ${interfaceName}`);
    if (family.includes(':')) return `::%${interfaceName}`;
    const ipv4 = addresses.find(({ ip }) => !ip.includes(':'));
    if (ipv4 === undefined) throw new Error(`Interface ${interfaceName} has no IPv4 address`);
    return ipv4.ip;
  }

  readonly #onMessage = (data: Buffer<ArrayBuffer>, { address, port }: RemoteInfo): void =>
    this.sink?.onDatagram(new Uint8Array(data.buffer, data.byteOffset, data.length), unmapped(address), port);

  readonly #onSent = (error: Error | null): void => {
    if (error !== null) this.#failed(error);
    const { sink } = this;
    // The count needs a call into native code, so it is read only for a sink that waits.
    if (sink?.onFlushed === undefined || this.#closing !== undefined) return;
    if (this.#sender.getSendQueueCount() === 0) sink.onFlushed();
  };

  /** Node puts the destination into its errors: the IP as it was passed to `send`, and the port. */
  #failed(error: Error): void {
    const { address, port } = error as { readonly address?: unknown; readonly port?: unknown };
    const isKnown = typeof address === 'string' && typeof port === 'number';
    this.sink?.onSendFailed?.(error, isKnown ? { ip: unmapped(address), port } : undefined);
  }
}

/** Converts an IPv4-mapped address to IPv4, on a socket with both families. */
function unmapped(ip: string): string {
  return ip.startsWith('::ffff:') ? ip.slice('::ffff:'.length) : ip;
}

function checkedTtl(ttl: number): number {
  return wholeNumber(ttl, 'ttl', DEFAULT_TTL, 1, 255);
}
