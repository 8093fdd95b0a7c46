/** What a session does and says. */

import type { Bytes } from '../../base/bytes.ts';
import type { Outgoing } from './outgoing.ts';
import type { StreamEvent } from './streams.ts';

/** A packet for a path. */
export interface SessionTransmit {
  readonly path: number;
  readonly packet: Bytes;
}

/** How a session ended: by this side, by the peer's `bye`, without a path, or because the peer forgot it. */
export interface SessionClosed {
  readonly by: 'local' | 'peer' | 'lost';
  readonly code: number;
  readonly reason: string;
}

/** What happens in a session. */
export type SessionEvent =
  | StreamEvent
  | { readonly type: 'tell'; readonly payload: Bytes }
  | { readonly type: 'request'; readonly number: number; readonly payload: Bytes; readonly service: number }
  /** An unnumbered message to a service. */
  | { readonly type: 'datagram'; readonly service: number; readonly payload: Bytes }
  /** The asker does not need the answer any more. */
  | { readonly type: 'cancelled'; readonly number: number }
  /** The answer to an own request. */
  | { readonly type: 'answer'; readonly message: Outgoing; readonly payload: Bytes }
  | { readonly type: 'refusal'; readonly message: Outgoing; readonly code: number; readonly payload: Bytes }
  /** A tell that had to wait was sent. */
  | { readonly type: 'taken'; readonly message: Outgoing }
  | {
      readonly type: 'tell_failed' | 'ask_failed';
      readonly message: Outgoing;
      readonly sent: 'no' | 'maybe';
      readonly reason: 'expired' | 'ended';
    }
  /** A tell that was taken ended with the session, before the peer acknowledged it. */
  | { readonly type: 'tell_lost'; readonly sent: 'no' | 'maybe' }
  /** The peer has acknowledged everything. */
  | { readonly type: 'acknowledged' }
  /** Messages go over another path now, or over none. */
  | { readonly type: 'path'; readonly path: number | undefined; readonly reason: string }
  /** A path does not answer, and was removed. */
  | { readonly type: 'path_dead'; readonly path: number }
  /** A path is not needed any more: close it. */
  | { readonly type: 'spare'; readonly path: number }
  /** The session is over, while messages wait that were not sent: hand them over to the next one, and `abandon` this one. */
  | { readonly type: 'let_go'; readonly reason: string }
  /** The peer has noticed something about this side. */
  | { readonly type: 'notice'; readonly code: number }
  /** A packet had no effect. */
  | { readonly type: 'dropped'; readonly reason: string }
  /** The peer broke a rule; the session ends. */
  | { readonly type: 'fault'; readonly reason: string }
  | { readonly type: 'closed'; readonly closed: SessionClosed };
