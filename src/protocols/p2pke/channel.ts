/**
 * A channel: the sessions with one peer, one after the other, and their handshakes. docs/wire/p2pke.md §6.
 *
 * The packet path returns its results: `seal` a datagram, `handleDatagram` a message or why the datagram was dropped. Everything else
 * comes from `poll`.
 */

import { allocMessage, compareBytes, equalBytes, type Bytes } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import type { PublicKey } from '../../core/secure.ts';
import {
  READY,
  resolveChannelLimits,
  type ChannelEvent,
  type ChannelOptions,
  type ChannelTimer,
  type ChannelVerdict,
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
import type { P2pkeDrop } from './drop-reason.ts';
import type { HandshakeContext } from './handshake-context.ts';
import type { VerifiedHello } from './hello.ts';
import type { P2pkeIdentity } from './identity.ts';
import { counterOf } from './messages.ts';
import { Liveness } from './liveness.ts';
import { OwnHandshake } from './own-handshake.ts';
import type { Session } from './session.ts';
import { Slots } from './slots.ts';
import { TheirHandshakes } from './their-handshakes.ts';

const EXPIRED: ChannelEvent = { type: 'expired' };

/** The sessions with one peer. */
export class Channel implements Machine<Bytes, ChannelEvent> {
  readonly #limits: ResolvedChannelLimits;
  readonly #slots: Slots;
  readonly #outbox = new Outbox<Bytes, ChannelEvent, ChannelTimer>();
  #nextEndMs: Millis = Infinity;

  #pinned: PublicKey | undefined;
  /** The key that the application has accepted; it stays when sessions end. */
  #accepted: PublicKey | undefined;

  readonly #liveness: Liveness;
  /** Milliseconds since the Unix epoch less those of `now`, as last told. */
  #wallOffsetMs = 0;

  readonly #own: OwnHandshake;
  readonly #theirs: TheirHandshakes;
  #closed = false;

  /** @throws {TypeError} {RangeError} for a limit that is not a number or out of range, or an invalid identity. */
  constructor(options: ChannelOptions) {
    if (typeof options?.identity?.random !== 'function') {
      throw new TypeError('Cannot make channel: expected an identity of createP2pkeIdentity');
    }
    this.#limits = resolveChannelLimits(options.limits);
    this.#liveness = new Liveness(this.#limits);
    this.#slots = new Slots(this.#limits.rejectAfterMs);
    const context = this.#context(options.identity);
    this.#own = new OwnHandshake(context);
    this.#theirs = new TheirHandshakes(context);
  }

  #context(identity: P2pkeIdentity): HandshakeContext {
    const pinned = (): PublicKey | undefined => this.#pinned;
    return {
      slots: this.#slots,
      outbox: this.#outbox,
      identity,
      limits: this.#limits,
      get pinned() {
        return pinned();
      },
      wallMs: (now) => now + this.#wallOffsetMs,
      judge: (publicKey) => this.#judge(publicKey),
      ask: (publicKey, side) => this.#outbox.event({ type: 'accept', publicKey, side }),
      isReplyJudged: (publicKey) => this.#own.isJudged(publicKey),
      pin: (publicKey) => void (this.#pinned = publicKey),
      heard: (now) => void (this.#liveness.lastReceivedMs = now),
      isStale: (now) => this.#liveness.isStale(now, this.#slots.current),
      promote: (now, session) => this.#promote(now, session),
      armEnd: () => this.#armEnd(),
    };
  }

  /** The other side's key, once a handshake has proven it; stays when sessions end. */
  get publicKey(): PublicKey | undefined {
    return this.#pinned;
  }

  /** When data or a handshake last came from the other side; -Infinity before. */
  get lastReceivedMs(): Millis {
    return this.#liveness.lastReceivedMs;
  }

  /** Timestamp of the last handshake that the other side began and completed. */
  get helloTimestamp(): Bytes | undefined {
    return this.#theirs.lastTimestamp;
  }

  /** Whether no session and no handshake is left. */
  get isEmpty(): boolean {
    return !this.#slots.any;
  }

  /** Whether a handshake is under way for which this side has a timer: it repeats, gives up or waits. */
  get isHandshaking(): boolean {
    return this.#slots.mine !== undefined || this.#theirs.held !== undefined;
  }

  /** Whether a message can be sealed now without a handshake first. */
  isReady(now: Millis): boolean {
    this.#expire(now);
    const { current } = this.#slots;
    return current?.canSeal === true && !this.#liveness.isStale(now, current);
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
    if (current === undefined || !current.canSeal || this.#liveness.isStale(now, current)) {
      this.#liveness.isStalled = current !== undefined;
      this.open(now, wallMs);
      return undefined;
    }
    if (current === mine && !this.#own.mayGoEarly(payload.length)) return undefined;
    if (mine === undefined && this.#liveness.isWorn(now, current)) this.#own.begin(now, wallMs);
    this.#liveness.sent(now);
    const datagram = current.seal(payload);
    if (current === mine) this.#own.keep(datagram);
    return datagram;
  }

  /** Begins a handshake, unless messages can be sealed or one is under way. */
  open(now: Millis, wallMs: number): void {
    this.#wallOffsetMs = wallMs - now;
    if (this.#closed || this.isReady(now) || this.#theirs.held !== undefined) return;
    if (this.#slots.mine !== undefined && !this.#own.isRefused) return;
    this.#own.begin(now, wallMs, this.#slots.theirs.length + this.#slots.claims.length > 0);
  }

  /** The last waiting call has ended: cancels a handshake without a reply, without an event. */
  abandon(): void {
    const { mine, current } = this.#slots;
    if (mine?.state !== 'hello_sent' || (current !== undefined && !this.#liveness.isStalled)) return;
    this.#own.end();
  }

  /** Forgets all sessions. Nothing comes out of a closed channel. */
  close(): void {
    this.#closed = true;
    const slots = this.#slots;
    slots.current = slots.previous = undefined;
    slots.theirs = [];
    slots.claims = [];
    this.#theirs.endHold();
    this.#own.close();
    this.#outbox.clear();
  }

  /**
   * Takes a datagram from the other side. Never throws. Poll after it.
   *
   * @param datagram - not kept, not changed.
   * @returns the message in it, which may be a view into a larger buffer; why the datagram was dropped; or `undefined` when it was valid and
   *   has no message for the user.
   */
  handleDatagram(now: Millis, wallMs: number, datagram: Uint8Array): Bytes | P2pkeDrop | undefined {
    if (this.#closed) return undefined;
    this.#wallOffsetMs = wallMs - now;
    if (now >= this.#nextEndMs) this.#expire(now);
    const counter = counterOf(datagram);
    if (counter === undefined || datagram.length < OVERHEAD_BYTES) return 'too_short';
    if (counter >= FIRST_DATA_COUNTER && counter < MAX_COUNTER) return this.#receive(now, wallMs, counter, datagram);
    switch (counter) {
      case INIT_HELLO:
        return this.#theirs.handleInitHello(now, datagram);
      case RESP_HELLO:
        return this.#own.handleRespHello(now, datagram);
      case INIT_DONE:
        return this.#theirs.handleInitDone(now, datagram);
      case RESP_DONE:
        return this.#own.handleRespDone(now, datagram);
      case EXTENSION:
        if (datagram.length === OVERHEAD_BYTES) return this.#own.handleAcknowledgement(now, datagram);
        return this.#own.handleHint(now, datagram);
      default:
        return 'malformed';
    }
  }

  /**
   * Takes an InitHello that has been verified already, for callers that make a channel only after that check. Poll after it.
   *
   * @returns why it was dropped, if it was.
   */
  handleHello(now: Millis, wallMs: number, hello: VerifiedHello): P2pkeDrop | undefined {
    if (this.#closed) return undefined;
    this.#wallOffsetMs = wallMs - now;
    return this.#theirs.handleHello(now, hello);
  }

  /**
   * Answers an `accept` event: the hellos that waited for it are processed, or forgotten. A yes holds as long as the channel. Without an
   * answer they are forgotten after 15 s, or with the handshake. Poll after it.
   *
   * @param publicKey - of the event.
   * @returns what a refusal is counted as, or why a hello could not be answered; `undefined` also when no hello waits.
   */
  answer(now: Millis, wallMs: number, publicKey: PublicKey, verdict: ChannelVerdict): P2pkeDrop | undefined {
    if (this.#closed) return undefined;
    this.#wallOffsetMs = wallMs - now;
    if (now >= this.#nextEndMs) this.#expire(now);
    const known = this.#judge(publicKey) ?? verdict; // another may have been pinned meanwhile
    if (known === 'accepted') this.#accepted = publicKey;
    const refusal = known === 'accepted' ? undefined : known;
    const own = this.#own.answer(now, publicKey, known);
    const theirs = this.#theirs.answer(now, publicKey, refusal);
    return own ?? theirs;
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'retransmit') this.#own.retransmit(now);
      else if (timer === 'give_up') this.#giveUp(now);
      else if (timer === 'hold') this.#theirs.release(now);
      else if (timer === 'repeat') this.#own.repeatEarly();
      else if (timer === 'keep_alive') this.#keepAlive(now);
      else this.#expire(now);
    }
  }

  poll(): Output<Bytes, ChannelEvent> {
    return this.#outbox.poll();
  }

  #receive(now: Millis, wallMs: number, counter: number, datagram: Uint8Array): Bytes | P2pkeDrop | undefined {
    const { current, previous, mine, theirs } = this.#slots;
    // A view by hand: `subarray` looks up the species, at each datagram.
    const sealed = new Uint8Array(datagram.buffer, datagram.byteOffset + HEADER_BYTES, datagram.length - HEADER_BYTES);
    const out = allocMessage(datagram.length - OVERHEAD_BYTES);
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
    return seen ? 'replayed' : early ? 'early_data' : 'unknown_session';
  }

  #opened(now: Millis, wallMs: number, session: Session, counter: number, message: Bytes): Bytes | undefined {
    const slots = this.#slots;
    this.#liveness.lastReceivedMs = now;
    const isConfirm = message.length === 0 && counter === FIRST_DATA_COUNTER && !session.initiator;
    const isKeepAlive = message.length === 0 && counter % KEEP_ALIVE_STRIDE === 0;
    if (isKeepAlive) session.isOurKind = true;
    if (session === slots.mine) this.#own.confirmed(now, session);
    else if (session !== slots.current && session !== slots.previous) this.#promote(now, session);
    else if (this.#liveness.isStalled && !this.#liveness.isStale(now, slots.current)) {
      this.#liveness.isStalled = false;
      this.#outbox.event(READY);
    }
    if (isConfirm && !session.missedEarly) this.#outbox.transmit(session.acknowledgement());
    if (isConfirm || isKeepAlive) return undefined;
    if (this.#liveness.owedSinceMs === undefined) {
      this.#liveness.owedSinceMs = now;
      if (!this.#outbox.isArmed('keep_alive')) this.#outbox.arm('keep_alive', now + this.#limits.keepAliveMs);
    }
    if (slots.mine === undefined && session === slots.current && this.#liveness.isWorn(now, session))
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
    const { held } = this.#theirs;
    if (held !== undefined && !this.#slots.theirs.includes(held)) this.#theirs.endHold();
    this.#armEnd();
    if (!this.#slots.any) this.#outbox.event(EXPIRED);
  }

  /** What is known of a key; `undefined` when the application has to be asked. */
  #judge({ spki }: PublicKey): ChannelVerdict | undefined {
    if (this.#pinned !== undefined) return equalBytes(this.#pinned.spki, spki) ? 'accepted' : 'identity_mismatch';
    return this.#accepted !== undefined && equalBytes(this.#accepted.spki, spki) ? 'accepted' : undefined;
  }

  #giveUp(now: Millis): void {
    const slots = this.#slots;
    const { mine } = slots;
    if (mine === undefined) return;
    this.#own.end();
    // Nothing was received all this time: older sessions can still be read, and are not written to.
    if (slots.current === mine) slots.current = undefined;
    else if (slots.current !== undefined && this.#liveness.isSilent(now)) {
      slots.previous = slots.current;
      slots.current = undefined;
    } else if (slots.current !== undefined) slots.current.provenMs = now; // it is heard of, so it is used on
    this.#armEnd();
    this.#outbox.event({ type: 'failed', reason: 'timeout', publicKey: undefined });
    if (this.#liveness.isStalled && slots.current?.canSeal === true) {
      this.#liveness.isStalled = false;
      this.#outbox.event(READY);
    }
    if (!slots.any) this.#outbox.event(EXPIRED);
  }

  #promote(now: Millis, session: Session): void {
    const slots = this.#slots;
    slots.promote(session);
    if (session === this.#theirs.held) this.#theirs.endHold();
    if (!session.initiator) {
      slots.theirs = slots.theirs.filter((other) => compareBytes(other.timestamp, session.timestamp) > 0);
      if (slots.mine?.state === 'hello_sent') this.#own.end();
    }
    this.#liveness.lastReceivedMs = now;
    this.#liveness.isStalled = false;
    this.#armEnd();
    this.#outbox.event(READY);
  }

  #keepAlive(now: Millis): void {
    const { current } = this.#slots;
    if (this.#liveness.owedSinceMs === undefined) return;
    const due = this.#liveness.owedSinceMs + this.#limits.keepAliveMs;
    if (now < due) return this.#outbox.arm('keep_alive', due);
    this.#liveness.owedSinceMs = undefined;
    const datagram = current?.canSeal === true ? current.sealKeepAlive() : undefined;
    if (datagram === undefined) return;
    this.#liveness.sent(now);
    this.#outbox.transmit(datagram);
  }
}
