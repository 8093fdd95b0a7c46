/** One relay as a client sees it: its reservation, if it is wanted, and the peers behind it. */

import type { Addr } from '../core/addr.ts';
import { equalBytes, type Bytes } from '../base/bytes.ts';
import type { SocketAddress } from '../base/ip.ts';
import { encodePeerId, type PeerId } from '../core/peer-id.ts';
import type { Swarm } from '../core/swarm.ts';
import {
  RelayClient,
  type RelayClientEvent,
  type RelayClientTransmit,
  type RelayLoss,
} from '../protocols/relay/client.ts';
import type { RelayReply } from '../protocols/relay/messages.ts';
import { Driver } from '../runtime/driver.ts';
import { type SendPath, sendPath } from '../swarm-kit/send-path.ts';
import { relayAddr, type RelayAddr } from './relay-address.ts';

/** A place at a relay. */
export interface RelayReservation<out A extends Addr> {
  readonly relay: A;
  /** `lost` and `refused`: it is asked for again, until released. */
  readonly state: 'reserving' | 'reserved' | 'lost' | 'refused';
  /** Realm time in milliseconds when it ends unless it is renewed; `undefined` without one. */
  readonly expiresMs: number | undefined;
  /** Why this node has no reservation. */
  readonly reason: RelayLoss | undefined;
  /** The address of this host as the relay sees it. */
  readonly observed: SocketAddress | undefined;
  /** What the relay lets this node send in a second; Infinity: without a limit; `undefined` without a reservation. */
  readonly bytesPerSecond: number | undefined;
}

/** What the swarm does with the events of a link. */
export interface RelayLinkHooks {
  readonly changed: () => void;
  readonly stale: () => void;
  readonly unsent: () => void;
  readonly failed: (bug: Error) => void;
}

const MAX_SOURCES = 8192;

/** One relay. */
export class RelayLink<A extends Addr> {
  /** Our own address at this relay. */
  readonly local: RelayAddr<A>;
  readonly client: RelayClient;
  /** The way to the relay. */
  readonly path: SendPath;
  /** Called at each change. Bounded by the pending calls of `reserve`. */
  readonly waiters: Set<() => void> = new Set();
  readonly #swarm: Swarm<A>;
  readonly #driver: Driver<RelayClientTransmit, RelayClientEvent>;
  /** Bounded by MAX_SOURCES: a full cache is cleared. */
  readonly #sources = new Map<PeerId, RelayAddr<A>>();
  #last: { readonly bytes: Bytes; readonly addr: RelayAddr<A> } | undefined;

  constructor(swarm: Swarm<A>, local: RelayAddr<A>, minutes: number | undefined, hooks: RelayLinkHooks) {
    const { realm } = swarm;
    this.#swarm = swarm;
    this.local = local;
    this.path = sendPath(swarm, local.relay);
    this.client = new RelayClient({ random: (length) => realm.random(length), minutes });
    this.#driver = new Driver(this.client, {
      realm,
      transmit: ({ bytes, token }) => {
        swarm.tell(local.relay, bytes).catch(() => {
          hooks.unsent();
          this.client.handleUnsent(realm.nowMs(), token);
          this.#driver.poll();
        });
      },
      event: ({ type }) => hooks[type](),
      failed: hooks.failed,
      background: true,
    });
  }

  /** Whether a reservation is wanted. */
  get isWanted(): boolean {
    return this.client.state !== 'idle';
  }

  /** The reservation, if one is wanted. */
  get reservation(): RelayReservation<A> | undefined {
    const { state, untilMs, reason, grant } = this.client;
    if (state === 'idle') return undefined;
    return {
      relay: this.local.relay,
      state,
      expiresMs: grant === undefined ? undefined : untilMs,
      reason,
      observed: grant?.observed,
      bytesPerSecond: grant?.bytesPerSecond,
    };
  }

  reserve(): void {
    this.client.reserve(this.#swarm.realm.nowMs());
    this.#driver.poll();
  }

  release(): void {
    this.client.release(this.#swarm.realm.nowMs());
    this.#driver.poll();
  }

  /** The connection with the relay has ended. */
  handleDisconnected(): void {
    this.client.handleDisconnected(this.#swarm.realm.nowMs());
    this.#driver.poll();
  }

  handleReply(version: number, reply: Exclude<RelayReply, { readonly type: 'received' | 'gone' }>): void {
    this.client.handleReply(this.#swarm.realm.nowMs(), version, reply);
    this.#driver.poll();
  }

  /** The address of a peer behind this relay, by its 32 bytes. */
  sourceOf(id: Bytes): RelayAddr<A> {
    if (this.#last !== undefined && equalBytes(this.#last.bytes, id)) return this.#last.addr;
    const text = encodePeerId(id);
    let addr = this.#sources.get(text);
    if (addr === undefined) {
      addr = relayAddr(text, this.local.relay);
      if (this.#sources.size >= MAX_SOURCES) this.#sources.clear();
      this.#sources.set(text, addr);
    }
    this.#last = { bytes: id.slice(), addr };
    return addr;
  }

  /** Releases what is reserved; nothing happens after it. */
  close(): void {
    this.release();
    this.#driver.stop();
  }
}
