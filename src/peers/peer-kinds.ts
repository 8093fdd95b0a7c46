/** Which peers are nodes: those that this node has dialled, or that it has dialled back. */

import type { Addr } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Hello, PeerKind } from '../protocols/peers/hello.ts';
import type { PeerChange } from './changes.ts';
import { DialBack } from './dial-back.ts';
import type { LiveSession } from './live-session.ts';
import type { ResolvedOptions } from './options.ts';
import type { RemotePeer } from './remote-peer.ts';

/** Who is told. */
export interface PeerKindsHooks {
  changed(change: PeerChange): void;
  /** Others can dial a peer at an address. */
  proven(id: PeerId, addr: string): void;
}

export class PeerKinds {
  readonly #options: ResolvedOptions;
  readonly #hooks: PeerKindsHooks;
  readonly #dialBack: DialBack;

  constructor(options: ResolvedOptions, hooks: PeerKindsHooks) {
    this.#options = options;
    this.#hooks = hooks;
    this.#dialBack = new DialBack(options);
  }

  /** A path with a peer has opened. @param side - what the peer is */
  opened(peer: RemotePeer, session: LiveSession, hello: Hello, addr: Addr, side: 'initiator' | 'responder'): void {
    if (hello.kind !== 'node') return;
    if (side === 'responder') this.#set(peer, 'node');
    else if (peer.kind === 'client' && this.#options.dialBack) {
      this.#dialBack.once(peer, session, hello.addrs, addr, (proven) => {
        if (proven === undefined || peer.session !== session) return;
        this.#set(peer, 'node');
        this.#hooks.proven(peer.id, proven);
      });
    }
  }

  close(): Promise<void> {
    return this.#dialBack.close();
  }

  #set(peer: RemotePeer, kind: PeerKind): void {
    if (peer.kind === kind) return;
    peer.kind = kind;
    if (peer.isAnnounced) this.#hooks.changed({ type: 'kind', id: peer.id, kind });
  }
}
