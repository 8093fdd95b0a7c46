/** Which path a packet belongs to, and what becomes of packets without a path. Source: docs/wire/peers.md §2. */

import type { Bytes } from '../base/bytes.ts';
import type { Millis } from '../base/machine.ts';
import type { Addr } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import { DEAD_MS } from '../protocols/peers/constants.ts';
import type { LivePath } from './live-session.ts';
import type { Transport } from './transport.ts';

/** Peers without a path on one transport; the oldest is forgotten. */
const MAX_STRAYING = 1024;

/** What it needs from the table of peers. */
export interface PacketPathsHooks {
  nowMs(): Millis;
  pathOf(id: PeerId, transport: Transport): LivePath | undefined;
  /** Keeps a packet that has overtaken its welcome. @returns false when no welcome may come */
  hold(transport: Transport, src: Addr, packet: Bytes): boolean;
  /** A packet was dropped that has no path. */
  dropped(): void;
}

export class PacketPaths {
  readonly #hooks: PacketPathsHooks;
  readonly #pathOf = new WeakMap<Addr, LivePath>();
  /** When the first packet without a path came since the peer last had one. Bounded by the transports and MAX_STRAYING. */
  readonly #strayMs = new WeakMap<Transport, Map<PeerId, Millis>>();

  constructor(hooks: PacketPathsHooks) {
    this.#hooks = hooks;
  }

  /** The path of a packet; `undefined` for a packet without a path, which is held or dropped. */
  find(transport: Transport, src: Addr, packet: Bytes): LivePath | undefined {
    const known = this.#pathOf.get(src);
    if (known?.isOpen === true) return known;
    const id = transport.peerOf(src);
    const path = id === undefined ? undefined : this.#hooks.pathOf(id, transport);
    if (path !== undefined) this.#pathOf.set(src, path);
    else if (!this.#hooks.hold(transport, src, packet)) {
      this.#hooks.dropped();
      if (id !== undefined) this.#stray(transport, src, id);
    }
    return path;
  }

  /** Packets of an address belong to a path. */
  opened(id: PeerId, addr: Addr, path: LivePath): void {
    this.#pathOf.set(addr, path);
    this.#strayMs.get(path.transport)?.delete(id);
  }

  /**
   * The peer has a path that this side does not have, and a transport that acknowledges bytes keeps it alive. When it still sends on it after
   * the time for which a silent path is let live, its connection ends: the peer says hello again.
   */
  #stray(transport: Transport, src: Addr, id: PeerId): void {
    let peers = this.#strayMs.get(transport);
    if (peers === undefined) this.#strayMs.set(transport, (peers = new Map()));
    const nowMs = this.#hooks.nowMs();
    const firstMs = peers.get(id) ?? nowMs;
    peers.set(id, firstMs);
    if (nowMs - firstMs >= DEAD_MS) {
      peers.delete(id);
      transport.disconnect(src);
    } else if (peers.size > MAX_STRAYING) peers.delete(peers.keys().next().value!);
  }
}
