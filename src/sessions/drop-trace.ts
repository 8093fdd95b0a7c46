/** Traces what a peer's bytes were dropped for, with where they came from, at a bounded rate per source. */

import { SourceBuckets } from '../base/token-bucket.ts';
import { type Addr, ipOf } from '../core/addr.ts';
import type { Side } from '../core/accept.ts';
import type { Realm } from '../core/realm.ts';

/** Events of one source in a second, and at once. More are counted by the swarm only. */
const PER_SECOND = 100;
const MAX_SOURCES = 4096;

/**
 * Traces drops of one layer, with where the bytes came from, at most 100 a second for each source: a flood does not fill a log, and
 * hides no other source. Costs nothing while the realm has no trace.
 */
export class DropTrace {
  readonly #realm: Realm;
  readonly #layer: string;
  /** Made with the first event. Bounded by {@link MAX_SOURCES}. */
  #buckets: SourceBuckets | undefined;

  /** @param layer - the layer's name in events: `tcp`. */
  constructor(realm: Realm, layer: string) {
    this.#realm = realm;
    this.#layer = layer;
  }

  /**
   * Traces one drop, unless its source had too many in this second.
   *
   * @param type - `dropped`, or `handshake_failed`.
   * @param addr - where the bytes came from; with a PeerID only if it is that of the session in which they came.
   * @param reason - the drop reason, as it is counted.
   */
  note(
    type: 'dropped' | 'handshake_failed',
    addr: Addr | undefined,
    reason: string,
    more: { readonly side?: Side | undefined; readonly cause?: unknown } = {},
  ): void {
    const { trace } = this.#realm;
    if (trace === undefined) return;
    const atMs = this.#realm.nowMs();
    this.#buckets ??= new SourceBuckets(PER_SECOND, PER_SECOND, MAX_SOURCES);
    if (addr !== undefined && !this.#buckets.take(atMs, ipOf(addr) ?? addr.text)) return;
    trace({ layer: this.#layer, type, atMs, addr, reason, ...more });
  }
}
