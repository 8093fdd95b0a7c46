/** Requests of a connection whose answers have not come. */

import { P2PError } from '../core/errors.ts';
import { wholeNumber } from '../base/checks.ts';
import { type CallOptions } from '../core/swarm.ts';
import { type Wait } from '../runtime/waits.ts';
import { MAX_PART_BYTES } from '../protocols/endpoint/frame.ts';
import { type QuicStream } from '../protocols/quic/stream.ts';
import { STREAM_CODE } from './codes.ts';
import { type RequestOptions } from './connection.ts';
import { streamError } from './errors.ts';
import { STREAM_TIMEOUT_MS, type StreamHooks } from './live-streams.ts';
import { type ReceivedMessage } from './message.ts';
import { type Prepared } from './prepared.ts';
import { StreamFailure, StreamReader } from './stream-reader.ts';

/** The largest answer that a request takes. @throws {TypeError | RangeError} for a wrong limit. */
export function maxResponseOf(options: RequestOptions | undefined, fallback: number): number {
  return wholeNumber(options?.maxResponseBytes, 'maxResponseBytes', fallback, 0, MAX_PART_BYTES);
}

export class Requests {
  readonly #hooks: StreamHooks;
  readonly #peer: string;
  /** Told that more has come. Bounded by the peer's stream limit. */
  readonly #asked = new Map<QuicStream, () => void>();

  /** @param peer - for error messages. */
  constructor(hooks: StreamHooks, peer: string) {
    this.#hooks = hooks;
    this.#peer = peer;
  }

  get size(): number {
    return this.#asked.size;
  }

  /** Sends a request on a stream of its own, and waits for the first message that comes back. */
  begin(
    { sending, size, priority }: Prepared,
    maxResponseBytes: number,
    options: CallOptions | undefined,
  ): Promise<ReceivedMessage> {
    const { sender, waits, framing } = this.#hooks;
    const what = (): string => `request from ${this.#peer}`;
    let stream: QuicStream | undefined;
    const sent = (): 'no' | 'maybe' => (stream === undefined ? 'no' : 'maybe');
    const call = { what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS, sent };
    return waits.wait<ReceivedMessage>(call, (wait) => {
      const use = (opened: QuicStream): void => {
        stream = opened;
        this.#hooks.countSent(size);
        const reader = new StreamReader(opened, framing);
        this.#asked.set(opened, () => this.#answer(reader, maxResponseBytes, what, wait));
        // An answer may come before all of the request is taken, and then the peer wants no more of it.
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

  /** The connection is over: what has come is answered with, the others fail. */
  handleClosed(): void {
    for (const look of this.#asked.values()) look();
  }

  #answer(reader: StreamReader, maxResponseBytes: number, what: () => string, wait: Wait<ReceivedMessage>): void {
    const got = reader.next(maxResponseBytes);
    this.#hooks.scheduleFlush();
    if (got === undefined) return;
    this.#asked.delete(reader.stream);
    if (got === 'end') wait.reject(new P2PError('refused', 'remote', `Cannot ${what()}: the peer gave no answer`));
    else if (got instanceof StreamFailure) {
      this.#giveUp(reader.stream);
      wait.reject((got.fault === 'lost' ? this.#hooks.ended(what(), 'maybe') : undefined) ?? got.error(what()));
    } else {
      this.#hooks.countReceived(got.payload.length);
      reader.discard();
      wait.resolve(got);
    }
  }

  #giveUp(stream: QuicStream): void {
    stream.stop(STREAM_CODE.CANCELLED);
    this.#hooks.sender.reset(stream, STREAM_CODE.CANCELLED, streamError('go on', STREAM_CODE.CANCELLED));
  }
}
