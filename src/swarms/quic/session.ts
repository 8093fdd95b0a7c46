/** A session with one peer, over one connection: what goes out, what comes in, and how it stands among others. */

import { type Addr } from '../../core/addr.ts';
import { type Bytes } from '../../base/bytes.ts';
import { type Millis } from '../../base/machine.ts';
import { type Side } from '../../core/accept.ts';
import { type P2PError } from '../../core/errors.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type PendingBudget } from '../../swarm-kit/pending-budget.ts';
import { type PeerConnection } from '../../sessions/connection-table.ts';
import { type PeerSession } from '../../sessions/session-swarm.ts';
import { type QuicConnection } from '../../protocols/quic/connection.ts';
import { type QuicStream } from '../../protocols/quic/stream.ts';
import { IdleWatch } from '../../quic/idle-watch.ts';
import { type QuicAddr } from './address.ts';
import { Incoming } from './incoming.ts';
import { Outgoing } from './outgoing.ts';
import { type SessionHooks } from './session-hooks.ts';
import { SharedBudget } from './swarm-memory.ts';

/** The peer of a session. */
export interface SessionPeer {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /** The IP, or any text that names where the peer is. */
  readonly host: string;
}

export class Session<I extends Addr> implements PeerSession, PeerConnection {
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
  readonly #outgoing: Outgoing<Session<I>>;
  readonly #incoming: Incoming<Session<I>>;
  readonly #idle: IdleWatch;

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
    this.#outgoing = new Outgoing(hooks, connection, peer.id);
    this.#incoming = new Incoming<Session<I>>(hooks, this, this.tellBudget);
    this.#idle = new IdleWatch(connection);
  }

  get side(): Side {
    return this.connection.role === 'client' ? 'responder' : 'initiator';
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
    return this.#outgoing.waiting;
  }

  /** Tells of which the peer has not acknowledged everything. */
  get unacknowledged(): number {
    return this.#outgoing.unacknowledged;
  }

  /** Whether something is under way on it. */
  get busy(): boolean {
    return this.#outgoing.isBusy || this.#incoming.isBusy;
  }

  tell(payload: Uint8Array, taken: (error?: P2PError) => void): true | (() => void) {
    return this.#outgoing.tell(payload, taken);
  }

  ask(request: Uint8Array, maxResponseBytes: number, settle: (result: Bytes | P2PError) => void): () => void {
    return this.#outgoing.ask(request, maxResponseBytes, settle);
  }

  /** The peer allows more streams. */
  handleAvailable(): void {
    this.#outgoing.handleAvailable();
  }

  /** Datagrams have come: each is a tell. */
  handleDatagrams(): void {
    for (let payload; (payload = this.connection.receiveDatagram()) !== undefined;) this.#hooks.deliver(this, payload);
  }

  handleOpened(stream: QuicStream): void {
    this.#incoming.handleOpened(stream);
  }

  handleReadable(stream: QuicStream): void {
    if (!this.#outgoing.handleReadable(stream)) this.#incoming.handleReadable(stream);
  }

  handleWritable(stream: QuicStream): void {
    this.#outgoing.handleWritable(stream);
    this.#incoming.handleWritable(stream);
  }

  handleAcknowledged(stream: QuicStream): void {
    this.#outgoing.handleAcknowledged(stream);
  }

  handleStopped(stream: QuicStream): void {
    this.#outgoing.handleStopped(stream);
    this.#incoming.handleStopped(stream);
  }

  /** There is room again, or a handler: goes on with what was left unread. */
  unpark(): void {
    this.#incoming.unpark();
  }

  /** The connection is over: everything under way fails. */
  handleClosed(error: (sent: 'no' | 'maybe') => P2PError): void {
    this.#outgoing.handleClosed(error);
    this.#incoming.handleClosed(error);
    this.#hooks.settled();
  }
}
