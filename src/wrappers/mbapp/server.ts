/** The serving side: executes each request at most once, and answers every repetition. */

import { RESOLVED, isPending } from '../../runtime/promises.ts';
import type { Addr } from '../../core/addr.ts';
import { type Bytes, equalBytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import type { AskHandler, Message } from '../../core/message.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import { type Answer, AskSlot } from '../../swarm-kit/ask-slot.ts';
import { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import { AnswerCache } from '../../protocols/mbapp/answer-cache.ts';
import {
  CODE_ANSWER_TOO_LARGE,
  CODE_REFUSED,
  HEADER_BYTES,
  partCount,
  type MessageHeader,
  type Packet,
  TOKEN_BYTES,
  originMs,
} from '../../protocols/mbapp/header.ts';
import type { MbappLink } from './asker.ts';
import type { ResolvedMbapp } from './options.ts';

/** An answer that was sent, and its request. */
interface Reply<A extends Addr> {
  readonly dst: A;
  readonly header: MessageHeader;
  readonly payload: Uint8Array;
  /** Size and parts of the request: a packet that differs in them is not a repetition of it. */
  readonly requestBytes: number;
  readonly requestParts: number;
  /** Bytes on the wire below: received with this source address for this request, and sent to it. */
  bytesIn: number;
  bytesOut: number;
  /** How often the answer was sent. */
  sendings: number;
  /** What the asker must return before the rest is sent; created when needed. */
  token: Bytes | undefined;
  isProven: boolean;
}

/** A resent request of several parts is answered once and not once per part. */
const RESEND_ANSWER_MS = 50;

/**
 * The maximum number of times one answer is sent. An asker with a timeout of 30 s sends its request eleven times; a
 * larger message needs each part to arrive once.
 */
const MAX_SENDINGS = 16;

/** Bytes that may be sent to a source that has not proven its address, for each byte from it. Source: RFC 9000 §8.1. */
const MAX_AMPLIFICATION = 3;

/** The requests of all peers. */
export class Server<A extends Addr> {
  readonly #link: MbappLink<A>;
  readonly #limits: ResolvedMbapp['limits'];
  readonly #provenSources: boolean;
  readonly #asks: AskSlot<A>;
  readonly #cache: AnswerCache<Reply<A>>;
  /** By peer, while handlers process its requests. Bounded by `maxPendingRequests`. */
  readonly #budgets = new Map<string, PendingBudget>();

  constructor(link: MbappLink<A>, { limits, provenSources }: ResolvedMbapp) {
    this.#link = link;
    this.#limits = limits;
    this.#provenSources = provenSources;
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

  /** Whether a request, or a part of one, was seen before; resends its answer if there is one. */
  isKnown(src: A, packet: Packet): boolean {
    const { realm, counters } = this.#link;
    const known = this.#cache.lookUp(src.text, packet, originMs(packet, realm.wallMs()));
    const isProof = packet.code === CODE_ANSWER_TOO_LARGE;
    // A proof is not a request: if its request is unknown, it is not executed.
    if (known.type === 'new' && !isProof) return false;
    if (known.type !== 'answered') {
      counters.countDrop(known.type === 'busy' ? 'mbapp.repeated_request' : 'mbapp.stale_request');
      // The answer was removed while its asker proved its address: the asker need not wait for its deadline.
      if (known.type === 'stale' && isProof && packet.data.length === TOKEN_BYTES) this.#refuseProof(src, packet);
      return true;
    }
    const { entry } = known;
    const reply = entry.answer;
    reply.bytesIn += HEADER_BYTES + packet.data.length;
    if (isProof) {
      if (reply.token === undefined || !equalBytes(packet.data, reply.token)) {
        counters.countDrop('mbapp.wrong_proof');
        return true;
      }
    } else if (packet.sizeBytes !== reply.requestBytes || packet.parts !== reply.requestParts) {
      counters.countDrop('mbapp.other_request');
      return true;
    }
    if (isProof && !reply.isProven) reply.isProven = true;
    else {
      counters.countDrop('mbapp.repeated_request');
      if (packet.parts > 1 && realm.nowMs() - entry.lastSentMs < RESEND_ANSWER_MS) return true;
    }
    entry.lastSentMs = realm.nowMs();
    this.#send(reply);
    return true;
  }

  /** Executes a complete request that {@link Server.isKnown} did not know. */
  handle(message: Message<A>, packet: Packet): void {
    const { realm } = this.#link;
    const { src } = message;
    const request = this.#cache.begin(src.text, packet, originMs(packet, realm.wallMs()));
    const budget = this.#budgetOf(src);
    const serving = this.#admit(message, budget);
    const done = (answer: Answer): void => {
      const reply = this.#reply(message, packet, answer);
      this.#cache.finish(realm.nowMs(), request, reply, reply.payload.length);
      this.#link.counters.countSent(reply.payload.length);
      this.#send(reply);
      if (budget.messages === 0) this.#budgets.delete(src.text);
    };
    if (!isPending(serving.answer)) {
      done(serving.answer);
      return;
    }
    // The asker's deadline, counted from the arrival of its request: the clocks of two machines may differ.
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
    // A full budget refuses; both budgets count pending requests.
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

  #reply({ src: dst, payload: request }: Message<A>, packet: Packet, answer: Answer): Reply<A> {
    const { origin, counter, sizeBytes, parts } = packet;
    const fits = (answer.bytes?.length ?? 0) <= this.#limits.maxMessageBytes;
    if (!fits) this.#link.counters.countDrop('mbapp.answer_too_large');
    const payload = fits ? (answer.bytes ?? EMPTY_BYTES) : EMPTY_BYTES;
    const code = fits ? (answer.ok ? 0 : refusalCode(answer.code)) : CODE_ANSWER_TOO_LARGE;
    return {
      dst,
      header: replyHeader(origin, counter, code, payload),
      payload,
      requestBytes: sizeBytes,
      requestParts: parts,
      bytesIn: request.length + HEADER_BYTES * Math.max(parts, 1),
      bytesOut: 0,
      sendings: 0,
      token: undefined,
      isProven: this.#provenSources,
    };
  }

  /** Sends an answer; to a source that has not proven its address, only as much as its bytes allow. */
  #send(reply: Reply<A>): void {
    const { dst, header, payload } = reply;
    const { counters, realm } = this.#link;
    if (reply.sendings >= MAX_SENDINGS) {
      counters.countDrop('mbapp.answered_too_often');
      return;
    }
    if (reply.isProven) {
      reply.sendings++;
      this.#dispatch(dst, header, payload, this.#link.partBytes(dst));
      return;
    }
    const partBytes = this.#link.partBytes(dst);
    const credit = MAX_AMPLIFICATION * reply.bytesIn - reply.bytesOut;
    if (wireBytes(payload.length, partBytes) <= credit) {
      reply.sendings++;
      this.#pay(reply, header, payload, partBytes);
    } else if (HEADER_BYTES + TOKEN_BYTES <= credit) {
      reply.token ??= realm.random(TOKEN_BYTES);
      const { origin, counter } = header;
      this.#pay(reply, replyHeader(origin, counter, CODE_ANSWER_TOO_LARGE, reply.token), reply.token, partBytes);
    } else counters.countDrop('mbapp.unproven_source');
  }

  #refuseProof(dst: A, { origin, counter }: Packet): void {
    const header = replyHeader(origin, counter, CODE_ANSWER_TOO_LARGE, EMPTY_BYTES);
    this.#dispatch(dst, header, EMPTY_BYTES, this.#link.partBytes(dst));
  }

  #pay(reply: Reply<A>, header: MessageHeader, payload: Uint8Array, partBytes: number): void {
    reply.bytesOut += wireBytes(payload.length, partBytes);
    this.#dispatch(reply.dst, header, payload, partBytes);
  }

  #dispatch(dst: A, header: MessageHeader, payload: Uint8Array, partBytes: number): void {
    // The asker resends its request when an answer is lost; an answer that cannot be sent is counted.
    const sent = this.#link.send(dst, header, payload, partBytes);
    if (sent !== RESOLVED) sent.catch(() => this.#link.counters.countDrop('mbapp.answer_not_sent'));
  }
}

/** The bytes of a message on the wire below in parts of this size, headers included. */
const wireBytes = (payloadBytes: number, partBytes: number): number =>
  payloadBytes + HEADER_BYTES * Math.max(partCount(payloadBytes, partBytes), 1);

/** The code of a handler's refusal; the code that mbapp uses itself becomes the code of a refusal without details. */
const refusalCode = (code: number): number => (code === CODE_ANSWER_TOO_LARGE ? CODE_REFUSED : code);

/** The header of a reply. If it has more than one part, the sender sets the number of parts. */
function replyHeader(origin: number, counter: number, code: number, { length: sizeBytes }: Uint8Array): MessageHeader {
  return { kind: 'reply', code, origin, counter, sizeBytes, parts: sizeBytes === 0 ? 0 : 1, timeoutMs: 0 };
}
