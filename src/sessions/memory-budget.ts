/**
 * One memory budget for all peers of a process. While the budget is used up, peers that hold more than a floor must
 * wait, and stalled peers are disconnected to make room.
 */

import type { Realm, Timer } from '../core/realm.ts';
import { sourceOf } from '../base/source-shares.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { later } from '../runtime/later.ts';

/** The bytes each peer may hold even when the budget is used up, so that small messages pass. */
const FLOOR_BYTES = 8192;
/** At this multiple of the budget, plus one read per holder, floors are refused too; one network may hold this much. */
const HARD_TIMES = 2;
/** The maximum that one read brings before the budget is checked. */
const READ_BYTES = 65_536;
/** The part of the budget that the peers of one network may hold when other networks hold memory. */
const SOURCE_SHARE = 3 / 4;
/** A network above this multiple of its even share loses stalled holders even when the stall is on this side. */
const UNFAIR_TIMES = 3 / 2;
/**
 * While peers wait, the interval at which stalled ones are looked for: those that moved less than `STALL_BYTES` in
 * `STALL_MS`.
 */
const LOOK_MS = 1000;
const STALL_MS = 5000;
const STALL_BYTES = 16_384;

/** The callbacks of a holder. */
export interface HolderHooks {
  /** There may be room: continue. */
  readonly resume: () => void;
  /** The peer is disconnected to free memory: release what it holds. */
  readonly end: () => void;
}

/** What the holders of one network hold. */
interface Network {
  readonly name: string;
  held: number;
  /** Holders that are in the budget. */
  holders: number;
}

/** The memory of one peer. */
export class MemoryHolder {
  readonly source: string;
  /** The record of its source. @internal */
  network: Network;
  readonly hooks: HolderHooks;
  readonly #budget: MemoryBudget;
  #held = 0;
  #stalling = 0;
  #moved = 0;
  #movedMs: number;

  constructor(budget: MemoryBudget, source: string, hooks: HolderHooks, nowMs: number) {
    this.#budget = budget;
    this.source = source;
    this.network = budget.networkOf(source);
    this.network.holders++;
    this.hooks = hooks;
    this.#movedMs = nowMs;
  }

  /** When it last moved enough bytes. */
  get movedMs(): number {
    return this.#movedMs;
  }

  /** Bytes held, as last reported. */
  get held(): number {
    return this.#held;
  }

  /** Of these, the bytes that wait for the peer and not for this side. */
  get stalling(): number {
    return this.#stalling;
  }

  /** Whether it may take more, given that it holds `bytes` now. */
  mayTake(bytes: number = this.#held): boolean {
    return this.#budget.allows(this, bytes);
  }

  /** Reports the bytes held now; `stalling` of them wait for an action of the peer. */
  update(held: number, stalling: number): void {
    const change = held - this.#held;
    this.#held = held;
    this.#stalling = stalling;
    if (change !== 0) this.#budget.changed(this, change);
  }

  /** Reports bytes that the peer has sent or taken. */
  move(bytes: number): void {
    this.#moved += bytes;
    if (this.#moved < STALL_BYTES) return;
    this.#moved = 0;
    this.#movedMs = this.#budget.nowMs;
  }

  /** Waits for room: `resume` is called once, asynchronously. */
  wait(): void {
    this.#budget.wait(this);
  }

  /** It was refused memory, and what it had to take was dropped: stalled holders are looked for, as while one waits. */
  refused(): void {
    this.#budget.armLook();
  }

  /** Whether it has moved almost nothing for some time. */
  isStalled(nowMs: number): boolean {
    return this.#stalling > FLOOR_BYTES && nowMs - this.#movedMs >= STALL_MS;
  }

  /** Stops waiting. What it still holds counts until an update reports less. */
  leave(): void {
    this.#stalling = 0;
    this.#budget.leave(this);
  }
}

/** One budget. */
export class MemoryBudget {
  readonly maxBytes: number;
  readonly #realm: Realm;
  /** Bounded by the connections of the budget's owner, as are the collections below. */
  readonly #holders = new Set<MemoryHolder>();
  readonly #networks = new Map<string, Network>();
  /** Networks that hold anything. */
  #holding = 0;
  /** In order of waiting. */
  readonly #waiting = new Set<MemoryHolder>();
  /**
   * The holder that may take more although the budget is used up, so that messages are completed one after the other.
   */
  #favoured: MemoryHolder | undefined;
  #held = 0;
  #isWaking = false;
  #timer: Timer | undefined;

  constructor(maxBytes: number, realm: Realm) {
    this.maxBytes = maxBytes;
    this.#realm = realm;
  }

  /** All bytes held. */
  get held(): number {
    return this.#held;
  }

  /** Free bytes. */
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

  /** @param ip - peers of the same network share a limit. */
  join(ip: string, hooks: HolderHooks): MemoryHolder {
    const holder = new MemoryHolder(this, sourceOf(ip), hooks, this.nowMs);
    this.#holders.add(holder);
    return holder;
  }

  allows(holder: MemoryHolder, bytes: number): boolean {
    const more = bytes - holder.held;
    const held = this.#held + more;
    const hard = this.maxBytes * HARD_TIMES;
    if (bytes <= FLOOR_BYTES) return held <= hard + this.#holders.size * READ_BYTES;
    const isAlone = this.#holding === (holder.network.held > 0 ? 1 : 0);
    if (isAlone || holder === this.#favoured) return held <= hard;
    return held <= this.maxBytes && holder.network.held + more <= this.maxBytes * SOURCE_SHARE;
  }

  changed(holder: MemoryHolder, bytes: number): void {
    this.#held += bytes;
    // One that has left may hold something again, after its network was forgotten.
    if (holder.network.holders === 0) holder.network = this.networkOf(holder.source);
    const { network } = holder;
    const hadAny = network.held > 0;
    network.held += bytes;
    if (network.held > 0 !== hadAny) this.#holding += hadAny ? -1 : 1;
    this.#forget(network);
    if (holder === this.#favoured && holder.stalling <= FLOOR_BYTES) this.#favour(undefined);
    if (bytes < 0) this.#wake();
  }

  wait(holder: MemoryHolder): void {
    this.#waiting.add(holder);
    if (holder.mayTake()) this.#wake();
    this.armLook();
  }

  leave(holder: MemoryHolder): void {
    if (this.#holders.delete(holder)) holder.network.holders--;
    this.#forget(holder.network);
    this.#waiting.delete(holder);
    if (holder === this.#favoured) this.#favour(undefined);
    if (this.#waiting.size === 0) this.#disarm();
  }

  /** Favours a holder, or looks for the next one. */
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

  /** What is known of a source. @internal */
  networkOf(name: string): Network {
    let network = this.#networks.get(name);
    if (network === undefined) this.#networks.set(name, (network = { name, held: 0, holders: 0 }));
    return network;
  }

  #forget(network: Network): void {
    if (network.holders === 0 && network.held <= 0) this.#networks.delete(network.name);
  }

  /** Resumes holders for which there is room, longest waiting first. */
  #wake(): void {
    if (this.#isWaking || this.#waiting.size === 0) return;
    this.#isWaking = true;
    later(this.#realm, () => {
      this.#isWaking = false;
      const waiting = Array.from(this.#waiting); // holders that wait again come last, asynchronously
      for (const holder of waiting) {
        if (!this.#waiting.has(holder) || !holder.mayTake()) continue;
        this.#waiting.delete(holder);
        holder.hooks.resume();
      }
      if (this.#waiting.size === 0) this.#disarm();
    });
  }

  /** Looks for stalled holders soon. */
  armLook(): void {
    this.#timer ??= clockOf(this.#realm).setTimer(this.nowMs + LOOK_MS, () => this.#look(), { background: true });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /**
   * Disconnects stalled holders until half of the budget is free: the longest stalled first, then those of the network
   * that holds most. A waiting holder cannot move, so it is spared unless its network has far more than its even share.
   */
  #look(): void {
    this.#timer = undefined;
    const nowMs = this.nowMs;
    const unfair = (this.maxBytes / this.#holding) * UNFAIR_TIMES;
    const stalled = [...this.#holders].filter(
      (holder) => holder.isStalled(nowMs) && (!this.#waiting.has(holder) || holder.network.held > unfair),
    );
    const victims = stalled.toSorted(
      (a, b) => a.movedMs - b.movedMs || b.network.held - a.network.held || b.stalling - a.stalling,
    );
    for (const holder of victims) {
      if (this.#held * 2 <= this.maxBytes) break;
      holder.hooks.end();
    }
    this.#favourNext();
    this.#wake();
    if (this.#waiting.size > 0) this.armLook();
  }
}
