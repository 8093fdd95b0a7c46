/** The streams of a connection in the application's hands: opened here, or taken from the peer. */

import type { P2PError } from '../core/errors.ts';
import type { CallOptions } from '../core/swarm.ts';
import { rejection } from '../runtime/promises.ts';
import { checkCall } from '../runtime/waits.ts';
import type { QuicStream, StreamKind } from '../protocols/quic/stream.ts';
import { LiveReceiveStream } from './live-receive-stream.ts';
import { LiveSendStream } from './live-send-stream.ts';
import { priorityOf } from './prepared.ts';
import type { BiStream, SendStream, StreamId } from './stream.ts';
import { STREAM_TIMEOUT_MS, type StreamHooks, streamIdOf } from './stream-hooks.ts';
import { StreamReader } from './stream-reader.ts';

export class ConnectionStreams<M> {
  readonly #hooks: StreamHooks<M>;
  readonly #closed: () => void;
  /** Streams that are read. Bounded by the stream limits. */
  readonly #reading = new Map<QuicStream, LiveReceiveStream<M>>();
  /** Our sides of the peer's streams, so that messages of one stream share one. They go with their streams. */
  readonly #replies = new WeakMap<QuicStream, LiveSendStream<M>>();

  /** @param closed - told when a stream is not read any more. */
  constructor(hooks: StreamHooks<M>, closed: () => void) {
    this.#hooks = hooks;
    this.#closed = closed;
  }

  /** Streams that are read. */
  get reading(): number {
    return this.#reading.size;
  }

  openUni(options: CallOptions | undefined): Promise<SendStream<M>> {
    return this.#open('uni', options, (stream) => this.#sendStream(stream).announced());
  }

  openBi(options: CallOptions | undefined): Promise<BiStream<M>> {
    return this.#open('bidi', options, (stream) => {
      const receive = this.receiveStream(new StreamReader(stream, this.#hooks.format.framing));
      return { id: receive.id, send: this.#sendStream(stream).announced(), receive };
    });
  }

  /** The receiving side of a stream, read from now on. */
  receiveStream(reader: StreamReader<M>): LiveReceiveStream<M> {
    const { stream } = reader;
    const receive = new LiveReceiveStream<M>(reader, this.idOf(stream), this.#hooks, () => {
      this.#reading.delete(stream);
      this.#closed();
    });
    this.#reading.set(stream, receive);
    return receive;
  }

  /** Our side of a stream that the peer has opened; `undefined` for one that has none. */
  replyOn(stream: QuicStream): LiveSendStream<M> | undefined {
    if (stream.kind !== 'bidi') return undefined;
    let reply = this.#replies.get(stream);
    if (reply === undefined) {
      reply = this.#sendStream(stream);
      this.#replies.set(stream, reply);
    }
    return reply;
  }

  /** More can be read on a stream. */
  wake(stream: QuicStream): void {
    this.#reading.get(stream)?.wake();
  }

  /** The connection is over. */
  wakeAll(): void {
    for (const reading of this.#reading.values()) reading.wake();
  }

  idOf(stream: QuicStream): StreamId {
    return streamIdOf(stream, this.#hooks.connectionId);
  }

  #open<T>(kind: StreamKind, options: CallOptions | undefined, make: (stream: QuicStream) => T): Promise<T> {
    checkCall(options);
    const priority = priorityOf(options?.priority);
    const what = (): string => `open a stream to ${this.#hooks.connectionId}`;
    const ended: P2PError | undefined = this.#hooks.ended(what, 'no');
    if (ended !== undefined) return rejection(ended);
    const call = { what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS, sent: (): 'no' => 'no' };
    const { sender } = this.#hooks;
    return this.#hooks.waits.wait<T>(call, (wait) => {
      const use = (stream: QuicStream): void => wait.resolve(make(stream));
      const now = sender.open(kind, priority);
      if (now === undefined) return sender.waitFor(kind, { priority, use, fail: wait.reject });
      use(now);
      return undefined;
    });
  }

  #sendStream(stream: QuicStream): LiveSendStream<M> {
    return new LiveSendStream<M>(stream, this.idOf(stream), this.#hooks);
  }
}
