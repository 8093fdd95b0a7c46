/** Requests to one peer, each on a bidirectional stream, and the answers to them. */

import type { Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import type { PeerId } from '../../core/peer-id.ts';
import { DEFAULT_PRIORITY, type Priority } from '../../core/priority.ts';
import type { QuicConnection } from '../../protocols/quic/connection.ts';
import type { QuicStream } from '../../protocols/quic/stream.ts';
import { Assembly, FRAME_HEADER_BYTES, Sending } from '../../quic/sending.ts';
import { CODE } from './codes.ts';
import { discard } from './discard.ts';
import { refusedBy } from './errors.ts';
import type { SessionHooks } from './session-hooks.ts';
import { failWaiting, giveStreams, type Waiting, WaitingMessages, waitForStream } from './waiting.ts';

/** An ask under way. */
interface Asked {
  readonly assembly: Assembly;
  readonly maxResponseBytes: number;
  readonly settle: (result: Bytes | P2PError) => void;
}

export class Asks<S> {
  readonly #hooks: SessionHooks<S>;
  readonly #connection: QuicConnection;
  readonly #peer: PeerId;
  /** Bounded by `waitForStream`. */
  readonly #waiting = new WaitingMessages();
  /** Requests whose bytes are not all taken. Bounded by the peer's stream limit, as are the following. */
  readonly #requests = new Map<QuicStream, Sending>();
  readonly #asked = new Map<QuicStream, Asked>();

  constructor(hooks: SessionHooks<S>, connection: QuicConnection, peer: PeerId) {
    this.#hooks = hooks;
    this.#connection = connection;
    this.#peer = peer;
  }

  /** Requests that wait for a stream. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Requests that have one and no answer yet. */
  get asked(): number {
    return this.#asked.size;
  }

  /** Sends a request. @returns gives it up */
  ask(
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority: Priority = DEFAULT_PRIORITY,
  ): () => void {
    let stream: QuicStream | undefined;
    const waiting: Waiting = {
      priority,
      begin: (opened) => {
        stream = opened;
        this.#asked.set(opened, { assembly: new Assembly(), maxResponseBytes, settle });
        this.#hooks.countSent(request.length);
        const sending = Sending.framed(request);
        if (!sending.write(opened)) this.#requests.set(opened, sending);
      },
      fail: settle,
    };
    waitForStream(this.#waiting, waiting, this.#peer);
    this.handleAvailable();
    return () => {
      if (stream === undefined) {
        this.#waiting.delete(waiting);
        return;
      }
      this.#requests.delete(stream);
      if (!this.#asked.delete(stream)) return;
      stream.reset(CODE.CANCELLED);
      stream.stop(CODE.CANCELLED);
      this.#hooks.scheduleFlush();
    };
  }

  /** Gives streams to requests that wait, as far as the peer allows. */
  handleAvailable(): void {
    giveStreams(this.#waiting, this.#connection, 'bidi');
    this.#hooks.scheduleFlush();
  }

  handleWritable(stream: QuicStream): void {
    if (this.#requests.get(stream)?.write(stream) === true) this.#requests.delete(stream);
  }

  /** The peer wants no more of a request. */
  handleStopped(stream: QuicStream): void {
    this.#requests.delete(stream);
  }

  /** More of an answer can be read. @returns whether the stream is an ask's */
  handleReadable(stream: QuicStream): boolean {
    const asked = this.#asked.get(stream);
    if (asked === undefined) return false;
    this.#readAnswer(stream, asked);
    return true;
  }

  /** The connection is over: everything under way fails. */
  handleClosed(error: (sent: 'no' | 'maybe') => P2PError): void {
    failWaiting(this.#waiting, () => error('no'));
    for (const { settle } of this.#asked.values()) settle(error('maybe'));
    this.#asked.clear();
    this.#requests.clear();
  }

  #readAnswer(stream: QuicStream, asked: Asked): void {
    const { assembly, maxResponseBytes } = asked;
    assembly.take(stream, maxResponseBytes + FRAME_HEADER_BYTES);
    const length = assembly.frameLength();
    const fail = (error: P2PError): void => this.#settleAsk(stream, asked, error, CODE.OVERSIZE);
    if (length !== undefined && length > maxResponseBytes) {
      const what = `The answer has ${length} bytes, limit is ${maxResponseBytes} bytes; raise maxResponseBytes`;
      fail(new P2PError('limit_exceeded', 'local', what));
    } else if (length !== undefined && assembly.length >= FRAME_HEADER_BYTES + length) {
      const answer = assembly.bytes().subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length);
      this.#settleAsk(stream, asked, answer, undefined);
      discard(stream);
    } else if (stream.receiveState === 'reset') fail(refusedBy(stream.resetCode));
    else if (stream.receiveState !== 'open') {
      // The end without an answer: how go-p2p refuses.
      fail(new P2PError('refused', 'remote', 'The peer has refused to answer'));
    }
  }

  #settleAsk(stream: QuicStream, asked: Asked, result: Bytes | P2PError, code: number | undefined): void {
    this.#asked.delete(stream);
    this.#requests.delete(stream);
    if (code !== undefined) {
      stream.stop(code);
      stream.reset(code);
      this.#hooks.scheduleFlush();
    }
    asked.settle(result);
  }
}
