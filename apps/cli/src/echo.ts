/**
 * Which messages `listen --echo` sends back. If the stack proves sources, all of them. If not, one forged datagram must not start an endless
 * exchange between two listeners, or of one with itself, and must not flood the address of a third party.
 */

import { hash } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import type { Addr } from 'shoal';
import { ipOf, isLoopback, isUnspecified, portOf } from 'shoal/net';

/** Echoes to unproven sources in a second, in all and, from other machines, for each IP. */
const MAX_PER_SECOND = 65_536;
const MAX_PER_IP = 4096;
const SECOND_MS = 1000;
/** 72 bits. */
const DIGEST_CHARACTERS = 12;

/** What an echo is decided by. */
export interface EchoGuardOptions {
  /** Whether the stack proves who sends. */
  readonly proven: boolean;
  readonly localAddrs: () => readonly Addr[];
  readonly nowMs: () => number;
}

export class EchoGuard {
  readonly #options: EchoGuardOptions;
  /** What was echoed in this second, as source and digest, and in the one before. Each bounded by {@link MAX_PER_SECOND}. */
  #now = new Set<string>();
  #before = new Set<string>();
  /** Echoes of this second for each IP. Bounded by {@link MAX_PER_SECOND}. */
  #perIp = new Map<string, number>();
  #startedMs = -Infinity;
  #refused = 0;

  constructor(options: EchoGuardOptions) {
    this.#options = options;
  }

  /** Messages that were not echoed. */
  get refused(): number {
    return this.#refused;
  }

  /** Whether to tell `payload` back to `src`; counts it as told. An echo that comes back as it went is not told again. */
  mayEcho(src: Addr, payload: Uint8Array): boolean {
    if (this.#isOwn(src) || !(this.#options.proven || this.#take(src, payload))) {
      this.#refused++;
      return false;
    }
    return true;
  }

  #take(src: Addr, payload: Uint8Array): boolean {
    this.#turn();
    const key = `${src.text} ${hash('sha256', payload, 'base64').slice(0, DIGEST_CHARACTERS)}`;
    if (this.#now.size >= MAX_PER_SECOND || this.#now.has(key) || this.#before.has(key)) return false;
    if (!isLoopback(src)) {
      const ip = ipOf(src) ?? '';
      const used = this.#perIp.get(ip) ?? 0;
      if (used >= MAX_PER_IP) return false;
      this.#perIp.set(ip, used + 1);
    }
    this.#now.add(key);
    return true;
  }

  #turn(): void {
    const now = this.#options.nowMs();
    const passedMs = now - this.#startedMs;
    if (passedMs < SECOND_MS) return;
    this.#before = passedMs < 2 * SECOND_MS ? this.#now : new Set();
    this.#now = new Set();
    this.#perIp = new Map();
    this.#startedMs = now;
  }

  /** Whether an address is one of ours, by any address of this machine: a wildcard has them all. */
  #isOwn(src: Addr): boolean {
    const { localAddrs, proven } = this.#options;
    const locals = localAddrs();
    if (locals.some(({ text }) => text === src.text)) return true;
    // Nobody can pretend to be another then.
    if (proven) return false;
    const port = portOf(src);
    if (port === undefined || locals.every((local) => portOf(local) !== port)) return false;
    return isUnspecified(src) || isLoopback(src) || ownIps().includes(ipOf(src)!);
  }
}

function ownIps(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
}
