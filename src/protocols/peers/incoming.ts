/**
 * Received numbered messages: each is taken once, and handed on in order. Messages that came before their turn wait here; so do
 * parts. Source: docs/wire/peers.md §§3, 4.
 */

import type { Bytes } from '../../base/bytes.ts';
import { MAX_INCOMPLETE, MAX_OUT_BYTES, MAX_OUT_NUMBERS, MAX_RANGES, type MessageType } from './constants.ts';
import type { NumberRange, PartPacket } from './packets.ts';

/** A message in its turn. */
export interface Received {
  readonly message: MessageType;
  /** Fields and payload. */
  readonly body: Bytes;
}

/** The pieces of one message that are kept; smaller ones than a sender makes are not worth more. */
const MAX_PIECES = 4096;

interface Piece {
  readonly offset: number;
  readonly bytes: Bytes;
}

/** One message of which parts have come. */
class Incomplete {
  readonly message: MessageType;
  readonly size: number;
  /** In order, without overlap. Bounded by MAX_PIECES. */
  readonly #pieces: Piece[] = [];
  #bytes = 0;

  constructor(message: MessageType, size: number) {
    this.message = message;
    this.size = size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds the bytes that are new; false when they are in too many pieces. */
  add(offset: number, bytes: Bytes): boolean {
    if (this.#pieces.length >= MAX_PIECES) return false;
    let [from, at] = [offset, 0];
    const end = offset + bytes.length;
    const added: Piece[] = [];
    for (const piece of this.#pieces) {
      const pieceEnd = piece.offset + piece.bytes.length;
      if (pieceEnd <= from) {
        at++;
        continue;
      }
      if (piece.offset >= end) break;
      if (piece.offset > from) added.push({ offset: from, bytes: bytes.slice(from - offset, piece.offset - offset) });
      from = Math.max(from, pieceEnd);
    }
    // Without overlap, nearly always, the bytes are kept as they are.
    if (from < end) added.push({ offset: from, bytes: from === offset ? bytes : bytes.slice(from - offset) });
    if (added.length === 0) return true;
    if (added.length === 1 && from === offset) this.#pieces.splice(at, 0, added[0]!);
    else {
      this.#pieces.push(...added);
      this.#pieces.sort((a, b) => a.offset - b.offset);
    }
    for (const piece of added) this.#bytes += piece.bytes.length;
    return true;
  }

  /** Bytes from the beginning on that have come. */
  get contiguous(): number {
    let end = 0;
    for (const { offset, bytes } of this.#pieces) {
      if (offset !== end) break;
      end += bytes.length;
    }
    return end;
  }

  /** The body; `undefined` while a part is missing. */
  body(): Bytes | undefined {
    if (this.#bytes < this.size) return undefined;
    const body = new Uint8Array(this.size);
    for (const { offset, bytes } of this.#pieces) body.set(bytes, offset);
    return body;
  }
}

export class Incoming {
  readonly #maxMessageBytes: number;
  /** Complete messages ahead of their turn. Bounded by MAX_OUT_NUMBERS and by bytes. */
  readonly #ahead = new Map<number, Received>();
  /** The numbers in it, in order. Bounded as it is. */
  readonly #ranges: { from: number; to: number }[] = [];
  readonly #incomplete = new Map<number, Incomplete>(); // Bounded by MAX_INCOMPLETE.
  #received = 0;
  #heldBytes = 0;

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** All messages up to this number have come. */
  get received(): number {
    return this.#received;
  }

  /** Bytes from the beginning of the next message that have come. */
  get partial(): number {
    return this.#incomplete.get(this.#received + 1)?.contiguous ?? 0;
  }

  /** Bytes of messages that wait for others. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether a message behind a gap has come. */
  get hasGap(): boolean {
    return this.#ahead.size > 0;
  }

  /** Whether the next message in order is complete right away: the usual case, without a copy or a map. */
  takeNext(number: number): boolean {
    if (number !== this.#received + 1 || this.#ahead.size > 0) return false;
    this.#received = number;
    this.#drop(number);
    return true;
  }

  /** Takes a message ahead of its turn; `dropped` where it is known already, or there is no room for it. */
  take(number: number, received: Received): 'taken' | 'duplicate' | 'no_room' {
    if (number <= this.#received || this.#ahead.has(number)) return 'duplicate';
    const bytes = received.body.length;
    if (number > this.#received + MAX_OUT_NUMBERS) return 'no_room';
    if (number !== this.#received + 1 && this.#heldBytes + bytes > this.#maxHeldBytes) return 'no_room';
    this.#drop(number);
    this.#ahead.set(number, received);
    this.#note(number);
    this.#heldBytes += bytes;
    return 'taken';
  }

  /** Takes a part; the message when it is complete. */
  takePart(part: PartPacket): Received | 'waiting' | 'duplicate' | 'no_room' | 'malformed' {
    const { number, message, size, offset, bytes } = part;
    if (number <= this.#received || this.#ahead.has(number)) return 'duplicate';
    // Fields take fewer bytes than this.
    if (size > Math.max(this.#maxMessageBytes, MAX_OUT_BYTES) + 64) return 'malformed';
    let incomplete = this.#incomplete.get(number);
    if (incomplete === undefined) {
      if (number > this.#received + MAX_OUT_NUMBERS) return 'no_room';
      const isNext = number === this.#received + 1;
      if (this.#incomplete.size >= MAX_INCOMPLETE && !isNext) return 'no_room';
      incomplete = new Incomplete(message, size);
      this.#incomplete.set(number, incomplete);
    } else if (incomplete.message !== message || incomplete.size !== size) return 'malformed';
    if (number !== this.#received + 1 && this.#heldBytes + bytes.length > this.#maxHeldBytes) return 'no_room';
    const before = incomplete.bytes;
    if (!incomplete.add(offset, bytes)) return 'no_room';
    this.#heldBytes += incomplete.bytes - before;
    const body = incomplete.body();
    return body === undefined ? 'waiting' : { message, body };
  }

  /** The next message in order, if it is here. */
  next(): Received | undefined {
    const received = this.#ahead.get(this.#received + 1);
    if (received === undefined) return undefined;
    this.#received++;
    this.#ahead.delete(this.#received);
    const range = this.#ranges[0]!;
    if (range.from === range.to) this.#ranges.shift();
    else range.from++;
    this.#heldBytes -= received.body.length;
    return received;
  }

  /** The first ranges of numbers that have come behind a gap. */
  ranges(): readonly NumberRange[] {
    return this.#ranges.slice(0, MAX_RANGES).map(({ from, to }) => ({ from, to }));
  }

  /** Adds a number to the ranges. */
  #note(number: number): void {
    const ranges = this.#ranges;
    let [low, high] = [0, ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ranges[middle]!.to < number - 1) low = middle + 1;
      else high = middle;
    }
    const range = ranges[low];
    if (range === undefined || range.from > number + 1) {
      ranges.splice(low, 0, { from: number, to: number });
      return;
    }
    range.from = Math.min(range.from, number);
    range.to = Math.max(range.to, number);
    const next = ranges[low + 1];
    if (next?.from !== range.to + 1) return;
    range.to = next.to;
    ranges.splice(low + 1, 1);
  }

  get #maxHeldBytes(): number {
    return Math.max(MAX_OUT_BYTES, this.#maxMessageBytes);
  }

  /** Its parts are not needed any more. */
  #drop(number: number): void {
    const incomplete = this.#incomplete.get(number);
    if (incomplete === undefined) return;
    this.#heldBytes -= incomplete.bytes;
    this.#incomplete.delete(number);
  }
}
