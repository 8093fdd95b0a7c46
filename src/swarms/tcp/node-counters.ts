/** The statistics of the node below, as counters of a layer. */

import type { Counters, DropReason } from '../../core/counters.ts';
import type { Node } from '../../node/index.ts';

/** Live: bytes are those on the wire, messages are reads and writes. */
export class NodeCounters implements Counters {
  readonly layer = 'node';
  readonly #node: Pick<Node, 'stats' | 'heuristics'>;

  constructor(node: Pick<Node, 'stats' | 'heuristics'>) {
    this.#node = node;
  }

  get sent(): number {
    return this.#node.stats.sent.messages;
  }

  get received(): number {
    return this.#node.stats.received.messages;
  }

  get sentBytes(): number {
    return this.#node.stats.wire.sent;
  }

  get receivedBytes(): number {
    return this.#node.stats.wire.received;
  }

  /** Refused connections, by reason. */
  get drops(): ReadonlyMap<DropReason, number> {
    const drops = new Map<DropReason, number>(); // Bounded by the node's reasons.
    for (const [reason, count] of this.#node.heuristics.refused) drops.set(`node.${reason}`, count);
    return drops;
  }
}
