/**
 * Messages to send: those that wait for their number, by priority, and those that have one and are not acknowledged.
 * Source: docs/wire/peers.md §3.
 */

import { allocMessage, type Bytes, copyInto, EMPTY_BYTES } from '../../base/bytes.ts';
import { Fifo } from '../../base/fifo.ts';
import type { Millis } from '../../base/machine.ts';
import { DEFAULT_PRIORITY, type Priority } from '../../core/priority.ts';
import { varintLength, writeVarint } from '../../base/varint.ts';
import { isRequest, MAX_HEAD_BYTES, MESSAGE, MESSAGE_COST_BYTES, type MessageType } from './constants.ts';

/** A message to send. The owner of the call keeps it as its ticket. */
export interface Outgoing {
  readonly type: MessageType;
  readonly priority: Priority;
  /** Fields and payload, behind room for the head; empty once it is not needed any more. */
  buffer: Bytes;
  /** Bytes of fields and payload. */
  readonly size: number;
  readonly payloadBytes: number;
  /** When it is not worth sending any more, unless it has been sent. */
  readonly expiresMs: Millis;
  /** What credit it takes back from the peer when it is acknowledged: the cost of the request that it answers. */
  readonly settles: number;
  state: 'waiting' | 'out' | 'done';
  /** 0 until it is sent. */
  number: number;
  /** The path that it was sent on last, and when. */
  path: number;
  sentMs: Millis;
  /** Bytes from its beginning that the peer has. */
  confirmed: number;
  /** Whether it waits to be sent again. */
  again: boolean;
}

/** How a message is sent. */
export interface OutgoingOptions {
  readonly priority?: Priority | undefined;
  readonly expiresMs?: Millis | undefined;
  readonly settles?: number | undefined;
  /** The code of a refusal, a byte before the payload. */
  readonly code?: number | undefined;
}

/** Copies a message behind its fields. */
export function makeOutgoing(
  type: MessageType,
  fields: readonly number[],
  payload: Uint8Array = EMPTY_BYTES,
  options: OutgoingOptions = {},
): Outgoing {
  let size = payload.length + (options.code === undefined ? 0 : 1);
  for (const field of fields) size += varintLength(field);
  const buffer = allocMessage(MAX_HEAD_BYTES + size);
  let at = MAX_HEAD_BYTES;
  for (const field of fields) at = writeVarint(buffer, at, field);
  if (options.code !== undefined) buffer[at++] = options.code;
  copyInto(buffer, at, payload);
  return {
    type,
    priority: options.priority ?? DEFAULT_PRIORITY,
    buffer,
    size,
    payloadBytes: payload.length,
    expiresMs: options.expiresMs ?? Infinity,
    settles: options.settles ?? 0,
    state: 'waiting',
    number: 0,
    path: 0,
    sentMs: 0,
    confirmed: 0,
    again: false,
  };
}

/** What a message takes from the peer's credit. */
export function costOf({ type, payloadBytes }: Outgoing): number {
  return type === MESSAGE.TELL || isRequest(type) ? payloadBytes + MESSAGE_COST_BYTES : 0;
}

type Lane = 'tells' | 'requests' | 'others';

const TURNS: readonly Lane[] = ['others', 'tells', 'requests'];

interface Level {
  readonly priority: Priority;
  readonly tells: Fifo<Outgoing>;
  readonly requests: Fifo<Outgoing>;
  readonly others: Fifo<Outgoing>;
  turn: number;
}

/** Messages without a number. Bounded by its owner, which checks `bytes` and `size`. */
export class Waiting {
  /** By descending priority; empty ones are removed. */
  readonly #levels: Level[] = [];
  /** Sent before all others: credit, windows, cancels, resets. Small; bounded by the streams and the asks. */
  readonly #urgent = new Fifo<Outgoing>();
  /** Those that expire. Bounded as all. */
  readonly #expiring = new Set<Outgoing>();
  #bytes = 0;
  #size = 0;

  /** Payload bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#size;
  }

  add(message: Outgoing): void {
    const level = this.#level(message.priority);
    level[laneOf(message)].push(message);
    if (message.expiresMs !== Infinity) this.#expiring.add(message);
    this.#bytes += message.payloadBytes;
    this.#size++;
  }

  addUrgent(message: Outgoing): void {
    this.#urgent.push(message);
    this.#size++;
  }

  /** Removes a message that waits; its place in the queue is cleared when it comes to the front. */
  remove(message: Outgoing): boolean {
    if (message.state !== 'waiting') return false;
    message.state = 'done';
    message.buffer = EMPTY_BYTES;
    this.#expiring.delete(message);
    this.#bytes -= message.payloadBytes;
    this.#size--;
    return true;
  }

  /** When the first message expires. */
  get expiresMs(): Millis {
    let first = Infinity;
    for (const { expiresMs } of this.#expiring) if (expiresMs < first) first = expiresMs;
    return first;
  }

  /** Removes the messages that have expired. */
  takeExpired(now: Millis): readonly Outgoing[] {
    const expired = [...this.#expiring].filter(({ expiresMs }) => expiresMs <= now);
    for (const message of expired) this.remove(message);
    return expired;
  }

  /**
   * Takes the next message that may be sent. Within a priority, tells, requests and others take turns; a message that
   * lacks credit holds up its own kind only.
   */
  take(mayGo: (message: Outgoing) => boolean): Outgoing | undefined {
    const urgent = this.#urgent.first();
    if (urgent !== undefined) {
      if (!mayGo(urgent)) return undefined;
      this.#urgent.shift();
      return this.#taken(urgent);
    }
    let blocked = 0; // A bit for each of TURNS.
    for (let i = 0; i < this.#levels.length;) {
      const level = this.#levels[i]!;
      for (let n = 0; n < TURNS.length; n++) {
        const turn = (level.turn + n) % TURNS.length;
        const lane = level[TURNS[turn]!];
        const message = (blocked & (1 << turn)) === 0 ? firstWaiting(lane) : undefined;
        if (message === undefined) continue;
        if (!mayGo(message)) {
          blocked |= 1 << turn;
          continue;
        }
        lane.shift();
        level.turn = (turn + 1) % TURNS.length;
        return this.#taken(message);
      }
      if (level.tells.length + level.requests.length + level.others.length === 0) this.#levels.splice(i, 1);
      else i++;
    }
    return undefined;
  }

  /** Removes all messages. */
  clear(): readonly Outgoing[] {
    const all: Outgoing[] = [];
    const collect = (queue: Fifo<Outgoing>): void => {
      for (const message of queue) if (message.state === 'waiting') all.push(message);
    };
    collect(this.#urgent);
    for (const { tells, requests, others } of this.#levels)
      for (const queue of [tells, requests, others]) collect(queue);
    while (this.#urgent.shift() !== undefined);
    this.#levels.length = 0;
    this.#expiring.clear();
    this.#bytes = this.#size = 0;
    return all;
  }

  #taken(message: Outgoing): Outgoing {
    if (message.expiresMs !== Infinity) this.#expiring.delete(message);
    this.#bytes -= message.payloadBytes;
    this.#size--;
    message.state = 'out';
    return message;
  }

  #level(priority: Priority): Level {
    let at = 0;
    while (at < this.#levels.length && this.#levels[at]!.priority > priority) at++;
    const found = this.#levels[at];
    if (found?.priority === priority) return found;
    const level: Level = { priority, tells: new Fifo(), requests: new Fifo(), others: new Fifo(), turn: 0 };
    this.#levels.splice(at, 0, level);
    return level;
  }
}

function laneOf({ type }: Outgoing): Lane {
  if (type === MESSAGE.TELL) return 'tells';
  return isRequest(type) ? 'requests' : 'others';
}

/** The first message that was not removed meanwhile. */
function firstWaiting(queue: Fifo<Outgoing>): Outgoing | undefined {
  for (;;) {
    const first = queue.first();
    if (first === undefined || first.state === 'waiting') return first;
    queue.shift();
  }
}

/** Messages with a number that are not acknowledged, in order. Bounded by the session: MAX_OUT_NUMBERS and bytes. */
export class Unacknowledged {
  readonly #messages = new Fifo<Outgoing>();
  /** Of these, those to send again, in order. */
  #again: Outgoing[] = [];
  #bytes = 0;
  #last = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#messages.length;
  }

  /** The number of the last message. */
  get last(): number {
    return this.#last;
  }

  first(): Outgoing | undefined {
    return this.#messages.first();
  }

  /** Adds a message and numbers it. */
  add(message: Outgoing): void {
    message.number = ++this.#last;
    this.#messages.push(message);
    this.#bytes += message.size;
  }

  /** Removes everything up to `number`, and gives each to `each`. */
  acknowledge(number: number, each: (message: Outgoing) => void): void {
    for (let first = this.first(); first !== undefined && first.number <= number; first = this.first()) {
      this.#messages.shift();
      if (first.state === 'out') this.#settle(first, each);
      this.#bytes -= first.size;
    }
  }

  /** A message behind a gap has arrived: it is not sent again. */
  acknowledgeOne(number: number, each: (message: Outgoing) => void): void {
    const first = this.first();
    const message = first === undefined ? undefined : this.#messages.at(number - first.number);
    if (message?.state === 'out') this.#settle(message, each);
  }

  /** Marks messages to be sent again; those with a number below `below` only. */
  sendAgain(which: (message: Outgoing) => boolean, below: number = Infinity): void {
    let found = false;
    for (const message of this.#messages) {
      if (message.number >= below) break;
      if (message.state !== 'out' || message.again || !which(message)) continue;
      message.again = found = true;
      this.#again.push(message);
    }
    if (found) this.#again.sort((a, b) => a.number - b.number);
  }

  /** Takes the next message to send again. */
  takeAgain(): Outgoing | undefined {
    for (let message = this.#again.shift(); message !== undefined; message = this.#again.shift()) {
      if (!message.again || message.state !== 'out') continue;
      message.again = false;
      return message;
    }
    return undefined;
  }

  *[Symbol.iterator](): Generator<Outgoing, void, undefined> {
    for (const message of this.#messages) if (message.state === 'out') yield message;
  }

  #settle(message: Outgoing, each: (message: Outgoing) => void): void {
    message.state = 'done';
    message.again = false;
    message.buffer = EMPTY_BYTES;
    each(message);
  }
}
