/** What became of numbered messages, seen from their receiver. */

/** Gaps that are remembered, so that a late message is told from a repeated one; older ones count as lost for good. */
const MAX_GAPS = 4096;

/** The messages of one sender to one receiver, numbered from 0. */
export class SequenceTrack {
  /** Messages that came, each counted once. */
  received = 0;
  /** Messages that came again. */
  repeated = 0;
  #next = 0;
  /** Numbers below `#next` that have not come. Bounded by {@link MAX_GAPS}. */
  readonly #gaps = new Set<number>();

  /** Messages that should have come by now, since later ones have. */
  get missing(): number {
    return this.#next - this.received;
  }

  /** Takes one message. */
  handle(seq: number): void {
    if (seq < this.#next && !this.#gaps.delete(seq)) {
      this.repeated++;
      return;
    }
    for (let gap = Math.max(this.#next, seq - MAX_GAPS); gap < seq; gap++) this.#gaps.add(gap);
    for (const oldest of this.#gaps) {
      if (this.#gaps.size <= MAX_GAPS) break;
      this.#gaps.delete(oldest);
    }
    this.#next = Math.max(this.#next, seq + 1);
    this.received++;
  }
}
