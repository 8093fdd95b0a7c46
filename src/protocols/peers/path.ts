/** One path of a session: its round trip, and whether it lives. Source: docs/wire/peers.md §7. */

import type { Millis } from '../../base/machine.ts';
import {
  DEAD_MS,
  DEAD_ROUND_TRIPS,
  HEARTBEAT_GRID_MS,
  HEARTBEAT_MS,
  INITIAL_RTT_MS,
  LONGEST_RTT_MS,
  PROBE_MS,
  PROBE_ROUND_TRIPS,
  RESEND_LOSSY_MS,
  RESEND_LOSSY_ROUND_TRIPS,
  RESEND_RELIABLE_MS,
  RESEND_RELIABLE_ROUND_TRIPS,
} from './constants.ts';

/** What a session needs to know of a path. */
export interface PathOptions {
  /**
   * Lower is better. Ranks of one thousand are of one class: within it a path that is measured to be clearly faster wins, and of equal
   * ones the older path.
   */
  readonly rank: number;
  /** The largest packet. */
  readonly mtu: number;
  /** Whether the transport delivers what it took, or reports that it could not. */
  readonly isReliable: boolean;
  /** Whether the peer has opened it: it may have lost the others, which are asked at once. @default false */
  readonly isPeers?: boolean | undefined;
}

/** Ranks of one class. */
export const RANK_CLASS = 1000;
/** A path of the same class is faster when its round trip is shorter by this much, and by this share. Source: iroh takes 5 ms. */
const FASTER_MS = 5;
const FASTER_SHARE = 0.2;
/** The weight of a new sample of the round trip (RFC 9002 §5.3). */
const RTT_WEIGHT = 1 / 8;

export class Path {
  readonly id: number;
  rank: number;
  readonly isReliable: boolean;
  mtu: number;
  /** Bytes that the transport has not taken yet. */
  pendingBytes = 0;
  /** Messages that were sent on it last and are not acknowledged. */
  unacknowledged = 0;
  readonly sinceMs: Millis;
  /** Whether anything came on it since its hello: the other side may have given it up meanwhile. */
  isConfirmed = false;
  #rttMs: number | undefined;
  #heardMs: Millis;
  /** When the first packet was sent that needs an answer and has none. */
  #askedMs: Millis | undefined;
  #pings = 0;
  #pingedMs: Millis = -Infinity;
  #token = 0;
  #isHurried = false;
  /** When the first of the packets of another session came on it, if nothing else has come since. */
  #foreignMs: Millis | undefined;
  /** What the transport said of the peer at the last look, since the path was last heard. */
  #progress: number | undefined;
  #movedMs: Millis = -Infinity;

  constructor(id: number, { rank, mtu, isReliable }: PathOptions, now: Millis) {
    this.id = id;
    this.rank = rank;
    this.mtu = mtu;
    this.isReliable = isReliable;
    this.#heardMs = this.sinceMs = now;
  }

  /** Whether it is in doubt: nothing new goes over it before it has answered. */
  get isInDoubt(): boolean {
    return this.#isHurried;
  }

  /** The measured round trip; `undefined` before one was measured. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** When a ping goes out on a quiet path: at whole seconds, so that a node with many peers wakes once for all that are due. */
  get #beatMs(): Millis {
    return Math.ceil((this.#heardMs + HEARTBEAT_MS) / HEARTBEAT_GRID_MS) * HEARTBEAT_GRID_MS;
  }

  /** When anything came on it. */
  get heardMs(): Millis {
    return this.#heardMs;
  }

  /** When messages that are not acknowledged are sent again. */
  get resendMs(): number {
    const rtt = this.#rttMs ?? INITIAL_RTT_MS;
    return this.isReliable
      ? Math.max(RESEND_RELIABLE_MS, RESEND_RELIABLE_ROUND_TRIPS * rtt)
      : Math.max(RESEND_LOSSY_MS, RESEND_LOSSY_ROUND_TRIPS * rtt);
  }

  /** Whether it takes the place of the path in use. */
  isBetterThan(used: Path): boolean {
    if (!this.isConfirmed && used.rank !== Infinity) return false;
    if (this.isInDoubt !== used.isInDoubt) return used.isInDoubt;
    const [own, others] = [Math.floor(this.rank / RANK_CLASS), Math.floor(used.rank / RANK_CLASS)];
    if (own !== others || this.rank === Infinity) return this.rank < used.rank;
    if (this.rank < used.rank) return !used.isFasterThan(this);
    return this.isFasterThan(used);
  }

  isFasterThan({ rttMs }: Path): boolean {
    if (this.#rttMs === undefined || rttMs === undefined) return false;
    return this.#rttMs + Math.max(FASTER_MS, FASTER_SHARE * rttMs) < rttMs;
  }

  /** A packet was sent that needs an answer. */
  sent(now: Millis): void {
    this.#askedMs ??= now;
  }

  /** A packet has come on it. */
  heard(now: Millis): void {
    this.isConfirmed = true;
    this.#heardMs = now;
    this.#pings = 0;
    this.#progress = undefined;
    this.#isHurried = false;
    this.#foreignMs = undefined;
    this.#askedMs = this.unacknowledged > 0 ? now : undefined;
  }

  /** A packet of another session has come on it. @returns whether only such have come, for as long as a silent path is let live */
  isForeign(now: Millis): boolean {
    this.#foreignMs ??= now;
    return now - this.#foreignMs >= DEAD_MS;
  }

  /** When the transport last showed that the peer lives, while no packet came. */
  get movedMs(): Millis {
    return this.#movedMs;
  }

  /**
   * Whether the transport has shown since the last look that the peer lives: a packet that is on its way for long, and what waits behind
   * it, is not silence.
   */
  hasMoved(now: Millis, progress: number): boolean {
    if (this.#askedMs === undefined || this.#isHurried) return false;
    const before = this.#progress;
    this.#progress = progress;
    if (before === undefined || before === progress) return false;
    this.#pings = 0;
    this.#askedMs = this.#movedMs = now;
    return true;
  }

  /** A ping is due; @returns its token, the same until it is answered: its way may be long. */
  ping(now: Millis): number {
    this.#pings++;
    if (this.#pingedMs === -Infinity) {
      this.#pingedMs = now;
      this.#token = (this.#token + 1) >>> 0;
    }
    this.sent(now);
    return this.#token;
  }

  /** The answer to the last ping measures the round trip. */
  handlePong(now: Millis, token: number): void {
    if (token !== this.#token || this.#pingedMs === -Infinity) return;
    const sample = now - this.#pingedMs;
    this.#pingedMs = -Infinity;
    this.#rttMs = this.#rttMs === undefined ? sample : this.#rttMs + RTT_WEIGHT * (sample - this.#rttMs);
  }

  /** The host slept, or its network changed: the path is asked now, and is dead after one probe interval. */
  hurry(now: Millis): void {
    this.#isHurried = true;
    this.#pings = 0;
    this.#pingedMs = -Infinity; // The time of the sleep is no round trip.
    this.#askedMs = now;
  }

  /** When to ask it, or to give it up. @param beats - whether an idle path is asked */
  dueMs(beats: boolean): Millis {
    if (this.#askedMs === undefined) return beats ? this.#beatMs : Infinity;
    return Math.min(this.#pingMs, this.#deadMs);
  }

  /** What is due at `now`. */
  due(now: Millis, beats: boolean): 'ping' | 'dead' | undefined {
    if (this.#askedMs === undefined) return beats && now >= this.#beatMs ? 'ping' : undefined;
    if (now >= this.#deadMs) return 'dead';
    return now >= this.#pingMs ? 'ping' : undefined;
  }

  get #probeMs(): number {
    return Math.max(PROBE_MS, PROBE_ROUND_TRIPS * (this.#rttMs ?? INITIAL_RTT_MS));
  }

  get #pingMs(): Millis {
    if (this.#isHurried && this.#pings === 0) return this.#askedMs!;
    return this.#askedMs! + this.#probeMs + (this.#pings * this.#probeMs) / 2;
  }

  /** Never by one lost probe. */
  get #deadMs(): Millis {
    if (this.#pings < 2) return Infinity;
    if (this.#isHurried) return this.#askedMs! + 2 * this.#probeMs;
    return this.#askedMs! + Math.max(DEAD_MS, DEAD_ROUND_TRIPS * (this.#rttMs ?? LONGEST_RTT_MS));
  }
}
