/**
 * Reads one connection: its decoder, the running calls of `onMessage`, and flow control.
 *
 * There is no queue of messages: the decoder holds one chunk and returns a message when the handler is free; meanwhile
 * the socket is not read, so TCP's flow control reaches the sender.
 */

import type { Bytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm, Timer } from '../core/realm.ts';
import { later } from '../runtime/later.ts';
import { isPending } from '../runtime/promises.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { MemoryHolder } from '../sessions/memory-budget.ts';
import { BoundedQueue } from '../swarm-kit/bounded-queue.ts';
import type { Decoder } from './codec.ts';
import type { DisconnectOrigin, TcpConnection } from './connection.ts';
import type { NodeMemory } from './memory.ts';
import { RateMeter } from './rate.ts';
import type { ReadingSettings } from './reading.ts';
import { SilenceWatch } from './silence-watch.ts';
import type { ConnectionCount, DisconnectReason, NodeCount } from './stats.ts';

/** Messages processed without yielding; a chunk of 64 KiB can hold tens of thousands of empty ones. */
const MAX_MESSAGES_PER_TURN = 1024;

/** V8 keeps an array of up to so many bytes without a buffer of its own. */
const ON_HEAP_BYTES = 64;

/** What a reader needs from its connection. */
export interface ReaderOwner {
  readonly realm: Realm;
  readonly ip: string;
  readonly stats: ConnectionCount;
  readonly count: NodeCount;
  readonly memory: NodeMemory;
  /** Pauses or resumes reading the pipe. */
  setPaused(by: 'reader' | 'memory', paused: boolean): void;
  /** The peer has closed its half, and all earlier bytes have been processed. */
  peerEnded(isTruncated: boolean, said?: string): void;
  fail(origin: DisconnectOrigin, reason: DisconnectReason, cause?: unknown): void;
}

/** How a connection handles received bytes. */
export interface Reader {
  /** See `PipeSpace`. */
  readonly takesViews: boolean;
  readonly returnsViews: boolean;
  push(chunk: Bytes): void;
  /** Where the next bytes may be read to. */
  space(): Uint8Array | undefined;
  /** Reports the number of bytes that were read there. */
  filled(bytes: number): void;
  /** The peer has closed its half. */
  end(): void;
  /** Stops processing. */
  stop(): void;
  hold(held: boolean): void;
}

/** A message, and the bytes of its frame. */
interface Decoded<In> {
  readonly message: In;
  readonly bytes: number;
}

export class MessageReader<In, Out> implements Reader {
  readonly #connection: ReaderOwner & TcpConnection<Out>;
  readonly #decoder: Decoder<In>;
  readonly #settings: ReadingSettings<In, Out>;
  readonly #meter: RateMeter | undefined;
  /** With `overflow: 'drop'`: decoded but not processed. */
  readonly #queue: BoundedQueue<Decoded<In>> | undefined;
  readonly #holder: MemoryHolder;
  #running = 0;
  /** Bytes of messages that handlers are processing. */
  #runningBytes = 0;
  /** How many of these messages are views of a buffer, and its bytes; a handler may detach it. Bounded by `concurrency`. */
  readonly #runningViews = new Map<ArrayBufferLike, { readonly views: number; readonly bytes: number }>();
  /** Waits for memory. */
  #isWaiting = false;
  #isLooping = false;
  /** Continues asynchronously. */
  #isYielding = false;
  #turnMessages = 0;
  #isHeld = false;
  #isStopped = false;
  #isEnded = false;
  #isPaused = false;
  /** The memory that the last chunk keeps while bytes of it are not processed. */
  #chunkBytes = 0;
  /** Set while the rate limit delays the peer. */
  #delay: Timer | undefined;
  readonly #watch: SilenceWatch;

  constructor(connection: ReaderOwner & TcpConnection<Out>, decoder: Decoder<In>, settings: ReadingSettings<In, Out>) {
    this.#connection = connection;
    this.#decoder = decoder;
    this.#settings = settings;
    this.#meter = settings.rate === undefined ? undefined : new RateMeter(settings.rate);
    this.#queue =
      settings.maxQueueMessages === undefined ? undefined : new BoundedQueue({ maxItems: settings.maxQueueMessages });
    this.#holder = connection.memory.reading.join(connection.ip, {
      resume: () => {
        this.#isWaiting = false;
        this.#watch.restart();
        connection.setPaused('memory', false);
      },
      end: () => this.#fail('over_budget'),
    });
    const { realm } = connection;
    const { idleTimeoutMs, progressTimeoutMs, minProgressBytes } = settings;
    this.#watch = new SilenceWatch({
      realm,
      idleTimeoutMs,
      progressTimeoutMs,
      minProgressBytes,
      hasBegun: () => this.#decoder.bufferedBytes > 0 && !this.#isEnded,
      isBusy: () => (this.#isPaused || this.#isWaiting) && !this.#isEnded,
      onSilence: () => this.#onSilence(),
    });
  }

  /** What waits is counted by the bytes of messages. */
  get takesViews(): boolean {
    return this.#queue === undefined;
  }

  /** The socket is not read while a handler has a message. */
  get returnsViews(): boolean {
    return this.#decoder.lends === true;
  }

  push(chunk: Bytes): void {
    if (this.#isStopped) return;
    // The buffer of a small array of its own is not looked at: V8 would first have to make it.
    this.#chunkBytes = chunk.byteOffset > 0 || chunk.length > ON_HEAP_BYTES ? chunk.buffer.byteLength : 0;
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

  /** Processes received bytes, and notes that the peer is alive. */
  #took(bytes: number, messagesBefore: number): void {
    this.#holder.move(bytes);
    this.#loop();
    if (this.#isStopped) return;
    this.#account();
    if (!this.#isWaiting && !this.#holder.mayTake()) {
      this.#isWaiting = true;
      this.#connection.setPaused('memory', true);
      this.#holder.wait();
    }
    this.#watch.took(bytes, this.#connection.stats.received.messages !== messagesBefore);
  }

  /** Reports the bytes held to the node's budget; handlers also hold their messages after the connection has ended. */
  #account(): void {
    if (this.#isStopped) {
      this.#holder.update(this.#runningBytes, 0);
      return;
    }
    const waiting = this.#decoder.heldBytes ?? this.#decoder.bufferedBytes;
    const bufferedBytes = waiting === 0 ? 0 : Math.max(waiting, this.#chunkBytes);
    const held = bufferedBytes + this.#runningBytes + (this.#queue?.bytes ?? 0);
    this.#holder.update(held, this.#isPaused ? 0 : bufferedBytes);
  }

  end(): void {
    this.#isEnded = true;
    this.#watch.restart();
    this.#loop();
  }

  stop(): void {
    this.#isStopped = true;
    this.#watch.stop();
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

  /** Processes messages until no message is left, the handler is busy, or it must yield. */
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

  /** Decodes everything available; drops what neither the handler nor the queue can take. */
  #readAll(queue: BoundedQueue<Decoded<In>>): void {
    while (!this.#isYielding) {
      const next = this.#decode();
      if (next === undefined) return;
      if (queue.length === 0 && this.#isFree()) this.#process(next);
      else if (!queue.push(next, next.bytes)) this.#connection.count.droppedMessages++;
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
        this.#connection.count.toleratedErrors++;
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

  /** Continues with the rest asynchronously. */
  #yield(): void {
    if (this.#isYielding || this.#decoder.bufferedBytes === 0) return;
    this.#isYielding = true;
    later(this.#connection.realm, () => {
      this.#isYielding = false;
      this.#loop();
    });
  }

  /** For a rate limit that delays: whether to wait; the loop then continues by itself later. */
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
    else this.#connection.count.droppedMessages++;
    return false;
  }

  #process({ message, bytes }: Decoded<In>): void {
    try {
      const result: unknown = this.#settings.onMessage(this.#connection, message);
      if (!isPending(result)) return;
      this.#running++;
      // A view keeps the whole of its buffer.
      const buffer = bytes > ON_HEAP_BYTES && message instanceof Uint8Array ? message.buffer : undefined;
      const kept = buffer !== undefined && buffer.byteLength > bytes ? buffer : bytes;
      this.#keep(kept, 1);
      void result.then(
        () => {
          this.#processed(kept);
          this.#loop();
          if (!this.#isStopped) this.#account();
        },
        (error: unknown) => {
          this.#processed(kept);
          this.#fail('handler_error', error);
        },
      );
    } catch (error) {
      this.#fail('handler_error', error);
    }
  }

  #processed(kept: ArrayBufferLike | number): void {
    this.#running--;
    this.#keep(kept, -1);
    this.#account();
  }

  /** A handler begins (1) or ends (-1) to keep so many bytes, or a buffer that counts once for all messages in it. */
  #keep(kept: ArrayBufferLike | number, change: 1 | -1): void {
    if (typeof kept === 'number') {
      this.#runningBytes += change * kept;
      return;
    }
    const { views, bytes } = this.#runningViews.get(kept) ?? { views: 0, bytes: kept.byteLength };
    if (views === 0) this.#runningBytes += bytes;
    if (views + change > 0) {
      this.#runningViews.set(kept, { views: views + change, bytes });
      return;
    }
    this.#runningViews.delete(kept);
    this.#runningBytes -= bytes;
  }

  /** Pauses or resumes reading, depending on room; reports when everything is processed after the peer's end. */
  #flow(): void {
    if (this.#isStopped) return;
    const pause = this.#isYielding || (this.#queue === undefined && !this.#isFree());
    if (pause !== this.#isPaused) {
      this.#isPaused = pause;
      this.#connection.setPaused('reader', pause);
      // This side was busy; the peer was not idle.
      if (!pause) this.#watch.restart();
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

  #onSilence(): void {
    if (this.#isEnded) this.#fail('handler_error', new Error('The peer has ended, and onMessage does not'));
    else this.#fail(this.#decoder.bufferedBytes > 0 ? 'slow' : 'idle');
  }
}
