/** Requests on a connection that wait for their answers. */

import { P2PError } from '../core/errors.ts';
import { wholeNumber } from '../base/checks.ts';
import type { Wait } from '../runtime/waits.ts';
import { MAX_PART_BYTES } from '../protocols/endpoint/frame.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';
import { STREAM_CODE } from './codes.ts';
import type { RequestOptions } from './connection.ts';
import { streamError } from './errors.ts';
import type { OutgoingMessage } from './message.ts';
import { prepareMessage } from './prepared.ts';
import { STREAM_TIMEOUT_MS, type StreamHooks } from './stream-hooks.ts';
import { StreamFailure, StreamReader } from './stream-reader.ts';

export class Requests<M> {
  readonly #hooks: StreamHooks<M>;
  /** Called when more can be read. Bounded by the peer's stream limit. */
  readonly #asked = new Map<QuicStream, () => void>();

  constructor(hooks: StreamHooks<M>) {
    this.#hooks = hooks;
  }

  get size(): number {
    return this.#asked.size;
  }

  /** Sends a request on a stream of its own, and waits for the first message that comes back. */
  request(message: OutgoingMessage<M>, options: RequestOptions | undefined): Promise<M> {
    const { sender, waits, format, limits, connectionId } = this.#hooks;
    const given = options?.maxResponseBytes;
    const maxResponseBytes = wholeNumber(given, 'maxResponseBytes', limits.maxMessageBytes, 0, MAX_PART_BYTES);
    const what = (): string => `request from ${connectionId}`;
    const prepared = prepareMessage(this.#hooks, message, options, what);
    if (prepared instanceof Promise) return prepared;
    const { sending, size, priority } = prepared;
    let stream: QuicStream | undefined;
    const sent = (): 'no' | 'maybe' => (stream === undefined ? 'no' : 'maybe');
    const call = { what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS, sent };
    return waits.wait<M>(call, (wait) => {
      const use = (opened: QuicStream): void => {
        stream = opened;
        this.#hooks.countSent(size);
        const reader = new StreamReader(opened, format.framing);
        this.#asked.set(opened, () => this.#answer(reader, maxResponseBytes, what, wait));
        // The peer may answer and stop the stream before the whole request is taken.
        sender.write(opened, sending, (error) => {
          if (error !== undefined && opened.receiveState !== 'open') wait.reject(error);
        });
      };
      const now = sender.open('bidi', priority);
      const cancel = now === undefined ? sender.waitFor('bidi', { priority, use, fail: wait.reject }) : use(now);
      return () => {
        cancel?.();
        if (stream !== undefined && this.#asked.delete(stream)) this.#giveUp(stream);
      };
    });
  }

  handleReadable(stream: QuicStream): void {
    this.#asked.get(stream)?.();
  }

  /** The connection is over: requests whose answers have come resolve, the others reject. */
  handleClosed(): void {
    for (const look of this.#asked.values()) look();
  }

  #answer(reader: StreamReader<M>, maxResponseBytes: number, what: () => string, wait: Wait<M>): void {
    const got = reader.next(maxResponseBytes);
    this.#hooks.scheduleFlush();
    if (got === undefined) return;
    this.#asked.delete(reader.stream);
    if (got === 'end') wait.reject(new P2PError('refused', 'remote', `Cannot ${what()}: the peer gave no answer`));
    else if (got instanceof StreamFailure) {
      this.#giveUp(reader.stream);
      wait.reject((got.fault === 'lost' ? this.#hooks.ended(what, 'maybe') : undefined) ?? got.error(what()));
    } else {
      this.#hooks.countReceived(this.#hooks.format.payloadOf(got.message).length);
      reader.discard();
      wait.resolve(got.message);
    }
  }

  #giveUp(stream: QuicStream): void {
    stream.stop(STREAM_CODE.CANCELLED);
    this.#hooks.sender.reset(stream, STREAM_CODE.CANCELLED, streamError('go on', STREAM_CODE.CANCELLED));
  }
}
