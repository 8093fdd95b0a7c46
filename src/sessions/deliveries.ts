/** Received messages of one connection for handlers: waiting tells, and requests being served. */

import type { Bytes } from '../base/bytes.ts';
import { Fifo } from '../base/fifo.ts';
import { IdMap } from '../base/id-map.ts';
import type { Millis } from '../base/machine.ts';
import { P2PError } from '../core/errors.ts';
import type { Message } from '../core/message.ts';
import { isPending } from '../runtime/promises.ts';
import type { Answer, Serving } from '../swarm-kit/ask-slot.ts';
import { type PendingLimits, PendingBudget } from '../swarm-kit/pending-budget.ts';
import type { KeyedAddr, SessionsHooks } from './peer-sessions.ts';

/** The cost of a message that a handler holds, in addition to its bytes: objects, promises. A conservative estimate. */
export const HELD_MESSAGE_BYTES = 512;

/** The machine whose messages are delivered. */
export interface DeliveringMachine {
  /** The application is done with a tell. */
  release(bytes: number): void;
  /** Answers a request. @returns false when the answer is larger than the asker accepts; it is refused then */
  answer(nowMs: Millis, id: number, payload: Uint8Array): boolean;
  refuse(nowMs: Millis, id: number, code: number, payload: Uint8Array | undefined): void;
}

/** What the deliveries of a session need from it. */
export interface DeliveriesOwner<A extends KeyedAddr> {
  /** The peer's address, and the local address that it uses. */
  readonly src: A;
  readonly dst: A;
  /** The bytes held for the peer have changed. */
  account(): void;
  /** The time of this turn, read once for all its answers. @internal */
  turnNowMs?(): Millis;
  /** Runs the machine asynchronously. */
  scheduleFlush(): void;
}

/** Received messages of one connection for handlers: tells that wait, in order, and requests being served. */
export class Deliveries<A extends KeyedAddr> {
  readonly #owner: DeliveriesOwner<A>;
  readonly #machine: DeliveringMachine;
  readonly #hooks: SessionsHooks<A>;
  readonly #tellBudget: PendingBudget;
  readonly #askBudget: PendingBudget;
  /** Messages that wait for a handler. Bounded by the window granted to the peer. */
  readonly #inbox = new Fifo<Bytes>();
  readonly #served = new IdMap<Serving>(); // Bounded by the window granted to the peer.

  constructor(
    owner: DeliveriesOwner<A>,
    machine: DeliveringMachine,
    hooks: SessionsHooks<A>,
    limits: Required<{ readonly [Name in keyof PendingLimits]: number }>,
  ) {
    this.#owner = owner;
    this.#machine = machine;
    this.#hooks = hooks;
    this.#tellBudget = new PendingBudget(limits);
    this.#askBudget = new PendingBudget(limits);
    this.#tellBudget.onRoom = () => this.handOut();
  }

  /** Bytes that handlers hold, also after the connection has ended. */
  get heldBytes(): number {
    const [tells, asks] = [this.#tellBudget, this.#askBudget];
    return tells.bytes + asks.bytes + (tells.messages + asks.messages) * HELD_MESSAGE_BYTES;
  }

  tell(payload: Bytes): void {
    this.#inbox.push(payload);
    this.#deliver();
  }

  /** Delivers waiting messages, when there is room again or a handler was attached. */
  handOut(): void {
    this.#deliver();
    this.#owner.scheduleFlush();
  }

  request(id: number, request: Bytes): void {
    const serving = this.#hooks.serve(this.#messageOf(request), this.#askBudget);
    const { answer } = serving;
    if (!isPending(answer)) {
      this.#answer(id, answer);
      return;
    }
    this.#served.set(id, serving);
    void answer.then((result) => {
      this.#owner.account();
      if (this.#served.get(id) !== serving) return;
      this.#served.delete(id);
      this.#answer(id, result);
    });
  }

  /** The asker no longer needs the answer. */
  cancelled(id: number): void {
    this.#served.get(id)?.abort(new P2PError('disconnected', 'remote', 'The asker has cancelled the ask'));
    this.#served.delete(id);
  }

  #messageOf(payload: Bytes): Message<A> {
    const { src, dst } = this.#owner;
    return { src, dst, payload };
  }

  #deliver(): void {
    const hooks = this.#hooks;
    while (this.#inbox.length > 0 && hooks.listening && !this.#tellBudget.full) {
      const payload = this.#inbox.shift()!;
      const { length } = payload; // the handler may change it
      const pending = hooks.pass(this.#messageOf(payload));
      if (!isPending(pending)) {
        this.#machine.release(length);
        continue;
      }
      this.#tellBudget.take(length);
      void pending.then(() => {
        this.#machine.release(length);
        this.#tellBudget.give(length);
        this.#owner.account();
        this.#owner.scheduleFlush();
      });
    }
  }

  #answer(id: number, answer: Answer): void {
    const { counters, realm } = this.#hooks;
    const nowMs = this.#owner.turnNowMs?.() ?? realm.nowMs();
    if (!answer.ok) this.#machine.refuse(nowMs, id, answer.code, answer.bytes);
    else if (this.#machine.answer(nowMs, id, answer.bytes)) counters.countSent(answer.bytes.length);
    else counters.countDrop(`${counters.layer}.answer_too_large`);
    this.#owner.scheduleFlush();
  }
}
