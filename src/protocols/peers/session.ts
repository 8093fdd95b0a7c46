/**
 * A session with a peer, sans-IO: numbered messages over whatever path there is. It numbers, acknowledges, sends again, keeps asks
 * and streams, and chooses the path. Source: docs/wire/peers.md.
 */

import { type Bytes, EMPTY_BYTES, viewFrom } from '../../base/bytes.ts';
import { type Machine, type Millis, type Output } from '../../base/machine.ts';
import { type Priority } from '../../core/priority.ts';
import { readVarint } from '../../base/varint.ts';
import {
  ACK_BYTES,
  ACK_DELAY_MS,
  ACK_MESSAGES,
  BYE,
  INITIAL_RTT_MS,
  MAX_OUT_BYTES,
  MAX_OUT_NUMBERS,
  MAX_REFUSAL_BYTES,
  MAX_WHOLE_BYTES,
  MESSAGE,
  MESSAGE_COST_BYTES,
  type MessageType,
  REFUSAL_PLAIN,
  REFUSAL_TOO_LARGE,
} from './constants.ts';
import { ReceiveCredit, SendCredit } from './credit.ts';
import { type Hello } from './hello.ts';
import { Incoming, type Received } from './incoming.ts';
import { costOf, makeOutgoing, type Outgoing, Unacknowledged, Waiting } from './outgoing.ts';
import { decodePacket, encodeAck, encodeBye, finishNumbered, type NumberedPacket, type NumberRange, tagOf } from './packets.ts';
import { PathSet } from './path-set.ts';
import { type PathOptions } from './path.ts';
import { sendParts } from './parts.ts';
import { type SessionClosed, type SessionEvent, type SessionTransmit } from './session-events.ts';
import { PeerStreams } from './streams.ts';

/** How a session is made. */
export interface SessionOptions {
  /** This side's id of the session. */
  readonly session: Bytes;
  /** Whether this side has the smaller PeerID: it chooses the path. */
  readonly isSmaller: boolean;
  readonly maxMessageBytes: number;
  readonly tellWindow: number;
  readonly requestWindow: number;
  readonly streamsWindow: number;
  readonly streamWindow: number;
  /** How long the session waits for a path. */
  readonly resumeMs: number;
  /** A session without messages and streams ends after this time, unless it is maintained. */
  readonly idleMs: number;
  /** Whether there is memory for as many bytes of messages ahead of their turn. */
  readonly mayHold: (bytes: number) => boolean;
}

/** A tell is taken at once while less than this waits. */
const TAKEN_BYTES = 1_048_576;
/** No path carries less. */
const MIN_MTU_BYTES = 128;
/** Bytes that the transport may have without taking them. */
const MAX_PENDING_BYTES = 1_048_576;

export class PeerSession implements Machine<SessionTransmit, SessionEvent> {
  readonly id: Bytes;
  /** Ends as idle only while false. */
  isMaintained = false;
  readonly streams: PeerStreams;
  readonly #options: SessionOptions;
  readonly #tag: number;
  readonly #paths: PathSet;
  readonly #waiting = new Waiting();
  readonly #out = new Unacknowledged();
  readonly #incoming: Incoming;
  readonly #send = { tells: new SendCredit(0), requests: new SendCredit(0), streams: new SendCredit(0) };
  readonly #receive: Record<'tells' | 'requests' | 'streams', ReceiveCredit>;
  /** Outputs of the last input; `poll` drains them. */
  readonly #outputs: Output<SessionTransmit, SessionEvent>[] = [];
  #head = 0;
  /** Own requests that wait for an answer, by number. Bounded by the pending asks of the program. */
  readonly #asked = new Map<number, Outgoing>();
  /** Requests of the peer that wait for an answer here, with their cost. Bounded by its credit. */
  readonly #requests = new Map<number, { readonly cost: number; readonly maxResponseBytes: number }>();
  /** Tells that their callers wait for. Bounded by what waits. */
  readonly #tickets = new Set<Outgoing>();
  #peerId: Bytes | undefined;
  #peerTag = -1;
  #peerMaxBytes = Infinity;
  #unackedMessages = 0;
  #unackedBytes = 0;
  #ackMs: Millis = Infinity;
  #progressMs: Millis = 0;
  #resends = 0;
  /** When messages were last looked through for losses. */
  #lossesMs: Millis = -Infinity;
  #creditDue = false;
  #alone: Millis;
  #busyMs: Millis;
  #armed: Millis = Infinity;
  #closed: SessionClosed | undefined;
  #now: Millis;

  constructor(options: SessionOptions, now: Millis) {
    this.#options = options;
    this.id = options.session;
    this.#tag = tagOf(options.session);
    this.#incoming = new Incoming(options.maxMessageBytes);
    this.#receive = {
      tells: new ReceiveCredit(options.tellWindow),
      requests: new ReceiveCredit(options.requestWindow),
      streams: new ReceiveCredit(options.streamsWindow),
    };
    this.#now = this.#alone = this.#busyMs = now;
    this.#paths = new PathSet(this.#tag, options.isSmaller, {
      event: (event) => this.#event(event),
      transmit: (path, packet) => this.#transmit(path, packet),
    });
    const streams = this.#send.streams;
    this.streams = new PeerStreams(
      {
        event: (event) => this.#event(event),
        urgent: (message) => this.#waiting.addUrgent(message),
        get credit() {
          return streams.left;
        },
        consumed: (bytes) => this.#consumed('streams', bytes),
      },
      options.streamWindow,
      options.isSmaller,
    );
  }

  /** How it ended. */
  get closed(): SessionClosed | undefined {
    return this.#closed;
  }

  /** The peer's id of the session, once it is known. */
  get peerSession(): Bytes | undefined {
    return this.#peerId;
  }

  /** The largest message that the peer takes; infinite until its hello. */
  get peerMaxBytes(): number {
    return this.#peerMaxBytes;
  }

  /** Messages of the peer that have come in order, and bytes of the next one. */
  get arrived(): { readonly received: number; readonly partial: number } {
    const { received, partial } = this.#incoming;
    return { received, partial };
  }

  get paths(): PathSet {
    return this.#paths;
  }

  /** Messages that wait, and their bytes. */
  get queued(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#waiting.size, bytes: this.#waiting.bytes };
  }

  /** Tells and others that the peer has not acknowledged, or that were not sent. */
  get unacknowledged(): number {
    return this.#waiting.size + this.#out.size;
  }

  /** Bytes that this side holds for the peer. */
  get heldBytes(): number {
    const { tells, requests, streams } = this.#receive;
    return this.#incoming.heldBytes + tells.held + requests.held + streams.held;
  }

  /** Whether nothing is under way in either direction. */
  get isQuiet(): boolean {
    return this.unacknowledged === 0 && this.#asked.size === 0 && this.#requests.size === 0 && this.streams.size === 0;
  }

  // Commands.

  /** @returns the message, for `giveUp`; it is taken already when it is not {@link isPending}. */
  tell(now: Millis, payload: Uint8Array, priority?: Priority, expiresMs?: Millis): Outgoing {
    this.#now = now;
    const mustWait = this.#waiting.bytes + this.#out.bytes >= TAKEN_BYTES || this.#paths.current === undefined;
    const message = makeOutgoing(MESSAGE.TELL, [], payload, { priority, expiresMs });
    this.#waiting.add(message);
    if (mustWait || expiresMs !== undefined) this.#tickets.add(message);
    return message;
  }

  /** Whether the caller of a tell has to wait for `taken` or `tell_failed`. */
  isPending(message: Outgoing): boolean {
    return this.#tickets.has(message);
  }

  ask(now: Millis, payload: Uint8Array, maxResponseBytes: number, priority?: Priority, expiresMs?: Millis): Outgoing {
    this.#now = now;
    const message = makeOutgoing(MESSAGE.REQUEST, [maxResponseBytes], payload, { priority, expiresMs });
    this.#waiting.add(message);
    return message;
  }

  /** The caller of a tell or an ask does not wait any more. A message that was not sent is not sent. */
  giveUp(now: Millis, message: Outgoing): void {
    this.#now = now;
    this.#tickets.delete(message);
    if (this.#waiting.remove(message)) return;
    if (this.#asked.delete(message.number)) this.#waiting.addUrgent(makeOutgoing(MESSAGE.CANCEL, [message.number]));
  }

  /** The application is done with a tell of this size. */
  consumedTell(now: Millis, bytes: number): void {
    this.#now = now;
    this.#consumed('tells', bytes + MESSAGE_COST_BYTES);
  }

  /** Answers a request. False when the answer is larger than the asker takes: it is refused then. */
  answer(now: Millis, number: number, payload: Uint8Array): boolean {
    this.#now = now;
    const request = this.#requests.get(number);
    if (request === undefined) return true;
    const fits = payload.length <= Math.min(request.maxResponseBytes, this.#peerMaxBytes);
    if (!fits) {
      this.refuse(now, number, REFUSAL_TOO_LARGE);
      return false;
    }
    this.#requests.delete(number);
    this.#waiting.add(makeOutgoing(MESSAGE.ANSWER, [number], payload, { settles: request.cost }));
    return true;
  }

  refuse(now: Millis, number: number, code: number, payload: Uint8Array = EMPTY_BYTES): void {
    this.#now = now;
    const request = this.#requests.get(number);
    if (request === undefined) return;
    this.#requests.delete(number);
    const fits = payload.length <= MAX_REFUSAL_BYTES;
    const options = { code: fits ? code : REFUSAL_PLAIN, settles: request.cost };
    this.#waiting.add(makeOutgoing(MESSAGE.REFUSAL, [number], fits ? payload : EMPTY_BYTES, options));
  }

  /** Ends the session, and says so on every path. */
  close(now: Millis, code: number, reason: string): void {
    if (this.#closed !== undefined) return;
    this.#now = now;
    const bye = encodeBye(this.#tag, code, reason);
    for (const path of this.#paths.ids) this.#outputs.push({ type: 'transmit', transmit: { path, packet: bye } });
    this.#end({ by: 'local', code, reason });
  }

  /** Ends the session without a word: the peer has ended it already, or has never had it. */
  abandon(now: Millis, reason: string): void {
    this.#now = now;
    this.#end({ by: 'lost', code: 0, reason });
  }

  // Paths.

  /** A hello or a welcome of this session has come: its limits count, and what it has received is acknowledged. */
  handleHello(now: Millis, hello: Hello): void {
    this.#now = now;
    if (this.#peerId === undefined) {
      this.#peerId = hello.session;
      this.#peerTag = tagOf(hello.session);
      this.#send.tells.window = hello.tellWindow;
      this.#send.requests.window = hello.requestWindow;
      this.#send.streams.window = hello.streamsWindow;
      this.streams.peerWindow = hello.streamWindow;
      this.#peerMaxBytes = hello.maxMessageBytes;
    }
    if (hello.received > this.#out.last) return;
    this.#acknowledge(hello.received);
    this.#confirm(hello.received, hello.partial);
  }

  /** A path has carried hello and welcome. */
  addPath(now: Millis, id: number, options: PathOptions): void {
    this.#now = now;
    this.#paths.add(now, id, options);
    this.#alone = Infinity;
    // The peer may miss what this side received last; it learns it from the hello, but credit is not in there.
    this.#creditDue = true;
    this.#out.sendAgain((message) => !this.#paths.has(message.path));
  }

  /** A path has failed, or was closed. What was sent on it goes out again on another one. */
  removePath(now: Millis, id: number, reason: string): void {
    this.#now = now;
    if (!this.#paths.remove(now, id, reason)) return;
    this.#out.sendAgain((message) => message.path === id);
    if (this.#paths.size === 0) this.#alone = now;
  }

  /** The transport has taken bytes of a path. */
  handleTaken(now: Millis, path: number, bytes: number): void {
    this.#now = now;
    this.#paths.taken(path, bytes);
  }

  /** The transport did not take a packet: it carries less than it said. What is out on the path is sent again. */
  shrink(now: Millis, id: number, mtu: number, bytes: number): void {
    this.handleTaken(now, id, bytes);
    const path = this.#paths.get(id);
    if (path === undefined) return;
    // A path that shrinks to nothing is of no use; the smallest packets still pass, or it is silent.
    path.mtu = Math.max(MIN_MTU_BYTES, Math.min(mtu, bytes - 1));
    this.#out.sendAgain((message) => message.path === id);
  }

  /** The host slept, or its network changed: paths are asked at once. */
  wake(now: Millis): void {
    this.#now = now;
    this.#paths.hurry(now);
  }

  /** A packet has come on a path, behind its hello. */
  handlePacket(now: Millis, path: number, bytes: Bytes): void {
    if (this.#closed !== undefined) return;
    this.#now = now;
    const packet = decodePacket(bytes);
    if (packet === undefined) {
      this.#fault('malformed');
      return;
    }
    if (packet.tag !== this.#peerTag) {
      this.#event({ type: 'dropped', reason: 'other_session' });
      return;
    }
    switch (packet.type) {
      case 'numbered':
      case 'part':
        if (packet.received > this.#out.last) {
          this.#fault('acknowledged_too_much');
          return;
        }
        this.#acknowledge(packet.received);
        this.#paths.heard(now, path);
        if (packet.type === 'numbered') this.#numbered(packet);
        else this.#part(packet);
        return;
      case 'ack': {
        const [last] = packet.ranges.slice(-1);
        if (Math.max(packet.received, last?.to ?? 0) > this.#out.last) {
          this.#fault('acknowledged_too_much');
          return;
        }
        this.#acknowledge(packet.received);
        this.#confirm(packet.received, packet.partial);
        if (last !== undefined) this.#acknowledgeRanges(packet.ranges, last.from);
        this.#paths.heard(now, path);
        return;
      }
      case 'ping':
      case 'pong':
      case 'select':
        this.#paths.handle(now, path, packet);
        return;
      case 'bye':
        this.#end({ by: 'peer', code: packet.code, reason: packet.reason });
    }
  }

  handleTimeout(now: Millis): void {
    this.#now = now;
    if (now >= this.#armed) this.#armed = Infinity;
    if (this.#closed !== undefined) return;
    for (const path of this.#paths.handleTimeout(now)) {
      this.#event({ type: 'path_dead', path });
      this.removePath(now, path, 'silent');
    }
    for (const message of this.#waiting.takeExpired(now)) this.#failed(message, 'expired');
    if (now >= this.#resendMs) this.#resend();
    if (this.#paths.size > 0) this.#alone = Infinity;
    else if (now >= this.#alone + this.#options.resumeMs) this.#end({ by: 'lost', code: 0, reason: 'no path' });
    if (this.#closed === undefined && now >= this.#idleAtMs) this.close(now, BYE.IDLE, 'idle');
  }

  poll(): Output<SessionTransmit, SessionEvent> {
    for (;;) {
      if (this.#head < this.#outputs.length) return this.#outputs[this.#head++]!;
      if (this.#head > 0) this.#outputs.length = this.#head = 0;
      if (this.#closed === undefined) this.#pump();
      if (this.#outputs.length === 0) return this.#wait();
    }
  }

  // Sending.

  /** Sends what may be sent: one turn's worth of outputs. */
  #pump(): void {
    const path = this.#paths.current;
    if (path === undefined) return;
    if (this.#creditDue) this.#grant();
    while (path.pendingBytes < MAX_PENDING_BYTES && this.#outputs.length < 64) {
      const again = this.#out.takeAgain();
      const message = again ?? this.#next();
      if (message === undefined) break;
      if (again === undefined) this.#number(message);
      this.#write(path.id, path.mtu, message);
    }
    if (this.#unackedMessages >= ACK_MESSAGES || this.#unackedBytes >= ACK_BYTES || this.#now >= this.#ackMs)
      this.#ack();
  }

  readonly #mayGo = (message: Outgoing): boolean => {
    if (this.#out.size > 0 && this.#out.bytes + message.size > MAX_OUT_BYTES) return false;
    if (message.type === MESSAGE.TELL) return this.#send.tells.allows(costOf(message));
    return message.type !== MESSAGE.REQUEST || this.#send.requests.allows(costOf(message));
  };

  #next(): Outgoing | undefined {
    if (this.#out.size >= MAX_OUT_NUMBERS) return undefined;
    const message = this.#waiting.take(this.#mayGo);
    if (message !== undefined) return message;
    if (this.#out.bytes >= MAX_OUT_BYTES) return undefined;
    const chunk = this.streams.take();
    if (chunk !== undefined) this.#send.streams.take(chunk.payloadBytes);
    return chunk;
  }

  #number(message: Outgoing): void {
    if (this.#out.size === 0) this.#progressMs = this.#now;
    message.state = 'out';
    this.#out.add(message);
    this.#busyMs = this.#now;
    if (message.type === MESSAGE.TELL) this.#send.tells.take(costOf(message));
    else if (message.type === MESSAGE.REQUEST) {
      this.#send.requests.take(costOf(message));
      this.#asked.set(message.number, message);
    }
    if (this.#tickets.delete(message)) this.#event({ type: 'taken', message });
  }

  #write(path: number, mtu: number, message: Outgoing): void {
    if (message.path !== 0) this.#paths.released(message.path);
    message.path = path;
    message.sentMs = this.#now;
    const received = this.#incoming.received;
    const { buffer, size, type, number } = message;
    // A gap is reported by an acknowledgement of its own.
    if (!this.#incoming.hasGap) this.#acked();
    const packet = finishNumbered(buffer, size, type, this.#tag, number, received);
    if (packet.length <= mtu && size <= MAX_WHOLE_BYTES && message.confirmed === 0) this.#transmit(path, packet);
    else sendParts(message, this.#tag, received, mtu, (part) => this.#transmit(path, part));
    this.#paths.used(this.#now, path);
  }

  #transmit(path: number, packet: Bytes): void {
    this.#paths.pending(path, packet.length);
    this.#outputs.push({ type: 'transmit', transmit: { path, packet } });
  }

  #ack(): void {
    const path = this.#paths.current;
    if (path === undefined) return;
    this.#acked();
    this.#transmit(path.id, encodeAck(this.#ackOf()));
  }

  #ackOf(): Parameters<typeof encodeAck>[0] {
    const { received, partial } = this.#incoming;
    return { tag: this.#tag, received, partial, ranges: this.#incoming.ranges() };
  }

  #acked(): void {
    this.#unackedMessages = this.#unackedBytes = 0;
    this.#ackMs = Infinity;
  }

  #resend(): void {
    this.#resends++;
    this.#progressMs = this.#now;
    const until = this.#now - 1;
    let bytes = 0;
    // The first ones: the peer has the others, or says so when these have come.
    this.#out.sendAgain((message) => message.sentMs <= until && (bytes += message.size) <= ACK_BYTES + message.size);
  }

  get #resendMs(): Millis {
    const path = this.#paths.current;
    if (path === undefined || this.#out.size === 0) return Infinity;
    return this.#progressMs + path.resendMs * 2 ** Math.min(this.#resends, 6);
  }

  get #idleAtMs(): Millis {
    if (this.isMaintained || this.#paths.size === 0 || !this.isQuiet) return Infinity;
    return this.#busyMs + this.#options.idleMs;
  }

  // Receiving.

  #acknowledge(number: number): void {
    if (number <= this.#out.last - this.#out.size) return;
    this.#out.acknowledge(number, (message) => this.#delivered(message));
    this.#progressMs = this.#now;
    this.#resends = 0;
    if (this.unacknowledged === 0) this.#event({ type: 'acknowledged' });
  }

  /** The peer has the beginning of the message behind `received`. */
  #confirm(received: number, partial: number): void {
    const first = this.#out.first();
    if (first?.number !== received + 1 || partial <= first.confirmed) return;
    first.confirmed = Math.min(partial, first.size - 1);
    this.#progressMs = this.#now;
  }

  #acknowledgeRanges(ranges: readonly NumberRange[], last: number): void {
    for (const { from, to } of ranges) {
      for (let number = from; number <= to; number++) {
        this.#out.acknowledgeOne(number, (message) => this.#delivered(message));
      }
    }
    // Where the transport may lose, what is missing before the last range, and was sent a round trip ago, is lost.
    const path = this.#paths.current;
    if (path === undefined || path.isReliable) return;
    const before = this.#now - (path.rttMs ?? INITIAL_RTT_MS);
    if (before < this.#lossesMs) return;
    this.#lossesMs = this.#now;
    this.#out.sendAgain((message) => message.sentMs <= before, last);
  }

  #delivered(message: Outgoing): void {
    this.#paths.released(message.path);
    if (message.settles > 0) this.#consumed('requests', message.settles);
  }

  #numbered({ number, message, body }: NumberedPacket): void {
    this.#took(body.length);
    if (this.#incoming.takeNext(number)) {
      this.#deliver({ message, body });
      return;
    }
    this.#ahead(number, { message, body });
  }

  #part(packet: Parameters<Incoming['takePart']>[0]): void {
    this.#took(packet.bytes.length);
    if (!this.#options.mayHold(this.heldBytes + packet.bytes.length)) {
      this.#event({ type: 'dropped', reason: 'no_memory' });
      return;
    }
    const result = this.#incoming.takePart(packet);
    if (result === 'malformed') this.#fault('malformed');
    else if (typeof result === 'object') this.#ahead(packet.number, result);
    else if (result !== 'waiting') this.#event({ type: 'dropped', reason: result });
  }

  /** A message that does not come in its turn, or completes a gap. */
  #ahead(number: number, received: Received): void {
    const isNext = number === this.#incoming.received + 1;
    const hadGap = this.#incoming.hasGap;
    const result =
      isNext || this.#options.mayHold(this.heldBytes + received.body.length)
        ? this.#incoming.take(number, received)
        : 'no_memory';
    if (result !== 'taken') {
      this.#event({ type: 'dropped', reason: result });
      return;
    }
    // The first one behind a gap: the sender should know at once.
    if (!isNext && !hadGap) this.#ackMs = Math.min(this.#ackMs, this.#now);
    for (let next = this.#incoming.next(); next !== undefined; next = this.#incoming.next()) {
      this.#deliver(next);
      if (this.#closed !== undefined) return;
    }
  }

  #took(bytes: number): void {
    this.#unackedMessages++;
    this.#unackedBytes += bytes;
    if (this.#ackMs === Infinity) this.#ackMs = this.#now + ACK_DELAY_MS;
  }

  #deliver({ message, body }: Received): void {
    this.#busyMs = this.#now;
    if (message === MESSAGE.TELL) {
      if (!this.#receive.tells.take(body.length + MESSAGE_COST_BYTES)) this.#fault('credit');
      else if (body.length > this.#options.maxMessageBytes) this.#fault('too_large');
      else this.#event({ type: 'tell', payload: body });
      return;
    }
    const fields = fieldsOf(message, body);
    if (fields === undefined || !this.#act(message, fields.numbers, viewFrom(body, fields.end))) {
      this.#fault('malformed');
    }
  }

  /** @returns false when it breaks a rule. */
  #act(message: MessageType, numbers: readonly number[], rest: Bytes): boolean {
    const [first = 0, second = 0, third = 0] = numbers;
    switch (message) {
      case MESSAGE.REQUEST:
        return this.#request(first, rest);
      case MESSAGE.ANSWER:
        this.#answered(first, (message) => this.#event({ type: 'answer', message, payload: rest }));
        return rest.length <= this.#options.maxMessageBytes;
      case MESSAGE.REFUSAL:
        if (rest.length === 0 || rest.length > 1 + MAX_REFUSAL_BYTES) return false;
        this.#answered(first, (message) => {
          this.#event({ type: 'refusal', message, code: rest[0]!, payload: viewFrom(rest, 1) });
        });
        return true;
      case MESSAGE.CANCEL: {
        const request = this.#requests.get(first);
        if (request === undefined) return true;
        this.#requests.delete(first);
        this.#consumed('requests', request.cost);
        this.#event({ type: 'cancelled', number: first });
        return true;
      }
      case MESSAGE.STREAM:
      case MESSAGE.FIN:
        if (rest.length > this.#receive.streams.window || !this.#receive.streams.take(rest.length)) return false;
        return this.streams.handleBytes(first, rest, message === MESSAGE.FIN);
      case MESSAGE.RESET:
        return this.streams.handleReset(first, second);
      case MESSAGE.WINDOW:
        return this.streams.handleWindow(first, second);
      case MESSAGE.CREDIT:
        this.#send.tells.raise(first);
        this.#send.requests.raise(second);
        this.#send.streams.raise(third);
        return true;
      case MESSAGE.TELL:
        return false;
    }
  }

  /** One answer counts; later ones, and those of requests that were given up, have no effect. */
  #answered(number: number, act: (message: Outgoing) => void): void {
    const message = this.#asked.get(number);
    if (message === undefined) return;
    this.#asked.delete(number);
    act(message);
  }

  #request(maxResponseBytes: number, payload: Bytes): boolean {
    const cost = payload.length + MESSAGE_COST_BYTES;
    if (!this.#receive.requests.take(cost) || payload.length > this.#options.maxMessageBytes) return false;
    const number = this.#incoming.received;
    this.#requests.set(number, { cost, maxResponseBytes });
    this.#event({ type: 'request', number, payload });
    return true;
  }

  #consumed(kind: 'tells' | 'requests' | 'streams', cost: number): void {
    this.#receive[kind].consume(cost);
    if (this.#receive[kind].isDue) this.#creditDue = true;
  }

  #grant(): void {
    this.#creditDue = false;
    const { tells, requests, streams } = this.#receive;
    this.#waiting.addUrgent(makeOutgoing(MESSAGE.CREDIT, [tells.grant(), requests.grant(), streams.grant()]));
  }

  // The end.

  #fault(reason: string): void {
    this.#event({ type: 'fault', reason });
    this.close(this.#now, BYE.FAULT, reason);
  }

  #failed(message: Outgoing, reason: 'expired' | 'ended'): void {
    const sent = message.number === 0 ? 'no' : 'maybe';
    if (message.type === MESSAGE.REQUEST) this.#event({ type: 'ask_failed', message, sent, reason });
    else if (message.type === MESSAGE.TELL) {
      if (this.#tickets.delete(message)) this.#event({ type: 'tell_failed', message, sent, reason });
      else this.#event({ type: 'tell_lost', sent });
    }
  }

  #end(closed: SessionClosed): void {
    if (this.#closed !== undefined) return;
    this.#closed = closed;
    for (const message of this.#out) if (message.type === MESSAGE.TELL) this.#failed(message, 'ended');
    for (const message of this.#asked.values()) this.#failed(message, 'ended');
    for (const message of this.#waiting.clear()) this.#failed(message, 'ended');
    this.#asked.clear();
    for (const number of this.#requests.keys()) this.#event({ type: 'cancelled', number });
    this.#requests.clear();
    for (const stream of this.streams.clear()) this.#event({ type: 'stream_reset', stream, code: -1 });
    this.#paths.clear();
    this.#event({ type: 'closed', closed });
  }

  #event(event: SessionEvent): void {
    this.#outputs.push({ type: 'event', event });
  }

  #wait(): Output<SessionTransmit, SessionEvent> {
    if (this.#closed !== undefined) return { type: 'wait', until: undefined };
    const due = Math.min(
      this.#paths.dueMs,
      this.#paths.size === 0 ? Infinity : this.#ackMs,
      this.#waiting.expiresMs,
      this.#resendMs,
      this.#idleAtMs,
      this.#paths.size === 0 ? this.#alone + this.#options.resumeMs : Infinity,
    );
    // A deadline that moves back is looked at when the earlier one comes: timers are not set for every message.
    if (due < this.#armed) this.#armed = due;
    return { type: 'wait', until: this.#armed === Infinity ? undefined : this.#armed };
  }
}

/** The varints at the beginning of a body, by type. */
function fieldsOf(
  message: MessageType,
  body: Bytes,
): { readonly numbers: readonly number[]; readonly end: number } | undefined {
  const [count, isAll] = FIELDS[message];
  const numbers: number[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const read = readVarint(body, end);
    if (read === undefined) return undefined;
    numbers.push(read.value);
    end = read.end;
  }
  return isAll && end !== body.length ? undefined : { numbers, end };
}

/** How many varints a message begins with, and whether they are all of it. */
const FIELDS: Readonly<Record<MessageType, readonly [count: number, isAll: boolean]>> = {
  [MESSAGE.TELL]: [0, false],
  [MESSAGE.REQUEST]: [1, false],
  [MESSAGE.ANSWER]: [1, false],
  [MESSAGE.REFUSAL]: [1, false],
  [MESSAGE.CANCEL]: [1, true],
  [MESSAGE.STREAM]: [1, false],
  [MESSAGE.FIN]: [1, false],
  [MESSAGE.RESET]: [2, true],
  [MESSAGE.WINDOW]: [2, true],
  [MESSAGE.CREDIT]: [3, true],
};
