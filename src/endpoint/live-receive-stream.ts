/** The receiving side of a stream in use. */

import { type Bytes, copyBytes } from '../base/bytes.ts';
import type { CallOptions } from '../core/swarm.ts';
import { checkCall, type Wait } from '../runtime/waits.ts';
import { checkCode } from '../protocols/quic/stream.ts';
import { STREAM_CODE } from './codes.ts';
import type { ReceiveStream, StreamId } from './stream.ts';
import { STREAM_TIMEOUT_MS, type StreamHooks } from './stream-hooks.ts';
import { StreamFailure, type StreamReader } from './stream-reader.ts';

/** The most bytes that one pull of a Web Stream reads. */
const PULL_BYTES = 65_536;

export class LiveReceiveStream<M> implements ReceiveStream<M> {
  readonly id: StreamId;
  readonly #reader: StreamReader<M>;
  readonly #hooks: StreamHooks<M>;
  /** Called when more can be read. Bounded by the calls under way. */
  readonly #waiting = new Set<() => void>();
  readonly #over: () => void;
  #readable: ReadableStream<Bytes> | undefined;
  /** Whether bytes of it have been counted. */
  #begun = false;

  /** @param over - called when nothing more can come. */
  constructor(reader: StreamReader<M>, id: StreamId, hooks: StreamHooks<M>, over: () => void) {
    this.#reader = reader;
    this.id = id;
    this.#hooks = hooks;
    this.#over = over;
  }

  next(options?: CallOptions): Promise<M | undefined> {
    checkCall(options);
    const what = (): string => `read ${this.id.text}`;
    const take = (wait: Wait<M | undefined>): boolean => {
      const got = this.#reader.next(this.#hooks.limits.maxMessageBytes);
      this.#hooks.scheduleFlush();
      if (got === undefined) return false;
      if (got === 'end' || got instanceof StreamFailure) this.#over();
      if (got === 'end') wait.resolve(undefined);
      else if (got instanceof StreamFailure) wait.reject(this.#hooks.ended(what, 'maybe') ?? got.error(what()));
      else {
        const { format } = this.#hooks;
        this.#hooks.countReceived(format.payloadOf(got.message).length);
        wait.resolve(got.message);
      }
      return true;
    };
    return this.#hooks.waits.wait({ what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS }, (wait) => {
      if (take(wait)) return undefined;
      const look = (): void => void take(wait);
      this.#waiting.add(look);
      return () => this.#waiting.delete(look);
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<M, void, undefined> {
    for (;;) {
      const message = await this.next({ timeoutMs: Infinity });
      if (message === undefined) return;
      yield message;
    }
  }

  stop(code: number = STREAM_CODE.CANCELLED): void {
    checkCode(code, 'code');
    this.#reader.stop(code);
    this.#hooks.scheduleFlush();
    this.wake();
    this.#over();
  }

  get readable(): ReadableStream<Bytes> {
    this.#readable ??= new ReadableStream<Bytes>(
      {
        pull: (controller) => this.#pull(controller),
        cancel: () => this.stop(),
      },
      { highWaterMark: 0 },
    );
    return this.#readable;
  }

  /** More data or the end has come. */
  wake(): void {
    for (const look of this.#waiting) look();
  }

  #pull(controller: ReadableStreamDefaultController<Bytes>): Promise<void> {
    const what = (): string => `read ${this.id.text}`;
    return this.#hooks.waits.wait<void>({ what, defaultTimeoutMs: Infinity }, (wait) => {
      const look = (): void => {
        const got = this.#reader.bytes(PULL_BYTES);
        this.#hooks.scheduleFlush();
        if (got === undefined) return;
        if (!(got instanceof Uint8Array)) this.#over();
        if (got === 'end') controller.close();
        else if (got instanceof Uint8Array) {
          this.#hooks.countReceived(got.length, this.#begun);
          this.#begun = true;
          controller.enqueue(copyBytes(got));
        } else {
          wait.reject(this.#hooks.ended(what, 'maybe') ?? got.error(what()));
          return;
        }
        wait.resolve();
      };
      this.#waiting.add(look);
      look();
      return () => this.#waiting.delete(look);
    });
  }
}
