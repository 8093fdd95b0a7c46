/**
 * The connection limits of a node: in total, per IP, and being set up. A place is reserved synchronously before
 * anything asynchronous begins, so no limit is ever exceeded. Accepted and dialled connections are counted separately
 * while they are set up, and the places of accepted ones are shared by network: no network can block others, or this
 * node's own dials.
 */

import type { Side } from '../core/accept.ts';
import { ipNetwork } from '../base/ip.ts';
import { wholeNumber } from '../base/checks.ts';
import { SourceShares } from '../base/source-shares.ts';

/** The limits of connections. */
export interface ConnectionLimits {
  /** Connections, including those being set up. @default 1000 */
  readonly maxConnections?: number | undefined;
  /**
   * Of these, connections with one IP. An IPv4-mapped IPv6 address counts as its IPv4 address. @default 100, so that no
   * IP takes more than a tenth of the places
   */
  readonly maxConnectionsPerIp?: number | undefined;
  /**
   * Of these, connections being set up: from the first byte of TCP to the end of the handshake. The limit applies to
   * dialled and to accepted ones separately; when accepted ones reach it, one of the network (/24, /64) with the most
   * is evicted for a connection from another network. @default 100
   */
  readonly maxConnecting?: number | undefined;
  /**
   * Counts IPv6 addresses by their first 64 bits, since one site has that many to choose from (RFC 6177).
   * @default false
   */
  readonly groupIpv6?: boolean | undefined;
}

/** Source: the reference node has 100, 1 and 100; its users raised the first, and reached the second first. */
export const LIMIT_DEFAULTS = { maxConnections: 1000, maxConnectionsPerIp: 100, maxConnecting: 100 } as const;

/** Which limit is reached. */
export type LimitReached = 'max_connections' | 'max_connections_per_ip' | 'max_connecting';

/** Places reserved for dials, so that accepted connections cannot take all. */
const reservedForDials = (maxConnections: number): number => Math.min(Math.floor(maxConnections / 16), 16);

/** A reserved place for one connection. */
export interface Reservation {
  /** The connection is set up: it no longer counts as connecting. */
  establish(): void;
  /** Releases the place; has no effect the second time. */
  release(): void;
}

/** Counts reserved places. */
export class Admission {
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
  readonly maxConnecting: number;
  readonly #groupIpv6: boolean;
  readonly #perIp = new Map<string, number>(); // Bounded by maxConnections.
  /** Accepted connections being set up. Bounded by maxConnecting. */
  readonly #ofInitiators = new SourceShares<{ readonly ip: string; readonly evict: () => void }>();
  readonly #connecting = { initiator: 0, responder: 0 };
  #total = 0;

  /** @throws {TypeError | RangeError} when a limit is not a whole number of at least 1. */
  constructor(limits: ConnectionLimits) {
    const checked = (name: keyof typeof LIMIT_DEFAULTS): number =>
      wholeNumber(limits[name], name, LIMIT_DEFAULTS[name], 1, Number.MAX_SAFE_INTEGER);
    this.maxConnections = checked('maxConnections');
    this.maxConnectionsPerIp = checked('maxConnectionsPerIp');
    this.maxConnecting = Math.min(checked('maxConnecting'), this.maxConnections);
    this.#groupIpv6 = limits.groupIpv6 ?? false;
  }

  /** All reserved places. */
  get total(): number {
    return this.#total;
  }

  /** Of these, places of connections being set up. */
  get connecting(): number {
    return this.#connecting.initiator + this.#connecting.responder;
  }

  /**
   * @param ip - canonical.
   * @param side - the role of the peer: accepted and dialled connections are counted separately.
   * @param onEvict - called when an accepted connection is evicted: its place is already released.
   * @returns a place, or the limit that was reached.
   */
  reserve(ip: string, side: Side, onEvict?: () => void): Reservation | LimitReached {
    const key = this.#groupIpv6 ? ipNetwork(ip) : ip;
    const ofIp = this.#perIp.get(key) ?? 0;
    if (ofIp >= this.maxConnectionsPerIp) return 'max_connections_per_ip';
    const full = this.#connecting[side] >= this.maxConnecting;
    const places = this.maxConnections - (side === 'initiator' ? reservedForDials(this.maxConnections) : 0);
    if (this.#total - (full ? 1 : 0) >= places) return 'max_connections';
    if (full && (side === 'responder' || !this.#makeRoom(ip))) return 'max_connecting';
    this.#perIp.set(key, ofIp + 1);
    this.#total++;
    this.#connecting[side]++;
    let state: 'connecting' | 'established' | 'released' = 'connecting';
    const settled = (): void => {
      this.#connecting[side]--;
      this.#ofInitiators.delete(item);
    };
    const place: Reservation = {
      establish: () => {
        if (state !== 'connecting') return;
        state = 'established';
        settled();
      },
      release: () => {
        if (state === 'released') return;
        if (state === 'connecting') settled();
        state = 'released';
        this.#total--;
        const left = this.#perIp.get(key)! - 1;
        if (left === 0) this.#perIp.delete(key);
        else this.#perIp.set(key, left);
      },
    };
    const item = {
      ip,
      evict: () => {
        place.release();
        onEvict?.();
      },
    };
    if (side === 'initiator') this.#ofInitiators.add(ip, item);
    return place;
  }

  /**
   * Evicts a connection being set up, from a network with more of them. @returns false when no network has more than
   * the newcomer's
   */
  #makeRoom(ip: string): boolean {
    const victim = this.#ofInitiators.victimFor(ip);
    if (victim === undefined || victim.ip === ip) return false;
    victim.evict();
    return true;
  }
}
