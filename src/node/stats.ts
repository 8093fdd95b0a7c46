/** What went over a connection, or all connections of a node, in numbers. */

/** One direction. */
export interface Traffic {
  readonly messages: number;
  /** Bytes of their frames, prefixes included. */
  readonly bytes: number;
}

/** Live numbers of one connection. */
export interface ConnectionStats {
  /** Frames that are in the kernel. */
  readonly sent: Traffic;
  /** Frames that were decoded, whether or not they have been processed. */
  readonly received: Traffic;
  /** All bytes of the connection: handshake and encryption included. */
  readonly wire: { readonly sent: number; readonly received: number };
  /** The realm's monotonic time at which the connection was made. */
  readonly createdMs: number;
}

/** Live numbers of a node; the past connections' are in them. */
export interface NodeStats extends ConnectionStats {
  /** How many connections were ever set up, by the peer's side: `initiator` counts the peers that dialled this node. */
  readonly connected: { readonly initiator: number; readonly responder: number };
  /** How many of them have ended. */
  readonly disconnected: number;
}

/** Why a connection ended. A closed list, to which a minor release may add. */
export type DisconnectReason =
  /** This side wished it. */
  | 'closed'
  /** The node was closed. */
  | 'shutdown'
  /** The peer ended it between two messages. */
  | 'closed_by_peer'
  /** The peer ended it in the middle of a message. */
  | 'truncated'
  /** The connection broke. */
  | 'reset'
  /** The bytes that came are no message. */
  | 'malformed'
  /** A message was larger than the codec takes. */
  | 'oversize'
  /** No message came for too long. */
  | 'idle'
  /** A message was begun, and its bytes came too slowly. */
  | 'slow'
  /** It held memory that others waited for, and moved nothing. */
  | 'over_budget'
  /** The peer sent more than its rate. */
  | 'rate_exceeded'
  /** `onMessage` threw. */
  | 'handler_error'
  /** `onConnect` threw. */
  | 'on_connect_error'
  /** The peer did not take what was written. */
  | 'write_timeout'
  /** The peer's IP was banned. */
  | 'banned'
  /** `accept` refused the peer when `recheck` asked it again. */
  | 'not_accepted';

/** Why a connection was never set up, or refused. A closed list, to which a minor release may add. */
export type RefusalReason =
  | 'max_connections'
  | 'max_connections_per_ip'
  | 'max_connecting'
  | 'banned'
  /** The `handshake` took too long. */
  | 'handshake_timeout'
  /** The `handshake` threw, or the peer went away meanwhile. */
  | 'handshake_failed'
  /** The peer has not proven its key: its certificate or its signature is wrong, or there is none. */
  | 'identity_mismatch'
  /** `accept` did not say yes. */
  | 'not_accepted';

/** Counts that only grow: what was odd. */
export interface Heuristics {
  /** Connections that came and were not set up, by reason; each is counted once. */
  readonly refused: ReadonlyMap<RefusalReason, number>;
  /** Our own calls of `connect` that a limit refused. */
  readonly connectRefusals: number;
  /** Connections that ended, by reason; each is counted once. */
  readonly ended: ReadonlyMap<DisconnectReason, number>;
  /** Times the system could not accept: too many open files, say. */
  readonly acceptErrors: number;
  /** Messages that `overflow: 'drop'` or a rate dropped. */
  readonly droppedMessages: number;
  /** Bad messages that `isFatal` let pass. */
  readonly toleratedErrors: number;
  /** Hooks and `accept` that threw, did not end in time or answered nonsense: where nobody else would hear of it. */
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
  readonly #wire: () => { readonly sent: number; readonly received: number };

  constructor(createdMs: number, wire: () => { readonly sent: number; readonly received: number }) {
    this.createdMs = createdMs;
    this.#wire = wire;
  }

  get wire(): { readonly sent: number; readonly received: number } {
    return this.#wire();
  }
}

/** Counts of a node. */
export class NodeCount implements Heuristics {
  readonly refused: Map<RefusalReason, number> = new Map(); // Bounded by the reasons there are.
  readonly ended: Map<DisconnectReason, number> = new Map(); // Bounded by the reasons there are.
  readonly connected: { initiator: number; responder: number } = { initiator: 0, responder: 0 };
  connectRefusals = 0;
  acceptErrors = 0;
  droppedMessages = 0;
  toleratedErrors = 0;
  hookErrors = 0;
  disconnected = 0;
  readonly #sent = new TrafficCount();
  readonly #received = new TrafficCount();
  readonly #wire = { sent: 0, received: 0 };
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

  /** The past with what `live` connections have done so far. */
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
    }
    const { disconnected, connected } = this;
    return { sent, received, wire, createdMs: this.#createdMs, connected: { ...connected }, disconnected };
  }
}
