/**
 * A session with a peer, sans-IO: numbered messages over whatever path there is. It numbers, acknowledges, sends again, keeps asks
 * and streams, and chooses the path. Source: docs/wire/peers.md.
 */

import { type Bytes, EMPTY_BYTES } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import type { Priority } from '../../core/priority.ts';
import {
  BYE,
  DATAGRAM_VERSION,
  MAX_REFUSAL_BYTES,
  MESSAGE,
  MESSAGE_COST_BYTES,
  type MessageType,
  NEWEST_VERSION,
  REFUSAL_PLAIN,
  REFUSAL_TOO_LARGE,
} from './constants.ts';
import type { Hello } from './hello.ts';
import { Idle } from './idle.ts';
import { makeOutgoing, type Outgoing } from './outgoing.ts';
import { act, type SessionParts } from './act.ts';
import { acknowledgedBy, decodePacket, encodeAck, encodeBye, tagOf } from './packets.ts';
import { PathSet } from './path-set.ts';
import type { PathOptions } from './path.ts';
import { Receiver } from './receiver.ts';
import { Sender } from './sender.ts';
import type { SessionClosed, SessionEvent, SessionTransmit } from './session-events.ts';
import type { AskOptions, SessionOptions } from './session-options.ts';
import { PeerStreams } from './streams.ts';
import { Unnumbered } from './unnumbered.ts';

/** No path carries less. */
const MIN_MTU_BYTES = 128;

export class PeerSession implements Machine<SessionTransmit, SessionEvent> {
  readonly id: Bytes;
  /** Ends as idle only while false. */
  isMaintained = false;
  readonly paths: PathSet;
  readonly streams: PeerStreams;
  readonly #options: SessionOptions;
  readonly #tag: number;
  readonly #idle: Idle;
  readonly #unnumbered: Unnumbered;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  /** Outputs of the last input; `poll` drains them. */
  readonly #outputs: Output<SessionTransmit, SessionEvent>[] = [];
  #head = 0;
  #peerId: Bytes | undefined;
  #peerTag = -1;
  #peerMaxBytes = Infinity;
  #version = 0;
  /** Since when there is no path. */
  #alone: Millis;
  #armed: Millis = Infinity;
  /** The peer has ended it, and what waits here is for the next session. */
  #isLetGo = false;
  #closed: SessionClosed | undefined;
  #now: Millis;

  constructor(options: SessionOptions, now: Millis) {
    this.#options = options;
    this.id = options.session;
    this.#tag = tagOf(options.session);
    this.#idle = new Idle(options.idleMs);
    this.#now = this.#alone = now;
    const beats = (): boolean => this.isMaintained || !this.isQuiet;
    this.paths = new PathSet(this.#tag, options.isSmaller, {
      get beats() {
        return beats();
      },
      event: (event) => this.#event(event),
      transmit: (path, packet) => this.#transmit(path, packet),
      progress: (path) => options.progress?.(path) ?? 0,
    });
    this.#unnumbered = new Unnumbered(this.#tag, this.paths, (path, packet) => this.#transmit(path, packet));
    this.#receiver = this.#makeReceiver();
    this.#sender = this.#makeSender();
    this.streams = this.#makeStreams();
  }

  /** How it ended. */
  get closed(): SessionClosed | undefined {
    return this.#closed;
  }

  /** The peer's id of the session, once it is known. */
  get peerSession(): Bytes | undefined {
    return this.#peerId;
  }

  /** The version that both speak; 0 until the peer's hello. */
  get version(): number {
    return this.#version;
  }

  /** The largest payload of a datagram on the path in use; 0 when none can be sent. */
  get datagramBytes(): number {
    return this.#unnumbered.datagramBytes(this.#version);
  }

  /** The largest message that the peer takes; infinite until its hello. */
  get peerMaxBytes(): number {
    return this.#peerMaxBytes;
  }

  /** Messages of the peer that have come in order, and bytes of the next one. */
  get arrived(): { readonly received: number; readonly partial: number } {
    const { received, partial } = this.#receiver;
    return { received, partial };
  }

  /** Messages that wait, and their bytes. */
  get queued(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#sender.waiting.size, bytes: this.#sender.waiting.bytes };
  }

  /** Messages that the peer has not acknowledged, or that were not sent. */
  get unacknowledged(): number {
    return this.#sender.unacknowledged;
  }

  /** What this side has got and holds. */
  get incoming(): Pick<Receiver, 'received' | 'heldBytes' | 'stallingBytes'> {
    return this.#receiver;
  }

  /** Whether nothing is under way in either direction. */
  get isQuiet(): boolean {
    return this.#sender.isQuiet && this.#receiver.requests.size === 0 && this.streams.size === 0;
  }

  // Commands.

  /** @returns the message, for `giveUp`; it is taken already when it is not {@link PeerSession.isPending}. */
  tell(now: Millis, payload: Uint8Array, priority?: Priority, expiresMs?: Millis): Outgoing {
    this.#now = now;
    return this.#sender.tell(payload, priority, expiresMs);
  }

  /** Whether the caller of a tell has to wait for `taken` or `tell_failed`. */
  isPending(message: Outgoing): boolean {
    return this.#sender.isPending(message);
  }

  ask(now: Millis, payload: Uint8Array, maxResponseBytes: number, options: AskOptions = {}): Outgoing {
    this.#now = now;
    const { service } = options;
    const message =
      service === undefined
        ? makeOutgoing(MESSAGE.REQUEST, [maxResponseBytes], payload, options)
        : makeOutgoing(MESSAGE.SERVICE, [maxResponseBytes, service], payload, options);
    this.#sender.waiting.add(message);
    return message;
  }

  /** The caller of a tell or an ask does not wait any more. A message that was not sent is not sent. */
  giveUp(now: Millis, message: Outgoing): void {
    this.#now = now;
    this.#sender.giveUp(message);
  }

  /** The application is done with a tell of this size. */
  consumedTell(now: Millis, bytes: number): void {
    this.#now = now;
    this.#receiver.consumed('tells', bytes + MESSAGE_COST_BYTES);
  }

  /** Answers a request. False when the answer is larger than the asker takes: it is refused then. */
  answer(now: Millis, number: number, payload: Uint8Array): boolean {
    this.#now = now;
    const request = this.#receiver.requests.get(number);
    if (request === undefined) return true;
    if (payload.length > Math.min(request.maxResponseBytes, this.#peerMaxBytes)) {
      this.refuse(now, number, REFUSAL_TOO_LARGE);
      return false;
    }
    this.#receiver.requests.delete(number);
    this.#sender.waiting.add(makeOutgoing(MESSAGE.ANSWER, [number], payload, { settles: request.cost }));
    return true;
  }

  refuse(now: Millis, number: number, code: number, payload: Uint8Array = EMPTY_BYTES): void {
    this.#now = now;
    const request = this.#receiver.requests.get(number);
    if (request === undefined) return;
    this.#receiver.requests.delete(number);
    const fits = payload.length <= MAX_REFUSAL_BYTES;
    const options = { code: fits ? code : REFUSAL_PLAIN, settles: request.cost };
    this.#sender.waiting.add(makeOutgoing(MESSAGE.REFUSAL, [number], fits ? payload : EMPTY_BYTES, options));
  }

  /** Tells the peer something about it. It is not repeated when it is lost. */
  notify(now: Millis, code: number): void {
    this.#now = now;
    this.#unnumbered.notify(code);
  }

  /** Sends a message to a service of the peer, at once or not at all. @returns whether it was sent */
  datagram(now: Millis, service: number, payload: Uint8Array): boolean {
    this.#now = now;
    return this.#unnumbered.datagram(this.#version, service, payload);
  }

  /** Ends the session, and says so on every path. */
  close(now: Millis, code: number, reason: string): void {
    if (this.#closed !== undefined) return;
    this.#now = now;
    const packet = encodeBye(this.#tag, code, reason);
    for (const path of this.paths.ids) this.#outputs.push({ type: 'transmit', transmit: { path, packet } });
    this.#end({ by: 'local', code, reason });
  }

  /** Ends the session without a word: the peer has ended it already, or has never had it. */
  abandon(now: Millis, reason: string): void {
    this.#now = now;
    this.#end({ by: 'lost', code: 0, reason });
  }

  /** Takes the tells and requests that were not sent, for another session with the peer. */
  takeUnsent(): readonly Outgoing[] {
    return this.#sender.takeUnsent();
  }

  /** Takes over messages that another session did not send. */
  adopt(now: Millis, messages: readonly Outgoing[]): void {
    this.#now = now;
    this.#sender.adopt(messages);
  }

  // Paths.

  /** A hello or a welcome of this session has come: its limits count, and what it has received is acknowledged. */
  handleHello(now: Millis, hello: Hello): void {
    this.#now = now;
    if (this.#peerId === undefined) {
      this.#peerId = hello.session;
      this.#peerTag = tagOf(hello.session);
      this.#sender.handleHello(hello);
      this.streams.peerWindow = hello.streamWindow;
      this.#peerMaxBytes = hello.maxMessageBytes;
      this.#version = Math.min(NEWEST_VERSION, hello.newest);
    }
    if (hello.received > this.#sender.last) return;
    this.#sender.acknowledge(now, hello.received);
    this.#sender.confirm(now, hello.received, hello.partial);
  }

  /** A path has carried hello and welcome. */
  addPath(now: Millis, id: number, options: PathOptions): void {
    this.#now = now;
    this.paths.add(now, id, options);
    this.#alone = Infinity;
    // The peer may miss what this side received last; it learns it from the hello, but credit is not in there.
    this.#receiver.isCreditDue = true;
    this.#sender.sendAgain((path) => !this.paths.has(path));
  }

  /** A path has failed, or was closed. What was sent on it goes out again on another one. */
  removePath(now: Millis, id: number, reason: string): void {
    this.#now = now;
    if (!this.paths.remove(now, id, reason)) return;
    this.#sender.sendAgain((path) => path === id);
    if (this.paths.size === 0) this.#alone = now;
  }

  /** The transport has taken bytes of a path. */
  handleTaken(now: Millis, path: number, bytes: number): void {
    this.#now = now;
    this.paths.taken(path, bytes);
  }

  /** The transport did not take a packet: it carries less than it said. What is out on the path is sent again. */
  shrink(now: Millis, id: number, mtu: number, bytes: number): void {
    this.handleTaken(now, id, bytes);
    const path = this.paths.get(id);
    if (path === undefined) return;
    // A path that shrinks to nothing is of no use; the smallest packets still pass, or it is silent.
    path.mtu = Math.max(MIN_MTU_BYTES, Math.min(mtu, bytes - 1));
    this.#sender.sendAgain((each) => each === id);
  }

  /** The host slept, or its network changed: paths are asked at once. */
  wake(now: Millis): void {
    this.#now = now;
    this.paths.hurry(now);
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
      if (this.paths.isForeign(now, path)) this.#event({ type: 'path_dead', path });
      return;
    }
    if (acknowledgedBy(packet) > this.#sender.last) {
      this.#fault('acknowledged_too_much');
      return;
    }
    switch (packet.type) {
      case 'numbered':
      case 'bundle':
      case 'part':
        this.#sender.acknowledge(now, packet.received);
        this.paths.heard(now, path);
        if (packet.type === 'numbered') this.#receiver.numbered(now, packet);
        else if (packet.type === 'bundle') this.#receiver.bundle(now, packet);
        else this.#receiver.part(now, packet);
        return;
      case 'ack':
        this.#sender.handleAck(now, packet);
        this.paths.heard(now, path);
        return;
      case 'ping':
      case 'pong':
      case 'select':
        // A peer that asks an idle path wants the session to stay.
        if (packet.type === 'ping') this.#receiver.receivedMs = now;
        this.paths.handle(now, path, packet);
        return;
      case 'datagram':
        if (this.#version < DATAGRAM_VERSION) {
          this.#fault('malformed');
          return;
        }
        this.#receiver.receivedMs = now;
        this.paths.heard(now, path);
        this.#event({ type: 'datagram', service: packet.service, payload: packet.payload });
        return;
      case 'notice':
        this.#event({ type: 'notice', code: packet.code });
        return;
      case 'bye':
        if (packet.code === BYE.IDLE) this.#letGo({ by: 'peer', code: BYE.IDLE, reason: packet.reason });
        else this.#end({ by: 'peer', code: packet.code, reason: packet.reason });
    }
  }

  handleTimeout(now: Millis): void {
    this.#now = now;
    if (now >= this.#armed) this.#armed = Infinity;
    if (this.#closed !== undefined) return;
    for (const path of this.paths.handleTimeout(now)) {
      this.#event({ type: 'path_dead', path });
      this.removePath(now, path, 'silent');
    }
    this.#sender.handleTimeout(now);
    if (this.paths.size > 0) this.#alone = Infinity;
    else if (now >= this.#endMs) this.#letGo({ by: 'lost', code: 0, reason: 'no path' });
    this.#letIdleGo(now);
  }

  #letIdleGo(now: Millis): void {
    const { current } = this.paths;
    if (this.#closed !== undefined || current === undefined || now < this.#idleAtMs) return;
    const progress = this.#options.progress?.(current.id) ?? 0;
    if (!this.#idle.hasMoved(now, progress)) this.close(now, BYE.IDLE, 'idle');
  }

  poll(): Output<SessionTransmit, SessionEvent> {
    for (;;) {
      if (this.#head < this.#outputs.length) return this.#outputs[this.#head++]!;
      if (this.#head > 0) this.#outputs.length = this.#head = 0;
      if (this.#closed === undefined) this.#pump();
      if (this.#outputs.length === 0) return this.#wait();
    }
  }

  #pump(): void {
    const path = this.paths.current;
    if (path === undefined || this.#isLetGo) return;
    if (this.#receiver.isCreditDue) this.#sender.waiting.addUrgent(this.#receiver.grant());
    this.#sender.pump(this.#now, path);
    if (this.#now < this.#receiver.ackMs) return;
    const ack = encodeAck(this.#receiver.ackOf(this.#tag));
    this.#receiver.acknowledging(true);
    this.#transmit(path.id, ack);
  }

  #transmit(path: number, packet: Bytes): void {
    this.paths.pending(path, packet.length);
    this.#outputs.push({ type: 'transmit', transmit: { path, packet } });
  }

  /** When it ends without a path. One that has not begun with the peer has nothing to resume: who wants the peer holds it. */
  get #endMs(): Millis {
    return this.#peerId === undefined ? Infinity : this.#alone + this.#options.resumeMs;
  }

  get #idleAtMs(): Millis {
    if (this.isMaintained || this.paths.size === 0 || !this.isQuiet) return Infinity;
    return this.#idle.atMs(Math.max(this.#sender.sentMs, this.#receiver.receivedMs));
  }

  #makeSender(): Sender {
    const receiver = this.#receiver;
    return new Sender(
      {
        paths: this.paths,
        get received() {
          return receiver.received;
        },
        event: (event) => this.#event(event),
        transmit: (path, packet) => this.#transmit(path, packet),
        acknowledging: () => receiver.acknowledging(false),
        takeStream: () => this.streams.take(),
        settled: (cost) => receiver.consumed('requests', cost),
      },
      this.#tag,
      this.#now,
    );
  }

  get #parts(): SessionParts {
    const { maxMessageBytes } = this.#options;
    const event = (each: SessionEvent): void => this.#event(each);
    return { sender: this.#sender, receiver: this.#receiver, streams: this.streams, maxMessageBytes, event };
  }

  #makeReceiver(): Receiver {
    const owner = {
      isOpen: () => this.#closed === undefined,
      event: (event: SessionEvent) => this.#event(event),
      fault: (reason: string) => this.#fault(reason),
      act: (message: MessageType, numbers: readonly number[], rest: Bytes) => act(this.#parts, message, numbers, rest),
      mayHold: this.#options.mayHold,
    };
    return new Receiver(owner, this.#options, this.#now);
  }

  #makeStreams(): PeerStreams {
    const { streams } = this.#sender.credit;
    const owner = {
      event: (event: SessionEvent) => this.#event(event),
      urgent: (message: Outgoing) => this.#sender.waiting.addUrgent(message),
      get credit() {
        return streams.left;
      },
      take: (bytes: number) => this.#receiver.credit.streams.takeWhole(bytes),
      consumed: (bytes: number) => this.#receiver.consumed('streams', bytes),
    };
    return new PeerStreams(owner, this.#options.streamWindow, this.#options.isSmaller);
  }

  // The end.

  #fault(reason: string): void {
    this.#event({ type: 'fault', reason });
    this.close(this.#now, BYE.FAULT, reason);
  }

  /** It ends without anybody's wish: what was not sent is for the next session. */
  #letGo(closed: SessionClosed): void {
    if (this.#sender.waiting.size === 0) this.#end(closed);
    else if (!this.#isLetGo) {
      this.#isLetGo = true;
      this.#event({ type: 'let_go', reason: closed.reason });
    }
  }

  #end(closed: SessionClosed): void {
    if (this.#closed !== undefined) return;
    this.#closed = closed;
    this.#sender.end();
    for (const number of this.#receiver.requests.keys()) this.#event({ type: 'cancelled', number });
    this.#receiver.requests.clear();
    for (const stream of this.streams.clear()) this.#event({ type: 'stream_reset', stream, code: -1 });
    this.paths.clear();
    this.#event({ type: 'closed', closed });
  }

  #event(event: SessionEvent): void {
    this.#outputs.push({ type: 'event', event });
  }

  #wait(): Output<SessionTransmit, SessionEvent> {
    if (this.#closed !== undefined || this.#isLetGo) return { type: 'wait', until: undefined };
    const due = Math.min(
      this.paths.dueMs,
      this.paths.size > 0 ? this.#receiver.ackMs : this.#endMs,
      this.#sender.waiting.expiresMs,
      this.#sender.resendMs,
      this.#idleAtMs,
    );
    // A deadline that moves back is looked at when the earlier one comes: timers are not set for every message.
    if (due < this.#armed) this.#armed = due;
    return { type: 'wait', until: this.#armed === Infinity ? undefined : this.#armed };
  }
}
