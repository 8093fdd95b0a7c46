/** What goes to one peer: tells on unidirectional streams, requests and their answers on bidirectional ones. */

import { type Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type QuicConnection } from '../../protocols/quic/connection.ts';
import { type QuicStream } from '../../protocols/quic/stream.ts';
import { Assembly, FRAME_HEADER_BYTES, Sending } from '../../quic/sending.ts';
import { CODE } from './codes.ts';
import { discard } from './discard.ts';
import { type SessionHooks } from './session-hooks.ts';

/** An ask under way. */
interface Asked {
  readonly assembly: Assembly;
  readonly maxResponseBytes: number;
  readonly settle: (result: Bytes | P2PError) => void;
}

/** A message that waits for a stream. */
interface Waiting {
  readonly begin: (stream: QuicStream) => void;
  readonly fail: (error: P2PError) => void;
}

/** Messages of each kind that wait for a stream; more fail at once, so that a peer that reads nothing gathers no heap. */
const MAX_WAITING = 65_536;

export class Outgoing<S> {
  readonly #hooks: SessionHooks<S>;
  readonly #connection: QuicConnection;
  readonly #peer: PeerId;
  /** For each kind of stream, in order. Bounded by {@link MAX_WAITING}. */
  readonly #waiting = { uni: new Set<Waiting>(), bidi: new Set<Waiting>() };
  /** Tells whose bytes are not all taken, and what to do then. Bounded by the peer's stream limit, as are the following. */
  readonly #telling = new Map<QuicStream, { readonly sending: Sending; readonly taken: (error?: P2PError) => void }>();
  /** Tells that are not acknowledged. */
  readonly #unacknowledged = new Set<QuicStream>();
  /** Requests whose bytes are not all taken. */
  readonly #requests = new Map<QuicStream, Sending>();
  readonly #asked = new Map<QuicStream, Asked>();

  constructor(hooks: SessionHooks<S>, connection: QuicConnection, peer: PeerId) {
    this.#hooks = hooks;
    this.#connection = connection;
    this.#peer = peer;
  }

  /** Messages that wait for a stream. */
  get waiting(): number {
    return this.#waiting.uni.size + this.#waiting.bidi.size;
  }

  /** Tells of which the peer has not acknowledged everything. */
  get unacknowledged(): number {
    return this.#unacknowledged.size + this.waiting;
  }

  /** Whether something is under way. */
  get isBusy(): boolean {
    return this.unacknowledged > 0 || this.#asked.size > 0;
  }

  /**
   * Sends a tell. `taken` is called when the transport has all bytes, or with the error.
   *
   * @returns `true`, and `taken` is not called, when it takes them all now; else gives the tell up.
   */
  tell(payload: Uint8Array, taken: (error?: P2PError) => void): true | (() => void) {
    if (this.#hooks.datagramTells && this.#connection.sendDatagram(payload) === 'sent') {
      this.#hooks.countSent(payload.length);
      this.#hooks.scheduleFlush();
      return true;
    }
    const sending = new Sending([payload]);
    let stream: QuicStream | undefined;
    const begin = (opened: QuicStream): boolean => {
      stream = opened;
      this.#unacknowledged.add(opened);
      this.#hooks.countSent(payload.length);
      if (sending.write(opened)) return true;
      this.#telling.set(opened, { sending, taken });
      return false;
    };
    const opened = this.#waiting.uni.size === 0 ? this.#connection.open('uni') : undefined;
    if (opened !== undefined) {
      const done = begin(opened);
      this.#hooks.scheduleFlush();
      if (done) return true;
    }
    const waiting: Waiting = {
      begin: (later) => {
        if (begin(later)) taken();
      },
      fail: taken,
    };
    if (opened === undefined) this.#wait('uni', waiting);
    return () => {
      if (stream === undefined) this.#waiting.uni.delete(waiting);
      else if (this.#telling.delete(stream)) {
        stream.reset(CODE.CANCELLED);
        this.handleAcknowledged(stream);
        this.#hooks.scheduleFlush();
      }
    };
  }

  /** Sends a request. @returns gives it up */
  ask(request: Uint8Array, maxResponseBytes: number, settle: (result: Bytes | P2PError) => void): () => void {
    let stream: QuicStream | undefined;
    const waiting: Waiting = {
      begin: (opened) => {
        stream = opened;
        this.#asked.set(opened, { assembly: new Assembly(), maxResponseBytes, settle });
        this.#hooks.countSent(request.length);
        const sending = Sending.framed(request);
        if (!sending.write(opened)) this.#requests.set(opened, sending);
      },
      fail: settle,
    };
    this.#wait('bidi', waiting);
    this.handleAvailable();
    return () => {
      if (stream === undefined) {
        this.#waiting.bidi.delete(waiting);
        return;
      }
      this.#requests.delete(stream);
      if (!this.#asked.delete(stream)) return;
      stream.reset(CODE.CANCELLED);
      stream.stop(CODE.CANCELLED);
      this.#hooks.scheduleFlush();
    };
  }

  /** Gives streams to messages that wait, as far as the peer allows. */
  handleAvailable(): void {
    for (const kind of ['uni', 'bidi'] as const) {
      for (const waiting of this.#waiting[kind]) {
        const stream = this.#connection.open(kind);
        if (stream === undefined) break;
        this.#waiting[kind].delete(waiting);
        waiting.begin(stream);
      }
    }
    this.#hooks.scheduleFlush();
  }

  handleWritable(stream: QuicStream): void {
    const told = this.#telling.get(stream);
    if (told?.sending.write(stream) === true) {
      this.#telling.delete(stream);
      told.taken();
    }
    const request = this.#requests.get(stream);
    if (request?.write(stream) === true) this.#requests.delete(stream);
  }

  handleAcknowledged(stream: QuicStream): void {
    if (this.#unacknowledged.delete(stream)) this.#hooks.settled();
  }

  /** The peer wants no more of what we send. */
  handleStopped(stream: QuicStream): void {
    this.handleAcknowledged(stream);
    const told = this.#telling.get(stream);
    this.#telling.delete(stream);
    told?.taken(refusedBy(stream.stopCode));
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
    const waiting = [...this.#waiting.uni, ...this.#waiting.bidi];
    this.#waiting.uni.clear();
    this.#waiting.bidi.clear();
    for (const { fail } of waiting) fail(error('no'));
    for (const { taken } of this.#telling.values()) taken(error('maybe'));
    for (const { settle } of this.#asked.values()) settle(error('maybe'));
    this.#telling.clear();
    this.#asked.clear();
    this.#requests.clear();
    this.#unacknowledged.clear();
  }

  #wait(kind: 'uni' | 'bidi', waiting: Waiting): void {
    const waits = this.#waiting[kind];
    if (waits.size < MAX_WAITING) waits.add(waiting);
    else {
      const full = `Cannot reach ${this.#peer}: ${MAX_WAITING} messages wait for it to read`;
      waiting.fail(new P2PError('limit_exceeded', 'remote', full, { sent: 'no' }));
    }
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

function refusedBy(code: number | undefined): P2PError {
  if (code === CODE.OVERSIZE) {
    return new P2PError('mtu_exceeded', 'remote', 'The message is larger than the peer takes');
  }
  return new P2PError('refused', 'remote', `The peer has refused the message (code ${code ?? 0})`);
}
