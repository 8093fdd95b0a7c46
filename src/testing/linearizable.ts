/**
 * Whether a recorded history of a cell is linearizable: whether there is an order of its calls in which each takes effect at one moment between its beginning
 * and its end. The search is that of Wing and Gong with Lowe's memory of states.
 */

import { type Bytes, toHex } from '../base/bytes.ts';
import type { Cell, CellCallOptions } from '../cells/cell.ts';
import { P2PError } from '../core/errors.ts';

/** A call of a cell, as it was recorded. Times are of one clock for all processes. */
export interface CellCall {
  /** Who called; for messages. */
  readonly process: string;
  readonly type: 'get' | 'cas';
  readonly startMs: number;
  /** `undefined`: nobody knows whether, and when, it took effect. */
  readonly endMs?: number | undefined;
  /** For `cas`: what was expected and what was to be written. Any text that is equal for equal values. */
  readonly expected?: string | undefined;
  readonly next?: string | undefined;
  /** What `get` or a `cas` that did not swap has seen. */
  readonly seen?: string | undefined;
  /** Of a `cas` with an end. */
  readonly swapped?: boolean | undefined;
}

/** What {@link checkLinearizable} found. */
export type LinearizableResult =
  | { readonly ok: true; /** The last value, in one of the orders. */ readonly value: string }
  | { readonly ok: false; /** Where the search got stuck, in one sentence. */ readonly reason: string };

/** Options of {@link checkLinearizable}. */
export interface LinearizableOptions {
  /** What the cell held at first. @default '' */
  readonly initial?: string | undefined;
  /** Steps of the search, after which it rejects the history as too hard. @default 5 000 000 */
  readonly maxSteps?: number | undefined;
}

interface Write {
  readonly call: CellCall;
  readonly index: number;
}

/** A choice of the search that may be taken back. */
interface Frame {
  /** The calls that were placed with it: one write, and then the reads that fit. */
  readonly placed: number[];
  readonly value: string;
  readonly low: number;
  /** Writes that could have been placed instead. */
  readonly others: Write[];
}

/**
 * Checks a history of one cell. Calls without an end may have taken effect at any time after their beginning, or never.
 *
 * @throws {RangeError} when the search takes more than `maxSteps`.
 */
export function checkLinearizable(
  history: readonly CellCall[],
  { initial = '', maxSteps = 5_000_000 }: LinearizableOptions = {},
): LinearizableResult {
  return new Search(history, maxSteps).run(initial);
}

class Search {
  readonly #known: readonly CellCall[];
  readonly #unknown: readonly CellCall[];
  readonly #done: Uint8Array;
  readonly #maxSteps: number;
  /** The first known call that has no place yet. */
  #low = 0;
  #value = '';
  #steps = 0;
  /** States that lead nowhere. Bounded by `maxSteps`. */
  readonly #dead = new Set<string>();

  constructor(history: readonly CellCall[], maxSteps: number) {
    const sorted = history.toSorted((a, b) => a.startMs - b.startMs);
    this.#known = sorted.filter(({ endMs }) => endMs !== undefined);
    // A read without an end says nothing.
    this.#unknown = sorted.filter(({ endMs, type }) => endMs === undefined && type === 'cas');
    this.#done = new Uint8Array(this.#known.length + this.#unknown.length);
    this.#maxSteps = maxSteps;
  }

  run(initial: string): LinearizableResult {
    this.#value = initial;
    const frames: Frame[] = [];
    let placed = this.#placeReads();
    let farthest = this.#low;
    let stuckAt = this.#value;
    for (;;) {
      if (this.#low === this.#known.length) return { ok: true, value: this.#value };
      if (this.#low > farthest) [farthest, stuckAt] = [this.#low, this.#value];
      if (++this.#steps > this.#maxSteps)
        throw new RangeError(`Cannot check history: more than ${this.#maxSteps} steps`);
      let choices = this.#writes();
      const state = this.#state();
      if (this.#dead.has(state)) choices = [];
      else this.#dead.add(state);
      let next = choices.shift();
      if (next !== undefined) {
        frames.push({ placed, value: this.#value, low: this.#low, others: choices });
      }
      while (next === undefined) {
        for (const index of placed) this.#done[index] = 0;
        const frame = frames.at(-1);
        if (frame === undefined) return { ok: false, reason: this.#reason(farthest, stuckAt) };
        ({ value: this.#value, low: this.#low } = frame);
        next = frame.others.shift();
        if (next === undefined) {
          frames.pop();
          ({ placed } = frame);
        }
      }
      placed = this.#place(next);
    }
  }

  #place({ call, index }: Write): number[] {
    this.#done[index] = 1;
    this.#value = call.next!;
    return [index, ...this.#placeReads()];
  }

  /** Places every read that fits now: it changes nothing, so it is in nobody's way. */
  #placeReads(): number[] {
    const placed: number[] = [];
    for (;;) {
      while (this.#low < this.#known.length && this.#done[this.#low] === 1) this.#low++;
      const before = placed.length;
      let firstEndMs = Infinity;
      for (let i = this.#low; i < this.#known.length; i++) {
        if (this.#done[i] === 1) continue;
        const { startMs, endMs, type, swapped, seen, expected } = this.#known[i]!;
        if (startMs > firstEndMs) break;
        firstEndMs = Math.min(firstEndMs, endMs!);
        const isRead = type === 'get' || swapped === false;
        // A swap that was not done has seen something else than it expected.
        if (!isRead || seen !== this.#value || (type === 'cas' && seen === expected)) continue;
        this.#done[i] = 1;
        placed.push(i);
      }
      if (placed.length === before) return placed;
    }
  }

  /** The writes that may come next: all that begin before the first end of those that have no place yet. */
  #writes(): Write[] {
    const found: Write[] = [];
    let firstEndMs = Infinity;
    for (let i = this.#low; i < this.#known.length; i++) {
      if (this.#done[i] === 1) continue;
      const call = this.#known[i]!;
      if (call.startMs > firstEndMs) break;
      firstEndMs = Math.min(firstEndMs, call.endMs!);
      if (call.swapped === true && call.expected === this.#value) found.push({ call, index: i });
    }
    const possible = (each: Write): boolean => each.call.startMs <= firstEndMs;
    const known = found.filter(possible);
    for (const [i, call] of this.#unknown.entries()) {
      const index = this.#known.length + i;
      if (this.#done[index] === 1 || call.expected !== this.#value || call.startMs > firstEndMs) continue;
      known.push({ call, index });
    }
    return known;
  }

  /** What the rest of the search depends on: which calls have a place, and the value. */
  #state(): string {
    let key = `${this.#low} ${JSON.stringify(this.#value)}`;
    for (let i = this.#low; i < this.#known.length; i++) {
      // Behind a gap of many calls nothing has a place.
      if (this.#done[i] === 1) key += `,${i}`;
      else if (i - this.#low > MAX_CONCURRENT) break;
    }
    for (let i = this.#known.length; i < this.#done.length; i++) if (this.#done[i] === 1) key += `;${i}`;
    return key;
  }

  #reason(at: number, value: string): string {
    const { process, type, seen, swapped, expected, next } = this.#known[at] ?? this.#known.at(-1)!;
    const call =
      type === 'get'
        ? `read ${short(seen)}`
        : `${swapped ? 'swapped' : 'did not swap'} ${short(expected)} for ${short(next)}`;
    return `no order explains call ${at}: ${process} ${call}${swapped === false ? ` and saw ${short(seen)}` : ''}, while the cell may hold ${short(value)}`;
  }
}

const short = (text: string | undefined): string => (text === undefined ? '?' : `"${text.slice(0, 64)}"`);

/** Calls at the same time that the memory of states tells apart; with more, states are told apart too seldom, which costs time only. */
const MAX_CONCURRENT = 4096;

/** Records the calls of a cell in a history that {@link checkLinearizable} takes. */
export function recordCalls(cell: Cell, history: CellCall[], process: string, nowMs: () => number): Cell {
  /** Ends of calls must not seem earlier than beginnings of others in the same instant. */
  const record = async <T>(
    call: Omit<CellCall, 'endMs'>,
    run: () => Promise<T>,
    seen: (result: T) => Partial<CellCall>,
  ): Promise<T> => {
    try {
      const result = await run();
      history.push({ ...call, ...seen(result), endMs: nowMs() });
      return result;
    } catch (error) {
      if (!P2PError.is(error) || error.sent === 'maybe') history.push(call);
      throw error;
    }
  };
  return {
    maxBytes: cell.maxBytes,
    realm: cell.realm,
    get: (options?: CellCallOptions): Promise<Bytes> =>
      record(
        { process, type: 'get', startMs: nowMs() },
        () => cell.get(options),
        (value) => ({ seen: toHex(value) }),
      ),
    cas: (expected, next, options) => {
      const call = { process, type: 'cas', startMs: nowMs(), expected: toHex(expected), next: toHex(next) } as const;
      return record(
        call,
        () => cell.cas(expected, next, options),
        ({ swapped, current }) => ({ swapped, seen: toHex(current) }),
      );
    },
    close: () => cell.close(),
    [Symbol.asyncDispose]: () => cell.close(),
  };
}
