/**
 * The receiving half of a session: takes each message once and in order, checks it, and knows what is to be acknowledged and
 * granted. Source: docs/wire/peers.md §§3, 4, 5.
 */

import { type Bytes, copyMessage, viewFrom } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { readVarint } from '../../base/varint.ts';
import {
  isRequest,
  ACK_BYTES,
  ACK_DELAY_MS,
  ACK_MESSAGES,
  MESSAGE,
  MESSAGE_COST_BYTES,
  type MessageType,
} from './constants.ts';
import { ReceiveCredit } from './credit.ts';
import { Incoming, type Received } from './incoming.ts';
import { makeOutgoing, type Outgoing } from './outgoing.ts';
import type { AckPacket, BundlePacket, NumberedPacket, PartPacket } from './packets.ts';
import type { SessionEvent } from './session-events.ts';

/** What the receiving half needs from the session. */
export interface ReceiverOwner {
  isOpen(): boolean;
  event(event: SessionEvent): void;
  /** The peer broke a rule. */
  fault(reason: string): void;
  /** A message that is neither tell nor request. @returns false when it breaks a rule */
  act(message: MessageType, numbers: readonly number[], rest: Bytes): boolean;
  mayHold(bytes: number): boolean;
}

/** Limits of the receiving half. */
export interface ReceiverLimits {
  readonly maxMessageBytes: number;
  readonly tellWindow: number;
  readonly requestWindow: number;
  readonly streamsWindow: number;
}

/** A request of the peer that waits for an answer. */
export interface HeldRequest {
  readonly cost: number;
  readonly maxResponseBytes: number;
}

export class Receiver {
  readonly credit: Record<'tells' | 'requests' | 'streams', ReceiveCredit>;
  /** Requests of the peer that wait for an answer here. Bounded by its credit. */
  readonly requests: Map<number, HeldRequest> = new Map();
  /** Whether credit is to be granted. */
  isCreditDue = false;
  /** When a message last came. */
  receivedMs: Millis;
  readonly #owner: ReceiverOwner;
  readonly #maxMessageBytes: number;
  readonly #incoming: Incoming;
  /** The first message that was dropped for lack of memory and has not come again. */
  #dropped = 0;
  #unackedMessages = 0;
  #unackedBytes = 0;
  #ackMs: Millis = Infinity;

  constructor(owner: ReceiverOwner, limits: ReceiverLimits, now: Millis) {
    this.#owner = owner;
    this.#maxMessageBytes = limits.maxMessageBytes;
    this.#incoming = new Incoming(limits.maxMessageBytes);
    this.credit = {
      tells: new ReceiveCredit(limits.tellWindow),
      requests: new ReceiveCredit(limits.requestWindow),
      streams: new ReceiveCredit(limits.streamsWindow),
    };
    this.receivedMs = now;
  }

  get received(): number {
    return this.#incoming.received;
  }

  get partial(): number {
    return this.#incoming.partial;
  }

  /** Bytes held for the peer. */
  get heldBytes(): number {
    const { tells, requests, streams } = this.credit;
    return this.#incoming.heldBytes + tells.held + requests.held + streams.held;
  }

  /** Of these, bytes that wait for the peer: parts, and messages behind a gap. */
  get stallingBytes(): number {
    return this.#incoming.heldBytes;
  }

  /** When an acknowledgement of its own goes out. */
  get ackMs(): Millis {
    return this.#unackedMessages >= ACK_MESSAGES || this.#unackedBytes >= ACK_BYTES ? -Infinity : this.#ackMs;
  }

  /** What has come. */
  ackOf(tag: number): Omit<AckPacket, 'type'> {
    const { received, partial } = this.#incoming;
    return { tag, received, partial, ranges: this.#incoming.ranges() };
  }

  /** An acknowledgement leaves. With a message it says nothing of a gap, so that one of its own follows. */
  acknowledging(isWhole: boolean): void {
    if (!isWhole && this.#incoming.hasGap) return;
    this.#unackedMessages = this.#unackedBytes = 0;
    this.#ackMs = Infinity;
  }

  numbered(now: Millis, { number, message, body }: NumberedPacket): void {
    this.#took(now, body.length);
    if (!this.#hasRoom(number, message, body.length)) return;
    if (this.#incoming.takeNext(number)) this.#deliver(now, message, body);
    else this.#ahead(now, number, { message, body });
  }

  bundle(now: Millis, { number, entries }: BundlePacket): void {
    let next = number;
    for (const { message, body } of entries) {
      this.#took(now, body.length);
      if (!this.#hasRoom(next, message, body.length)) return; // Nor for what follows it.
      if (this.#incoming.takeNext(next)) this.#deliver(now, message, body);
      else this.#ahead(now, next, { message, body: copyMessage(body) }); // A view would keep the whole bundle.
      if (!this.#owner.isOpen()) return;
      next++;
    }
  }

  part(now: Millis, packet: PartPacket): void {
    this.#took(now, packet.bytes.length);
    if (!this.#hasRoom(packet.number, packet.message, packet.bytes.length)) return;
    const result = this.#incoming.takePart(packet);
    if (result === 'malformed') this.#owner.fault('malformed');
    else if (typeof result === 'object') this.#ahead(now, packet.number, result);
    else if (result !== 'waiting') this.#owner.event({ type: 'dropped', reason: result });
  }

  /**
   * Whether there is memory for a message that waits for the application; otherwise it is dropped, and comes again. What follows it
   * is dropped too: it could not be handed on, and would take the memory that the dropped one needs.
   */
  #hasRoom(number: number, message: MessageType, bytes: number): boolean {
    const isHeld =
      message === MESSAGE.TELL || isRequest(message) || message === MESSAGE.STREAM || message === MESSAGE.FIN;
    const isBehind = this.#dropped > this.#incoming.received && number > this.#dropped;
    if (!isBehind && (!isHeld || this.#owner.mayHold(this.heldBytes + bytes))) return true;
    if (!isBehind) this.#dropped = number;
    this.#owner.event({ type: 'dropped', reason: 'no_memory' });
    return false;
  }

  /** The application is done with what cost this much. */
  consumed(kind: 'tells' | 'requests' | 'streams', cost: number): void {
    this.credit[kind].consume(cost);
    if (this.credit[kind].isDue) this.isCreditDue = true;
  }

  /** The peer does not need the answer to a request any more. False when it has one. */
  cancel(number: number): boolean {
    const request = this.requests.get(number);
    if (request === undefined) return false;
    this.requests.delete(number);
    this.consumed('requests', request.cost);
    return true;
  }

  /** The message that grants credit. */
  grant(): Outgoing {
    this.isCreditDue = false;
    const { tells, requests, streams } = this.credit;
    return makeOutgoing(MESSAGE.CREDIT, [tells.grant(), requests.grant(), streams.grant()]);
  }

  /** A message that does not come in its turn, or completes a gap. */
  #ahead(now: Millis, number: number, received: Received): void {
    const isNext = number === this.#incoming.received + 1;
    const hadGap = this.#incoming.hasGap;
    const hasRoom = isNext || this.#owner.mayHold(this.heldBytes + received.body.length);
    const result = hasRoom ? this.#incoming.take(number, received) : 'no_memory';
    if (result !== 'taken') {
      this.#owner.event({ type: 'dropped', reason: result });
      return;
    }
    // The first one behind a gap: the sender should know at once.
    if (!isNext && !hadGap) this.#ackMs = Math.min(this.#ackMs, now);
    for (let next = this.#incoming.next(); next !== undefined; next = this.#incoming.next()) {
      this.#deliver(now, next.message, next.body);
      if (!this.#owner.isOpen()) return;
    }
  }

  #took(now: Millis, bytes: number): void {
    this.#unackedMessages++;
    this.#unackedBytes += bytes;
    if (this.#ackMs === Infinity) this.#ackMs = now + ACK_DELAY_MS;
  }

  #deliver(now: Millis, message: MessageType, body: Bytes): void {
    this.receivedMs = now;
    if (message === MESSAGE.TELL) {
      if (!this.credit.tells.take(body.length + MESSAGE_COST_BYTES)) this.#owner.fault('credit');
      else if (body.length > this.#maxMessageBytes) this.#owner.fault('too_large');
      else this.#owner.event({ type: 'tell', payload: body });
      return;
    }
    const [count, isAll] = FIELDS[message];
    const numbers: number[] = [];
    let end = 0;
    for (let i = 0; i < count; i++) {
      const first = body[end];
      if (first !== undefined && first < 0x80) {
        numbers.push(first);
        end++;
        continue;
      }
      const read = readVarint(body, end);
      if (read === undefined) {
        this.#owner.fault('malformed');
        return;
      }
      numbers.push(read.value);
      end = read.end;
    }
    const isValid =
      (!isAll || end === body.length) &&
      (isRequest(message)
        ? this.#request(numbers[0]!, numbers[1] ?? 0, viewFrom(body, end))
        : this.#owner.act(message, numbers, viewFrom(body, end)));
    if (!isValid) this.#owner.fault('malformed');
  }

  /** @param service - 0 is the program. */
  #request(maxResponseBytes: number, service: number, payload: Bytes): boolean {
    const cost = payload.length + MESSAGE_COST_BYTES;
    if (!this.credit.requests.take(cost) || payload.length > this.#maxMessageBytes) return false;
    const number = this.#incoming.received;
    this.requests.set(number, { cost, maxResponseBytes });
    this.#owner.event({ type: 'request', number, payload, service });
    return true;
  }
}

/** How many varints a message begins with, and whether they are all of it. */
const FIELDS: Readonly<Record<MessageType, readonly [count: number, isAll: boolean]>> = {
  [MESSAGE.TELL]: [0, false],
  [MESSAGE.REQUEST]: [1, false],
  [MESSAGE.ANSWER]: [1, false],
  [MESSAGE.REFUSAL]: [1, false],
  [MESSAGE.CANCEL]: [1, true],
  [MESSAGE.STREAM]: [1, false],
  [MESSAGE.FIN]: [1, false],
  [MESSAGE.RESET]: [2, true],
  [MESSAGE.WINDOW]: [2, true],
  [MESSAGE.CREDIT]: [3, true],
  [MESSAGE.SERVICE]: [2, false],
};
