/** Counters of one connection, or of all connections of a node. */

/** One direction. */
export interface Traffic {
  readonly messages: number;
  /** Bytes of their frames, prefixes included. */
  readonly bytes: number;
}

/** Bytes of one connection, or of all of a node. */
export interface WireBytes {
  readonly sent: number;
  readonly received: number;
  readonly unsent: number;
}

/** Live numbers of one connection. */
export interface ConnectionStats {
  /** Frames that were passed to the kernel. */
  readonly sent: Traffic;
  /** Decoded frames, processed or not. */
  readonly received: Traffic;
  /** All bytes of the connection, including handshake and encryption. `unsent`: those that wait for the system, as far as can be known. */
  readonly wire: WireBytes;
  /** The realm's monotonic time at which the connection was made. */
  readonly createdMs: number;
}

/** Live numbers of a node, including past connections. */
export interface NodeStats extends ConnectionStats {
  /**
   * The number of connections ever established, by the role of the peer: `initiator` counts peers that dialled this
   * node.
   */
  readonly connected: { readonly initiator: number; readonly responder: number };
  /** The number of them that have ended. */
  readonly disconnected: number;
}

/** Why a connection ended. A minor release may add reasons. */
export type DisconnectReason =
  /** This side ended it. */
  | 'closed'
  /** The node was closed. */
  | 'shutdown'
  /** The peer ended it between two messages. */
  | 'closed_by_peer'
  /** The peer ended it in the middle of a message. */
  | 'truncated'
  /** The connection broke. */
  | 'reset'
  /** The received bytes are not a message. */
  | 'malformed'
  /** A message was larger than the codec accepts. */
  | 'oversize'
  /** No message came for too long. */
  | 'idle'
  /** A message was begun, and its bytes arrived too slowly. */
  | 'slow'
  /** It held memory that others waited for, and made no progress. */
  | 'over_budget'
  /** The peer sent more than its rate. */
  | 'rate_exceeded'
  /** `onMessage` threw. */
  | 'handler_error'
  /** `onConnect` threw. */
  | 'on_connect_error'
  /** The peer did not read what was sent. */
  | 'write_timeout'
  /** The peer's IP was banned. */
  | 'banned'
  /** `accept` refused the peer during `recheck`. */
  | 'not_accepted';

/** Why a connection was not established, or was refused. A minor release may add reasons. */
export type RefusalReason =
  | 'max_connections'
  | 'max_connections_per_ip'
  | 'max_connecting'
  | 'banned'
  /** The `handshake` took too long. */
  | 'handshake_timeout'
  /** The `handshake` threw, or the peer disconnected during it. */
  | 'handshake_failed'
  /** The peer has not proven its key: its certificate or signature is invalid or missing. */
  | 'identity_mismatch'
  /** `accept` did not return true. */
  | 'not_accepted';

/** Counters of unusual events; they never decrease. */
export interface Heuristics {
  /** Accepted connections that were not established, by reason; each is counted once. */
  readonly refused: ReadonlyMap<RefusalReason, number>;
  /** Calls of `connect` that a limit refused. */
  readonly connectRefusals: number;
  /** Connections that ended, by reason; each is counted once. */
  readonly ended: ReadonlyMap<DisconnectReason, number>;
  /** Failures of the system to accept a connection: too many open files, for example. */
  readonly acceptErrors: number;
  /** Messages that `overflow: 'drop'` or a rate dropped. */
  readonly droppedMessages: number;
  /** Bad messages that `isFatal` tolerated. */
  readonly toleratedErrors: number;
  /** Hooks and `accept` calls that threw, timed out or returned an invalid value, where no caller gets the error. */
  readonly hookErrors: number;
}

class TrafficCount implements Traffic {
  messages = 0;
  bytes = 0;

  add({ messages, bytes }: Traffic): void {
    this.messages += messages;
    this.bytes += bytes;
  }
}

/** Counts of one connection. */
export class ConnectionCount implements ConnectionStats {
  readonly sent: TrafficCount = new TrafficCount();
  readonly received: TrafficCount = new TrafficCount();
  readonly createdMs: number;
  readonly #wire: () => WireBytes;

  constructor(createdMs: number, wire: () => WireBytes) {
    this.createdMs = createdMs;
    this.#wire = wire;
  }

  get wire(): WireBytes {
    return this.#wire();
  }
}

/** Counts of a node. */
export class NodeCount implements Heuristics {
  readonly refused: Map<RefusalReason, number> = new Map(); // Bounded by the reasons.
  readonly ended: Map<DisconnectReason, number> = new Map(); // Bounded by the reasons.
  readonly connected: { initiator: number; responder: number } = { initiator: 0, responder: 0 };
  connectRefusals = 0;
  acceptErrors = 0;
  droppedMessages = 0;
  toleratedErrors = 0;
  hookErrors = 0;
  disconnected = 0;
  readonly #sent = new TrafficCount();
  readonly #received = new TrafficCount();
  readonly #wire = { sent: 0, received: 0, unsent: 0 };
  readonly #createdMs: number;

  constructor(createdMs: number) {
    this.#createdMs = createdMs;
  }

  countRefused(reason: RefusalReason): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }

  countEnded(reason: DisconnectReason, stats: ConnectionStats): void {
    this.ended.set(reason, (this.ended.get(reason) ?? 0) + 1);
    this.disconnected++;
    this.#sent.add(stats.sent);
    this.#received.add(stats.received);
    this.#wire.sent += stats.wire.sent;
    this.#wire.received += stats.wire.received;
  }

  /** The counters of ended connections plus those of `live` ones. */
  stats(live: Iterable<{ readonly stats: ConnectionStats }>): NodeStats {
    const [sent, received] = [new TrafficCount(), new TrafficCount()];
    sent.add(this.#sent);
    received.add(this.#received);
    const wire = { ...this.#wire };
    for (const { stats } of live) {
      sent.add(stats.sent);
      received.add(stats.received);
      wire.sent += stats.wire.sent;
      wire.received += stats.wire.received;
      wire.unsent += stats.wire.unsent;
    }
    const { disconnected, connected } = this;
    return { sent, received, wire, createdMs: this.#createdMs, connected: { ...connected }, disconnected };
  }
}
