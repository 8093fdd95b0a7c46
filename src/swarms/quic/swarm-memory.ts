/**
 * What all peers of a swarm make it hold: one bound, and each peer's share of it.
 *
 * All bounds of the swarm are added up in one place, the window budget of the machine (`protocols/quic/window-budget.ts`), which is told
 * what is held here (`heldElsewhere`). It is not the `MemoryBudget` of `sessions/`: that one pauses a TCP connection as a whole, and closes
 * peers that move nothing while others wait. Here streams are paused one by one by leaving them unread, the window of the connection
 * bounds what a paused peer can still send, and the oldest message always continues, so no peer has to be closed for others to go on.
 */

import { PendingBudget, type PendingLimits } from '../../swarm-kit/pending-budget.ts';

/** What all sessions of a swarm hold of what peers have sent, in bytes. */
export interface SwarmMemory {
  /** Of messages that are not whole. */
  held: number;
  /** In handlers. */
  pending: number;
  /** What either may be before peers have to wait that hold some already. */
  readonly maxBytes: number;
  /** Called when less is held, while it was too much. */
  readonly onRoom: () => void;
}

/** A peer's share of what is in handlers, counted with that of all. */
export class SharedBudget extends PendingBudget {
  readonly #memory: SwarmMemory;

  constructor(limits: PendingLimits, memory: SwarmMemory) {
    super(limits);
    this.#memory = memory;
  }

  /** Whether this peer has to wait: it has its own, or some of what is too much altogether. */
  override get full(): boolean {
    const { held, pending, maxBytes } = this.#memory;
    const all = held + pending;
    return super.full || all >= 2 * maxBytes || (this.messages > 0 && all >= maxBytes);
  }

  override take(bytes: number): void {
    super.take(bytes);
    this.#memory.pending += bytes;
  }

  override give(bytes: number): void {
    super.give(bytes);
    giveBack(this.#memory, 'pending', bytes);
  }
}

/** Less is held now; sessions that wait for room are told. */
export function giveBack(memory: SwarmMemory, kind: 'held' | 'pending', bytes: number): void {
  const wasFull = memory.held + memory.pending >= memory.maxBytes;
  memory[kind] -= bytes;
  if (wasFull) memory.onRoom();
}
