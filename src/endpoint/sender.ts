/** The sending half of a connection: opens streams as the peer allows them, and writes as much as the transport takes. */

import type { P2PError } from '../core/errors.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';
import type { QuicStream, StreamKind } from '../protocols/quic/stream.ts';
import type { Sending } from '../quic/sending.ts';

/** What a sender needs of its connection. */
export interface SenderHooks {
  /** Data was written: datagrams have to be sent later in this turn. */
  scheduleFlush(): void;
  /** Runs in a later turn, unless the endpoint has closed by then. */
  later(act: () => void): void;
  /** Data was acknowledged or is lost: drains look again. */
  settled(): void;
  /** The error of a stream that the peer has stopped with a code. */
  stopped(code: number | undefined): P2PError;
}

/** Messages up to this size do not wait behind large ones that wait for room: they are a few packets. */
const OVERTAKING_BYTES = 16_384;

/** Called without an error when the data was taken or acknowledged. */
export type Settle = (error?: P2PError) => void;

/** A call that waits for a stream. */
interface Opening {
  readonly priority: number;
  readonly use: (stream: QuicStream) => void;
  readonly fail: (error: P2PError) => void;
}

/** Data under way on a stream. */
interface Outgoing {
  /** Numbers streams in the order in which their data began. */
  readonly number: number;
  /** In order. Bounded by the calls under way. */
  readonly queue: { readonly sending: Sending; readonly taken: Settle }[];
  acked: Settle | undefined;
}

export class Sender {
  readonly #hooks: SenderHooks;
  readonly #connection: QuicConnection;
  readonly #maxWaiting: number;
  /** By priority, then in order. Bounded by `maxWaiting`. */
  readonly #openings: Record<StreamKind, Opening[]> = { uni: [], bidi: [] };
  /** Streams with bytes that are not taken, or with a call that waits for the acknowledgement. Bounded by the peer's stream limits. */
  readonly #outgoing = new Map<QuicStream, Outgoing>();
  /** Streams with bytes that are not taken. Bounded likewise. */
  readonly #blocked = new Set<QuicStream>();
  /** Blocked streams that have room again, until they are written to. Bounded likewise. */
  readonly #writable = new Set<QuicStream>();
  readonly #priorities = new WeakMap<QuicStream, number>();
  #numbers = 0;
  /** Streams that were finished here and are not acknowledged. Bounded by the peer's stream limits. */
  readonly #ending = new Set<QuicStream>();

  constructor(hooks: SenderHooks, connection: QuicConnection, maxWaiting: number) {
    this.#hooks = hooks;
    this.#connection = connection;
    this.#maxWaiting = maxWaiting;
  }

  /** Whether nothing is left to be acknowledged. */
  get acknowledged(): boolean {
    return this.#ending.size === 0 && this.waiting === 0 && this.#outgoing.size === 0;
  }

  /** Calls that wait for a stream. */
  get waiting(): number {
    return this.#openings.uni.length + this.#openings.bidi.length;
  }

  /** Whether no more calls may wait for a stream. */
  get full(): boolean {
    return this.waiting >= this.#maxWaiting;
  }

  /** Opens a stream now; `undefined` when other calls wait for one, or the peer allows none. */
  open(kind: StreamKind, priority: number): QuicStream | undefined {
    if (this.#openings[kind].length > 0) return undefined;
    return this.#opened(kind, priority);
  }

  /** Opens a stream when the peer allows it. Returns a function that stops waiting. */
  waitFor(kind: StreamKind, opening: Opening): () => void {
    const openings = this.#openings[kind];
    let at = openings.length;
    while (at > 0 && openings[at - 1]!.priority < opening.priority) at--;
    openings.splice(at, 0, opening);
    return () => {
      const index = openings.indexOf(opening);
      if (index >= 0) openings.splice(index, 1);
    };
  }

  /** The peer allows more streams of a kind. */
  handleAvailable(kind: StreamKind): void {
    const openings = this.#openings[kind];
    // A call that gets a stream stops waiting, so it must have left the list before.
    for (let stream; openings[0] !== undefined; openings.shift()!.use(stream)) {
      stream = this.#opened(kind, openings[0].priority);
      if (stream === undefined) break;
    }
    this.#hooks.scheduleFlush();
  }

  /**
   * Writes to a stream, after what is being written already.
   *
   * @param taken - called when the transport has taken all of it, or with the error; not when this returns `true`.
   * @param acked - called when the whole stream is acknowledged, or with the error.
   * @returns whether all of it was taken now.
   */
  write(stream: QuicStream, sending: Sending, taken: Settle, acked?: Settle): boolean {
    this.#hooks.scheduleFlush();
    if (sending.ends) this.#ending.add(stream);
    const behind = this.#blocked.has(stream);
    const inTurn = this.#blocked.size > 0 && sending.length > OVERTAKING_BYTES;
    if (!behind && !inTurn && sending.write(stream)) {
      if (acked !== undefined) this.#of(stream).acked = acked;
      return true;
    }
    const own = this.#of(stream);
    own.queue.push({ sending, taken });
    if (acked !== undefined) own.acked = acked;
    this.#blocked.add(stream);
    // A stream that has ended takes nothing, and no event will follow.
    if (stream.sendState !== 'open') this.#fail(stream, this.#hooks.stopped(stream.stopCode));
    else if (!behind && inTurn) this.#goOnLater(stream);
    return false;
  }

  /** Sets the priority of the stream, also for the order in which waiting messages are written. */
  setPriority(stream: QuicStream, priority: number): void {
    stream.setPriority(priority);
    this.#priorities.set(stream, priority);
  }

  /** Resets a stream; what waits on it fails with the error. */
  reset(stream: QuicStream, code: number, error: P2PError): void {
    stream.reset(code);
    this.#fail(stream, error);
    this.#hooks.scheduleFlush();
  }

  handleWritable(stream: QuicStream): void {
    if (!this.#blocked.has(stream)) return;
    if (this.#blocked.size === 1) this.#goOn(stream);
    else this.#goOnLater(stream);
  }

  handleAcknowledged(stream: QuicStream): void {
    const acked = this.#outgoing.get(stream)?.acked;
    this.#forget(stream);
    acked?.();
  }

  /** The peer has stopped the stream. */
  handleStopped(stream: QuicStream): void {
    this.#fail(stream, this.#hooks.stopped(stream.stopCode));
  }

  /** The connection is over: everything under way fails. */
  handleClosed(error: (sent: 'no' | 'maybe') => P2PError): void {
    for (const openings of Object.values(this.#openings)) {
      for (const { fail } of openings.splice(0)) fail(error('no'));
    }
    for (const stream of this.#outgoing.keys()) this.#fail(stream, error('maybe'));
    this.#ending.clear();
    this.#hooks.settled();
  }

  #opened(kind: StreamKind, priority: number): QuicStream | undefined {
    const stream = this.#connection.open(kind);
    if (priority !== 0 && stream !== undefined) this.setPriority(stream, priority);
    return stream;
  }

  /**
   * When there is room again, only one of several blocked streams gets it: the oldest of the highest priority, so that messages
   * are finished one after the other. If they shared the room, a hundred large messages would be half sent at a time, and the
   * peer would hold half of each.
   */
  #goOnLater(stream: QuicStream): void {
    this.#writable.add(stream);
    if (this.#writable.size > 1) return;
    this.#hooks.later(() => {
      const rank = (one: QuicStream): number => this.#priorities.get(one) ?? 0;
      const order = (one: QuicStream): number => this.#outgoing.get(one)?.number ?? 0;
      const inTurn = [...this.#writable].toSorted((a, b) => rank(b) - rank(a) || order(a) - order(b));
      this.#writable.clear();
      for (const one of inTurn) this.#goOn(one);
      this.#hooks.scheduleFlush();
    });
  }

  #goOn(stream: QuicStream): void {
    const outgoing = this.#outgoing.get(stream);
    if (outgoing === undefined) return;
    while (outgoing.queue[0]?.sending.write(stream) === true) outgoing.queue.shift()!.taken();
    if (outgoing.queue.length > 0) return;
    this.#blocked.delete(stream);
    if (outgoing.acked === undefined) this.#outgoing.delete(stream);
    if (this.#outgoing.size === 0) this.#hooks.settled();
  }

  #of(stream: QuicStream): Outgoing {
    let outgoing = this.#outgoing.get(stream);
    if (outgoing === undefined)
      this.#outgoing.set(stream, (outgoing = { number: ++this.#numbers, queue: [], acked: undefined }));
    return outgoing;
  }

  #fail(stream: QuicStream, error: P2PError): void {
    const outgoing = this.#outgoing.get(stream);
    this.#forget(stream);
    if (outgoing === undefined) return;
    for (const { taken } of outgoing.queue) taken(error);
    outgoing.acked?.(error);
  }

  #forget(stream: QuicStream): void {
    this.#outgoing.delete(stream);
    this.#blocked.delete(stream);
    this.#writable.delete(stream);
    this.#ending.delete(stream);
    this.#hooks.settled();
  }
}
