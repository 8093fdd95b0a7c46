/**
 * One connection of the TCP swarm, without I/O: tells and asks in both directions over one byte stream that the layer
 * below has authenticated. Source: docs/wire/tcp.md.
 *
 * Its driver passes in received bytes and the number of transmitted bytes that are in the kernel, and releases messages
 * that handlers have processed.
 */

import { type Bytes, EMPTY_BYTES } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { DEFAULT_PRIORITY, type Priority } from '../../core/priority.ts';
import { Acknowledgement } from './acknowledgement.ts';
import {
  BYE,
  BYE_TIMEOUT_MS,
  HELLO_TIMEOUT_MS,
  MAX_FRAMES_PER_TURN,
  MAX_REFUSAL_BYTES,
  MIN_WINDOW_BYTES,
  PART_REQUESTS,
  REFUSAL_PLAIN,
  REFUSAL_TOO_LARGE,
  TCP_VERSION,
} from './constants.ts';
import type { TcpClosed, TcpEvent, TcpTicket } from './events.ts';
import { FrameReader } from './frame-reader.ts';
import type { TcpFrame } from './frames.ts';
import { Asks, type Served } from './asks.ts';
import { Liveness } from './liveness.ts';
import { ReceiveSide, type TcpFault } from './receive-side.ts';
import { type Outgoing, sentOf } from './send-scheduler.ts';
import { SendSide } from './send-side.ts';
import type { ReadState, TcpSessionOptions, TcpTimer } from './session-options.ts';

export { type ReadState, type TcpSessionOptions };

/** The machine of one connection. */
export class TcpSession implements Machine<readonly Bytes[], TcpEvent> {
  readonly #options: TcpSessionOptions;
  readonly #outbox = new Outbox<readonly Bytes[], TcpEvent, TcpTimer>();
  readonly #reader = new FrameReader();
  readonly #send: SendSide;
  readonly #receive: ReceiveSide;
  readonly #asks = new Asks();
  readonly #liveness: Liveness;
  #state: 'hello' | 'open' | 'retiring' | 'closed' = 'hello';
  #closed: TcpClosed | undefined;
  readonly #acknowledgement = new Acknowledgement();
  #pong: Bytes | undefined;
  #saidBye = false;
  #heardBye = false;
  #bye: TcpClosed = { by: 'local', code: BYE.CLOSED, reason: '' };
  #readState: ReadState = 'done';
  /** Requests delivered since the last answers were sent, or since there was none left. */
  #handedOut = 0;

  constructor(options: TcpSessionOptions, now: Millis) {
    this.#options = options;
    this.#liveness = new Liveness(options.idleTimeoutMs, now);
    this.#send = new SendSide(options.highWaterBytes);
    this.#receive = new ReceiveSide(options, { limit: (id) => this.#asks.answerLimit(id) });
    const { maxMessageBytes, windowBytes, port } = options;
    this.#send.writer.hello([TCP_VERSION, maxMessageBytes, windowBytes, windowBytes, port]);
    this.#outbox.arm('hello', now + HELLO_TIMEOUT_MS[options.side ?? 'initiator']);
  }

  /** Whether tells and asks may begin. */
  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** How it ended; `undefined` before. */
  get end(): TcpClosed | undefined {
    return this.#closed;
  }

  /** Tells that the peer has not confirmed as read. */
  get unacknowledged(): number {
    return this.#send.queuedTells + this.#acknowledgement.unread;
  }

  /** Waiting messages, and their bytes. */
  get queued(): number {
    return this.#send.queued;
  }

  get queuedBytes(): number {
    return this.#send.queuedBytes;
  }

  /**
   * Bytes that the peer makes this side hold: messages that are not processed, and answers that are not in the kernel;
   * and the part of them that waits for the peer to send the rest, or to read.
   */
  get held(): { readonly bytes: number; readonly stalling: number } {
    const [receive, answers] = [this.#receive, this.#send.heldAnswerBytes];
    return { bytes: receive.heldBytes + answers, stalling: receive.unfinishedBytes + answers };
  }

  /** Transmitted bytes that are not in the kernel. */
  get inFlight(): number {
    return this.#send.inFlight;
  }

  /** When the last message was sent or received. */
  get saidMs(): Millis {
    return this.#liveness.saidMs;
  }

  /** Whether nothing is in progress in either direction. */
  get isQuiet(): boolean {
    return (
      this.#send.queued + this.#send.inFlight + this.#asks.size + this.#receive.unfinished === 0 &&
      this.#receive.tells.held === 0
    );
  }

  /**
   * Sends a tell.
   *
   * @returns `undefined` when all of it is written; else a ticket that the event `taken` or `tell_failed` will name.
   * Until then `payload` must not change.
   */
  tell(now: Millis, payload: Uint8Array, priority: Priority = DEFAULT_PRIORITY): TcpTicket | undefined {
    this.#liveness.said(now);
    if (this.#send.tellNow(payload)) {
      this.#acknowledgement.wrote();
      return undefined;
    }
    return this.#send.add({ type: 'tell' }, payload, priority);
  }

  /** Cancels a tell that is not completely written. */
  giveUpTell(ticket: TcpTicket): void {
    this.#send.giveUp(ticket);
  }

  /** Sends a request; returns its id. `payload` must not change until the ask has ended. */
  ask(now: Millis, payload: Uint8Array, maxResponseBytes: number, priority: Priority = DEFAULT_PRIORITY): number {
    this.#liveness.said(now);
    return this.#asks.ask(maxResponseBytes, (id) =>
      this.#send.add({ type: 'request', id, maxResponseBytes }, payload, priority),
    );
  }

  /** Cancels an ask. Has no effect after it has ended. */
  cancelAsk(id: number): void {
    const request = this.#asks.settle(id);
    if (request === undefined) return;
    if (!this.#send.giveUp(request)) this.#send.writer.cancel(id);
    this.#receive.unwant(id);
  }

  /**
   * Answers a request; false when the answer is larger than the asker accepts. `payload` then belongs to the session.
   */
  answer(now: Millis, id: number, payload: Uint8Array, priority: Priority = DEFAULT_PRIORITY): boolean {
    const served = this.#asks.served(id);
    if (served === undefined) return true;
    if (payload.length > served.head.maxResponseBytes) {
      this.refuse(now, id, REFUSAL_TOO_LARGE, EMPTY_BYTES, priority);
      return false;
    }
    this.#liveness.said(now);
    if (this.#send.answerNow(id, payload)) this.#forgetServed(id, served);
    else served.answer = this.#send.add({ type: 'answer', id }, payload, priority);
    return true;
  }

  /**
   * Refuses a request: code 255 without details, other codes as given by the handler. A payload of more than 32 768
   * bytes is omitted.
   */
  refuse(
    now: Millis,
    id: number,
    code: number = REFUSAL_PLAIN,
    bytes: Uint8Array = EMPTY_BYTES,
    priority: Priority = DEFAULT_PRIORITY,
  ): void {
    const served = this.#asks.served(id);
    if (served === undefined) return;
    this.#liveness.said(now);
    const carried = bytes.length > MAX_REFUSAL_BYTES ? EMPTY_BYTES : bytes;
    served.answer = this.#send.add({ type: 'refusal', id, code }, carried, priority);
  }

  /** The handler of a tell of this many bytes is done. */
  release(sizeBytes: number): void {
    this.#receive.release({ type: 'tell' }, sizeBytes);
  }

  /** Asks the peer how far it has read; the event `acknowledged` reports it. */
  requestAcknowledgement(): void {
    if (this.unacknowledged > 0) this.#acknowledgement.want();
  }

  /** Begins nothing more, and ends when nothing is in progress; emits the event `retiring`. */
  retire(now: Millis, code: number, reason = ''): void {
    if (this.#state === 'hello') this.close(code, reason);
    else this.#retire(now, { by: 'local', code, reason });
  }

  /** Ends at once, and sends the peer the reason. */
  close(code: number, reason = ''): void {
    this.#end({ by: 'local', code, reason }, true);
  }

  /** @returns whether all of it was read; if not, poll, and call {@link TcpSession.readOn} before passing in more. */
  handleBytes(now: Millis, chunk: Bytes): ReadState {
    if (this.#state === 'closed') return 'done';
    this.#liveness.heard(now);
    this.#reader.push(chunk);
    return this.readOn(now);
  }

  /** Continues to read the input: asynchronously, or when there may be memory. */
  readOn(now: Millis): ReadState {
    return (this.#readState = this.#readFrames(now));
  }

  #readFrames(now: Millis): ReadState {
    const { mayHold } = this.#options;
    for (let frames = 0; this.#closed === undefined; frames++) {
      if (this.#state !== 'hello' && mayHold?.(this.#receive.heldBytes + this.#send.heldAnswerBytes) === false)
        return 'held';
      if (frames === MAX_FRAMES_PER_TURN) return 'more';
      const frame = this.#reader.next();
      if (frame === undefined) return 'done';
      const fault = frame === 'malformed' ? frame : this.#handleFrame(now, frame);
      if (fault !== undefined) this.#end({ by: 'fault', code: BYE.FAULT, reason: fault, fault }, true);
    }
    return 'done';
  }

  /** This many transmitted bytes are in the kernel. */
  handleFlushed(bytes: number): void {
    this.#liveness.flushed();
    this.#send.flushed(bytes);
  }

  /** The peer sent its last byte, or the pipe has closed. */
  handleEnd(reason = 'the connection ended'): void {
    this.#end({ by: this.#heardBye ? 'peer' : 'lost', code: this.#bye.code, reason }, false);
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'hello') this.#end({ by: 'timeout', code: BYE.UNRESPONSIVE, reason: 'no hello' }, true);
      // Asks on a replaced connection run to their end; the watch timer detects an unreachable peer.
      else if (timer === 'bye' && this.#asks.size > 0) {
        this.#outbox.arm('bye', now + BYE_TIMEOUT_MS);
      } else if (timer === 'bye') this.#end({ ...this.#bye, by: 'timeout' }, true);
      else this.#watch(now);
    }
  }

  poll(): Output<readonly Bytes[], TcpEvent> {
    if (this.#closed === undefined) this.#goOn();
    const told = this.#outbox.poll();
    if (told.type !== 'wait') return told;
    if (this.#isPartDue()) return { type: 'transmit', transmit: this.#send.take() };
    if (this.#handOutRequest()) return this.#outbox.poll();
    this.#handedOut = 0;
    if (this.#send.writer.length > 0) return { type: 'transmit', transmit: this.#send.take() };
    const closed = this.#closed;
    if (closed === undefined || this.#state === 'closed') return told;
    this.#state = 'closed';
    return { type: 'event', event: { type: 'closed', closed } };
  }

  /** Writes what can be written now. */
  #goOn(): void {
    const send = this.#send;
    for (let message = send.step(); message !== undefined; message = send.step()) this.#written(message);
    const { tells, requests } = this.#receive;
    // Only as fast as the peer reads, or the responses it causes would be unbounded.
    if (send.hasRoom && (tells.due || requests.due)) send.writer.credit(tells.takeReleased(), requests.takeReleased());
    if (send.hasRoom && this.#pong !== undefined) {
      send.writer.ping('pong', this.#pong);
      this.#pong = undefined;
    }
    if (send.queuedTells === 0 && this.#acknowledgement.due)
      this.#send.writer.ping('ping', this.#acknowledgement.ask());
    if (this.#state === 'retiring') this.#sayBye();
  }

  #written(message: Outgoing): void {
    const { head, payload, offset } = message;
    if (offset < payload.length) return;
    if (head.type === 'tell') {
      this.#acknowledgement.wrote();
      this.#outbox.event({ type: 'taken', ticket: message });
    } else if (head.type !== 'request') {
      const served = this.#asks.served(head.id);
      if (served?.answer === message) this.#forgetServed(head.id, served);
    }
  }

  #sayBye(): void {
    if (!this.#saidBye && this.#send.unsaid === 0) {
      this.#saidBye = true;
      this.#send.writer.bye(this.#bye.code, this.#bye.reason);
    }
    const left = this.#asks.size + this.#send.queued + this.#receive.unfinished;
    if (this.#saidBye && this.#heardBye && left === 0) this.#finish(this.#bye, []);
  }

  #handleFrame(now: Millis, frame: TcpFrame): TcpFault | undefined {
    if (frame.type === 'hello') return this.#handleHello(now, frame);
    if (this.#state === 'hello') return 'unexpected';
    const receive = this.#receive;
    switch (frame.type) {
      case 'message':
        return this.#received(receive.handleMessage(frame.head, frame.payload), now);
      case 'begin':
        return receive.handleBegin(frame.stream, frame.size, frame.head);
      case 'chunk':
        return this.#received(receive.handleChunk(frame.stream, frame.bytes), now);
      case 'abort': {
        const given = receive.handleAbort(frame.stream);
        return typeof given === 'string' ? given : undefined;
      }
      case 'credit': {
        const { tellCredit, requestCredit } = this.#send;
        const right = tellCredit.give(frame.tellBytes) && requestCredit.give(frame.requestBytes);
        return right ? undefined : 'over_credit';
      }
      case 'pong':
        return this.#handlePong(frame.bytes);
      case 'cancel':
        this.#handleCancel(frame.id);
        break;
      case 'ping':
        this.#pong = frame.bytes;
        break;
      case 'bye':
        this.#handleBye(now, frame.code, frame.reason);
        break;
    }
    return undefined;
  }

  #handleHello(now: Millis, frame: TcpFrame & { readonly type: 'hello' }): TcpFault | undefined {
    if (this.#state !== 'hello') return 'unexpected';
    const { version, maxMessageBytes, tellWindow, requestWindow, port } = frame;
    if (version < TCP_VERSION || Math.min(tellWindow, requestWindow) < MIN_WINDOW_BYTES) return 'malformed';
    this.#state = 'open';
    this.#send.tellCredit.open(tellWindow);
    this.#send.requestCredit.open(requestWindow);
    this.#outbox.disarm('hello');
    this.#outbox.event({ type: 'open', port, maxMessageBytes });
    this.#liveness.said(now);
    this.#armWatch(now);
    return undefined;
  }

  #received(received: ReturnType<ReceiveSide['handleMessage']>, now: Millis): TcpFault | undefined {
    if (typeof received === 'string' || received === undefined) return received;
    this.#liveness.said(now);
    const { head, payload } = received;
    if (head.type === 'tell') this.#outbox.event({ type: 'tell', payload });
    else if (head.type === 'request') {
      if (!this.#asks.receive(head, payload)) return 'unexpected';
    } else {
      this.#asks.settle(head.id);
      this.#outbox.event(head.type === 'answer' ? { type: 'answer', id: head.id, payload } : { ...head, payload });
    }
    return undefined;
  }

  /** Whether the answers to some of many requests leave before the others are handled: the asker then works at the same time. */
  #isPartDue(): boolean {
    if (this.#handedOut < PART_REQUESTS) return false;
    this.#handedOut = 0;
    return this.#asks.waiting > 0 && this.#send.writer.length > 0 && this.#send.inFlight === 0;
  }

  /** Delivers one request, unless too many answers to earlier ones are unsent. */
  #handOutRequest(): boolean {
    const { windowBytes, maxMessageBytes } = this.#options;
    if (this.#send.unsentAnswerBytes > windowBytes + maxMessageBytes) return false;
    const request = this.#asks.nextRequest();
    if (request === undefined) return false;
    this.#handedOut++;
    this.#outbox.event(request);
    return request !== undefined;
  }

  #handleCancel(id: number): void {
    const served = this.#asks.served(id);
    if (served === undefined) return;
    if (served.answer !== undefined) this.#send.giveUp(served.answer);
    this.#forgetServed(id, served);
    this.#outbox.event({ type: 'cancelled', id });
  }

  #forgetServed(id: number, served: Served): void {
    this.#asks.forget(id);
    this.#receive.release(served.head, served.size);
  }

  #handlePong(token: Bytes): TcpFault | undefined {
    if (!this.#acknowledgement.handlePong(token)) return 'unexpected';
    this.#outbox.event({ type: 'acknowledged' });
    return undefined;
  }

  #handleBye(now: Millis, code: number, reason: string): void {
    this.#heardBye = true;
    if (code !== BYE.IDLE && code !== BYE.REPLACED) {
      this.#end({ by: 'peer', code, reason }, false);
      return;
    }
    if (this.#state === 'open') this.#retire(now, { by: 'peer', code, reason });
  }

  #armWatch(now: Millis): void {
    this.#outbox.arm('watch', this.#liveness.nextLookMs(now));
  }

  #watch(now: Millis): void {
    if (this.#closed !== undefined || this.#state === 'hello') return;
    const isHeld = this.#readState === 'held';
    // The peer must not assume that this side is dead while reading is paused.
    if (isHeld && this.#send.hasRoom) this.#send.writer.credit(0, 0);
    const { isQuiet } = this;
    if (isQuiet) this.#send.writer.release();
    const health = this.#liveness.look(now, { isQuiet, isSending: this.#send.inFlight > 0, isHeld });
    if (health.type === 'dead') {
      this.#end({ by: 'timeout', code: BYE.UNRESPONSIVE, reason: health.why }, true);
      return;
    }
    if (health.type === 'silent') this.#send.writer.ping('ping', this.#acknowledgement.ask());
    if (health.type === 'idle' && this.#state === 'open') {
      this.#retire(now, { by: 'local', code: BYE.IDLE, reason: 'idle' });
    }
    this.#armWatch(now);
  }

  /** Fails everything in progress; `say`: sends a bye. */
  #end(closed: TcpClosed, say: boolean): void {
    if (this.#closed !== undefined) return;
    if (say && !this.#saidBye) this.#send.writer.bye(closed.code, closed.reason);
    this.#finish(closed, this.#send.clear());
  }

  /** @param left - messages that were not completely written. */
  #finish(closed: TcpClosed, left: readonly Outgoing[]): void {
    this.#closed = closed;
    for (const timer of ['hello', 'watch', 'bye'] as const) this.#outbox.disarm(timer);
    this.#receive.clear();
    const unsent = new Set(left);
    for (const ticket of left) {
      if (ticket.head.type === 'tell') this.#outbox.event({ type: 'tell_failed', ticket, sent: sentOf(ticket) });
    }
    const { asked, served } = this.#asks.clear();
    for (const [id, request] of asked) {
      this.#outbox.event({ type: 'ask_failed', id, sent: unsent.has(request) ? sentOf(request) : 'maybe' });
    }
    for (const id of served) this.#outbox.event({ type: 'cancelled', id });
  }

  #retire(now: Millis, bye: TcpClosed): void {
    if (this.#state !== 'open') return;
    this.#state = 'retiring';
    this.#bye = bye;
    this.#outbox.arm('bye', now + BYE_TIMEOUT_MS);
    this.#outbox.event({ type: 'retiring', code: bye.code, reason: bye.reason });
  }
}
