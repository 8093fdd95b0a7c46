/** What happens to peers, as events. */

import type { PeerId } from '../core/peer-id.ts';
import type { AttackEvent, BanDecision } from './attack-signals.ts';
import type { ListChange } from './lists.ts';
import type { ReachKind } from '../protocols/peers/reach/types.ts';
import type { PeerKind } from '../protocols/peers/hello.ts';

/** Where messages to a peer go. */
export interface PathInfo {
  /** `tcp`, `quic`, or the name of a transport of the program. */
  readonly transport: string;
  /** The peer's address there. */
  readonly addr: string;
  /** `punch`: through NATs that both sides have opened; `relay`: by way of another node. */
  readonly kind: ReachKind;
  /** What the peer is: `'responder'` when this node dialled. */
  readonly side: 'initiator' | 'responder';
}

/** A change, as {@link PeerChanges} yields it. */
export type PeerChange =
  /** A session has begun. */
  | { readonly type: 'connected'; readonly id: PeerId; readonly kind: PeerKind; readonly path: PathInfo }
  /** The session has ended: once for each `connected`. Messages that were not acknowledged are lost. */
  | { readonly type: 'lost'; readonly id: PeerId; readonly reason: string }
  /** Messages go over another path now; without one, they wait for the next. */
  | { readonly type: 'path'; readonly id: PeerId; readonly path: PathInfo | undefined; readonly reason: string }
  /** It is proven that others can dial the peer. */
  | { readonly type: 'kind'; readonly id: PeerId; readonly kind: PeerKind }
  /** A source behaves as attackers do; see `AttackEvent`. `ban`: what `banPolicy` has decided. */
  | (AttackEvent & { readonly ban: BanDecision | undefined })
  /**
   * Another process uses this node's key. `id` is the peer that has met it, with which at most one of both can talk; `undefined` when it
   * was learned by peer exchange.
   */
  | { readonly type: 'key_elsewhere'; readonly id: PeerId | undefined }
  /** The clock of a peer differs by a minute or more: positive when it is ahead. Signed records may count as expired. */
  | { readonly type: 'clock_differs'; readonly id: PeerId; readonly differenceMs: number }
  /** This node is reached by way of a relay now, or is not any more. It goes on trying, at this relay or another one. */
  | {
      readonly type: 'relay';
      readonly relay: PeerId;
      readonly state: 'reserving' | 'reserved' | 'lost' | 'refused';
      readonly reason: string | undefined;
    }
  /** The addresses that this node tells others have changed: a router forwards a port now, or does not any more. */
  | { readonly type: 'addrs'; readonly addrs: readonly string[] }
  /** Who may connect has changed. */
  | { readonly type: 'lists'; readonly change: ListChange }
  /** Something that this node uses does not work: a cache file, a contact, a transport. */
  | { readonly type: 'fault'; readonly source: string; readonly text: string }
  /** A peer that is wanted could not be reached; `explain` says more. */
  | { readonly type: 'unreachable'; readonly id: PeerId; readonly reason: string };

/** Changes from now on, after the faults of the opening for the first loop; leaving the loop ends it. */
export interface PeerChanges extends AsyncIterableIterator<PeerChange, undefined>, AsyncDisposable {
  /** Changes that were dropped because more than 1024 waited for the loop. */
  readonly dropped: number;
  next(): Promise<IteratorResult<PeerChange, undefined>>;
  return(): Promise<IteratorResult<PeerChange, undefined>>;
  [Symbol.asyncIterator](): PeerChanges;
}

/** Changes that wait for a loop. */
const MAX_WAITING = 1024;

/** One loop over changes. */
export class ChangeQueue implements PeerChanges {
  dropped = 0;
  readonly #left: (queue: ChangeQueue) => void;
  #waiting: PeerChange[] = []; // Bounded by MAX_WAITING.
  /** Bounded by the pending calls. */
  #takers: ((result: IteratorResult<PeerChange, undefined>) => void)[] = [];
  #isDone = false;

  constructor(left: (queue: ChangeQueue) => void) {
    this.#left = left;
  }

  push(change: PeerChange): void {
    const taker = this.#takers.shift();
    if (taker !== undefined) taker({ done: false, value: change });
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(change);
    else {
      this.#waiting.shift();
      this.#waiting.push(change);
      this.dropped++;
    }
  }

  /** Ends the loop once what waits has been taken. */
  end(): void {
    this.#isDone = true;
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<PeerChange, undefined>> {
    const first = this.#waiting.shift();
    if (first !== undefined) return Promise.resolve({ done: false, value: first });
    if (this.#isDone) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => void this.#takers.push(resolve));
  }

  return(): Promise<IteratorResult<PeerChange, undefined>> {
    this.#waiting = [];
    this.#left(this);
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): PeerChanges {
    return this;
  }
}
