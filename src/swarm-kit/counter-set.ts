/** Live counters of one layer, for those who write a swarm. */

import { type Counters, type DropReason } from '../core/counters.ts';

/** Counts what a layer does; hand it out as the swarm's `counters`. */
export class CounterSet implements Counters {
  readonly layer: string;
  readonly inner: Counters | undefined;
  sent = 0;
  received = 0;
  sentBytes = 0;
  receivedBytes = 0;
  readonly #drops = new Map<DropReason, number>(); // Bounded by the layer's closed set of reasons.

  /**
   * @param layer - the layer's name, lower case: it begins the layer's own drop reasons.
   * @param inner - the counters of what the layer stands on.
   */
  constructor(layer: string, inner?: Counters) {
    this.layer = layer;
    this.inner = inner;
  }

  get drops(): ReadonlyMap<DropReason, number> {
    return this.#drops;
  }

  /** One message of `bytes` payload bytes went down or out. */
  countSent(bytes: number): void {
    this.sent++;
    this.sentBytes += bytes;
  }

  /** One message of `bytes` payload bytes reached a handler or an asker. */
  countReceived(bytes: number): void {
    this.received++;
    this.receivedBytes += bytes;
  }

  /** One message was dropped. `reason` comes from a closed set, never from a peer. */
  countDrop(reason: DropReason): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
  }
}
