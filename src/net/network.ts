/**
 * The interface between IP protocols and the network below: this system's sockets, or those of a host in a virtual
 * network. Everything above it is the same for both.
 */

import { describeValue } from '../base/checks.ts';
import type { Bytes } from '../base/bytes.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Pipe } from './pipe.ts';

/** A new connection of the network, before the node has processed it. */
export interface RawConnection {
  readonly pipe: Pipe;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
}

/** The socket options of connections. */
export interface StreamOptions {
  /** Whether small messages are sent at once (TCP_NODELAY). @default false */
  readonly noDelay?: boolean | undefined;
  /** How long a connection may be silent before TCP checks whether the peer is reachable. @default never */
  readonly keepAliveMs?: number | undefined;
}

/** Options of a dial. */
export interface DialOptions extends StreamOptions {
  readonly remote: SocketAddress;
  /**
   * The local address; port 0: any. Several connections may use one local port if all of them name it here; a port on
   * which this host listens is `in_use`.
   * @default chosen by the system
   */
  readonly bind?: SocketAddress | undefined;
  /** Aborts the dial, which rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/** Options of a listener. */
export interface ListenOptions extends StreamOptions {
  readonly bind: SocketAddress;
  /** Connections that the system holds before they are accepted. */
  readonly backlog: number;
  /** Several listeners on one port. */
  readonly reusePort: boolean;
  readonly onConnection: (connection: RawConnection) => void;
  /** Called when the system could not accept a connection; it continues to listen. */
  readonly onError: (error: Error) => void;
}

/** Accepts connections. */
export interface Listener {
  readonly address: SocketAddress;
  /** Stops; accepted connections stay. Never rejects. */
  close(): Promise<void>;
}

/** Options of a datagram socket. */
export interface DatagramOptions {
  /** `0.0.0.0` covers all of IPv4, `::` all of IPv6 and IPv4, another IPv6 address its own family; port 0: any. */
  readonly bind: SocketAddress;
  /** Allows several sockets on one port; the system distributes datagrams among them. @default false */
  readonly reusePort?: boolean | undefined;
  /** Allows several sockets on one port, each of which gets every broadcast and multicast datagram. @default false */
  readonly reuseAddress?: boolean | undefined;
  /** Whether `::` leaves IPv4 to another socket, which may then have the same port. @default false */
  readonly ipv6Only?: boolean | undefined;
  /** Requested kernel buffer size. @default the system's */
  readonly recvBufferBytes?: number | undefined;
  /** Requested kernel buffer size. @default the system's */
  readonly sendBufferBytes?: number | undefined;
  /** Aborts binding, which rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Receives the events of a {@link DatagramSocket}. Never called synchronously inside a call to the socket. */
export interface DatagramSink {
  /**
   * @param payload - belongs to the sink.
   * @param ip - of the source, canonical; IPv6 link-local ones with their zone.
   */
  onDatagram(payload: Bytes, ip: string, port: number): void;
  /** A datagram could not be sent; `to` is its destination, if the system reports it. */
  onSendFailed?(error: Error, to: SocketAddress | undefined): void;
  /** All waiting datagrams have been sent. */
  onFlushed?(): void;
  /** The socket has failed. */
  onError?(error: Error): void;
}

/** A bound UDP socket. */
export interface DatagramSocket {
  /** The bound address, with the actual port. */
  readonly address: SocketAddress;
  /** Receives the events; without one, received datagrams are dropped. */
  sink: DatagramSink | undefined;
  /** Datagrams that were sent and are not in the kernel yet, and their bytes. */
  readonly queuedDatagrams: number;
  readonly queuedBytes: number;
  /** Whether a datagram sent now may have to wait: its bytes must then not change until it has been sent. */
  readonly mayWait: boolean;
  /** The granted kernel buffer sizes. */
  readonly recvBufferBytes: number;
  readonly sendBufferBytes: number;
  /**
   * Sends a datagram without a result; `onSendFailed` reports those that could not be sent.
   *
   * @param payload - may be changed after the call, unless {@link DatagramSocket.mayWait}.
   * @param ip - canonical, of a family that the socket has.
   * @param ttl - the hop limit of this datagram; only when no datagram waits. @default the value of `setTtl`
   * @throws {RangeError} for a port or a TTL out of range.
   */
  send(payload: Uint8Array, ip: string, port: number, ttl?: number): void;
  /** Sets the hop limit of unicast and broadcast datagrams, 1 to 255. @default 64 */
  setTtl(ttl: number): void;
  /** Sets the hop limit of multicast datagrams, 1 to 255. @default 1: they stay on their link */
  setMulticastTtl(ttl: number): void;
  /** Whether sending to broadcast addresses is allowed; it fails otherwise. @default false */
  setBroadcast(allowed: boolean): void;
  /**
   * Joins a multicast group on one interface. The socket must be bound to a wildcard.
   *
   * @param interfaceName - see {@link NetworkInterface}. @default chosen by the system
   * @throws {Error} when there is no such group or interface.
   */
  joinMulticast(group: string, interfaceName?: string): void;
  /** Undoes {@link DatagramSocket.joinMulticast}. @throws {Error} when it was not joined. */
  leaveMulticast(group: string, interfaceName?: string): void;
  /**
   * Sets the interface for multicast and, without a route, broadcast datagrams. @throws {Error} when there is none of
   * that name.
   */
  setMulticastInterface(interfaceName: string): void;
  /** Idempotent; never rejects. Nothing is received after it. */
  close(): Promise<void>;
}

/** An address of this host. */
export interface NetworkInterface {
  /** `eth0`. An interface with several addresses is listed once per address. */
  readonly name: string;
  /** Canonical; IPv6 link-local ones with their zone. */
  readonly ip: string;
  /** The number of bits that all addresses of its network share. */
  readonly prefixLength: number;
  /** Whether it is the loopback interface. */
  readonly isInternal: boolean;
}

/** A network that connects hosts: TCP, UDP, and the interfaces for both. */
export interface Network {
  /** @throws (by rejection) {P2PError} `unreachable`, `in_use`, `timeout`; the signal's reason. */
  dial(options: DialOptions): Promise<RawConnection>;
  /** @throws (by rejection) {P2PError} `in_use`, `unreachable`, `unsupported`. */
  listen(options: ListenOptions): Promise<Listener>;
  /** @throws (by rejection) {P2PError} `in_use`, `unreachable`, `unsupported`; the signal's reason. */
  bindUdp(options: DatagramOptions): Promise<DatagramSocket>;
  /** The current addresses of this host. */
  interfaces(): readonly NetworkInterface[];
  /**
   * The routers by which this host reaches other networks, canonical; IPv6 link-local ones with their zone. Optional for a network: without
   * it, callers take the first address of each private network.
   */
  gateways?(): readonly string[];
  /** Calls `listener` when addresses have changed, until disposed. */
  onInterfacesChanged(listener: () => void): Disposable;
}

/** @throws {TypeError} when `value` lacks a member that every network has. */
export function assertNetwork(value: unknown): asserts value is Network {
  const network = Object(value) as Record<string, unknown>;
  for (const verb of ['dial', 'listen', 'bindUdp', 'interfaces', 'onInterfacesChanged']) {
    if (typeof network[verb] === 'function') continue;
    const expected = 'expected one such as host.network of createVirtualInternet';
    throw new TypeError(`Cannot take network: ${expected}, got ${describeValue(value)}`);
  }
}
