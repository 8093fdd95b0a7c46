/** What a transport gives to the swarm over its sessions, and what that swarm does for it. */

import { type Bytes } from '../base/bytes.ts';
import { type Recheckable } from '../core/accept.ts';
import { type Addr } from '../core/addr.ts';
import { type P2PError } from '../core/errors.ts';
import { type Message } from '../core/message.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type Priority } from '../core/priority.ts';
import { type Realm } from '../core/realm.ts';
import { type PublicKey } from '../core/secure.ts';
import { type Serving } from '../swarm-kit/ask-slot.ts';
import { type CounterSet } from '../swarm-kit/counter-set.ts';
import { type PendingBudget } from '../swarm-kit/pending-budget.ts';

/** An address with the PeerID of the peer that it leads to. */
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
   * @returns `true` when they are taken already, and `taken` is not called; else a function that cancels the tell.
   */
  tell(payload: Uint8Array, taken: (error?: P2PError) => void, priority?: Priority): true | (() => void);
  /** Sends a request. @returns cancels it */
  ask(
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority?: Priority,
  ): () => void;
}

/** All connections with peers. */
export interface PeerSessions<A extends KeyedAddr> extends Recheckable {
  /** The session to send on, for each peer that has one: `inUse` of a {@link ConnectionTable}. */
  readonly inUse: ReadonlyMap<PeerId, PeerSession>;
  /** The key of a peer that was met lately. */
  knownKey(id: PeerId): PublicKey | undefined;
  /** Calls `use` with a session to the peer, dialling if there is none. @returns cancels the wait */
  withSession(dst: A, fail: (error: P2PError) => void, use: (session: PeerSession) => void): () => void;
  /** Whether every peer has acknowledged every tell. */
  readonly acknowledged: boolean;
  /** Asks peers to acknowledge what they have received, where they do not do it by themselves. */
  requestAcknowledgements?(): void;
  /** A handler has come: read what was left unread. */
  unpark(): void;
  /** Ends all sessions, and tells each peer where that is possible at once. */
  close(): void;
  /** How full it is, for `inspect`. */
  readonly state: Readonly<Record<string, number>>;
}

/** What the sessions need of their swarm. */
export interface SessionsHooks<A extends KeyedAddr> {
  readonly realm: Realm;
  readonly counters: CounterSet;
  /** Whether somebody listens. */
  readonly listening: boolean;
  deliver(message: Message<A>, budget: PendingBudget): void;
  /** Delivers a message whose budget is the session's. @returns settles when the handler is done; never rejects */
  pass(message: Message<A>): void | Promise<void>;
  serve(message: Message<A>, budget: PendingBudget): Serving;
  /** Something was acknowledged, or is lost. */
  settled(): void;
  /** The swarm's `closed` error for something attempted, once it is closed. */
  closedError(what: string): P2PError | undefined;
  failed(bug: unknown): void;
  /** Runs in a later turn, unless the swarm has closed by then. */
  readonly later: (act: () => void) => void;
}
