/**
 * One authenticated connection of the SSH swarm, without I/O: messages over the packets of {@link SshTransport}. A peer of this project
 * gets the frames of the TCP swarm in packets of a type of their own; any other one gets global requests. Source: docs/wire/ssh.md §5, §6.
 */

import { type Bytes, viewFrom } from '../../base/bytes.ts';
import { Fifo } from '../../base/fifo.ts';
import type { Millis, Output } from '../../base/machine.ts';
import type { Priority } from '../../core/priority.ts';
import { BYE } from '../tcp/constants.ts';
import type { TcpClosed, TcpEvent, TcpTicket } from '../tcp/events.ts';
import type { MessageSession } from '../tcp/message-session.ts';
import type { ReadState, TcpSessionOptions } from '../tcp/session-options.ts';
import { TcpSession } from '../tcp/session.ts';
import { DISCONNECT, GUARANTEED_PAYLOAD_BYTES, MSG } from './constants.ts';
import type { SshClosed } from './faults.ts';
import { GlobalRequests } from './global-requests.ts';
import type { SshTransport } from './transport.ts';
import { byte, SshReader, string, uint32 } from './wire.ts';

/**
 * What is handled without yielding: a packet counts 1, and its payload 1 for every 32 bytes, which may be frames of two bytes each. A few ms in
 * the worst case.
 */
const WORK_PER_TURN = 256;
const BYTES_PER_WORK = 32;
/** Bytes of refusals that have not left, beyond which nothing is read: they grow with what the peer sends. */
const MAX_REPLY_BYTES = 65_536;

const FRAMES = byte(MSG.FRAMES);
/** The frames in one packet: any implementation of SSH takes so many. */
const FRAMES_BYTES = GUARANTEED_PAYLOAD_BYTES - 1;

/** What one transmit carries. */
interface Flight {
  readonly frameBytes: number;
  readonly replyBytes: number;
}

/** The machine of one connection. */
export class SshSession implements MessageSession {
  readonly #transport: SshTransport;
  readonly #messages: TcpSession | GlobalRequests;
  readonly #frames: TcpSession | undefined;
  readonly #requests: GlobalRequests | undefined;
  /** What was passed to the driver and is not in the kernel: the frames and refusals in it. Bounded by the transmits under way. */
  readonly #flying = new Fifo<Flight>();
  #flyingBytes = 0;
  /** Of what the next transmit has, and of all that has not left. */
  #frameBytes = 0;
  #replyBytes = 0;
  #unsentReplyBytes = 0;
  /** Refusals that wait while keys are exchanged. Bounded by {@link MAX_REPLY_BYTES}, and the packets of one turn. */
  readonly #replies: (readonly Bytes[])[] = [];
  /** Frames that wait while keys are exchanged. Bounded by what the TCP session sends without being told that it has left: 1 MiB. */
  #waiting: Bytes[] = [];
  #readState: ReadState = 'done';
  #now: Millis;
  #closed: TcpClosed | undefined;
  /** An event that follows what is transmitted. */
  #next: TcpEvent | undefined;

  /** @param transport - open: both sides are authenticated. */
  constructor(transport: SshTransport, options: TcpSessionOptions, now: Millis) {
    this.#transport = transport;
    this.#now = now;
    if (transport.hasFrames) this.#messages = this.#frames = new TcpSession(options, now);
    else {
      this.#messages = this.#requests = new GlobalRequests(
        {
          ...options,
          maxPayloadBytes: transport.maxPayloadBytes,
          canSend: () => transport.canSend,
          write: (payload) => transport.send(payload, this.#now),
          unsentBytes: () => this.#flyingBytes + transport.unsentBytes,
          probe: (nowMs) => transport.rekey(nowMs),
        },
        now,
      );
    }
  }

  get isOpen(): boolean {
    return this.#closed === undefined && this.#messages.isOpen;
  }

  get end(): TcpClosed | undefined {
    return this.#closed ?? this.#messages.end;
  }

  get unacknowledged(): number {
    return this.#messages.unacknowledged;
  }

  get queued(): number {
    return this.#messages.queued;
  }

  get queuedBytes(): number {
    return this.#messages.queuedBytes;
  }

  get held(): { readonly bytes: number; readonly stalling: number } {
    const { bytes, stalling } = this.#messages.held;
    const pending = this.#transport.pendingBytes;
    return { bytes: bytes + pending, stalling: stalling + pending };
  }

  get inFlight(): number {
    return this.#flyingBytes;
  }

  get saidMs(): Millis {
    return this.#messages.saidMs;
  }

  get isQuiet(): boolean {
    return this.#messages.isQuiet;
  }

  tell(now: Millis, payload: Uint8Array, priority?: Priority): TcpTicket | undefined {
    this.#now = now;
    return this.#messages.tell(now, payload, priority);
  }

  giveUpTell(ticket: TcpTicket): void {
    this.#messages.giveUpTell(ticket);
  }

  ask(now: Millis, payload: Uint8Array, maxResponseBytes: number, priority?: Priority): number {
    this.#now = now;
    return this.#messages.ask(now, payload, maxResponseBytes, priority);
  }

  cancelAsk(id: number): void {
    this.#messages.cancelAsk(id);
  }

  answer(now: Millis, id: number, payload: Uint8Array): boolean {
    this.#now = now;
    return this.#messages.answer(now, id, payload);
  }

  refuse(now: Millis, id: number, code?: number, bytes?: Uint8Array): void {
    this.#now = now;
    this.#messages.refuse(now, id, code, bytes);
  }

  release(sizeBytes: number): void {
    this.#messages.release(sizeBytes);
  }

  requestAcknowledgement(): void {
    this.#messages.requestAcknowledgement();
  }

  retire(now: Millis, code: number): void {
    this.#now = now;
    this.#messages.retire(now, code);
  }

  close(code: number, reason: string): void {
    this.#messages.close(code, reason);
  }

  handleBytes(now: Millis, chunk: Bytes): ReadState {
    if (this.#closed !== undefined) return 'done';
    this.#requests?.heard(now);
    this.#transport.push(chunk, now);
    return this.readOn(now);
  }

  readOn(now: Millis): ReadState {
    this.#now = now;
    this.#readState = this.#read(now);
    const isPaused = this.#readState === 'held' || this.#readState === 'full';
    this.#transport.isPaused = isPaused;
    if (this.#requests !== undefined) this.#requests.isPaused = isPaused;
    return this.#readState;
  }

  handleFlushed(bytes: number): void {
    this.#flyingBytes -= bytes;
    const { frameBytes, replyBytes } = this.#flying.shift()!;
    this.#unsentReplyBytes -= replyBytes;
    if (frameBytes > 0) this.#frames?.handleFlushed(frameBytes);
    if (this.#flyingBytes === 0) this.#requests?.handleFlushed();
  }

  handleEnd(reason?: string): void {
    this.#messages.handleEnd(reason);
  }

  handleTimeout(now: Millis): void {
    this.#now = now;
    this.#messages.handleTimeout(now);
    this.#transport.handleTimeout(now);
  }

  poll(): Output<readonly Bytes[], TcpEvent> {
    const told = this.#pollMessages();
    const before = this.#closed;
    const below = this.#pollTransport();
    if (below.type === 'transmit') {
      // Bytes come before the event, which may be the last one.
      if (told.type === 'event') this.#next = told.event;
      return below;
    }
    if (told.type === 'event') return told;
    // The connection has ended meanwhile: what was in progress fails.
    if (this.#closed !== before) return this.poll();
    return { type: 'wait', until: earliest(told.until, below.until) };
  }

  /** The next event of the messages; what they send has been passed to the transport. */
  #pollMessages():
    | { readonly type: 'event'; readonly event: TcpEvent }
    | { readonly type: 'wait'; readonly until: Millis | undefined } {
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined) return { type: 'event', event: next };
    for (;;) {
      const output = this.#messages.poll();
      if (output.type === 'wait') {
        this.#sendReplies();
        this.#sendFrames();
        return output;
      }
      if (output.type === 'transmit') this.#waiting.push(...output.transmit);
      else if (output.event.type !== 'closed') return output;
      else {
        this.#sendFrames();
        return this.#handleClosed(output.event.closed);
      }
    }
  }

  #pollTransport():
    | { readonly type: 'transmit'; readonly transmit: readonly Bytes[] }
    | { readonly type: 'wait'; readonly until: Millis | undefined } {
    for (;;) {
      const output = this.#transport.poll();
      if (output.type === 'transmit') {
        for (const { length } of output.transmit) this.#flyingBytes += length;
        this.#flying.push({ frameBytes: this.#frameBytes, replyBytes: this.#replyBytes });
        this.#frameBytes = this.#replyBytes = 0;
        return output;
      }
      if (output.type === 'wait') return output;
      if (output.event.type === 'closed') this.#lost(output.event.closed);
    }
  }

  /** Packs the frames of this turn into packets. */
  #sendFrames(): void {
    if (this.#waiting.length === 0 || !this.#transport.canSend) return;
    let pieces: Uint8Array[] = [FRAMES];
    let room = FRAMES_BYTES;
    for (const piece of this.#waiting) {
      if (piece.length < room) {
        pieces.push(piece);
        room -= piece.length;
        this.#frameBytes += piece.length;
        continue;
      }
      for (let at = 0; at < piece.length;) {
        const part = piece.subarray(at, at + room);
        pieces.push(part);
        at += part.length;
        room -= part.length;
        if (room > 0) continue;
        this.#transport.send(pieces, this.#now);
        [pieces, room] = [[FRAMES], FRAMES_BYTES];
      }
      this.#frameBytes += piece.length;
    }
    if (pieces.length > 1) this.#transport.send(pieces, this.#now);
    this.#waiting = [];
  }

  #read(now: Millis): ReadState {
    const requests = this.#requests;
    if (this.#readState !== 'done' && this.#frames !== undefined) {
      const state = this.#frames.readOn(now);
      if (state !== 'done') return state;
    }
    for (let work = 0; this.#closed === undefined; work++) {
      if (work >= WORK_PER_TURN) return 'more';
      if (this.#unsentReplyBytes > MAX_REPLY_BYTES) return 'full';
      if (requests !== undefined && requests.isFull) return 'full';
      if (requests !== undefined && !requests.mayHold) return 'held';
      const payload = this.#transport.next(now);
      if (payload === undefined) return 'done';
      if (payload === 'handled') continue;
      work += payload.length / BYTES_PER_WORK;
      const state = this.#handle(payload, now);
      if (state !== 'done') return state;
    }
    return 'done';
  }

  #handle(payload: Bytes, now: Millis): ReadState {
    const type = payload[0]!;
    if (type === MSG.FRAMES && this.#frames !== undefined) return this.#frames.handleBytes(now, viewFrom(payload, 1));
    if (type === MSG.CHANNEL_OPEN) this.#refuseChannel(payload);
    else if (type >= MSG.CHANNEL_OPEN + 1 && type < 128) this.#transport.fail('unexpected');
    else if (type >= 128) this.#reply(this.#transport.unimplemented());
    else if (this.#requests !== undefined) {
      const fault = this.#requests.handle(payload, now);
      if (fault !== undefined) this.#transport.fail(fault);
    } else this.#handleForeign(payload);
    return 'done';
  }

  /** A peer with frames sends no messages as global requests: what comes are requests such as keep-alives, and they fail. */
  #handleForeign(payload: Bytes): void {
    const reader = new SshReader(payload, 1);
    reader.string();
    const wantsAnswer = reader.bool();
    if (payload[0] !== MSG.GLOBAL_REQUEST || reader.failed) this.#transport.fail('unexpected');
    else if (wantsAnswer) this.#reply([byte(MSG.REQUEST_FAILURE)]);
  }

  /** There are no channels; the text is that of go-p2p. */
  #refuseChannel(payload: Bytes): void {
    const reader = new SshReader(payload, 1);
    reader.string();
    const sender = reader.uint32();
    if (reader.failed) this.#transport.fail('malformed');
    else {
      const head = [byte(MSG.CHANNEL_OPEN_FAILURE), uint32(sender), uint32(ADMINISTRATIVELY_PROHIBITED)];
      this.#reply([...head, string("don't do that"), string('')]);
    }
  }

  /** Refuses something, once payloads may be sent. */
  #reply(payload: readonly Bytes[]): void {
    for (const { length } of payload) this.#unsentReplyBytes += length;
    this.#replies.push(payload);
    this.#sendReplies();
  }

  #sendReplies(): void {
    if (!this.#transport.canSend) return;
    for (const payload of this.#replies.splice(0)) {
      for (const { length } of payload) this.#replyBytes += length;
      this.#transport.send(payload, this.#now);
    }
  }

  /** The connection below has ended by itself: everything in progress fails. */
  #lost({ by, reason, fault }: SshClosed): void {
    if (this.#closed !== undefined) return;
    const code = by === 'fault' ? BYE.FAULT : by === 'timeout' ? BYE.UNRESPONSIVE : BYE.CLOSED;
    this.#closed = this.#messages.end ?? { by, code, reason, fault };
    this.#waiting = [];
    this.#messages.handleEnd(reason);
  }

  /** The messages have ended: the peer gets the reason, unless it has given it. */
  #handleClosed(closed: TcpClosed): { readonly type: 'event'; readonly event: TcpEvent } {
    this.#closed ??= closed;
    this.#transport.disconnect(DISCONNECT.BY_APPLICATION, closed.reason);
    return { type: 'event', event: { type: 'closed', closed: this.#closed } };
  }
}

/** RFC 4254 §5.1. */
const ADMINISTRATIVELY_PROHIBITED = 1;

function earliest(a: Millis | undefined, b: Millis | undefined): Millis | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
