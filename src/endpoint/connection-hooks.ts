/** What a connection needs of its endpoint. */

import type { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import type { Waits } from '../runtime/waits.ts';
import type { IncomingMessage } from './incoming-message.ts';
import type { MessageFormat } from './message-format.ts';
import type { SharedInbox } from './shared-inbox.ts';
import type { StreamBudget } from './stream-budget.ts';
import type { StreamFault } from './stream-reader.ts';

/** Limits of one connection. */
export interface ConnectionLimits {
  readonly maxMessageBytes: number;
  readonly maxPendingMessages: number;
  readonly maxPendingBytes: number;
  readonly maxConnectionBytes: number;
  readonly maxQueuedMessages: number;
}

/** The identity of a peer. */
export interface Peer {
  readonly authenticated: boolean;
  readonly id: PeerId | undefined;
  readonly publicKey: PublicKey | undefined;
}

/**
 * @typeParam C - the connection.
 * @typeParam M - a message.
 */
export interface ConnectionHooks<C, M> {
  readonly format: MessageFormat<M>;
  /** Gets the messages of a connection while no loop runs over them. */
  readonly inbox: SharedInbox<IncomingMessage<C, M>>;
  readonly limits: ConnectionLimits;
  readonly memory: StreamBudget;
  readonly waits: Waits;
  nowMs(): number;
  /** Data was given to the connection: its datagrams are sent later in this turn. */
  scheduleFlush(): void;
  /** Runs in a later turn, unless the endpoint has closed by then. */
  later(act: () => void): void;
  /** Sends datagrams now: a close does not wait for the end of the turn. */
  poll(): void;
  welcomed(connection: C): void;
  dropped(fault: StreamFault | 'timeout'): void;
  /** Counts a message, or with `further` more bytes of one. */
  countSent(bytes: number, further?: boolean): void;
  countReceived(bytes: number, further?: boolean): void;
  /** A message was taken after the end of the connection. */
  taken(connection: C): void;
  /** Everything was taken after the end of the connection. */
  over(connection: C): void;
}

/** Follows a message until it is acknowledged, also when its sender does not wait for that. */
export interface Tracking {
  /** From now on a part of it may be sent. */
  begin(): void;
  /** The peer's transport has acknowledged it, or with an error: never will. */
  settle(error?: P2PError): void;
}
