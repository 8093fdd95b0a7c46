/** Which address is probed from which socket, how often, and when next. */

import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { Millis } from '../../base/machine.ts';
import { MAX_PROBES_PER_ADDRESS, type PunchTarget } from './plan.ts';

/** An address that is probed from a socket. */
export interface Check {
  readonly socket: number;
  readonly to: SocketAddress;
  readonly text: string;
  readonly isNear: boolean;
  readonly maxProbes: number;
  sent: number;
  /** Which pause comes next. */
  step: number;
  nextMs: Millis;
  isTriggered: boolean;
  rttMs: number | undefined;
}

/** Between one probe of an address and the next: as iroh does, to about 4 s. */
const PAUSES_MS: readonly number[] = [33, 66, 132, 264, 528, 1000, 1000, 1000];
/** Probes to an IP that nobody has proven, whatever ports of it are named. */
export const MAX_PROBES_PER_UNPROVEN_IP = 10;
/** Addresses that were not offered, and from which valid messages came. */
const MAX_REFLEXIVE = 8;

export class Checks {
  /** By socket and address. Bounded by the targets of the plan, the sockets that were opened, and {@link MAX_REFLEXIVE}. */
  readonly #all = new Map<string, Check>();
  /** Those whose probes repeat. Bounded as the above. */
  readonly #due = new Set<Check>();
  /** Probes to IPs that nobody has proven. Bounded by the IPs of the checks. */
  readonly #unproven = new Map<string, number>();
  /** Bounded by the IPs of the checks, and those that are proven at the start. */
  readonly #proven: Set<string>;
  #reflexive = 0;

  constructor(proven: readonly string[]) {
    this.#proven = new Set(proven);
  }

  get(socket: number, from: SocketAddress): Check | undefined {
    return this.#all.get(keyOf(socket, from));
  }

  add(socket: number, { to, isNear, maxProbes }: PunchTarget, nextMs: Millis): Check {
    const text = formatSocketAddress(to.ip, to.port);
    const fields = { sent: 0, step: 0, nextMs, isTriggered: false, rttMs: undefined };
    const check: Check = { socket, to, text, isNear, maxProbes, ...fields };
    this.#all.set(keyOf(socket, to), check);
    if (nextMs !== Infinity) this.#due.add(check);
    return check;
  }

  /** The check of where a valid message came from; `undefined` when there are too many. */
  reflexive(socket: number, from: SocketAddress): Check | undefined {
    const known = this.get(socket, from);
    if (known !== undefined) return known;
    if (this.#reflexive >= MAX_REFLEXIVE) return undefined;
    this.#reflexive++;
    return this.add(socket, { to: from, isNear: false, maxProbes: MAX_PROBES_PER_ADDRESS }, Infinity);
  }

  /** Forgets a socket that was closed. */
  drop(socket: number): void {
    for (const [key, check] of this.#all) {
      if (check.socket !== socket) continue;
      this.#all.delete(key);
      this.#due.delete(check);
    }
  }

  /** @returns whether another probe may be sent; it then counts as sent. */
  take(check: Check, now: Millis): boolean {
    const { ip } = check.to;
    const toIp = this.#unproven.get(ip) ?? 0;
    const isProven = this.#proven.has(ip);
    if (check.sent >= check.maxProbes || (!isProven && toIp >= MAX_PROBES_PER_UNPROVEN_IP)) {
      this.rest(check);
      return false;
    }
    if (!isProven) this.#unproven.set(ip, toIp + 1);
    check.sent++;
    check.nextMs = now + (PAUSES_MS[check.step++] ?? Infinity);
    if (check.nextMs === Infinity) this.#due.delete(check);
    else this.#due.add(check);
    return true;
  }

  /** Nothing more is sent by itself. */
  rest(check: Check): void {
    check.nextMs = Infinity;
    this.#due.delete(check);
  }

  restAll(): void {
    for (const check of this.#due) this.rest(check);
  }

  answered(check: Check, rttMs: number): void {
    check.rttMs ??= rttMs;
    this.#proven.add(check.to.ip);
    this.rest(check);
  }

  due(now: Millis): readonly Check[] {
    return [...this.#due].filter(({ nextMs }) => now >= nextMs);
  }

  get nextMs(): Millis {
    let next = Infinity;
    for (const { nextMs } of this.#due) next = Math.min(next, nextMs);
    return next;
  }

  /** Whether something is expected from this IP. */
  isKnown(ip: string): boolean {
    return this.#proven.has(ip) || this.#unproven.has(ip);
  }
}

function keyOf(socket: number, { ip, port }: SocketAddress): string {
  return `${socket}>${formatSocketAddress(ip, port)}`;
}
