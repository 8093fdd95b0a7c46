/** A node: its connections, their admission, and the hooks that handle them. */

import type { Realm } from '../core/realm.ts';
import type { CallOptions, Closed } from '../core/swarm.ts';
import type { Socket } from '../net/system-network.ts';
import type { DisconnectOptions, SendOptions, TcpConnection } from './connection.ts';
import type { Hook, HookKind } from './hook.ts';
import type { Heuristics, NodeStats } from './stats.ts';

/** Options of a connection. */
export interface ConnectOptions extends CallOptions {
  /** IP and port to dial from; port 0 for any. @default chosen by the system */
  readonly bind?: string | undefined;
  /**
   * A socket to use: connected or connecting to the address, or new, in which case the node connects it. It then
   * belongs to the node. It should be made with `allowHalfOpen: true`.
   */
  readonly socket?: Socket | undefined;
  /** Any value; available as `connection.tag` in all hooks, starting with the handshake. */
  readonly tag?: unknown;
}

/** Options of a ban. */
export interface BanOptions {
  /** @default Infinity: until `unban` */
  readonly forMs?: number | undefined;
}

/**
 * A TCP node. Without hooks it only holds its connections; a hook applies to connections that are set up after it was
 * enabled.
 *
 * @typeParam In - the messages its codec decodes.
 * @typeParam Out - the messages that can be sent.
 */
export interface Node<out In = unknown, in Out = never> extends AsyncDisposable {
  readonly name: string;
  readonly realm: Realm;
  /** Whether there is neither security nor a handshake: then every peer is admitted, and bytes are sent unencrypted. */
  readonly isRaw: boolean;
  /** The listening address as `ip:port`; `undefined` when it does not listen. */
  readonly listeningAddr: string | undefined;
  /** The number of established connections. */
  readonly connected: number;
  /** The number of connections being set up. */
  readonly connecting: number;
  readonly stats: NodeStats;
  readonly heuristics: Heuristics;
  /** The number of running calls of each hook. */
  readonly running: Readonly<Record<Exclude<HookKind, 'reading' | 'writing'>, number>>;
  /** Resolves when the node has ended. Never rejects. */
  readonly closed: Promise<Closed>;
  /** The banned IPs, and the realm's time at which each ban ends. */
  readonly bans: ReadonlyMap<string, number>;

  /**
   * Enables a hook.
   *
   * @throws {TypeError} when a hook of its kind is enabled already; for `reading` and `writing` of a node without a
   * `codec`; for a `handshake` when the node has `security`, which is its handshake.
   */
  enable(hook: Hook<In, Out>): void;

  /**
   * Accepts connections; can be started and stopped any number of times.
   *
   * @param bind - replaces the node's own `bind` for this call.
   * @returns the listening address as `ip:port`.
   * @throws {P2PError} (by rejection) `in_use` when it listens already, or the port is in use; `unreachable`,
   * `unsupported`, `closed`.
   */
  listen(bind?: string): Promise<string>;

  /** Stops accepting connections; existing ones stay. Has no effect when it does not listen. */
  stopListening(): Promise<void>;

  /**
   * Connects, and runs the handshake. Resolves when the connection is established and `onConnect` is about to run. With
   * TLS, and with Noise patterns other than IK, that is before the peer's `accept` has checked this node: a peer that
   * refuses ends the connection then.
   *
   * @param addr - `ip:port`; hostnames are not resolved.
   * @throws {TypeError} (at once) when `addr` is not an address.
   * @throws {P2PError} (by rejection) `in_use` when it is the address of this node, or a connection to that address
   * exists or is being set up; `limit_exceeded`; `refused` by a ban, `accept` or the handshake; `unreachable`,
   * `timeout`, `identity_mismatch`, `disconnected` when the peer disconnects meanwhile, `closed`; the signal's reason.
   */
  connect(addr: string, options?: ConnectOptions): Promise<TcpConnection<Out>>;

  /** All established connections, including those that are about to end. */
  connections(): readonly TcpConnection<Out>[];

  /** The connection with this remote address. */
  connection(addr: string): TcpConnection<Out> | undefined;

  /** Whether a connection to `addr` is being set up. */
  isConnecting(addr: string): boolean;

  /**
   * Sends to all connected peers that have room in their queues.
   *
   * @returns the number of peers for which it was queued.
   */
  broadcast(message: Out, options?: Pick<SendOptions, 'priority' | 'timeoutMs'>): number;

  /**
   * Asks `accept` again about every connected peer, and ends the connections of those it refuses (`not_accepted`).
   * Connections continue until their verdict.
   *
   * @returns settles when all peers are checked; never rejects.
   */
  recheck(): Promise<void>;

  /**
   * Ends all connections gracefully, as {@link TcpConnection.disconnect} does, and stops listening. Nothing sent before
   * is lost, unless it rejects. The node stays usable.
   *
   * @param options - `timeoutMs` is 30 000 by default.
   * @throws {P2PError} (by rejection) `timeout` when a peer did not end in time: its connection is closed; `closed`.
   */
  drain(options?: DisconnectOptions): Promise<void>;

  /**
   * Bans an IP: ends its connections, and refuses new ones.
   *
   * @throws {TypeError} when `ip` is not an IP.
   */
  ban(ip: string, options?: BanOptions): void;

  /** Lifts a ban. @returns whether the IP was banned */
  unban(ip: string): boolean;

  /**
   * Ends the node: stops listening, aborts connections being set up, ends all connections. Queued messages are sent
   * only if the peer takes them at once; call {@link Node.drain} first if they must arrive. Idempotent, never rejects,
   * ends within a second.
   */
  close(): Promise<void>;
}
