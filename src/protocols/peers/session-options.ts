/** How a session between connection managers is made, and how it asks. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { Priority } from '../../core/priority.ts';
import type { ReceiverLimits } from './receiver.ts';

/** How a session is made. */
export interface SessionOptions extends ReceiverLimits {
  /** This side's id of the session. */
  readonly session: Bytes;
  /** Whether this side has the smaller PeerID: it chooses the path. */
  readonly isSmaller: boolean;
  readonly streamWindow: number;
  /** How long the session waits for a path. */
  readonly resumeMs: number;
  /** A session without messages and streams ends after this time, unless it is maintained. */
  readonly idleMs: number;
  /** Whether there is memory for as many bytes of messages ahead of their turn. */
  readonly mayHold: (bytes: number) => boolean;
  /** A number that grows when the transport of a path shows that the peer lives, also while no packet is whole. @default none does */
  readonly progress?: ((path: number) => number) | undefined;
}

/** How a request is sent. */
export interface AskOptions {
  readonly priority?: Priority | undefined;
  readonly expiresMs?: Millis | undefined;
  /** A service of the other connection manager. @default the program */
  readonly service?: number | undefined;
}
