/** The writing hook: messages become bytes, and go out together. */

import { quantity, wholeNumber } from '../base/checks.ts';
import { type Hook } from './hook.ts';

/** How messages are written. What makes bytes of them is the `codec` of the node. */
export interface WritingOptions {
  /**
   * Bytes that may wait for one peer; `send` throws `limit_exceeded` for what comes on top.
   * @default 33 554 432 (32 MiB), two of the largest frames of `lengthDelimited`
   */
  readonly maxQueueBytes?: number | undefined;
  /** Above so many waiting bytes `send` answers `false`, and `ready` waits. @default 1 048 576 (1 MiB) */
  readonly highWaterBytes?: number | undefined;
  /** A connection that takes no byte of what waits for so long ends (`write_timeout`). @default 10 000, as the original */
  readonly timeoutMs?: number | undefined;
}

/** Source: reference node for the time; it bounds messages, we bound bytes. */
const DEFAULTS = { maxQueueBytes: 33_554_432, highWaterBytes: 1_048_576, timeoutMs: 10_000 } as const;

/**
 * Writes messages: what `connection.send` and `node.broadcast` queue goes out together, in one write a turn.
 *
 * @throws {TypeError | RangeError} for wrong options.
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

/** The options with nothing left open. @internal */
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
