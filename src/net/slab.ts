/**
 * Memory into which a busy socket reads: one large buffer for several reads, of which messages are views, so that they are neither
 * copied nor allocated one by one.
 */

import { markAsUntransferable } from 'node:worker_threads';

import type { Bytes } from '../base/bytes.ts';
import { LazyTimer } from '../runtime/lazy-timer.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { SLAB_BYTES } from './pipe.ts';

/** What one read takes at most, and the least room for one. */
const READ_BYTES = 65_536;
const MIN_READ_BYTES = 16_384;
/** A read of this size means that more is waiting in the system: the socket gets a slab, or keeps it. */
export const BUSY_BYTES = 49_152;
/** A socket that has read nothing for this time gives its slab back. */
const IDLE_MS = 1000;
/** The slabs that sockets of this process hold at the same time, 16 MiB; further sockets read and copy. It only affects speed. */
export const MAX_SLABS = 64;
let held = 0;
/** The first bytes of a slab stay free: a view that begins at 0 is taken for a buffer of its own. */
const BEGIN = 64;

/** The slab of one socket, while it is busy. */
export class Slab {
  #bytes: Bytes | undefined;
  #at = 0;
  #isBusy = false;
  readonly #isReused: boolean;
  readonly #idle: LazyTimer;

  /**
   * @param isReused - begins the same slab again, instead of another one.
   * @param idle - the place that was given out last must not be read into: {@link Slab.release} it.
   */
  constructor(isReused: boolean, idle: () => void) {
    this.#isReused = isReused;
    this.#idle = new LazyTimer(systemRealm, idle);
  }

  /** Where the next bytes are read to; `undefined`: not into a slab. */
  place(): Bytes | undefined {
    if (!this.#isBusy) return undefined;
    if (this.#bytes === undefined && held >= MAX_SLABS) return undefined;
    if (this.#bytes === undefined) held++;
    if (this.#bytes === undefined || this.#at + MIN_READ_BYTES > SLAB_BYTES) {
      if (this.#bytes === undefined || !this.#isReused) this.#bytes = newSlab();
      this.#at = BEGIN;
    }
    this.#idle.set(systemRealm.nowMs() + IDLE_MS);
    const end = Math.min(this.#at + READ_BYTES, SLAB_BYTES);
    return new Uint8Array(this.#bytes.buffer, this.#at, end - this.#at);
  }

  /** More is waiting: there was a read of `BUSY_BYTES`. */
  expect(): void {
    this.#isBusy = true;
  }

  /** Reports a read into the place that was given out last. @returns its bytes */
  filled(bytes: number): Bytes {
    const view = new Uint8Array(this.#bytes!.buffer, this.#at, bytes);
    this.#at += bytes;
    // The end of a slab has room for less than a large read.
    if (bytes < BUSY_BYTES && this.#at < SLAB_BYTES) this.release();
    return view;
  }

  /** Gives the slab back; views of it stay valid. */
  release(): void {
    this.#isBusy = false;
    this.#idle.clear();
    if (this.#bytes === undefined) return;
    this.#bytes = undefined;
    held--;
  }

  /** The socket has ended. */
  stop(): void {
    this.release();
    this.#idle.stop();
  }
}

const REFUSED: PropertyDescriptor = {
  value: () => {
    throw new TypeError('Cannot transfer buffer: other messages are views of it');
  },
};

function newSlab(): Bytes {
  const { buffer } = Buffer.allocUnsafeSlow(SLAB_BYTES);
  // A transfer of the buffer of one message would detach other messages, and the memory into which the system reads.
  markAsUntransferable(buffer);
  // Node 22 does not apply the mark to these two.
  Object.defineProperties(buffer, { transfer: REFUSED, transferToFixedLength: REFUSED });
  return new Uint8Array(buffer);
}
