/** What a swarm over connections offers beside messages: to hear that a peer is gone, and to end its connections. */

import type { PeerId } from '../core/peer-id.ts';

/** The ability of a swarm that keeps connections with its peers. {@link connectionsOf} finds it. */
export interface PeerConnections {
  /** Calls `listener` when the last connection with a peer has ended, until disposed. Never synchronously inside a call. */
  onDisconnected(listener: (peer: PeerId, reason: string) => void): Disposable;
  /**
   * Ends all connections with a peer now; pending calls fail with `disconnected`. The next message dials again.
   *
   * @returns whether there was a connection.
   */
  disconnect(peer: PeerId): boolean;
  /**
   * A number that grows when the peer's system shows life: bytes of it have come, or bytes that waited for it have left. A message that
   * is on its way for long is told from a dead connection by it.
   */
  progress?(peer: PeerId): number;
}

/** The ability, if `swarm` has it. */
export function connectionsOf(swarm: object): PeerConnections | undefined {
  return 'onDisconnected' in swarm && 'disconnect' in swarm ? (swarm as PeerConnections) : undefined;
}
