/** Data that is sent right after InitDone, and kept to be sent again. Data for which there is no room waits for RespDone. */

import type { Bytes } from '../../base/bytes.ts';

/** Of one handshake. */
const MAX_DATAGRAMS = 32;
const MAX_BYTES = 64 * 1024;

/** Of all handshakes of one identity. */
const MAX_BYTES_IN_ALL = 4 * 1024 * 1024;

/** Bytes that all handshakes of one identity keep; one per swarm. */
export class EarlyBudget {
  #bytes = 0;

  /** Bytes that are kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= MAX_BYTES_IN_ALL;
  }

  /** Takes bytes, or gives them back when the number is negative. */
  take(bytes: number): void {
    this.#bytes += bytes;
  }
}

/** What one handshake keeps. */
export class EarlyData {
  readonly #budget: EarlyBudget;
  /** Bounded by MAX_DATAGRAMS, MAX_BYTES and the budget. */
  #datagrams: Bytes[] = [];
  #bytes = 0;

  constructor(budget: EarlyBudget) {
    this.#budget = budget;
  }

  get datagrams(): readonly Bytes[] {
    return this.#datagrams;
  }

  /** Whether one more datagram of so many bytes can be kept. */
  hasRoom(bytes: number): boolean {
    return this.#datagrams.length < MAX_DATAGRAMS && this.#bytes + bytes <= MAX_BYTES && this.#budget.hasRoom(bytes);
  }

  /** Keeps a datagram; after {@link EarlyData.hasRoom}. */
  keep(datagram: Bytes): void {
    this.#datagrams.push(datagram);
    this.#bytes += datagram.length;
    this.#budget.take(datagram.length);
  }

  /** Forgets all of it. */
  release(): void {
    this.#budget.take(-this.#bytes);
    this.#bytes = 0;
    this.#datagrams = [];
  }
}
