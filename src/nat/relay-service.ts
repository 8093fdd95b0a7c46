/** Serves as a relay on a swarm that authenticates: the machine of `protocols/relay/` with its messages, its clock and its budgets. */

import type { Accept, Recheckable } from '../core/accept.ts';
import { type Addr, ipOf, portOf } from '../core/addr.ts';
import type { Counters } from '../core/counters.ts';
import { type Describes, inspect, type LayerDescription } from '../core/inspect.ts';
import type { Message } from '../core/message.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey, SecureSwarm } from '../core/secure.ts';
import { assertFunction, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import type { SocketAddress } from '../base/ip.ts';
import { MAX_RELAYED_BYTES, RELAY_HEADER_BYTES } from '../protocols/relay/messages.ts';
import { RelayServer } from '../protocols/relay/server.ts';
import type {
  RelayServerEvent,
  RelaySource,
  RelayTransmit,
  ResolvedRelayBudgets,
} from '../protocols/relay/server-options.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { Driver } from '../runtime/driver.ts';
import { RESOLVED } from '../runtime/promises.ts';
import { connectionsOf } from '../sessions/connections.ts';
import { AcceptGate } from '../sessions/accept-gate.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { assertSecure, idBehind } from './relay-address.ts';

/** The budgets of a relay. They can be changed while it serves. */
export interface RelayBudgets {
  /** Reservations at a time. @default 128 */
  readonly maxPeers?: number | undefined;
  /** Those of one network (/24 of IPv4, /64 of IPv6). @default a quarter of `maxPeers`, rounded up */
  readonly maxPeersPerSource?: number | undefined;
  /** The longest reservation, in minutes; clients renew theirs earlier. @default 60 */
  readonly maxMinutes?: number | undefined;
  /** Clients without a reservation that may send to those that have one, and get their answers. @default 256 */
  readonly maxGuests?: number | undefined;
  /** Bytes a second that one client may send; those of one second may be saved up. 1300 and more. @default 1 048 576 (1 MiB) */
  readonly bytesPerSecond?: number | undefined;
  /** The same for all clients of one network. @default half of `totalBytesPerSecond` */
  readonly bytesPerSecondPerSource?: number | undefined;
  /** The same for all clients. @default 8 388 608 (8 MiB) */
  readonly totalBytesPerSecond?: number | undefined;
  /** Bytes that wait for one client; surplus is dropped as `relay.slow_peer`. @default 262 144 (256 KiB) */
  readonly maxPendingBytes?: number | undefined;
}

/** How a relay serves. */
export interface RelayServiceOptions<A extends Addr> extends RelayBudgets {
  /** Who may reserve, and send as a guest. `side` is `initiator`. @default everybody */
  readonly accept?: Accept<A> | undefined;
  /**
   * Where a client is: what it is told as its observed address, and whose share it counts for. For swarms whose addresses have no
   * IP. @default IP and port of the address
   */
  readonly socketAddressOf?: ((addr: A) => SocketAddress | undefined) | undefined;
}

/** A client with a reservation. */
export interface RelayPeer<out A extends Addr> {
  readonly id: PeerId;
  readonly addr: A;
  /** Realm time in milliseconds: since when it is known, and until when its reservation holds. */
  readonly sinceMs: number;
  readonly expiresMs: number;
  /** Payload bytes from it and to it. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** A relay that serves. */
export interface RelayService<A extends Addr> extends AsyncDisposable, Recheckable {
  /** Clients with a reservation. */
  readonly peers: readonly RelayPeer<A>[];
  /** Clients without one. */
  readonly guests: number;
  /**
   * `received` and `sent`: datagrams taken and passed on. Drops: `relay.no_reservation`, `relay.denied`, `relay.no_room`,
   * `relay.rate_limited`, `relay.source_rate_limited`, `relay.total_rate_limited`, `relay.slow_peer`, `relay.too_big`,
   * `relay.verdict_pending`, `relay.unknown_type`, `relay.unknown_version`, `relay.unknown_peer`, `malformed`, `oversize`.
   */
  readonly counters: Counters;
  /** Where it can be reached: the swarm's addresses. */
  localAddrs(): readonly A[];
  /**
   * Replaces the budgets that are given. Reservations last as long as they were granted.
   *
   * @throws {TypeError | RangeError} for budgets out of bounds.
   */
  update(budgets: RelayBudgets): void;
  /** Tells all clients, and stops. The swarm stays open. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** The smallest rate: one datagram with its header in a second. */
const MIN_BYTES_PER_SECOND = 1300;
/** Bytes that wait for all clients together. */
const MAX_TOTAL_PENDING_BYTES = 16_777_216;
/** Remembered senders. */
const MAX_SOURCES = 4096;

type Budgets = ResolvedRelayBudgets & { readonly maxPendingBytes: number };

function resolveBudgets(given: RelayBudgets): Budgets {
  const whole = (name: 'maxPeers' | 'maxGuests' | 'maxPendingBytes', fallback: number): number =>
    wholeNumber(given[name], name, fallback, 0, 2 ** 30);
  const rate = (name: keyof RelayBudgets, fallback: number): number =>
    quantity(given[name], name, fallback, MIN_BYTES_PER_SECOND, Infinity);
  const maxPeers = whole('maxPeers', 128);
  const totalBytesPerSecond = rate('totalBytesPerSecond', 8_388_608);
  return {
    maxPeers,
    maxPeersPerSource: wholeNumber(given.maxPeersPerSource, 'maxPeersPerSource', Math.ceil(maxPeers / 4), 0, 2 ** 30),
    maxMinutes: quantity(given.maxMinutes, 'maxMinutes', 60, 1 / 60, 65_535),
    maxGuests: whole('maxGuests', 256),
    bytesPerSecond: rate('bytesPerSecond', 1_048_576),
    bytesPerSecondPerSource: rate('bytesPerSecondPerSource', Math.max(MIN_BYTES_PER_SECOND, totalBytesPerSecond / 2)),
    totalBytesPerSecond,
    maxPendingBytes: whole('maxPendingBytes', 262_144),
  };
}

/**
 * Serves as a relay on a swarm that authenticates, such as tcp, quic or p2pke. Takes the swarm's handler slot; give it a channel of its own
 * (`mux`) where the swarm carries other messages too. It sends to clients only, and sees sealed datagrams only (docs/wire/relay.md).
 *
 * @throws {TypeError | RangeError} for options out of bounds, and when the swarm has a handler.
 */
export function serveRelay<A extends Addr>(
  swarm: SecureSwarm<A>,
  options: RelayServiceOptions<A> = {},
): RelayService<A> {
  assertSecure(swarm);
  assertRelayOptions(options);
  return new Service(swarm, options);
}

/** @throws {TypeError | RangeError} for options out of bounds. */
export function assertRelayOptions<A extends Addr>(options: RelayServiceOptions<A>): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  if (options.accept !== undefined) assertFunction(options.accept, 'accept');
  if (options.socketAddressOf !== undefined) assertFunction(options.socketAddressOf, 'socketAddressOf');
  resolveBudgets(options);
}

/** What waits for one client. */
interface Pending {
  bytes: number;
}

class Service<A extends Addr> implements RelayService<A>, Describes {
  readonly counters: CounterSet;
  readonly #swarm: SecureSwarm<A>;
  readonly #realm: Realm;
  readonly #options: RelayServiceOptions<A>;
  readonly #server: RelayServer<A>;
  readonly #driver: Driver<RelayTransmit<A>, RelayServerEvent<A>>;
  readonly #gate: AcceptGate<A>;
  readonly #latch: CloseLatch;
  readonly #listening: Disposable;
  readonly #connections: Disposable | undefined;
  /** By the text of the address, as long as the key behind it is the same. Bounded by MAX_SOURCES: a full cache is cleared. */
  readonly #sources = new Map<string, { readonly key: PublicKey; readonly from: RelaySource<A> }>();
  /** For whom bytes wait. Bounded by MAX_TOTAL_PENDING_BYTES. */
  readonly #pending = new Map<string, Pending>();
  #pendingBytes = 0;
  #given: RelayBudgets;
  #budgets: Budgets;

  constructor(swarm: SecureSwarm<A>, options: RelayServiceOptions<A>) {
    const { realm } = swarm;
    this.#swarm = swarm;
    this.#realm = realm;
    this.#options = options;
    this.#given = options;
    this.#budgets = resolveBudgets(options);
    this.counters = new CounterSet('relay', swarm.counters);
    this.#gate = new AcceptGate<A>({
      realm,
      accept: options.accept,
      onFault: ({ addr }, cause) => {
        this.counters.countDrop('handler_error');
        realm.trace?.({ layer: 'relay', type: 'handler_error', atMs: realm.nowMs(), addr, cause });
      },
    });
    this.#server = new RelayServer<A>(realm.nowMs(), this.#budgets, options.accept !== undefined);
    this.#latch = new CloseLatch({ realm, layer: 'relay', release: () => this.#release() });
    this.#driver = new Driver(this.#server, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: (event) => this.#handle(event),
      failed: (bug) => this.#latch.fail(bug),
      background: true,
    });
    this.#listening = swarm.listen((message) => this.#receive(message));
    this.#connections = connectionsOf(swarm)?.onDisconnected((peer) => {
      this.#server.handleDisconnected(peer);
      this.#driver.poll();
    });
    void swarm.closed.then((how) => this.#latch.fail(how.cause));
  }

  get peers(): readonly RelayPeer<A>[] {
    return this.#server.peers(this.#realm.nowMs()).map(({ id, addr, sinceMs, untilMs, receivedBytes, sentBytes }) => ({
      id,
      addr,
      sinceMs,
      expiresMs: untilMs,
      receivedBytes,
      sentBytes,
    }));
  }

  get guests(): number {
    return this.#server.guests;
  }

  localAddrs(): readonly A[] {
    return this.#latch.isClosed ? [] : this.#swarm.localAddrs();
  }

  update(budgets: RelayBudgets): void {
    if (typeof budgets !== 'object' || budgets === null) {
      throw new TypeError(`Cannot take budgets: expected an object, got ${describeValue(budgets)}`);
    }
    const given = Object.fromEntries(Object.entries(budgets).filter(([, value]) => value !== undefined));
    const merged: RelayBudgets = { ...this.#given, ...given };
    this.#budgets = resolveBudgets(merged);
    this.#given = merged;
    this.#server.update(this.#realm.nowMs(), this.#budgets);
  }

  recheck(): Promise<void> {
    const judged = this.#server.clients.flatMap(({ id, addr }) => {
      const publicKey = this.#swarm.knownPublicKey(addr);
      const end = (): void => {
        this.#server.end(id, 'denied');
        this.#driver.poll();
      };
      return publicKey === undefined ? [] : [[{ id, addr, publicKey, side: 'initiator' }, end] as const];
    });
    return this.#gate.recheck(judged);
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    const { reservations, guests } = this.#server;
    return {
      limits: { ...this.#budgets },
      state: { reservations, guests, pendingBytes: this.#pendingBytes, verdicts: this.#gate.pending },
      inner: [inspect(this.#swarm)],
    };
  }

  #receive({ src, payload }: Message<A>): void {
    const from = this.#sourceOf(src);
    if (from === undefined) {
      this.counters.countDrop('relay.unknown_peer');
      return;
    }
    this.#server.handleMessage(this.#realm.nowMs(), from, payload);
    this.#driver.poll();
  }

  #sourceOf(addr: A): RelaySource<A> | undefined {
    const key = this.#swarm.knownPublicKey(addr);
    if (key === undefined) return undefined;
    const known = this.#sources.get(addr.text);
    // Where the program tells where clients are, they may move without another address.
    if (known?.key === key && this.#options.socketAddressOf === undefined) return known.from;
    const observed = this.#socketAddressOf(addr);
    const room = this.#swarm.mtu(addr) - RELAY_HEADER_BYTES;
    // Without room there is no way to it just now: that says nothing about the next one.
    const mtu = room > 0 ? Math.min(MAX_RELAYED_BYTES, room) : MAX_RELAYED_BYTES;
    const from = { id: idBehind(addr, key), addr, host: observed?.ip ?? addr.text, observed, mtu };
    if (this.#sources.size >= MAX_SOURCES) this.#sources.clear();
    this.#sources.set(addr.text, { key, from });
    return from;
  }

  #socketAddressOf(addr: A): SocketAddress | undefined {
    const { socketAddressOf } = this.#options;
    if (socketAddressOf !== undefined) return socketAddressOf(addr);
    const ip = ipOf(addr);
    const port = portOf(addr);
    return ip === undefined || port === undefined ? undefined : { ip, port };
  }

  #handle(event: RelayServerEvent<A>): void {
    if (event.type === 'dropped') this.counters.countDrop(event.reason);
    else if (event.type === 'relayed') this.counters.countReceived(event.bytes);
    else if (event.type === 'judge') this.#judge(event.from);
    else {
      const { id, type } = event;
      this.#realm.trace?.({ layer: 'relay', type: `reservation_${type}`, atMs: this.#realm.nowMs(), reason: id });
    }
  }

  #judge({ id, addr, host }: RelaySource<A>): void {
    const publicKey = this.#swarm.knownPublicKey(addr);
    const answer = (admitted: boolean): void => {
      if (!admitted) this.counters.countDrop('refused');
      this.#server.handleVerdict(this.#realm.nowMs(), id, admitted);
      this.#driver.poll();
    };
    if (publicKey === undefined) {
      answer(false);
      return;
    }
    const verdict = this.#gate.ask({ id, addr, publicKey, side: 'initiator' }, host, answer);
    if (typeof verdict === 'boolean') answer(verdict);
  }

  #transmit({ to, bytes, peer }: RelayTransmit<A>): void {
    if (bytes.length > this.#swarm.mtu(to)) {
      this.counters.countDrop('relay.too_big');
      return;
    }
    const waiting = this.#pending.get(to.text);
    const isFull =
      (waiting?.bytes ?? 0) + bytes.length > this.#budgets.maxPendingBytes ||
      this.#pendingBytes + bytes.length > MAX_TOTAL_PENDING_BYTES;
    if (isFull) {
      this.counters.countDrop('relay.slow_peer');
      return;
    }
    const told = this.#swarm.tell(to, bytes);
    if (peer !== undefined) this.counters.countSent(bytes.length - RELAY_HEADER_BYTES);
    if (told !== RESOLVED) this.#await(to.text, bytes.length, told);
  }

  #await(text: string, bytes: number, told: Promise<void>): void {
    const waiting = this.#pending.get(text) ?? { bytes: 0 };
    this.#pending.set(text, waiting);
    waiting.bytes += bytes;
    this.#pendingBytes += bytes;
    const done = (): void => {
      waiting.bytes -= bytes;
      this.#pendingBytes -= bytes;
      if (waiting.bytes === 0) this.#pending.delete(text);
    };
    told.then(done, () => {
      done();
      this.counters.countDrop('relay.send_failed');
    });
  }

  #release(): void {
    this.#server.close();
    this.#driver.poll();
    this.#driver.stop();
    this.#gate.close();
    this.#listening[Symbol.dispose]();
    this.#connections?.[Symbol.dispose]();
  }
}
