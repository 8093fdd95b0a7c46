/** The interface between a transport and the swarm over its sessions. */

import type { Bytes } from '../base/bytes.ts';
import type { Millis } from '../base/machine.ts';
import type { Recheckable } from '../core/accept.ts';
import type { Addr } from '../core/addr.ts';
import type { P2PError } from '../core/errors.ts';
import type { Message } from '../core/message.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Priority } from '../core/priority.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import type { Serving } from '../swarm-kit/ask-slot.ts';
import type { CounterSet } from '../swarm-kit/counter-set.ts';
import type { PendingBudget } from '../swarm-kit/pending-budget.ts';

/** An address with the PeerID of its peer. */
export interface KeyedAddr extends Addr {
  readonly id: PeerId;
  /** The name of its layer. */
  readonly net: string;
}

/** A connection with a peer. */
export interface PeerSession {
  readonly publicKey: PublicKey;
  /**
   * Sends a tell. `taken` is called once: when all bytes are taken, or with the error.
   *
   * @returns `true` when all bytes are taken already (`taken` is then not called); else a function that cancels the
   * tell.
   * @param expiresMs - when it is not worth sending any more, on the realm's clock; ignored where nothing waits
   */
  tell(
    payload: Uint8Array,
    taken: (error?: P2PError) => void,
    priority?: Priority,
    expiresMs?: Millis,
  ): true | (() => void);
  /** Sends a request. @returns a function that cancels it */
  ask(
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority?: Priority,
    expiresMs?: Millis,
  ): () => void;
}

/** All connections with peers. */
export interface PeerSessions<A extends KeyedAddr> extends Recheckable {
  /** The session to send on, for each peer that has one: `inUse` of a {@link ConnectionTable}. */
  readonly inUse: ReadonlyMap<PeerId, PeerSession>;
  /** The key of a recently connected peer. */
  knownKey(id: PeerId): PublicKey | undefined;
  /** Calls `use` with a session to the peer, dialling if there is none. @returns a function that cancels the wait */
  withSession(dst: A, fail: (error: P2PError) => void, use: (session: PeerSession) => void): () => void;
  /** Whether every tell has been acknowledged by its peer. */
  readonly acknowledged: boolean;
  /** Asks peers to acknowledge received messages, for protocols in which peers do not do so by themselves. */
  requestAcknowledgements?(): void;
  /** A handler was attached: resume reading. */
  unpark(): void;
  /** Ends all connections with a peer. @returns whether there was one */
  disconnect(peer: PeerId): boolean;
  /** See `PeerConnections`. */
  progress?(peer: PeerId): number;
  /** Ends all sessions, and notifies each peer where that is possible synchronously. */
  close(): void;
  /** Fill levels, for `inspect`. */
  readonly state: Readonly<Record<string, number>>;
}

/** What the swarm provides to its sessions. */
export interface SessionsHooks<A extends KeyedAddr> {
  readonly realm: Realm;
  readonly counters: CounterSet;
  /** Whether a handler is attached. */
  readonly listening: boolean;
  deliver(message: Message<A>, budget: PendingBudget): void;
  /**
   * Delivers a message that counts against the session's budget. @returns settles when the handler is done; never
   * rejects
   */
  pass(message: Message<A>): void | Promise<void>;
  serve(message: Message<A>, budget: PendingBudget): Serving;
  /** A tell was acknowledged, or lost. */
  settled(): void;
  /** The last connection with a peer has ended. */
  disconnected(peer: PeerId, reason: string): void;
  /** The swarm's `closed` error for an attempted operation; `undefined` while it is open. */
  closedError(what: string): P2PError | undefined;
  failed(bug: unknown): void;
  /** Calls `act` asynchronously, unless the swarm has closed by then. */
  readonly later: (act: () => void) => void;
}
