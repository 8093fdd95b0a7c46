/**
 * A NAT that exists in this process only. The sockets of the host behind it have inside addresses at which nothing listens; outside they are
 * other sockets, on loopback, with other ports. As a port-restricted NAT does, it gives a UDP socket one outside port for all destinations, and
 * lets in only what comes from an IP and port to which that socket has sent within the last minute. Nobody can connect over TCP but whom the
 * host has dialled itself.
 */

import { P2PError } from 'shoal';
import {
  type DatagramOptions,
  type DatagramSink,
  type DatagramSocket,
  type DialOptions,
  formatSocketAddress,
  type ListenOptions,
  type Network,
  type SocketAddress,
} from 'shoal/net';

const OUTSIDE_IP = '127.0.0.1';
/** How long an answer may take. Source: RFC 4787 REQ-5 wants at least two minutes; many routers give UDP one. */
const OPEN_MS = 60_000;
/** Destinations that are remembered for each kind; the oldest is forgotten. */
const MAX_OPEN = 1024;
/** Inside ports of sockets that name none: below those that systems give out. */
const FIRST_INSIDE_PORT = 20_000;

/** What a NAT needs. */
export interface SimulatedNatOptions {
  /** The sockets outside. */
  readonly network: Network;
  /** The only address that the host behind the NAT has, in `127.0.0.0/8` and not `127.0.0.1`. */
  readonly insideIp: string;
  readonly nowMs: () => number;
}

/** The network of a host behind a NAT of its own. */
export function simulatedNat({ network, insideIp, nowMs }: SimulatedNatOptions): Network {
  const dialled = new OpenTo(nowMs);
  /** Inside ports of open UDP sockets. Bounded by the sockets. */
  const ports = new Set<number>();
  const insidePort = (wanted: number): number => {
    let port = wanted === 0 ? FIRST_INSIDE_PORT : wanted;
    while (wanted === 0 && ports.has(port)) port++;
    if (!ports.has(port)) return port;
    throw new P2PError('in_use', 'local', `Cannot bind to ${formatSocketAddress(insideIp, port)}: it is in use`);
  };
  return {
    dial: async (options: DialOptions) => {
      const { remote, bind } = options;
      dialled.note(remote);
      const outside = bind === undefined ? undefined : { ip: OUTSIDE_IP, port: bind.port };
      const connection = await network.dial({ ...options, bind: outside });
      return { ...connection, local: { ip: insideIp, port: connection.local.port } };
    },
    listen: async (options: ListenOptions) => {
      const { bind, onConnection } = options;
      const listener = await network.listen({
        ...options,
        bind: { ip: OUTSIDE_IP, port: bind.port },
        onConnection: (connection) => {
          if (!dialled.has(connection.remote)) connection.pipe.destroy();
          else onConnection({ ...connection, local: { ip: insideIp, port: connection.local.port } });
        },
      });
      return { address: { ip: insideIp, port: listener.address.port }, close: () => listener.close() };
    },
    bindUdp: async (options: DatagramOptions) => {
      const address = { ip: insideIp, port: insidePort(options.bind.port) };
      ports.add(address.port);
      try {
        const outside = await network.bindUdp({ ...options, bind: { ip: OUTSIDE_IP, port: 0 } });
        return new NatSocket(outside, address, new OpenTo(nowMs), () => ports.delete(address.port));
      } catch (error) {
        ports.delete(address.port);
        throw error;
      }
    },
    interfaces: () => [{ name: 'nat', ip: insideIp, prefixLength: 8, isInternal: true }],
    gateways: () => [],
    onInterfacesChanged: () => ({ [Symbol.dispose]: () => undefined }),
  };
}

/** Whom a NAT lets in. */
class OpenTo {
  readonly #nowMs: () => number;
  /** When something was sent there last, the last one last. Bounded by {@link MAX_OPEN}. */
  readonly #sentMs = new Map<string, number>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  note({ ip, port }: SocketAddress): void {
    const text = formatSocketAddress(ip, port);
    this.#sentMs.delete(text);
    this.#sentMs.set(text, this.#nowMs());
    if (this.#sentMs.size > MAX_OPEN) this.#sentMs.delete(this.#sentMs.keys().next().value!);
  }

  has({ ip, port }: SocketAddress): boolean {
    return this.#nowMs() - (this.#sentMs.get(formatSocketAddress(ip, port)) ?? -Infinity) < OPEN_MS;
  }
}

/** A UDP socket inside, carried by one outside. */
class NatSocket implements DatagramSocket {
  readonly address: SocketAddress;
  readonly #outside: DatagramSocket;
  readonly #open: OpenTo;
  readonly #closed: () => void;
  #sink: DatagramSink | undefined;

  constructor(outside: DatagramSocket, address: SocketAddress, open: OpenTo, closed: () => void) {
    this.#outside = outside;
    this.address = address;
    this.#open = open;
    this.#closed = closed;
  }

  get sink(): DatagramSink | undefined {
    return this.#sink;
  }

  set sink(sink: DatagramSink | undefined) {
    this.#sink = sink;
    const open = this.#open;
    this.#outside.sink = (sink && {
      onDatagram: (payload, ip, port) => {
        if (open.has({ ip, port })) sink.onDatagram(payload, ip, port);
      },
      onSendFailed: (error, to) => sink.onSendFailed?.(error, to),
      onError: (error) => sink.onError?.(error),
      // Sockets look for it at each datagram: it is there while somebody waits.
      get onFlushed() {
        return sink.onFlushed === undefined ? undefined : () => sink.onFlushed?.();
      },
    }) as DatagramSink | undefined;
  }

  get queuedDatagrams(): number {
    return this.#outside.queuedDatagrams;
  }

  get queuedBytes(): number {
    return this.#outside.queuedBytes;
  }

  get mayWait(): boolean {
    return this.#outside.mayWait;
  }

  get recvBufferBytes(): number {
    return this.#outside.recvBufferBytes;
  }

  get sendBufferBytes(): number {
    return this.#outside.sendBufferBytes;
  }

  send(payload: Uint8Array, ip: string, port: number, ttl?: number): void {
    this.#open.note({ ip, port });
    this.#outside.send(payload, ip, port, ttl);
  }

  setTtl(ttl: number): void {
    this.#outside.setTtl(ttl);
  }

  setMulticastTtl(ttl: number): void {
    this.#outside.setMulticastTtl(ttl);
  }

  setBroadcast(allowed: boolean): void {
    this.#outside.setBroadcast(allowed);
  }

  joinMulticast(group: string, interfaceName?: string): void {
    this.#outside.joinMulticast(group, interfaceName);
  }

  leaveMulticast(group: string, interfaceName?: string): void {
    this.#outside.leaveMulticast(group, interfaceName);
  }

  setMulticastInterface(interfaceName: string): void {
    this.#outside.setMulticastInterface(interfaceName);
  }

  async close(): Promise<void> {
    this.#closed();
    await this.#outside.close();
  }
}
