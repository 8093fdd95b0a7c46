/** The receiving half of a connection: streams that the peer opens, each read by itself. */

import type { PendingBudget } from '../swarm-kit/pending-budget.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';
import { STREAM_CODE } from './codes.ts';
import type { MessageFormat } from './message-format.ts';
import type { Holder, StreamBudget } from './stream-budget.ts';
import { type StreamContent, StreamFailure, type StreamFault, StreamReader } from './stream-reader.ts';

/** A stream must progress by this much, or end, within the deadline. */
const PROGRESS_BYTES = 65_536;

/** Every stream may hold this much even when memory is used up, so that unfinished messages do not delay small ones. */
const SMALL_BYTES = 4096;

/** A message in a buffer of at least this size, and this many times its own size, is copied, so that the buffer can be freed. */
const TRIMMED_BYTES = 65_536;
const TRIMMED_TIMES = 5 / 4;

/** Where finished messages go. */
export interface MessageSink<M> {
  /** Messages that wait there to be taken. */
  readonly size: number;
  put(message: M, stream: QuicStream, size: number): void;
  /** Drops what was not taken. */
  clear(): void;
  /** Nothing more will come. */
  wake(): void;
}

/** What a receiver needs of its connection. */
export interface ReceiverHooks<M> {
  readonly format: MessageFormat<M>;
  readonly maxMessageBytes: number;
  readonly inbox: MessageSink<M>;
  /** Has room as long as few messages wait in the inbox. */
  readonly pending: PendingBudget;
  /** Bounds bytes that are held, unfinished or not taken. */
  readonly memory: StreamBudget;
  nowMs(): number;
  scheduleFlush(): void;
  /** A stream of bytes can be taken. */
  bodyReady(): void;
  /** A unidirectional message is complete; no data goes back that the acknowledgement could be sent with. */
  acknowledge(): void;
  /** The peer's welcome has come: it has accepted us. */
  welcomed(): void;
  dropped(fault: StreamFault | 'timeout'): void;
}

/** A stream that the peer has opened. */
class Arrival<M> implements Holder {
  readonly reader: StreamReader<M>;
  readonly #resume: (arrival: Arrival<M>) => void;
  /** When it last progressed, and how many bytes it held then. */
  movedMs: number;
  moved = 0;
  /** Its bytes that the budget counts. */
  held = 0;
  /** Whether it waits for room here, not for the peer. */
  parked = false;
  /** What it carries; `undefined` before that is known. */
  content: StreamContent | undefined;

  constructor(reader: StreamReader<M>, nowMs: number, resume: (arrival: Arrival<M>) => void) {
    this.reader = reader;
    this.movedMs = nowMs;
    this.#resume = resume;
  }

  resume(): void {
    this.#resume(this);
  }
}

export class Receiver<M> {
  readonly #hooks: ReceiverHooks<M>;
  /** Oldest first. Bounded by our stream limits. */
  readonly #arrivals = new Map<QuicStream, Arrival<M>>();
  /** Streams that wait for room in the inbox, in order. Bounded likewise. */
  readonly #parked = new Set<Arrival<M>>();
  /** Streams of bytes that wait to be taken. Bounded by our stream limits. */
  readonly #bodies: StreamReader<M>[] = [];
  #ended = false;

  constructor(hooks: ReceiverHooks<M>) {
    this.#hooks = hooks;
    hooks.pending.onRoom = () => this.#unpark();
  }

  /** Whether a stream is unfinished, or a message waits to be taken. */
  get busy(): boolean {
    return this.#arrivals.size > 0 || this.#hooks.inbox.size > 0;
  }

  /** Whether there will be nothing more to take. */
  get over(): boolean {
    return this.#ended && !this.busy;
  }

  /** Takes the next stream of bytes out: the caller reads it from now on. */
  takeBody(): StreamReader<M> | undefined {
    const reader = this.#bodies.shift();
    if (reader !== undefined) this.#forget(this.#arrivals.get(reader.stream));
    return reader;
  }

  handleOpened(stream: QuicStream): void {
    const reader = new StreamReader(stream, this.#hooks.format.framing);
    const arrival = new Arrival<M>(reader, this.#hooks.nowMs(), (resumed) => this.#read(resumed));
    this.#arrivals.set(stream, arrival);
    this.#hooks.memory.enter(arrival);
    this.#read(arrival);
  }

  /** @returns whether the stream is read here. */
  handleReadable(stream: QuicStream): boolean {
    const arrival = this.#arrivals.get(stream);
    if (arrival === undefined) return false;
    this.#read(arrival);
    return true;
  }

  /** Resets streams that have made no progress for too long although there was room to read. */
  expire(nowMs: number, timeoutMs: number): void {
    for (const arrival of this.#arrivals.values()) {
      const body = arrival.content === undefined ? -1 : this.#bodies.indexOf(arrival.reader);
      // A stream may rest between messages, and before its first byte it may wait for its turn at the sender.
      if (body < 0 && (arrival.parked || arrival.reader.held === 0)) continue;
      if (nowMs - arrival.movedMs < timeoutMs) continue;
      if (body >= 0) this.#bodies.splice(body, 1);
      arrival.reader.stop(STREAM_CODE.TIMEOUT);
      arrival.reader.stream.reset(STREAM_CODE.TIMEOUT);
      this.#drop(arrival, 'timeout');
      this.#hooks.scheduleFlush();
    }
  }

  /** The connection is over. What has come can still be taken, unless `drop` is set. */
  handleClosed(drop: boolean): void {
    this.#ended = true;
    if (drop) this.#clear();
    else {
      this.#bodies.length = 0;
      for (const arrival of this.#arrivals.values()) this.#read(arrival);
    }
    this.#hooks.inbox.wake();
    this.#hooks.bodyReady();
  }

  #clear(): void {
    this.#hooks.inbox.clear();
    this.#parked.clear();
    for (const arrival of this.#arrivals.values()) this.#forget(arrival);
    this.#bodies.length = 0;
  }

  #read(arrival: Arrival<M>): void {
    const { reader } = arrival;
    const { pending, memory } = this.#hooks;
    if (arrival.content === 'bytes') return;
    for (;;) {
      if (pending.full) {
        this.#parked.add(arrival);
        arrival.parked = true;
        return;
      }
      const admitted = memory.admits(arrival);
      if (!admitted && (reader.held >= SMALL_BYTES || memory.exhausted)) {
        arrival.parked = true;
        return;
      }
      const room = admitted ? Infinity : SMALL_BYTES;
      if (arrival.parked) {
        arrival.parked = false;
        arrival.movedMs = this.#hooks.nowMs();
      }
      const content = reader.content(room);
      arrival.content = content;
      if (content === undefined && reader.announced) this.#offer(reader);
      else if (content === 'messages' && reader.announced) this.#withdraw(reader);
      if (content === 'welcome' || content === 'bytes') {
        this.#special(arrival, content);
        return;
      }
      const got = reader.next(this.#hooks.maxMessageBytes, room);
      this.#account(arrival);
      if (got === undefined) break;
      if (got === 'end') {
        this.#finish(arrival);
        break;
      }
      if (got instanceof StreamFailure) {
        this.#drop(arrival, got.fault);
        break;
      }
      this.#deliver(arrival, got.message);
      if (reader.held === 0 && reader.stream.receiveState === 'finished') {
        this.#finish(arrival);
        break;
      }
    }
    this.#hooks.scheduleFlush();
  }

  /** Offers a stream that is announced and has sent nothing yet: the application may send on it first. */
  #offer(reader: StreamReader<M>): void {
    if (reader.stream.receiveState !== 'open' || this.#bodies.includes(reader)) return;
    this.#bodies.push(reader);
    this.#hooks.bodyReady();
  }

  #withdraw(reader: StreamReader<M>): void {
    const at = this.#bodies.indexOf(reader);
    if (at >= 0) this.#bodies.splice(at, 1);
  }

  #special(arrival: Arrival<M>, content: StreamContent): void {
    const { reader } = arrival;
    if (content === 'welcome') {
      this.#forget(arrival);
      reader.discard();
      this.#hooks.welcomed();
    } else if (this.#ended) this.#forget(arrival);
    else {
      this.#account(arrival);
      arrival.parked = true;
      if (!this.#bodies.includes(reader)) this.#bodies.push(reader);
      this.#hooks.bodyReady();
    }
    this.#hooks.scheduleFlush();
  }

  #deliver(arrival: Arrival<M>, message: M): void {
    arrival.movedMs = this.#hooks.nowMs();
    arrival.moved = 0;
    const { format, inbox } = this.#hooks;
    const size = format.sizeOf(message);
    const roomBytes = format.payloadOf(message).buffer.byteLength;
    const trimmed = roomBytes >= TRIMMED_BYTES && roomBytes >= size * TRIMMED_TIMES ? format.copy(message) : message;
    inbox.put(trimmed, arrival.reader.stream, size);
  }

  /** Tells the budget what the stream holds now. */
  #account(arrival: Arrival<M>): void {
    const held = arrival.reader.held;
    const grown = held - arrival.held;
    arrival.held = held;
    if (grown !== 0) this.#hooks.memory.change(grown);
    if (held < arrival.moved || held === grown) arrival.moved = 0;
    if (held === grown || held - arrival.moved >= PROGRESS_BYTES) {
      arrival.moved = held;
      arrival.movedMs = this.#hooks.nowMs();
    }
  }

  #finish(arrival: Arrival<M>): void {
    this.#withdraw(arrival.reader);
    const { kind, receiveState } = arrival.reader.stream;
    if (kind === 'uni' && receiveState === 'finished') this.#hooks.acknowledge();
    this.#forget(arrival);
    if (this.#ended) {
      this.#hooks.inbox.wake();
      this.#hooks.bodyReady();
    }
  }

  #drop(arrival: Arrival<M>, fault: StreamFault | 'timeout'): void {
    if (fault !== 'lost') this.#hooks.dropped(fault);
    this.#finish(arrival);
  }

  #forget(arrival: Arrival<M> | undefined): void {
    if (arrival === undefined) return;
    this.#arrivals.delete(arrival.reader.stream);
    this.#parked.delete(arrival);
    if (arrival.held > 0) this.#hooks.memory.change(-arrival.held);
    arrival.held = 0;
    this.#hooks.memory.leave(arrival);
  }

  #unpark(): void {
    // Reading can park a stream again, behind the others: each is looked at once.
    const parked = [...this.#parked];
    this.#parked.clear();
    for (const arrival of parked) if (this.#arrivals.has(arrival.reader.stream)) this.#read(arrival);
    this.#hooks.scheduleFlush();
  }
}
