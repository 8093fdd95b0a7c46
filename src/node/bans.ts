/** The banned IPs of a node. */

import { ipNetwork } from '../base/ip.ts';

/** Bounded by `maxBans`: the ban that ends first is removed when it is full. */
export class Bans {
  readonly maxBans: number;
  readonly #groupIpv6: boolean;
  readonly #until = new Map<string, number>();

  constructor(maxBans: number, groupIpv6: boolean) {
    this.maxBans = maxBans;
    this.#groupIpv6 = groupIpv6;
  }

  /** The banned IPs, and the time at which each ban ends. */
  list(nowMs: number): ReadonlyMap<string, number> {
    this.#sweep(nowMs);
    return new Map(this.#until);
  }

  /** @param untilMs - Infinity: until it is lifted. */
  add(ip: string, untilMs: number, nowMs: number): void {
    const key = this.#key(ip);
    if (this.#until.size >= this.maxBans && !this.#until.has(key)) this.#makeRoom(nowMs);
    this.#until.set(key, untilMs);
  }

  /** @returns whether there was a ban. */
  lift(ip: string): boolean {
    return this.#until.delete(this.#key(ip));
  }

  has(ip: string, nowMs: number): boolean {
    if (this.#until.size === 0) return false;
    const key = this.#key(ip);
    const untilMs = this.#until.get(key);
    if (untilMs === undefined) return false;
    if (nowMs < untilMs) return true;
    this.#until.delete(key);
    return false;
  }

  #key(ip: string): string {
    return this.#groupIpv6 ? ipNetwork(ip) : ip;
  }

  #sweep(nowMs: number): void {
    for (const [key, untilMs] of this.#until) if (nowMs >= untilMs) this.#until.delete(key);
  }

  #makeRoom(nowMs: number): void {
    this.#sweep(nowMs);
    if (this.#until.size < this.maxBans) return;
    let soonest: string | undefined;
    let soonestMs = Infinity;
    for (const [key, untilMs] of this.#until) {
      if (soonest !== undefined && untilMs >= soonestMs) continue;
      soonest = key;
      soonestMs = untilMs;
    }
    if (soonest !== undefined) this.#until.delete(soonest);
  }
}
