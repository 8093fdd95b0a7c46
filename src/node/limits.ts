/**
 * How many connections a node has at most: in all, from one IP, and being set up. A place is reserved in one step before
 * anything asynchronous begins, so no limit is exceeded, not for an instant.
 */

import { ipNetwork } from '../core/ip.ts';
import { wholeNumber } from '../core/limits.ts';

/** The bounds on connections. */
export interface ConnectionLimits {
  /** Connections, those being set up included. @default 1000 */
  readonly maxConnections?: number | undefined;
  /**
   * Of these, from and to one IP. An IPv4-mapped IPv6 address counts as its IPv4 address. @default 100, so that no IP can
   * take more than a tenth of the places
   */
  readonly maxConnectionsPerIp?: number | undefined;
  /** Of these, being set up: from the first byte of TCP to the end of the handshake. @default 100 */
  readonly maxConnecting?: number | undefined;
  /**
   * Counts IPv6 addresses by their first 64 bits, since one site has that many to choose from (RFC 6177).
   * @default false
   */
  readonly groupIpv6?: boolean | undefined;
}

/** Source: reference node: 100, 1 and 100; its users raised the first, and met the second first of all. */
export const LIMIT_DEFAULTS = { maxConnections: 1000, maxConnectionsPerIp: 100, maxConnecting: 100 } as const;

/** Which limit is reached. */
export type LimitReached = 'max_connections' | 'max_connections_per_ip' | 'max_connecting';

/** A place for one connection. */
export interface Reservation {
  /** The connection is set up: it no longer counts as connecting. */
  establish(): void;
  /** Gives the place back; harmless the second time. */
  release(): void;
}

/** Counts places. */
export class Admission {
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
  readonly maxConnecting: number;
  readonly #groupIpv6: boolean;
  readonly #perIp = new Map<string, number>(); // Bounded by maxConnections.
  #total = 0;
  #connecting = 0;

  /** @throws {TypeError | RangeError} when a limit is no whole number of at least 1. */
  constructor(limits: ConnectionLimits) {
    const checked = (name: keyof typeof LIMIT_DEFAULTS): number =>
      wholeNumber(limits[name], name, LIMIT_DEFAULTS[name], 1, Number.MAX_SAFE_INTEGER);
    this.maxConnections = checked('maxConnections');
    this.maxConnectionsPerIp = checked('maxConnectionsPerIp');
    this.maxConnecting = Math.min(checked('maxConnecting'), this.maxConnections);
    this.#groupIpv6 = limits.groupIpv6 ?? false;
  }

  /** All places taken. */
  get total(): number {
    return this.#total;
  }

  /** Of these, by connections that are being set up. */
  get connecting(): number {
    return this.#connecting;
  }

  /** @param ip - canonical. @returns a place, or the limit that leaves none. */
  reserve(ip: string): Reservation | LimitReached {
    const key = this.#groupIpv6 ? ipNetwork(ip) : ip;
    const ofIp = this.#perIp.get(key) ?? 0;
    if (this.#connecting >= this.maxConnecting) return 'max_connecting';
    if (this.#total >= this.maxConnections) return 'max_connections';
    if (ofIp >= this.maxConnectionsPerIp) return 'max_connections_per_ip';
    this.#perIp.set(key, ofIp + 1);
    this.#total++;
    this.#connecting++;
    let state: 'connecting' | 'established' | 'released' = 'connecting';
    return {
      establish: () => {
        if (state !== 'connecting') return;
        state = 'established';
        this.#connecting--;
      },
      release: () => {
        if (state === 'released') return;
        if (state === 'connecting') this.#connecting--;
        state = 'released';
        this.#total--;
        const left = this.#perIp.get(key)! - 1;
        if (left === 0) this.#perIp.delete(key);
        else this.#perIp.set(key, left);
      },
    };
  }
}
