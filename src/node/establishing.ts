/** Sets up connections, dialled and accepted ones, until they are added to the connection table. */

import { type SocketAddress, formatSocketAddress, isLoopbackIp, isUnspecifiedIp } from '../base/ip.ts';
import type { Side } from '../core/accept.ts';
import { P2PError } from '../core/errors.ts';
import type { RawConnection } from '../net/network.ts';
import { adopt } from '../net/system-network.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { Accepting } from './accepting.ts';
import { Attempt } from './attempt.ts';
import type { Bans } from './bans.ts';
import type { ConnectionTable } from './connection-table.ts';
import { bannedError, evictedError, limitError, selfError, takenError } from './errors.ts';
import type { HandshakeHook } from './handshake.ts';
import { Admission, type Reservation } from './limits.ts';
import { type ConnectionHooks, type ConnectionOwner, NodeConnection } from './node-connection.ts';
import type { ConnectOptions } from './node.ts';
import type { ResolvedNodeOptions } from './options.ts';
import { runHandshake, type Secured } from './run-handshake.ts';
import { trace } from './trace.ts';

/** What {@link Establishing} needs of the node. */
export interface EstablishingOwner<In, Out> extends ConnectionOwner {
  readonly running: { handshake: number; onConnect: number; onDisconnect: number };
  /** The hooks enabled now. */
  readonly hooks: ConnectionHooks<In, Out> & { readonly handshake: HandshakeHook | undefined };
  /** Where the node listens. */
  readonly listensAt: SocketAddress | undefined;
  /** The error of an operation on a closed node; `undefined` while it is open. */
  closedError(what: string): P2PError | undefined;
}

/** Options of a dial. */
export type DialOptions = Omit<ConnectOptions, 'bind'> & { readonly bind: SocketAddress | undefined };

export class Establishing<In, Out> {
  readonly #owner: EstablishingOwner<In, Out>;
  readonly #options: ResolvedNodeOptions<In, Out>;
  readonly #admission: Admission;
  readonly #bans: Bans;
  readonly #table: ConnectionTable<Out>;
  readonly #accepting: Accepting | undefined;
  readonly #attempts = new Set<Attempt>(); // Bounded by twice maxConnecting.
  #lastId = 0;

  constructor(
    owner: EstablishingOwner<In, Out>,
    options: ResolvedNodeOptions<In, Out>,
    parts: { readonly bans: Bans; readonly table: ConnectionTable<Out>; readonly accepting: Accepting | undefined },
  ) {
    this.#owner = owner;
    this.#options = options;
    this.#admission = new Admission(options.limits);
    this.#bans = parts.bans;
    this.#table = parts.table;
    this.#accepting = parts.accepting;
  }

  /** The number of connections being set up. */
  get connecting(): number {
    return this.#admission.connecting;
  }

  isConnecting(addr: string): boolean {
    for (const each of this.#attempts) if (each.addr === addr) return true;
    return false;
  }

  /** Aborts set-ups with IPs that are banned now. */
  giveUpBanned(nowMs: number): void {
    for (const attempt of this.#attempts) {
      const { ip } = parseIpSocketAddress(attempt.addr, 'addr');
      if (this.#bans.has(ip, nowMs)) attempt.giveUp('banned', bannedError(attempt.addr));
    }
  }

  /** Aborts all set-ups. */
  close(error: P2PError): void {
    for (const attempt of this.#attempts) attempt.giveUp(undefined, error);
  }

  /** Checks everything that can prevent dialling `remote`, synchronously, then reserves a place. */
  reserve(remote: SocketAddress, addr: string): Reservation | P2PError {
    const { count, realm } = this.#owner;
    const what = `connect to ${addr}`;
    const closed = this.#owner.closedError(what);
    if (closed !== undefined) return closed;
    if (this.#isSelf(remote)) return selfError(addr);
    if (this.#table.has(addr) || this.isConnecting(addr)) return takenError(addr);
    if (this.#bans.has(remote.ip, realm.nowMs())) return bannedError(addr);
    const place = this.#admission.reserve(remote.ip, 'responder');
    if (typeof place !== 'string') return place;
    count.connectRefusals++;
    return limitError(what, place, this.#admission);
  }

  async dial(remote: SocketAddress, reservation: Reservation, options: DialOptions): Promise<NodeConnection<Out>> {
    const { signal, socket, bind, tag } = options;
    const { realm } = this.#owner;
    const attempt = new Attempt(formatSocketAddress(remote.ip, remote.port));
    const onAbort = (): void => attempt.giveUp(undefined, signal?.reason);
    const timeoutMs = options.timeoutMs ?? this.#options.connectTimeoutMs;
    const onLate = (): void => {
      const message = `Cannot connect to ${attempt.addr}: no answer within ${timeoutMs} ms`;
      attempt.giveUp(undefined, new P2PError('timeout', 'path', message, { sent: 'no' }));
    };
    this.#attempts.add(attempt);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
    const timer = timeoutMs === Infinity ? undefined : clockOf(realm).setTimer(realm.nowMs() + timeoutMs, onLate);
    try {
      const raw = await (socket === undefined
        ? this.#options.network.dial({ ...this.#options.streams, remote, bind, signal: attempt.signal })
        : adopt(socket, remote, attempt.signal));
      timer?.cancel();
      return await this.#setUp(raw, 'responder', tag, reservation, attempt);
    } catch (error) {
      reservation.release();
      throw error;
    } finally {
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
      this.#attempts.delete(attempt);
    }
  }

  /** Handles an accepted connection. */
  async take(raw: RawConnection): Promise<void> {
    const { remote } = raw;
    const { count, realm } = this.#owner;
    const attempt = new Attempt(formatSocketAddress(remote.ip, remote.port));
    if (this.#owner.closedError('connect') !== undefined) {
      raw.pipe.destroy();
      return;
    }
    const reservation = this.#bans.has(remote.ip, realm.nowMs())
      ? 'banned'
      : this.#admission.reserve(remote.ip, 'initiator', () =>
          attempt.giveUp('max_connecting', evictedError(attempt.addr)),
        );
    if (typeof reservation === 'string') {
      raw.pipe.destroy();
      count.countRefused(reservation);
      trace(realm, 'refused', { ...remote, side: 'initiator' }, reservation);
      return;
    }
    this.#attempts.add(attempt);
    try {
      await this.#setUp(raw, 'initiator', undefined, reservation, attempt);
    } catch {
      reservation.release(); // Counted and traced where it was thrown; there is no caller to notify.
    } finally {
      this.#attempts.delete(attempt);
    }
  }

  /** Whether `remote` is this node's listening address, as far as can be known. */
  #isSelf(remote: SocketAddress): boolean {
    const own = this.#owner.listensAt;
    if (own === undefined || own.port !== remote.port) return false;
    if (own.ip === remote.ip) return true;
    if (!isUnspecifiedIp(own.ip)) return false;
    return isLoopbackIp(remote.ip) || this.#options.network.interfaces().some(({ ip }) => ip === remote.ip);
  }

  async #setUp(
    raw: RawConnection,
    side: Side,
    tag: unknown,
    reservation: Reservation,
    attempt: Attempt,
  ): Promise<NodeConnection<Out>> {
    const owner = this.#owner;
    const { realm, count, hooks } = owner;
    const connection = new NodeConnection<Out>({ owner, id: ++this.#lastId, raw, side, tag, reservation });
    try {
      const secured = await this.#secure(connection, raw, attempt);
      if (attempt.signal.aborted) throw attempt.signal.reason;
      connection.secured(secured, hooks);
      this.#table.add(connection);
      reservation.establish();
      count.connected[side]++;
      trace(realm, 'connected', connection);
      connection.open(secured, hooks.onConnect);
      return connection;
    } catch (error) {
      raw.pipe.sink = undefined;
      raw.pipe.destroy();
      connection.abandon();
      if (owner.closedError('connect') === undefined) {
        const reason = attempt.reasonOf(error);
        count.countRefused(reason);
        trace(realm, 'handshake_failed', connection, reason, error);
      }
      throw error;
    }
  }

  async #secure(connection: NodeConnection<Out>, raw: RawConnection, attempt: Attempt): Promise<Secured | undefined> {
    const { running, realm, hooks } = this.#owner;
    const hook = hooks.handshake;
    if (hook === undefined) return undefined;
    const accepting = this.#accepting;
    running.handshake++;
    try {
      return await runHandshake({
        connection,
        pipe: raw.pipe,
        hook,
        attempt,
        realm,
        ask: accepting && ((publicKey) => accepting.ask(connection, publicKey, attempt.signal)),
      });
    } finally {
      running.handshake--;
    }
  }
}
