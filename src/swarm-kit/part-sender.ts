/**
 * Sends messages in parts, paced, so that a large message does not overrun the receiver's socket buffer.
 */

import { type Addr } from '../core/addr.ts';
import { quantity } from '../base/checks.ts';
import { type CallOptions, type Swarm } from '../core/swarm.ts';
import { Pacer } from './pacer.ts';
import { RESOLVED, markHandled } from '../runtime/promises.ts';
import { Waits, checkCall } from '../runtime/waits.ts';

/** How fast parts go out. */
export interface PacingOptions {
  /**
   * Bytes of one message that go out at once; the rest follows with a quarter of that each millisecond, all messages
   * together, so that a large message does not overrun the receiver's socket buffer. `Infinity` turns pacing off.
   * @default 65 536, and 16 MiB/s from then on
   */
  readonly burstBytes?: number | undefined;
}

/**
 * Linux grants 208 KiB of socket buffer by default, about 90 datagrams of 1232 bytes; 54 of them leave room for others.
 * 16 MiB/s are 14 000 datagrams a second: a process that opens each of them with a cipher keeps up.
 */
const DEFAULT_BURST_BYTES = 65_536;
const PAUSE_MS = 1;

/** @returns `burstBytes`, checked. @throws {TypeError | RangeError} when it is no number from 1 to Infinity. */
export function resolveBurstBytes(options: PacingOptions): number {
  return quantity(options.burstBytes, 'burstBytes', DEFAULT_BURST_BYTES, 1, Infinity);
}

/** A message in parts; each is made when its turn comes. */
export interface PartSource {
  /** 1 or more. */
  readonly count: number;
  readonly partAt: (index: number) => Uint8Array;
}

/** All messages in parts over one swarm share one pace. */
export class PartSender<A extends Addr> {
  readonly #inner: Swarm<A>;
  readonly #pacer: Pacer;
  readonly #burstBytes: number;
  readonly #waits: Waits;
  /** Messages of which parts are still to go. Bounded by the calls under way. */
  readonly #sending = new Set<Promise<void>>();

  constructor(inner: Swarm<A>, burstBytes: number) {
    this.#inner = inner;
    this.#burstBytes = burstBytes;
    this.#waits = new Waits(inner.realm);
    this.#pacer = new Pacer({ realm: inner.realm, burstBytes: burstBytes / 4, pauseMs: PAUSE_MS });
  }

  /** Sends all parts, in order. Settles when the last has been handed down, or one could not be. */
  send(dst: A, source: PartSource, options?: CallOptions): Promise<void> {
    if (source.count === 1) return this.#inner.tell(dst, source.partAt(0), options);
    const sending = markHandled(this.#sendAll(dst, source, options));
    this.#sending.add(sending);
    const done = (): void => void this.#sending.delete(sending);
    sending.then(done, done);
    return sending;
  }

  /**
   * Waits until all parts of the messages under way have been handed down, and then for the swarm below.
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

  /** Gives up what is still to go. */
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
