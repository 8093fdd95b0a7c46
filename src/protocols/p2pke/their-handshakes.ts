/** The handshakes that the other side has begun: hellos, the application's verdict, InitDone. docs/wire/p2pke.md §6. */

import { compareBytes, equalBytes, type Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { Outbox } from '../../base/outbox.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { ChannelEvent, ChannelTimer } from './channel-options.ts';
import type { HandshakeContext } from './handshake-context.ts';
import type { P2pkeDrop } from './drop-reason.ts';
import { sessionIdOf, verifyInitHello, type VerifiedHello } from './hello.ts';
import { decodeInitHello } from './messages.ts';
import { answerSession, type Session } from './session.ts';
import type { Slots } from './slots.ts';
import { tai64nMs } from './tai64n.ts';
import { CLOCK_TOLERANCE_MS, RefusedHellos, timeReply } from './time-reply.ts';

/**
 * How long in ms a responder waits for the initiator's first data after it sent RespDone. The original fails when
 * data overtakes RespDone (fault P2). It repeats InitDone every 250 ms until it has seen RespDone, so after this much
 * silence it has. Initiators of this library send data right after InitDone, so the responder does not wait for them.
 */
const HOLD_MS = 400;

/** How many hellos are remembered that were refused as too old. */
const MAX_REFUSED = 8;

/** What is known of `slots.theirs` and `slots.claims`, which this class fills. */
export class TheirHandshakes {
  readonly #context: HandshakeContext;
  readonly #slots: Slots;
  readonly #outbox: Outbox<Bytes, ChannelEvent, ChannelTimer>;
  readonly #refused = new RefusedHellos(MAX_REFUSED);
  /** Timestamp of the last handshake that the other side began and completed. */
  #lastTimestamp: Bytes | undefined;
  /** A handshake that waits for its first data, or for `HOLD_MS` (fault P2). */
  #held: Session | undefined;

  constructor(context: HandshakeContext) {
    this.#context = context;
    this.#slots = context.slots;
    this.#outbox = context.outbox;
  }

  /** Timestamp of the last handshake that the other side began and completed. */
  get lastTimestamp(): Bytes | undefined {
    return this.#lastTimestamp;
  }

  /** The handshake that waits for its first data. */
  get held(): Session | undefined {
    return this.#held;
  }

  handleInitHello(now: Millis, datagram: Uint8Array): P2pkeDrop | undefined {
    const id = sessionIdOf(datagram);
    const again = this.#slots.theirs.find((session) => equalBytes(session.id, id));
    if (again?.state === 'hello_answered') {
      this.#outbox.transmit(again.message);
      return undefined;
    }
    if (this.#slots.claims.some(({ hello }) => equalBytes(hello.sessionId, id))) return undefined; // it is being judged
    if (this.#slots.has(id)) return 'replayed';
    const parsed = decodeInitHello(datagram);
    if (parsed === undefined) return 'malformed';
    // Cheap checks come before that of the signature.
    const { pinned, identity } = this.#context;
    if (pinned !== undefined && !equalBytes(pinned.spki, parsed.hello.spki)) return 'identity_mismatch';
    if (this.#isOld(parsed.hello.timestamp)) return this.#refuseOld(now, id);
    const hello = verifyInitHello(datagram, identity.registry, parsed);
    return typeof hello === 'string' ? hello : this.handleHello(now, hello);
  }

  /** Answers a hello that has been verified, once its key is accepted. */
  handleHello(now: Millis, hello: VerifiedHello): P2pkeDrop | undefined {
    const { publicKey } = hello;
    const verdict = this.#context.judge(publicKey);
    if (verdict === 'accepted') return this.#reply(now, hello);
    if (verdict !== undefined) return verdict;
    const refusal = this.#refusal(now, hello);
    if (refusal !== undefined) return refusal;
    const isAsked = this.#slots.isJudged(publicKey) || this.#context.isReplyJudged(publicKey);
    if (!this.#slots.addClaim(now, hello)) return 'overloaded';
    this.#context.armEnd();
    if (!isAsked) this.#context.ask(publicKey, 'initiator');
    return undefined;
  }

  /** The application has judged a key. @returns why the last hello of that key is not answered */
  answer(now: Millis, publicKey: PublicKey, refusal: P2pkeDrop | undefined): P2pkeDrop | undefined {
    let reason: P2pkeDrop | undefined;
    for (const hello of this.#slots.takeClaims(publicKey)) reason = refusal ?? this.#reply(now, hello);
    this.#context.armEnd();
    return reason;
  }

  handleInitDone(now: Millis, datagram: Uint8Array): P2pkeDrop | undefined {
    const { theirs, current, previous } = this.#slots;
    for (const session of [...theirs, current, previous]) {
      if (session?.isOwnInitDone(datagram) !== true) continue;
      if (session === this.#held) this.#outbox.arm('hold', now + HOLD_MS);
      this.#outbox.transmit(session.message);
      return undefined;
    }
    let reason: P2pkeDrop = 'unexpected';
    for (const session of theirs) {
      if (session.state !== 'hello_answered') continue;
      const refusal = session.takeInitDone(datagram);
      if (refusal === undefined) return this.#answered(now, session);
      if (refusal !== 'unexpected') reason = refusal;
    }
    return reason;
  }

  endHold(): void {
    this.#held = undefined;
    this.#outbox.disarm('hold');
  }

  /** The initiator has sent nothing for long enough: it has RespDone, so data may follow. */
  release(now: Millis): void {
    if (this.#held === undefined) return;
    this.#outbox.transmit(this.#held.message); // RespDone once more, so that no data comes before it
    this.#context.promote(now, this.#held);
  }

  #isOld(timestamp: Uint8Array): boolean {
    return this.#lastTimestamp !== undefined && compareBytes(timestamp, this.#lastTimestamp) <= 0;
  }

  /** Sends a peer whose clock went back the time that its hellos have to exceed. */
  #refuseOld(now: Millis, id: Uint8Array): P2pkeDrop {
    if (this.#refused.isAgain(id)) {
      this.#outbox.transmit(timeReply(id, this.#context.wallMs(now), this.#lastTimestamp));
    }
    return 'stale_hello';
  }

  /** Why a hello of a key that may be accepted is not answered. */
  #refusal(now: Millis, hello: VerifiedHello): P2pkeDrop | undefined {
    if (this.#isOld(hello.timestamp)) return this.#refuseOld(now, hello.sessionId);
    // Both began: both sides continue the one with the lower id. Ours is repeated by the timer only (fault P1).
    const { mine } = this.#slots;
    return mine !== undefined && compareBytes(mine.id, hello.sessionId) < 0 ? 'unexpected' : undefined;
  }

  #reply(now: Millis, hello: VerifiedHello): P2pkeDrop | undefined {
    const refusal = this.#refusal(now, hello);
    if (refusal !== undefined) return refusal;
    if (!this.#slots.makeRoom(hello.timestamp)) return 'overloaded';
    const { identity } = this.#context;
    const session = answerSession(identity, now, hello, identity.random(32));
    if (session === undefined) return 'low_order';
    this.#slots.addTheirs(session);
    this.#context.armEnd();
    this.#outbox.transmit(session.message);
    return undefined;
  }

  /** InitDone is valid, which proves the initiator's key. Its key was accepted before RespHello was sent. */
  #answered(now: Millis, session: Session): P2pkeDrop | undefined {
    const publicKey = session.publicKey!;
    // Another may have been pinned since InitHello.
    if (this.#context.pinned !== undefined && !equalBytes(this.#context.pinned.spki, publicKey.spki)) {
      this.#slots.theirs = this.#slots.theirs.filter((other) => other !== session);
      return 'identity_mismatch';
    }
    this.#context.pin(publicKey);
    session.provenMs = now;
    if (!this.#isOld(session.timestamp)) this.#lastTimestamp = session.timestamp;
    this.#held = session;
    this.#outbox.arm('hold', now + HOLD_MS);
    this.#context.armEnd();
    this.#outbox.transmit(session.message);
    const wallMs = this.#context.wallMs(now);
    const differenceMs = tai64nMs(session.timestamp) - wallMs;
    if (Math.abs(differenceMs) >= CLOCK_TOLERANCE_MS) {
      this.#outbox.transmit(timeReply(session.id, wallMs, undefined));
      this.#outbox.event({ type: 'clock', differenceMs, refused: false });
    }
    this.#outbox.event({ type: 'session', publicKey, side: 'initiator' });
    return undefined;
  }
}
