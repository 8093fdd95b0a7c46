/** The sending side of a stream in use. */

import { type Bytes, EMPTY_BYTES } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { assertBytes } from '../base/checks.ts';
import type { CallOptions } from '../core/swarm.ts';
import { markHandled, rejection } from '../runtime/promises.ts';
import { checkCall } from '../runtime/waits.ts';
import { PREFACE } from '../protocols/endpoint/frame.ts';
import { checkCode, type QuicStream } from '../protocols/quic/stream.ts';
import { Sending } from '../quic/sending.ts';
import { STREAM_CODE } from './codes.ts';
import type { OutgoingMessage } from './message.ts';
import type { SendOptions, SendStream, StreamId } from './stream.ts';
import { ignore, STREAM_TIMEOUT_MS, type StreamHooks } from './stream-hooks.ts';

export class LiveSendStream<M> implements SendStream<M> {
  readonly id: StreamId;
  readonly #stream: QuicStream;
  readonly #hooks: StreamHooks<M>;
  #mode: 'fresh' | 'messages' | 'bytes' = 'fresh';
  #finished = false;
  #writable: WritableStream<Uint8Array> | undefined;

  constructor(stream: QuicStream, id: StreamId, hooks: StreamHooks<M>) {
    this.#stream = stream;
    this.id = id;
    this.#hooks = hooks;
  }

  /** Announces the stream to the peer at the end of this turn, unless something is written before: that announces it too. */
  announced(): this {
    if (!this.#hooks.format.framing.prefaced) return this;
    this.#hooks.later(() => {
      if (this.#mode !== 'fresh' || this.#stream.sendState !== 'open') return;
      this.#hooks.sender.write(this.#stream, new Sending([Uint8Array.of(PREFACE.OPENED)], false), ignore);
    });
    return this;
  }

  send(message: OutgoingMessage<M>, options?: SendOptions): Promise<void> {
    const sending = this.#encoded(message, options, this.#hooks.format.framing.single);
    return sending instanceof P2PError ? rejection(sending) : this.#write(sending, 'send on', options, false);
  }

  finish(message?: OutgoingMessage<M>, options?: SendOptions): Promise<void> {
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
    if (this.#mode === 'messages' || !this.#hooks.format.framing.prefaced) {
      const why = this.#mode === 'messages' ? 'it carries messages' : "qp2p's framing has messages only";
      throw new P2PError('unsupported', 'local', `Cannot write bytes on ${this.id.text}: ${why}`, { sent: 'no' });
    }
    // With the default strategy one chunk waits at a time, and `write` resolves when the transport has taken it.
    let aborted = false;
    this.#writable = new WritableStream<Uint8Array>({
      // `abort` waits for the write or close under way. The signal comes at once, and the reset ends them.
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

  /** The first byte of this direction, which says what the stream carries from now on. */
  #preface(kind: number): Bytes {
    this.#mode = kind === PREFACE.BYTES ? 'bytes' : 'messages';
    return this.#hooks.format.framing.prefaced ? Uint8Array.of(kind) : EMPTY_BYTES;
  }

  #encoded(message: OutgoingMessage<M>, options: SendOptions | undefined, end: boolean): Sending | P2PError {
    const { chunks, size } = this.#hooks.format.encode(message, this.#mode === 'fresh');
    checkCall(options);
    const refused = (why: string): P2PError =>
      new P2PError('unsupported', 'local', `Cannot send on ${this.id.text}: ${why}`, { sent: 'no' });
    if (this.#mode === 'bytes') return refused('it carries bytes');
    if (this.#mode === 'messages' && this.#hooks.format.framing.single)
      return refused("qp2p's framing has one message a stream");
    this.#mode = 'messages';
    this.#hooks.countSent(size);
    return new Sending(chunks, end);
  }

  #write(sending: Sending, verb: string, call: CallOptions | undefined, acked: boolean): Promise<void> {
    const what = (): string => `${verb} ${this.id.text}`;
    const { waits, sender } = this.#hooks;
    const ended = this.#hooks.ended(what, 'no');
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
