/** Streams as objects of their own: what `openUni`, `openBi`, replies and bodies are made of. */

import { type Bytes, copyBytes, EMPTY_BYTES } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { assertBytes } from '../base/checks.ts';
import { type CallOptions } from '../core/swarm.ts';
import { markHandled, rejection } from '../runtime/promises.ts';
import { checkCall, type Wait, type Waits } from '../runtime/waits.ts';
import { encodeMessage, type Framing, PREFACE } from '../protocols/endpoint/frame.ts';
import { checkCode, type QuicStream } from '../protocols/quic/stream.ts';
import { Sending } from '../quic/sending.ts';
import { STREAM_CODE } from './codes.ts';
import { type OutgoingMessage, partsOf, type ReceivedMessage } from './message.ts';
import { type Sender } from './sender.ts';
import { type ReceiveStream, type SendStream, type StreamId, type WriteOptions } from './stream.ts';
import { type StreamReader } from './stream-reader.ts';

/** How long a wait on a stream lasts unless the call says otherwise. */
export const STREAM_TIMEOUT_MS = 30_000;
/** What one pull of a Web Stream reads at most. */
const PULL_BYTES = 65_536;

/** What streams need of their connection. */
export interface StreamHooks {
  readonly framing: Framing;
  readonly waits: Waits;
  readonly sender: Sender;
  readonly maxMessageBytes: number;
  scheduleFlush(): void;
  /** Runs in a later turn, unless the endpoint has closed by then. */
  later(act: () => void): void;
  /** Counts a message, or a part of a stream of bytes: its first part counts as the message. */
  countSent(bytes: number, further?: boolean): void;
  countReceived(bytes: number, further?: boolean): void;
  /** Why nothing can be done on the connection any more, if so. */
  ended(what: string, sent: 'no' | 'maybe'): P2PError | undefined;
}

/** @returns the id in the words of both ends. */
export function streamIdOf(stream: QuicStream, connectionId: string): StreamId {
  const opener = stream.id % 2 === 0 ? 'initiator' : 'responder';
  const index = Math.floor(stream.id / 4);
  const { kind, id: number } = stream;
  return { opener, kind, index, number, text: `${opener} ${kind} stream ${index} of ${connectionId}` };
}

export class LiveSendStream implements SendStream {
  readonly id: StreamId;
  readonly #stream: QuicStream;
  readonly #hooks: StreamHooks;
  #mode: 'fresh' | 'messages' | 'bytes' = 'fresh';
  #finished = false;
  #writable: WritableStream<Uint8Array> | undefined;

  constructor(stream: QuicStream, id: StreamId, hooks: StreamHooks) {
    this.#stream = stream;
    this.id = id;
    this.#hooks = hooks;
  }

  /** Has the peer see the stream after this turn, unless something is written in it, which shows the stream as well. */
  announced(): this {
    if (!this.#hooks.framing.prefaced) return this;
    this.#hooks.later(() => {
      if (this.#mode !== 'fresh' || this.#stream.sendState !== 'open') return;
      this.#hooks.sender.write(this.#stream, new Sending([Uint8Array.of(PREFACE.OPENED)], false), ignore);
    });
    return this;
  }

  send(message: OutgoingMessage, options?: WriteOptions): Promise<void> {
    const sending = this.#encoded(message, options, this.#hooks.framing.single);
    return sending instanceof P2PError ? rejection(sending) : this.#write(sending, 'send on', options, false);
  }

  finish(message?: OutgoingMessage, options?: WriteOptions): Promise<void> {
    if (message === undefined) {
      checkCall(options);
      const sending = new Sending([this.#mode === 'fresh' ? this.#preface(PREFACE.MESSAGES) : EMPTY_BYTES]);
      return this.#write(sending, 'finish', options, options?.acked ?? false);
    }
    const sending = this.#encoded(message, options, true);
    return sending instanceof P2PError
      ? rejection(sending)
      : this.#write(sending, 'finish', options, options?.acked ?? false);
  }

  reset(code: number = STREAM_CODE.CANCELLED): void {
    checkCode(code, 'code');
    const what = `Cannot send on ${this.id.text}: it was reset`;
    this.#hooks.sender.reset(this.#stream, code, new P2PError('disconnected', 'local', what));
  }

  setPriority(priority: number): void {
    this.#hooks.sender.setPriority(this.#stream, priority);
  }

  get writable(): WritableStream<Uint8Array> {
    if (this.#writable !== undefined) return this.#writable;
    if (this.#mode === 'messages' || !this.#hooks.framing.prefaced) {
      const why = this.#mode === 'messages' ? 'it carries messages' : "qp2p's framing has messages only";
      throw new P2PError('unsupported', 'local', `Cannot write bytes on ${this.id.text}: ${why}`, { sent: 'no' });
    }
    // With the default strategy one chunk waits at a time, and `write` resolves when the transport has it.
    let aborted = false;
    this.#writable = new WritableStream<Uint8Array>({
      // `abort` waits for the write or close under way: the signal comes at once, and the reset ends those.
      start: ({ signal }) => {
        const give = (): void => {
          aborted = true;
          this.reset();
        };
        signal.addEventListener('abort', give, { once: true });
      },
      write: (chunk) => {
        assertBytes(chunk, 'chunk');
        const fresh = this.#mode === 'fresh';
        const chunks = fresh ? [this.#preface(PREFACE.BYTES), chunk] : [chunk];
        this.#hooks.countSent(chunk.length, !fresh);
        return this.#write(new Sending(chunks, false), 'write on', { timeoutMs: Infinity }, false);
      },
      close: () => {
        const last = this.#mode === 'fresh' ? this.#preface(PREFACE.BYTES) : EMPTY_BYTES;
        return this.#write(new Sending([last]), 'finish', { timeoutMs: Infinity }, false).catch((error: unknown) => {
          if (!aborted) throw error;
        });
      },
      abort: () => this.reset(),
    });
    return this.#writable;
  }

  /** The first byte of our direction; from here on the stream is what it says. */
  #preface(kind: number): Bytes {
    this.#mode = kind === PREFACE.BYTES ? 'bytes' : 'messages';
    return this.#hooks.framing.prefaced ? Uint8Array.of(kind) : EMPTY_BYTES;
  }

  #encoded(message: OutgoingMessage, options: WriteOptions | undefined, end: boolean): Sending | P2PError {
    const parts = partsOf(message);
    checkCall(options);
    const { framing } = this.#hooks;
    const refused = (why: string): P2PError =>
      new P2PError('unsupported', 'local', `Cannot send on ${this.id.text}: ${why}`, { sent: 'no' });
    if (this.#mode === 'bytes') return refused('it carries bytes');
    if (this.#mode === 'messages' && framing.single) return refused("qp2p's framing has one message a stream");
    const preface = this.#mode === 'fresh' && framing.prefaced ? PREFACE.MESSAGES : undefined;
    this.#mode = 'messages';
    this.#hooks.countSent(parts.header.length + parts.dst.length + parts.payload.length);
    return new Sending(encodeMessage(framing, parts, preface), end);
  }

  #write(sending: Sending, verb: string, call: CallOptions | undefined, acked: boolean): Promise<void> {
    const what = (): string => `${verb} ${this.id.text}`;
    const { waits, sender } = this.#hooks;
    const ended = this.#hooks.ended(what(), 'no');
    if (ended !== undefined) return rejection(ended);
    if (this.#finished) {
      return sending.ends && this.#mode !== 'fresh'
        ? Promise.resolve()
        : rejection(new P2PError('disconnected', 'local', `Cannot ${what()}: it is finished`, { sent: 'no' }));
    }
    this.#finished = sending.ends;
    const written = waits.wait<void>({ what, call, defaultTimeoutMs: STREAM_TIMEOUT_MS }, (wait) => {
      const settle = (error?: P2PError): void => (error === undefined ? wait.resolve() : wait.reject(error));
      if (acked) sender.write(this.#stream, sending, ignore, settle);
      else if (sender.write(this.#stream, sending, settle)) wait.resolve();
    });
    return markHandled(written);
  }
}

/** What the peer sends on a stream, taken when it is asked for. */
export class LiveReceiveStream implements ReceiveStream {
  readonly id: StreamId;
  readonly #reader: StreamReader;
  readonly #hooks: StreamHooks;
  /** Those who wait for more. Bounded by the calls under way. */
  readonly #waiting = new Set<() => void>();
  readonly #over: () => void;
  #readable: ReadableStream<Bytes> | undefined;
  /** Bytes of it have been counted. */
  #begun = false;

  /** @param over - told when nothing more can come. */
  constructor(reader: StreamReader, id: StreamId, hooks: StreamHooks, over: () => void) {
    this.#reader = reader;
    this.id = id;
    this.#hooks = hooks;
    this.#over = over;
  }

  next(options?: CallOptions): Promise<ReceivedMessage | undefined> {
    checkCall(options);
    const what = (): string => `read ${this.id.text}`;
    const take = (wait: Wait<ReceivedMessage | undefined>): boolean => {
      const got = this.#reader.next(this.#hooks.maxMessageBytes);
      this.#hooks.scheduleFlush();
      if (got === undefined) return false;
      if (got === 'end' || !('payload' in got)) this.#over();
      if (got === 'end') wait.resolve(undefined);
      else if ('payload' in got) {
        this.#hooks.countReceived(got.payload.length);
        wait.resolve(got);
      } else wait.reject(this.#hooks.ended(what(), 'maybe') ?? got.error(what()));
      return true;
    };
    return this.#hooks.waits.wait({ what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS }, (wait) => {
      if (take(wait)) return undefined;
      const look = (): void => void take(wait);
      this.#waiting.add(look);
      return () => this.#waiting.delete(look);
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedMessage, void, undefined> {
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

  /** More has come, or the end. */
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
          wait.reject(this.#hooks.ended(what(), 'maybe') ?? got.error(what()));
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

/** Who waits for the acknowledgement is told of errors there. */
export function ignore(): void {}
