/** The writing hook: encodes messages, and sends them together. */

import { quantity, wholeNumber } from '../base/checks.ts';
import type { Hook } from './hook.ts';

/** Options of writing. The `codec` of the node encodes messages. */
export interface WritingOptions {
  /**
   * Bytes that may wait for one peer; `send` throws `limit_exceeded` beyond it.
   * @default 33 554 432 (32 MiB), two of the largest frames of `lengthDelimited`
   */
  readonly maxQueueBytes?: number | undefined;
  /** Above this number of waiting bytes `send` returns `false`, and `ready` waits. @default 1 048 576 (1 MiB) */
  readonly highWaterBytes?: number | undefined;
  /**
   * A connection that takes none of the waiting bytes for this time ends (`write_timeout`). @default 10 000, as in the
   * reference node
   */
  readonly timeoutMs?: number | undefined;
}

/** Source: reference node for the time; it limits messages, this limits bytes. */
const DEFAULTS = { maxQueueBytes: 33_554_432, highWaterBytes: 1_048_576, timeoutMs: 10_000 } as const;

/**
 * Writes messages: those that `connection.send` and `node.broadcast` queue in one turn of the event loop are sent in
 * one write.
 *
 * @throws {TypeError | RangeError} for invalid options.
 * @example
 * ```ts
 * node.enable(writing());
 * if (!connection.send(bytes)) await connection.ready();
 * ```
 */
export function writing(options: WritingOptions = {}): Hook {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const bytes = (name: 'maxQueueBytes' | 'highWaterBytes', fallback: number): number =>
    wholeNumber(options[name], name, fallback, 1, Number.MAX_SAFE_INTEGER);
  const maxQueueBytes = bytes('maxQueueBytes', DEFAULTS.maxQueueBytes);
  return new WritingHook({
    maxQueueBytes,
    highWaterBytes: bytes('highWaterBytes', Math.min(DEFAULTS.highWaterBytes, maxQueueBytes)),
    timeoutMs: quantity(options.timeoutMs, 'timeoutMs', DEFAULTS.timeoutMs, 1, Infinity),
  });
}

/** The options with defaults filled in. @internal */
export interface WritingSettings {
  readonly maxQueueBytes: number;
  readonly highWaterBytes: number;
  readonly timeoutMs: number;
}

/** The hook as the node uses it. @internal */
export class WritingHook implements Hook {
  readonly kind = 'writing';
  readonly settings: WritingSettings;

  constructor(settings: WritingSettings) {
    this.settings = settings;
  }
}
