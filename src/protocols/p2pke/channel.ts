/**
 * A channel: the sessions with one peer, one after the other, and the handshakes that make them. docs/wire/p2pke.md §6.
 *
 * The packet path answers directly: `seal` gives a datagram and `handleDatagram` a message. All else comes out of `poll`.
 */

import { compareBytes, equalBytes, type Bytes } from '../../core/bytes.ts';
import { assertFunction } from '../../core/limits.ts';
import { type Machine, type Millis, type Output } from '../../core/machine.ts';
import { Outbox } from '../../core/outbox.ts';
import { type PublicKey } from '../../core/secure.ts';
import { Attempt } from './attempt.ts';
import {
  resolveChannelLimits,
  type ChannelEvent,
  type ChannelOptions,
  type ChannelTimer,
  type ResolvedChannelLimits,
} from './channel-options.ts';
import {
  COOKIE_BYTES,
  COOKIE_REPLY,
  FIRST_DATA_COUNTER,
  HEADER_BYTES,
  INIT_DONE,
  INIT_HELLO,
  KEEP_ALIVE_STRIDE,
  MAX_COUNTER,
  OVERHEAD_BYTES,
  RESP_DONE,
  RESP_HELLO,
} from './constants.ts';
import { type P2pkeDrop } from './drop-reason.ts';
import { sessionIdOf, verifyInitHello, type VerifiedHello } from './hello.ts';
import { counterOf, decodeCookieReply, decodeInitHello } from './messages.ts';
import { answerSession, initiateSession, type Session } from './session.ts';
import { Slots } from './slots.ts';

/**
 * How long in ms a responder waits for the initiator's first data after it said RespDone. The original goes wrong when
 * data overtakes RespDone (fault P2); it repeats InitDone every 250 ms while it has not seen RespDone, so this much
 * silence says that it has. Initiators of this library send data right behind InitDone and are not waited for.
 */
const HOLD_MS = 400;

/** The side that did not begin a session replaces it when the other has had this much time in ms to, and 15 s are left. */
const RESPONDER_REKEY_MARGIN_MS = 15_000;

const READY: ChannelEvent = { type: 'ready' };
const EXPIRED: ChannelEvent = { type: 'expired' };

/** The sessions with one peer. */
export class Channel implements Machine<Bytes, ChannelEvent> {
  readonly #options: ChannelOptions;
  readonly #limits: ResolvedChannelLimits;
  readonly #slots: Slots;
  readonly #outbox = new Outbox<Bytes, ChannelEvent, ChannelTimer>();
  #nextEndMs: Millis = Infinity;

  #pinned: PublicKey | undefined;
  /** Timestamp of the last handshake that the other side began and completed. */
  #lastTimestamp: Bytes | undefined;

  #lastReceivedMs: Millis = -Infinity;
  #lastSentMs: Millis = -Infinity;
  /** When the first message came that nothing was sent after; undefined when we owe nothing. */
  #owedSinceMs: Millis | undefined;
  /** Silence that is taken for absence; doubles as long as handshakes are all that is ever heard. */
  #staleMs: Millis;
  #heardData = false;
  /** A `seal` was refused because of silence: the next sign of life makes the current session good again. */
  #stalled = false;

  /** Of the handshake begun here last. */
  #attempt = new Attempt();
  /** A handshake begun there that waits for its first data, or for long enough (fault P2). */
  #held: Session | undefined;
  #closed = false;

  /** @throws {TypeError} {RangeError} when a limit is no number or out of range, or the identity or accept is none. */
  constructor(options: ChannelOptions) {
    if (typeof options?.identity?.random !== 'function') {
      throw new TypeError('Cannot make channel: expected an identity of createP2pkeIdentity');
    }
    assertFunction(options.accept, 'accept');
    this.#options = options;
    this.#limits = resolveChannelLimits(options.limits);
    this.#slots = new Slots(this.#limits.rejectAfterMs);
    this.#staleMs = this.#limits.keepAliveTimeoutMs;
  }

  /** The other side's key, once a handshake has proven it; stays when sessions end. */
  get publicKey(): PublicKey | undefined {
    return this.#pinned;
  }

  /** When data or a handshake last came from the other side; -Infinity before. */
  get lastReceivedMs(): Millis {
    return this.#lastReceivedMs;
  }

  /** Timestamp of the last handshake that the other side began and completed. */
  get helloTimestamp(): Bytes | undefined {
    return this.#lastTimestamp;
  }

  /** Whether no session and no handshake is left. */
  get isEmpty(): boolean {
    return !this.#slots.any;
  }

  /** Whether a handshake is under way on which this side acts by itself: it repeats, gives up or holds back. */
  get isHandshaking(): boolean {
    return this.#slots.mine !== undefined || this.#held !== undefined;
  }

  /** Whether a message can be sealed now without a handshake first. */
  isReady(now: Millis): boolean {
    this.#expire(now);
    const { current } = this.#slots;
    return current?.canSeal === true && !this.#isStale(now);
  }

  /**
   * The datagram of a message, to be sent as it is; or `undefined` when that needs a handshake first, which has begun
   * then: `ready` or `failed` follows. Poll after it.
   *
   * @param wallMs - milliseconds since the Unix epoch, for a handshake's timestamp.
   * @param payload - at most 65515 bytes; not kept.
   */
  seal(now: Millis, wallMs: number, payload: Uint8Array): Bytes | undefined {
    if (now >= this.#nextEndMs) this.#expire(now);
    const { current, mine } = this.#slots;
    if (current === undefined || !current.canSeal || this.#isStale(now)) {
      this.#stalled = current !== undefined;
      this.open(now, wallMs);
      return undefined;
    }
    if (mine === undefined && this.#isWorn(now, current)) this.#begin(now, wallMs);
    this.#lastSentMs = now;
    this.#owedSinceMs = undefined;
    const datagram = current.seal(payload);
    if (current === mine) this.#attempt.keep(datagram);
    return datagram;
  }

  /** Sees to it that messages can be sealed: begins a handshake unless that is so, or one is under way. */
  open(now: Millis, wallMs: number): void {
    if (this.#closed || this.isReady(now) || this.#held !== undefined) return;
    if (this.#slots.mine !== undefined && !this.#attempt.refused) return;
    this.#begin(now, wallMs, this.#slots.theirs.length > 0);
  }

  /** Nobody waits any more: a handshake that has no answer yet is given up, without an event. */
  abandon(): void {
    const { mine, current } = this.#slots;
    if (mine?.state !== 'hello_sent' || (current !== undefined && !this.#stalled)) return;
    this.#endMine();
  }

  /** Forgets all sessions. Nothing comes out of a closed channel. */
  close(): void {
    this.#closed = true;
    const slots = this.#slots;
    slots.current = slots.previous = slots.mine = undefined;
    slots.theirs = [];
    this.#held = undefined;
    this.#attempt = new Attempt();
    this.#outbox.clear();
  }

  /**
   * Takes a datagram from the other side; the message in it, or `undefined` when it holds none for the user. Never
   * throws. Poll after it.
   *
   * @param datagram - not kept, not changed.
   * @returns the message in a buffer of its own.
   */
  handleDatagram(now: Millis, wallMs: number, datagram: Uint8Array): Bytes | undefined {
    if (this.#closed) return undefined;
    if (now >= this.#nextEndMs) this.#expire(now);
    const counter = counterOf(datagram);
    if (counter === undefined || datagram.length < OVERHEAD_BYTES) this.#drop('too_short');
    else if (counter >= FIRST_DATA_COUNTER && counter < MAX_COUNTER) {
      return this.#receive(now, wallMs, counter, datagram);
    } else if (counter === INIT_HELLO) this.#handleInitHello(now, datagram);
    else if (counter === RESP_HELLO) this.#handleRespHello(now, datagram);
    else if (counter === INIT_DONE) this.#handleInitDone(now, datagram);
    else if (counter === RESP_DONE) this.#handleRespDone(now, datagram);
    else if (counter === COOKIE_REPLY) this.#handleCookie(now, datagram);
    else this.#drop('malformed');
    return undefined;
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'retransmit') this.#retransmit(now);
      else if (timer === 'give_up') this.#giveUp(now);
      else if (timer === 'hold') this.#release(now);
      else if (timer === 'keep_alive') this.#keepAlive(now);
      else this.#expire(now);
    }
  }

  poll(): Output<Bytes, ChannelEvent> {
    return this.#outbox.poll();
  }

  #drop(reason: P2pkeDrop): void {
    this.#outbox.event({ type: 'dropped', reason });
  }

  /** Silence on both sides for so long that the other may have forgotten us: better ask before sending. */
  #isStale(now: Millis): boolean {
    return now - this.#lastReceivedMs > this.#staleMs && (this.#stalled || now - this.#lastSentMs > this.#staleMs);
  }

  /** Whether a session in use should be replaced: old, full, or never answered. */
  #isWorn(now: Millis, session: Session): boolean {
    const { rekeyAfterMs, rejectAfterMs, rekeyAfterMessages } = this.#limits;
    const age = session.initiator ? rekeyAfterMs : Math.max(rekeyAfterMs, rejectAfterMs - RESPONDER_REKEY_MARGIN_MS);
    return (
      now - session.createdMs >= age ||
      session.nextCounter - FIRST_DATA_COUNTER >= rekeyAfterMessages ||
      now - this.#lastReceivedMs > this.#staleMs
    );
  }

  #receive(now: Millis, wallMs: number, counter: number, datagram: Uint8Array): Bytes | undefined {
    const { current, previous, mine, theirs } = this.#slots;
    const sealed = datagram.subarray(HEADER_BYTES);
    const out = new Uint8Array(datagram.length - OVERHEAD_BYTES);
    let seen = false;
    let early = false;
    for (let i = 0; i < 3 + theirs.length; i++) {
      const session = i === 0 ? current : i === 1 ? previous : i === 2 ? mine : theirs[i - 3];
      if (session === undefined || (i === 2 && session === current)) continue;
      if (!session.canOpen) early = true;
      else if (!session.isFresh(counter)) {
        if (counter === FIRST_DATA_COUNTER && session.isTheirConfirm(sealed)) return undefined;
        seen = true;
      } else if (session.open(counter, sealed, out)) return this.#opened(now, wallMs, session, counter, out);
    }
    this.#drop(seen ? 'replayed' : early ? 'early_data' : 'unknown_session');
    return undefined;
  }

  #opened(now: Millis, wallMs: number, session: Session, counter: number, message: Bytes): Bytes | undefined {
    const slots = this.#slots;
    this.#lastReceivedMs = now;
    this.#heardData = true;
    if (session === slots.mine) this.#confirmed(now, session);
    else if (session !== slots.current && session !== slots.previous) this.#promote(now, session);
    else if (this.#stalled) {
      this.#stalled = false;
      this.#outbox.event(READY);
    }
    if (message.length === 0) {
      const confirm = counter === FIRST_DATA_COUNTER && !session.initiator;
      if (confirm || counter % KEEP_ALIVE_STRIDE === 0) return undefined;
    }
    if (this.#owedSinceMs === undefined) {
      this.#owedSinceMs = now;
      if (!this.#outbox.isArmed('keep_alive')) this.#outbox.arm('keep_alive', now + this.#limits.keepAliveMs);
    }
    if (slots.mine === undefined && session === slots.current && this.#isWorn(now, session)) this.#begin(now, wallMs);
    return message;
  }

  #armEnd(): void {
    this.#nextEndMs = this.#slots.nextEndMs;
    this.#outbox.arm('expire', this.#nextEndMs);
  }

  #expire(now: Millis): void {
    if (now < this.#nextEndMs) return;
    this.#slots.expire(now);
    if (this.#held !== undefined && !this.#slots.theirs.includes(this.#held)) this.#endHold();
    this.#armEnd();
    if (!this.#slots.any) this.#outbox.event(EXPIRED);
  }

  /** Why a proven or claimed key is not this channel's, or `undefined` when it is. */
  #judge(publicKey: PublicKey): 'not_accepted' | 'identity_mismatch' | undefined {
    if (this.#pinned !== undefined) {
      return equalBytes(this.#pinned.spki, publicKey.spki) ? undefined : 'identity_mismatch';
    }
    return this.#options.accept(publicKey) ? undefined : (this.#options.refusal ?? 'not_accepted');
  }

  /** Begins a handshake; `later` leaves one that the other side has begun the time of a repetition. */
  #begin(now: Millis, wallMs: number, later = false): void {
    const { identity } = this.#options;
    const timestamp = identity.timestamps.next(wallMs);
    const session = initiateSession(identity, now, timestamp, identity.random(32));
    this.#slots.mine = session;
    this.#attempt = new Attempt();
    this.#outbox.arm('give_up', now + this.#limits.handshakeTimeoutMs);
    if (later) this.#armRepetition(now, session);
    else this.#retransmit(now);
  }

  #armRepetition(now: Millis, session: Session): void {
    this.#outbox.arm('retransmit', now + this.#attempt.nextIntervalMs(this.#limits.handshakeBackoffMs, session.id));
  }

  #retransmit(now: Millis): void {
    const { mine } = this.#slots;
    if (mine === undefined) return;
    this.#outbox.transmit(mine.message);
    if (mine.confirm !== undefined) this.#outbox.transmit(mine.confirm);
    for (const datagram of this.#attempt.early) this.#outbox.transmit(datagram);
    this.#armRepetition(now, mine);
  }

  #endMine(): void {
    this.#slots.mine = undefined;
    this.#attempt = new Attempt();
    this.#outbox.disarm('retransmit');
    this.#outbox.disarm('give_up');
  }

  #giveUp(now: Millis): void {
    const slots = this.#slots;
    const { mine } = slots;
    if (mine === undefined) return;
    this.#endMine();
    // Not a word all this time: what is left of older sessions can still be read, but is not written to.
    const silent = now - this.#lastReceivedMs > this.#staleMs;
    if (slots.current === mine) slots.current = undefined;
    else if (slots.current !== undefined && silent) {
      slots.previous = slots.current;
      slots.current = undefined;
    }
    this.#armEnd();
    this.#outbox.event({ type: 'failed', reason: 'timeout', publicKey: undefined });
    if (!slots.any) this.#outbox.event(EXPIRED);
  }

  #promote(now: Millis, session: Session): void {
    const slots = this.#slots;
    const { keepAliveTimeoutMs, rekeyAfterMs } = this.#limits;
    const mute = slots.current !== undefined && !this.#heardData;
    this.#staleMs = mute ? Math.min(2 * this.#staleMs, rekeyAfterMs) : keepAliveTimeoutMs;
    slots.promote(session);
    if (session === this.#held) this.#endHold();
    if (!session.initiator) {
      slots.theirs = slots.theirs.filter((other) => compareBytes(other.timestamp, session.timestamp) > 0);
      if (slots.mine?.state === 'hello_sent') this.#endMine();
    }
    this.#heardData = false;
    this.#lastReceivedMs = now;
    this.#stalled = false;
    this.#armEnd();
    this.#outbox.event(READY);
  }

  /** The responder has answered InitDone, with RespDone or with data. */
  #confirmed(now: Millis, session: Session): void {
    this.#outbox.transmit(session.confirm!); // again, the same bytes: should the first have been lost, the original would storm (P1)
    this.#endMine();
    this.#lastReceivedMs = now;
    if (this.#slots.current !== session) this.#promote(now, session);
  }

  #handleInitHello(now: Millis, datagram: Uint8Array): void {
    const id = sessionIdOf(datagram);
    const again = this.#slots.theirs.find((session) => equalBytes(session.id, id));
    if (again?.state === 'hello_answered') return this.#outbox.transmit(again.message);
    if (this.#slots.has(id)) return this.#drop('replayed');
    const parsed = decodeInitHello(datagram);
    if (parsed === undefined) return this.#drop('malformed');
    // What is cheap comes first; a signature check is not.
    if (this.#pinned !== undefined && !equalBytes(this.#pinned.spki, parsed.hello.spki)) {
      return this.#drop('identity_mismatch');
    }
    if (this.#isOld(parsed.hello.timestamp)) return this.#drop('stale_hello');
    const hello = verifyInitHello(datagram, this.#options.identity.registry, parsed);
    if (typeof hello === 'string') return this.#drop(hello);
    return this.handleHello(now, hello);
  }

  #isOld(timestamp: Uint8Array): boolean {
    return this.#lastTimestamp !== undefined && compareBytes(timestamp, this.#lastTimestamp) <= 0;
  }

  /**
   * Answers an InitHello that has been verified already; for who makes a channel only when a first message deserves it.
   * Poll after it.
   */
  handleHello(now: Millis, hello: VerifiedHello): void {
    if (this.#closed) return;
    const refusal = this.#judge(hello.publicKey);
    if (refusal !== undefined) return this.#drop(refusal);
    if (this.#isOld(hello.timestamp)) return this.#drop('stale_hello');
    // Both began: the lower id goes on, on both sides. Ours is repeated by the timer only (fault P1).
    const { mine } = this.#slots;
    if (mine !== undefined && compareBytes(mine.id, hello.sessionId) < 0) return this.#drop('unexpected');
    const { identity } = this.#options;
    const session = answerSession(identity, now, hello, identity.random(32));
    if (session === undefined) return this.#drop('low_order');
    this.#slots.addTheirs(session);
    this.#armEnd();
    this.#outbox.transmit(session.message);
  }

  #handleRespHello(now: Millis, datagram: Uint8Array): void {
    const { mine, current } = this.#slots;
    if (mine?.state !== 'hello_sent') return this.#drop('unexpected');
    if (!this.#attempt.mayRead()) return this.#drop('overloaded');
    const reply = mine.readRespHello(datagram);
    if (typeof reply === 'string') return this.#drop(reply);
    const reason = this.#judge(reply.publicKey);
    if (reason !== undefined) {
      this.#drop(reason);
      if (this.#attempt.refused) return;
      this.#attempt.refused = true; // the handshake goes on: the right one may still answer
      this.#outbox.event({ type: 'failed', reason, publicKey: reply.publicKey });
      return;
    }
    mine.takeReply(reply);
    this.#attempt.refused = false;
    this.#pinned = reply.publicKey;
    this.#attempt.restart();
    this.#retransmit(now);
    this.#outbox.event({ type: 'session', publicKey: reply.publicKey, initiator: true });
    // Messages go right behind InitDone, unless there is a session that is known to work: then they wait for RespDone.
    if (current?.canSeal !== true || this.#stalled) this.#promote(now, mine);
  }

  #handleInitDone(now: Millis, datagram: Uint8Array): void {
    const { theirs, current, previous } = this.#slots;
    for (const session of [...theirs, current, previous]) {
      if (session?.isOwnInitDone(datagram) !== true) continue;
      if (session === this.#held) this.#outbox.arm('hold', now + HOLD_MS);
      return this.#outbox.transmit(session.message);
    }
    let reason: P2pkeDrop = 'unexpected';
    for (const session of theirs) {
      if (session.state !== 'hello_answered') continue;
      const refusal = session.takeInitDone(datagram);
      if (refusal === undefined) return this.#answered(now, session);
      if (refusal !== 'unexpected') reason = refusal;
    }
    return this.#drop(reason);
  }

  /** InitDone was right: the initiator is who it says. */
  #answered(now: Millis, session: Session): void {
    const publicKey = session.publicKey!;
    const refusal = this.#judge(publicKey); // another may have been pinned since InitHello
    if (refusal !== undefined) {
      this.#slots.theirs = this.#slots.theirs.filter((other) => other !== session);
      return this.#drop(refusal);
    }
    this.#pinned = publicKey;
    if (!this.#isOld(session.timestamp)) this.#lastTimestamp = session.timestamp;
    this.#held = session;
    this.#outbox.arm('hold', now + HOLD_MS);
    this.#armEnd();
    this.#outbox.transmit(session.message);
    this.#outbox.event({ type: 'session', publicKey, initiator: false });
  }

  #endHold(): void {
    this.#held = undefined;
    this.#outbox.disarm('hold');
  }

  #release(now: Millis): void {
    if (this.#held === undefined) return;
    this.#outbox.transmit(this.#held.message); // RespDone once more, so that no data comes before it
    this.#promote(now, this.#held);
  }

  #handleRespDone(now: Millis, datagram: Uint8Array): void {
    const { mine } = this.#slots;
    if (mine?.state !== 'done_sent' || !mine.takeRespDone(datagram)) return this.#drop('unexpected');
    return this.#confirmed(now, mine);
  }

  #handleCookie(now: Millis, datagram: Uint8Array): void {
    const { mine } = this.#slots;
    const reply = decodeCookieReply(datagram);
    if (reply === undefined) return this.#drop('malformed');
    const ours = mine?.state === 'hello_sent' && equalBytes(mine.id.subarray(0, COOKIE_BYTES), reply.sessionId);
    if (!ours || !this.#attempt.mayTakeCookie()) return this.#drop('unexpected');
    mine.useCookie(reply.cookie);
    this.#attempt.restart();
    return this.#retransmit(now);
  }

  #keepAlive(now: Millis): void {
    const { current } = this.#slots;
    if (this.#owedSinceMs === undefined) return;
    const due = this.#owedSinceMs + this.#limits.keepAliveMs;
    if (now < due) return this.#outbox.arm('keep_alive', due);
    this.#owedSinceMs = undefined;
    const datagram = current?.canSeal === true ? current.sealKeepAlive() : undefined;
    if (datagram === undefined) return;
    this.#lastSentMs = now;
    this.#outbox.transmit(datagram);
  }
}
