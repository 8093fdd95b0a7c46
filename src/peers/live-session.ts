/** A session with one peer: the machine, the calls that wait for it, and messages that wait for handlers. */

import { type Bytes, toHex } from '../base/bytes.ts';
import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { comparePeerIds, type PeerId } from '../core/peer-id.ts';
import type { Priority } from '../core/priority.ts';
import type { PublicKey } from '../core/secure.ts';
import { BYE } from '../protocols/peers/constants.ts';
import type { ReachKind } from '../protocols/peers/reach/types.ts';
import type { Hello } from '../protocols/peers/hello.ts';
import type { Outgoing } from '../protocols/peers/outgoing.ts';
import { PeerSession as SessionMachine } from '../protocols/peers/session.ts';
import type { SessionClosed, SessionEvent, SessionTransmit } from '../protocols/peers/session-events.ts';
import { Driver } from '../runtime/driver.ts';
import { Deliveries } from '../sessions/deliveries.ts';
import type { MemoryHolder } from '../sessions/memory-budget.ts';
import type { PeerSession, SessionsHooks } from '../sessions/peer-sessions.ts';
import { type PeerAddr, peerAddr } from './address.ts';
import type { ResolvedOptions } from './options.ts';
import type { Services } from './services.ts';
import { lostError, queueError, refusedError } from './session-errors.ts';
import { sessionId } from './session-id.ts';
import { SessionStreams, type StreamsHooks } from './session-streams.ts';
import type { Transport } from './transport.ts';

/** A path of a session. */
export interface LivePath {
  readonly id: number;
  readonly transport: Transport;
  readonly addr: Addr;
  readonly kind: ReachKind;
  readonly session: LiveSession;
  readonly sinceMs: number;
  /** What the peer is. */
  readonly side: 'initiator' | 'responder';
  isOpen: boolean;
}

/** What a session needs from its owner. */
export interface LiveSessionOwner extends StreamsHooks {
  readonly options: ResolvedOptions;
  readonly hooks: SessionsHooks<PeerAddr>;
  readonly own: PeerAddr;
  /** Lower is better. */
  rankOf(path: LivePath): number;
  /** Memory for what the peer makes this side hold. */
  join(host: string, end: () => void): MemoryHolder;
  /** Messages go over another path now, or over none. */
  pathChanged(session: LiveSession, path: LivePath | undefined, reason: string): void;
  /** It has something to say and no path. */
  stranded(session: LiveSession): void;
  /** A path is dead, or not needed any more. */
  pathEnded(path: LivePath, reason: string): void;
  readonly services: Services;
  /** The peer has sent many messages. */
  busy(session: LiveSession, messages: number): void;
  /** The peer has noticed something about this node. */
  noticed(session: LiveSession, code: number): void;
  /** The session is over, and there is something to say. */
  renew(session: LiveSession, reason: string): void;
  /** The peer broke a rule. */
  fault(session: LiveSession, reason: string): void;
  /** It has ended: the last call. */
  ended(session: LiveSession, closed: SessionClosed): void;
}

/** Messages between two looks at the rate. */
const RATE_STEP = 256;

interface Asked {
  readonly settle: (result: Bytes | P2PError) => void;
  readonly maxResponseBytes: number;
}

export class LiveSession implements PeerSession {
  readonly peer: PeerId;
  /** Known with the first path. */
  publicKey!: PublicKey;
  readonly src: PeerAddr;
  readonly dst: PeerAddr;
  readonly sinceMs: number;
  /** The host of the first path, for limits by source. */
  readonly host: string;
  readonly machine: SessionMachine;
  readonly streams: SessionStreams;
  /** Bounded by the transports. */
  readonly paths: Map<number, LivePath> = new Map();
  /** Counted since the session began. */
  sent = 0;
  received = 0;
  /** The same, and requests to this connection manager itself. */
  #rated = 0;
  readonly #owner: LiveSessionOwner;
  readonly #driver: Driver<SessionTransmit, SessionEvent>;
  readonly #deliveries: Deliveries<PeerAddr>;
  readonly #holder: MemoryHolder;
  readonly #telling = new Map<Outgoing, (error?: P2PError) => void>(); // Bounded by `queueError`.
  readonly #asked = new Map<Outgoing, Asked>(); // Bounded by the pending calls.
  #flushScheduled = false;
  #isPolling = false;
  /** The next session with the peer, which has what this one did not send. */
  #successor: LiveSession | undefined;

  constructor(owner: LiveSessionOwner, peer: PeerId, host: string) {
    const { options, hooks } = owner;
    const { realm } = hooks;
    this.#owner = owner;
    this.peer = peer;
    this.host = host;
    this.src = peerAddr(peer);
    this.dst = owner.own;
    this.sinceMs = realm.nowMs();
    this.#holder = owner.join(host, () => {
      hooks.counters.countDrop('peers.overloaded');
      this.close(BYE.OVERLOADED, 'it holds memory that others wait for');
    });
    this.machine = new SessionMachine(
      {
        session: sessionId((length) => realm.random(length)),
        isSmaller: comparePeerIds(owner.own.id, peer) < 0,
        ...options.limits,
        mayHold: (bytes) => this.#holder.mayTake(bytes),
        progress: (id) => {
          const path = this.paths.get(id);
          return path === undefined ? 0 : path.transport.progress(path.addr);
        },
      },
      realm.nowMs(),
    );
    this.#deliveries = new Deliveries(
      this,
      {
        release: (bytes) => this.machine.consumedTell(this.#nowMs(), bytes),
        answer: (now, id, payload) => this.machine.answer(now, id, payload),
        refuse: (now, id, code, payload) => this.machine.refuse(now, id, code, payload),
      },
      hooks,
      options.pending,
    );
    this.streams = new SessionStreams(owner, this);
    this.#driver = new Driver(this.machine, {
      realm,
      transmit: ({ path, packet }) => this.#transmit(path, packet),
      event: (event) => this.#event(event),
      failed: (bug) => hooks.failed(bug),
      background: () => this.machine.isQuiet,
    });
  }

  /** The id on the wire, as text. */
  get id(): string {
    return toHex(this.machine.id);
  }

  get isOpen(): boolean {
    return this.machine.closed === undefined;
  }

  /** Whether the peer has said hello, so that messages can be sent. */
  get hasOpened(): boolean {
    return this.machine.peerSession !== undefined;
  }

  /** The path in use. */
  get path(): LivePath | undefined {
    const { current } = this.machine.paths;
    return current === undefined ? undefined : this.paths.get(current.id);
  }

  tell(
    payload: Uint8Array,
    taken: (error?: P2PError) => void,
    priority?: Priority,
    expiresMs?: number,
  ): true | (() => void) {
    const refused = this.#refusal(payload);
    if (refused !== undefined) {
      taken(refused);
      return () => {};
    }
    const message = this.machine.tell(this.#nowMs(), payload, priority, expiresMs);
    this.#owner.hooks.counters.countSent(payload.length);
    this.sent++;
    this.scheduleFlush();
    if (!this.machine.isPending(message)) return true;
    this.#telling.set(message, taken);
    return () => this.#giveUp(message);
  }

  ask(
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority?: Priority,
    expiresMs?: number,
    service?: number,
  ): () => void {
    const refused = this.#refusal(request);
    if (refused !== undefined) {
      settle(refused);
      return () => {};
    }
    const message = this.machine.ask(this.#nowMs(), request, maxResponseBytes, { priority, expiresMs, service });
    if (service === undefined) {
      this.#owner.hooks.counters.countSent(request.length);
      this.sent++;
    }
    this.#asked.set(message, { settle, maxResponseBytes });
    this.scheduleFlush();
    return () => this.#giveUp(message);
  }

  /** Sends a message to a service, now or not at all. @returns false when it was dropped */
  datagram(service: number, payload: Uint8Array): boolean {
    const isSent = this.machine.datagram(this.#nowMs(), service, payload);
    if (isSent) this.scheduleFlush();
    return isSent;
  }

  /** A hello or a welcome of the peer. */
  handleHello(hello: Hello): void {
    this.machine.handleHello(this.#nowMs(), hello);
  }

  addPath(path: LivePath): void {
    this.paths.set(path.id, path);
    this.machine.addPath(this.#nowMs(), path.id, path.transport.pathOptions(path, this.#owner.rankOf(path)));
    this.poll();
  }

  /** A path is used only while there is no other one. */
  demote(path: LivePath): void {
    this.machine.paths.demote(this.#nowMs(), path.id);
    this.poll();
  }

  removePath(path: LivePath, reason: string): void {
    if (!this.paths.delete(path.id)) return;
    path.isOpen = false;
    this.machine.removePath(this.#nowMs(), path.id, reason);
    this.poll();
  }

  handlePacket(path: LivePath, packet: Bytes): void {
    const { incoming } = this.machine;
    const { received, stallingBytes } = incoming;
    this.machine.handlePacket(this.#nowMs(), path.id, packet);
    // Nothing moves by what is dropped.
    if (incoming.received !== received || incoming.stallingBytes !== stallingBytes) this.#holder.move(packet.length);
    this.poll();
  }

  notify(code: number): void {
    this.machine.notify(this.#nowMs(), code);
    this.poll();
  }

  wake(): void {
    this.machine.wake(this.#nowMs());
    this.poll();
  }

  close(code: number, reason: string): void {
    this.machine.close(this.#nowMs(), code, reason);
    this.poll();
  }

  /** Hands what was not sent over to the next session with the peer, and ends without a word. */
  endFor(next: () => LiveSession, reason: string): void {
    const messages = this.machine.takeUnsent();
    const telling = messages.map((message) => [message, this.#telling.get(message)] as const);
    const asked = messages.map((message) => [message, this.#asked.get(message)] as const);
    for (const message of messages) {
      this.#telling.delete(message);
      this.#asked.delete(message);
    }
    this.end(reason);
    const successor = next();
    this.#successor = successor;
    for (const [message, taken] of telling) if (taken !== undefined) successor.#telling.set(message, taken);
    for (const [message, settle] of asked) if (settle !== undefined) successor.#asked.set(message, settle);
    successor.machine.adopt(this.#nowMs(), messages);
  }

  /** Ends it without a word to the peer, which has ended it or never had it. */
  end(reason: string): void {
    this.machine.abandon(this.#nowMs(), reason);
    this.poll();
  }

  /** Delivers waiting messages: a handler was attached. */
  unpark(): void {
    this.#deliveries.handOut();
  }

  account(): void {
    const { heldBytes, stallingBytes } = this.machine.incoming;
    if (this.isOpen) this.#holder.update(heldBytes, stallingBytes);
    else this.#holder.update(this.#deliveries.heldBytes, 0);
  }

  poll(): void {
    const isInside = this.#isPolling;
    this.#isPolling = true;
    this.#driver.poll();
    this.#isPolling = isInside;
    if (isInside) return;
    this.account();
    if (this.paths.size === 0 && this.isOpen && !this.machine.isQuiet) this.#owner.stranded(this);
  }

  /** Runs everything that was asked for in this turn together. */
  scheduleFlush(): void {
    // The machine is asked for packets again when what it said last has been handled.
    if (this.#flushScheduled || this.#isPolling) return;
    this.#flushScheduled = true;
    this.#owner.hooks.later(() => {
      this.#flushScheduled = false;
      this.poll();
    });
  }

  #nowMs(): number {
    return this.#owner.hooks.realm.nowMs();
  }

  #giveUp(message: Outgoing): void {
    if (!this.#telling.delete(message) && !this.#asked.delete(message)) {
      if (this.#successor !== undefined) this.#successor.#giveUp(message);
      return;
    }
    this.machine.giveUp(this.#nowMs(), message);
    this.scheduleFlush();
  }

  #refusal({ length }: Uint8Array): P2PError | undefined {
    return queueError(
      this.peer,
      length,
      this.machine.peerMaxBytes,
      this.machine.queued,
      this.#owner.options.maxQueueBytes,
    );
  }

  #transmit(id: number, packet: Bytes): void {
    const path = this.paths.get(id);
    if (path === undefined) return;
    const { length } = packet;
    const taken = (error?: unknown): void => {
      if (!path.isOpen) return;
      if (error === undefined || P2PError.is(error, 'limit_exceeded')) {
        this.machine.handleTaken(this.#nowMs(), id, length);
        this.scheduleFlush();
      } else if (P2PError.is(error, 'mtu_exceeded')) {
        this.machine.shrink(this.#nowMs(), id, path.transport.mtu(path.addr), length);
        this.scheduleFlush();
      } else this.#owner.pathEnded(path, P2PError.is(error) ? error.code : 'the transport failed');
    };
    if (path.transport.send(path.addr, packet, taken)) this.machine.handleTaken(this.#nowMs(), id, length);
  }

  #event(event: SessionEvent): void {
    switch (event.type) {
      case 'tell':
        this.#countReceived();
        this.#deliveries.tell(event.payload);
        return;
      case 'request':
        this.#countReceived(event.service);
        if (event.service === 0) this.#deliveries.request(event.number, event.payload);
        else void this.#serve(event.number, event.payload, event.service);
        return;
      case 'datagram':
        this.#owner.services.datagram(event.service, { src: this.src, dst: this.dst, payload: event.payload });
        return;
      case 'cancelled':
        this.#deliveries.cancelled(event.number);
        return;
      case 'answer':
        this.#settle(event.message, event.payload);
        return;
      case 'refusal':
        this.#settle(event.message, refusedError(this.peer, event.code, event.payload, this.#asked.get(event.message)));
        return;
      case 'taken':
        this.#taken(event.message);
        return;
      case 'tell_failed':
        this.#taken(event.message, this.#lost(event.sent, event.reason));
        return;
      case 'ask_failed':
        this.#settle(event.message, this.#lost(event.sent, event.reason));
        return;
      case 'tell_lost':
        this.#owner.hooks.counters.countDrop('peers.tell_lost');
        return;
      case 'acknowledged':
        this.#owner.hooks.settled();
        return;
      case 'dropped':
        this.#owner.hooks.counters.countDrop(`peers.${event.reason}`);
        if (event.reason === 'no_memory') this.#holder.refused();
        return;
      case 'fault':
        this.#owner.hooks.counters.countDrop(event.reason === 'malformed' ? 'malformed' : `peers.${event.reason}`);
        this.#owner.fault(this, event.reason);
        return;
      case 'let_go':
        this.#owner.renew(this, event.reason);
        return;
      case 'notice':
        this.#owner.noticed(this, event.code);
        return;
      case 'path':
        this.#owner.pathChanged(this, event.path === undefined ? undefined : this.paths.get(event.path), event.reason);
        return;
      case 'path_dead':
      case 'spare': {
        const path = this.paths.get(event.path);
        if (path !== undefined) this.#owner.pathEnded(path, event.type === 'spare' ? 'another path is used' : 'silent');
        return;
      }
      case 'stream_opened':
      case 'stream_bytes':
      case 'stream_reset':
      case 'stream_writable':
        this.streams.handle(event);
        return;
      case 'closed':
        this.#driver.stop();
        this.#holder.leave();
        for (const path of this.paths.values()) path.isOpen = false;
        this.account();
        this.#owner.ended(this, event.closed);
    }
  }

  /** Rates are measured in steps, which cost less than each message. */
  #countReceived(service = 0): void {
    if (service === 0) this.received++;
    if (++this.#rated % RATE_STEP === 0) this.#owner.busy(this, RATE_STEP);
  }

  /** A request to this connection manager itself. */
  async #serve(number: number, payload: Bytes, service: number): Promise<void> {
    const answer = await this.#owner.services.serve(service, { src: this.src, dst: this.dst, payload });
    const now = this.#nowMs();
    if (answer.ok) this.machine.answer(now, number, answer.bytes);
    else this.machine.refuse(now, number, answer.code, answer.bytes);
    this.scheduleFlush();
  }

  #taken(message: Outgoing, error?: P2PError): void {
    const taken = this.#telling.get(message);
    this.#telling.delete(message);
    taken?.(error);
  }

  #settle(message: Outgoing, result: Bytes | P2PError): void {
    const asked = this.#asked.get(message);
    this.#asked.delete(message);
    asked?.settle(result);
  }

  #lost(sent: 'no' | 'maybe', reason: 'expired' | 'ended'): P2PError {
    const closed = reason === 'ended' ? this.#owner.hooks.closedError(`reach ${this.peer}`) : undefined;
    return closed ?? lostError(this.peer, sent, reason, this.machine.closed);
  }
}
