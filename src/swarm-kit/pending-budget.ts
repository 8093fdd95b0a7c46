/** Limits the messages whose handler promises have not settled. */

import { wholeNumber } from '../base/checks.ts';

/** Limits of pending handler work. */
export interface PendingLimits {
  /** Messages whose handler promise is pending. @default 256 */
  readonly maxPendingMessages?: number | undefined;
  /** Their payload bytes. One message of any size is always accepted. @default 4 194 304 (4 MiB) */
  readonly maxPendingBytes?: number | undefined;
}

/** Source: chosen here; 256 messages of 16 KiB make 4 MiB. */
export const PENDING_DEFAULTS = { maxPendingMessages: 256, maxPendingBytes: 4_194_304 } as const;

/** @returns the limits with defaults filled in. @throws {TypeError | RangeError} for invalid ones. */
export function assertPendingLimits(limits: PendingLimits): {
  readonly maxPendingMessages: number;
  readonly maxPendingBytes: number;
} {
  const checked = (name: keyof PendingLimits): number =>
    wholeNumber(limits[name], name, PENDING_DEFAULTS[name], 1, Number.MAX_SAFE_INTEGER);
  return { maxPendingMessages: checked('maxPendingMessages'), maxPendingBytes: checked('maxPendingBytes') };
}

/** One budget: per swarm on lossy links, per peer on flow-controlled links. */
export class PendingBudget {
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Called when a full budget has room again; flow-controlled links then resume reading. */
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

  /** Whether no further message is accepted now. */
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
