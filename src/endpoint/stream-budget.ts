/** How much of what peers send an endpoint holds at a time. */

/** A holder of a part of it: a stream of a connection. */
export interface Holder {
  /** There is room again: go on reading. */
  resume(): void;
}

/** How much more than the budget small beginnings of messages may take. */
const SLACK_BYTES = 4 * 2 ** 20;
/** What a part of a budget may take of small beginnings, however much the others hold. */
const GUARANTEED_BYTES = 8192;
/** What something that is held takes beyond its bytes. */
const ITEM_BYTES = 512;

/**
 * A budget that many unfinished messages may fill, and then the eldest goes on, since otherwise none of them could ever be
 * finished. Where whole messages wait to be taken, everything waits for that. So it is exceeded by at most what one holder
 * takes, and by small beginnings.
 */
export class StreamBudget {
  readonly maxBytes: number;
  readonly #parent: StreamBudget | undefined;
  /** Eldest first. Bounded by the streams that are open. */
  readonly #holders = new Set<Holder>();
  /** Those who wait for room. Bounded likewise. */
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

  /** Whether so much is held that not even a bit more can be, but for the eldest. */
  get exhausted(): boolean {
    if (this.#taken >= this.maxBytes + SLACK_BYTES) return true;
    return this.#bytes >= GUARANTEED_BYTES && (this.#parent?.exhausted ?? false);
  }

  /** Takes part from now on; the order counts. */
  enter(holder: Holder): void {
    this.#holders.add(holder);
    this.#parent?.enter(holder);
  }

  /** Takes part no more. */
  leave(holder: Holder): void {
    const wasEldest = this.#isEldest(holder);
    this.#holders.delete(holder);
    this.#waiting.delete(holder);
    this.#parent?.leave(holder);
    // The next one is the eldest now.
    if (wasEldest && this.#waiting.size > 0) this.#resume();
  }

  /** Whether a holder may read on; if not, it is told when it may. */
  admits(holder: Holder): boolean {
    if (this.#taken >= this.maxBytes && !(this.#isEldest(holder) && this.#items === 0)) {
      this.#waiting.add(holder);
      return false;
    }
    return this.#parent?.admits(holder) ?? true;
  }

  /** So many bytes more are held, or fewer; and so many messages, which take something by themselves. */
  change(bytes: number, items = 0): void {
    const wasFull = this.#taken >= this.maxBytes;
    this.#bytes += bytes;
    this.#items += items;
    this.#parent?.change(bytes, items);
    if (wasFull && this.#taken < this.maxBytes) this.#resume();
  }

  get #taken(): number {
    return this.#bytes + ITEM_BYTES * this.#items;
  }

  #isEldest(holder: Holder): boolean {
    const [eldest] = this.#holders;
    return eldest === holder;
  }

  #resume(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const holder of waiting) holder.resume();
  }
}
