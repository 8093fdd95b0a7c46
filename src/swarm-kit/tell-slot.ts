/** Holds a swarm's single tell handler. */

import type { Addr } from '../core/addr.ts';
import { assertFunction } from '../base/checks.ts';
import type { Message, TellHandler } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import { isPending } from '../runtime/promises.ts';
import type { CounterSet } from './counter-set.ts';
import { PendingBudget } from './pending-budget.ts';

/** The dependencies of a slot, and its limit on pending work. */
export interface SlotOptions {
  readonly realm: Realm;
  readonly counters: CounterSet;
  /** @default a budget of 256 messages and 4 MiB */
  readonly budget?: PendingBudget | undefined;
}

/**
 * Holds the handler, calls it, limits its pending promises with a budget, and counts errors. A swarm must call it from
 * outside of any call by the user: from a socket event, a timer, or the handler of an inner swarm.
 */
export class TellSlot<A extends Addr> {
  /** For links with one budget for all messages; flow-controlled links pass one per peer. */
  readonly budget: PendingBudget;
  /** Called when a handler is attached; flow-controlled links then start reading. */
  onListen: (() => void) | undefined;
  #handler: TellHandler<A> | undefined;
  /** What detaches the handler. */
  #attachment: Disposable | undefined;
  readonly #realm: Realm;
  readonly #counters: CounterSet;

  constructor(options: SlotOptions) {
    this.#realm = options.realm;
    this.#counters = options.counters;
    this.budget = options.budget ?? new PendingBudget();
  }

  /** Whether a handler is set. */
  get occupied(): boolean {
    return this.#handler !== undefined;
  }

  /** As `Swarm.listen`. */
  listen(handler: TellHandler<A>): Disposable {
    assertFunction(handler, 'handler');
    if (this.#handler !== undefined)
      throw new TypeError('Cannot listen: this swarm has a handler; dispose of it first');
    this.#handler = handler;
    // Each call has its own, so that attaching the same handler twice is distinguishable.
    const attachment: Disposable = {
      [Symbol.dispose]: () => {
        if (this.#attachment === attachment) this.clear();
      },
    };
    this.#attachment = attachment;
    this.onListen?.();
    return attachment;
  }

  /** Detaches the handler. Called by `close`. */
  clear(): void {
    this.#handler = undefined;
    this.#attachment = undefined;
  }

  /**
   * Delivers one message, or counts why it was dropped (`no_handler`, `queue_full`).
   *
   * @param budget - the peer's budget, on flow-controlled links.
   * @returns whether a handler got the message.
   */
  deliver(message: Message<A>, budget: PendingBudget = this.budget): boolean {
    if (this.#handler === undefined) {
      this.#counters.countDrop('no_handler');
      return false;
    }
    if (budget.full) {
      this.#counters.countDrop('queue_full');
      return false;
    }
    const bytes = message.payload.length;
    const pending = this.#call(this.#handler, message, bytes);
    if (pending !== undefined) {
      budget.take(bytes);
      void pending.then(() => budget.give(bytes));
    }
    return true;
  }

  /**
   * Delivers one message and returns its handler's promise to the layer below, whose budget counts it. For wrappers
   * that add no pending work: frag, mapAddrs, allow.
   *
   * @returns settles when the handler's promise has settled; never rejects.
   */
  pass(message: Message<A>): void | Promise<void> {
    if (this.#handler === undefined) {
      this.#counters.countDrop('no_handler');
      return undefined;
    }
    return this.#call(this.#handler, message, message.payload.length);
  }

  #call(handler: TellHandler<A>, message: Message<A>, bytes: number): Promise<void> | undefined {
    this.#counters.countReceived(bytes);
    try {
      const result = handler(message);
      return isPending(result)
        ? result.then(undefined, (error: unknown) => this.#failed(error, message.src))
        : undefined;
    } catch (error) {
      this.#failed(error, message.src);
      return undefined;
    }
  }

  #failed(cause: unknown, addr: A): void {
    this.#counters.countDrop('handler_error');
    this.#realm.trace?.({ layer: this.#counters.layer, type: 'handler_error', atMs: this.#realm.nowMs(), addr, cause });
  }
}
