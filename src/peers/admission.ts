/** Applies a change of who may connect to the sessions that exist. */

import { ipOf } from '../core/addr.ts';
import { BYE } from '../protocols/peers/constants.ts';
import type { AcceptGate } from '../sessions/accept-gate.ts';
import type { PeerAddr } from './address.ts';
import type { PeerLists } from './lists.ts';
import type { RemotePeer } from './remote-peer.ts';

/** Asks `accept` again about every peer, and ends the sessions that it refuses. Never rejects. */
export function recheckAll(gate: AcceptGate<PeerAddr>, peers: Iterable<RemotePeer>): Promise<void> {
  return gate.recheck(
    [...peers].flatMap(({ id, session, isAdmitted }) => {
      if (session === undefined || !isAdmitted) return [];
      const side = session.path?.side ?? 'responder';
      const asked = { id, publicKey: session.publicKey, addr: session.src, side };
      return [[asked, () => session.close(BYE.NOT_ALLOWED, 'not allowed any more')] as const];
    }),
  );
}

/** Ends the sessions that the lists refuse. */
export function enforceLists(lists: PeerLists, peers: Iterable<RemotePeer>): void {
  for (const { id, hello, session } of peers) {
    if (session?.hasOpened !== true) continue;
    const { path } = session;
    // By the kind that it says, as when it came: what it says decides which list it has to be on.
    const { isAllowed, reason } = lists.decide({ id, kind: hello?.kind, ip: path && ipOf(path.addr) });
    if (!isAllowed) session.close(BYE.NOT_ALLOWED, reason);
  }
}
