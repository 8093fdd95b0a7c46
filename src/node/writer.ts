/**
 * Writes one connection: `send` encodes at once and returns; one write takes everything sent since the last one. A
 * message needs no promise and no timer, unless its sender requests them.
 */

import { describeValue, quantity } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import { DEFAULT_PRIORITY } from '../core/priority.ts';
import type { Realm, Timer } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { Pipe } from '../net/pipe.ts';
import { markHandled, RESOLVED } from '../runtime/promises.ts';
import { LazyTimer } from '../runtime/lazy-timer.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { Waits } from '../runtime/waits.ts';
import type { Encoder } from './codec.ts';
import type { DisconnectOrigin, SendOptions } from './connection.ts';
import type { NodeMemory } from './memory.ts';
import { notConnectedError } from './errors.ts';
import { type Batch, SendQueue, type Ticket } from './send-queue.ts';
import type { ConnectionCount, DisconnectReason, NodeCount } from './stats.ts';
import type { WritingSettings } from './writing.ts';

/** The size of one write, and the maximum of pending writes: a second batch fills the socket while it empties. */
const BATCH_BYTES = 262_144;
const MAX_FLYING_BYTES = 524_288;

/** What a writer needs from its connection. */
export interface WriterOwner {
  readonly realm: Realm;
  readonly addr: string;
  readonly stats: ConnectionCount;
  readonly count: NodeCount;
  readonly memory: NodeMemory;
  readonly waits: Waits;
  readonly pipe: Pipe;
  /** Passes pieces to the pipe. @returns whether they could be sealed; if not, the connection ends */
  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): boolean;
  fail(origin: DisconnectOrigin, reason: DisconnectReason, cause?: unknown): void;
}

/** A call that waits for the queue. */
interface Waiter {
  readonly isDue: () => boolean;
  readonly wake: () => void;
}

export class MessageWriter<in Out> {
  readonly #connection: WriterOwner;
  readonly #encoder: Encoder<Out>;
  readonly #settings: WritingSettings;
  readonly #queue: SendQueue;
  /** Bounded by the pending calls. */
  #waiters: Waiter[] = [];
  #isScheduled = false;
  #isStopped = false;
  /** The waiting bytes last reported to the node. */
  #accounted = 0;
  #cause: unknown;
  /** Set while bytes are on their way to the kernel. */
  readonly #watch: LazyTimer;
  /** What was sent, and what was not, when progress was last checked. */
  #sentBytes = 0;
  #unsentBytes = 0;
  #expiry: Timer | undefined;
  #expiryAtMs = Infinity;

  constructor(connection: WriterOwner, encoder: Encoder<Out>, settings: WritingSettings) {
    this.#connection = connection;
    this.#encoder = encoder;
    this.#settings = settings;
    this.#queue = new SendQueue(settings.maxQueueBytes, connection.pipe.releases);
    this.#watch = new LazyTimer(connection.realm, () => this.#onWatch());
  }

  /** All waiting bytes. */
  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** Whether the codec can send the reason for closing. */
  get canExplain(): boolean {
    return this.#encoder.encodeReason !== undefined && !this.#isStopped;
  }

  send(message: Out): boolean {
    this.#push(DEFAULT_PRIORITY, message);
    return this.#queue.bytes <= this.#settings.highWaterBytes;
  }

  sendWith(message: Out, options: SendOptions): boolean | Promise<void> {
    const { priority = DEFAULT_PRIORITY, delivery = false, timeoutMs = Infinity } = options;
    if (typeof priority !== 'number' || !Number.isFinite(priority)) {
      throw new TypeError(`Cannot take priority: expected a finite number, got ${describeValue(priority)}`);
    }
    quantity(timeoutMs, 'timeoutMs', Infinity, 0, Infinity);
    const { settle } = options;
    if (settle !== undefined) {
      this.#pass(priority, message, { deadlineMs: Infinity, settle });
      return true;
    }
    if (!delivery && timeoutMs === Infinity) {
      this.#push(priority, message);
      return this.#queue.bytes <= this.#settings.highWaterBytes;
    }
    const deadlineMs = timeoutMs === Infinity ? Infinity : this.#connection.realm.nowMs() + timeoutMs;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    void markHandled(promise);
    this.#push(priority, message, {
      deadlineMs,
      settle: (error) => (error === undefined ? resolve() : reject(error)),
    });
    this.#armExpiry(deadlineMs);
    // A caller that waits for its message sends nothing else in this turn, unless something is on its way already.
    if (delivery && this.#queue.flyingBytes === 0) this.#pump();
    return delivery ? promise : this.#queue.bytes <= this.#settings.highWaterBytes;
  }

  /** Resolves when the queue is below its high-water mark; rejects when the connection ends. */
  ready(options: CallOptions | undefined): Promise<void> {
    // At half, so that a sender that fills the queue is not woken for every write.
    const { highWaterBytes } = this.#settings;
    if (!this.#isStopped && this.#queue.bytes <= highWaterBytes) return RESOLVED;
    return this.#wait('send', options, () => this.#queue.bytes <= highWaterBytes / 2);
  }

  /** Resolves when everything sent before is in the kernel; rejects when the connection ends. */
  flushed(options: CallOptions | undefined): Promise<void> {
    if (!this.#isStopped && this.#queue.bytes === 0 && this.#queue.isEmpty) return RESOLVED;
    const fence = this.#queue.fence();
    this.#pump(); // A waiting caller need not wait for the scheduled flush.
    return this.#wait('flush', options, () => this.#queue.oldest() > fence);
  }

  /** Writes the reason for closing, after everything else. */
  explain(reason: string): void {
    if (this.#encoder.encodeReason === undefined || this.#isStopped) return;
    try {
      this.#queue.push(-Infinity, reason, { encode: (text, out) => this.#encoder.encodeReason!(text, out) });
      this.#pump();
    } catch {
      // A fault of the codec at the end of the connection: the peer gets no reason.
      this.#connection.count.hookErrors++;
    }
  }

  /** Stops sending. */
  stop(cause: unknown): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cause = cause;
    this.#watch.stop();
    this.#expiry?.cancel();
    for (const { settle } of this.#queue.clear()) settle(notConnectedError(this.#connection.addr, 'maybe', cause));
    this.#account();
    for (const { wake } of this.#waiters.splice(0)) wake();
  }

  #push(priority: number, message: Out, ticket?: Ticket): void {
    const limit = this.#limit();
    if (!this.#queue.push(priority, message, this.#encoder, ticket, limit)) throw this.#fullError(limit);
    this.#account();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#onTurn);
  }

  /** Sends at once if nothing waits: without a copy, where the codec has pieces. */
  #pass(priority: number, message: Out, ticket: Ticket): void {
    const queue = this.#queue;
    const isFree = queue.isEmpty && queue.flyingBytes < MAX_FLYING_BYTES;
    const pieces = isFree ? this.#encoder.pieces?.(message) : undefined;
    if (pieces === undefined) {
      this.#push(priority, message, ticket);
      if (queue.flyingBytes === 0) this.#pump();
      return;
    }
    const limit = this.#limit();
    const batch = queue.launch(pieces, ticket, limit);
    if (batch === undefined) throw this.#fullError(limit);
    this.#account();
    this.#write(batch);
  }

  /** @throws when it has stopped. */
  #limit(): number {
    if (this.#isStopped) throw notConnectedError(this.#connection.addr, 'no', this.#cause);
    return this.#connection.memory.queueLimit(this.#queue.bytes);
  }

  #fullError(limit: number): P2PError {
    return new P2PError(
      'limit_exceeded',
      'local',
      `Cannot send to ${this.#connection.addr}: ${this.#queue.bytes} bytes wait, and the message does not fit into ` +
        (limit < this.#settings.maxQueueBytes
          ? `maxNodeBytes, ${this.#connection.memory.maxBytes} bytes for all peers; `
          : `maxQueueBytes, ${this.#settings.maxQueueBytes} bytes; `) +
        (this.#queue.bytes === 0 ? 'raise the limit' : 'await connection.ready(), or raise the limit'),
      { sent: 'no' },
    );
  }

  /** Reports to the node the bytes that wait for this peer. */
  #account(): void {
    const { bytes } = this.#queue;
    if (bytes === this.#accounted) return;
    this.#connection.memory.queued(bytes - this.#accounted);
    this.#accounted = bytes;
  }

  readonly #onTurn = (): void => {
    this.#isScheduled = false;
    this.#pump();
  };

  /** Passes batches to the pipe while it has room. */
  #pump(): void {
    if (this.#isStopped) return;
    while (!this.#queue.isEmpty && this.#queue.flyingBytes < MAX_FLYING_BYTES) {
      const batch = this.#queue.take(BATCH_BYTES, this.#connection.realm.nowMs(), this.#onLate);
      if (batch === undefined) break;
      if (!this.#write(batch)) return;
    }
    this.#wake();
  }

  #write(batch: Batch): boolean {
    if (!this.#connection.write(batch.pieces, (error) => this.#landed(batch, error ?? undefined))) return false;
    if (this.#queue.flyingBytes === batch.bytes) this.#armWatch();
    return true;
  }

  #landed(batch: Batch, error: Error | undefined): void {
    if (this.#isStopped) return;
    if (error !== undefined) {
      this.#connection.fail('writing', 'reset', error);
      return;
    }
    this.#queue.landed(batch);
    this.#account();
    const { sent } = this.#connection.stats;
    sent.messages += batch.frames;
    sent.bytes += batch.bytes;
    for (const { settle } of batch.tickets) settle();
    if (this.#queue.flyingBytes === 0) this.#watch.clear();
    this.#pump();
  }

  readonly #onLate = ({ settle }: Ticket): void => {
    const message = `Cannot send to ${this.#connection.addr}: the message was not sent within its timeoutMs`;
    settle(new P2PError('timeout', 'path', message, { sent: 'no' }));
  };

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter(({ isDue }) => isDue());
    if (due.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter));
    for (const { wake } of due) wake();
  }

  #wait(what: string, call: CallOptions | undefined, isDue: () => boolean): Promise<void> {
    const { addr, waits } = this.#connection;
    return waits.wait<void>(
      { what: () => `${what} to ${addr}`, call, defaultTimeoutMs: Infinity, sent: () => 'no' },
      ({ resolve, reject }) => {
        const check = (): void =>
          this.#isStopped ? reject(notConnectedError(this.#connection.addr, 'maybe', this.#cause)) : resolve();
        if (this.#isStopped || isDue()) {
          check();
          return undefined;
        }
        const waiter = { isDue, wake: check };
        this.#waiters.push(waiter);
        return () => {
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
        };
      },
    );
  }

  /** While bytes are unsent, checks periodically whether the kernel has taken any. */
  #armWatch(): void {
    const { timeoutMs } = this.#settings;
    if (timeoutMs === Infinity) return;
    const { realm, pipe, stats } = this.#connection;
    this.#unsentBytes = pipe.unsentBytes;
    this.#sentBytes = stats.sent.bytes;
    this.#watch.set(realm.nowMs() + timeoutMs);
  }

  #onWatch(): void {
    if (this.#queue.flyingBytes === 0) return;
    const { pipe, stats } = this.#connection;
    const isStuck = stats.sent.bytes === this.#sentBytes && pipe.unsentBytes >= this.#unsentBytes;
    if (isStuck) this.#connection.fail('writing', 'write_timeout');
    else this.#armWatch();
  }

  #armExpiry(deadlineMs: number): void {
    if (deadlineMs === Infinity || deadlineMs >= this.#expiryAtMs) return;
    this.#expiry?.cancel();
    this.#expiryAtMs = deadlineMs;
    this.#expiry = clockOf(this.#connection.realm).setTimer(deadlineMs, () => {
      this.#expiryAtMs = Infinity;
      const late = this.#queue.expire(this.#connection.realm.nowMs());
      this.#account();
      for (const ticket of late) this.#onLate(ticket);
      this.#armExpiry(this.#queue.nextDeadline());
      this.#wake();
    });
  }
}
