/**
 * Addresses that others claim. They may be a victim's, so each gets one small probe, and another one only after a newer claim and a
 * pause that doubles; and probes are bounded per IP, per claimer and in total.
 */

import { type Millis } from '../../../base/machine.ts';
import { SourceShares } from '../../../base/source-shares.ts';
import { SourceBuckets, TokenBucket } from '../../../base/token-bucket.ts';

/** Probes of a minute. Source: `src/net/probe-targets.ts`, whose limits are these. */
const MAX_PROBES = 256;
const MAX_PROBES_PER_IP = 8;
/** One claimer gets an eighth of all. */
const MAX_PROBES_PER_CLAIMER = 32;
/** Addresses that are remembered after a probe. */
const MAX_PROBED = 4096;
/** The pause before a newer claim counts; it doubles with each probe. */
const FIRST_PAUSE_MS = 60_000;
const MAX_PAUSE_MS = 3_600_000;
const PER_MINUTE = 1 / 60;

interface Probed {
  readonly seenMs: number;
  readonly probes: number;
  readonly nextMs: Millis;
}

/** What is claimed of an address. */
export interface Claim {
  readonly addr: string;
  readonly ip: string | undefined;
  readonly claimedBy: string;
  readonly seenMs: number;
}

/** The probes of claimed addresses, for all peers together: a thousand peers may claim one victim. */
export class Hearsay {
  /** By address, whatever the transport. Bounded by {@link MAX_PROBED}, with a share per claimer. */
  readonly #probed = new Map<string, Probed>();
  readonly #shares = new SourceShares<string>();
  readonly #perIp = new SourceBuckets(MAX_PROBES_PER_IP * PER_MINUTE, MAX_PROBES_PER_IP, MAX_PROBED);
  readonly #perClaimer = new SourceBuckets(MAX_PROBES_PER_CLAIMER * PER_MINUTE, MAX_PROBES_PER_CLAIMER, MAX_PROBED);
  #total: TokenBucket | undefined;

  /** Whether the address has had its probe, and this claim is no newer word. */
  wasProbed(now: Millis, { addr, seenMs }: Claim): boolean {
    const before = this.#probed.get(addr);
    return before !== undefined && (seenMs <= before.seenMs || now < before.nextMs);
  }

  /** Reserves the probe of a claim. @returns whether one was left */
  take(now: Millis, { addr, ip, claimedBy, seenMs }: Claim): boolean {
    this.#total ??= new TokenBucket(MAX_PROBES * PER_MINUTE, MAX_PROBES, now);
    if (!this.#perClaimer.take(now, claimedBy) || !this.#perIp.take(now, ip ?? addr) || !this.#total.take(now)) {
      return false;
    }
    const probes = (this.#probed.get(addr)?.probes ?? 0) + 1;
    const nextMs = now + Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (probes - 1));
    this.forget(addr);
    if (this.#probed.size >= MAX_PROBED) this.forget(this.#shares.victimFor(claimedBy) ?? this.#oldest());
    this.#probed.set(addr, { seenMs, probes, nextMs });
    this.#shares.add(claimedBy, addr);
    return true;
  }

  /** Forgets the probe of an address: a peer has proven its key there, so it is no hearsay. */
  forget(addr: string): void {
    if (this.#probed.delete(addr)) this.#shares.delete(addr);
  }

  #oldest(): string {
    return this.#probed.keys().next().value!;
  }
}
