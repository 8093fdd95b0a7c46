/** The asking side: matches answers to asks, and resends requests. */

import type { Addr } from '../../core/addr.ts';
import { type AskOptions, DEFAULT_ASK_TIMEOUT_MS } from '../../core/ask.ts';
import { type Bytes, copyBytes } from '../../base/bytes.ts';
import { P2PError, Refusal } from '../../core/errors.ts';
import type { Realm, Timer } from '../../core/realm.ts';
import { type SeededRandom, createSeededRandom } from '../../base/seeded-random.ts';
import { RESOLVED } from '../../runtime/promises.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import type { CounterSet } from '../../swarm-kit/counter-set.ts';
import { type Wait, Waits } from '../../runtime/waits.ts';
import {
  CODE_ANSWER_TOO_LARGE,
  type MessageHeader,
  NO_DEADLINE_MS,
  type Packet,
  TOKEN_BYTES,
} from '../../protocols/mbapp/header.ts';
import type { ResolvedMbapp } from './options.ts';

/** What both sides of an ask need from the swarm. */
export interface MbappLink<A extends Addr> {
  readonly realm: Realm;
  readonly counters: CounterSet;
  /** The maximum payload of one packet after the header: depends on the MTU below, which may change. */
  readonly partBytes: (dst: A) => number;
  /** @param partBytes - the current result of `partBytes`. */
  readonly send: (dst: A, header: MessageHeader, payload: Uint8Array, partBytes: number) => Promise<void>;
}

/** One call of `ask`. */
export interface AskCall<A extends Addr> {
  readonly dst: A;
  readonly request: Uint8Array;
  readonly options: AskOptions | undefined;
  readonly maxResponseBytes: number;
  /** The current result of {@link MbappLink.partBytes}. */
  readonly partBytes: number;
  /** Creates the header of the request. */
  readonly header: (timeoutMs: number) => MessageHeader;
}

interface PendingAsk<A extends Addr> {
  readonly dst: A;
  readonly maxResponseBytes: number;
  /**
   * The packet that is sent and resent: the request, or, once the server has asked for it, the proof of this side's
   * address.
   */
  header: MessageHeader;
  payload: Uint8Array;
  readonly wait: Wait<Bytes>;
}

/**
 * Each pause is shortened by up to this share, so that askers with simultaneous losses do not resend simultaneously.
 */
const RESEND_JITTER = 0.2;

/** The number of finished asks remembered, to distinguish a duplicate answer from one without an ask. */
const MAX_FINISHED = 1024;

/** The asks of one swarm that wait for answers. */
export class Asker<A extends Addr> {
  readonly #link: MbappLink<A>;
  readonly #options: ResolvedMbapp;
  readonly #waits: Waits;
  /** Seeded once from the realm: one realm call per ask would cost as much as a cipher. */
  readonly #jitter: SeededRandom;
  /** By counter. Bounded by the pending calls. */
  readonly #pending = new Map<number, PendingAsk<A>>();
  /** Counters, oldest first. Bounded by {@link MAX_FINISHED}. */
  readonly #finished = new Set<number>();
  /** One permanent iterator: a new one would have to skip all deleted entries. */
  readonly #oldestFinished = this.#finished.values();

  constructor(link: MbappLink<A>, options: ResolvedMbapp) {
    this.#link = link;
    this.#options = options;
    this.#waits = new Waits(link.realm);
    this.#jitter = createSeededRandom(link.realm.random(16).join('.'));
  }

  get size(): number {
    return this.#pending.size;
  }

  ask(call: AskCall<A>): Promise<Bytes> {
    const { dst, options, maxResponseBytes, partBytes } = call;
    const timeoutMs = options?.timeoutMs ?? DEFAULT_ASK_TIMEOUT_MS;
    const what = (): string => `ask ${dst.text}`;
    return this.#waits.wait<Bytes>({ what, call: options, defaultTimeoutMs: timeoutMs }, (wait) => {
      const header = call.header(Math.min(Math.ceil(timeoutMs), NO_DEADLINE_MS));
      // The request is used after the call has returned, and the caller may change it before the ask settles.
      const request = this.#options.resends ? copyBytes(call.request) : call.request;
      const pending = { dst, maxResponseBytes, header, payload: request, wait };
      this.#pending.set(header.counter, pending);
      this.#link.counters.countSent(request.length);
      const resending = this.#sendUntilAnswered(pending, partBytes);
      return () => {
        resending.stop();
        this.#pending.delete(header.counter);
        this.#finish(header.counter);
      };
    });
  }

  /** Whether a reply, or a part of one, is expected from this source; counts a drop if not. */
  expects(src: A, { counter, origin, sizeBytes }: Packet): boolean {
    const { counters } = this.#link;
    const pending = this.#pending.get(counter);
    if (pending === undefined || pending.header.origin !== origin) {
      counters.countDrop(this.#finished.has(counter) ? 'mbapp.duplicate_reply' : 'mbapp.unexpected_reply');
      return false;
    }
    if (pending.dst.text !== src.text) {
      counters.countDrop('mbapp.wrong_peer');
      return false;
    }
    const { maxResponseBytes, wait, dst } = pending;
    if (sizeBytes <= maxResponseBytes) return true;
    const sizes = `${sizeBytes} bytes, limit is ${maxResponseBytes} bytes`;
    wait.reject(new P2PError('limit_exceeded', 'remote', `Cannot ask ${dst.text}: the answer has ${sizes}`));
    return false;
  }

  /** Handles a complete reply that {@link Asker.expects} accepted. */
  handleReply({ counter, code }: Packet, payload: Bytes): void {
    const pending = this.#pending.get(counter);
    if (pending === undefined) return;
    const { wait, dst } = pending;
    if (code === 0) {
      this.#link.counters.countReceived(payload.length);
      wait.resolve(payload);
    } else if (code === CODE_ANSWER_TOO_LARGE && payload.length === TOKEN_BYTES) {
      pending.header = { ...pending.header, code, sizeBytes: TOKEN_BYTES, parts: 1 };
      pending.payload = payload;
      const failed = (): void => this.#link.counters.countDrop('mbapp.proof_not_sent');
      this.#link.send(dst, pending.header, payload, this.#link.partBytes(dst)).catch(failed);
    } else if (code === CODE_ANSWER_TOO_LARGE) {
      wait.reject(
        new P2PError('limit_exceeded', 'remote', `Cannot ask ${dst.text}: the answer is too large to be sent`),
      );
    } else {
      const cause = new Refusal('refused', payload.length === 0 ? undefined : payload, code);
      wait.reject(new P2PError('refused', 'remote', `Cannot ask ${dst.text}: refused with code ${code}`, { cause }));
    }
  }

  /** Rejects all waiting asks with `closed`. */
  close(): void {
    this.#waits.close();
  }

  /**
   * Sends a request, and resends it with growing pauses, until it is stopped. If the first send fails, the ask fails.
   */
  #sendUntilAnswered(pending: PendingAsk<A>, partBytes: number): { readonly stop: () => void } {
    const { realm, send, partBytes: partBytesTo } = this.#link;
    const { resendAfterMs, maxResendMs } = this.#options.limits;
    let stopped = false;
    let timer: Timer | undefined;
    const again = (pauseMs: number): void => {
      if (stopped || !this.#options.resends) return;
      const shortened = pauseMs * (1 - RESEND_JITTER * this.#jitter.next());
      timer = clockOf(realm).setTimer(realm.nowMs() + shortened, () => {
        const next = Math.min(2 * pauseMs, maxResendMs);
        // A failed resend may work at the next try; permanent errors were reported by the first send.
        send(pending.dst, pending.header, pending.payload, partBytesTo(pending.dst)).then(
          () => again(next),
          () => again(next),
        );
      });
    };
    const { dst, header, payload } = pending;
    const sent = send(dst, header, payload, partBytes);
    if (sent === RESOLVED) again(resendAfterMs);
    else sent.then(() => again(resendAfterMs), pending.wait.reject);
    return {
      stop: () => {
        stopped = true;
        timer?.cancel();
      },
    };
  }

  #finish(counter: number): void {
    this.#finished.add(counter);
    if (this.#finished.size > MAX_FINISHED) this.#finished.delete(this.#oldestFinished.next().value!);
  }
}
