/**
 * The writing hook: messages become bytes, and go out together.
 *
 * `send` encodes at once and returns; one write a turn takes all that was sent meanwhile. No promise and no timer is made
 * for a message, unless its sender asks for them.
 */

import { P2PError } from '../core/errors.ts';
import { assertFunction, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { DEFAULT_PRIORITY } from '../core/priority.ts';
import { type Timer } from '../core/realm.ts';
import { type CallOptions } from '../core/swarm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { markHandled, RESOLVED } from '../runtime/promises.ts';
import { type Codec, type Encoder } from './codec.ts';
import { type Connection } from './connection.ts';
import { type ConnectionPart, type Hook } from './hook.ts';
import { NodeConnection } from './node-connection.ts';
import { type Node } from './node.ts';
import { type Batch, SendQueue, type Ticket } from './send-queue.ts';

/** How messages are written. */
export interface WritingOptions<Out> {
  /** What makes bytes of messages: a codec, or the encoding half of one. */
  readonly codec: Pick<Codec<never, Out>, 'encoder'>;
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

/** How one message is sent. */
export interface SendOptions {
  /** Higher goes first, past what waits; messages of one priority stay in order. @default 0 */
  readonly priority?: number | undefined;
  /** Whether to return a promise for the fate of the message. @default false */
  readonly delivery?: boolean | undefined;
  /** The message is dropped if it has not been handed to the system by then. @default Infinity */
  readonly timeoutMs?: number | undefined;
}

/** What enabling {@link writing} returns. */
export interface WritingHandle<in Out> {
  /**
   * Queues a message and returns at once. Bytes in it stay as they are until `node.flushed(peer)`: large ones are not copied.
   *
   * @returns `true` when queued, `false` when queued and the peer's queue is above its high-water mark: `node.ready(peer)`
   *   tells when it is not.
   * @throws {P2PError} `limit_exceeded` when the queue is full; `disconnected` when the peer is not connected; `unsupported`
   *   when it was connected before `writing` was enabled. Nothing is queued then.
   */
  send(peer: Connection, message: Out, options?: SendOptions & { readonly delivery?: false | undefined }): boolean;
  /**
   * As above, and tells what became of the message.
   *
   * @returns resolves when the message is in the kernel, which is no promise of arrival.
   * @throws {P2PError} (by rejection, which need not be caught) `timeout` when it was not sent in time; `disconnected` when
   *   the connection ended first: then `sent` says whether some of it may have gone out.
   */
  send(peer: Connection, message: Out, options: SendOptions & { readonly delivery: true }): Promise<void>;
  /**
   * Sends to all connected peers that have room.
   *
   * @returns to how many it was queued.
   */
  broadcast(message: Out, options?: Pick<SendOptions, 'priority' | 'timeoutMs'>): number;
}

/** Source: reference node for the time; it bounds messages, we bound bytes. */
const DEFAULTS = { maxQueueBytes: 33_554_432, highWaterBytes: 1_048_576, timeoutMs: 10_000 } as const;
/** What one write takes, and what may be on its way to the kernel: a second batch fills the socket while it empties. */
const BATCH_BYTES = 262_144;
const MAX_FLYING_BYTES = 524_288;

interface Settings {
  readonly maxQueueBytes: number;
  readonly highWaterBytes: number;
  readonly timeoutMs: number;
}

/**
 * Writes messages.
 *
 * @throws {TypeError | RangeError} for wrong options.
 * @example
 * ```ts
 * const out = node.enable(writing({ codec: lengthDelimited() }));
 * if (!out.send(peer, bytes)) await node.ready(peer);
 * ```
 */
export function writing<Out>(options: WritingOptions<Out>): Hook<WritingHandle<Out>> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { codec } = options;
  assertFunction(codec?.encoder, 'codec.encoder');
  const bytes = (name: 'maxQueueBytes' | 'highWaterBytes', fallback: number): number =>
    wholeNumber(options[name], name, fallback, 1, Number.MAX_SAFE_INTEGER);
  const maxQueueBytes = bytes('maxQueueBytes', DEFAULTS.maxQueueBytes);
  const settings: Settings = {
    maxQueueBytes,
    highWaterBytes: bytes('highWaterBytes', Math.min(DEFAULTS.highWaterBytes, maxQueueBytes)),
    timeoutMs: quantity(options.timeoutMs, 'timeoutMs', DEFAULTS.timeoutMs, 1, Infinity),
  };
  const hook: ConnectionPart<Writer> & Hook<WritingHandle<Out>> = {
    kind: 'writing',
    handle: (node) => new Sender<Out>(node, hook),
    start: (connection) => new MessageWriter<Out>(connection, codec.encoder(connection), settings, hook),
  };
  return hook;
}

class Sender<Out> implements WritingHandle<Out> {
  readonly #node: Node;
  readonly #hook: Hook;
  /** The peer that was sent to last: most are sent to many times, and looking costs as much as sending. */
  #lastPeer: Connection | undefined;
  #lastWriter: MessageWriter<Out> | undefined;

  constructor(node: Node, hook: Hook) {
    this.#node = node;
    this.#hook = hook;
  }

  send(peer: Connection, message: Out, options?: SendOptions & { readonly delivery?: false | undefined }): boolean;
  send(peer: Connection, message: Out, options: SendOptions & { readonly delivery: true }): Promise<void>;
  send(peer: Connection, message: Out, options?: SendOptions): boolean | Promise<void> {
    const writer = peer === this.#lastPeer ? this.#lastWriter! : this.#writerOf(peer);
    return options === undefined ? writer.send(message) : writer.sendWith(message, options);
  }

  broadcast(message: Out, options?: Pick<SendOptions, 'priority' | 'timeoutMs'>): number {
    let queued = 0;
    for (const peer of this.#node.connections()) {
      try {
        this.send(peer, message, { ...options, delivery: false });
        queued++;
      } catch (error) {
        // One that is full or about to end costs the others nothing.
        if (!P2PError.is(error)) throw error;
      }
    }
    return queued;
  }

  #writerOf(peer: Connection): MessageWriter<Out> {
    if (!(peer instanceof NodeConnection)) {
      throw new TypeError(`Cannot send: expected a connection of this node, got ${describeValue(peer)}`);
    }
    const { writer } = peer;
    if (writer instanceof MessageWriter && writer.hook === this.#hook && peer.host.node === this.#node) {
      this.#lastPeer = peer;
      this.#lastWriter = writer;
      return writer;
    }
    if (peer.state === 'closed' || peer.state === 'connecting') throw disconnected(peer);
    const why = peer.host.node === this.#node ? 'writing was not enabled when it connected' : 'it is of another node';
    throw new P2PError('unsupported', 'local', `Cannot send to ${peer.addr}: ${why}`, { sent: 'no' });
  }
}

/** The error of what cannot be sent any more. */
function disconnected(peer: Connection, sent: 'no' | 'maybe' = 'no', cause?: unknown): P2PError {
  return new P2PError('disconnected', 'path', `Cannot send to ${peer.addr}: not connected`, { sent, cause });
}

/** A connection's writing part. @internal */
export interface Writer {
  /** All that waits, in bytes. */
  readonly queuedBytes: number;
  /** Whether the codec can tell the peer why we close. */
  readonly canExplain: boolean;
  /** Resolves when the queue is below its high-water mark; rejects at the end. */
  ready(options: CallOptions | undefined): Promise<void>;
  /** Resolves when what was sent before is in the kernel; rejects at the end. */
  flushed(options: CallOptions | undefined): Promise<void>;
  /** Writes why we close, behind everything else. */
  explain(reason: string): void;
  /** Nothing more goes out. */
  stop(cause: unknown): void;
}

/** Somebody who waits for the queue. */
interface Waiter {
  readonly isDue: () => boolean;
  readonly wake: () => void;
}

class MessageWriter<Out> implements Writer {
  readonly hook: Hook;
  readonly #connection: NodeConnection;
  readonly #encoder: Encoder<Out>;
  readonly #settings: Settings;
  readonly #queue: SendQueue;
  /** Bounded by the calls under way. */
  #waiters: Waiter[] = [];
  #isScheduled = false;
  #isStopped = false;
  /** What the node was told to wait here, in bytes. */
  #accounted = 0;
  #cause: unknown;
  #watch: Timer | undefined;
  /** What was unsent when progress was last looked at. */
  #unsentBytes = 0;
  #expiry: Timer | undefined;
  #expiryAtMs = Infinity;

  constructor(connection: NodeConnection, encoder: Encoder<Out>, settings: Settings, hook: Hook) {
    this.#connection = connection;
    this.#encoder = encoder;
    this.#settings = settings;
    this.hook = hook;
    this.#queue = new SendQueue(settings.maxQueueBytes, connection.pipe.releases);
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

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
    return delivery ? promise : this.#queue.bytes <= this.#settings.highWaterBytes;
  }

  ready(options: CallOptions | undefined): Promise<void> {
    // Half-way down, so that a sender who fills up is not woken for every write.
    const { highWaterBytes } = this.#settings;
    if (!this.#isStopped && this.#queue.bytes <= highWaterBytes) return RESOLVED;
    return this.#wait('send', options, () => this.#queue.bytes <= highWaterBytes / 2);
  }

  flushed(options: CallOptions | undefined): Promise<void> {
    if (!this.#isStopped && this.#queue.bytes === 0 && this.#queue.isEmpty) return RESOLVED;
    const fence = this.#queue.fence();
    this.#pump(); // Who waits need not wait for the turn as well.
    return this.#wait('flush', options, () => this.#queue.oldest() > fence);
  }

  explain(reason: string): void {
    if (this.#encoder.encodeReason === undefined || this.#isStopped) return;
    try {
      this.#queue.push(-Infinity, reason, { encode: (text, out) => this.#encoder.encodeReason!(text, out) });
      this.#pump();
    } catch {
      // The codec's own fault, at the end of the connection: the peer sees a plain end.
      this.#connection.host.count.hookErrors++;
    }
  }

  stop(cause: unknown): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cause = cause;
    this.#watch?.cancel();
    this.#expiry?.cancel();
    for (const { settle } of this.#queue.clear()) settle(disconnected(this.#connection, 'maybe', cause));
    this.#account();
    for (const { wake } of this.#waiters.splice(0)) wake();
  }

  #push(priority: number, message: Out, ticket?: Ticket): void {
    if (this.#isStopped) throw disconnected(this.#connection, 'no', this.#cause);
    const { memory } = this.#connection.host;
    const limit = memory.queueLimit(this.#queue.bytes);
    if (!this.#queue.push(priority, message, this.#encoder, ticket, limit)) {
      throw new P2PError(
        'limit_exceeded',
        'local',
        `Cannot send to ${this.#connection.addr}: ${this.#queue.bytes} bytes wait, and the message does not fit into ` +
          (limit < this.#settings.maxQueueBytes
            ? `maxNodeBytes, ${memory.maxBytes} bytes for all peers; `
            : `maxQueueBytes, ${this.#settings.maxQueueBytes} bytes; `) +
          (this.#queue.bytes === 0 ? 'raise the limit' : 'await node.ready(peer), or raise the limit'),
        { sent: 'no' },
      );
    }
    this.#account();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#onTurn);
  }

  /** Tells the node what waits for this peer. */
  #account(): void {
    const { bytes } = this.#queue;
    if (bytes === this.#accounted) return;
    this.#connection.host.memory.queued(bytes - this.#accounted);
    this.#accounted = bytes;
  }

  readonly #onTurn = (): void => {
    this.#isScheduled = false;
    this.#pump();
  };

  /** Hands batches to the pipe while there is room below. */
  #pump(): void {
    if (this.#isStopped) return;
    while (!this.#queue.isEmpty && this.#queue.flyingBytes < MAX_FLYING_BYTES) {
      const batch = this.#queue.take(BATCH_BYTES, this.#connection.realm.nowMs(), this.#onLate);
      if (batch === undefined) break;

      const wasIdle = this.#watch === undefined;
      if (!this.#connection.write(batch.pieces, (error) => this.#landed(batch, error ?? undefined))) return;
      if (wasIdle) this.#armWatch();
    }
    this.#wake();
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
    if (this.#queue.flyingBytes === 0) {
      this.#watch?.cancel();
      this.#watch = undefined;
    }
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
    const { addr, host } = this.#connection;
    return host.waits.wait<void>(
      { what: () => `${what} to ${addr}`, call, defaultTimeoutMs: Infinity, sent: () => 'no' },
      ({ resolve, reject }) => {
        const check = (): void =>
          this.#isStopped ? reject(disconnected(this.#connection, 'maybe', this.#cause)) : resolve();
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

  /** Looks once in a while whether the kernel has taken anything, as long as something is on its way to it. */
  #armWatch(): void {
    const { timeoutMs } = this.#settings;
    if (timeoutMs === Infinity) return;
    const { realm, pipe } = this.#connection;
    this.#unsentBytes = pipe.unsentBytes;
    const flying = this.#queue.flyingBytes;
    const { sent } = this.#connection.stats;
    const sentBytes = sent.bytes;
    this.#watch = clockOf(realm).setTimer(realm.nowMs() + timeoutMs, () => {
      this.#watch = undefined;
      if (this.#queue.flyingBytes === 0) return;
      const stuck = sent.bytes === sentBytes && pipe.unsentBytes >= this.#unsentBytes && flying > 0;
      if (stuck) this.#connection.fail('writing', 'write_timeout');
      else this.#armWatch();
    });
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
