/**
 * The messages of a connection with a peer that has no frames, as a session: what {@link OrderedRequests} does not know of, the life of
 * the connection. Source: docs/wire/ssh.md §5.
 */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import type { Priority } from '../../core/priority.ts';
import { BYE } from '../tcp/constants.ts';
import type { TcpClosed, TcpEvent, TcpTicket } from '../tcp/events.ts';
import { Liveness } from '../tcp/liveness.ts';
import type { TcpSessionOptions } from '../tcp/session-options.ts';
import { MAX_REQUEST_BYTES } from './constants.ts';
import type { SshFault } from './faults.ts';
import { maxRequestBytes, OrderedRequests } from './ordered-requests.ts';

/** The bytes that may be written but not in the kernel, so that later messages can overtake others; and the least, one message. */
const HIGH_WATER_BYTES = 1_048_576;
const LOW_WATER_BYTES = 65_536;

/** What the session needs of the connection. */
export interface GlobalRequestsOptions extends TcpSessionOptions {
  /** The largest payload of a packet. */
  readonly maxPayloadBytes: number;
  /** Whether payloads may be sent now. */
  readonly canSend: () => boolean;
  /** Sends a payload; keeps none of the pieces. */
  readonly write: (payload: readonly Uint8Array[]) => void;
  /** Written bytes that are not in the kernel. */
  readonly unsentBytes: () => number;
  /** Has the peer answer something that no program sees. */
  readonly probe: (now: Millis) => void;
}

export class GlobalRequests {
  /** Whether the input is not read for the time being. */
  isPaused = false;
  readonly #options: GlobalRequestsOptions;
  readonly #requests: OrderedRequests;
  readonly #outbox = new Outbox<never, TcpEvent, 'watch'>();
  readonly #liveness: Liveness;
  #state: 'open' | 'retiring' | 'closing' | 'closed' = 'open';
  #closed: TcpClosed | undefined;
  #unflushedTells = 0;
  #now: Millis;

  constructor(options: GlobalRequestsOptions, now: Millis) {
    const { write, unsentBytes, maxPayloadBytes, idleTimeoutMs, windowBytes } = options;
    this.#options = options;
    this.#now = now;
    this.#liveness = new Liveness(idleTimeoutMs, now);
    const maxMessageBytes = Math.min(options.maxMessageBytes, MAX_REQUEST_BYTES, maxRequestBytes(maxPayloadBytes));
    this.#requests = new OrderedRequests({
      maxMessageBytes,
      windowBytes,
      mayWrite: () => {
        if (this.#closed !== undefined || !options.canSend()) return false;
        const unsent = unsentBytes();
        return unsent < LOW_WATER_BYTES || unsent < Math.min(options.highWaterBytes?.() ?? Infinity, HIGH_WATER_BYTES);
      },
      write,
    });
    // Its address stays that of the connection: nothing says where the peer listens.
    this.#outbox.event({ type: 'open', port: 0, maxMessageBytes });
    this.#watchAgain(now);
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get end(): TcpClosed | undefined {
    return this.#closed;
  }

  get unacknowledged(): number {
    return this.#requests.queuedTells + this.#unflushedTells;
  }

  get queued(): number {
    return this.#requests.queued;
  }

  get queuedBytes(): number {
    return this.#requests.queuedBytes;
  }

  get held(): { readonly bytes: number; readonly stalling: number } {
    return { bytes: this.#requests.heldBytes, stalling: this.#requests.answerBytes };
  }

  get saidMs(): Millis {
    return this.#liveness.saidMs;
  }

  get isQuiet(): boolean {
    return this.#requests.isQuiet && this.#options.unsentBytes() === 0;
  }

  get isFull(): boolean {
    return this.#requests.isFull;
  }

  /** Whether there is memory for more of this peer. */
  get mayHold(): boolean {
    return this.#options.mayHold?.(this.#requests.heldBytes) !== false;
  }

  tell(now: Millis, payload: Uint8Array, priority?: Priority): TcpTicket | undefined {
    this.#said(now);
    this.#unflushedTells++;
    const ticket = this.#requests.tell(payload, priority);
    if (ticket !== undefined) this.#unflushedTells--;
    return ticket;
  }

  giveUpTell(ticket: TcpTicket): void {
    this.#requests.giveUpTell(ticket);
  }

  ask(now: Millis, payload: Uint8Array, maxResponseBytes: number, priority?: Priority): number {
    this.#said(now);
    return this.#requests.ask(payload, maxResponseBytes, priority);
  }

  cancelAsk(id: number): void {
    this.#requests.cancelAsk(id);
  }

  answer(now: Millis, id: number, payload: Uint8Array): boolean {
    this.#said(now);
    return this.#requests.answer(now, id, payload);
  }

  /** The wire has no details of a refusal. */
  refuse(now: Millis, id: number, _code?: number, _bytes?: Uint8Array): void {
    this.#said(now);
    this.#requests.refuse(now, id);
  }

  release(sizeBytes: number): void {
    this.#requests.release(sizeBytes);
  }

  /** Nothing on the wire says what the peer has read: a tell counts as read once the kernel has it. */
  requestAcknowledgement(): void {}

  /** The peer cannot be told; the connection stays until it is idle, or the peer ends it. */
  retire(_now: Millis, code: number, reason = ''): void {
    if (this.#state !== 'open') return;
    this.#state = 'retiring';
    this.#outbox.event({ type: 'retiring', code, reason });
  }

  close(code: number, reason: string): void {
    this.#end({ by: 'local', code, reason });
  }

  /** Bytes have arrived. */
  heard(now: Millis): void {
    this.#liveness.heard(now);
  }

  /** Handles a payload. @returns the fault, if it is one */
  handle(payload: Bytes, now: Millis): SshFault | undefined {
    this.#said(now);
    return this.#requests.handle(payload, now);
  }

  /** Everything that was written is in the kernel. */
  handleFlushed(): void {
    this.#liveness.flushed();
    if (this.#unflushedTells === 0) return;
    this.#unflushedTells = 0;
    this.#outbox.event({ type: 'acknowledged' });
  }

  handleEnd(reason = 'the connection ended'): void {
    this.#end({ by: 'lost', code: BYE.CLOSED, reason });
  }

  handleTimeout(now: Millis): void {
    this.#now = now;
    this.#requests.handleTimeout(now);
    if (this.#outbox.takeDue(now).length > 0) this.#watch(now);
  }

  poll(): Output<never, TcpEvent> {
    const own = this.#outbox.poll();
    if (own.type !== 'wait') return own;
    const output = this.#requests.poll(this.#now);
    if (output.type === 'event') {
      if (output.event.type === 'taken') this.#unflushedTells++;
      return output;
    }
    if (this.#state === 'closing') {
      this.#state = 'closed';
      return { type: 'event', event: { type: 'closed', closed: this.#closed! } };
    }
    if (own.until === undefined || output.type !== 'wait' || output.until === undefined) return own;
    return own.until <= output.until ? own : output;
  }

  #said(now: Millis): void {
    this.#now = now;
    this.#liveness.said(now);
  }

  #watch(now: Millis): void {
    if (this.#closed !== undefined) return;
    const { isQuiet, isPaused } = this;
    const isSending = this.#options.unsentBytes() > 0;
    const health = this.#liveness.look(now, { isQuiet, isSending, isHeld: isPaused });
    if (health.type === 'dead') this.#end({ by: 'timeout', code: BYE.UNRESPONSIVE, reason: health.why });
    else if (health.type === 'idle') this.#end({ by: 'local', code: BYE.IDLE, reason: 'idle' });
    else {
      if (health.type === 'silent') this.#options.probe(now);
      this.#watchAgain(now);
    }
  }

  #watchAgain(now: Millis): void {
    this.#outbox.arm('watch', this.#liveness.nextLookMs(now));
  }

  #end(closed: TcpClosed): void {
    if (this.#closed !== undefined) return;
    this.#closed = closed;
    this.#state = 'closing';
    this.#outbox.disarm('watch');
    this.#requests.clear();
  }
}
