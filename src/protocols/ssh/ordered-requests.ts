/**
 * Tells and asks as global requests with an empty name, as go-p2p sends them. Answers have no number: they come in the order of the
 * requests. Source: docs/wire/ssh.md §5.
 */

import { type Bytes, EMPTY_BYTES, takeBytes } from '../../base/bytes.ts';
import { Fifo } from '../../base/fifo.ts';
import type { Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { DEFAULT_PRIORITY, type Priority } from '../../core/priority.ts';
import { HELD_MESSAGE_BYTES, REFUSAL_PLAIN, REFUSAL_TOO_LARGE } from '../tcp/constants.ts';
import { costOf } from '../tcp/credit.ts';
import type { TcpEvent, TcpTicket } from '../tcp/events.ts';
import { type Outgoing, SendScheduler } from '../tcp/send-scheduler.ts';
import { MSG, REQUEST_HEADER_BYTES, SERVE_TIMEOUT_MS } from './constants.ts';
import type { SshFault } from './faults.ts';
import { SshReader } from './wire.ts';

/** Requests whose answers have not left; with more, nothing is read. */
const MAX_SERVED = 512;
/** Requests that were written and have no answer; more wait. */
const MAX_AWAITED = 4096;

const SUCCESS = Uint8Array.of(MSG.REQUEST_SUCCESS);
const FAILURE = Uint8Array.of(MSG.REQUEST_FAILURE);
/** Message number, empty name, and whether an answer is wanted. */
const TELL_HEADER = Uint8Array.of(MSG.GLOBAL_REQUEST, 0, 0, 0, 0, 0);
const REQUEST_HEADER = Uint8Array.of(MSG.GLOBAL_REQUEST, 0, 0, 0, 0, 1);

/** What the requests need of their connection. */
export interface OrderedRequestsOptions {
  /** The largest message that is taken. */
  readonly maxMessageBytes: number;
  /** Bytes of tells, and of requests, that are held before reading pauses. */
  readonly windowBytes: number;
  /** Whether a payload may be written now. */
  readonly mayWrite: () => boolean;
  /** Writes a payload; keeps none of the pieces. */
  readonly write: (payload: readonly Uint8Array[]) => void;
}

/** A request of the peer, until its answer is written. */
interface Served {
  readonly id: number;
  readonly size: number;
  readonly sinceMs: Millis;
  /** Whether it is a message: what has a name is only answered. */
  readonly isMessage: boolean;
  answer: Uint8Array | 'failure' | undefined;
}

export class OrderedRequests {
  readonly #options: OrderedRequestsOptions;
  readonly #outbox = new Outbox<never, TcpEvent, 'serve'>();
  readonly #scheduler = new SendScheduler();
  /** Asks in progress, by id. Bounded by the pending calls. */
  readonly #asked = new Map<number, { readonly maxResponseBytes: number; readonly outgoing: Outgoing }>();
  /** Of the asks that were written, the ids in order; those of cancelled ones too. Bounded by {@link MAX_AWAITED}. */
  readonly #awaited = new Fifo<number>();
  /** Requests of the peer, in order. Bounded by {@link MAX_SERVED}: nothing is read with more. */
  readonly #served = new Fifo<Served>();
  /** Of these, the messages that have no answer yet. */
  readonly #unanswered = new Map<number, Served>();
  /** What tells and requests that are not processed cost, and how many they are. */
  #tellCost = 0;
  #requestCost = 0;
  #messages = 0;
  #answerBytes = 0;
  #nextId = 1;

  constructor(options: OrderedRequestsOptions) {
    this.#options = options;
  }

  get queued(): number {
    return this.#scheduler.size;
  }

  get queuedBytes(): number {
    return this.#scheduler.bytes;
  }

  get queuedTells(): number {
    return this.#scheduler.tells;
  }

  /** Answers that wait for earlier ones, or for room. */
  get answerBytes(): number {
    return this.#answerBytes;
  }

  get heldBytes(): number {
    return this.#tellCost + this.#requestCost + this.#messages * HELD_MESSAGE_BYTES + this.#answerBytes;
  }

  get isQuiet(): boolean {
    return this.#scheduler.size + this.#asked.size + this.#served.length + this.#messages === 0;
  }

  /** Whether an answer of the peer is awaited. */
  get isWaiting(): boolean {
    return this.#awaited.length > 0;
  }

  /** Whether reading has to pause, until handlers are done or answers have left. */
  get isFull(): boolean {
    const { windowBytes } = this.#options;
    return (
      this.#tellCost >= windowBytes ||
      this.#requestCost + this.#answerBytes >= windowBytes ||
      this.#served.length >= MAX_SERVED
    );
  }

  tell(payload: Uint8Array, priority: Priority = DEFAULT_PRIORITY): TcpTicket | undefined {
    if (this.#scheduler.size === 0 && this.#options.mayWrite()) {
      this.#options.write([TELL_HEADER, payload]);
      return undefined;
    }
    return this.#add({ type: 'tell' }, payload, priority);
  }

  giveUpTell(ticket: TcpTicket): void {
    this.#scheduler.remove(ticket);
  }

  ask(payload: Uint8Array, maxResponseBytes: number, priority: Priority = DEFAULT_PRIORITY): number {
    const id = this.#nextId++;
    const outgoing = this.#add({ type: 'request', id, maxResponseBytes }, payload, priority);
    this.#asked.set(id, { maxResponseBytes, outgoing });
    return id;
  }

  /** The answer to a request that was written still comes, and is dropped then. */
  cancelAsk(id: number): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (asked !== undefined) this.#scheduler.remove(asked.outgoing);
  }

  /** An asker of this kind says no limit: the packet has one. */
  answer(now: Millis, id: number, payload: Uint8Array): boolean {
    const fits = payload.length <= this.#options.maxMessageBytes;
    this.#settle(now, id, fits ? payload : 'failure');
    return fits;
  }

  refuse(now: Millis, id: number): void {
    this.#settle(now, id, 'failure');
  }

  release(sizeBytes: number): void {
    this.#tellCost -= costOf(sizeBytes);
    this.#messages--;
  }

  handleTimeout(now: Millis): void {
    for (const _ of this.#outbox.takeDue(now)) this.#look(now);
  }

  /** Handles a payload of the connection protocol. @returns the fault, if it is one */
  handle(payload: Bytes, now: Millis): SshFault | undefined {
    switch (payload[0]!) {
      case MSG.GLOBAL_REQUEST:
        return this.#handleRequest(payload, now);
      case MSG.REQUEST_SUCCESS:
        return this.#handleAnswer(takeBytes(payload, 1, payload.length));
      case MSG.REQUEST_FAILURE:
        return this.#handleAnswer(undefined);
      default:
        return 'unexpected';
    }
  }

  /** Writes what can be written. */
  poll(now: Millis): Output<never, TcpEvent> {
    const { mayWrite } = this.#options;
    for (let first = this.#served.first(); first?.answer !== undefined && mayWrite(); first = this.#served.first()) {
      this.#writeAnswer(first, now);
    }
    while (mayWrite()) {
      const message = this.#scheduler.next(({ head }) => head.type !== 'request' || this.#awaited.length < MAX_AWAITED);
      if (message === undefined) break;
      this.#writeMessage(message);
    }
    return this.#outbox.poll();
  }

  /** Fails everything in progress. */
  clear(): void {
    const left = new Set(this.#scheduler.clear());
    for (const ticket of left) {
      if (ticket.head.type === 'tell') this.#outbox.event({ type: 'tell_failed', ticket, sent: 'no' });
    }
    for (const [id, { outgoing }] of this.#asked) {
      this.#outbox.event({ type: 'ask_failed', id, sent: left.has(outgoing) ? 'no' : 'maybe' });
    }
    for (const id of this.#unanswered.keys()) this.#outbox.event({ type: 'cancelled', id });
    this.#asked.clear();
    this.#unanswered.clear();
    this.#outbox.disarm('serve');
  }

  #add(head: Outgoing['head'], payload: Uint8Array, priority: Priority): Outgoing {
    const message: Outgoing = { head, payload, priority, offset: 0, stream: undefined };
    this.#scheduler.add(message);
    return message;
  }

  #writeMessage(message: Outgoing): void {
    const { head, payload } = message;
    this.#scheduler.remove(message);
    this.#options.write([head.type === 'tell' ? TELL_HEADER : REQUEST_HEADER, payload]);
    if (head.type === 'request') this.#awaited.push(head.id);
    else this.#outbox.event({ type: 'taken', ticket: message });
  }

  #writeAnswer({ answer, size, isMessage }: Served, now: Millis): void {
    this.#served.shift();
    if (answer === 'failure' || answer === undefined) this.#options.write([FAILURE]);
    else {
      this.#answerBytes -= answer.length;
      this.#options.write([SUCCESS, answer]);
    }
    if (isMessage) {
      this.#requestCost -= costOf(size);
      this.#messages--;
    }
    this.#look(now);
  }

  #settle(now: Millis, id: number, answer: Uint8Array | 'failure'): void {
    const served = this.#unanswered.get(id);
    if (served === undefined) return;
    this.#unanswered.delete(id);
    served.answer = answer;
    if (answer !== 'failure') this.#answerBytes += answer.length;
    this.#look(now);
  }

  /** The first request blocks the answers to all others: one that has no answer in time is refused. */
  #look(now: Millis): void {
    const first = this.#served.first();
    if (first === undefined || first.answer !== undefined) {
      this.#outbox.disarm('serve');
      return;
    }
    const dueMs = first.sinceMs + SERVE_TIMEOUT_MS;
    if (now < dueMs) {
      this.#outbox.arm('serve', dueMs);
      return;
    }
    this.#outbox.event({ type: 'cancelled', id: first.id });
    this.#settle(now, first.id, 'failure');
  }

  #handleRequest(payload: Bytes, now: Millis): SshFault | undefined {
    const reader = new SshReader(payload, 1);
    const name = reader.string();
    const wantsAnswer = reader.bool();
    if (reader.failed) return 'malformed';
    const size = payload.length - reader.at;
    // Only what has no name is a message; a keep-alive of OpenSSH, say, has one.
    const isMessage = name.length === 0;
    const isTooLarge = size > this.#options.maxMessageBytes;
    if (isMessage && isTooLarge) this.#outbox.event({ type: 'dropped', reason: 'oversize' });
    if (!isMessage || isTooLarge) {
      if (wantsAnswer) this.#served.push({ id: 0, size: 0, sinceMs: now, isMessage: false, answer: 'failure' });
      return undefined;
    }
    const message = takeBytes(payload, payload.length - size, payload.length);
    this.#messages++;
    if (!wantsAnswer) {
      this.#tellCost += costOf(size);
      this.#outbox.event({ type: 'tell', payload: message });
      return undefined;
    }
    const id = this.#nextId++;
    const served: Served = { id, size, sinceMs: now, isMessage, answer: undefined };
    this.#requestCost += costOf(size);
    this.#served.push(served);
    this.#unanswered.set(id, served);
    this.#look(now);
    this.#outbox.event({ type: 'request', id, maxResponseBytes: this.#options.maxMessageBytes, payload: message });
    return undefined;
  }

  /** @param payload - `undefined`: the request has failed. */
  #handleAnswer(payload: Bytes | undefined): SshFault | undefined {
    const id = this.#awaited.shift();
    if (id === undefined) return 'unexpected';
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (asked === undefined) return undefined; // cancelled
    if (payload === undefined) this.#outbox.event({ type: 'refusal', id, code: REFUSAL_PLAIN, payload: EMPTY_BYTES });
    else if (payload.length <= asked.maxResponseBytes) this.#outbox.event({ type: 'answer', id, payload });
    else this.#outbox.event({ type: 'refusal', id, code: REFUSAL_TOO_LARGE, payload: EMPTY_BYTES });
    return undefined;
  }
}

/** The largest message within a payload. */
export function maxRequestBytes(payloadBytes: number): number {
  return payloadBytes - REQUEST_HEADER_BYTES;
}
