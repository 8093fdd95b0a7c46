/** The connections of an endpoint by peer, and the dials under way. */

import type { Addr } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';
import { replacedIdleMs } from '../quic/idle-watch.ts';
import { ConnectionTable } from '../sessions/connection-table.ts';
import { CLOSE_CODE } from './codes.ts';
import type { LiveConnection } from './live-connection.ts';
import type { Dialled } from './targets.ts';

/** Connections by peer, and the address at which a peer was last. */
export type PeerTable<A extends Addr, M> = ConnectionTable<LiveConnection<A, M>, Dialled<A>, QuicConnection, A>;

/** What a table of peers needs of its endpoint. */
export interface PeerTableParts {
  readonly realm: Realm;
  /** This endpoint. */
  readonly own: PeerId;
  readonly maxConnectionsPerPeer: number;
  readonly scheduleFlush: () => void;
}

export function createPeerTable<A extends Addr, M>(parts: PeerTableParts): PeerTable<A, M> {
  const { realm, own, maxConnectionsPerPeer, scheduleFlush } = parts;
  const table: PeerTable<A, M> = new ConnectionTable<LiveConnection<A, M>, Dialled<A>, QuicConnection, A>({
    realm,
    own,
    expects: ({ expect, fresh }) => (fresh ? undefined : expect),
    remember: ({ remoteAddr }) => remoteAddr,
    replaced: replacedIdleMs,
    // The application knows how many it opens: a surplus connection goes as soon as it is idle.
    surplusIdleMs: () => 0,
    close: ({ connection }, why) => {
      if (why === 'replaced') connection.close(CLOSE_CODE.REPLACED, 'another connection took its place');
      else connection.close(CLOSE_CODE.TOO_MANY, 'too many connections');
      scheduleFlush();
    },
    abandoned: ({ handle }) => {
      // Out of the table first: a later call must not join what is given up.
      table.dials.take(handle);
      handle.close(CLOSE_CODE.NORMAL, 'given up');
      scheduleFlush();
    },
    maxPerPeer: maxConnectionsPerPeer,
    maxAtOnce: 2 * maxConnectionsPerPeer,
  });
  return table;
}
