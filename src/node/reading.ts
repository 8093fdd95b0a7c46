/** The reading hook: decodes bytes and processes the messages in order. */

import { assertFunction, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import type { TcpConnection } from './connection.ts';
import type { Hook } from './hook.ts';
import { type RateLimit, RateMeter } from './rate.ts';

/** Options of reading. The `codec` of the node splits bytes into messages. */
export interface ReadingOptions<in In, out Out = never> {
  /**
   * Processes one message. Called in order, and only after its last promise has settled unless `concurrency` allows
   * more. A throw ends the connection (`handler_error`).
   *
   * @param message - belongs to the handler, unless `borrowed`. A message of 8 to 64 KiB may be a view of a buffer of 256 KiB, which it
   * keeps in memory: copy what is kept for long. Such a buffer cannot be transferred.
   */
  readonly onMessage: (connection: TcpConnection<Out>, message: In) => unknown;
  /**
   * How many calls of `onMessage` may run at the same time for one connection; they still begin in order. @default 1
   */
  readonly concurrency?: number | undefined;
  /**
   * Lends messages: their bytes are valid until the handler returns or, if it returns a promise, until that settles; then the memory is used
   * for the next message. Large messages cost neither an allocation nor a copy. `'checked'` overwrites the bytes at that time with 0xdb, so
   * that a test notices a handler that keeps them. Needs `concurrency: 1` and `overflow: 'wait'`, and lends what the codec lends:
   * `lengthDelimited` and `varintDelimited` do, and `mapCodec` over them. @default false: messages belong to the handler
   */
  readonly borrowed?: boolean | 'checked' | undefined;
  /**
   * What happens when messages arrive faster than they are processed: `'wait'` stops reading, so that the sender waits;
   * `'drop'` continues to read, and drops and counts messages beyond `maxQueueMessages`.
   * @default 'wait'
   */
  readonly overflow?: 'wait' | 'drop' | undefined;
  /** Messages that may wait, with `overflow: 'drop'`. @default 64, as in the reference node */
  readonly maxQueueMessages?: number | undefined;
  /** A connection without a message for this time ends (`idle`). Infinity: never. @default 60 000 */
  readonly idleTimeoutMs?: number | undefined;
  /**
   * An unfinished message must bring `minProgressBytes` in each such interval, or the connection ends (`slow`): this
   * detects peers that send a few bytes at a time, and allows large messages on slow paths. Infinity: no limit.
   * @default 5000
   */
  readonly progressTimeoutMs?: number | undefined;
  /** See `progressTimeoutMs`. @default 1024 */
  readonly minProgressBytes?: number | undefined;
  /** Rate limits of one peer. @default no limit */
  readonly rate?: RateLimit | undefined;
  /**
   * Whether an error of the decoder ends the connection. If not, it is counted, and decoding continues after the bad
   * message: suitable for codecs that have found its end. @default all errors do
   */
  readonly isFatal?: ((error: unknown) => boolean) | undefined;
}

/** Source: reference node for the queue and the idle time; 1 KiB in 5 s is the rate of a 1985 modem. */
const DEFAULTS = {
  concurrency: 1,
  maxQueueMessages: 64,
  idleTimeoutMs: 60_000,
  progressTimeoutMs: 5000,
  minProgressBytes: 1024,
} as const;

/**
 * Reads messages.
 *
 * @throws {TypeError | RangeError} for invalid options.
 * @example
 * ```ts
 * node.enable(reading({ onMessage: (connection, bytes) => console.log(connection.addr, bytes.length) }));
 * ```
 */
export function reading<In, Out = never>(options: ReadingOptions<In, Out>): Hook<In, Out> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { onMessage, overflow = 'wait', rate, isFatal, borrowed = false } = options;
  assertFunction(onMessage, 'onMessage');
  if (isFatal !== undefined) assertFunction(isFatal, 'isFatal');
  if (overflow !== 'wait' && overflow !== 'drop') {
    throw new TypeError(`Cannot take overflow: expected 'wait' or 'drop', got ${String(overflow)}`);
  }
  if (borrowed !== 'checked' && typeof borrowed !== 'boolean') {
    throw new TypeError(`Cannot take borrowed: expected a boolean or 'checked', got ${describeValue(borrowed)}`);
  }
  if (rate !== undefined) void new RateMeter(rate); // Checks it.
  const count = (name: 'concurrency' | 'maxQueueMessages' | 'minProgressBytes'): number =>
    wholeNumber(options[name], name, DEFAULTS[name], 1, Number.MAX_SAFE_INTEGER);
  const time = (name: 'idleTimeoutMs' | 'progressTimeoutMs'): number =>
    quantity(options[name], name, DEFAULTS[name], 1, Infinity);
  const maxQueueMessages = count('maxQueueMessages');
  const concurrency = count('concurrency');
  if (borrowed !== false && (concurrency > 1 || overflow === 'drop')) {
    throw new RangeError(
      "Cannot lend messages: the next one takes their place; leave concurrency at 1 and overflow at 'wait'",
    );
  }
  return new ReadingHook({
    onMessage,
    borrowed,
    concurrency,
    maxQueueMessages: overflow === 'drop' ? maxQueueMessages : undefined,
    idleTimeoutMs: time('idleTimeoutMs'),
    progressTimeoutMs: time('progressTimeoutMs'),
    minProgressBytes: count('minProgressBytes'),
    rate,
    isFatal,
  });
}

/** The options with defaults filled in. @internal */
export interface ReadingSettings<in In, out Out = never> {
  readonly onMessage: (connection: TcpConnection<Out>, message: In) => unknown;
  readonly borrowed: boolean | 'checked';
  readonly concurrency: number;
  /** Undefined: messages are not queued, the peer waits. */
  readonly maxQueueMessages: number | undefined;
  readonly idleTimeoutMs: number;
  readonly progressTimeoutMs: number;
  readonly minProgressBytes: number;
  readonly rate: RateLimit | undefined;
  readonly isFatal: ((error: unknown) => boolean) | undefined;
}

/** The hook as the node uses it. @internal */
export class ReadingHook<in In, out Out = never> implements Hook<In, Out> {
  readonly kind = 'reading';
  readonly settings: ReadingSettings<In, Out>;

  constructor(settings: ReadingSettings<In, Out>) {
    this.settings = settings;
  }
}
