/** Flow control of one kind of message. Source: docs/wire/tcp.md §5. */

import { MESSAGE_COST_BYTES } from './constants.ts';

/** The credit that a message of this size costs. */
export function costOf(sizeBytes: number): number {
  return sizeBytes + MESSAGE_COST_BYTES;
}

function fits(charged: number, cost: number, window: number): boolean {
  return charged * 4 <= window || charged + cost <= window;
}

/** The sender's side: the used part of the peer's window. */
export class SendCredit {
  #window = 0;
  #charged = 0;

  /** The peer has announced its window. */
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

  /** The peer returns credit; false when it is more than was used. */
  give(bytes: number): boolean {
    if (bytes > this.#charged) return false;
    this.#charged -= bytes;
    return true;
  }
}

/** The receiver's side: the used credit, and the credit to return. */
export class ReceiveWindow {
  readonly window: number;
  /** The sender's view: includes credit that was released but not returned. */
  #charged = 0;
  #released = 0;
  #messages = 0;

  constructor(window: number) {
    this.window = window;
  }

  /** Bytes held for messages that are not released, bounded by the window and one message. */
  get held(): number {
    return this.#charged - this.#released;
  }

  /** A message begins; false when it exceeds the window. */
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

  /** A message was processed. */
  release(cost: number): void {
    this.#messages--;
    this.#released += cost;
  }

  /** Whether credit should be returned now. */
  get due(): boolean {
    return this.#released * 4 >= this.window;
  }

  /** Takes the credit to return now. */
  takeReleased(): number {
    const released = this.#released;
    this.#released = 0;
    this.#charged -= released;
    return released;
  }
}
