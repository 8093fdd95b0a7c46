/** Moves peers from transports that go away to those that take their place. */

import type { Addr } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { RemotePeer } from './remote-peer.ts';
import type { Transport } from './transport.ts';

/** Uses the paths on retired transports only while there is no other one, and dials their addresses from the fresh ones. */
export function movePaths(
  peers: Iterable<RemotePeer>,
  retired: readonly Transport[],
  fresh: readonly Transport[],
  dial: (id: PeerId, transport: Transport, addr: Addr) => void,
): void {
  for (const peer of peers) {
    for (const transport of retired) {
      const path = peer.paths.get(transport);
      const next = fresh.find(({ name }) => name === transport.name);
      if (path === undefined) continue;
      path.session.demote(path);
      if (next !== undefined) dial(peer.id, next, path.addr);
    }
  }
}
