/** The memory that all peers of a TCP swarm together may make it hold. */

import { type Realm } from '../../core/realm.ts';
import { type HolderHooks, MemoryBudget, type MemoryHolder } from '../../sessions/memory-budget.ts';

/** A window is not smaller, however little is free: a few messages go on. */
const MIN_WINDOW_BYTES = 65_536;
/** The part of what is free that a new connection gets as a window, when less than half of the budget is. */
const WINDOW_SHARE = 1 / 4;
/** The part of the budget that may be on its way to the kernel before peers get less of it at a time. */
const WRITING_SHARE = 1 / 4;

export class SwarmMemory {
  readonly #budget: MemoryBudget;
  #writing = 0;

  constructor(maxBytes: number, realm: Realm) {
    this.#budget = new MemoryBudget(maxBytes, realm);
  }

  /** What peers make us hold, in bytes. */
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

  /** The window of a new connection: what it is to be, or a part of what is free under pressure. */
  windowFor(bytes: number): number {
    const { free, maxBytes } = this.#budget;
    if (free * 2 >= maxBytes) return bytes;
    return Math.min(bytes, Math.max(Math.floor(free * WINDOW_SHARE), MIN_WINDOW_BYTES));
  }

  /** So many bytes more are on their way to the kernel. */
  writing(bytes: number): void {
    this.#writing += bytes;
  }

  /** What of one connection may be on its way to the kernel. */
  get highWaterBytes(): number {
    return this.#budget.maxBytes * WRITING_SHARE - this.#writing;
  }
}
