/**
 * A model of the original's channel, faults included, to try ours against: go-p2p's `Session` and `Channel` as
 * docs/wire/p2pke.md describes them. What matters for faults P1, P2 and P8 is here, and that its swarm forgets channels.
 */

import { compareBytes, equalBytes, type Bytes } from '../../../src/base/bytes.ts';
import type { Output } from '../../../src/base/machine.ts';
import type { ChannelEvent } from '../../../src/protocols/p2pke/channel-options.ts';
import { verifyInitHello } from '../../../src/protocols/p2pke/hello.ts';
import type { P2pkeIdentity } from '../../../src/protocols/p2pke/identity.ts';
import { counterOf } from '../../../src/protocols/p2pke/messages.ts';
import { answerSession, initiateSession, type Session } from '../../../src/protocols/p2pke/session.ts';
import type { End } from './pair.ts';

const BACKOFF_MS = 250;
const REJECT_AFTER_MS = 180_000;
const KEEP_ALIVE_TIMEOUT_MS = 15_000;
/** Its swarm looks at its channels so often, and forgets those that are this old and whose last handshake is 15 s ago. */
const CLEANUP_MS = 7500;
const FORGET_AGE_MS = 30_000;

/** `hsIndex` is the original's: 0, 2, 4, 8 for the initiator, 1, 3, 8 for the responder. */
class OriginalSession {
  readonly session: Session;
  hsIndex: number;

  constructor(session: Session) {
    this.session = session;
    this.hsIndex = session.initiator ? 0 : 1;
  }

  get canSend(): boolean {
    return this.hsIndex >= (this.session.initiator ? 3 : 2);
  }

  get message(): Bytes | undefined {
    return this.hsIndex < 4 ? this.session.message : undefined;
  }

  /** What the original returns: data, a reply, nothing, or `false` for an error. */
  deliver(datagram: Uint8Array): { readonly data?: Bytes; readonly reply?: Bytes | undefined } | false {
    const counter = counterOf(datagram)!;
    const { session } = this;
    if (counter > 3) {
      if (this.hsIndex < 2) return false;
      if (!session.isFresh(counter)) return {};
      const data = new Uint8Array(datagram.length - 20);
      if (!session.open(counter, datagram.subarray(4), data)) return false;
      this.hsIndex = 8;
      return { data };
    }
    if ((counter % 2 === 1) !== session.initiator) return false;
    if (counter === 1 && this.hsIndex === 0) {
      const reply = session.readRespHello(datagram);
      if (typeof reply === 'string') return false;
      session.takeReply(reply);
      this.hsIndex = 2;
    } else if (counter === 3 && this.hsIndex === 2) {
      if (!session.takeRespDone(datagram)) return false;
      this.hsIndex = 4;
    } else if (counter === 2 && this.hsIndex === 1) {
      if (session.takeInitDone(datagram) !== undefined) return false;
      this.hsIndex = 3;
    }
    return { reply: this.message }; // also to what it did not expect: half of the storm
  }
}

/** The original's channel. */
export class Original implements End {
  readonly #identity: P2pkeIdentity;
  readonly #out: Bytes[] = [];
  readonly #events: ChannelEvent[] = [];
  previous: OriginalSession | undefined;
  current: OriginalSession | undefined;
  next: OriginalSession | undefined;
  #lastReadyMs = -Infinity;
  #timerMs: number | undefined;
  #createdMs: number | undefined;
  #cleanupMs = CLEANUP_MS;
  /** How often the channel was forgotten. */
  forgotten = 0;

  constructor(identity: P2pkeIdentity) {
    this.#identity = identity;
  }

  /** Data does not count, only handshakes do. */
  #cleanUp(now: number): void {
    if (now < this.#cleanupMs) return;
    this.#cleanupMs = now + CLEANUP_MS;
    const isOld = this.#createdMs !== undefined && now - this.#createdMs >= FORGET_AGE_MS;
    if (!isOld || now - this.#lastReadyMs < KEEP_ALIVE_TIMEOUT_MS) return;
    this.forgotten++;
    this.previous = this.current = this.next = this.#createdMs = this.#timerMs = undefined;
    this.#lastReadyMs = -Infinity;
  }

  seal(now: number, wallMs: number, payload: Uint8Array): Bytes | undefined {
    this.#createdMs ??= now;
    if (this.next !== undefined && now > this.next.session.createdMs + REJECT_AFTER_MS) this.next = undefined;
    if (this.current !== undefined && now - this.#lastReadyMs > KEEP_ALIVE_TIMEOUT_MS) {
      this.previous = this.current;
      this.current = undefined;
    }
    if (this.current !== undefined) return this.current.session.seal(payload);
    if (this.next === undefined) {
      const timestamp = this.#identity.timestamps.next(wallMs);
      this.next = new OriginalSession(initiateSession(this.#identity, now, timestamp, this.#identity.random(32)));
      this.#timerMs = now;
    }
    return undefined;
  }

  handleTimeout(now: number): void {
    this.#cleanUp(now);
    if ((this.#timerMs ?? Infinity) > now) return;
    this.#timerMs = undefined;
    for (const each of [this.previous, this.current, this.next]) {
      if (each?.message === undefined || each.canSend) continue;
      this.#out.push(each.message);
      this.#timerMs = now + BACKOFF_MS;
    }
  }

  handleDatagram(now: number, _wallMs: number, datagram: Uint8Array): Bytes | undefined {
    this.#createdMs ??= now;
    for (const each of [this.previous, this.current, this.next]) {
      const result = each?.deliver(datagram);
      if (each === undefined || result === undefined || result === false) continue;
      const handshake = counterOf(datagram)! < 4;
      if (handshake && each === this.next && each.canSend) this.#promote(now, each);
      if (result.reply !== undefined) this.#out.push(result.reply);
      if (result.data !== undefined && result.data.length > 0) return result.data;
      if (result.reply !== undefined) return undefined;
    }
    if (counterOf(datagram) === 0) this.#hello(now, datagram);
    return undefined;
  }

  #promote(now: number, session: OriginalSession): void {
    this.previous = this.current;
    this.current = session;
    this.next = undefined;
    this.#lastReadyMs = now;
    this.#events.push({ type: 'ready' });
  }

  #hello(now: number, datagram: Uint8Array): void {
    const hello = verifyInitHello(datagram, this.#identity.registry);
    if (typeof hello === 'string') return;
    const slots = [this.previous, this.current, this.next];
    if (slots.some((each) => each !== undefined && equalBytes(each.session.id, hello.sessionId))) return;
    if (this.next !== undefined && compareBytes(this.next.session.id, hello.sessionId) < 0) {
      if (this.next.message !== undefined) this.#out.push(this.next.message);
      return;
    }
    this.next = new OriginalSession(answerSession(this.#identity, now, hello, this.#identity.random(32))!);
    this.#out.push(this.next.session.message);
  }

  poll(): Output<Bytes, ChannelEvent> {
    const transmit = this.#out.shift();
    if (transmit !== undefined) return { type: 'transmit', transmit };
    const event = this.#events.shift();
    const until = Math.min(this.#timerMs ?? Infinity, this.#createdMs === undefined ? Infinity : this.#cleanupMs);
    return event === undefined ? { type: 'wait', until } : { type: 'event', event };
  }
}
