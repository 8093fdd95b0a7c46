/**
 * UDP sockets through which holes are punched. What a swarm sends and gets passes as it is; the messages of punches stay below it,
 * and what was punched by another socket goes on by that one, as if it were the swarm's own.
 */

import { describeValue } from '../../base/checks.ts';
import type { Bytes } from '../../base/bytes.ts';
import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import { gatewaysOf } from '../../net/default-gateways.ts';
import { assertNetwork, type DatagramSink, type DatagramSocket, type Network } from '../../net/network.ts';

/** A network whose UDP sockets can punch. */
export interface PunchingNetwork extends Network {
  /** The socket on a port, for `udpPuncher`. @throws {RangeError} when this network has none there */
  socketAt(port: number): PunchingSocket;
}

/** Looks at what comes before the swarm does. @returns whether it has taken the datagram. */
export type DatagramFilter = (payload: Bytes, ip: string, port: number) => boolean;

/** Sockets whose datagrams are another socket's; the one that was used longest ago makes room. */
const MAX_ROUTES = 64;

/**
 * Makes the UDP sockets of a network able to punch; TCP stays as it is.
 *
 * @example
 * ```ts
 * const network = punching(host.network);
 * const udp = await openUdpSwarm({ network });
 * const puncher = udpPuncher({ network, port: udp.addr.port, observers: () => observers });
 * ```
 */
export function punching(network: Network): PunchingNetwork {
  assertNetwork(network);
  /** By port. Bounded by the sockets that are open. */
  const sockets = new Map<number, PunchingSocket>();
  return {
    dial: (options) => network.dial(options),
    listen: (options) => network.listen(options),
    bindUdp: async (options) => {
      const socket = new PunchingSocket(await network.bindUdp(options), network, () => {
        if (sockets.get(socket.address.port) === socket) sockets.delete(socket.address.port);
      });
      sockets.set(socket.address.port, socket);
      return socket;
    },
    interfaces: () => network.interfaces(),
    gateways: () => gatewaysOf(network),
    onInterfacesChanged: (listener) => network.onInterfacesChanged(listener),
    socketAt: (port) => {
      const socket = sockets.get(port);
      if (socket !== undefined) return socket;
      throw new RangeError(`Cannot punch from port ${describeValue(port)}: no socket of this network is bound to it`);
    },
  };
}

/** A socket, and others that carry its datagrams to single addresses. */
export class PunchingSocket implements DatagramSocket {
  readonly address: SocketAddress;
  sink: DatagramSink | undefined;
  /** Gets what comes before the swarm does: a puncher's place. One at a time. @default none */
  filter: DatagramFilter | undefined;
  readonly #inner: DatagramSocket;
  readonly #network: Network;
  readonly #onClosed: () => void;
  /** By the address of the other side, the last used last. Bounded by {@link MAX_ROUTES}. */
  readonly #routes = new Map<string, DatagramSocket>();
  /** Who is told when it closes. Bounded by the punchers. */
  readonly #closing = new Set<() => void>();

  constructor(inner: DatagramSocket, network: Network, onClosed: () => void) {
    this.#inner = inner;
    this.#network = network;
    this.#onClosed = onClosed;
    this.address = inner.address;
    inner.sink = this.#sinkFor((payload, ip, port) => {
      if (this.filter?.(payload, ip, port) !== true) this.sink?.onDatagram(payload, ip, port);
    });
  }

  get queuedDatagrams(): number {
    return this.#sum(({ queuedDatagrams }) => queuedDatagrams);
  }

  get queuedBytes(): number {
    return this.#sum(({ queuedBytes }) => queuedBytes);
  }

  get mayWait(): boolean {
    if (this.#inner.mayWait) return true;
    for (const { mayWait } of this.#routes.values()) if (mayWait) return true;
    return false;
  }

  get recvBufferBytes(): number {
    return this.#inner.recvBufferBytes;
  }

  get sendBufferBytes(): number {
    return this.#inner.sendBufferBytes;
  }

  /** Addresses to which another socket carries the datagrams. */
  get routes(): number {
    return this.#routes.size;
  }

  send(payload: Uint8Array, ip: string, port: number, ttl?: number): void {
    const route = this.#routes.size === 0 ? undefined : this.#routes.get(formatSocketAddress(ip, port));
    (route ?? this.#inner).send(payload, ip, port, ttl);
  }

  setTtl(ttl: number): void {
    this.#inner.setTtl(ttl);
  }

  setMulticastTtl(ttl: number): void {
    this.#inner.setMulticastTtl(ttl);
  }

  setBroadcast(allowed: boolean): void {
    this.#inner.setBroadcast(allowed);
  }

  joinMulticast(group: string, interfaceName?: string): void {
    this.#inner.joinMulticast(group, interfaceName);
  }

  leaveMulticast(group: string, interfaceName?: string): void {
    this.#inner.leaveMulticast(group, interfaceName);
  }

  setMulticastInterface(interfaceName: string): void {
    this.#inner.setMulticastInterface(interfaceName);
  }

  async close(): Promise<void> {
    this.sink = undefined;
    this.filter = undefined;
    for (const tell of this.#closing) tell();
    this.#onClosed();
    const routed = [...this.#routes.values()];
    this.#routes.clear();
    await Promise.all([this.#inner.close(), ...routed.map((socket) => socket.close())]);
  }

  /** Another socket of the same network, on any port. */
  bindAnother(): Promise<DatagramSocket> {
    return this.#network.bindUdp({ bind: { ip: this.address.ip, port: 0 } });
  }

  /** Sends by this socket itself, whatever routes there are. */
  sendDirectly(payload: Uint8Array, { ip, port }: SocketAddress, ttl: number | undefined): void {
    // A TTL of one datagram needs a socket on which none waits.
    this.#inner.send(payload, ip, port, this.#inner.mayWait ? undefined : ttl);
  }

  /**
   * From now on another socket carries what goes to an address, and what it gets from there counts as this one's. The socket is this
   * one's from now on.
   */
  route(remote: SocketAddress, socket: DatagramSocket, filter: DatagramFilter): void {
    const text = formatSocketAddress(remote.ip, remote.port);
    this.unroute(text);
    if (this.#routes.size >= MAX_ROUTES) this.unroute(this.#routes.keys().next().value!);
    this.#routes.set(text, socket);
    const inner = this.#sinkFor((payload, ip, port) => {
      if (filter(payload, ip, port) || ip !== remote.ip || port !== remote.port) return;
      this.#used(text);
      this.sink?.onDatagram(payload, ip, port);
    });
    inner.onError = () => this.unroute(text);
    socket.sink = inner;
  }

  /** What goes to an address is this socket's own again. */
  unroute(text: string): void {
    const socket = this.#routes.get(text);
    if (socket === undefined) return;
    this.#routes.delete(text);
    void socket.close();
  }

  /** Calls when this socket is closed. */
  onClose(tell: () => void): Disposable {
    this.#closing.add(tell);
    return { [Symbol.dispose]: () => void this.#closing.delete(tell) };
  }

  #used(text: string): void {
    const socket = this.#routes.get(text);
    if (socket === undefined || this.#routes.size === 1) return;
    this.#routes.delete(text);
    this.#routes.set(text, socket);
  }

  #sum(of: (socket: DatagramSocket) => number): number {
    let sum = of(this.#inner);
    for (const socket of this.#routes.values()) sum += of(socket);
    return sum;
  }

  #sinkFor(onDatagram: DatagramSink['onDatagram']): DatagramSink {
    const outer = (): DatagramSink | undefined => this.sink;
    const isFlushed = (): boolean => this.queuedDatagrams === 0;
    return {
      onDatagram,
      onSendFailed: (error, to) => outer()?.onSendFailed?.(error, to),
      onError: (error) => outer()?.onError?.(error),
      // Only there while somebody waits for it: sockets look for it at each datagram.
      get onFlushed() {
        if (outer()?.onFlushed === undefined) return undefined;
        return () => isFlushed() && outer()?.onFlushed?.();
      },
    } as DatagramSink;
  }
}
