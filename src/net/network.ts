/**
 * The seam between everything that talks over IP and what connects machines: this system's sockets, or those of a host in
 * a virtual network. Everything above it is the same for both.
 */

import { describeValue } from '../base/checks.ts';
import { type Bytes } from '../base/bytes.ts';
import { type SocketAddress } from '../base/ip.ts';
import { type Pipe } from './pipe.ts';

/** A connection of the network, before the node has looked at it. */
export interface RawConnection {
  readonly pipe: Pipe;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
}

/** How the sockets of connections are set. */
export interface StreamOptions {
  /** Whether small messages go at once (TCP_NODELAY). @default false */
  readonly noDelay?: boolean | undefined;
  /** How long a connection may be silent before TCP asks whether the peer is still there. @default it never asks */
  readonly keepAliveMs?: number | undefined;
}

/** How a connection is made. */
export interface DialOptions extends StreamOptions {
  readonly remote: SocketAddress;
  /**
   * Where from; port 0: any. Several connections may leave from one port, if all of them name it here; a port on which this
   * host listens is `in_use`.
   * @default the system's choice
   */
  readonly bind?: SocketAddress | undefined;
  /** Aborting gives up, and rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/** How connections are waited for. */
export interface ListenOptions extends StreamOptions {
  readonly bind: SocketAddress;
  /** Connections that the system holds before they are accepted. */
  readonly backlog: number;
  /** Several listeners on one port. */
  readonly reusePort: boolean;
  readonly onConnection: (connection: RawConnection) => void;
  /** The system could not accept; it goes on trying. */
  readonly onError: (error: Error) => void;
}

/** What waits for connections. */
export interface Listener {
  readonly address: SocketAddress;
  /** Stops; connections that were accepted stay. Never rejects. */
  close(): Promise<void>;
}

/** How a datagram socket is bound. */
export interface DatagramOptions {
  /** `0.0.0.0` is all of IPv4, `::` all of IPv6 and IPv4, another IPv6 address its own family; port 0: any. */
  readonly bind: SocketAddress;
  /** Several sockets on one port, over which the system spreads what comes. @default false */
  readonly reusePort?: boolean | undefined;
  /** Several sockets on one port, all of which get each broadcast and multicast datagram. @default false */
  readonly reuseAddress?: boolean | undefined;
  /** Kernel buffer asked for. @default the system's */
  readonly recvBufferBytes?: number | undefined;
  /** Kernel buffer asked for. @default the system's */
  readonly sendBufferBytes?: number | undefined;
  /** Gives up binding, and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Gets what happens on a {@link DatagramSocket}. Never called inside a call to the socket. */
export interface DatagramSink {
  /**
   * @param payload - the sink's to keep.
   * @param ip - of the source, canonical; link-local ones of IPv6 with their zone.
   */
  onDatagram(payload: Bytes, ip: string, port: number): void;
  /** A datagram could not be sent; to whom, where the system says so. */
  onSendFailed?(error: Error, to: SocketAddress | undefined): void;
  /** What waited to be sent has left. */
  onFlushed?(): void;
  /** The socket is broken. */
  onError?(error: Error): void;
}

/** A bound UDP socket. */
export interface DatagramSocket {
  /** Where it is bound to, with its real port. */
  readonly address: SocketAddress;
  /** Who hears of what happens; without one what comes is dropped. */
  sink: DatagramSink | undefined;
  /** Datagrams that were sent and are not in the kernel yet, and their bytes. */
  readonly queuedDatagrams: number;
  readonly queuedBytes: number;
  /** Whether a datagram sent now may have to wait: its bytes must then stay as they are until it has left. */
  readonly mayWait: boolean;
  /** Sizes of the kernel's buffers as granted. */
  readonly recvBufferBytes: number;
  readonly sendBufferBytes: number;
  /**
   * Sends a datagram. What becomes of it, nobody knows; `onSendFailed` hears of what could not leave.
   *
   * @param payload - the caller's again after the call, unless {@link DatagramSocket.mayWait}.
   * @param ip - canonical, of a family that the socket has.
   * @param ttl - routers that this one may pass; only where nothing waits. @default what `setTtl` said
   * @throws {RangeError} for a port or a TTL out of range.
   */
  send(payload: Uint8Array, ip: string, port: number, ttl?: number): void;
  /** Routers that unicast datagrams may pass, 1 to 255. @default 64 */
  setTtl(ttl: number): void;
  /** Whether it may send to broadcast addresses; without, that fails. @default false */
  setBroadcast(allowed: boolean): void;
  /**
   * Takes what is sent to a group, on one interface. The socket must be bound to a wildcard.
   *
   * @param interfaceName - see {@link NetworkInterface}. @default the system's choice
   * @throws {Error} when there is no such group or interface.
   */
  joinMulticast(group: string, interfaceName?: string): void;
  /** Undoes {@link DatagramSocket.joinMulticast}. @throws {Error} when it was not joined. */
  leaveMulticast(group: string, interfaceName?: string): void;
  /** By which interface multicast and, without a route, broadcast leave. @throws {Error} when there is none of that name. */
  setMulticastInterface(interfaceName: string): void;
  /** Idempotent; never rejects. Nothing comes after it. */
  close(): Promise<void>;
}

/** An address of this host. */
export interface NetworkInterface {
  /** `eth0`. An interface with several addresses is there several times. */
  readonly name: string;
  /** Canonical; link-local ones of IPv6 with their zone. */
  readonly ip: string;
  /** Bits that all of its network share. */
  readonly prefixLength: number;
  /** Whether it is the loopback interface. */
  readonly isInternal: boolean;
}

/** What connects hosts: TCP, UDP, and the interfaces for both. */
export interface Network {
  /** @throws (by rejection) {P2PError} `unreachable`, `in_use`, `timeout`; the signal's reason. */
  dial(options: DialOptions): Promise<RawConnection>;
  /** @throws (by rejection) {P2PError} `in_use`, `unreachable`, `unsupported`. */
  listen(options: ListenOptions): Promise<Listener>;
  /** @throws (by rejection) {P2PError} `in_use`, `unreachable`, `unsupported`; the signal's reason. */
  bindUdp(options: DatagramOptions): Promise<DatagramSocket>;
  /** The addresses of this host, as they are now. */
  interfaces(): readonly NetworkInterface[];
  /** Hears when addresses have come or gone, until disposed. */
  onInterfacesChanged(listener: () => void): Disposable;
}

/** @throws {TypeError} when `value` has not what every network has. */
export function assertNetwork(value: unknown): asserts value is Network {
  const network = Object(value) as Record<string, unknown>;
  for (const verb of ['dial', 'listen', 'bindUdp', 'interfaces', 'onInterfacesChanged']) {
    if (typeof network[verb] === 'function') continue;
    const expected = 'expected one such as host.network of createVirtualInternet';
    throw new TypeError(`Cannot take network: ${expected}, got ${describeValue(value)}`);
  }
}
