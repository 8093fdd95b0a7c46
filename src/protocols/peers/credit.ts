/** Credit for tells, requests and stream bytes, on both sides. Source: docs/wire/peers.md §5. */

/** Credit that the peer gives to this side. */
export class SendCredit {
  #limit: number;
  #window: number;
  #sent = 0;

  constructor(window: number) {
    this.#limit = this.#window = window;
  }

  /** The window of the peer's hello, once it is known. */
  set window(bytes: number) {
    this.#limit += bytes - this.#window;
    this.#window = bytes;
  }

  raise(limit: number): void {
    this.#limit = Math.max(this.#limit, limit);
  }

  /** Whether a message of this cost may be sent: within the limit, or with a quarter of the window out at most. */
  allows(cost: number): boolean {
    const out = this.#sent - (this.#limit - this.#window);
    return this.#sent + cost <= this.#limit || out * 4 <= this.#window;
  }

  /** Bytes that may be sent. */
  get left(): number {
    return this.#limit - this.#sent;
  }

  take(cost: number): void {
    this.#sent += cost;
  }
}

/** Credit that this side gives to the peer. */
export class ReceiveCredit {
  readonly window: number;
  #received = 0;
  #consumed = 0;
  #granted: number;

  constructor(window: number) {
    this.window = window;
    this.#granted = window;
  }

  /** What the application has not finished with. */
  get held(): number {
    return this.#received - this.#consumed;
  }

  /** A message has come. False when the peer had no credit for it: more than a quarter was out, and it does not fit. */
  take(cost: number): boolean {
    const isAllowed = this.#received + cost <= this.#consumed + this.window || this.held * 4 <= this.window;
    this.#received += cost;
    return isAllowed;
  }

  /** The same for bytes of streams, which never exceed the window. */
  takeWhole(bytes: number): boolean {
    return bytes <= this.window && this.take(bytes);
  }

  consume(cost: number): void {
    this.#consumed += cost;
  }

  /** Whether a quarter of the window can be granted. */
  get isDue(): boolean {
    return (this.#consumed + this.window - this.#granted) * 4 >= this.window;
  }

  /** The new limit. */
  grant(): number {
    this.#granted = this.#consumed + this.window;
    return this.#granted;
  }
}
