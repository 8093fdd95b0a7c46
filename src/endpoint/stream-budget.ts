/** Limits how much of what peers send is held at a time. */

/** A stream that holds bytes of a budget. */
export interface Holder {
  /** There is room again: the stream is to be read on. */
  resume(): void;
}

/** How much the first bytes of messages may take beyond the budget. */
const SLACK_BYTES = 4 * 2 ** 20;
/** What one connection may hold of them even if the others have used up the budget. */
const GUARANTEED_BYTES = 8192;
/** What a message takes beyond its bytes. */
const ITEM_BYTES = 512;

/**
 * A budget for the streams of a connection, within that of its endpoint. When unfinished messages have used it up, only the oldest
 * stream is read on; otherwise none of the messages could be finished. While complete messages wait to be taken, all streams wait.
 * So it is exceeded by at most one message and the first bytes of others.
 *
 * It is not the `MemoryBudget` of `sessions/`, which the swarm over TCP uses. That one counts peers, and closes those
 * that move nothing when memory is used up, because a TCP connection can be paused only as a whole. QUIC pauses single streams, so this budget
 * counts streams, in two levels, and never closes a connection. The other abilities of that budget are elsewhere in QUIC: networks share
 * receive windows (`protocols/quic/window-budget.ts`, which is told what is held here), and streams without progress are reset
 * (`Receiver.expire`).
 */
export class StreamBudget {
  readonly maxBytes: number;
  readonly #parent: StreamBudget | undefined;
  /** Oldest first. Bounded by the streams that are open. */
  readonly #holders = new Set<Holder>();
  /** Streams that wait for room. Bounded likewise. */
  readonly #waiting = new Set<Holder>();
  #bytes = 0;
  #items = 0;

  /** @param parent - the budget of which this one is a part. */
  constructor(maxBytes: number, parent?: StreamBudget) {
    this.maxBytes = maxBytes;
    this.#parent = parent;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so much is held that only the oldest stream may take more. */
  get exhausted(): boolean {
    if (this.#taken >= this.maxBytes + SLACK_BYTES) return true;
    return this.#bytes >= GUARANTEED_BYTES && (this.#parent?.exhausted ?? false);
  }

  /** Adds a stream. The order of adding decides which one is the oldest. */
  enter(holder: Holder): void {
    this.#holders.add(holder);
    this.#parent?.enter(holder);
  }

  /** Removes a stream. */
  leave(holder: Holder): void {
    const wasOldest = this.#isOldest(holder);
    this.#holders.delete(holder);
    this.#waiting.delete(holder);
    this.#parent?.leave(holder);
    // Another one is the oldest now.
    if (wasOldest && this.#waiting.size > 0) this.#resume();
  }

  /** Whether a stream may be read on. If not, its `resume` is called when it may. */
  admits(holder: Holder): boolean {
    if (this.#taken >= this.maxBytes && !(this.#isOldest(holder) && this.#items === 0)) {
      this.#waiting.add(holder);
      return false;
    }
    return this.#parent?.admits(holder) ?? true;
  }

  /** Adds to the bytes and messages that are held; negative numbers subtract. */
  change(bytes: number, items = 0): void {
    const wasFull = this.#taken >= this.maxBytes;
    const hadItems = this.#items > 0;
    this.#bytes += bytes;
    this.#items += items;
    this.#parent?.change(bytes, items);
    if (wasFull && this.#taken < this.maxBytes) this.#resume();
    // Unfinished messages alone may still be more than the budget.
    else if (hadItems && this.#items === 0) this.#resumeOldest();
  }

  get #taken(): number {
    return this.#bytes + ITEM_BYTES * this.#items;
  }

  #isOldest(holder: Holder): boolean {
    const [oldest] = this.#holders;
    return oldest === holder;
  }

  #resumeOldest(): void {
    const [oldest] = this.#holders;
    if (oldest !== undefined && this.#waiting.delete(oldest)) oldest.resume();
  }

  #resume(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const holder of waiting) holder.resume();
  }
}
