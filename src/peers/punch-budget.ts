/**
 * How much a punch may send to IPs that are not those of a path. The peer names them, and another peer may confirm what it says: both may
 * name a victim, again and again. So each such IP gets few punches, until one has succeeded there.
 */

import type { Millis } from '../base/machine.ts';
import { SourceBuckets } from '../base/token-bucket.ts';
import type { PunchOffer } from '../protocols/punch/offer.ts';

/** IPs that are remembered. */
const MAX_IPS = 4096;
/** Punches to one IP, of ten probes each: 16, and one more in a minute. */
const NAMED = { perSecond: 1 / 60, burst: 16 } as const;
/** What another peer has confirmed costs one of 12 tokens, a search for random ports 4; one token comes back in 150 s. */
const CONFIRMED = { perSecond: 1 / 150, burst: 12 } as const;
const SEARCH_TOKENS = 4;

/** What a punch may use. */
export interface AffordedPunch {
  readonly theirs: PunchOffer;
  readonly proven: readonly string[];
  /** The punch has not begun: what it would have used is there for the next one. */
  readonly giveBack: () => void;
}

export class PunchBudget {
  readonly #named = new SourceBuckets(NAMED.perSecond, NAMED.burst, MAX_IPS);
  readonly #confirmed = new SourceBuckets(CONFIRMED.perSecond, CONFIRMED.burst, MAX_IPS);

  /**
   * Leaves out of an offer what got too many punches.
   *
   * @param known - the IP of the peer's path.
   * @param confirmed - the IP at which another peer says that it sees the peer.
   */
  afford(
    now: Millis,
    own: PunchOffer,
    theirs: PunchOffer,
    known: string | undefined,
    confirmed: string | undefined,
  ): AffordedPunch {
    const taken: (() => void)[] = []; // Bounded by the addresses of the offer.
    const take = (buckets: SourceBuckets, ip: string, count: number): boolean => {
      const isTaken = buckets.take(now, ip, count);
      if (isTaken) taken.push(() => buckets.giveBack(ip, count));
      return isTaken;
    };
    const ips = new Set(theirs.addrs.map(({ ip }) => ip));
    const allowed = new Set([...ips].filter((ip) => ip === known || take(this.#named, ip, 1)));
    const proven = known === undefined ? [] : [known];
    const tokens = own.ports === 'random' || theirs.ports === 'random' ? SEARCH_TOKENS : 1;
    if (confirmed !== undefined && confirmed !== known && allowed.has(confirmed)) {
      if (take(this.#confirmed, confirmed, tokens)) proven.push(confirmed);
    }
    return {
      theirs: { ...theirs, addrs: theirs.addrs.filter(({ ip }) => allowed.has(ip)) },
      proven,
      giveBack: () => {
        for (const undo of taken.splice(0)) undo();
      },
    };
  }

  /** A punch has succeeded there. */
  reached(ip: string): void {
    this.#named.forget(ip);
    this.#confirmed.forget(ip);
  }
}
