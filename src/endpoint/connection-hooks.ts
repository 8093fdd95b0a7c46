/** What a connection needs of its endpoint. */

import { type P2PError } from '../core/errors.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type PublicKey } from '../core/secure.ts';
import { type Waits } from '../runtime/waits.ts';
import { type IncomingMessage } from './incoming-message.ts';
import { type MessageFormat } from './message-format.ts';
import { type SharedInbox } from './shared-inbox.ts';
import { type StreamBudget } from './stream-budget.ts';
import { type StreamFault } from './stream-reader.ts';

/** Bounds of one connection, resolved. */
export interface ConnectionLimits {
  readonly maxMessageBytes: number;
  readonly maxPendingMessages: number;
  readonly maxPendingBytes: number;
  readonly maxConnectionBytes: number;
  readonly maxQueuedMessages: number;
}

/** Who the peer is. */
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
  /** Gets the messages of connections over whose own messages nobody iterates. */
  readonly inbox: SharedInbox<IncomingMessage<C, M>>;
  readonly limits: ConnectionLimits;
  readonly memory: StreamBudget;
  readonly waits: Waits;
  nowMs(): number;
  /** Something was given to the connection: its datagrams leave later in this turn. */
  scheduleFlush(): void;
  /** Runs in a later turn, unless the endpoint has closed by then. */
  later(act: () => void): void;
  /** Sends what is to be sent now: closing waits for no turn. */
  poll(): void;
  welcomed(connection: C): void;
  dropped(fault: StreamFault | 'timeout'): void;
  /** Counts a message, or with `further` more bytes of one. */
  countSent(bytes: number, further?: boolean): void;
  countReceived(bytes: number, further?: boolean): void;
  /** Something was taken after the end. */
  taken(connection: C): void;
  /** Everything was taken after the end. */
  over(connection: C): void;
}

/** Follows a message beyond what its sender waits for. */
export interface Tracking {
  /** Bytes of it may leave from now on. */
  begin(): void;
  /** The peer's transport has acknowledged it, or never will. */
  settle(error?: P2PError): void;
}
