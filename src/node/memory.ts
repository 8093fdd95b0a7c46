/** The memory that all peers of a node together may make it hold. */

import { type Realm } from '../core/realm.ts';
import { MemoryBudget } from '../sessions/memory-budget.ts';

/** What may wait for each peer, whatever waits for others. */
const WRITE_FLOOR_BYTES = 65_536;

export class NodeMemory {
  readonly maxBytes: number;
  /** What was read and is not processed. */
  readonly reading: MemoryBudget;
  #queuedBytes = 0;

  constructor(maxBytes: number, realm: Realm) {
    this.maxBytes = maxBytes;
    this.reading = new MemoryBudget(maxBytes, realm);
  }

  /** What waits to be sent to all peers, in bytes. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** So many bytes more wait to be sent. */
  queued(bytes: number): void {
    this.#queuedBytes += bytes;
  }

  /** What may wait for one peer for which `queuedBytes` wait. */
  queueLimit(queuedBytes: number): number {
    return Math.max(queuedBytes + this.maxBytes - this.#queuedBytes, WRITE_FLOOR_BYTES);
  }
}
