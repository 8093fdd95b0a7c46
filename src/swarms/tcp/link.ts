/** One connection with a peer: the machine, what is under way on it, and what waits for handlers. */

import { isPending } from '../../runtime/promises.ts';
import { type Bytes } from '../../base/bytes.ts';
import { mtuError, P2PError, Refusal } from '../../core/errors.ts';
import { type Message } from '../../core/message.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type Priority } from '../../core/priority.ts';
import { type PublicKey } from '../../core/secure.ts';
import { Driver } from '../../runtime/driver.ts';
import { type Answer, type Serving } from '../../swarm-kit/ask-slot.ts';
import { type MemoryHolder } from '../../sessions/memory-budget.ts';
import { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import { type PeerConnection } from '../../sessions/connection-table.ts';
import { type PeerSession, type SessionsUser } from '../../sessions/session-swarm.ts';
import { type TcpConnection } from '../../node/index.ts';
import { BYE, HELD_MESSAGE_BYTES, REFUSAL_PLAIN, REFUSAL_TOO_LARGE } from '../../protocols/tcp/constants.ts';
import { type TcpClosed, type TcpEvent, type TcpTicket } from '../../protocols/tcp/events.ts';
import { Fifo } from '../../protocols/tcp/fifo.ts';
import { type ReadState, TcpSession } from '../../protocols/tcp/session.ts';
import { type TcpAddr } from './address.ts';
import { sessionError } from './errors.ts';
import { type LinkMemory } from './memory.ts';
import { type ResolvedOptions } from './options.ts';

/** Messages that wait for their turn on one connection; more are refused. */
const MAX_QUEUED_MESSAGES = 65_536;

/** How often reading goes on in one turn, where there is little memory and handlers give it back at once. */
const MAX_ROUNDS_PER_TURN = 64;

/** What a link needs of the swarm. */
export interface LinkHost {
  readonly options: ResolvedOptions;
  readonly user: SessionsUser<TcpAddr>;
  readonly memory: LinkMemory;
  /** The address of a peer; the same object for the same one. */
  addrOf(id: PeerId, ip: string, port: number): TcpAddr;
  /** The peer has said hello. */
  opened(link: Link): void;
  /** Nothing new may go over it. */
  retiring(link: Link): void;
  /** It is over: nothing more is heard of it. */
  ended(link: Link, closed: TcpClosed): void;
}

interface Asked {
  readonly settle: (result: Bytes | P2PError) => void;
  readonly maxResponseBytes: number;
}

export class Link implements PeerSession, PeerConnection {
  readonly connection: TcpConnection<readonly Bytes[]>;
  readonly peer: PeerId;
  readonly publicKey: PublicKey;
  readonly sinceMs: number;
  /** Where the peer is reached, and which of our addresses it uses; known when it has said hello. */
  src: TcpAddr;
  dst: TcpAddr;
  readonly #host: LinkHost;
  readonly #machine: TcpSession;
  readonly #driver: Driver<readonly Bytes[], TcpEvent>;
  readonly #tellBudget: PendingBudget;
  readonly #askBudget: PendingBudget;
  readonly #holder: MemoryHolder;
  #inFlight = 0;
  /** Settles when all that was handed in is read. */
  #unread: PromiseWithResolvers<void> | undefined;
  /** What waits for a handler. Bounded by the window that the peer was given. */
  readonly #inbox = new Fifo<Bytes>();
  readonly #telling = new Map<TcpTicket, (error?: P2PError) => void>(); // Bounded by MAX_QUEUED_MESSAGES.
  readonly #asked = new Map<number, Asked>(); // Bounded by the calls under way.
  readonly #served = new Map<number, Serving>(); // Bounded by the window that the peer was given.
  #peerMaxBytes = Infinity;
  #kicked = false;
  #turnMs = 0;
  #closed: TcpClosed | undefined;

  constructor(
    host: LinkHost,
    connection: TcpConnection<readonly Bytes[]>,
    peer: { readonly id: PeerId; readonly src: TcpAddr; readonly dst: TcpAddr; readonly listeningPort: number },
  ) {
    const { options, user } = host;
    const { realm } = user;
    this.#host = host;
    this.connection = connection;
    this.peer = peer.id;
    this.publicKey = connection.publicKey!;
    this.sinceMs = realm.nowMs();
    this.src = peer.src;
    this.dst = peer.dst;
    this.#tellBudget = new PendingBudget(options.pending);
    this.#askBudget = new PendingBudget(options.pending);
    this.#tellBudget.onRoom = () => this.unpark();
    const { maxMessageBytes, pending, idleTimeoutMs } = options;
    this.#holder = host.memory.join(connection.ip, {
      resume: () => this.#goOn(this.#machine.readOn(this.#nowMs())),
      end: () => {
        user.counters.countDrop('tcp.overloaded');
        this.close(BYE.OVERLOADED, 'it holds memory that others wait for');
      },
    });
    this.#machine = new TcpSession(
      {
        maxMessageBytes,
        // So that a largest message in a handler's hands leaves room for others.
        windowBytes: host.memory.windowFor(pending.maxPendingBytes + maxMessageBytes),
        port: peer.listeningPort,
        side: connection.side,
        idleTimeoutMs,
        mayHold: (bytes) => this.#holder.mayTake(bytes),
        highWaterBytes: () => host.memory.highWaterBytes,
      },
      realm.nowMs(),
    );
    this.#driver = new Driver(this.#machine, {
      realm,
      transmit: (pieces) => this.#transmit(pieces),
      event: (event) => this.#event(event),
      failed: (bug) => user.failed(bug),
      background: true,
    });
    this.#driver.poll();
  }

  /** Whether messages can go over it. */
  get isOpen(): boolean {
    return this.#machine.isOpen;
  }

  get unacknowledged(): number {
    return this.#machine.unacknowledged;
  }

  /** Whether the peer has ever said hello. */
  get hasOpened(): boolean {
    return this.#peerMaxBytes < Infinity;
  }

  /** The largest message that the peer takes. */
  get peerMaxBytes(): number {
    return this.#peerMaxBytes;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#machine.queuedBytes;
  }

  tell(payload: Uint8Array, taken: (error?: P2PError) => void, priority?: Priority): true | (() => void) {
    const refused = this.#refusal(payload);
    if (refused !== undefined) {
      taken(refused);
      return () => {};
    }
    // One look at the clock for all tells of a turn.
    if (!this.#kicked) this.#turnMs = this.#nowMs();
    const ticket = this.#machine.tell(this.#turnMs, payload, priority);
    this.#host.user.counters.countSent(payload.length);
    this.#kick();
    if (ticket === undefined) return true;
    this.#telling.set(ticket, taken);
    return () => {
      if (!this.#telling.delete(ticket)) return;
      this.#machine.giveUpTell(ticket);
      this.#kick();
    };
  }

  ask(
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority?: Priority,
  ): () => void {
    const refused = this.#refusal(request);
    if (refused !== undefined) {
      settle(refused);
      return () => {};
    }
    const id = this.#machine.ask(this.#nowMs(), request, maxResponseBytes, priority);
    this.#host.user.counters.countSent(request.length);
    this.#asked.set(id, { settle, maxResponseBytes });
    this.#kick();
    return () => {
      if (!this.#asked.delete(id)) return;
      this.#machine.cancelAsk(id);
      this.#kick();
    };
  }

  get isDialled(): boolean {
    return this.connection.side === 'responder';
  }

  get host(): string {
    return this.connection.ip;
  }

  /** When a message last came or went; `undefined` while one is under way. */
  get idleSinceMs(): number | undefined {
    return this.#machine.isQuiet ? Math.max(this.#machine.saidMs, this.sinceMs) : undefined;
  }

  /** Bytes that came. Nothing more must come before the promise settles. */
  handleBytes(chunk: Bytes): void | Promise<void> {
    this.#holder.move(chunk.length);
    this.#goOn(this.#machine.handleBytes(this.#nowMs(), chunk));
    return this.#unread?.promise;
  }

  /** Reads on, in this turn and in later ones, as long as there is memory. */
  #goOn(first: ReadState): void {
    let state = first;
    for (let rounds = 1; ; rounds++) {
      this.#driver.poll();
      this.#account();
      if (this.#closed !== undefined || state === 'done') {
        this.#unread?.resolve();
        this.#unread = undefined;
        return;
      }
      this.#unread ??= Promise.withResolvers();
      if (state === 'held' && !this.#holder.mayTake()) {
        this.#holder.wait();
        return;
      }
      if (state === 'more' || rounds === MAX_ROUNDS_PER_TURN) {
        this.#host.user.later(() => this.#goOn(this.#machine.readOn(this.#nowMs())));
        return;
      }
      state = this.#machine.readOn(this.#nowMs());
    }
  }

  /** Tells the budget of the swarm what is held for this peer; handlers hold their messages when it has gone, too. */
  #account(): void {
    const [tells, asks] = [this.#tellBudget, this.#askBudget];
    const { bytes, stalling } = this.#machine.held;
    if (this.#closed === undefined) this.#holder.update(bytes, stalling);
    else this.#holder.update(tells.bytes + asks.bytes + (tells.messages + asks.messages) * HELD_MESSAGE_BYTES, 0);
    const inFlight = this.#closed === undefined ? this.#machine.inFlight : 0;
    this.#host.memory.writing(inFlight - this.#inFlight);
    this.#inFlight = inFlight;
  }

  /** The connection is gone, or about to go. */
  handleEnd(reason: string): void {
    this.#machine.handleEnd(reason);
    this.#driver.poll();
  }

  /** Has the peer say how far it has read. */
  requestAcknowledgement(): void {
    this.#machine.requestAcknowledgement();
    this.#kick();
  }

  /** Lets the messages on it come to their end, and begins no new ones. */
  retire(code: number): void {
    this.#machine.retire(this.#nowMs(), code);
    this.#kick();
  }

  /** Ends it now, with a word to the peer. */
  close(code: number, reason: string): void {
    this.#machine.close(code, reason);
    this.#driver.poll();
  }

  /** There is room again, or a handler: hands out what waits. */
  unpark(): void {
    this.#deliver();
    this.#kick();
  }

  #nowMs(): number {
    return this.#host.user.realm.nowMs();
  }

  /** Has what was asked for in this turn done together: one record for many messages. */
  #kick(): void {
    if (this.#kicked || this.#closed !== undefined) return;
    this.#kicked = true;
    this.#host.user.later(() => {
      this.#kicked = false;
      this.#driver.poll();
      this.#account();
    });
  }

  #refusal(payload: Uint8Array): P2PError | undefined {
    const { length } = payload;
    if (length > this.#peerMaxBytes) return mtuError(`reach ${this.src.text}`, length, this.#peerMaxBytes);
    const { queued, queuedBytes } = this.#machine;
    const { maxQueueBytes } = this.#host.options;
    if (queued < MAX_QUEUED_MESSAGES && (queued === 0 || queuedBytes + length <= maxQueueBytes)) return undefined;
    const what = `Cannot reach ${this.src.text}: ${queued} messages, ${queuedBytes} bytes, wait for it already`;
    return new P2PError('limit_exceeded', 'local', `${what}; await what was sent, or raise maxQueueBytes`, {
      sent: 'no',
    });
  }

  #transmit(pieces: readonly Bytes[]): void {
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    this.#send(pieces).then(
      () => {
        this.#holder.move(bytes);
        this.#machine.handleFlushed(bytes);
        this.#driver.poll();
        this.#account();
      },
      () => this.handleEnd('nothing can be written any more'),
    );
  }

  /** Resolves when they are in the kernel. */
  #send(pieces: readonly Bytes[]): Promise<void> {
    try {
      return this.connection.send(pieces, { delivery: true });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #event(event: TcpEvent): void {
    switch (event.type) {
      case 'open':
        this.#peerMaxBytes = event.maxMessageBytes;
        this.#host.opened(this.#at(event.port));
        return;
      case 'tell':
        this.#inbox.push(event.payload);
        this.#deliver();
        return;
      case 'request':
        this.#serve(event.id, event.payload);
        return;
      case 'cancelled':
        this.#served.get(event.id)?.abort(new P2PError('disconnected', 'remote', 'The asker has given up'));
        this.#served.delete(event.id);
        return;
      case 'answer':
        this.#settle(event.id, event.payload);
        return;
      case 'refusal':
        this.#settle(event.id, this.#refused(event.id, event.code, event.payload));
        return;
      case 'taken':
        this.#taken(event.ticket);
        return;
      case 'tell_failed':
        this.#taken(event.ticket, this.#lost(event.sent));
        return;
      case 'ask_failed':
        this.#settle(event.id, this.#lost(event.sent));
        return;
      case 'acknowledged':
        this.#host.user.settled();
        return;
      case 'retiring':
        this.#host.retiring(this);
        return;
      case 'closed':
        this.#closed = event.closed;
        this.#driver.stop();
        this.#holder.leave();
        this.#account();
        this.#unread?.resolve();
        this.#unread = undefined;
        this.#host.ended(this, event.closed);
        return;
    }
  }

  /** A peer that has dialled is at the port it announces; one that we have dialled is where we found it. */
  #at(port: number): this {
    const { connection, src } = this;
    if (connection.side === 'initiator' && port !== 0) this.src = this.#host.addrOf(src.id, connection.ip, port);
    return this;
  }

  #messageOf(payload: Bytes): Message<TcpAddr> {
    return { src: this.src, dst: this.dst, payload };
  }

  #deliver(): void {
    const { user } = this.#host;
    while (this.#inbox.length > 0 && user.listening && !this.#tellBudget.full) {
      const payload = this.#inbox.shift()!;
      const { length } = payload; // the handler may do with it what it likes
      const pending = user.pass(this.#messageOf(payload));
      if (!isPending(pending)) {
        this.#machine.release(length);
        continue;
      }
      this.#tellBudget.take(length);
      void pending.then(() => {
        this.#machine.release(length);
        this.#tellBudget.give(length);
        this.#account();
        this.#kick();
      });
    }
  }

  #serve(id: number, request: Bytes): void {
    const serving = this.#host.user.serve(this.#messageOf(request), this.#askBudget);
    this.#served.set(id, serving);
    const { answer } = serving;
    if (!isPending(answer)) {
      this.#answer(id, answer);
      return;
    }
    void answer.then((result) => {
      this.#account();
      if (this.#served.get(id) === serving) this.#answer(id, result);
    });
  }

  #answer(id: number, answer: Answer): void {
    const { counters } = this.#host.user;
    this.#served.delete(id);
    if (!answer.ok) this.#machine.refuse(this.#nowMs(), id, answer.code, answer.bytes);
    else if (this.#machine.answer(this.#nowMs(), id, answer.bytes)) counters.countSent(answer.bytes.length);
    else counters.countDrop('tcp.answer_too_large');
    this.#kick();
  }

  #settle(id: number, result: Bytes | P2PError): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    asked?.settle(result);
  }

  #refused(id: number, code: number, payload: Bytes): P2PError {
    const cannot = `Cannot ask ${this.src.text}: `;
    if (code === REFUSAL_TOO_LARGE) {
      const limit = this.#asked.get(id)?.maxResponseBytes ?? 0;
      const what = `${cannot}the answer has more than ${limit} bytes; raise maxResponseBytes`;
      return new P2PError('limit_exceeded', 'local', what);
    }
    const plain = code === REFUSAL_PLAIN && payload.length === 0;
    const cause = new Refusal('refused', payload.length === 0 ? undefined : payload, code);
    return new P2PError('refused', 'remote', `${cannot}refused${plain ? '' : ` with code ${code}`}`, { cause });
  }

  #taken(ticket: TcpTicket, error?: P2PError): void {
    const taken = this.#telling.get(ticket);
    this.#telling.delete(ticket);
    taken?.(error);
  }

  #lost(sent: 'no' | 'maybe'): P2PError {
    const closed = this.#machine.end ?? { by: 'lost', code: 0, reason: '' };
    return this.#host.user.closedError(`reach ${this.src.text}`) ?? sessionError(this.peer, closed, sent);
  }
}
