/** What a session of the TCP swarm has to tell. */

import { type Bytes } from '../../base/bytes.ts';
import { type Outgoing } from './send-scheduler.ts';
import { type TcpFault } from './receive-side.ts';

/** A tell that was not taken at once: to be recognised, not to be looked into. */
export type TcpTicket = Outgoing;

/** Why a connection is over. */
export interface TcpClosed {
  readonly by: 'peer' | 'local' | 'fault' | 'timeout' | 'lost';
  /** Of the bye that was said or heard. */
  readonly code: number;
  readonly reason: string;
  /** With `fault`: what the peer has done. */
  readonly fault?: TcpFault | undefined;
}

/** What happens on a connection. */
export type TcpEvent =
  /** The peer's hello: messages can go. */
  | { readonly type: 'open'; readonly port: number; readonly maxMessageBytes: number }
  /** To be given back with `release` when its handler is done. */
  | { readonly type: 'tell'; readonly payload: Bytes }
  /** To be answered or refused. */
  | { readonly type: 'request'; readonly id: number; readonly maxResponseBytes: number; readonly payload: Bytes }
  /** Nobody wants the answer to a request any more. */
  | { readonly type: 'cancelled'; readonly id: number }
  | { readonly type: 'answer'; readonly id: number; readonly payload: Bytes }
  | { readonly type: 'refusal'; readonly id: number; readonly code: number; readonly payload: Bytes }
  /** All bytes of a tell are written: its payload is the caller's again. */
  | { readonly type: 'taken'; readonly ticket: TcpTicket }
  /** The peer has read more of the tells. */
  | { readonly type: 'acknowledged' }
  /** One side begins nothing more, and so must the other: what is new goes over another connection. */
  | { readonly type: 'retiring'; readonly code: number; readonly reason: string }
  /** A tell came to nothing. */
  | { readonly type: 'tell_failed'; readonly ticket: TcpTicket; readonly sent: 'no' | 'maybe' }
  /** An ask came to nothing. */
  | { readonly type: 'ask_failed'; readonly id: number; readonly sent: 'no' | 'maybe' }
  /** The last event: close this half when what was transmitted is out. */
  | { readonly type: 'closed'; readonly closed: TcpClosed };
