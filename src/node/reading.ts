/** The reading hook: bytes become messages, and messages are processed in order. */

import { assertFunction, quantity, wholeNumber } from '../base/checks.ts';
import { type TcpConnection } from './connection.ts';
import { type Hook } from './hook.ts';
import { type RateLimit, RateMeter } from './rate.ts';

/** How messages are read. What cuts bytes into messages is the `codec` of the node. */
export interface ReadingOptions<in In, out Out = never> {
  /**
   * Processes one message. Called in order, and not again before its promise settles unless `concurrency` says so.
   * Throwing ends the connection (`handler_error`).
   *
   * @param message - the handler's to keep.
   */
  readonly onMessage: (connection: TcpConnection<Out>, message: In) => unknown;
  /** How many calls of `onMessage` may be under way for one connection; they still begin in order. @default 1 */
  readonly concurrency?: number | undefined;
  /**
   * What happens when messages come faster than they are processed: `'wait'` stops reading, so that the sender waits;
   * `'drop'` reads on, and drops and counts what `maxQueueMessages` does not hold.
   * @default 'wait'
   */
  readonly overflow?: 'wait' | 'drop' | undefined;
  /** Messages that wait, with `overflow: 'drop'`. @default 64, as the original */
  readonly maxQueueMessages?: number | undefined;
  /** A connection on which no message has come for so long ends (`idle`). Infinity: never. @default 60 000 */
  readonly idleTimeoutMs?: number | undefined;
  /**
   * A message that was begun must bring `minProgressBytes` in each such span, or the connection ends (`slow`): who drips
   * bytes is found out, and a large message on a slow path is not. Infinity: no limit. @default 5000
   */
  readonly progressTimeoutMs?: number | undefined;
  /** See `progressTimeoutMs`. @default 1024 */
  readonly minProgressBytes?: number | undefined;
  /** How fast one peer may send. @default no limit */
  readonly rate?: RateLimit | undefined;
  /**
   * Whether an error of the decoder ends the connection. When not, it is counted, and decoding goes on behind the bad
   * message: fit for codecs that have found its end. @default all errors do
   */
  readonly isFatal?: ((error: unknown) => boolean) | undefined;
}

/** Source: reference node for the queue and the idle time; 1 KiB in 5 s is what a modem of 1985 does. */
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
 * @throws {TypeError | RangeError} for wrong options.
 * @example
 * ```ts
 * node.enable(reading({ onMessage: (connection, bytes) => console.log(connection.addr, bytes.length) }));
 * ```
 */
export function reading<In, Out = never>(options: ReadingOptions<In, Out>): Hook<In, Out> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { onMessage, overflow = 'wait', rate, isFatal } = options;
  assertFunction(onMessage, 'onMessage');
  if (isFatal !== undefined) assertFunction(isFatal, 'isFatal');
  if (overflow !== 'wait' && overflow !== 'drop') {
    throw new TypeError(`Cannot take overflow: expected 'wait' or 'drop', got ${String(overflow)}`);
  }
  if (rate !== undefined) void new RateMeter(rate); // Checks it.
  const count = (name: 'concurrency' | 'maxQueueMessages' | 'minProgressBytes'): number =>
    wholeNumber(options[name], name, DEFAULTS[name], 1, Number.MAX_SAFE_INTEGER);
  const time = (name: 'idleTimeoutMs' | 'progressTimeoutMs'): number =>
    quantity(options[name], name, DEFAULTS[name], 1, Infinity);
  const maxQueueMessages = count('maxQueueMessages');
  return new ReadingHook({
    onMessage,
    concurrency: count('concurrency'),
    maxQueueMessages: overflow === 'drop' ? maxQueueMessages : undefined,
    idleTimeoutMs: time('idleTimeoutMs'),
    progressTimeoutMs: time('progressTimeoutMs'),
    minProgressBytes: count('minProgressBytes'),
    rate,
    isFatal,
  });
}

/** The options with nothing left open. @internal */
export interface ReadingSettings<in In, out Out = never> {
  readonly onMessage: (connection: TcpConnection<Out>, message: In) => unknown;
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
