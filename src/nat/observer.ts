/** An observer: tells hosts that ask, over UDP and TCP, under which address it sees them. A STUN server (RFC 8489, RFC 5780). */

import { describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { formatSocketAddress, isUnspecifiedIp, type SocketAddress } from '../base/ip.ts';
import { sourceOf } from '../base/source-shares.ts';
import { SourceBuckets } from '../base/token-bucket.ts';
import type { Counters } from '../core/counters.ts';
import { P2PError } from '../core/errors.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { assertNetwork, type DatagramSocket, type Listener, type Network, type RawConnection } from '../net/network.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { systemNetwork } from '../net/system-network.ts';
import { answerStun, type StunServerAddresses } from '../protocols/stun/server.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { answerStunOn } from './stun-stream.ts';

/** How an observer is opened. */
export interface ObserverOptions {
  /** IP and port, one that others can reach. @default '[::]:3478', the port of STUN (RFC 8489 §18.6) */
  readonly bind?: string | undefined;
  /**
   * A second IP and port of this host, both other than those of `bind`: then askers can find out how their NAT filters (RFC 5780). The
   * observer has sockets on all four pairs.
   */
  readonly otherBind?: string | undefined;
  /** Whether it answers over TCP too, on the same port. @default true */
  readonly tcp?: boolean | undefined;
  /** Answers a second to one network (/24 of IPv4, /64 of IPv6), of which 2 s may be saved up. @default 50 */
  readonly maxPerSourcePerSecond?: number | undefined;
  /** Open TCP connections; each is closed after 10 s. @default 256 */
  readonly maxConnections?: number | undefined;
  readonly network?: Network | undefined;
  readonly realm?: Realm | undefined;
}

/** An open observer. */
export interface Observer extends AsyncDisposable {
  /** Where it listens; with `otherBind` also the other pairs. `ip:port` texts. */
  readonly addresses: readonly string[];
  /** `received` requests, `sent` answers; drops: `observer.malformed`, `observer.rate_limited`, `observer.too_many_connections`. */
  readonly counters: Counters;
  /** Idempotent; never rejects. */
  close(): Promise<void>;
}

/** Ports that are tried when the system chooses. */
const PORT_TRIES = 16;
const MAX_SOURCES = 4096;
const BURST_SECONDS = 2;
/** A connection is closed after this long. */
const CONNECTION_MS = 10_000;
/** Connections of one network, so that one source cannot take the places of all. */
const MAX_CONNECTIONS_PER_SOURCE = 16;

/**
 * Opens an observer.
 *
 * @throws {TypeError | RangeError} (at once) for options out of bounds.
 * @throws {P2PError} (by rejection) `in_use`, `unreachable` when this host does not have the address.
 */
export function openObserver(options: ObserverOptions = {}): Promise<Observer> {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { bind = '[::]:3478', otherBind, tcp = true, network = systemNetwork, realm = systemRealm } = options;
  assertRealm(realm);
  assertNetwork(network);
  const here = parseIpSocketAddress(bind, 'bind');
  const other = otherBind === undefined ? undefined : parseIpSocketAddress(otherBind, 'otherBind');
  if (other !== undefined && (other.ip === here.ip || (other.port === here.port && here.port !== 0))) {
    throw new TypeError(`Cannot take otherBind: ${otherBind} needs another IP and another port than ${bind}`);
  }
  if (other !== undefined && (isUnspecifiedIp(here.ip) || isUnspecifiedIp(other.ip))) {
    throw new TypeError('Cannot take otherBind: bind and otherBind must each name one IP, not a wildcard');
  }
  const observer = new OpenObserver(realm, network, {
    perSecond: quantity(options.maxPerSourcePerSecond, 'maxPerSourcePerSecond', 50, 0.001, Infinity),
    maxConnections: wholeNumber(options.maxConnections, 'maxConnections', 256, 1, 65_536),
  });
  return observer.open(here, other, tcp);
}

interface Limits {
  readonly perSecond: number;
  readonly maxConnections: number;
}

class OpenObserver implements Observer {
  readonly counters: CounterSet = new CounterSet('observer');
  readonly #realm: Realm;
  readonly #network: Network;
  readonly #limits: Limits;
  readonly #rates: SourceBuckets;
  /** By `ip:port`: at most four. */
  readonly #sockets = new Map<string, DatagramSocket>();
  #listener: Listener | undefined;
  /** Networks of open connections. Bounded by `maxConnections`. */
  readonly #connections = new Map<RawConnection, string>();
  #isClosed = false;

  constructor(realm: Realm, network: Network, limits: Limits) {
    this.#realm = realm;
    this.#network = network;
    this.#limits = limits;
    this.#rates = new SourceBuckets(limits.perSecond, limits.perSecond * BURST_SECONDS, MAX_SOURCES);
  }

  get addresses(): readonly string[] {
    return [...this.#sockets.keys()];
  }

  async open(bind: SocketAddress, otherBind: SocketAddress | undefined, tcp: boolean): Promise<Observer> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#bindAll(bind, otherBind, tcp);
        return this;
      } catch (error) {
        // A port that the system chose for one socket can be in use for another one.
        const again = bind.port === 0 && tries < PORT_TRIES && P2PError.is(error, 'in_use');
        if (!again) {
          await this.close();
          throw error;
        }
        await Promise.all([...this.#sockets.values()].map((socket) => socket.close()));
        this.#sockets.clear();
      }
    }
  }

  async #bindAll(bind: SocketAddress, otherBind: SocketAddress | undefined, tcp: boolean): Promise<void> {
    const first = await this.#bindUdp(bind);
    const other = otherBind === undefined ? undefined : await this.#bindUdp(otherBind);
    if (other !== undefined) {
      await this.#bindUdp({ ip: bind.ip, port: other.port });
      await this.#bindUdp({ ip: otherBind!.ip, port: first.port });
    }
    for (const socket of this.#sockets.values()) this.#serve(socket, first, other);
    if (!tcp) return;
    this.#listener = await this.#network.listen({
      bind: { ip: bind.ip, port: first.port },
      backlog: 128,
      reusePort: false,
      onConnection: (connection) => this.#accept(connection),
      onError: () => undefined,
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { pipe } of this.#connections.keys()) pipe.destroy();
    await Promise.all([this.#listener?.close(), ...[...this.#sockets.values()].map((socket) => socket.close())]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #bindUdp(bind: SocketAddress): Promise<SocketAddress> {
    const socket = await this.#network.bindUdp({ bind });
    const { ip, port } = socket.address;
    this.#sockets.set(formatSocketAddress(ip, port), socket);
    return { ip, port };
  }

  /** The socket's address, and the one that differs in IP and port. */
  #serve(socket: DatagramSocket, first: SocketAddress, other: SocketAddress | undefined): void {
    const here = socket.address;
    const opposite =
      other === undefined
        ? undefined
        : {
            ip: here.ip === first.ip ? other.ip : first.ip,
            port: here.port === first.port ? other.port : first.port,
          };
    socket.sink = {
      onDatagram: (payload, ip, port) => {
        const reply = this.#answer(payload, { ip, port }, { here, other: opposite });
        if (reply === undefined) return;
        const from = {
          ip: reply.otherIp ? opposite!.ip : here.ip,
          port: reply.otherPort ? opposite!.port : here.port,
        };
        this.#sockets.get(formatSocketAddress(from.ip, from.port))?.send(reply.bytes, ip, port);
      },
    };
  }

  #answer(request: Uint8Array, source: SocketAddress, addresses: StunServerAddresses): ReturnType<typeof answerStun> {
    this.counters.countReceived(request.length);
    if (!this.#rates.take(this.#realm.nowMs(), sourceOf(source.ip))) {
      this.counters.countDrop('observer.rate_limited');
      return undefined;
    }
    const reply = answerStun(request, source, addresses);
    if (reply === undefined) this.counters.countDrop('observer.malformed');
    else this.counters.countSent(reply.bytes.length);
    return reply;
  }

  #accept(connection: RawConnection): void {
    const { pipe, remote, local } = connection;
    const source = sourceOf(remote.ip);
    const ofSource = [...this.#connections.values()].filter((one) => one === source).length;
    if (
      this.#isClosed ||
      this.#connections.size >= this.#limits.maxConnections ||
      ofSource >= MAX_CONNECTIONS_PER_SOURCE
    ) {
      this.counters.countDrop('observer.too_many_connections');
      pipe.destroy();
      return;
    }
    this.#connections.set(connection, source);
    const timer = clockOf(this.#realm).setTimer(this.#realm.nowMs() + CONNECTION_MS, () => pipe.destroy(), {
      background: true,
    });
    answerStunOn(
      pipe,
      (request) => this.#answer(request, remote, { here: local })?.bytes,
      () => {
        timer.cancel();
        this.#connections.delete(connection);
      },
    );
  }
}
