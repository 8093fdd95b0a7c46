/** Live counters of one layer, for swarm implementations. */

import type { Counters, DropReason } from '../core/counters.ts';

/** Counts what a layer does. A swarm exposes it as `counters`. */
export class CounterSet implements Counters {
  readonly layer: string;
  readonly inner: Counters | undefined;
  sent = 0;
  received = 0;
  sentBytes = 0;
  receivedBytes = 0;
  readonly #drops = new Map<DropReason, number>(); // Bounded by the layer's fixed set of reasons.

  /**
   * @param layer - the layer's name in lower case; it prefixes the layer's own drop reasons.
   * @param inner - the counters of the layer below.
   */
  constructor(layer: string, inner?: Counters) {
    this.layer = layer;
    this.inner = inner;
  }

  get drops(): ReadonlyMap<DropReason, number> {
    return this.#drops;
  }

  /** Counts one message of `bytes` payload bytes handed to the layer below or sent. */
  countSent(bytes: number): void {
    this.sent++;
    this.sentBytes += bytes;
  }

  /** Counts one message of `bytes` payload bytes delivered to a handler or an asker. */
  countReceived(bytes: number): void {
    this.received++;
    this.receivedBytes += bytes;
  }

  /** Counts one dropped message. `reason` comes from a fixed set, never from a peer. */
  countDrop(reason: DropReason): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
  }
}
