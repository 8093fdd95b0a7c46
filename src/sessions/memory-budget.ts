/**
 * Memory that peers make a process hold, as one budget for all of them. While the budget is used up, peers that hold more than a floor
 * wait, and peers that others wait for are ended if they move nothing.
 */

import { type Realm, type Timer } from '../core/realm.ts';
import { sourceOf } from '../base/source-shares.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { later } from '../runtime/later.ts';

/** What each peer may hold even when the budget is used up, so that small messages pass. */
const FLOOR_BYTES = 8192;
/** When so many times the budget is held, and a read for each holder, floors are refused too; a network alone may hold as much. */
const HARD_TIMES = 2;
/** What one read brings at most, before it is known that there is no room for it. */
const READ_BYTES = 65_536;
/** The part of the budget that the peers of one network may hold beside others. */
const SOURCE_SHARE = 3 / 4;
/** A network with so many times its even share loses stalled holders even where it is this node that does not read them. */
const UNFAIR_TIMES = 3 / 2;
/** While peers wait, how often stalled ones are looked for: those that have moved less than `STALL_BYTES` in `STALL_MS`. */
const LOOK_MS = 1000;
const STALL_MS = 5000;
const STALL_BYTES = 16_384;

/** What a budget does with a holder. */
export interface HolderHooks {
  /** There may be room: continue. */
  readonly resume: () => void;
  /** It is ended for others: release what it holds. */
  readonly end: () => void;
}

/** What one peer holds. */
export class MemoryHolder {
  readonly source: string;
  readonly hooks: HolderHooks;
  readonly #budget: MemoryBudget;
  #held = 0;
  #stalling = 0;
  #moved = 0;
  #movedMs: number;

  constructor(budget: MemoryBudget, source: string, hooks: HolderHooks, nowMs: number) {
    this.#budget = budget;
    this.source = source;
    this.hooks = hooks;
    this.#movedMs = nowMs;
  }

  /** When it last moved enough. */
  get movedMs(): number {
    return this.#movedMs;
  }

  /** Bytes, as last told. */
  get held(): number {
    return this.#held;
  }

  /** Of these, what waits for the peer and not for us. */
  get stalling(): number {
    return this.#stalling;
  }

  /** Whether it may take more, when it holds `bytes` by now. */
  mayTake(bytes: number = this.#held): boolean {
    return this.#budget.allows(this, bytes);
  }

  /** It holds so much now; `stalling` of it until the peer does something. */
  update(held: number, stalling: number): void {
    const change = held - this.#held;
    this.#held = held;
    this.#stalling = stalling;
    if (change !== 0) this.#budget.changed(this, change);
  }

  /** The peer has brought, or taken, so many bytes. */
  move(bytes: number): void {
    this.#moved += bytes;
    if (this.#moved < STALL_BYTES) return;
    this.#moved = 0;
    this.#movedMs = this.#budget.nowMs;
  }

  /** Waits for room: `resume` is called, once, in a later turn. */
  wait(): void {
    this.#budget.wait(this);
  }

  /** Whether it has moved next to nothing for a while. */
  isStalled(nowMs: number): boolean {
    return this.#stalling > FLOOR_BYTES && nowMs - this.#movedMs >= STALL_MS;
  }

  /** It waits no longer. What it still holds counts until it is told to be less. */
  leave(): void {
    this.#stalling = 0;
    this.#budget.leave(this);
  }
}

/** One budget. */
export class MemoryBudget {
  readonly maxBytes: number;
  readonly #realm: Realm;
  /** Bounded by the connections of the budget's owner, as are the following. */
  readonly #holders = new Set<MemoryHolder>();
  readonly #bySource = new Map<string, number>();
  /** In the order in which they began to wait. */
  readonly #waiting = new Set<MemoryHolder>();
  /** The one that may take more although the budget is used up, so that one message after the other is completed. */
  #favoured: MemoryHolder | undefined;
  #held = 0;
  #isWaking = false;
  #timer: Timer | undefined;

  constructor(maxBytes: number, realm: Realm) {
    this.maxBytes = maxBytes;
    this.#realm = realm;
  }

  /** All that is held, in bytes. */
  get held(): number {
    return this.#held;
  }

  /** Bytes that are free. */
  get free(): number {
    return Math.max(this.maxBytes - this.#held, 0);
  }

  get nowMs(): number {
    return this.#realm.nowMs();
  }

  /** Holders that wait for room. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param ip - whose network shares what it may hold. */
  join(ip: string, hooks: HolderHooks): MemoryHolder {
    const holder = new MemoryHolder(this, sourceOf(ip), hooks, this.nowMs);
    this.#holders.add(holder);
    return holder;
  }

  allows(holder: MemoryHolder, bytes: number): boolean {
    const more = bytes - holder.held;
    const held = this.#held + more;
    const isAlone = this.#bySource.size === (this.#bySource.has(holder.source) ? 1 : 0);
    const hard = this.maxBytes * HARD_TIMES;
    if (bytes <= FLOOR_BYTES) return held <= hard + this.#holders.size * READ_BYTES;
    if (isAlone || holder === this.#favoured) return held <= hard;
    return held <= this.maxBytes && this.#of(holder.source) + more <= this.maxBytes * SOURCE_SHARE;
  }

  changed(holder: MemoryHolder, bytes: number): void {
    this.#held += bytes;
    const ofSource = this.#of(holder.source) + bytes;
    if (ofSource > 0) this.#bySource.set(holder.source, ofSource);
    else this.#bySource.delete(holder.source);
    if (holder === this.#favoured && holder.stalling <= FLOOR_BYTES) this.#favour(undefined);
    if (bytes < 0) this.#wake();
  }

  wait(holder: MemoryHolder): void {
    this.#waiting.add(holder);
    if (holder.mayTake()) this.#wake();
    this.#armLook();
  }

  leave(holder: MemoryHolder): void {
    this.#holders.delete(holder);
    this.#waiting.delete(holder);
    if (holder === this.#favoured) this.#favour(undefined);
    if (this.#waiting.size === 0) this.#disarm();
  }

  /** Favours one, or looks for the next one. */
  #favour(holder: MemoryHolder | undefined): void {
    const hadOne = this.#favoured !== undefined;
    this.#favoured = holder;
    if (holder !== undefined) this.#wake();
    else if (hadOne) later(this.#realm, () => this.#favourNext());
  }

  /** When no holder may take more, favours the one that holds least. */
  #favourNext(): void {
    if (this.#favoured !== undefined || [...this.#waiting].some((holder) => holder.mayTake())) return;
    this.#favour([...this.#waiting].toSorted((a, b) => a.held - b.held)[0]);
  }

  #of(source: string): number {
    return this.#bySource.get(source) ?? 0;
  }

  /** Resumes holders for which there is room, the longest waiting first. */
  #wake(): void {
    if (this.#isWaking || this.#waiting.size === 0) return;
    this.#isWaking = true;
    later(this.#realm, () => {
      this.#isWaking = false;
      const waiting = Array.from(this.#waiting); // those that wait again come last, in a later turn
      for (const holder of waiting) {
        if (!this.#waiting.has(holder) || !holder.mayTake()) continue;
        this.#waiting.delete(holder);
        holder.hooks.resume();
      }
      if (this.#waiting.size === 0) this.#disarm();
    });
  }

  #armLook(): void {
    this.#timer ??= clockOf(this.#realm).setTimer(this.nowMs + LOOK_MS, () => this.#look(), { background: true });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /**
   * Ends stalled holders until half of the budget is free: the longest stalled first, then those of the network that holds most. A holder
   * that waits cannot move, so it is spared, unless its network has far more than its even part.
   */
  #look(): void {
    this.#timer = undefined;
    const nowMs = this.nowMs;
    const unfair = (this.maxBytes / this.#bySource.size) * UNFAIR_TIMES;
    const stalled = [...this.#holders].filter(
      (holder) => holder.isStalled(nowMs) && (!this.#waiting.has(holder) || this.#of(holder.source) > unfair),
    );
    const victims = stalled.toSorted(
      (a, b) => a.movedMs - b.movedMs || this.#of(b.source) - this.#of(a.source) || b.stalling - a.stalling,
    );
    for (const holder of victims) {
      if (this.#held * 2 <= this.maxBytes) break;
      holder.hooks.end();
    }
    this.#favourNext();
    this.#wake();
    if (this.#waiting.size > 0) this.#armLook();
  }
}
