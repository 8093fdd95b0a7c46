/** The sessions of a QUIC swarm: by connection, and by peer the one to send on. */

import { type Addr } from '../../core/addr.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type QuicConnection } from '../../protocols/quic/connection.ts';
import { type Session } from './session.ts';

/**
 * Connections with one peer at a time. Two are there when both dial at once, more when a peer restarts again and again;
 * one that opens more than that wants our memory.
 */
export const MAX_CONNECTIONS_PER_PEER = 4;

export class SessionTable<I extends Addr> {
  /** Bounded by `maxConnections`. */
  readonly #byConnection = new Map<QuicConnection, Session<I>>();
  /** The one to send on, then the others, newest first. Bounded by the same. */
  readonly #byPeer = new Map<PeerId, Session<I>[]>();

  /** Connections. */
  get size(): number {
    return this.#byConnection.size;
  }

  /** Peers that have a session. */
  get peers(): number {
    return this.#byPeer.size;
  }

  values(): Iterable<Session<I>> {
    return this.#byConnection.values();
  }

  of(connection: QuicConnection): Session<I> | undefined {
    return this.#byConnection.get(connection);
  }

  /** The session to send on, if there is one. */
  current(peer: PeerId): Session<I> | undefined {
    return this.#byPeer.get(peer)?.[0];
  }

  /**
   * Takes a session in.
   *
   * @param preferred - whether to send on it from now on.
   * @returns one that is too many for its peer.
   */
  add(session: Session<I>, preferred: boolean): Session<I> | undefined {
    this.#byConnection.set(session.connection, session);
    const sessions = this.#byPeer.get(session.peer);
    if (sessions === undefined) {
      this.#byPeer.set(session.peer, [session]);
      return undefined;
    }
    sessions.splice(preferred ? 0 : 1, 0, session);
    return sessions.length > MAX_CONNECTIONS_PER_PEER ? sessions.at(-1) : undefined;
  }

  /** Forgets a session; where it was the one to send on, the newest of the others is. */
  remove(session: Session<I>): void {
    this.#byConnection.delete(session.connection);
    const sessions = this.#byPeer.get(session.peer);
    if (sessions === undefined) return;
    const at = sessions.indexOf(session);
    if (at >= 0) sessions.splice(at, 1);
    if (sessions.length === 0) this.#byPeer.delete(session.peer);
  }
}
