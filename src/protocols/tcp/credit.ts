/** What may be under way of one kind of message. Source: docs/wire/tcp.md §5. */

import { MESSAGE_COST_BYTES } from './constants.ts';

/** What a message of this size is charged. */
export function costOf(sizeBytes: number): number {
  return sizeBytes + MESSAGE_COST_BYTES;
}

function fits(charged: number, cost: number, window: number): boolean {
  return charged * 4 <= window || charged + cost <= window;
}

/** The sender's side: what of the peer's window is taken. */
export class SendCredit {
  #window = 0;
  #charged = 0;

  /** The peer has said how large its window is. */
  open(window: number): void {
    this.#window = window;
  }

  get charged(): number {
    return this.#charged;
  }

  /** Whether a message of this cost may begin. */
  allows(cost: number): boolean {
    return fits(this.#charged, cost, this.#window);
  }

  charge(cost: number): void {
    this.#charged += cost;
  }

  /** The peer gives back; false when it is more than was taken. */
  give(bytes: number): boolean {
    if (bytes > this.#charged) return false;
    this.#charged -= bytes;
    return true;
  }
}

/** The receiver's side: what is out, and what is to be given back. */
export class ReceiveWindow {
  readonly window: number;
  /** As the sender sees it: with what was released and not given back. */
  #charged = 0;
  #released = 0;
  #messages = 0;

  constructor(window: number) {
    this.window = window;
  }

  /** What is held for messages that are not released, bounded by the window and one message. */
  get held(): number {
    return this.#charged - this.#released;
  }

  /** A message begins; false when it must not. */
  charge(cost: number): boolean {
    if (!fits(this.#charged, cost, this.window)) return false;
    this.#charged += cost;
    this.#messages++;
    return true;
  }

  /** Messages that are not released. */
  get messages(): number {
    return this.#messages;
  }

  /** A message is done with. */
  release(cost: number): void {
    this.#messages--;
    this.#released += cost;
  }

  /** Whether it is time to give back. */
  get due(): boolean {
    return this.#released * 4 >= this.window;
  }

  /** What is to be given back now. */
  takeReleased(): number {
    const released = this.#released;
    this.#released = 0;
    this.#charged -= released;
    return released;
  }
}
