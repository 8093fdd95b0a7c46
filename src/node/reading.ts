/**
 * The reading hook: bytes become messages, and messages are processed in order.
 *
 * There is no queue of messages: the decoder holds one chunk and gives out a message when the handler is free; meanwhile
 * the socket is not read, so TCP's flow control reaches the sender.
 */

import { isPending } from '../runtime/promises.ts';
import { type Bytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { assertFunction, quantity, wholeNumber } from '../base/checks.ts';
import { type Timer } from '../core/realm.ts';
import { BoundedQueue } from '../swarm-kit/bounded-queue.ts';
import { later } from '../runtime/later.ts';
import { type MemoryHolder } from '../sessions/memory-budget.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { type Codec, type Decoder } from './codec.ts';
import { type Connection } from './connection.ts';
import { type ConnectionPart, type Hook } from './hook.ts';
import { NodeConnection } from './node-connection.ts';
import { type RateLimit, RateMeter } from './rate.ts';
import { type DisconnectReason } from './stats.ts';

/** How messages are read. */
export interface ReadingOptions<In> {
  /** What cuts bytes into messages: a codec, or the decoding half of one. */
  readonly codec: Pick<Codec<In, never>, 'decoder'>;
  /**
   * Processes one message. Called in order, and not again before its promise settles unless `concurrency` says so.
   * Throwing ends the connection (`handler_error`).
   *
   * @param message - the handler's to keep.
   */
  readonly onMessage: (peer: Connection, message: In) => unknown;
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
   * bytes is found out, and a large message on a slow link is not. Infinity: no limit. @default 5000
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

/** What enabling {@link reading} returns. */
export interface ReadingHandle {
  /** Processes no further messages of this peer, and stops reading. */
  pause(peer: Connection): void;
  /** Undoes {@link ReadingHandle.pause}. */
  resume(peer: Connection): void;
}

/** Source: reference node for the queue and the idle time; 1 KiB in 5 s is what a modem of 1985 does. */
const DEFAULTS = {
  concurrency: 1,
  maxQueueMessages: 64,
  idleTimeoutMs: 60_000,
  progressTimeoutMs: 5000,
  minProgressBytes: 1024,
} as const;

/** Messages that are processed in one turn; a chunk of 64 KiB can hold as many that are empty. */
const MAX_MESSAGES_PER_TURN = 1024;

interface Settings<In> {
  readonly onMessage: (peer: Connection, message: In) => unknown;
  readonly concurrency: number;
  readonly maxQueueMessages: number | undefined;
  readonly idleTimeoutMs: number;
  readonly progressTimeoutMs: number;
  readonly minProgressBytes: number;
  readonly rate: RateLimit | undefined;
  readonly isFatal: ((error: unknown) => boolean) | undefined;
}

/**
 * Reads messages.
 *
 * @throws {TypeError | RangeError} for wrong options.
 * @example
 * ```ts
 * node.enable(reading({ codec: lengthDelimited(), onMessage: (peer, bytes) => console.log(peer.addr, bytes.length) }));
 * ```
 */
export function reading<In>(options: ReadingOptions<In>): Hook<ReadingHandle> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { codec, onMessage, overflow = 'wait', rate, isFatal } = options;
  assertFunction(codec?.decoder, 'codec.decoder');
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
  const settings: Settings<In> = {
    onMessage,
    concurrency: count('concurrency'),
    maxQueueMessages: overflow === 'drop' ? maxQueueMessages : undefined,
    idleTimeoutMs: time('idleTimeoutMs'),
    progressTimeoutMs: time('progressTimeoutMs'),
    minProgressBytes: count('minProgressBytes'),
    rate,
    isFatal,
  };
  const hook: ConnectionPart<Reader> & Hook<ReadingHandle> = {
    kind: 'reading',
    handle: () => ({
      pause: (peer) => readerOf(peer)?.hold(true),
      resume: (peer) => readerOf(peer)?.hold(false),
    }),
    start: (connection) => new MessageReader(connection, codec.decoder(connection), settings),
  };
  return hook;
}

function readerOf(peer: Connection): Reader | undefined {
  return peer instanceof NodeConnection ? peer.reader : undefined;
}

/** A connection's reading part. @internal */
export interface Reader {
  push(chunk: Bytes): void;
  /** Where the next bytes may be read to. */
  space(): Uint8Array | undefined;
  /** So many bytes were read there. */
  filled(bytes: number): void;
  /** The peer has closed its half. */
  end(): void;
  /** Processes nothing more. */
  stop(): void;
  hold(held: boolean): void;
}

/** A message, and the bytes of its frame. */
interface Decoded<In> {
  readonly message: In;
  readonly bytes: number;
}

class MessageReader<In> implements Reader {
  readonly #connection: NodeConnection;
  readonly #decoder: Decoder<In>;
  readonly #settings: Settings<In>;
  readonly #meter: RateMeter | undefined;
  /** With `overflow: 'drop'`: decoded and not processed. */
  readonly #queue: BoundedQueue<Decoded<In>> | undefined;
  readonly #holder: MemoryHolder;
  #running = 0;
  /** Of messages that are in handlers. */
  #runningBytes = 0;
  /** There is no memory to read on. */
  #isWaiting = false;
  #isLooping = false;
  /** Goes on in a later turn. */
  #isYielding = false;
  #turnMessages = 0;
  #isHeld = false;
  #isStopped = false;
  #isEnded = false;
  #isPaused = false;
  /** Armed while the rate makes the peer wait. */
  #delay: Timer | undefined;
  #watch: Timer | undefined;
  #watchAtMs = Infinity;
  /** When a message or enough of one came last. */
  #aliveAtMs: number;
  #progressBytes = 0;

  constructor(connection: NodeConnection, decoder: Decoder<In>, settings: Settings<In>) {
    this.#connection = connection;
    this.#decoder = decoder;
    this.#settings = settings;
    this.#meter = settings.rate === undefined ? undefined : new RateMeter(settings.rate);
    this.#queue =
      settings.maxQueueMessages === undefined ? undefined : new BoundedQueue({ maxItems: settings.maxQueueMessages });
    this.#aliveAtMs = connection.realm.nowMs();
    this.#holder = connection.host.memory.reading.join(connection.ip, {
      resume: () => {
        this.#isWaiting = false;
        this.#aliveAtMs = connection.realm.nowMs();
        connection.pause('memory', false);
      },
      end: () => this.#fail('over_budget'),
    });
    this.#arm();
  }

  push(chunk: Bytes): void {
    if (this.#isStopped) return;
    const before = this.#connection.stats.received.messages;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.#reject(error);
      return;
    }
    this.#took(chunk.length, before);
  }

  space(): Uint8Array | undefined {
    return this.#isStopped ? undefined : this.#decoder.space?.();
  }

  filled(bytes: number): void {
    if (this.#isStopped) return;
    const before = this.#connection.stats.received.messages;
    this.#decoder.filled?.(bytes);
    this.#took(bytes, before);
  }

  /** Processes what came, and notes that the peer is alive. */
  #took(bytes: number, messagesBefore: number): void {
    this.#holder.move(bytes);
    this.#loop();
    if (this.#isStopped) return;
    this.#account();
    if (!this.#isWaiting && !this.#holder.mayTake()) {
      this.#isWaiting = true;
      this.#connection.pause('memory', true);
      this.#holder.wait();
    }
    this.#progressBytes += bytes;
    const { messages } = this.#connection.stats.received;
    if (messages !== messagesBefore || this.#progressBytes >= this.#settings.minProgressBytes) {
      this.#aliveAtMs = this.#connection.realm.nowMs();
      this.#progressBytes = 0;
    }
    this.#arm();
  }

  /** Tells the node's budget what is held; handlers hold their messages when the connection has ended, too. */
  #account(): void {
    if (this.#isStopped) {
      this.#holder.update(this.#runningBytes, 0);
      return;
    }
    const { bufferedBytes } = this.#decoder;
    const held = bufferedBytes + this.#runningBytes + (this.#queue?.bytes ?? 0);
    this.#holder.update(held, this.#isPaused ? 0 : bufferedBytes);
  }

  end(): void {
    this.#isEnded = true;
    this.#aliveAtMs = this.#connection.realm.nowMs();
    this.#loop();
  }

  stop(): void {
    this.#isStopped = true;
    this.#watch?.cancel();
    this.#delay?.cancel();
    this.#queue?.clear();
    this.#holder.leave();
    this.#account();
  }

  hold(held: boolean): void {
    this.#isHeld = held;
    if (!held) this.#loop();
    else this.#flow();
  }

  /** Processes messages until there is none, or the handler is busy, or this turn has had enough. */
  #loop(): void {
    if (this.#isLooping || this.#isYielding) return;
    this.#isLooping = true;
    this.#turnMessages = 0;
    try {
      if (this.#queue !== undefined) this.#readAll(this.#queue);
      while (this.#isFree()) {
        const next = this.#queue === undefined ? this.#decode() : this.#queue.shift();
        if (next === undefined) break;
        this.#process(next);
      }
    } catch (error) {
      this.#reject(error);
    } finally {
      this.#isLooping = false;
    }
    this.#flow();
  }

  #isFree(): boolean {
    return (
      !this.#isStopped &&
      !this.#isYielding &&
      !this.#isHeld &&
      this.#delay === undefined &&
      this.#running < this.#settings.concurrency
    );
  }

  /** Decodes all there is; what the handler and the queue have no room for is dropped. */
  #readAll(queue: BoundedQueue<Decoded<In>>): void {
    while (!this.#isYielding) {
      const next = this.#decode();
      if (next === undefined) return;
      if (queue.length === 0 && this.#isFree()) this.#process(next);
      else if (!queue.push(next, next.bytes)) this.#connection.host.count.droppedMessages++;
      if (this.#isStopped) return;
    }
  }

  #decode(): Decoded<In> | undefined {
    const decoder = this.#decoder;
    for (;;) {
      const before = decoder.bufferedBytes;
      let message: In | undefined;
      try {
        if (this.#meter?.exceeded === 'delay' && this.#isTooFast(this.#meter)) return undefined;
        message = decoder.next();
      } catch (error) {
        if (this.#settings.isFatal?.(error) !== false || decoder.bufferedBytes === before) throw error;
        this.#connection.host.count.toleratedErrors++;
        if (++this.#turnMessages >= MAX_MESSAGES_PER_TURN) this.#yield();
        if (this.#isYielding) return undefined;
        continue;
      }
      if (message === undefined) return undefined;
      const { received } = this.#connection.stats;
      const bytes = before - decoder.bufferedBytes;
      received.messages++;
      received.bytes += bytes;
      if (++this.#turnMessages >= MAX_MESSAGES_PER_TURN) this.#yield();
      if (this.#meter === undefined || this.#mayPass(this.#meter, bytes)) return { message, bytes };
      if (this.#isStopped || this.#isYielding) return undefined;
    }
  }

  /** Leaves the rest to a later turn. */
  #yield(): void {
    if (this.#isYielding || this.#decoder.bufferedBytes === 0) return;
    this.#isYielding = true;
    later(this.#connection.realm, () => {
      this.#isYielding = false;
      this.#loop();
    });
  }

  /** With a rate that delays: whether to wait; then the loop goes on by itself later. */
  #isTooFast(meter: RateMeter): boolean {
    const { realm } = this.#connection;
    const nowMs = realm.nowMs();
    const waitMs = this.#decoder.bufferedBytes === 0 ? 0 : meter.waitMs(nowMs);
    if (waitMs === 0) return false;
    this.#delay = clockOf(realm).setTimer(nowMs + waitMs, () => {
      this.#delay = undefined;
      this.#loop();
    });
    return true;
  }

  #mayPass(meter: RateMeter, bytes: number): boolean {
    if (meter.take(bytes, this.#connection.realm.nowMs())) return true;
    if (meter.exceeded === 'disconnect') this.#fail('rate_exceeded');
    else this.#connection.host.count.droppedMessages++;
    return false;
  }

  #process({ message, bytes }: Decoded<In>): void {
    try {
      const result: unknown = this.#settings.onMessage(this.#connection, message);
      if (!isPending(result)) return;
      this.#running++;
      this.#runningBytes += bytes;
      void result.then(
        () => {
          this.#processed(bytes);
          this.#loop();
          if (!this.#isStopped) this.#account();
        },
        (error: unknown) => {
          this.#processed(bytes);
          this.#fail('handler_error', error);
        },
      );
    } catch (error) {
      this.#fail('handler_error', error);
    }
  }

  #processed(bytes: number): void {
    this.#running--;
    this.#runningBytes -= bytes;
    this.#account();
  }

  /** Reads or not, as there is room; and tells when everything is processed after the peer's end. */
  #flow(): void {
    if (this.#isStopped) return;
    const pause = this.#isYielding || (this.#queue === undefined && !this.#isFree());
    if (pause !== this.#isPaused) {
      this.#isPaused = pause;
      this.#connection.pause('reader', pause);
      // We were busy, not the peer idle.
      if (!pause) this.#aliveAtMs = this.#connection.realm.nowMs();
    }
    if (this.#isEnded && this.#running === 0 && this.#isFree() && (this.#queue?.length ?? 0) === 0) {
      this.#connection.peerEnded(this.#decoder.bufferedBytes > 0, this.#decoder.reason);
    }
  }

  #reject(error: unknown): void {
    this.#fail(P2PError.is(error, 'limit_exceeded') ? 'oversize' : 'malformed', error);
  }

  #fail(reason: DisconnectReason, cause?: unknown): void {
    if (this.#isStopped) return;
    this.#connection.fail('reading', reason, cause);
  }

  /** When silence is too long: for a message, or within one. */
  #deadline(): number {
    const begun = this.#decoder.bufferedBytes > 0 && !this.#isEnded;
    const { progressTimeoutMs, idleTimeoutMs } = this.#settings;
    return this.#aliveAtMs + (begun ? progressTimeoutMs : idleTimeoutMs);
  }

  /** One timer; a deadline that moves on is looked at when the timer fires. */
  #arm(): void {
    const atMs = this.#deadline();
    if (atMs === Infinity || atMs >= this.#watchAtMs) return;
    this.#watch?.cancel();
    this.#watchAtMs = atMs;
    this.#watch = clockOf(this.#connection.realm).setTimer(atMs, this.#onWatch);
  }

  readonly #onWatch = (): void => {
    this.#watchAtMs = Infinity;
    const nowMs = this.#connection.realm.nowMs();
    if ((this.#isPaused || this.#isWaiting) && !this.#isEnded) this.#aliveAtMs = nowMs;
    if (nowMs < this.#deadline()) this.#arm();
    else if (this.#isEnded) this.#fail('handler_error', new Error('The peer has ended, and onMessage does not'));
    else this.#fail(this.#decoder.bufferedBytes > 0 ? 'slow' : 'idle');
  };
}
