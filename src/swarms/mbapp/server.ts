/** The serving side: each request executed at most once, and answered as often as it is asked. */

import { type Addr } from '../../core/addr.ts';
import { EMPTY_BYTES } from '../../core/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { type AskHandler, type Message } from '../../core/message.ts';
import { clockOf } from '../../drive/system-realm.ts';
import { type Answer, AskSlot } from '../../kit/ask-slot.ts';
import { PendingBudget } from '../../kit/pending-budget.ts';
import { isPending } from '../../kit/tell-slot.ts';
import { AnswerCache } from '../../protocols/mbapp/answer-cache.ts';
import { CODE_ANSWER_TOO_LARGE, type MessageHeader, type Packet, originMs } from '../../protocols/mbapp/header.ts';
import { type MbappLink } from './asker.ts';
import { type ResolvedMbapp } from './options.ts';

/** An answer as it went out. */
interface Reply<A extends Addr> {
  readonly dst: A;
  readonly header: MessageHeader;
  readonly payload: Uint8Array;
}

/** A request in several parts, sent again, is answered again once and not for every part. */
const RESEND_ANSWER_MS = 50;

/** The requests of all peers. */
export class Server<A extends Addr> {
  readonly #link: MbappLink<A>;
  readonly #limits: ResolvedMbapp['limits'];
  readonly #asks: AskSlot<A>;
  readonly #cache: AnswerCache<Reply<A>>;
  /** By peer, while it has requests in hand. Bounded by `maxPendingRequests`. */
  readonly #budgets = new Map<string, PendingBudget>();

  constructor(link: MbappLink<A>, limits: ResolvedMbapp['limits']) {
    this.#link = link;
    this.#limits = limits;
    const { realm, counters } = link;
    const budget = new PendingBudget({
      maxPendingMessages: limits.maxPendingRequests,
      maxPendingBytes: limits.maxPendingRequests * limits.maxMessageBytes,
    });
    this.#asks = new AskSlot({ realm, counters, budget });
    this.#cache = new AnswerCache({ maxAnswers: limits.maxCachedAnswers, maxBytes: limits.maxCachedBytes });
  }

  serve(handler: AskHandler<A>): Disposable {
    return this.#asks.serve(handler);
  }

  state(): { readonly cachedAnswers: number; readonly cachedBytes: number; readonly requests: number } {
    return {
      cachedAnswers: this.#cache.answers,
      cachedBytes: this.#cache.bytes,
      requests: this.#asks.budget.messages,
    };
  }

  close(reason: unknown): void {
    this.#asks.clear(reason);
  }

  /** Whether a request, or a part of one, was seen before; answers it again if it was answered. */
  isKnown(src: A, packet: Packet): boolean {
    const { realm, counters } = this.#link;
    const known = this.#cache.lookUp(src.text, idOf(packet), originMs(packet, realm.wallMs()));
    if (known.type === 'new') return false;
    counters.countDrop(known.type === 'stale' ? 'mbapp.stale_request' : 'mbapp.repeated_request');
    if (
      known.type === 'answered' &&
      (packet.parts <= 1 || realm.nowMs() - known.entry.lastSentMs >= RESEND_ANSWER_MS)
    ) {
      known.entry.lastSentMs = realm.nowMs();
      this.#send(known.entry.answer);
    }
    return true;
  }

  /** Has a whole request answered that {@link Server.isKnown} did not know. */
  handle(message: Message<A>, packet: Packet): void {
    const { realm } = this.#link;
    const { src } = message;
    const request = { source: src.text, id: idOf(packet), sentAtMs: originMs(packet, realm.wallMs()) };
    this.#cache.begin(request.source, request.id);
    const budget = this.#budgetOf(src);
    const serving = this.#admit(message, budget);
    const done = (answer: Answer): void => {
      const reply = this.#reply(src, packet, answer);
      this.#cache.finish(realm.nowMs(), request, reply, reply.payload.length);
      this.#link.counters.countSent(reply.payload.length);
      this.#send(reply);
      if (budget.messages === 0) this.#budgets.delete(src.text);
    };
    if (!isPending(serving.answer)) {
      done(serving.answer);
      return;
    }
    // The asker's deadline, counted from when its request came: clocks of two machines need not agree.
    const timer = clockOf(realm).setTimer(
      realm.nowMs() + packet.timeoutMs,
      () => serving.abort(new P2PError('timeout', 'remote', `The asker waited ${packet.timeoutMs} ms`)),
      { background: true },
    );
    void serving.answer.then((answer) => {
      timer.cancel();
      done(answer);
    });
  }

  #admit(message: Message<A>, budget: PendingBudget): ReturnType<AskSlot<A>['handle']> {
    const overall = this.#asks.budget;
    // A full budget refuses; both count what is in hand.
    if (overall.full) return this.#asks.handle(message, overall);
    const serving = this.#asks.handle(message, budget);
    if (isPending(serving.answer)) {
      overall.take(message.payload.length);
      void serving.answer.then(() => overall.give(message.payload.length));
    }
    return serving;
  }

  #budgetOf({ text }: A): PendingBudget {
    const known = this.#budgets.get(text);
    if (known !== undefined) return known;
    const { maxPendingRequestsPerPeer, maxMessageBytes } = this.#limits;
    const budget = new PendingBudget({
      maxPendingMessages: maxPendingRequestsPerPeer,
      maxPendingBytes: maxPendingRequestsPerPeer * maxMessageBytes,
    });
    this.#budgets.set(text, budget);
    return budget;
  }

  #reply(dst: A, { origin, counter }: Packet, answer: Answer): Reply<A> {
    const fits = (answer.bytes?.length ?? 0) <= this.#limits.maxMessageBytes;
    if (!fits) this.#link.counters.countDrop('mbapp.answer_too_large');
    const payload = fits ? (answer.bytes ?? EMPTY_BYTES) : EMPTY_BYTES;
    const code = fits ? (answer.ok ? 0 : answer.code) : CODE_ANSWER_TOO_LARGE;
    // How many parts it goes into is the sender's to say, when there is more than one.
    const parts = payload.length === 0 ? 0 : 1;
    const header = { kind: 'reply', code, origin, counter, sizeBytes: payload.length, parts, timeoutMs: 0 } as const;
    return { dst, header, payload };
  }

  #send({ dst, header, payload }: Reply<A>): void {
    // The asker asks again when an answer is lost; what cannot be sent at all is counted.
    this.#link.send(dst, header, payload).catch(() => this.#link.counters.countDrop('mbapp.answer_not_sent'));
  }
}

/** What tells a request of one peer from its others. */
function idOf({ origin, counter }: Packet): string {
  return `${origin} ${counter}`;
}
