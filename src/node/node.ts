/** A node: connections, who may have one, and the hooks that say what is done with them. */

import { type Socket } from '../net/system-network.ts';

import { type Realm } from '../core/realm.ts';
import { type CallOptions, type Closed } from '../core/swarm.ts';
import { type Connection } from './connection.ts';
import { type Hook, type HookKind } from './hook.ts';
import { NodeCore } from './node-core.ts';
import { type NodeOptions } from './options.ts';
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

/** How connections are ended. */
export interface DisconnectOptions extends CallOptions {
  /** Told to the peer, where the codec can. @default 'closed' */
  readonly reason?: string | undefined;
}

/** How long an IP is banned. */
export interface BanOptions {
  /** @default Infinity: until `unban` */
  readonly forMs?: number | undefined;
}

/**
 * A TCP node. It does nothing with a connection but hold it, until hooks are enabled; what is enabled holds for connections
 * that are set up afterwards.
 */
export interface Node extends AsyncDisposable {
  readonly name: string;
  readonly realm: Realm;
  /** Whether no handshake is enabled: then anybody is let in, and bytes go as they are. */
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
   * @returns the hook's handle: the means to send, for `writing`.
   * @throws {TypeError} when one of its kind is on already.
   */
  enable<Handle>(hook: Hook<Handle>): Handle;

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
   * Connects, and runs the handshake. Resolves when the connection is up and `onConnect` is about to run.
   *
   * @param addr - `ip:port`; hostnames are not resolved.
   * @throws {TypeError} (at once) when `addr` is none.
   * @throws {P2PError} (by rejection) `in_use` when it is this node itself, or there is a connection to that address, or one
   *   being set up; `limit_exceeded`; `refused` by a ban or the handshake; `unreachable`, `timeout`, `identity_mismatch`,
   *   `disconnected` when the peer goes away meanwhile, `closed`; the signal's reason.
   */
  connect(addr: string, options?: ConnectOptions): Promise<Connection>;

  /** All connections that are up, those that are about to end included. */
  connections(): readonly Connection[];

  /** The connection with this other end. */
  connection(addr: string): Connection | undefined;

  /** Whether a connection to `addr` is being set up. */
  isConnecting(addr: string): boolean;

  /**
   * Waits for room: resolves when the peer's queue is below its high-water mark.
   *
   * @throws {P2PError} (by rejection) `disconnected`, `unsupported` without `writing`, `timeout`, `closed`.
   */
  ready(peer: Connection, options?: CallOptions): Promise<void>;

  /**
   * Waits until everything sent to the peer before is in the kernel.
   *
   * @throws {P2PError} (by rejection) as {@link Node.ready}.
   */
  flushed(peer: Connection, options?: CallOptions): Promise<void>;

  /**
   * Ends a connection politely: flushes, closes this half, processes what still comes, and waits until the peer has read it
   * all and closed its half, up to `timeoutMs` (5000 by default); then it lets go.
   *
   * @returns whether this call did it; `false`, at once, when it is ending already or has ended.
   */
  disconnect(peer: Connection, options?: DisconnectOptions): Promise<boolean>;

  /**
   * Ends all connections politely, as {@link Node.disconnect} does, and stops listening. Nothing that was sent before is
   * lost, unless it rejects. The node stays usable.
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

/**
 * Makes a node. No I/O.
 *
 * @throws {TypeError | RangeError} for wrong options.
 * @example
 * ```ts
 * await using node = createNode({ bind: '127.0.0.1:0' });
 * node.enable(reading({ codec: lengthDelimited(), onMessage: (peer, bytes) => out.send(peer, bytes) }));
 * const out = node.enable(writing({ codec: lengthDelimited() }));
 * console.log(await node.listen());
 * ```
 */
export function createNode(options: NodeOptions = {}): Node {
  return new NodeCore(options);
}
