/**
 * The sending half of a session: messages get their number, go out on the current path, and are kept until the peer has them.
 * Source: docs/wire/peers.md §§3, 4, 5.
 */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { Priority } from '../../core/priority.ts';
import {
  ACK_BYTES,
  BUNDLE_BYTES,
  BUNDLED_BYTES,
  INITIAL_RTT_MS,
  isRequest,
  MAX_BUNDLED,
  MAX_HEAD_BYTES,
  MAX_OUT_NUMBERS,
  MAX_WHOLE_BYTES,
  MESSAGE,
} from './constants.ts';
import { SendCredit } from './credit.ts';
import type { Hello } from './hello.ts';
import { costOf, makeOutgoing, type Outgoing, Unacknowledged, Waiting } from './outgoing.ts';
import { type AckPacket, BUNDLE_ENTRY_BYTES, encodeBundle, finishNumbered } from './packets.ts';
import { sendParts } from './parts.ts';
import { OutLimit } from './out-limit.ts';
import type { PathSet } from './path-set.ts';
import type { Path } from './path.ts';
import type { SessionEvent } from './session-events.ts';

/** A tell is taken at once while less than this waits. */
const TAKEN_BYTES = 1_048_576;
/** Bytes that the transport may have without taking them. */
const MAX_PENDING_BYTES = 1_048_576;
/** A message of a stream, about. */
const STREAM_BYTES = 65_536;
/** How often the pause before messages are sent again doubles, while the peer acknowledges nothing. */
const MAX_RESEND_DOUBLINGS = 3;
/** Packets made in one turn. */
const MAX_PACKETS_PER_TURN = 64;

/** What the sending half needs from the session. */
export interface SenderOwner {
  readonly paths: PathSet;
  /** All messages of the peer up to this number have come. */
  readonly received: number;
  event(event: SessionEvent): void;
  transmit(path: number, packet: Bytes): void;
  /** A packet with an acknowledgement has been made. */
  acknowledging(): void;
  /** The next bytes of a stream, within this credit. */
  takeStream(): Outgoing | undefined;
  /** The peer has an answer: what the request cost is given back. */
  settled(cost: number): void;
}

export class Sender {
  readonly waiting: Waiting = new Waiting();
  readonly credit: Record<'tells' | 'requests' | 'streams', SendCredit> = {
    tells: new SendCredit(0),
    requests: new SendCredit(0),
    streams: new SendCredit(0),
  };
  /** When a message was last numbered. */
  sentMs: Millis;
  readonly #owner: SenderOwner;
  readonly #tag: number;
  readonly #out = new Unacknowledged();
  readonly #limit: OutLimit;
  /** Own requests that wait for an answer, by number. Bounded by the pending asks of the program. */
  readonly #asked = new Map<number, Outgoing>();
  /** Tells that their callers wait for. Bounded by what waits. */
  readonly #tickets = new Set<Outgoing>();
  /** Small messages with consecutive numbers that go out as one packet. Bounded by MAX_BUNDLED. */
  #bundle: Outgoing[] = [];
  #bundleBytes = 0;
  #progressMs: Millis = 0;
  #resends = 0;
  /** The last message that was sent again for want of an acknowledgement, and when. */
  #resent = 0;
  #resentMs: Millis = -Infinity;
  /** When messages were last looked through for losses. */
  #lossesMs: Millis = -Infinity;

  constructor(owner: SenderOwner, tag: number, now: Millis) {
    this.#owner = owner;
    this.#tag = tag;
    this.sentMs = now;
    this.#limit = new OutLimit(now);
  }

  /** Messages that the peer has not acknowledged, or that were not sent. */
  get unacknowledged(): number {
    return this.waiting.size + this.#out.size;
  }

  /** Whether everything was sent, acknowledged and answered. */
  get isQuiet(): boolean {
    return this.unacknowledged === 0 && this.#asked.size === 0;
  }

  /** The number of the last message. */
  get last(): number {
    return this.#out.last;
  }

  /** The first hello of the peer: its windows count. */
  handleHello({ tellWindow, requestWindow, streamsWindow }: Hello): void {
    this.credit.tells.window = tellWindow;
    this.credit.requests.window = requestWindow;
    this.credit.streams.window = streamsWindow;
  }

  /** The peer grants credit. */
  handleCredit(tells: number, requests: number, streams: number): void {
    this.credit.tells.raise(tells);
    this.credit.requests.raise(requests);
    this.credit.streams.raise(streams);
  }

  tell(payload: Uint8Array, priority: Priority | undefined, expiresMs: Millis | undefined): Outgoing {
    const mustWait = this.waiting.bytes + this.#out.bytes >= TAKEN_BYTES || this.#owner.paths.current === undefined;
    const message = makeOutgoing(MESSAGE.TELL, [], payload, { priority, expiresMs });
    this.waiting.add(message);
    if (mustWait || expiresMs !== undefined) this.#tickets.add(message);
    return message;
  }

  /** Whether the caller of a tell has to wait for `taken` or `tell_failed`. */
  isPending(message: Outgoing): boolean {
    return this.#tickets.has(message);
  }

  giveUp(message: Outgoing): void {
    this.#tickets.delete(message);
    if (this.waiting.remove(message)) return;
    if (this.#asked.delete(message.number)) this.waiting.addUrgent(makeOutgoing(MESSAGE.CANCEL, [message.number]));
  }

  /** The request that an answer is for; later answers, and those of requests that were given up, have none. */
  takeAsked(number: number): Outgoing | undefined {
    const message = this.#asked.get(number);
    if (message !== undefined) this.#asked.delete(number);
    return message;
  }

  /** Sends what may be sent: one turn's worth. */
  pump(now: Millis, path: Path): void {
    for (let packets = 0; packets < MAX_PACKETS_PER_TURN && path.pendingBytes < MAX_PENDING_BYTES;) {
      const again = this.#out.takeAgain();
      const message = again ?? (path.isInDoubt ? undefined : this.#next());
      if (message === undefined) break;
      if (again === undefined) this.#number(now, message);
      const isBundled = this.#addToBundle(path, message);
      if (!isBundled) {
        this.#flush(now, path);
        if (!this.#addToBundle(path, message)) {
          this.#write(now, path, message);
          packets++;
        }
      } else if (this.#bundle.length === 1) packets++;
    }
    this.#flush(now, path);
  }

  /** All messages up to this number have arrived. */
  acknowledge(now: Millis, number: number): void {
    if (number <= this.#out.last - this.#out.size) return;
    const before = this.#out.bytes;
    this.#out.acknowledge(number, this.#delivered);
    this.#limit.acknowledged(now, before - this.#out.bytes, this.#owner.paths.current?.rttMs);
    this.#progressMs = now;
    this.#resends = 0;
    if (this.#resent > 0 && number >= this.#resent) this.#sendFirstAgain(now, this.#resentMs);
    if (this.unacknowledged === 0) this.#owner.event({ type: 'acknowledged' });
  }

  /** The peer has the beginning of the message behind `received`. */
  confirm(now: Millis, received: number, partial: number): void {
    const first = this.#out.first();
    if (first?.number !== received + 1 || partial <= first.confirmed) return;
    first.confirmed = Math.min(partial, first.size - 1);
    this.#progressMs = now;
  }

  handleAck(now: Millis, { received, partial, ranges }: AckPacket): void {
    this.acknowledge(now, received);
    this.confirm(now, received, partial);
    const last = ranges.at(-1);
    if (last === undefined) return;
    for (const { from, to } of ranges) {
      for (let number = from; number <= to; number++) this.#out.acknowledgeOne(number, this.#delivered);
    }
    // Where the transport may lose, what is missing before the last range, and was sent a round trip ago, is lost.
    const path = this.#owner.paths.current;
    if (path === undefined || path.isReliable) return;
    const before = now - (path.rttMs ?? INITIAL_RTT_MS);
    if (before < this.#lossesMs) return;
    this.#lossesMs = now;
    this.#out.sendAgain((message) => message.sentMs <= before, last.from);
  }

  /** Sends again what went out on a path that matches. */
  sendAgain(isGone: (path: number) => boolean): void {
    this.#out.sendAgain(({ path }) => isGone(path));
  }

  /** When messages that are not acknowledged are sent again. */
  get resendMs(): Millis {
    const path = this.#owner.paths.current;
    if (path === undefined || this.#out.size === 0) return Infinity;
    return (
      Math.max(this.#progressMs, path.movedMs) + path.resendMs * 2 ** Math.min(this.#resends, MAX_RESEND_DOUBLINGS)
    );
  }

  handleTimeout(now: Millis): void {
    for (const message of this.waiting.takeExpired(now)) this.#failed(message, 'expired');
    if (now < this.resendMs) return;
    this.#resends++;
    this.#progressMs = now;
    this.#sendFirstAgain(now, now);
  }

  /**
   * Sends the first messages again of those that were last sent before `beforeMs`. The peer has the others, or says so when these
   * have come; then the next ones follow without a timer.
   */
  #sendFirstAgain(now: Millis, beforeMs: Millis): void {
    let bytes = 0;
    this.#resent = 0;
    this.#resentMs = now;
    this.#out.sendAgain(({ sentMs, size, number }) => {
      if (sentMs >= beforeMs || bytes > ACK_BYTES) return false;
      bytes += size;
      this.#resent = number;
      return true;
    });
  }

  /** Takes the tells and requests that were not sent, for another session with the peer. */
  takeUnsent(): readonly Outgoing[] {
    return this.waiting.clear().filter(({ type }) => type === MESSAGE.TELL || isRequest(type));
  }

  /** Takes over messages that another session did not send. */
  adopt(messages: readonly Outgoing[]): void {
    for (const message of messages) {
      this.waiting.add(message);
      if (message.type === MESSAGE.TELL) this.#tickets.add(message);
    }
  }

  /** The session has ended: everything fails. */
  end(): void {
    for (const message of this.#out) if (message.type === MESSAGE.TELL) this.#failed(message, 'ended');
    for (const message of this.#asked.values()) this.#failed(message, 'ended');
    for (const message of this.waiting.clear()) this.#failed(message, 'ended');
    this.#asked.clear();
  }

  readonly #mayGo = (message: Outgoing): boolean => {
    if (!this.#limit.allows(this.#out.bytes, message.size)) return false;
    if (message.type === MESSAGE.TELL) return this.credit.tells.allows(costOf(message));
    return !isRequest(message.type) || this.credit.requests.allows(costOf(message));
  };

  #next(): Outgoing | undefined {
    if (this.#out.size >= MAX_OUT_NUMBERS) return undefined;
    const message = this.waiting.take(this.#mayGo);
    if (message !== undefined || !this.#limit.allows(this.#out.bytes, STREAM_BYTES)) return message;
    const chunk = this.#owner.takeStream();
    if (chunk !== undefined) this.credit.streams.take(chunk.payloadBytes);
    return chunk;
  }

  #number(now: Millis, message: Outgoing): void {
    if (this.#out.size === 0) this.#progressMs = now;
    message.state = 'out';
    this.#out.add(message);
    this.sentMs = now;
    if (message.type === MESSAGE.TELL) this.credit.tells.take(costOf(message));
    else if (isRequest(message.type)) {
      this.credit.requests.take(costOf(message));
      this.#asked.set(message.number, message);
    }
    if (this.#tickets.size > 0 && this.#tickets.delete(message)) this.#owner.event({ type: 'taken', message });
  }

  /** @returns false when it does not fit into the bundle that is being made. */
  #addToBundle(path: Path, message: Outgoing): boolean {
    const { size, confirmed, number } = message;
    if (size > BUNDLED_BYTES || confirmed > 0) return false;
    const bytes = size + BUNDLE_ENTRY_BYTES;
    const last = this.#bundle.at(-1);
    if (last === undefined) {
      if (MAX_HEAD_BYTES + bytes > path.mtu) return false;
      this.#bundleBytes = MAX_HEAD_BYTES;
    } else if (
      number !== last.number + 1 ||
      this.#bundle.length >= MAX_BUNDLED ||
      this.#bundleBytes + bytes > Math.min(BUNDLE_BYTES, path.mtu)
    ) {
      return false;
    }
    this.#bundle.push(message);
    this.#bundleBytes += bytes;
    return true;
  }

  /** Sends the bundle that is being made. */
  #flush(now: Millis, path: Path): void {
    const bundle = this.#bundle;
    if (bundle.length === 0) return;
    this.#bundle = [];
    if (bundle.length === 1) {
      this.#write(now, path, bundle[0]!);
      return;
    }
    for (const message of bundle) this.#goes(now, path, message);
    this.#owner.acknowledging();
    this.#owner.transmit(path.id, encodeBundle(this.#tag, this.#owner.received, bundle));
  }

  #write(now: Millis, path: Path, message: Outgoing): void {
    const { buffer, size, type, number, confirmed } = message;
    const { received } = this.#owner;
    this.#goes(now, path, message);
    this.#owner.acknowledging();
    const packet = finishNumbered(buffer, size, type, this.#tag, number, received);
    if (packet.length <= path.mtu && size <= MAX_WHOLE_BYTES && confirmed === 0) this.#owner.transmit(path.id, packet);
    else sendParts(message, this.#tag, received, path.mtu, (part) => this.#owner.transmit(path.id, part));
  }

  #goes(now: Millis, path: Path, message: Outgoing): void {
    if (message.path !== 0) this.#owner.paths.released(message.path);
    message.path = path.id;
    message.sentMs = now;
    this.#owner.paths.used(now, path.id);
  }

  readonly #delivered = (message: Outgoing): void => {
    this.#owner.paths.released(message.path);
    if (message.settles > 0) this.#owner.settled(message.settles);
  };

  #failed(message: Outgoing, reason: 'expired' | 'ended'): void {
    const sent = message.number === 0 ? 'no' : 'maybe';
    if (isRequest(message.type)) this.#owner.event({ type: 'ask_failed', message, sent, reason });
    else if (message.type === MESSAGE.TELL) {
      if (this.#tickets.delete(message)) this.#owner.event({ type: 'tell_failed', message, sent, reason });
      else this.#owner.event({ type: 'tell_lost', sent });
    }
  }
}
