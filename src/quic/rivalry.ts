/** Two connections with one peer: which one to use, and what becomes of the other. */

import { comparePeerIds, type PeerId } from '../core/peer-id.ts';
import { type Realm, type Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';

/** Two connections between the same peers that begin within this time were dialled at once: both sides keep the same one. */
const SIMULTANEOUS_MS = 5000;
/**
 * How long a connection that was replaced stays open after the last message on it. The peer cannot say that it has nothing
 * on the way, and sends what was lost again at growing intervals; after as long as the usual idle timeout (RFC 9000 §10.1
 * leaves the number to us) it would itself have given up.
 */
const QUIET_MS = 30_000;

/** How long a surplus connection on which no message ever came stays open: the first one may have to be sent again. */
const UNUSED_MS = 750;

/** One of several connections with a peer. */
export interface Rival {
  readonly connection: QuicConnection;
  readonly peer: PeerId;
  readonly sinceMs: number;
  /** Whether something is under way on it. */
  readonly busy: boolean;
}

/**
 * Which of two connections with a peer to use. Dialled at once from both sides: the one whose dialler has the smaller
 * PeerID, so that both sides choose the same. Otherwise the newer: whoever dials has none that works. A peer that comes
 * from elsewhere has not dialled at once: it was started again.
 *
 * @returns whether it is the new one.
 */
export function prefersNew(own: PeerId, fresh: Rival, current: Rival): boolean {
  const crossed =
    fresh.connection.role !== current.connection.role &&
    fresh.connection.address === current.connection.address &&
    fresh.sinceMs - current.sinceMs < SIMULTANEOUS_MS;
  if (!crossed) return true;
  const weAreSmaller = comparePeerIds(own, fresh.peer) < 0;
  return weAreSmaller === (fresh.connection.role === 'client');
}

/** What a retirement needs to know. */
export interface RetirementOptions<R extends Rival> {
  readonly realm: Realm;
  /** Whether it is the one in use after all. */
  readonly inUse: (rival: R) => boolean;
  readonly close: (rival: R) => void;
  /** Sends what closing leaves to send. */
  readonly poll: () => void;
}

/**
 * Closes connections that another has replaced, once nothing is under way on them and no message has come for a while: those
 * that we dialled, and surplus ones. Others that the peer has dialled are the peer's to close.
 */
export class Retirement<R extends Rival> {
  readonly #options: RetirementOptions<R>;
  /** Bounded by connections that were replaced. */
  readonly #timers = new Set<Timer>();

  constructor(options: RetirementOptions<R>) {
    this.#options = options;
  }

  /** One that was replaced. */
  retire(rival: R): void {
    if (rival.connection.role === 'client') this.#retire(rival, false);
  }

  /** One of more than are kept of its peer. */
  retireSurplus(rival: R): void {
    this.#retire(rival, true);
  }

  #retire(rival: R, surplus: boolean): void {
    const { connection } = rival;
    const { realm } = this.#options;
    const frames = connection.stats()?.receivedStreamFrames;
    const timer = clockOf(realm).setTimer(
      realm.nowMs() + (surplus && frames === 0 ? UNUSED_MS : QUIET_MS),
      () => {
        this.#timers.delete(timer);
        if (connection.state === 'closed' || this.#options.inUse(rival)) return;
        if (rival.busy || connection.stats()?.receivedStreamFrames !== frames) this.#retire(rival, surplus);
        else this.#options.close(rival);
        this.#options.poll();
      },
      { background: true },
    );
    this.#timers.add(timer);
  }

  /** Closes none any more. */
  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}
