/** One connection with a peer: the machine, calls in progress, and messages that wait for handlers. */

import type { Bytes } from '../../base/bytes.ts';
import type { Side } from '../../core/accept.ts';
import type { P2PError } from '../../core/errors.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Priority } from '../../core/priority.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { TcpConnection } from '../../node/index.ts';
import { BYE } from '../../protocols/tcp/constants.ts';
import type { TcpClosed, TcpEvent } from '../../protocols/tcp/events.ts';
import type { MessageSession } from '../../protocols/tcp/message-session.ts';
import type { ReadState, TcpSessionOptions } from '../../protocols/tcp/session-options.ts';
import { Driver } from '../../runtime/driver.ts';
import { later, soon } from '../../runtime/later.ts';
import type { PeerConnection } from '../../sessions/connection-table.ts';
import type { MemoryHolder } from '../../sessions/memory-budget.ts';
import type { KeyedAddr, PeerSession, SessionsHooks } from '../../sessions/peer-sessions.ts';
import { Calls } from './calls.ts';
import { Deliveries } from '../../sessions/deliveries.ts';
import type { SwarmMemory } from './memory.ts';
import type { ResolvedOptions } from './options.ts';

/** How often reading continues without yielding, when memory is low and handlers release it at once. */
const MAX_ROUNDS_PER_TURN = 64;

/** What a session needs from its swarm. */
export interface PeerSessionOwner<A extends KeyedAddr> {
  readonly options: ResolvedOptions<A>;
  readonly hooks: SessionsHooks<A>;
  readonly memory: SwarmMemory;
  /** The address of a peer; returns the same object for equal arguments. */
  addrOf(id: PeerId, ip: string, port: number): A;
  /** The machine of a connection. */
  machine(connection: TcpConnection, options: TcpSessionOptions, nowMs: number): MessageSession;
  /** The peer has sent its hello. */
  opened(session: TcpPeerSession<A>): void;
  /** It takes no new messages. */
  retiring(session: TcpPeerSession<A>): void;
  /** It has ended: the last call. */
  ended(session: TcpPeerSession<A>, closed: TcpClosed): void;
}

export class TcpPeerSession<A extends KeyedAddr> implements PeerSession, PeerConnection {
  readonly connection: TcpConnection<readonly Bytes[]>;
  readonly peer: PeerId;
  readonly publicKey: PublicKey;
  readonly sinceMs: number;
  /** The peer's address, and the local address that it uses; known after its hello. */
  src: A;
  dst: A;
  readonly #owner: PeerSessionOwner<A>;
  readonly #machine: MessageSession;
  readonly #driver: Driver<readonly Bytes[], TcpEvent>;
  readonly #calls: Calls;
  readonly #deliveries: Deliveries<A>;
  readonly #holder: MemoryHolder;
  #inFlight = 0;
  /** Whether reading goes on only when bytes have left, or a message is released. */
  #isFull = false;
  /** Settles when all bytes passed in are read. */
  #unread: PromiseWithResolvers<void> | undefined;
  #peerMaxBytes = Infinity;
  #flushScheduled = false;
  /** Whether the machine is being polled: what is requested meanwhile is done at once. */
  #isPolling = false;
  #turnMs = 0;
  /** What had left and what had not, at the last look. */
  #left = 0;
  #unsent = 0;
  /** How often a look has found that bytes left which had waited for the peer's system. */
  #moved = 0;
  #closed: TcpClosed | undefined;

  constructor(
    owner: PeerSessionOwner<A>,
    connection: TcpConnection<readonly Bytes[]>,
    peer: { readonly id: PeerId; readonly src: A; readonly dst: A; readonly listeningPort: number },
  ) {
    const { options, hooks } = owner;
    const { realm } = hooks;
    this.#owner = owner;
    this.connection = connection;
    this.peer = peer.id;
    this.publicKey = connection.publicKey!;
    this.sinceMs = realm.nowMs();
    this.src = peer.src;
    this.dst = peer.dst;
    const { maxMessageBytes, pending, idleTimeoutMs } = options;
    this.#holder = owner.memory.join(connection.ip, {
      resume: () => this.#goOn(this.#machine.readOn(this.#beginTurn())),
      end: () => {
        hooks.counters.countDrop(`${hooks.counters.layer}.overloaded`);
        this.close(BYE.OVERLOADED, 'it holds memory that others wait for');
      },
    });
    this.#machine = owner.machine(
      connection,
      {
        maxMessageBytes,
        // Larger by the maximum message size, so that a handler holding one such message leaves room for others.
        windowBytes: owner.memory.windowFor(pending.maxPendingBytes + maxMessageBytes),
        port: peer.listeningPort,
        side: connection.side,
        idleTimeoutMs,
        mayHold: (bytes) => this.#holder.mayTake(bytes),
        highWaterBytes: () => owner.memory.highWaterBytes,
      },
      realm.nowMs(),
    );
    this.#calls = new Calls(this, this.#machine, hooks.counters, options.maxQueueBytes);
    this.#deliveries = new Deliveries(this, this.#machine, hooks, pending);
    this.#driver = new Driver(this.#machine, {
      realm,
      transmit: (pieces) => this.#transmit(pieces),
      event: (event) => this.#event(event),
      failed: (bug) => hooks.failed(bug),
      background: true,
    });
    this.#driver.poll();
  }

  /** Whether messages can be sent. */
  get isOpen(): boolean {
    return this.#machine.isOpen;
  }

  get unacknowledged(): number {
    return this.#machine.unacknowledged;
  }

  /** Whether the peer has ever sent its hello. */
  get hasOpened(): boolean {
    return this.#peerMaxBytes < Infinity;
  }

  /** The largest message that the peer accepts. */
  get peerMaxBytes(): number {
    return this.#peerMaxBytes;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#machine.queuedBytes;
  }

  /** Grows when the peer's system shows life; looked at now and then. */
  progress(): number {
    const { sent, wire } = this.connection.stats;
    // What the own system takes at once says nothing of the peer.
    if (this.#unsent > 0 && (sent.bytes > this.#left || wire.unsent < this.#unsent)) this.#moved++;
    this.#left = sent.bytes;
    this.#unsent = wire.unsent;
    return wire.received + this.#moved;
  }

  tell(payload: Uint8Array, taken: (error?: P2PError) => void, priority?: Priority): true | (() => void) {
    return this.#calls.tell(this.turnNowMs(), payload, taken, priority);
  }

  ask(
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority?: Priority,
  ): () => void {
    return this.#calls.ask(this.turnNowMs(), request, maxResponseBytes, settle, priority);
  }

  get side(): Side {
    return this.connection.side;
  }

  get host(): string {
    return this.connection.ip;
  }

  /** When the last message was sent or received; `undefined` while one is in progress. */
  get idleSinceMs(): number | undefined {
    return this.#machine.isQuiet ? Math.max(this.#machine.saidMs, this.sinceMs) : undefined;
  }

  /** Received bytes. No more may be passed before the promise settles. */
  handleBytes(chunk: Bytes): void | Promise<void> {
    this.#holder.move(chunk.length);
    this.#goOn(this.#machine.handleBytes(this.#beginTurn(), chunk));
    return this.#unread?.promise;
  }

  /** Continues reading, now and asynchronously, as long as there is memory. */
  #goOn(first: ReadState): void {
    let state = first;
    for (let rounds = 1; ; rounds++) {
      this.#poll();
      if (this.#closed !== undefined || state === 'done') {
        this.#unread?.resolve();
        this.#unread = undefined;
        return;
      }
      this.#unread ??= Promise.withResolvers();
      this.#isFull = state === 'full';
      if (this.#isFull) return;
      if (state === 'held' && !this.#holder.mayTake()) {
        this.#holder.wait();
        return;
      }
      if (state === 'more' || rounds === MAX_ROUNDS_PER_TURN) {
        this.#owner.hooks.later(() => this.#goOn(this.#machine.readOn(this.#beginTurn())));
        return;
      }
      state = this.#machine.readOn(this.#beginTurn());
    }
  }

  /**
   * Reports the bytes held for this peer to the budget of the swarm; handlers also hold their messages after it has
   * disconnected.
   */
  account(): void {
    const { bytes, stalling } = this.#machine.held;
    if (this.#closed === undefined) this.#holder.update(bytes, stalling);
    else this.#holder.update(this.#deliveries.heldBytes, 0);
    const inFlight = this.#closed === undefined ? this.#machine.inFlight : 0;
    this.#owner.memory.writing(inFlight - this.#inFlight);
    this.#inFlight = inFlight;
  }

  /** The connection has ended, or is about to end. */
  handleEnd(reason: string): void {
    this.#machine.handleEnd(reason);
    this.#driver.poll();
  }

  /** Asks the peer how far it has read. */
  requestAcknowledgement(): void {
    this.#machine.requestAcknowledgement();
    this.scheduleFlush();
  }

  /** Lets messages in progress finish, and begins no new ones. */
  retire(code: number): void {
    this.#machine.retire(this.#nowMs(), code);
    this.scheduleFlush();
  }

  /** Ends it now, and sends the peer the reason. */
  close(code: number, reason: string): void {
    this.#machine.close(code, reason);
    this.#driver.poll();
  }

  /** Delivers waiting messages, when there is room again or a handler was attached. */
  unpark(): void {
    this.#deliveries.handOut();
  }

  closedError(what: string): P2PError | undefined {
    return this.#owner.hooks.closedError(what);
  }

  #nowMs(): number {
    return this.#owner.hooks.realm.nowMs();
  }

  /** Reads the clock once for all calls of a turn. */
  turnNowMs(): number {
    return this.#flushScheduled || this.#isPolling ? this.#turnMs : this.#beginTurn();
  }

  #beginTurn(): number {
    return (this.#turnMs = this.#nowMs());
  }

  /** Polls the machine after something has left, or was released. */
  #proceed(): void {
    if (this.#isFull && this.#closed === undefined) this.#goOn(this.#machine.readOn(this.#beginTurn()));
    else {
      this.#beginTurn();
      this.#poll();
    }
  }

  #poll(): void {
    this.#isPolling = true;
    try {
      this.#driver.poll();
    } finally {
      this.#isPolling = false;
    }
    this.account();
  }

  /**
   * Runs everything requested in this turn together: one record for many messages. While a record is on its way, what follows waits for
   * the next turn, so that a program which awaits each tell does not make a record for each.
   */
  scheduleFlush(): void {
    if (this.#flushScheduled || this.#isPolling || this.#closed !== undefined) return;
    this.#flushScheduled = true;
    const { realm } = this.#owner.hooks;
    if (this.#machine.inFlight > 0) later(realm, this.#flush);
    else soon(realm, this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    if (this.#closed === undefined) this.#proceed();
  };

  #transmit(pieces: readonly Bytes[]): void {
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    // When they are in the kernel.
    const settle = (error?: unknown): void => {
      if (error === undefined) {
        this.#holder.move(bytes);
        this.#machine.handleFlushed(bytes);
        this.#proceed();
      } else this.handleEnd('writing failed');
    };
    try {
      this.connection.send(pieces, { settle });
    } catch (error) {
      // Not within the poll of the machine.
      later(this.#owner.hooks.realm, () => settle(error));
    }
  }

  #event(event: TcpEvent): void {
    switch (event.type) {
      case 'open':
        this.#peerMaxBytes = event.maxMessageBytes;
        this.#owner.opened(this.#at(event.port));
        return;
      case 'tell':
        this.#deliveries.tell(event.payload);
        return;
      case 'request':
        this.#deliveries.request(event.id, event.payload);
        return;
      case 'cancelled':
        this.#deliveries.cancelled(event.id);
        return;
      case 'answer':
        this.#calls.answered(event.id, event.payload);
        return;
      case 'refusal':
        this.#calls.refused(event.id, event.code, event.payload);
        return;
      case 'taken':
        this.#calls.taken(event.ticket);
        return;
      case 'tell_failed':
        this.#calls.taken(event.ticket, event.sent);
        return;
      case 'ask_failed':
        this.#calls.failed(event.id, event.sent);
        return;
      case 'acknowledged':
        this.#owner.hooks.settled();
        return;
      case 'retiring':
        this.#owner.retiring(this);
        return;
      case 'dropped':
        this.#owner.hooks.counters.countDrop(event.reason);
        return;
      case 'closed':
        this.#closed = event.closed;
        this.#driver.stop();
        this.#holder.leave();
        this.account();
        this.#unread?.resolve();
        this.#unread = undefined;
        this.#owner.ended(this, event.closed);
        return;
    }
  }

  /**
   * Sets the address: a peer that dialled listens on the port it announces; a dialled peer is at the dialled address.
   */
  #at(port: number): this {
    const { connection, src } = this;
    if (connection.side === 'initiator' && port !== 0) this.src = this.#owner.addrOf(src.id, connection.ip, port);
    return this;
  }
}
