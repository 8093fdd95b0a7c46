/** The events of a session of the TCP swarm. */

import type { Bytes } from '../../base/bytes.ts';
import type { SshFault } from '../ssh/faults.ts';
import type { Outgoing } from './send-scheduler.ts';
import type { TcpFault } from './receive-side.ts';

/** A tell that was not written at once: an opaque handle. */
export type TcpTicket = Outgoing;

/** Why a connection has ended. */
export interface TcpClosed {
  readonly by: 'peer' | 'local' | 'fault' | 'timeout' | 'lost';
  /** The code of the bye that was sent or received. */
  readonly code: number;
  readonly reason: string;
  /** With `fault`: the peer's violation, of this protocol or of the one below. */
  readonly fault?: TcpFault | SshFault | undefined;
}

/** The events of a connection. */
export type TcpEvent =
  /** The peer's hello: messages can be sent. */
  | { readonly type: 'open'; readonly port: number; readonly maxMessageBytes: number }
  /** Call `release` when its handler is done. */
  | { readonly type: 'tell'; readonly payload: Bytes }
  /** Must be answered or refused. */
  | { readonly type: 'request'; readonly id: number; readonly maxResponseBytes: number; readonly payload: Bytes }
  /** The asker no longer needs the answer to a request. */
  | { readonly type: 'cancelled'; readonly id: number }
  | { readonly type: 'answer'; readonly id: number; readonly payload: Bytes }
  | { readonly type: 'refusal'; readonly id: number; readonly code: number; readonly payload: Bytes }
  /** All bytes of a tell are written: the caller may change its payload. */
  | { readonly type: 'taken'; readonly ticket: TcpTicket }
  /** The peer has read more tells. */
  | { readonly type: 'acknowledged' }
  /** One side begins nothing more, and so must the other: new messages use another connection. */
  | { readonly type: 'retiring'; readonly code: number; readonly reason: string }
  /** A tell failed. */
  | { readonly type: 'tell_failed'; readonly ticket: TcpTicket; readonly sent: 'no' | 'maybe' }
  /** Something of the peer was dropped: a message larger than this side takes. */
  | { readonly type: 'dropped'; readonly reason: 'oversize' }
  /** An ask failed. */
  | { readonly type: 'ask_failed'; readonly id: number; readonly sent: 'no' | 'maybe' }
  /** The last event: close this half after the transmitted bytes are sent. */
  | { readonly type: 'closed'; readonly closed: TcpClosed };
