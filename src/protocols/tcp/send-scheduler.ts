/**
 * Which message goes on next. Higher priorities first; within one, tells in order, and asks beside them in turn, chunk by
 * chunk, so that neither waits for the other. Source: docs/wire/tcp.md §4.
 */

import { type Priority } from '../../core/priority.ts';
import { Fifo } from './fifo.ts';
import { type MessageHead } from './frames.ts';

/** A message on its way out. */
export interface Outgoing {
  readonly head: MessageHead;
  /** Borrowed until it is written or given up. */
  readonly payload: Uint8Array;
  readonly priority: Priority;
  offset: number;
  /** Its stream, once it has begun in parts. */
  stream: number | undefined;
}

/** Whether a byte may have left, of a message that was not all written. */
export function sentOf({ stream }: Outgoing): 'no' | 'maybe' {
  return stream === undefined ? 'no' : 'maybe';
}

interface Level {
  readonly priority: Priority;
  /** In order; only the first can be begun. */
  readonly tells: Fifo<Outgoing>;
  /** Requests that have not begun, in order. */
  readonly requests: Fifo<Outgoing>;
  /** Answers and refusals, and requests that have begun: a ring. */
  readonly ring: Outgoing[];
  at: number;
  /** Whose turn it is: tells or asks; and of asks, those in the ring or those that have not begun. */
  turn: 'tells' | 'asks';
  askTurn: 'ring' | 'requests';
}

/** Bounded by its owner, which looks at `bytes` and `size`. */
export class SendScheduler {
  /** By falling priority; an empty one is removed. */
  #levels: Level[] = [];
  #bytes = 0;
  #tells = 0;
  #size = 0;

  /** Payload bytes of what is not whole on its way. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#size;
  }

  get tells(): number {
    return this.#tells;
  }

  /** Tells and requests that are not whole on their way: what has to be out before a bye. */
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

  /** Takes a message out: it is written, or given up. False when it is not here. */
  remove(message: Outgoing): boolean {
    const level = this.#levels.find(({ priority }) => priority === message.priority);
    if (level === undefined) return false;
    const { ring, tells, requests } = level;
    const at = ring.indexOf(message);
    if (at >= 0) {
      ring.splice(at, 1);
      if (at < level.at) level.at--;
    } else if (tells.first() === message) tells.shift();
    else if (requests.first() === message) requests.shift();
    else if (!tells.remove(message) && !requests.remove(message)) return false;
    if (message.head.type === 'tell') this.#tells--;
    this.#bytes -= message.payload.length;
    this.#size--;
    if (ring.length + tells.length + requests.length === 0) {
      this.#levels = this.#levels.filter((other) => other !== level);
    }
    return true;
  }

  /**
   * The message that goes on next. A request that has begun in parts must be handed to {@link SendScheduler.begun}.
   *
   * @param mayGoOn - whether there is credit, and a stream, for it.
   */
  next(mayGoOn: (message: Outgoing) => boolean): Outgoing | undefined {
    let tellsBlocked = false;
    let requestsBlocked = false;
    for (const level of this.#levels) {
      const tell: Outgoing | undefined = tellsBlocked ? undefined : level.tells.first();
      const tellGoes: boolean = tell !== undefined && mayGoOn(tell);
      // What is less urgent does not overtake what waits for the same credit.
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

  /** A request has begun in parts: from now on it goes in turn with the others. */
  begun(request: Outgoing): void {
    const level = this.#level(request.priority);
    if (level.requests.first() !== request) return;
    level.requests.shift();
    level.ring.push(request);
  }

  /** Takes everything out. */
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

  #level(priority: Priority): Level {
    let at = 0;
    while (at < this.#levels.length && this.#levels[at]!.priority > priority) at++;
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
    this.#levels.splice(at, 0, level);
    return level;
  }
}
