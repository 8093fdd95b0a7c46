/** The send queue of one connection: frames by priority, bounded in bytes. Has neither I/O nor a clock. */

import type { Encoder } from './codec.ts';
import { FrameBuffer, type FramePieces } from './frame-buffer.ts';

/**
 * A unit takes no more frames at this size: between two units a message of higher priority may be sent first. A little
 * less than a chunk, so that units of small frames are separate chunks.
 */
const UNIT_BYTES = 61_440;

/** A message whose sender waits for its result, or that has a deadline. */
export interface Ticket {
  /** Not sent at this time or later. Infinity: no deadline. */
  readonly deadlineMs: number;
  /** Called once: without an error when the message is in the kernel, else with the reason why it is not sent. */
  readonly settle: (error?: unknown) => void;
}

/** Complete frames that are sent together. */
interface Unit extends FramePieces {
  readonly seq: number;
  frames: number;
  readonly ticket: Ticket | undefined;
}

/** Units of one priority, oldest first. */
interface Level {
  readonly priority: number;
  units: Unit[]; // Bounded by the bytes of the queue.
  head: number;
}

/** The content of one write to the pipe. */
export interface Batch {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  readonly frames: number;
  readonly tickets: readonly Ticket[];
  /** The number of its oldest unit. */
  readonly firstSeq: number;
}

/** Bounded by `maxBytes`, including batches that are being written. */
export class SendQueue {
  readonly maxBytes: number;
  /** By descending priority; empty ones are removed, so they are bounded by the bytes of the queue. */
  #levels: Level[] = [];
  #flying: Batch[] = []; // Bounded by the writer, which has few writes pending.
  readonly #buffer: FrameBuffer;
  #queuedBytes = 0;
  #flyingBytes = 0;
  #units = 0;
  #seq = 0;
  /** The unit that may take the next frame, and its priority. */
  #open: Unit | undefined;
  #openPriority = 0;

  /** @param reuses - whether landed pieces are not referenced elsewhere, so that their memory can be reused. */
  constructor(maxBytes: number, reuses = false) {
    this.maxBytes = maxBytes;
    this.#buffer = new FrameBuffer(reuses);
  }

  /** All bytes that are not in the kernel. */
  get bytes(): number {
    return this.#queuedBytes + this.#flyingBytes;
  }

  /** The part of these that was taken. */
  get flyingBytes(): number {
    return this.#flyingBytes;
  }

  /** Whether there is nothing to take. */
  get isEmpty(): boolean {
    return this.#units === 0;
  }

  /**
   * Queues a message as one frame.
   *
   * @param limitBytes - the current limit, where it is less than `maxBytes`.
   * @returns whether there was room. If not, or if the encoder throws, nothing of it is queued.
   */
  push<M>(
    priority: number,
    message: M,
    encoder: Pick<Encoder<M>, 'encode'>,
    ticket?: Ticket,
    limitBytes: number = Infinity,
  ): boolean {
    const open = this.#open;
    const joins = open !== undefined && ticket === undefined && this.#openPriority === priority;
    const unit = joins ? open : this.#newUnit(priority, ticket);
    const buffer = this.#buffer;
    buffer.aim(unit);
    buffer.mark();
    const before = unit.bytes;
    try {
      encoder.encode(message, buffer);
    } catch (error) {
      this.#undo(unit);
      throw error;
    }
    const bytes = unit.bytes - before;
    if (this.#queuedBytes + this.#flyingBytes + bytes > Math.min(this.maxBytes, limitBytes)) {
      this.#undo(unit);
      return false;
    }
    unit.frames++;
    this.#queuedBytes += bytes;
    if (ticket !== undefined || unit.bytes >= UNIT_BYTES) {
      this.#open = undefined;
      buffer.finish();
    }
    return true;
  }

  /** Takes a frame that is complete and need not wait: nothing does. @returns `undefined`: it does not fit into the limits */
  launch(pieces: readonly Uint8Array[], ticket: Ticket, limitBytes: number): Batch | undefined {
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    if (this.#flyingBytes + bytes > Math.min(this.maxBytes, limitBytes)) return undefined;
    return this.#fly({ pieces, bytes, frames: 1, tickets: [ticket], firstSeq: ++this.#seq });
  }

  /**
   * Takes complete units, highest priority first: at least one, and more up to `wantBytes`.
   *
   * @param onLate - gets the tickets whose deadline has passed; their messages are dropped.
   */
  take(wantBytes: number, nowMs: number, onLate: (ticket: Ticket) => void): Batch | undefined {
    this.#open = undefined;
    this.#buffer.finish();
    const pieces: Uint8Array[] = [];
    const tickets: Ticket[] = [];
    let [bytes, frames, firstSeq] = [0, 0, Infinity];
    while (frames === 0 || bytes < wantBytes) {
      const unit = this.#shift();
      if (unit === undefined) break;
      if (unit.ticket !== undefined && nowMs >= unit.ticket.deadlineMs) {
        this.#buffer.landed(unit.pieces);
        onLate(unit.ticket);
        continue;
      }
      for (const piece of unit.pieces) pieces.push(piece);
      bytes += unit.bytes;
      frames += unit.frames;
      firstSeq = Math.min(firstSeq, unit.seq);
      if (unit.ticket !== undefined) tickets.push(unit.ticket);
    }
    return frames === 0 ? undefined : this.#fly({ pieces, bytes, frames, tickets, firstSeq });
  }

  /** The batch is in the kernel, or lost. */
  landed(batch: Batch): void {
    const flying = this.#flying;
    // The only one in most cases, and `splice` is slow.
    if (flying.length === 1 && flying[0] === batch) flying.pop();
    else {
      const at = flying.indexOf(batch);
      if (at < 0) return;
      flying.splice(at, 1);
    }
    this.#flyingBytes -= batch.bytes;
    this.#buffer.landed(batch.pieces);
    if (this.bytes === 0) this.#buffer.rest();
  }

  /** Drops the messages whose deadline has passed. @returns their tickets */
  expire(nowMs: number): readonly Ticket[] {
    const late: Ticket[] = [];
    for (const level of this.#levels) {
      const kept = level.units.slice(level.head).filter(({ ticket, bytes, pieces }) => {
        if (ticket === undefined || nowMs < ticket.deadlineMs) return true;
        late.push(ticket);
        this.#buffer.landed(pieces);
        this.#queuedBytes -= bytes;
        this.#units--;
        return false;
      });
      level.units = kept;
      level.head = 0;
    }
    this.#levels = this.#levels.filter(({ units }) => units.length > 0);
    return late;
  }

  /** When the next waiting message misses its deadline; Infinity when none has one. */
  nextDeadline(): number {
    let next = Infinity;
    for (const { units, head } of this.#levels) {
      for (let i = head; i < units.length; i++) next = Math.min(next, units[i]!.ticket?.deadlineMs ?? Infinity);
    }
    return next;
  }

  /** Returns a number that {@link SendQueue.oldest} exceeds once everything queued before has landed. */
  fence(): number {
    this.#open = undefined;
    return this.#seq;
  }

  /** The number of the oldest unit that has not landed; Infinity when all have. */
  oldest(): number {
    let oldest = Infinity;
    for (const { units, head } of this.#levels) oldest = Math.min(oldest, units[head]?.seq ?? Infinity);
    for (const { firstSeq } of this.#flying) oldest = Math.min(oldest, firstSeq);
    return oldest;
  }

  /** Removes everything. @returns the tickets of messages that will not be sent, or may not have been sent */
  clear(): readonly Ticket[] {
    const tickets: Ticket[] = [];
    for (const batch of this.#flying) tickets.push(...batch.tickets);
    for (const { units, head } of this.#levels) {
      for (const { ticket } of units.slice(head)) if (ticket !== undefined) tickets.push(ticket);
    }
    this.#levels = [];
    this.#flying = [];
    this.#queuedBytes = this.#flyingBytes = this.#units = 0;
    this.#open = undefined;
    this.#buffer.clear();
    return tickets;
  }

  #fly(batch: Batch): Batch {
    this.#flying.push(batch);
    this.#flyingBytes += batch.bytes;
    return batch;
  }

  #newUnit(priority: number, ticket: Ticket | undefined): Unit {
    let at = 0;
    while (at < this.#levels.length && this.#levels[at]!.priority > priority) at++;
    let level = this.#levels[at];
    if (level?.priority !== priority) {
      level = { priority, units: [], head: 0 };
      this.#levels.splice(at, 0, level);
    }
    const unit: Unit = { seq: ++this.#seq, pieces: [], bytes: 0, frames: 0, ticket };
    level.units.push(unit);
    this.#units++;
    this.#open = unit;
    this.#openPriority = priority;
    return unit;
  }

  /** Removes the bytes written of a frame, and the unit if it was begun for it. */
  #undo(unit: Unit): void {
    this.#buffer.back();
    if (unit.frames > 0) return;
    const at = this.#levels.findIndex(({ priority }) => priority === this.#openPriority);
    const level = this.#levels[at]!;
    level.units.pop();
    if (level.units.length === level.head) this.#levels.splice(at, 1);
    this.#units--;
    this.#open = undefined;
  }

  #shift(): Unit | undefined {
    const level = this.#levels[0];
    if (level === undefined) return undefined;
    const unit = level.units[level.head]!;
    level.head++;
    if (level.head === level.units.length) this.#levels.shift();
    else if (level.head > 32 && level.head * 2 > level.units.length) {
      level.units = level.units.slice(level.head);
      level.head = 0;
    }
    this.#units--;
    this.#queuedBytes -= unit.bytes;
    return unit;
  }
}
