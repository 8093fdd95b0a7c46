/** A connection as users see it, and how it ends. */

import { type PublicKey } from '../core/secure.ts';
import { type ConnectionStats, type DisconnectReason } from './stats.ts';

/** Our own part in a connection: whether we dialled, or answered. */
export type LocalRole = 'initiator' | 'responder';

/** Who or what ended a connection; the first one counts. */
export type DisconnectOrigin =
  /** `node.disconnect` or `node.drain`. */
  | 'user'
  /** The peer's end, its bytes, its silence, or `onMessage`. */
  | 'reading'
  /** The peer does not take what is written. */
  | 'writing'
  /** `onConnect` threw. */
  | 'on_connect'
  /** `node.close`. */
  | 'shutdown';

/** How a connection ended. */
export interface Disconnect {
  readonly origin: DisconnectOrigin;
  readonly reason: DisconnectReason;
  /** What the peer said of it, where its codec can. From the peer: any text up to the codec's limit. */
  readonly said?: string | undefined;
  readonly cause?: unknown;
}

/** One connection. The same object in every hook, from the handshake to its end. */
export interface Connection {
  /** No other connection of the node ever has it. */
  readonly id: number;
  /** The other end as `ip:port`; for a connection that came in, the port is one that nobody listens on. */
  readonly addr: string;
  /** The other end's IP; never IPv4-mapped. */
  readonly ip: string;
  readonly port: number;
  /** Our own end as `ip:port`. */
  readonly localAddr: string;
  /** Our own part: `'initiator'` when this node has dialled. */
  readonly localRole: LocalRole;
  readonly state: 'connecting' | 'open' | 'closing' | 'closed';
  /** The peer's key, when a handshake has proven it. */
  readonly publicKey: PublicKey | undefined;
  /** What was given to `connect` as `tag`. */
  readonly tag: unknown;
  readonly stats: ConnectionStats;
  /** Aborted when the connection begins to end; its reason is a {@link P2PError} `disconnected`. */
  readonly signal: AbortSignal;
  /** Resolves when it has ended, `onDisconnect` included. Never rejects. */
  readonly closed: Promise<Disconnect>;
}
