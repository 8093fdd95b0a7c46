/** A node: connections, who may have one, and the hooks that say what is done with them. */

import { type Realm } from '../core/realm.ts';
import { type CallOptions, type Closed } from '../core/swarm.ts';
import { type Socket } from '../net/system-network.ts';
import { type DisconnectOptions, type SendOptions, type TcpConnection } from './connection.ts';
import { type Hook, type HookKind } from './hook.ts';
import { type Heuristics, type NodeStats } from './stats.ts';

/** How a connection is made. */
export interface ConnectOptions extends CallOptions {
  /** IP and port to dial from; port 0 for any. @default the system's choice */
  readonly bind?: string | undefined;
  /**
   * A socket of your own: connected or connecting to the address, or new, and then the node connects it. The node owns it
   * from now on. It should be made with `allowHalfOpen: true`.
   */
  readonly socket?: Socket | undefined;
  /** Anything; shown as `connection.tag` to all hooks, from the handshake on. */
  readonly tag?: unknown;
}

/** How long an IP is banned. */
export interface BanOptions {
  /** @default Infinity: until `unban` */
  readonly forMs?: number | undefined;
}

/**
 * A TCP node. It does nothing with a connection but hold it, until hooks are enabled; what is enabled holds for connections
 * that are set up afterwards.
 *
 * @typeParam In - the messages of its codec that come.
 * @typeParam Out - the messages that can be sent.
 */
export interface Node<out In = unknown, in Out = never> extends AsyncDisposable {
  readonly name: string;
  readonly realm: Realm;
  /** Whether there is no security and no handshake: then anybody is let in, and bytes go as they are. */
  readonly isRaw: boolean;
  /** Where it listens, as `ip:port`; `undefined` when it does not. */
  readonly listeningAddr: string | undefined;
  /** How many connections are up. */
  readonly connected: number;
  /** How many connections are being set up. */
  readonly connecting: number;
  readonly stats: NodeStats;
  readonly heuristics: Heuristics;
  /** How many calls of each hook are under way. */
  readonly running: Readonly<Record<Exclude<HookKind, 'reading' | 'writing'>, number>>;
  /** Resolves when the node has ended. Never rejects. */
  readonly closed: Promise<Closed>;
  /** The banned IPs, and the realm's time at which each ban ends. */
  readonly bans: ReadonlyMap<string, number>;

  /**
   * Switches a hook on.
   *
   * @throws {TypeError} when one of its kind is on already; for `reading` and `writing` of a node without a `codec`; for a
   *   `handshake` when the node has `security`: that is its handshake.
   */
  enable(hook: Hook<In, Out>): void;

  /**
   * Lets others connect; can be switched on and off any number of times.
   *
   * @param bind - in place of the node's own `bind`, this time.
   * @returns where it listens, as `ip:port`.
   * @throws {P2PError} (by rejection) `in_use` when it listens already, or the port is taken; `unreachable`, `unsupported`,
   *   `closed`.
   */
  listen(bind?: string): Promise<string>;

  /** Lets nobody connect any more; connections stay. Harmless when it does not listen. */
  stopListening(): Promise<void>;

  /**
   * Connects, and runs the handshake. Resolves when the connection is up and `onConnect` is about to run. With TLS, and with
   * Noise but for IK, that is before the peer's `accept` judges us: a peer that refuses ends the connection then.
   *
   * @param addr - `ip:port`; hostnames are not resolved.
   * @throws {TypeError} (at once) when `addr` is none.
   * @throws {P2PError} (by rejection) `in_use` when it is this node itself, or there is a connection to that address, or one
   *   being set up; `limit_exceeded`; `refused` by a ban, `accept` or the handshake; `unreachable`, `timeout`,
   *   `identity_mismatch`, `disconnected` when the peer goes away meanwhile, `closed`; the signal's reason.
   */
  connect(addr: string, options?: ConnectOptions): Promise<TcpConnection<Out>>;

  /** All connections that are up, those that are about to end included. */
  connections(): readonly TcpConnection<Out>[];

  /** The connection with this other end. */
  connection(addr: string): TcpConnection<Out> | undefined;

  /** Whether a connection to `addr` is being set up. */
  isConnecting(addr: string): boolean;

  /**
   * Sends to all connected peers that have room.
   *
   * @returns to how many it was queued.
   */
  broadcast(message: Out, options?: Pick<SendOptions, 'priority' | 'timeoutMs'>): number;

  /**
   * Asks `accept` again about every peer that is connected, and ends the connections of those that it refuses
   * (`not_accepted`). Connections go on until their verdict is there.
   *
   * @returns settles when all are judged; never rejects.
   */
  recheck(): Promise<void>;

  /**
   * Ends all connections politely, as {@link TcpConnection.disconnect} does, and stops listening. Nothing that was sent
   * before is lost, unless it rejects. The node stays usable.
   *
   * @param options - `timeoutMs` is 30 000 by default.
   * @throws {P2PError} (by rejection) `timeout` when a peer did not end in time: its connection is gone; `closed`.
   */
  drain(options?: DisconnectOptions): Promise<void>;

  /**
   * Has nothing to do with an IP for a while: ends its connections, refuses new ones.
   *
   * @throws {TypeError} when `ip` is none.
   */
  ban(ip: string, options?: BanOptions): void;

  /** Lifts a ban. @returns whether there was one */
  unban(ip: string): boolean;

  /**
   * Ends the node: stops listening, gives up what is being set up, ends all connections. What was sent goes out if the peer
   * takes it at once; use {@link Node.drain} first where it matters. Idempotent, never rejects, ends within a second.
   */
  close(): Promise<void>;
}
