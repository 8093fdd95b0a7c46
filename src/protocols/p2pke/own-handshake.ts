/**
 * The handshake that a channel has begun itself, and its replies: repetition, cookies, time, early data.
 * docs/wire/p2pke.md §6.
 */

import { copyBytes, equalBytes, type Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { Outbox } from '../../base/outbox.ts';
import type { PublicKey } from '../../core/secure.ts';
import { Attempt } from './attempt.ts';
import { READY, type ChannelEvent, type ChannelTimer, type ChannelVerdict } from './channel-options.ts';
import { COOKIE_BYTES, OVERHEAD_BYTES } from './constants.ts';
import type { P2pkeDrop } from './drop-reason.ts';
import { EarlyData } from './early-data.ts';
import type { HandshakeContext } from './handshake-context.ts';
import { decodeCookieReply, decodeTimeReply, type TimeReply } from './messages.ts';
import { initiateSession, type Session, type VerifiedReply } from './session.ts';
import type { Slots } from './slots.ts';
import { tai64nMs } from './tai64n.ts';
import { CLOCK_TOLERANCE_MS } from './time-reply.ts';

/**
 * How long in ms an initiator waits after RespDone for a sign that the other side is of this library and missed no early
 * data. Without it, the data is sent once more: the original drops data that overtakes InitDone, and duplicates.
 */
const REPEAT_MS = 100;

/**
 * How long in ms InitDone is repeated, beyond two round trips, before the handshake starts again: the original may forget a
 * channel between RespHello and InitDone, and then never answers.
 */
const UNANSWERED_MS = 1000;

/** How far in ms ahead of our clock a timestamp may be because of a time reply, which is not authenticated. */
const MAX_AHEAD_MS = 86_400_000;

/** The handshake of the session in `slots.mine`, which this class sets and clears. */
export class OwnHandshake {
  readonly #context: HandshakeContext;
  readonly #slots: Slots;
  readonly #outbox: Outbox<Bytes, ChannelEvent, ChannelTimer>;
  #attempt = new Attempt(0);
  /** A message was refused because enough early data is under way: it waits for RespDone. */
  #crowded = false;
  /** Data sent before RespDone. */
  #early: EarlyData;
  /** The session confirmed last, and its early data until it is sent again or known to have arrived. */
  #unseen: { readonly session: Session; readonly early: EarlyData } | undefined;

  /** A reply whose key the application judges, and its datagram, to recognize repetitions. */
  #judged: { readonly datagram: Bytes; readonly reply: VerifiedReply } | undefined;
  /** How long the reply took. */
  #roundTripMs = 0;
  /** The session for which `clock` was reported. */
  #timed: Session | undefined;

  constructor(context: HandshakeContext) {
    this.#context = context;
    this.#slots = context.slots;
    this.#outbox = context.outbox;
    this.#early = new EarlyData(context.identity.earlyBudget);
  }

  /** Whether it was answered by a key that is not accepted. */
  get isRefused(): boolean {
    return this.#attempt.refused;
  }

  /** Whether one more message of so many bytes may go before RespDone: as many as can be kept for repetition. */
  mayGoEarly(bytes: number): boolean {
    if (this.#early.hasRoom(bytes + OVERHEAD_BYTES)) return true;
    this.#crowded = true;
    return false;
  }

  /** Keeps a datagram that is sent before RespDone. */
  keep(datagram: Bytes): void {
    this.#early.keep(datagram);
  }

  /** Forgets everything; the outbox is cleared by the channel. */
  close(): void {
    this.#unseen?.early.release();
    this.#unseen = this.#timed = undefined;
    this.end();
  }

  /** Begins a handshake. With `later`, InitHello waits for one interval: the other side has begun a handshake too. */
  begin(now: Millis, wallMs: number, later = false): void {
    this.#initiate(now, wallMs);
    this.#outbox.arm('give_up', now + this.#context.limits.handshakeTimeoutMs);
    if (later) this.#armRepetition(now, this.#slots.mine!);
    else this.retransmit(now);
  }

  #initiate(now: Millis, wallMs: number): void {
    const { identity } = this.#context;
    this.#slots.mine = initiateSession(identity, now, identity.timestamps.next(wallMs), identity.random(32));
    this.#attempt = new Attempt(now);
    this.#judged = undefined;
  }

  #armRepetition(now: Millis, session: Session): void {
    this.#outbox.arm(
      'retransmit',
      now + this.#attempt.nextIntervalMs(this.#context.limits.handshakeBackoffMs, session.id),
    );
  }

  /** Repeats the handshake message of the session, with what follows it. */
  retransmit(now: Millis): void {
    const { mine } = this.#slots;
    if (mine === undefined) return;
    if (this.#judged !== undefined) return this.#armRepetition(now, mine); // it has been heard
    if (this.#isForgotten(now, mine)) return this.#beginAgain(now);
    if (mine.state === 'hello_sent' && this.#attempt.mayRenew(now)) {
      mine.renew(this.#context.identity.timestamps.next(this.#context.wallMs(now)));
    }
    for (const message of mine.repeats) this.#outbox.transmit(message);
    if (mine.confirm !== undefined) this.#outbox.transmit(mine.confirm);
    for (const datagram of this.#early.datagrams) this.#outbox.transmit(datagram);
    this.#armRepetition(now, mine);
  }

  /** Not when data was sent with InitDone: that would be lost, or arrive twice. */
  #isForgotten(now: Millis, mine: Session): boolean {
    if (mine.state !== 'done_sent' || this.#slots.current === mine) return false;
    return now - mine.provenMs > UNANSWERED_MS + 2 * this.#roundTripMs;
  }

  /** Begins with another InitHello; the deadline stays. */
  #beginAgain(now: Millis): void {
    this.#initiate(now, this.#context.wallMs(now));
    this.retransmit(now);
  }

  /** Ends the handshake, complete or not. */
  end(): void {
    this.#slots.mine = undefined;
    this.#judged = undefined;
    this.#crowded = false;
    this.#early.release();
    this.#attempt = new Attempt(0);
    this.#outbox.disarm('retransmit');
    this.#outbox.disarm('give_up');
  }

  handleRespHello(now: Millis, datagram: Uint8Array): P2pkeDrop | undefined {
    const { mine } = this.#slots;
    if (mine?.state !== 'hello_sent') return 'unexpected';
    if (this.#judged !== undefined && equalBytes(this.#judged.datagram, datagram)) return undefined;
    if (!this.#attempt.mayRead(now)) return 'overloaded';
    const reply = mine.readRespHello(datagram);
    if (typeof reply === 'string') return reply;
    const verdict = this.#context.judge(reply.publicKey);
    if (verdict !== undefined) {
      this.#roundTripMs = now - mine.createdMs;
      return this.#settle(now, reply, verdict);
    }
    if (this.#judged !== undefined) {
      return equalBytes(this.#judged.reply.publicKey.spki, reply.publicKey.spki) ? undefined : 'overloaded';
    }
    const isAsked = this.#slots.isJudged(reply.publicKey);
    this.#roundTripMs = now - mine.createdMs;
    this.#judged = { datagram: copyBytes(datagram), reply };
    if (!isAsked) this.#context.ask(reply.publicKey, 'responder');
    return undefined;
  }

  /** Whether a reply of this key waits for the application's verdict. */
  isJudged(publicKey: PublicKey): boolean {
    return this.#judged !== undefined && equalBytes(this.#judged.reply.publicKey.spki, publicKey.spki);
  }

  /** The application has judged a key. */
  answer(now: Millis, publicKey: PublicKey, verdict: ChannelVerdict): P2pkeDrop | undefined {
    if (this.#judged === undefined || !this.isJudged(publicKey)) return undefined;
    const { reply } = this.#judged;
    this.#judged = undefined;
    return this.#settle(now, reply, verdict);
  }

  #settle(now: Millis, reply: VerifiedReply, verdict: ChannelVerdict): P2pkeDrop | undefined {
    const { current } = this.#slots;
    const mine = this.#slots.mine!;
    const { publicKey } = reply;
    if (verdict !== 'accepted') {
      if (this.#attempt.refused) return verdict;
      this.#attempt.refused = true; // the handshake continues: the right peer may still reply
      this.#outbox.event({ type: 'failed', reason: verdict, publicKey });
      return verdict;
    }
    mine.takeReply(reply);
    mine.provenMs = now;
    this.#attempt.refused = false;
    this.#context.pin(publicKey);
    this.#attempt.restart();
    this.retransmit(now);
    this.#outbox.event({ type: 'session', publicKey, side: 'responder' });
    // Messages follow InitDone at once, unless there is a working session, or the other side is an original, which may
    // forget the channel before InitDone arrives: then they wait for RespDone.
    const isLost = this.#context.isStale(now) && current?.isOurKind === true;
    if (current?.canSeal !== true || isLost) this.#context.promote(now, mine);
    return undefined;
  }

  handleRespDone(now: Millis, datagram: Uint8Array): P2pkeDrop | undefined {
    const { mine } = this.#slots;
    if (mine?.state !== 'done_sent' || !mine.takeRespDone(datagram)) return 'unexpected';
    this.confirmed(now, mine);
    return undefined;
  }

  /**
   * The other side is of this library: it keeps the session that is in use. A responder has also missed no early data, and gets an
   * acknowledgement of ours.
   */
  handleAcknowledgement(now: Millis, datagram: Uint8Array): P2pkeDrop | undefined {
    const { mine, current, previous } = this.#slots;
    for (const session of [mine, current, previous]) {
      if (session === undefined || session.isOurKind || !session.takeAcknowledgement(datagram)) continue;
      if (session.initiator) this.#outbox.transmit(session.acknowledgement());
      if (session === mine) this.confirmed(now, session);
      return undefined;
    }
    return 'malformed';
  }

  /** A cookie reply or a time reply. Neither is authenticated: any observer of InitHello can make one. */
  handleHint(now: Millis, datagram: Uint8Array): P2pkeDrop | undefined {
    const { mine } = this.#slots;
    const time = decodeTimeReply(datagram);
    if (time !== undefined) return this.#handleTime(now, time);
    const reply = decodeCookieReply(datagram);
    if (reply === undefined) return 'malformed';
    if (mine?.state !== 'hello_sent' || !mine.isOwnHello(reply.sessionId)) return 'unexpected';
    if (!this.#attempt.mayTakeCookie()) return 'overloaded';
    if (mine.useCookie(reply.cookie)) this.#outbox.transmit(mine.message);
    return undefined;
  }

  #handleTime(now: Millis, { sessionId, timestamp }: TimeReply): P2pkeDrop | undefined {
    const { mine, current } = this.#slots;
    const wallMs = this.#context.wallMs(now);
    const differenceMs = tai64nMs(timestamp) - wallMs;
    const isDifferent = Math.abs(differenceMs) >= CLOCK_TOLERANCE_MS;
    if (mine?.state === 'hello_sent' && mine.isOwnHello(sessionId)) {
      if (!this.#attempt.mayMoveTime()) return 'unexpected';
      const isTooFar = differenceMs > MAX_AHEAD_MS;
      if (isDifferent) this.#outbox.event({ type: 'clock', differenceMs, refused: isTooFar });
      if (isTooFar) return undefined;
      mine.renew(this.#context.identity.timestamps.next(Math.max(wallMs, wallMs + differenceMs + 1)));
      for (const message of mine.repeats) this.#outbox.transmit(message);
      return undefined;
    }
    const session = [mine, current].find(
      (each) => each?.initiator === true && equalBytes(each.id.subarray(0, COOKIE_BYTES), sessionId),
    );
    if (session === undefined || session === this.#timed || !isDifferent) return 'unexpected';
    this.#timed = session;
    this.#outbox.event({ type: 'clock', differenceMs, refused: false });
    return undefined;
  }

  /** The responder has answered InitDone, with RespDone or with data. */
  confirmed(now: Millis, session: Session): void {
    this.#outbox.transmit(session.confirm!); // again, the same bytes: should the first have been lost, the original would storm (P1)
    const early = this.#early;
    const crowded = this.#crowded;
    this.#early = new EarlyData(this.#context.identity.earlyBudget);
    this.end();
    this.#context.heard(now);
    if (early.datagrams.length > 0) {
      this.#unseen?.early.release();
      this.#unseen = { session, early };
      this.#outbox.arm('repeat', now + REPEAT_MS);
    }
    if (this.#slots.current !== session) this.#context.promote(now, session);
    else if (crowded) this.#outbox.event(READY);
  }

  /** Sends early data again when the other side has not confirmed that it missed none. */
  repeatEarly(): void {
    const unseen = this.#unseen;
    this.#unseen = undefined;
    if (unseen === undefined) return;
    if (!unseen.session.isOurKind) for (const datagram of unseen.early.datagrams) this.#outbox.transmit(datagram);
    unseen.early.release();
  }
}
