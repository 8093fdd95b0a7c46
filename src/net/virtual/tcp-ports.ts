/** The TCP ports of a virtual host: who listens, who is connected, and who gets what comes. */

import { type SocketAddress, isUnspecifiedIp, withoutZone } from '../../base/ip.ts';
import type { DialOptions, Listener, ListenOptions, RawConnection } from '../network.ts';
import { type BindFailure, type DialFailure, bindError, dialError } from '../socket-errors.ts';
import { canShare, freePort, overlaps } from './binding.ts';
import { Packet, type PacketAddr, resetFor } from './packet.ts';
import type { SocketHost } from './socket-host.ts';
import { TcpConnection, type TcpFailure } from './tcp-connection.ts';

/** What waits for connections at a port. */
interface Listening {
  readonly address: SocketAddress;
  readonly options: ListenOptions;
  /** Connections whose handshake is under way. Bounded by `backlog`. */
  readonly opening: Set<TcpConnection>;
}

/** A connection, and whether others may leave from its port. */
interface Held {
  readonly connection: TcpConnection;
  readonly isShared: boolean;
}

const NO_ROUTE: DialFailure = { why: 'there is no route to it' };
const FAILURES: Readonly<Record<TcpFailure, DialFailure>> = {
  refused: 'refused',
  reset: 'refused',
  timeout: 'timeout',
  unreachable: { why: 'a router knows no way to it' },
};

export class TcpPorts {
  readonly #host: SocketHost;
  readonly #windowBytes: number;
  /** By both addresses. Bounded by who connects, and by the backlogs of the listeners. */
  readonly #connections = new Map<string, Held>();
  /** By local port. Bounded as the connections. */
  readonly #byPort = new Map<number, Set<Held>>();
  /** By port. Bounded by the listeners that are open. */
  readonly #listening = new Map<number, readonly Listening[]>();

  constructor(host: SocketHost, windowBytes: number) {
    this.#host = host;
    this.#windowBytes = windowBytes;
  }

  dial({ remote, bind, signal, keepAliveMs }: DialOptions): Promise<RawConnection> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const fail = (failure: DialFailure): Promise<never> => Promise.reject(dialError(remote, failure));
    const { addrs } = this.#host.wire;
    const dst = addrs.get(remote.ip, remote.port);
    const boundIp = bind === undefined || isUnspecifiedIp(bind.ip) ? undefined : withoutZone(bind.ip);
    if (boundIp !== undefined && !this.#host.routes.isOwn(boundIp)) return fail('no_address');
    const route = this.#host.routes.route(dst, zoneOf(remote.ip), boundIp);
    if (route === undefined || route.srcIp.includes(':') !== dst.isIpv6) return fail(NO_ROUTE);
    const isShared = bind !== undefined;
    const port = bind === undefined || bind.port === 0 ? this.#freePort() : bind.port;
    if (port === undefined || !this.#mayLeaveFrom(route.srcIp, port)) return fail('in_use');
    const src = addrs.get(route.srcIp, port);
    if (this.#connections.get(keyOf(src, dst))?.connection.state === 'time_wait') this.#forget(src, dst);
    if (this.#connections.has(keyOf(src, dst))) return fail('no_address');
    return new Promise<RawConnection>((resolve, reject) => {
      const settle = (act: () => void): void => {
        signal.removeEventListener('abort', onAbort);
        act();
      };
      const connection = this.#connect(src, dst, isShared, {
        keepAliveMs,
        onEstablished: () => settle(() => resolve(rawConnection(connection))),
        onGone: (failure) => settle(() => reject(dialError(remote, FAILURES[failure ?? 'refused']))),
      });
      const onAbort = (): void => {
        reject(signal.reason);
        connection.abandon();
      };
      signal.addEventListener('abort', onAbort);
      connection.open();
    });
  }

  listen(options: ListenOptions): Promise<Listener> {
    const { bind } = options;
    const fail = (failure: BindFailure): Promise<never> => Promise.reject(bindError('listen on', bind, failure));
    if (!this.#host.canBind(bind.ip)) return fail('no_address');
    const port = bind.port === 0 ? this.#freePort() : bind.port;
    if (port === undefined) return fail('in_use');
    const ip = withoutZone(bind.ip);
    const others = this.#listening.get(port) ?? [];
    const isTaken =
      others.some(({ address, options: its }) => overlaps(address.ip, ip) && !canShare(its, options)) ||
      this.#holdersOf(port).some(({ isShared, connection }) => !isShared && overlaps(connection.local.ip, ip));
    if (isTaken) return fail('in_use');
    const listening: Listening = { address: { ip, port }, options, opening: new Set() };
    this.#listening.set(port, [...others, listening]);
    let isOpen = true;
    const close = (): Promise<void> => {
      if (isOpen) this.#stop(listening);
      isOpen = false;
      return Promise.resolve();
    };
    return Promise.resolve({ address: listening.address, close });
  }

  /** A packet for one of the addresses of the host. */
  receive(packet: Packet): void {
    const { src, dst } = packet;
    const tcp = packet.tcp!;
    const isCall = tcp.syn && !tcp.ack;
    let held = this.#connections.get(keyOf(dst, src));
    if (held?.connection.state === 'time_wait' && isCall) {
      this.#forget(dst, src);
      held = undefined;
    }
    if (held !== undefined) {
      this.#host.received(packet);
      held.connection.handlePacket(packet);
    } else if (isCall && !tcp.rst) this.#receiveCall(packet);
    else this.#refuse(packet);
  }

  #receiveCall(packet: Packet): void {
    const { src, dst } = packet;
    const listening = this.#listenerFor(packet);
    if (listening === undefined) {
      this.#refuse(packet);
      return;
    }
    const { options, opening } = listening;
    if (opening.size >= options.backlog) {
      this.#host.drop(packet, 'host.backlog_full');
      return;
    }
    this.#host.received(packet);
    const connection = this.#connect(dst, src, true, {
      keepAliveMs: options.keepAliveMs,
      onEstablished: () => {
        opening.delete(connection);
        options.onConnection(rawConnection(connection));
      },
      onGone: () => void opening.delete(connection),
    });
    opening.add(connection);
    connection.accept(packet);
  }

  #connect(
    local: PacketAddr,
    remote: PacketAddr,
    isShared: boolean,
    hooks: {
      readonly keepAliveMs: number | undefined;
      readonly onEstablished: () => void;
      readonly onGone: (failure: TcpFailure | undefined) => void;
    },
  ): TcpConnection {
    const host = this.#host;
    const connection = new TcpConnection({
      realm: host.realm,
      local,
      remote,
      windowBytes: this.#windowBytes,
      keepAliveMs: hooks.keepAliveMs,
      random: () => host.wire.random.next(),
      transmit: (header, payload) => this.#send(new Packet('tcp', local, remote, payload, undefined, header)),
      onEstablished: hooks.onEstablished,
      onGone: (failure) => {
        this.#release(held);
        hooks.onGone(failure);
      },
    });
    const held: Held = { connection, isShared };
    this.#connections.set(keyOf(local, remote), held);
    const holders = this.#byPort.get(local.port);
    if (holders === undefined) this.#byPort.set(local.port, new Set([held]));
    else holders.add(held);
    return connection;
  }

  #release(held: Held): void {
    const { local, remote } = held.connection;
    const key = keyOf(local, remote);
    if (this.#connections.get(key) === held) this.#connections.delete(key);
    const holders = this.#byPort.get(local.port);
    holders?.delete(held);
    if (holders?.size === 0) this.#byPort.delete(local.port);
  }

  /** A connection that has ended makes room for one between the same two. */
  #forget(local: PacketAddr, remote: PacketAddr): void {
    this.#connections.get(keyOf(local, remote))?.connection.abandon();
  }

  #send(packet: Packet): void {
    const { src, dst } = packet;
    const route = this.#host.routes.route(dst, undefined, src.kind === 'loopback' ? undefined : src.ip);
    if (route === undefined) this.#host.drop(packet, 'host.no_route');
    else this.#host.send(packet, route.via);
  }

  #refuse(packet: Packet): void {
    this.#host.drop(packet, 'host.no_socket');
    if (packet.tcp?.rst === false) this.#send(resetFor(packet));
  }

  #stop(listening: Listening): void {
    const { port } = listening.address;
    const left = (this.#listening.get(port) ?? []).filter((other) => other !== listening);
    if (left.length === 0) this.#listening.delete(port);
    else this.#listening.set(port, left);
    for (const connection of listening.opening) connection.abandon();
  }

  /** Of several that share the port, always the same for one caller. */
  #listenerFor({ src, dst }: Packet): Listening | undefined {
    const bound = (this.#listening.get(dst.port) ?? []).filter(({ address }) => overlaps(address.ip, dst.ip));
    const exact = bound.filter(({ address }) => address.ip === dst.ip);
    const best = exact.length > 0 ? exact : bound;
    return best[src.port % best.length];
  }

  #mayLeaveFrom(ip: string, port: number): boolean {
    const isHeard = (this.#listening.get(port) ?? []).some(({ address }) => overlaps(address.ip, ip));
    return (
      !isHeard && this.#holdersOf(port).every(({ isShared, connection }) => isShared || connection.local.ip !== ip)
    );
  }

  /** Those whose connection goes on: what has ended takes no port. */
  #holdersOf(port: number): Held[] {
    return [...(this.#byPort.get(port) ?? [])].filter(({ connection }) => connection.state !== 'time_wait');
  }

  #freePort(): number | undefined {
    return freePort((port) => !this.#listening.has(port) && !this.#byPort.has(port), this.#host);
  }
}

function keyOf(local: PacketAddr, remote: PacketAddr): string {
  return `${local.text}>${remote.text}`;
}

function rawConnection(connection: TcpConnection): RawConnection {
  const { local, remote } = connection;
  return {
    pipe: connection,
    local: { ip: local.ip, port: local.port },
    remote: { ip: remote.ip, port: remote.port },
  };
}

function zoneOf(ip: string): string | undefined {
  return ip.split('%')[1];
}
