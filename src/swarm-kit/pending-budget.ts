/** How much may be under way in handlers whose promises have not settled. */

import { wholeNumber } from '../base/checks.ts';

/** Bounds on pending handler work. */
export interface PendingLimits {
  /** Messages whose handler's promise is pending. @default 256 */
  readonly maxPendingMessages?: number | undefined;
  /** Their payload bytes. One message is always taken, however large. @default 4 194 304 (4 MiB) */
  readonly maxPendingBytes?: number | undefined;
}

/** Source: house defaults; 256 messages of 16 KiB make 4 MiB. */
export const PENDING_DEFAULTS = { maxPendingMessages: 256, maxPendingBytes: 4_194_304 } as const;

/** @returns the limits with nothing left open. @throws {TypeError | RangeError} for wrong ones. */
export function assertPendingLimits(limits: PendingLimits): {
  readonly maxPendingMessages: number;
  readonly maxPendingBytes: number;
} {
  const checked = (name: keyof PendingLimits): number =>
    wholeNumber(limits[name], name, PENDING_DEFAULTS[name], 1, Number.MAX_SAFE_INTEGER);
  return { maxPendingMessages: checked('maxPendingMessages'), maxPendingBytes: checked('maxPendingBytes') };
}

/** One budget: per swarm on lossy links, per peer on flow-controlled ones. */
export class PendingBudget {
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Called when there is room again after it was full; flow-controlled links start reading. */
  onRoom: (() => void) | undefined;
  #messages = 0;
  #bytes = 0;

  constructor(limits: PendingLimits = {}) {
    const { maxPendingMessages, maxPendingBytes } = assertPendingLimits(limits);
    this.maxMessages = maxPendingMessages;
    this.maxBytes = maxPendingBytes;
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether nothing more is taken now. */
  get full(): boolean {
    return this.#messages >= this.maxMessages || this.#bytes >= this.maxBytes;
  }

  take(bytes: number): void {
    this.#messages++;
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    const wasFull = this.full;
    this.#messages--;
    this.#bytes -= bytes;
    if (wasFull && !this.full) this.onRoom?.();
  }
}
