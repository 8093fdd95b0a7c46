/** Until when handshakes have to be over. */

import type { Millis } from '../../base/machine.ts';
import type { QuicConnection } from './connection.ts';

interface Deadline {
  readonly at: Millis;
  readonly connection: QuicConnection;
}

export class HandshakeDeadlines {
  readonly timeoutMs: number;
  /** Earliest first; finished ones are skipped. Bounded by the connections that are made within the timeout. */
  readonly #deadlines: Deadline[] = [];

  /** @param timeoutMs - how long a handshake may take; 0: as long as it likes. */
  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  begun(now: Millis, connection: QuicConnection): void {
    if (this.timeoutMs > 0) this.#deadlines.push({ at: now + this.timeoutMs, connection });
  }

  /** When to look again; Infinity for never. */
  next(): Millis {
    while (this.#deadlines[0] !== undefined && this.#deadlines[0].connection.state !== 'handshake') {
      this.#deadlines.shift();
    }
    return this.#deadlines[0]?.at ?? Infinity;
  }

  /** Takes out a connection whose time is over. */
  expired(now: Millis): QuicConnection | undefined {
    return this.next() <= now ? this.#deadlines.shift()?.connection : undefined;
  }
}
