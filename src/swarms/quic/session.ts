/**
 * A session with one peer, over one connection. It sends tells, each on a unidirectional stream; asks and incoming messages are in
 * `asks.ts` and `incoming.ts`.
 */

import type { Addr } from '../../core/addr.ts';
import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { Side } from '../../core/accept.ts';
import type { P2PError } from '../../core/errors.ts';
import type { PeerId } from '../../core/peer-id.ts';
import { DEFAULT_PRIORITY, type Priority } from '../../core/priority.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import type { PeerConnection } from '../../sessions/connection-table.ts';
import type { PeerSession } from '../../sessions/peer-sessions.ts';
import type { QuicConnection } from '../../protocols/quic/connection.ts';
import type { QuicStream } from '../../protocols/quic/stream.ts';
import { IdleWatch } from '../../quic/idle-watch.ts';
import type { StreamHandler } from '../../quic/quic-driver.ts';
import { Sending } from '../../quic/sending.ts';
import type { QuicAddr } from './address.ts';
import { Asks } from './asks.ts';
import { CODE } from './codes.ts';
import { refusedBy } from './errors.ts';
import { Incoming } from './incoming.ts';
import type { SessionHooks } from './session-hooks.ts';
import { SharedBudget } from './swarm-memory.ts';
import { failWaiting, giveStreams, prioritize, type Waiting, WaitingMessages, waitForStream } from './waiting.ts';

/** The peer of a session. */
export interface SessionPeer {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /** The IP, or any text that names where the peer is. */
  readonly host: string;
}

export class Session<I extends Addr> implements PeerSession, PeerConnection, StreamHandler {
  readonly connection: QuicConnection;
  readonly peer: PeerId;
  readonly publicKey: PublicKey;
  readonly host: string;
  readonly sinceMs: Millis;
  readonly askBudget: PendingBudget;
  readonly tellBudget: PendingBudget;
  /** The addresses of the last message, for the next one. */
  ends: { readonly src: QuicAddr<I>; readonly dst: QuicAddr<I> } | undefined;
  readonly #hooks: SessionHooks<Session<I>>;
  readonly #asks: Asks<Session<I>>;
  readonly #incoming: Incoming<Session<I>>;
  readonly #idle: IdleWatch;
  /** Tells that wait for a stream, in order. Bounded by `waitForStream`. */
  readonly #waiting = new WaitingMessages();
  /** Tells whose bytes are not all taken, and what to do then. Bounded by the peer's stream limit, as are the following. */
  readonly #telling = new Map<QuicStream, { readonly sending: Sending; readonly taken: (error?: P2PError) => void }>();
  /** Tells that are not acknowledged. */
  readonly #unacknowledged = new Set<QuicStream>();

  constructor(hooks: SessionHooks<Session<I>>, connection: QuicConnection, peer: SessionPeer, sinceMs: Millis) {
    this.#hooks = hooks;
    this.connection = connection;
    this.peer = peer.id;
    this.publicKey = peer.publicKey;
    this.host = peer.host;
    this.sinceMs = sinceMs;
    this.tellBudget = new SharedBudget(hooks.pending, hooks.memory);
    this.askBudget = new SharedBudget(hooks.pending, hooks.memory);
    this.tellBudget.onRoom = () => this.unpark();
    this.#asks = new Asks<Session<I>>(hooks, connection, peer.id);
    this.#incoming = new Incoming<Session<I>>(hooks, this, this.tellBudget);
    this.#idle = new IdleWatch(connection);
  }

  get side(): Side {
    return this.connection.side;
  }

  get place(): number {
    return this.connection.address;
  }

  get idleSinceMs(): Millis | undefined {
    return this.#idle.since(this.busy, this.#hooks.nowMs());
  }

  /** Bytes of messages that are not whole. */
  get held(): number {
    return this.#incoming.held;
  }

  /** Messages that wait for a stream. */
  get waiting(): number {
    return this.#waiting.size + this.#asks.waiting;
  }

  /** Tells of which the peer has not acknowledged everything, and messages that wait for a stream. */
  get unacknowledged(): number {
    return this.#unacknowledged.size + this.waiting;
  }

  /** Whether something is under way on it. */
  get busy(): boolean {
    return this.unacknowledged > 0 || this.#asks.asked > 0 || this.#incoming.isBusy;
  }

  tell(
    payload: Uint8Array,
    taken: (error?: P2PError) => void,
    priority: Priority = DEFAULT_PRIORITY,
  ): true | (() => void) {
    if (this.#hooks.datagramTells && this.connection.sendDatagram(payload) === 'sent') {
      this.#hooks.countSent(payload.length);
      this.#hooks.scheduleFlush();
      return true;
    }
    let stream: QuicStream | undefined = this.#waiting.size === 0 ? this.connection.open('uni') : undefined;
    let waiting: Waiting | undefined;
    if (stream !== undefined) {
      if (priority !== DEFAULT_PRIORITY) prioritize(stream, priority);
      const done = this.#beginTell(stream, payload, taken);
      this.#hooks.scheduleFlush();
      if (done) return true;
    } else {
      const begin = (opened: QuicStream): void => {
        stream = opened;
        if (this.#beginTell(opened, payload, taken)) taken();
      };
      waiting = { priority, begin, fail: taken };
      waitForStream(this.#waiting, waiting, this.peer);
    }
    return () => {
      if (stream === undefined) this.#waiting.delete(waiting!);
      else if (this.#telling.delete(stream)) {
        stream.reset(CODE.CANCELLED);
        this.handleAcknowledged(stream);
        this.#hooks.scheduleFlush();
      }
    };
  }

  ask(
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority?: Priority,
  ): () => void {
    return this.#asks.ask(request, maxResponseBytes, settle, priority);
  }

  /** The peer allows more streams. */
  handleAvailable(): void {
    giveStreams(this.#waiting, this.connection, 'uni');
    this.#asks.handleAvailable();
  }

  /** Datagrams have come: each is a tell. */
  handleDatagrams(): void {
    for (let payload; (payload = this.connection.receiveDatagram()) !== undefined;) this.#hooks.deliver(this, payload);
  }

  handleOpened(stream: QuicStream): void {
    this.#incoming.handleOpened(stream);
  }

  handleReadable(stream: QuicStream): void {
    if (!this.#asks.handleReadable(stream)) this.#incoming.handleReadable(stream);
  }

  handleWritable(stream: QuicStream): void {
    const told = this.#telling.get(stream);
    if (told?.sending.write(stream) === true) {
      this.#telling.delete(stream);
      told.taken();
    }
    this.#asks.handleWritable(stream);
    this.#incoming.handleWritable(stream);
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
    this.#asks.handleStopped(stream);
    this.#incoming.handleStopped(stream);
  }

  /** There is room again, or a handler: reads what was left unread. */
  unpark(): void {
    this.#incoming.unpark();
  }

  /** The connection is over: everything under way fails. */
  handleClosed(error: (sent: 'no' | 'maybe') => P2PError): void {
    failWaiting(this.#waiting, () => error('no'));
    for (const { taken } of this.#telling.values()) taken(error('maybe'));
    this.#telling.clear();
    this.#unacknowledged.clear();
    this.#asks.handleClosed(error);
    this.#incoming.handleClosed(error);
    this.#hooks.settled();
  }

  /** Writes a tell on its stream. @returns whether the transport has all of it; if not, `taken` is called then. */
  #beginTell(stream: QuicStream, payload: Uint8Array, taken: (error?: P2PError) => void): boolean {
    this.#unacknowledged.add(stream);
    this.#hooks.countSent(payload.length);
    const written = stream.write(payload, true);
    // An empty message is written for its end alone, which a stream that is not open does not take.
    if (written === payload.length && stream.sendState !== 'open') return true;
    this.#telling.set(stream, { sending: new Sending([payload.subarray(written)]), taken });
    return false;
  }
}
