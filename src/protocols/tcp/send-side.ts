/**
 * The sending side of a connection: sends messages in rotation, as far as credit and the pipe allow, and control frames
 * between them.
 */

import type { Bytes } from '../../base/bytes.ts';
import type { Priority } from '../../core/priority.ts';
import { CHUNK_BYTES } from './constants.ts';
import { costOf, SendCredit } from './credit.ts';
import { FrameWriter } from './frame-writer.ts';
import type { MessageHead } from './frames.ts';
import { SendScheduler, type Outgoing } from './send-scheduler.ts';

/** The bytes that may be written but not in the kernel: later messages can still overtake those not written. */
const HIGH_WATER_BYTES = 1_048_576;
/** The minimum room in the pipe, however little memory there is: one chunk. */
const LOW_WATER_BYTES = CHUNK_BYTES;
/**
 * Messages in parts that are sent in rotation; the others wait, so that the peer need not hold the beginnings of all.
 */
const MAX_BEGUN = 64;

export class SendSide {
  readonly writer: FrameWriter = new FrameWriter();
  readonly tellCredit: SendCredit = new SendCredit();
  readonly requestCredit: SendCredit = new SendCredit();
  readonly #scheduler = new SendScheduler();
  #inFlight = 0;
  #nextStream = 1;
  #begun = 0;
  #unsentAnswerBytes = 0;
  /** Of the written bytes that are not in the kernel, those of answers. */
  #answersWritten = 0;
  readonly #highWater: () => number;

  /** @param highWater - the bytes that may be written but not in the kernel; less when memory is low. */
  constructor(highWater: () => number = () => HIGH_WATER_BYTES) {
    this.#highWater = highWater;
  }

  /** Transmitted bytes that are not in the kernel. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Messages that are not completely sent, and their bytes. */
  get queued(): number {
    return this.#scheduler.size;
  }

  get queuedBytes(): number {
    return this.#scheduler.bytes;
  }

  get queuedTells(): number {
    return this.#scheduler.tells;
  }

  /** The tells and requests of them. */
  get unsaid(): number {
    return this.#scheduler.unsaid;
  }

  get unsentAnswerBytes(): number {
    return this.#unsentAnswerBytes;
  }

  /** Bytes of answers that are not in the kernel. */
  get heldAnswerBytes(): number {
    return this.#unsentAnswerBytes + Math.min(this.#answersWritten, this.#inFlight + this.writer.length);
  }

  /** Whether the pipe accepts more now. */
  get hasRoom(): boolean {
    const ahead = this.#inFlight + this.writer.length;
    return ahead < LOW_WATER_BYTES || ahead < Math.min(this.#highWater(), HIGH_WATER_BYTES);
  }

  /** Writes a tell at once, if nothing else waits. */
  tellNow(payload: Uint8Array): boolean {
    const { length } = payload;
    if (this.#scheduler.size > 0 || length > CHUNK_BYTES || !this.hasRoom) return false;
    const cost = costOf(length);
    if (!this.tellCredit.allows(cost)) return false;
    this.tellCredit.charge(cost);
    this.writer.tell(payload);
    return true;
  }

  /** Writes an answer at once, if nothing else waits. */
  answerNow(id: number, payload: Uint8Array): boolean {
    if (this.#scheduler.size > 0 || payload.length > CHUNK_BYTES || !this.hasRoom) return false;
    this.writer.message({ type: 'answer', id }, payload);
    this.#answersWritten += payload.length;
    return true;
  }

  add(head: MessageHead, payload: Uint8Array, priority: Priority): Outgoing {
    const message: Outgoing = { head, payload, priority, offset: 0, stream: undefined };
    this.#scheduler.add(message);
    if (isAnswer(message)) this.#unsentAnswerBytes += payload.length;
    return message;
  }

  /** Cancels a message; one that has begun is aborted at the peer. False when it is completely sent. */
  giveUp(message: Outgoing): boolean {
    if (!this.#scheduler.remove(message)) return false;
    this.#forget(message);
    if (message.stream !== undefined) this.writer.abort(message.stream);
    return true;
  }

  /** Writes one frame of the next message; returns the message, or `undefined` when none can continue. */
  step(): Outgoing | undefined {
    if (this.#scheduler.size === 0 || !this.hasRoom) return undefined;
    const message = this.#scheduler.next((candidate) => this.#mayGoOn(candidate));
    if (message === undefined) return undefined;
    const { head, payload } = message;
    if (message.stream === undefined) {
      this.#creditOf(message)?.charge(costOf(payload.length));
      if (payload.length <= CHUNK_BYTES) {
        this.writer.message(head, payload);
        message.offset = payload.length;
        this.#done(message);
        return message;
      }
      message.stream = this.#nextStream++;
      this.#begun++;
      this.#scheduler.begun(message);
      this.writer.begin(message.stream, payload.length, head);
    }
    const end = Math.min(message.offset + CHUNK_BYTES, payload.length);
    this.writer.chunk(message.stream, payload.subarray(message.offset, end));
    message.offset = end;
    if (end === payload.length) this.#done(message);
    return message;
  }

  /** Takes the bytes to send now. */
  take(): readonly Bytes[] {
    this.#inFlight += this.writer.length;
    return this.writer.take();
  }

  /** Bytes are in the kernel. */
  flushed(bytes: number): void {
    this.#inFlight -= bytes;
    this.#answersWritten = Math.min(this.#answersWritten, this.#inFlight + this.writer.length);
    if (this.#inFlight === 0) this.writer.rest();
  }

  /** Cancels all messages without notifying the peer. */
  clear(): readonly Outgoing[] {
    this.#begun = this.#unsentAnswerBytes = this.#answersWritten = 0;
    return this.#scheduler.clear();
  }

  #mayGoOn(message: Outgoing): boolean {
    if (message.stream !== undefined) return true;
    const size = message.payload.length;
    if (size > CHUNK_BYTES && this.#begun >= MAX_BEGUN) return false;
    return this.#creditOf(message)?.allows(costOf(size)) ?? true;
  }

  /** Answers use no credit. */
  #creditOf({ head }: Outgoing): SendCredit | undefined {
    if (head.type === 'tell') return this.tellCredit;
    return head.type === 'request' ? this.requestCredit : undefined;
  }

  #done(message: Outgoing): void {
    this.#scheduler.remove(message);
    if (isAnswer(message)) this.#answersWritten += message.payload.length;
    this.#forget(message);
  }

  #forget(message: Outgoing): void {
    if (message.stream !== undefined) this.#begun--;
    if (isAnswer(message)) this.#unsentAnswerBytes -= message.payload.length;
  }
}

/** Whether the peer has caused the message. */
function isAnswer({ head }: Outgoing): boolean {
  return head.type === 'answer' || head.type === 'refusal';
}
