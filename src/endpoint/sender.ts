/** The sending half of a connection: streams of ours while the peer allows them, and bytes while they fit. */

import { type P2PError } from '../core/errors.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';
import { type QuicStream, type StreamKind } from '../protocols/quic/stream.ts';
import { type Sending } from '../swarms/quic/sending.ts';

/** What a sender needs of its connection. */
export interface SenderHost {
  /** Something was given to the transport: take its outputs soon. */
  kick(): void;
  /** Something was acknowledged, or is lost: `drain` looks again. */
  settled(): void;
  /** The error of a stream that the peer has stopped with a code. */
  stopped(code: number | undefined): P2PError;
}

/** Gets nothing when all went well. */
export type Settle = (error?: P2PError) => void;

/** Somebody who waits for a stream. */
interface Opening {
  readonly priority: number;
  readonly use: (stream: QuicStream) => void;
  readonly fail: (error: P2PError) => void;
}

/** What is under way on a stream. */
interface Outgoing {
  /** In order. Bounded by the calls under way. */
  readonly queue: { readonly sending: Sending; readonly taken: Settle }[];
  acked: Settle | undefined;
}

export class Sender {
  readonly #host: SenderHost;
  readonly #connection: QuicConnection;
  readonly #maxWaiting: number;
  /** By priority, then in order. Bounded by `maxWaiting`. */
  readonly #openings: Record<StreamKind, Opening[]> = { uni: [], bidi: [] };
  /** Streams with bytes that are not taken, or with somebody who waits for the acknowledgement. */
  readonly #outgoing = new Map<QuicStream, Outgoing>();
  /** Ended by us and not acknowledged. Bounded by the peer's stream limits. */
  readonly #ending = new Set<QuicStream>();

  constructor(host: SenderHost, connection: QuicConnection, maxWaiting: number) {
    this.#host = host;
    this.#connection = connection;
    this.#maxWaiting = maxWaiting;
  }

  /** Whether nothing is left to be acknowledged. */
  get acknowledged(): boolean {
    return this.#ending.size === 0 && this.waiting === 0 && this.#outgoing.size === 0;
  }

  /** Those who wait for a stream. */
  get waiting(): number {
    return this.#openings.uni.length + this.#openings.bidi.length;
  }

  /** Whether nobody else may wait for a stream. */
  get full(): boolean {
    return this.waiting >= this.#maxWaiting;
  }

  /** A stream now, unless others wait before or the peer allows none. */
  open(kind: StreamKind, priority: number): QuicStream | undefined {
    if (this.#openings[kind].length > 0) return undefined;
    return this.#opened(kind, priority);
  }

  /** A stream when there is one. Answers what gives up waiting. */
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
    // Whoever gets a stream is out of the list first, since it then gives up waiting.
    for (let stream; openings[0] !== undefined; openings.shift()!.use(stream)) {
      stream = this.#opened(kind, openings[0].priority);
      if (stream === undefined) break;
    }
    this.#host.kick();
  }

  /**
   * Writes to a stream, behind what is being written.
   *
   * @param taken - called when the transport has all of it, or with the error; not when `true` is answered.
   * @param acked - called when all of the stream is acknowledged, or with the error.
   * @returns whether all of it was taken now.
   */
  write(stream: QuicStream, sending: Sending, taken: Settle, acked?: Settle): boolean {
    this.#host.kick();
    if (sending.ends) this.#ending.add(stream);
    const behind = this.#outgoing.get(stream)?.queue.length ?? 0;
    if (behind === 0 && sending.write(stream)) {
      if (acked !== undefined) this.#of(stream).acked = acked;
      return true;
    }
    const own = this.#of(stream);
    own.queue.push({ sending, taken });
    if (acked !== undefined) own.acked = acked;
    // A stream that does not go on takes nothing, and no event will follow.
    if (stream.sendState !== 'open') this.#fail(stream, this.#host.stopped(stream.stopCode));
    return false;
  }

  /** Gives a stream up. */
  reset(stream: QuicStream, code: number, error: P2PError): void {
    stream.reset(code);
    this.#fail(stream, error);
    this.#host.kick();
  }

  handleWritable(stream: QuicStream): void {
    const outgoing = this.#outgoing.get(stream);
    if (outgoing === undefined) return;
    while (outgoing.queue[0]?.sending.write(stream) === true) outgoing.queue.shift()!.taken();
    if (outgoing.queue.length === 0 && outgoing.acked === undefined) this.#outgoing.delete(stream);
    if (this.#outgoing.size === 0) this.#host.settled();
  }

  handleAcknowledged(stream: QuicStream): void {
    const acked = this.#outgoing.get(stream)?.acked;
    this.#forget(stream);
    acked?.();
  }

  /** The peer wants no more of it. */
  handleStopped(stream: QuicStream): void {
    this.#fail(stream, this.#host.stopped(stream.stopCode));
  }

  /** The connection is over: everything under way fails. */
  handleClosed(error: (sent: 'no' | 'maybe') => P2PError): void {
    for (const openings of Object.values(this.#openings)) {
      for (const { fail } of openings.splice(0)) fail(error('no'));
    }
    for (const stream of this.#outgoing.keys()) this.#fail(stream, error('maybe'));
    this.#ending.clear();
    this.#host.settled();
  }

  #opened(kind: StreamKind, priority: number): QuicStream | undefined {
    const stream = this.#connection.open(kind);
    if (priority !== 0) stream?.setPriority(priority);
    return stream;
  }

  #of(stream: QuicStream): Outgoing {
    let outgoing = this.#outgoing.get(stream);
    if (outgoing === undefined) this.#outgoing.set(stream, (outgoing = { queue: [], acked: undefined }));
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
    this.#ending.delete(stream);
    this.#host.settled();
  }
}
