/**
 * A channel: the sessions with one peer, one after the other, and the handshakes that make them. docs/wire/p2pke.md §6.
 *
 * The packet path answers directly: `seal` gives a datagram and `handleDatagram` a message. All else comes out of `poll`.
 */

import { compareBytes, equalBytes, type Bytes } from '../../base/bytes.ts';
import { askFilter } from '../../core/filter.ts';
import { assertFunction } from '../../base/checks.ts';
import { type Machine, type Millis, type Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { type PublicKey } from '../../core/secure.ts';
import {
  READY,
  resolveChannelLimits,
  type ChannelEvent,
  type ChannelOptions,
  type ChannelTimer,
  type ResolvedChannelLimits,
} from './channel-options.ts';
import {
  EXTENSION,
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
import { counterOf, decodeInitHello } from './messages.ts';
import { OwnHandshake } from './own-handshake.ts';
import { answerSession, type Session } from './session.ts';
import { Slots } from './slots.ts';
import { tai64nMs } from './tai64n.ts';
import { CLOCK_TOLERANCE_MS, RefusedHellos, timeReply } from './time-reply.ts';

/**
 * How long in ms a responder waits for the initiator's first data after it said RespDone. The original goes wrong when
 * data overtakes RespDone (fault P2); it repeats InitDone every 250 ms while it has not seen RespDone, so this much
 * silence says that it has. Initiators of this library send data right behind InitDone and are not waited for.
 */
const HOLD_MS = 400;

/**
 * The part of `keepAliveTimeoutMs` after which a session with the original is replaced when something is to be sent: the
 * original forgets a channel 15 s after the last handshake, however much it is used. 14.5 s by default.
 */
const FORGETTING_SHARE = 29 / 30;

/** Hellos that were refused as too old and are known again. */
const MAX_REFUSED = 8;

/** The side that did not begin a session replaces it when the other has had this much time in ms to, and 15 s are left. */
const RESPONDER_REKEY_MARGIN_MS = 15_000;

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
  readonly #refused = new RefusedHellos(MAX_REFUSED);

  #lastReceivedMs: Millis = -Infinity;
  #lastSentMs: Millis = -Infinity;
  /** When the first message came that nothing was sent after; undefined when we owe nothing. */
  #owedSinceMs: Millis | undefined;
  /** A `seal` was refused because of silence: the next sign of life makes the current session good again. */
  #stalled = false;
  /** Milliseconds since the Unix epoch less those of `now`, as last told. */
  #wallOffsetMs = 0;

  readonly #own: OwnHandshake;
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
    this.#own = new OwnHandshake({
      slots: this.#slots,
      outbox: this.#outbox,
      identity: options.identity,
      limits: this.#limits,
      wallMs: (now) => now + this.#wallOffsetMs,
      judge: (publicKey) => this.#judge(publicKey),
      pin: (publicKey) => void (this.#pinned = publicKey),
      heard: (now) => void (this.#lastReceivedMs = now),
      isStale: (now) => this.#isStale(now),
      promote: (now, session) => this.#promote(now, session),
      drop: (reason) => this.#drop(reason),
    });
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
    if (current === mine && !this.#own.mayGoEarly(payload.length)) return undefined;
    if (mine === undefined && this.#isWorn(now, current)) this.#own.begin(now, wallMs);
    this.#lastSentMs = now;
    this.#owedSinceMs = undefined;
    const datagram = current.seal(payload);
    if (current === mine) this.#own.keep(datagram);
    return datagram;
  }

  /** Sees to it that messages can be sealed: begins a handshake unless that is so, or one is under way. */
  open(now: Millis, wallMs: number): void {
    this.#wallOffsetMs = wallMs - now;
    if (this.#closed || this.isReady(now) || this.#held !== undefined) return;
    if (this.#slots.mine !== undefined && !this.#own.isRefused) return;
    this.#own.begin(now, wallMs, this.#slots.theirs.length > 0);
  }

  /** Nobody waits any more: a handshake that has no answer yet is given up, without an event. */
  abandon(): void {
    const { mine, current } = this.#slots;
    if (mine?.state !== 'hello_sent' || (current !== undefined && !this.#stalled)) return;
    this.#own.end();
  }

  /** Forgets all sessions. Nothing comes out of a closed channel. */
  close(): void {
    this.#closed = true;
    const slots = this.#slots;
    slots.current = slots.previous = undefined;
    slots.theirs = [];
    this.#held = undefined;
    this.#own.close();
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
    this.#wallOffsetMs = wallMs - now;
    if (now >= this.#nextEndMs) this.#expire(now);
    const counter = counterOf(datagram);
    if (counter === undefined || datagram.length < OVERHEAD_BYTES) this.#drop('too_short');
    else if (counter >= FIRST_DATA_COUNTER && counter < MAX_COUNTER) {
      return this.#receive(now, wallMs, counter, datagram);
    } else if (counter === INIT_HELLO) this.#handleInitHello(now, datagram);
    else if (counter === RESP_HELLO) this.#own.handleRespHello(now, datagram);
    else if (counter === INIT_DONE) this.#handleInitDone(now, datagram);
    else if (counter === RESP_DONE) this.#own.handleRespDone(now, datagram);
    else if (counter !== EXTENSION) this.#drop('malformed');
    else if (datagram.length === OVERHEAD_BYTES) this.#own.handleAcknowledgement(now, datagram);
    else this.#own.handleHint(now, datagram);
    return undefined;
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'retransmit') this.#own.retransmit(now);
      else if (timer === 'give_up') this.#giveUp(now);
      else if (timer === 'hold') this.#release(now);
      else if (timer === 'repeat') this.#own.repeatEarly();
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

  /** Whether nothing has come for so long that the other side may have gone. */
  #isSilent(now: Millis): boolean {
    return now - this.#lastReceivedMs > this.#limits.keepAliveTimeoutMs;
  }

  /** Whether the other side may have forgotten the session: then a handshake comes before the next message. */
  #isStale(now: Millis): boolean {
    const { keepAliveTimeoutMs } = this.#limits;
    const { current } = this.#slots;
    const isDue = current?.isOurKind === false && now - current.provenMs >= keepAliveTimeoutMs * FORGETTING_SHARE;
    return isDue || (this.#isSilent(now) && (this.#stalled || now - this.#lastSentMs > keepAliveTimeoutMs));
  }

  /** Whether a session in use should be replaced: old, full, or never answered. */
  #isWorn(now: Millis, session: Session): boolean {
    const { rekeyAfterMs, rejectAfterMs, rekeyAfterMessages } = this.#limits;
    const age = session.initiator ? rekeyAfterMs : Math.max(rekeyAfterMs, rejectAfterMs - RESPONDER_REKEY_MARGIN_MS);
    return (
      now - session.createdMs >= age ||
      session.nextCounter - FIRST_DATA_COUNTER >= rekeyAfterMessages ||
      this.#isSilent(now)
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
    if (early && !seen) for (const session of theirs) if (!session.canOpen) session.missedEarly = true;
    this.#drop(seen ? 'replayed' : early ? 'early_data' : 'unknown_session');
    return undefined;
  }

  #opened(now: Millis, wallMs: number, session: Session, counter: number, message: Bytes): Bytes | undefined {
    const slots = this.#slots;
    this.#lastReceivedMs = now;
    const isConfirm = message.length === 0 && counter === FIRST_DATA_COUNTER && !session.initiator;
    const isKeepAlive = message.length === 0 && counter % KEEP_ALIVE_STRIDE === 0;
    if (isKeepAlive) session.isOurKind = true;
    if (session === slots.mine) this.#own.confirmed(now, session);
    else if (session !== slots.current && session !== slots.previous) this.#promote(now, session);
    else if (this.#stalled && !this.#isStale(now)) {
      this.#stalled = false;
      this.#outbox.event(READY);
    }
    if (isConfirm && !session.missedEarly) this.#outbox.transmit(session.acknowledgement());
    if (isConfirm || isKeepAlive) return undefined;
    if (this.#owedSinceMs === undefined) {
      this.#owedSinceMs = now;
      if (!this.#outbox.isArmed('keep_alive')) this.#outbox.arm('keep_alive', now + this.#limits.keepAliveMs);
    }
    if (slots.mine === undefined && session === slots.current && this.#isWorn(now, session))
      this.#own.begin(now, wallMs);
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
    if (askFilter(() => this.#options.accept(publicKey)) === true) return undefined;
    return this.#options.refusal ?? 'not_accepted';
  }

  #giveUp(now: Millis): void {
    const slots = this.#slots;
    const { mine } = slots;
    if (mine === undefined) return;
    this.#own.end();
    // Not a word all this time: what is left of older sessions can still be read, but is not written to.
    if (slots.current === mine) slots.current = undefined;
    else if (slots.current !== undefined && this.#isSilent(now)) {
      slots.previous = slots.current;
      slots.current = undefined;
    } else if (slots.current !== undefined) slots.current.provenMs = now; // it is heard of, so it is used on
    this.#armEnd();
    this.#outbox.event({ type: 'failed', reason: 'timeout', publicKey: undefined });
    if (this.#stalled && slots.current?.canSeal === true) {
      this.#stalled = false;
      this.#outbox.event(READY);
    }
    if (!slots.any) this.#outbox.event(EXPIRED);
  }

  #promote(now: Millis, session: Session): void {
    const slots = this.#slots;
    slots.promote(session);
    if (session === this.#held) this.#endHold();
    if (!session.initiator) {
      slots.theirs = slots.theirs.filter((other) => compareBytes(other.timestamp, session.timestamp) > 0);
      if (slots.mine?.state === 'hello_sent') this.#own.end();
    }
    this.#lastReceivedMs = now;
    this.#stalled = false;
    this.#armEnd();
    this.#outbox.event(READY);
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
    if (this.#isOld(parsed.hello.timestamp)) return this.#refuseOld(now, id);
    const hello = verifyInitHello(datagram, this.#options.identity.registry, parsed);
    if (typeof hello === 'string') return this.#drop(hello);
    return this.handleHello(now, now + this.#wallOffsetMs, hello);
  }

  /** Tells a peer whose clock went back which time its hellos have to exceed. */
  #refuseOld(now: Millis, id: Uint8Array): void {
    this.#drop('stale_hello');
    if (this.#refused.isAgain(id)) this.#outbox.transmit(timeReply(id, now + this.#wallOffsetMs, this.#lastTimestamp));
  }

  #isOld(timestamp: Uint8Array): boolean {
    return this.#lastTimestamp !== undefined && compareBytes(timestamp, this.#lastTimestamp) <= 0;
  }

  /**
   * Answers an InitHello that has been verified already; for who makes a channel only when a first message deserves it.
   * Poll after it.
   */
  handleHello(now: Millis, wallMs: number, hello: VerifiedHello): void {
    if (this.#closed) return;
    this.#wallOffsetMs = wallMs - now;
    const refusal = this.#judge(hello.publicKey);
    if (refusal !== undefined) return this.#drop(refusal);
    if (this.#isOld(hello.timestamp)) return this.#refuseOld(now, hello.sessionId);
    // Both began: the lower id goes on, on both sides. Ours is repeated by the timer only (fault P1).
    const { mine } = this.#slots;
    if (mine !== undefined && compareBytes(mine.id, hello.sessionId) < 0) return this.#drop('unexpected');
    if (!this.#slots.makeRoom(hello.timestamp)) return this.#drop('overloaded');
    const { identity } = this.#options;
    const session = answerSession(identity, now, hello, identity.random(32));
    if (session === undefined) return this.#drop('low_order');
    this.#slots.addTheirs(session);
    this.#armEnd();
    this.#outbox.transmit(session.message);
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
    session.provenMs = now;
    if (!this.#isOld(session.timestamp)) this.#lastTimestamp = session.timestamp;
    this.#held = session;
    this.#outbox.arm('hold', now + HOLD_MS);
    this.#armEnd();
    this.#outbox.transmit(session.message);
    const wallMs = now + this.#wallOffsetMs;
    const differenceMs = tai64nMs(session.timestamp) - wallMs;
    if (Math.abs(differenceMs) >= CLOCK_TOLERANCE_MS) {
      this.#outbox.transmit(timeReply(session.id, wallMs, undefined));
      this.#outbox.event({ type: 'clock', differenceMs, refused: false });
    }
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
