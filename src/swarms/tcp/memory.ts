/** The memory limits for all peers of a TCP swarm together. */

import type { Realm } from '../../core/realm.ts';
import { type HolderHooks, MemoryBudget, type MemoryHolder } from '../../sessions/memory-budget.ts';

/** The minimum window, however little memory is free, so that a few messages can pass. */
const MIN_WINDOW_BYTES = 65_536;
/** The part of the free memory that a new connection gets as a window, when less than half of the budget is free. */
const WINDOW_SHARE = 1 / 4;
/** The part of the budget that may be unsent before the limit per peer is reduced. */
const WRITING_SHARE = 1 / 4;

export class SwarmMemory {
  readonly #budget: MemoryBudget;
  #writing = 0;

  constructor(maxBytes: number, realm: Realm) {
    this.#budget = new MemoryBudget(maxBytes, realm);
  }

  /** Bytes held for peers. */
  get heldBytes(): number {
    return this.#budget.held;
  }

  /** Connections that are not read until there is room. */
  get waiting(): number {
    return this.#budget.waiting;
  }

  join(ip: string, hooks: HolderHooks): MemoryHolder {
    return this.#budget.join(ip, hooks);
  }

  /** The window of a new connection: the configured one, or under memory pressure a part of what is free. */
  windowFor(bytes: number): number {
    const { free, maxBytes } = this.#budget;
    if (free * 2 >= maxBytes) return bytes;
    return Math.min(bytes, Math.max(Math.floor(free * WINDOW_SHARE), MIN_WINDOW_BYTES));
  }

  /** Adds bytes that are being written to the kernel. */
  writing(bytes: number): void {
    this.#writing += bytes;
  }

  /** The bytes of one connection that may be written but not in the kernel. */
  get highWaterBytes(): number {
    return this.#budget.maxBytes * WRITING_SHARE - this.#writing;
  }
}
