/** How long nothing has come or gone on a QUIC connection, and how long one that is not used any more stays open. */

import type { Millis } from '../base/machine.ts';
import { SURPLUS_IDLE_MS } from '../sessions/connection-table.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';

/**
 * How long a connection that was replaced stays open after the last message on it. The peer cannot say that it has nothing
 * on the way, and sends what was lost again at growing intervals; after as long as the usual idle timeout (RFC 9000 §10.1
 * leaves the number to us) it would itself have given up.
 */
const QUIET_MS = 30_000;

/** Watches one connection by its count of stream frames, so that messages cost nothing. */
export class IdleWatch {
  readonly #connection: QuicConnection;
  /** Stream frames that had come when it was last looked at; `undefined` while messages were under way. */
  #frames: number | undefined;
  #sinceMs: Millis = 0;

  constructor(connection: QuicConnection) {
    this.#connection = connection;
  }

  /** Since when nothing has come, as far as was looked at; `undefined` while messages are under way. */
  since(busy: boolean, nowMs: Millis): Millis | undefined {
    const frames = busy ? undefined : (this.#connection.stats()?.receivedStreamFrames ?? 0);
    if (frames !== this.#frames) this.#sinceMs = nowMs;
    this.#frames = frames;
    return frames === undefined ? undefined : this.#sinceMs;
  }
}

/** The initiator closes a connection that was replaced; one that the peer has dialled is the peer's to close. */
export function replacedIdleMs({ connection }: { readonly connection: QuicConnection }): number | undefined {
  return connection.side === 'responder' ? QUIET_MS : undefined;
}

/** A surplus connection goes sooner when no message ever came on it. */
export function surplusIdleMs({ connection }: { readonly connection: QuicConnection }): number {
  return connection.stats()?.receivedStreamFrames === 0 ? SURPLUS_IDLE_MS : QUIET_MS;
}
