/** Holds a swarm's single serve handler. */

import type { Bytes } from '../base/bytes.ts';
import { IdMap } from '../base/id-map.ts';
import { isPending } from '../runtime/promises.ts';
import type { Addr } from '../core/addr.ts';
import { Refusal } from '../core/errors.ts';
import { assertFunction, describeValue } from '../base/checks.ts';
import type { AskHandler, Message, Request } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import type { CounterSet } from './counter-set.ts';
import { PendingBudget } from './pending-budget.ts';
import type { SlotOptions } from './tell-slot.ts';

/** The result of a request: response bytes, which now belong to the swarm, or a refusal with optional bytes. */
export type Answer =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly bytes: Uint8Array | undefined; readonly code: number };

/** A refusal without bytes. */
export const REFUSED: Answer = { ok: false, bytes: undefined, code: new Refusal().code };

/** A request that its handler is processing. */
export interface Serving {
  /** The answer, or a promise of it that never rejects. */
  readonly answer: Answer | Promise<Answer>;
  /** Aborts `request.signal`: the asker no longer needs the answer. Has no effect once the handler has finished. */
  abort(reason: unknown): void;
}

/**
 * A request and its abort state. The signal is created on first access. All properties are own properties, so that a spread copy has
 * them too; one getter serves all requests, because an object with a getter of its own is ten times as slow to make.
 */
class ServedRequest<A extends Addr> implements Request<A> {
  readonly src: A;
  readonly dst: A;
  readonly payload: Bytes;
  declare readonly signal: AbortSignal;
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  constructor({ src, dst, payload }: Message<A>) {
    this.src = src;
    this.dst = dst;
    this.payload = payload;
    Object.defineProperty(this, 'signal', SIGNAL);
  }

  static abort(request: ServedRequest<Addr>, reason: unknown): void {
    request.#aborted ??= { reason };
    request.#controller?.abort(reason);
  }

  /** @param receiver - the request, or an object that was made with it as its prototype. */
  static signalOf(receiver: object | null): AbortSignal {
    let request = receiver;
    while (request !== null && !(#controller in request)) request = Object.getPrototypeOf(request) as object | null;
    if (request === null) throw new TypeError('Cannot read signal: expected a request');
    if (request.#controller === undefined) {
      request.#controller = new AbortController();
      if (request.#aborted !== undefined) request.#controller.abort(request.#aborted.reason);
    }
    return request.#controller.signal;
  }
}

const SIGNAL: PropertyDescriptor & ThisType<object> = {
  get() {
    return ServedRequest.signalOf(this);
  },
  enumerable: true,
  configurable: true,
};

const NO_ABORT = (): void => {};

/**
 * Holds the handler, calls it, and converts its result into an {@link Answer}. Requests beyond the budget are refused,
 * never queued.
 */
export class AskSlot<A extends Addr> {
  readonly budget: PendingBudget;
  #handler: AskHandler<A> | undefined;
  /** What detaches the handler. */
  #attachment: Disposable | undefined;
  readonly #realm: Realm;
  readonly #counters: CounterSet;
  readonly #serving = new IdMap<ServedRequest<A>>(); // Bounded by the budgets.
  #nextId = 1;

  constructor(options: SlotOptions) {
    this.#realm = options.realm;
    this.#counters = options.counters;
    this.budget = options.budget ?? new PendingBudget();
  }

  /** Whether a handler is set. */
  get occupied(): boolean {
    return this.#handler !== undefined;
  }

  /** As `Asks.serve`. */
  serve(handler: AskHandler<A>): Disposable {
    assertFunction(handler, 'handler');
    if (this.#handler !== undefined) throw new TypeError('Cannot serve: this swarm has a handler; dispose of it first');
    this.#handler = handler;
    const attachment: Disposable = {
      [Symbol.dispose]: () => {
        if (this.#attachment === attachment) this.#detach();
      },
    };
    this.#attachment = attachment;
    return attachment;
  }

  /** Detaches the handler and aborts its pending requests. Called by `close`. */
  clear(reason: unknown): void {
    this.#detach();
    for (const [, request] of this.#serving.clear()) ServedRequest.abort(request, reason);
  }

  /**
   * Passes one request to the handler.
   *
   * @param budget - the budget of the peer, for links that have one per peer.
   */
  handle(message: Message<A>, budget: PendingBudget = this.budget): Serving {
    const handler = this.#handler;
    if (handler === undefined || budget.full) {
      this.#counters.countDrop(handler === undefined ? 'no_handler' : 'queue_full');
      return { answer: REFUSED, abort: NO_ABORT };
    }
    const bytes = message.payload.length;
    this.#counters.countReceived(bytes);
    const served = new ServedRequest(message);
    try {
      const result = handler(served);
      if (!isPending(result)) return { answer: this.#answered(result, message.src), abort: NO_ABORT };
      budget.take(bytes);
      const id = this.#nextId++;
      this.#serving.set(id, served);
      const done = (answer: Answer): Answer => {
        budget.give(bytes);
        this.#serving.delete(id);
        return answer;
      };
      const answer = result.then(
        (response) => done(this.#answered(response, message.src)),
        (error: unknown) => done(this.#refused(error, message.src)),
      );
      return { answer, abort: (reason) => ServedRequest.abort(served, reason) };
    } catch (error) {
      return { answer: this.#refused(error, message.src), abort: NO_ABORT };
    }
  }

  #detach(): void {
    this.#handler = undefined;
    this.#attachment = undefined;
  }

  #answered(response: unknown, src: A): Answer {
    if (response instanceof Uint8Array) return { ok: true, bytes: response };
    return this.#refused(
      new TypeError(`A serve handler must return a Uint8Array or throw a Refusal, got ${describeValue(response)}`),
      src,
    );
  }

  #refused(cause: unknown, addr: A): Answer {
    if (Refusal.is(cause)) return { ok: false, bytes: cause.bytes, code: cause.code };
    this.#counters.countDrop('handler_error');
    this.#realm.trace?.({ layer: this.#counters.layer, type: 'handler_error', atMs: this.#realm.nowMs(), addr, cause });
    return REFUSED;
  }
}
