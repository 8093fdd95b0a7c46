/** All sessions of a swarm: found by address, bounded in number. */

import type { Addr } from '../../core/addr.ts';
import type { Millis } from '../../base/machine.ts';
import type { P2pkeAddr } from './address.ts';
import { SourceShares } from '../../base/source-shares.ts';
import type { PeerSession } from './peer-session.ts';
import type { ResolvedP2pke } from './options.ts';

/** A session that was idle for so long may be replaced by another: the keep-alive time-out. */
const IDLE_MS = 15_000;

/** How many sessions are looked at to find one that is idle. */
const MAX_LOOKS = 64;

/** The part of `maxChannels` that is reserved for peers that this node calls, or has called. */
const RESERVE = 1 / 8;

/** The part of the strangers' places that a source may hold when they are all taken. */
const FAIR_SHARE = 1 / 32;

/** SessionTable by inner address, and by peer at that address. */
export class SessionTable<I extends Addr> {
  readonly #counts: ResolvedP2pke<I>['counts'];
  /** By the text of `<PeerID>@<inner>`; those looked at longest ago come first. Bounded by maxChannels. */
  readonly #byPeer = new Map<string, PeerSession<I>>();
  /** By the text of the inner address; each list is bounded by maxChannelsPerAddr, the one that works best comes first. */
  readonly #bySite = new Map<string, readonly PeerSession<I>[]>();
  /** Peers that have sent a hello and proven nothing. Bounded by maxHalfOpen. */
  readonly #halfOpen = new SourceShares<PeerSession<I>>();
  /** Peers that have called us, and that we have never called. Bounded by maxChannels less the reserve. */
  readonly #strangers = new SourceShares<PeerSession<I>>();
  readonly #maxStrangers: number;

  constructor(counts: ResolvedP2pke<I>['counts']) {
    this.#counts = counts;
    this.#maxStrangers = counts.maxChannels - Math.floor(counts.maxChannels * RESERVE);
  }

  get size(): number {
    return this.#byPeer.size;
  }

  get halfOpen(): number {
    return this.#halfOpen.size;
  }

  /** All sessions; do not add or remove any meanwhile. */
  all(): Iterable<PeerSession<I>> {
    return this.#byPeer.values();
  }

  get(addr: P2pkeAddr<I>): PeerSession<I> | undefined {
    return this.#byPeer.get(addr.text);
  }

  /** Whether a peer has only ever called us. */
  isStranger(session: PeerSession<I>): boolean {
    return this.#strangers.has(session);
  }

  /** All sessions at an inner address. */
  at(inner: I): readonly PeerSession<I>[] | undefined {
    return this.#bySite.get(inner.text);
  }

  /**
   * Makes room for one more session at an inner address.
   *
   * @param host - what the address is counted as.
   * @param isStranger - it calls us, and we have never called it.
   * @returns false when there is no room: everything is in use, and no source has more than its share.
   */
  makeRoom(now: Millis, inner: I, host: string, isStranger: boolean): boolean {
    const site = this.at(inner) ?? [];
    if (site.length >= this.#counts.maxChannelsPerAddr) {
      const victim =
        site.findLast((session) => this.#halfOpen.has(session)) ?? site.find((session) => isIdle(now, session));
      if (victim === undefined) return false;
      this.remove(victim);
    }
    const hasRoom = (): boolean =>
      this.#byPeer.size < this.#counts.maxChannels && (!isStranger || this.#strangers.size < this.#maxStrangers);
    return hasRoom() || (this.#evict(now, host, isStranger) && hasRoom());
  }

  /**
   * @param halfOpen - the peer has sent a hello, and has not proven its address or key.
   * @param isStranger - as for {@link SessionTable.makeRoom}.
   */
  add(
    session: PeerSession<I>,
    host: string,
    { halfOpen, isStranger }: { readonly halfOpen: boolean; readonly isStranger: boolean },
  ): void {
    const { inner, text } = session.addr;
    if (halfOpen) {
      if (this.#halfOpen.size >= this.#counts.maxHalfOpen) this.remove(this.#halfOpen.oldestOfBusiest!);
      this.#halfOpen.add(host, session);
    }
    if (isStranger) this.#strangers.add(host, session);
    this.#byPeer.set(text, session);
    this.#bySite.set(inner.text, [...(this.at(inner) ?? []), session]);
  }

  /** Whether the peer has proven to be there, or a local call waits for it. */
  keep(session: PeerSession<I>): void {
    this.#halfOpen.delete(session);
  }

  /** The session has a session that works: it is tried first from now on. */
  prefer(session: PeerSession<I>): void {
    const site = this.at(session.addr.inner);
    if (site === undefined || site[0] === session || !site.includes(session)) return;
    this.#bySite.set(session.addr.inner.text, [session, ...site.filter((other) => other !== session)]);
  }

  /** Takes a session out and closes it. */
  remove(session: PeerSession<I>): void {
    const { inner, text } = session.addr;
    if (this.#byPeer.get(text) !== session) return;
    this.#byPeer.delete(text);
    this.#halfOpen.delete(session);
    this.#strangers.delete(session);
    const site = this.at(inner)!.filter((other) => other !== session);
    if (site.length === 0) this.#bySite.delete(inner.text);
    else this.#bySite.set(inner.text, site);
    session.close();
  }

  close(): void {
    for (const session of this.#byPeer.values()) session.close();
    this.#byPeer.clear();
    this.#bySite.clear();
    this.#halfOpen.clear();
    this.#strangers.clear();
  }

  /**
   * First goes a half-open peer of a source that has several, then a stranger of a source that has more than its share, then
   * another half-open peer, then an idle one. Sources of half-open peers may be forged.
   */
  #evict(now: Millis, host: string, isStranger: boolean): boolean {
    const mustBeStranger = isStranger && this.#strangers.size >= this.#maxStrangers;
    const mayGo = (session: PeerSession<I> | undefined): boolean =>
      session !== undefined && (!mustBeStranger || this.#strangers.has(session));
    const victim = [
      this.#halfOpen.victimFor(host),
      this.#strangers.victimFor(host, Math.max(1, this.#maxStrangers * FAIR_SHARE)),
      this.#halfOpen.oldestOfBusiest,
    ].find(mayGo);
    if (victim !== undefined) {
      this.remove(victim);
      return true;
    }
    let looks = 0;
    for (const [text, session] of this.#byPeer) {
      if (isIdle(now, session) && mayGo(session)) {
        this.remove(session);
        return true;
      }
      if (++looks > MAX_LOOKS) return false;
      this.#byPeer.delete(text); // to the end, so that the next search begins behind it
      this.#byPeer.set(text, session);
    }
    return false;
  }
}

function isIdle<I extends Addr>(now: Millis, session: PeerSession<I>): boolean {
  return !session.isAwaited && now - session.usedMs > IDLE_MS;
}
