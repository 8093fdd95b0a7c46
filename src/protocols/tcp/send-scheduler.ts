/**
 * Chooses the next message to send. Higher priorities first; within one priority, tells are sent in order, and
 * alternate chunk by chunk with asks, so that neither blocks the other. Source: docs/wire/tcp.md §4.
 */

import type { Priority } from '../../core/priority.ts';
import { Fifo } from '../../base/fifo.ts';
import type { MessageHead } from './frames.ts';

/** A message to send. */
export interface Outgoing {
  readonly head: MessageHead;
  /** Must not change until it is written or cancelled. */
  readonly payload: Uint8Array;
  readonly priority: Priority;
  offset: number;
  /** Its stream, once it has begun to be sent in parts. */
  stream: number | undefined;
}

/** For a message that was not completely written: whether a byte may have been sent. */
export function sentOf({ stream }: Outgoing): 'no' | 'maybe' {
  return stream === undefined ? 'no' : 'maybe';
}

interface Level {
  readonly priority: Priority;
  /** In order; only the first can have begun. */
  readonly tells: Fifo<Outgoing>;
  /** Requests that have not begun, in order. */
  readonly requests: Fifo<Outgoing>;
  /** Answers and refusals, and requests that have begun; sent in rotation. */
  readonly ring: Outgoing[];
  at: number;
  /** Which kind is next: tells or asks; among asks, those in the ring or those that have not begun. */
  turn: 'tells' | 'asks';
  askTurn: 'ring' | 'requests';
}

/** Bounded by its owner, which checks `bytes` and `size`. */
export class SendScheduler {
  /** By descending priority; empty ones are removed, but for the last. */
  #levels: Level[] = [];
  #bytes = 0;
  #tells = 0;
  #size = 0;

  /** Payload bytes of messages that are not completely sent. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#size;
  }

  get tells(): number {
    return this.#tells;
  }

  /** Tells and requests that are not completely sent: they must be sent before a bye. */
  get unsaid(): number {
    let unsaid = this.#tells;
    for (const { requests, ring } of this.#levels) {
      unsaid += requests.length;
      for (const { head } of ring) if (head.type === 'request') unsaid++;
    }
    return unsaid;
  }

  add(message: Outgoing): void {
    const level = this.#level(message.priority);
    if (message.head.type === 'tell') {
      level.tells.push(message);
      this.#tells++;
    } else if (message.head.type === 'request') level.requests.push(message);
    else level.ring.push(message);
    this.#bytes += message.payload.length;
    this.#size++;
  }

  /** Removes a message that was written or cancelled. False when it is not in here. */
  remove(message: Outgoing): boolean {
    const level = this.#levels[this.#place(message.priority)];
    if (level?.priority !== message.priority) return false;
    const { ring, tells, requests } = level;
    if (tells.first() === message) tells.shift();
    else if (requests.first() === message) requests.shift();
    else {
      const at = ring.indexOf(message);
      if (at >= 0) {
        ring.splice(at, 1);
        if (at < level.at) level.at--;
      } else if (!tells.remove(message) && !requests.remove(message)) return false;
    }
    if (message.head.type === 'tell') this.#tells--;
    this.#bytes -= message.payload.length;
    this.#size--;
    if (isEmpty(level)) this.#forget(level);
    return true;
  }

  /**
   * The next message to send. A request that has begun in parts must be passed to {@link SendScheduler.begun}.
   *
   * @param mayGoOn - whether there is credit, and a stream, for it.
   */
  next(mayGoOn: (message: Outgoing) => boolean): Outgoing | undefined {
    let tellsBlocked = false;
    let requestsBlocked = false;
    for (const level of this.#levels) {
      const tell: Outgoing | undefined = tellsBlocked ? undefined : level.tells.first();
      const tellGoes: boolean = tell !== undefined && mayGoOn(tell);
      // A message of lower priority does not overtake one that waits for the same credit.
      tellsBlocked ||= tell !== undefined && !tellGoes;
      const request: Outgoing | undefined = requestsBlocked ? undefined : level.requests.first();
      const requestGoes: boolean = request !== undefined && mayGoOn(request);
      requestsBlocked ||= request !== undefined && !requestGoes;
      if (tellGoes && level.turn === 'tells') {
        level.turn = 'asks';
        return tell;
      }
      level.turn = 'tells';
      if (requestGoes && level.askTurn === 'requests') {
        level.askTurn = 'ring';
        return request;
      }
      level.askTurn = 'requests';
      const inRing = this.#inRing(level, mayGoOn);
      if (inRing !== undefined) return inRing;
      if (requestGoes) return request;
      if (tellGoes) return tell;
    }
    return undefined;
  }

  /** A request has begun in parts: from now on it alternates with the others. */
  begun(request: Outgoing): void {
    const level = this.#level(request.priority);
    if (level.requests.first() !== request) return;
    level.requests.shift();
    level.ring.push(request);
  }

  /** Removes all messages. */
  clear(): readonly Outgoing[] {
    const all = this.#levels.flatMap(({ tells, requests, ring }) => [...tells, ...requests, ...ring]);
    this.#levels = [];
    this.#bytes = this.#tells = this.#size = 0;
    return all;
  }

  #inRing(level: Level, mayGoOn: (message: Outgoing) => boolean): Outgoing | undefined {
    const { ring } = level;
    for (let i = 0; i < ring.length; i++) {
      if (level.at >= ring.length) level.at = 0;
      const message = ring[level.at++]!;
      if (mayGoOn(message)) return message;
    }
    return undefined;
  }

  /** Where the level of a priority is, or would be. */
  #place(priority: Priority): number {
    let at = 0;
    while (at < this.#levels.length && this.#levels[at]!.priority > priority) at++;
    return at;
  }

  /** A level has become empty. The last one is kept: most connections have one priority only. */
  #forget(level: Level): void {
    if (this.#levels.length > 1) this.#levels.splice(this.#levels.indexOf(level), 1);
    level.at = 0;
    level.turn = 'tells';
    level.askTurn = 'ring';
  }

  #level(priority: Priority): Level {
    const at = this.#place(priority);
    const found = this.#levels[at];
    if (found?.priority === priority) return found;
    const level: Level = {
      priority,
      tells: new Fifo(),
      requests: new Fifo(),
      ring: [],
      at: 0,
      turn: 'tells',
      askTurn: 'ring',
    };
    // An empty one has been kept, and is of no use now.
    if (this.#levels.length === 1 && isEmpty(this.#levels[0]!)) this.#levels = [level];
    else this.#levels.splice(at, 0, level);
    return level;
  }
}

function isEmpty({ ring, tells, requests }: Level): boolean {
  return ring.length + tells.length + requests.length === 0;
}
