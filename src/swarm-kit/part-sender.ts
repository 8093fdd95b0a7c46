/** Sends messages in parts at a limited rate, so that a large message does not overrun the receiver's socket buffer. */

import type { Addr } from '../core/addr.ts';
import { quantity } from '../base/checks.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import { Pacer } from './pacer.ts';
import { RESOLVED, markHandled } from '../runtime/promises.ts';
import { Waits, checkCall } from '../runtime/waits.ts';

/** The rate at which parts are sent. */
export interface PacingOptions {
  /**
   * Bytes of one message that are sent at once. The rest follows at a quarter of that per millisecond, shared by all
   * messages, so that a large message does not overrun the receiver's socket buffer. `Infinity` turns pacing off.
   * @default 65 536, then 16 MiB/s
   */
  readonly burstBytes?: number | undefined;
}

/**
 * Linux grants 208 KiB of socket buffer by default, about 90 datagrams of 1232 bytes; a burst of 54 leaves room for
 * other senders. 16 MiB/s are 14 000 datagrams per second, a rate at which one process can decrypt each of them.
 */
const DEFAULT_BURST_BYTES = 65_536;
const PAUSE_MS = 1;

/** @returns `burstBytes`, checked. @throws {TypeError | RangeError} when it is not a number from 1 to Infinity. */
export function resolveBurstBytes(options: PacingOptions): number {
  return quantity(options.burstBytes, 'burstBytes', DEFAULT_BURST_BYTES, 1, Infinity);
}

/** A message in parts. Each part is created when it is sent. */
export interface PartSource {
  /** The number of parts: 1 or more. */
  readonly count: number;
  readonly partAt: (index: number) => Uint8Array;
}

/** All multi-part messages on one swarm share one pacer. */
export class PartSender<A extends Addr> {
  readonly #inner: Swarm<A>;
  readonly #pacer: Pacer;
  readonly #burstBytes: number;
  readonly #waits: Waits;
  /** Messages with unsent parts. Bounded by the pending calls. */
  readonly #sending = new Set<Promise<void>>();

  constructor(inner: Swarm<A>, burstBytes: number) {
    this.#inner = inner;
    this.#burstBytes = burstBytes;
    this.#waits = new Waits(inner.realm);
    this.#pacer = new Pacer({ realm: inner.realm, burstBytes: burstBytes / 4, pauseMs: PAUSE_MS });
  }

  /** Sends all parts in order. Settles when the last one has been handed to the layer below, or when one fails. */
  send(dst: A, source: PartSource, options?: CallOptions): Promise<void> {
    if (source.count === 1) return this.#inner.tell(dst, source.partAt(0), options);
    const sending = markHandled(this.#sendAll(dst, source, options));
    this.#sending.add(sending);
    const done = (): void => void this.#sending.delete(sending);
    sending.then(done, done);
    return sending;
  }

  /**
   * Waits until all parts of the pending messages have been handed to the swarm below, then drains that swarm.
   *
   * @param below - drains the swarm below.
   */
  drain(options: CallOptions | undefined, below: () => Promise<void>): Promise<void> {
    checkCall(options);
    if (this.#sending.size === 0) return below();
    const wait = { what: () => 'drain', call: options, defaultTimeoutMs: Infinity };
    return this.#waits.wait<void>(wait, ({ resolve, reject }) => {
      void Promise.allSettled(this.#sending).then(below).then(resolve, reject);
    });
  }

  /** Rejects all unsent parts. */
  close(error: unknown): void {
    this.#pacer.close(error);
    this.#waits.close();
  }

  async #sendAll(dst: A, { count, partAt }: PartSource, options: CallOptions | undefined): Promise<void> {
    let sentBytes = 0;
    for (let index = 0; index < count; index++) {
      const packet = partAt(index);
      sentBytes += packet.length;
      const turn = sentBytes <= this.#burstBytes ? undefined : this.#pacer.turn(packet.length);
      if (turn !== undefined) await turn;
      options?.signal?.throwIfAborted();
      const told = this.#inner.tell(dst, packet, options);
      if (told !== RESOLVED) await told;
    }
  }
}
