/** The memory limits for all peers of a node together. */

import type { Realm } from '../core/realm.ts';
import { MemoryBudget } from '../sessions/memory-budget.ts';

/** Bytes that may wait for each peer, whatever waits for others. */
const WRITE_FLOOR_BYTES = 65_536;

export class NodeMemory {
  readonly maxBytes: number;
  /** Bytes that were read but not processed. */
  readonly reading: MemoryBudget;
  #queuedBytes = 0;

  constructor(maxBytes: number, realm: Realm) {
    this.maxBytes = maxBytes;
    this.reading = new MemoryBudget(maxBytes, realm);
  }

  /** Bytes that wait to be sent to all peers. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Adds bytes that wait to be sent. */
  queued(bytes: number): void {
    this.#queuedBytes += bytes;
  }

  /** The bytes that may wait for a peer for which `queuedBytes` wait already. */
  queueLimit(queuedBytes: number): number {
    return Math.max(queuedBytes + this.maxBytes - this.#queuedBytes, WRITE_FLOOR_BYTES);
  }
}
