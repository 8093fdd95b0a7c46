/** The connections of a TCP swarm: dialling, admission, and the choice of the connection to send on. */

import { type IpAddr, isUnspecified, makeAddr } from '../../core/addr.ts';
import type { AcceptPeer } from '../../core/accept.ts';
import type { Addr } from '../../core/addr.ts';
import type { Bytes } from '../../base/bytes.ts';
import type { DropReason } from '../../core/counters.ts';
import { P2PError } from '../../core/errors.ts';
import { formatSocketAddress, ipVersion, parseSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { PublicKey } from '../../core/secure.ts';
import { AcceptGate, askUntilAborted } from '../../sessions/accept-gate.ts';
import type { PeerSessions, SessionsHooks } from '../../sessions/peer-sessions.ts';
import { type Node, onConnect, onDisconnect, reading, type TcpConnection, writing } from '../../node/index.ts';
import { BYE } from '../../protocols/tcp/constants.ts';
import type { TcpClosed } from '../../protocols/tcp/events.ts';
import { ConnectionTable } from '../../sessions/connection-table.ts';
import type { Dial } from '../../sessions/dials.ts';
import { DropTrace } from '../../sessions/drop-trace.ts';
import type { StreamAddr } from './address.ts';
import { dialError, foundError, helloError } from './errors.ts';
import { TcpPeerSession, type PeerSessionOwner } from './peer-session.ts';
import { SwarmMemory } from './memory.ts';
import type { ResolvedOptions } from './options.ts';

/** The time limit for a peer to close its half after this side has closed its own. */
const LINGER_MS = 1000;
/** The machine closes connections whose peer does not read; this limit of the node is longer. */
const WRITE_TIMEOUT_MS = 60_000;
/** More than the machine ever passes on. */
const WRITE_QUEUE_BYTES = 4_194_304;

/** The node below: its messages are raw bytes. */
export type TcpNode = Node<Bytes, readonly Bytes[]>;

/** What differs between swarms over connections of TCP. */
export interface StreamKind<A extends StreamAddr> extends Pick<PeerSessionOwner<A>, 'machine'> {
  /** The name of the layer: `tcp`. */
  readonly layer: string;
  addrOf(id: PeerId, at: SocketAddress): A;
  /** How addresses of this kind show a PeerID. */
  nameOf(id: PeerId): string;
  parseAddr(text: string): A;
}

/** Returns why a peer that has proven a key is refused, or `undefined`. */
export type Judge = (
  connection: TcpConnection,
  publicKey: PublicKey,
  signal: AbortSignal,
) => Promise<P2PError | undefined>;

/** A dial is identified by the controller that aborts it. */
type StreamDial<A extends StreamAddr> = Dial<A, TcpPeerSession<A>, AbortController>;

export class TcpSessions<A extends StreamAddr> implements PeerSessions<A> {
  readonly inUse: ReadonlyMap<PeerId, TcpPeerSession<A>>;
  readonly #kind: StreamKind<A>;
  readonly #node: TcpNode;
  readonly #options: ResolvedOptions<A>;
  readonly #hooks: SessionsHooks<A>;
  readonly #gate: AcceptGate<A>;
  readonly #owner: PeerSessionOwner<A>;
  /** Sessions on which both sides have sent their hello. */
  readonly #table: ConnectionTable<TcpPeerSession<A>, A, AbortController, PublicKey>;
  /** All sessions, by connection id. Bounded by `maxConnections`. */
  readonly #sessions = new Map<number, TcpPeerSession<A>>();
  readonly #memory: SwarmMemory;
  readonly #drops: DropTrace;
  #isClosed = false;
  /** Whether a call has waited for acknowledgements since a dial began. */
  #isDraining = false;

  constructor(node: TcpNode, kind: StreamKind<A>, options: ResolvedOptions<A>, hooks: SessionsHooks<A>) {
    this.#kind = kind;
    this.#node = node;
    this.#options = options;
    this.#hooks = hooks;
    this.#memory = new SwarmMemory(Math.max(options.maxSwarmBytes, options.maxMessageBytes), hooks.realm);
    this.#owner = this.#makeOwner();
    this.#table = this.#makeTable();
    this.inUse = this.#table.inUse;
    this.#drops = new DropTrace(hooks.realm, kind.layer);
    this.#gate = new AcceptGate({
      realm: hooks.realm,
      accept: options.accept,
      onFault: ({ addr }, cause) => {
        hooks.counters.countDrop('handler_error');
        this.#trace('handler_error', addr, 'accept', cause);
      },
    });
    node.enable(writing({ timeoutMs: WRITE_TIMEOUT_MS, maxQueueBytes: WRITE_QUEUE_BYTES }));
    node.enable(
      reading({
        onMessage: (connection, chunk) => this.#sessions.get(connection.id)?.handleBytes(chunk),
        idleTimeoutMs: Infinity,
        progressTimeoutMs: Infinity,
      }),
    );
    node.enable(onConnect((connection) => this.#connected(connection)));
    node.enable(onDisconnect((connection, { reason }) => this.#sessions.get(connection.id)?.handleEnd(reason)));
  }

  knownKey(id: PeerId): PublicKey | undefined {
    return this.#table.recall(id);
  }

  /** Calls that wait for a dial may be tells. */
  get acknowledged(): boolean {
    if (this.#table.dials.size > 0) return false;
    for (const session of this.#sessions.values()) if (session.unacknowledged > 0) return false;
    return true;
  }

  get state(): Readonly<Record<string, number>> {
    let queuedBytes = 0;
    for (const session of this.#sessions.values()) queuedBytes += session.queuedBytes;
    return {
      peers: this.#table.peers,
      connections: this.#node.connected,
      connecting: this.#node.connecting,
      dials: this.#table.dials.size,
      queuedBytes,
      heldBytes: this.#memory.heldBytes,
      waiting: this.#memory.waiting,
    };
  }

  requestAcknowledgements(): void {
    this.#isDraining = true;
    for (const session of this.#sessions.values()) session.requestAcknowledgement();
  }

  unpark(): void {
    for (const session of this.#sessions.values()) session.unpark();
  }

  disconnect(peer: PeerId): boolean {
    const sessions = this.#table.retireAll(peer);
    for (const session of sessions) session.close(BYE.CLOSED, 'disconnected');
    return sessions.length > 0;
  }

  progress(peer: PeerId): number {
    return this.#table.all(peer).reduce((sum, session) => sum + session.progress(), 0);
  }

  close(): void {
    this.#isClosed = true;
    this.#gate.close();
    for (const session of this.#sessions.values()) session.close(BYE.CLOSED, 'closed');
    for (const { handle } of this.#table.dials.values()) handle.abort();
    this.#table.clear(this.#hooks.closedError('reach the peer')!);
  }

  withSession(dst: A, fail: (error: P2PError) => void, use: (session: TcpPeerSession<A>) => void): () => void {
    const session = this.#table.current(dst.id);
    if (session !== undefined) {
      use(session);
      return () => {};
    }
    const waiter = (result: TcpPeerSession<A> | P2PError): void =>
      result instanceof P2PError ? fail(result) : use(result);
    return this.#table.join(dst.text, dst.text, () => this.#dial(dst), waiter);
  }

  #dial(dst: A): StreamDial<A> {
    const dial = this.#table.dials.add(dst.text, dst, new AbortController());
    void this.#connect(dial);
    return dial;
  }

  /** Dials until there is a connection, or an error; `#opened` continues. */
  async #connect(dial: StreamDial<A>): Promise<void> {
    const { target, handle: abort } = dial;
    const { signal } = abort;
    const bind = this.#sourceFor(target.inner.ip);
    for (;;) {
      try {
        await this.#node.connect(target.inner.text, { tag: abort, signal, bind });
        return;
      } catch (error) {
        const wait = P2PError.is(error, 'in_use') ? this.#inTheWay(dial) : dialError(target, error);
        if (wait instanceof P2PError || signal.aborted) {
          this.#fail(dial, wait instanceof P2PError ? wait : dialError(target, signal.reason));
          return;
        }
        await wait;
      }
    }
  }

  /** What prevents the dial; settles when it may have ended. */
  #inTheWay(dial: StreamDial<A>): Promise<unknown> | P2PError {
    const { target } = dial;
    const existing = this.#node.connection(target.inner.text);
    if (existing !== undefined) {
      const session = this.#sessions.get(existing.id);
      if (session?.isOpen === true && session.peer !== target.id) return this.#foundError(target, session.peer);
      return existing.closed;
    }
    for (const other of this.#table.dials.values()) {
      if (other === dial || other.target.inner.text !== target.inner.text) continue;
      return new Promise((resolve) => void this.#table.dials.join(other, target.text, resolve));
    }
    return this.#foundError(target, this.#options.id);
  }

  /**
   * The local address to dial from: the bound IP, if it is a single one, so that peers see the IP on which this swarm
   * listens.
   */
  #sourceFor(ip: string): string | undefined {
    const own = parseSocketAddress(this.#node.listeningAddr ?? '')?.ip;
    if (own === undefined || isUnspecified(own) || ipVersion(own) !== ipVersion(ip)) return undefined;
    return formatSocketAddress(own, 0);
  }

  #fail(dial: StreamDial<A>, error: P2PError): void {
    if (this.#table.dials.take(dial.handle) === undefined) return;
    this.#trace('handshake_failed', dial.target, error.code, error);
    this.#table.dials.settle(dial, dial.found === undefined ? error : this.#foundError(dial.target, dial.found));
    this.#dialsChanged();
  }

  #foundError(target: A, found: PeerId): P2PError {
    return foundError(target, found, this.#kind.nameOf(found));
  }

  #dialsChanged(): void {
    if (this.#table.dials.size === 0) this.#isDraining = false;
    this.#hooks.settled();
  }

  #dialOf({ tag }: TcpConnection): StreamDial<A> | undefined {
    return tag instanceof AbortController ? this.#table.dials.of(tag) : undefined;
  }

  /** Checks a peer that has proven `publicKey`; returns why it is refused, or `undefined`. */
  async judge(connection: TcpConnection, publicKey: PublicKey, signal: AbortSignal): Promise<P2PError | undefined> {
    const id = this.#options.peerIdOf(publicKey);
    const dial = this.#dialOf(connection);
    // A swarm talks to itself without a connection.
    if (id === this.#options.id || (dial !== undefined && dial.target.id !== id)) {
      if (dial !== undefined) dial.found = id;
      const message = `Cannot accept ${connection.addr}: it is not the peer that was dialled`;
      return new P2PError('identity_mismatch', 'remote', message, { sent: 'no' });
    }
    const addr = dial?.target ?? this.#kind.addrOf(id, connection);
    const accepted = await this.#ask({ id, publicKey, addr, side: connection.side }, connection.ip, signal);
    if (accepted) return undefined;
    this.#hooks.counters.countDrop(`${this.#kind.layer}.not_accepted`);
    // The dialled peer answered, and this side refuses it.
    if (dial !== undefined) dial.found = id;
    return new P2PError('refused', 'local', `Cannot accept ${addr.text}: accept refused it`, { sent: 'no' });
  }

  /** Counts a fault of a peer that is not authenticated. */
  noteFault({ ip, port, side }: TcpConnection, fault: string): void {
    const addr = makeAddr<IpAddr>({ ip, port, text: formatSocketAddress(ip, port) });
    const drop: DropReason = `${this.#kind.layer}.${fault}`;
    this.#hooks.counters.countDrop(drop);
    this.#drops.note('handshake_failed', addr, drop, { side });
  }

  /** Asks `accept` again about every peer, and ends the connections of those it refuses. */
  recheck(): Promise<void> {
    return this.#gate.recheck(
      [...this.#sessions.values()].map((session) => {
        const { peer: id, publicKey, src: addr, connection } = session;
        return [{ id, publicKey, addr, side: connection.side }, () => session.close(BYE.CLOSED, 'refused')] as const;
      }),
    );
  }

  /** False for a connection that is aborted meanwhile. */
  #ask(peer: AcceptPeer<A>, ip: string, signal: AbortSignal): Promise<boolean> {
    return askUntilAborted((settle) => this.#gate.ask(peer, ip, settle), signal);
  }

  #connected(connection: TcpConnection<readonly Bytes[]>): void {
    const id = this.#options.peerIdOf(connection.publicKey!);
    const dial = this.#dialOf(connection);
    const listening = parseSocketAddress(this.#node.listeningAddr ?? '')?.port ?? 0;
    const local = parseSocketAddress(connection.localAddr)!;
    const session = new TcpPeerSession<A>(this.#owner, connection, {
      id,
      src: dial?.target ?? this.#kind.addrOf(id, connection),
      dst: this.#kind.addrOf(this.#options.id, { ip: local.ip, port: listening === 0 ? local.port : listening }),
      listeningPort: listening,
    });
    this.#sessions.set(connection.id, session);
    if (this.#isClosed) session.close(BYE.CLOSED, 'closed');
  }

  #opened(session: TcpPeerSession<A>): void {
    const { connection } = session;
    this.#trace('session', session.src, connection.side);
    const chosen = this.#table.add(session, this.#dialOf(connection)?.handle);
    if (this.#isDraining) chosen.requestAcknowledgement();
    this.#dialsChanged();
  }

  #ended(session: TcpPeerSession<A>, closed: TcpClosed): void {
    const { connection } = session;
    this.#sessions.delete(connection.id);
    this.#table.remove(session);
    if (this.#table.all(session.peer).length === 0) this.#hooks.disconnected(session.peer, closed.reason);
    this.#count(closed, session);
    const dial = this.#dialOf(connection);
    if (dial !== undefined) this.#fail(dial, this.#hooks.closedError('reach') ?? helloError(dial.target, closed));
    this.#hooks.settled();
    // The node closes the remaining connections with the swarm, without waiting for peers.
    if (!this.#isClosed) void connection.disconnect({ timeoutMs: LINGER_MS });
  }

  #count({ by, fault, reason }: TcpClosed, session: TcpPeerSession<A>): void {
    const { counters } = this.#hooks;
    const { layer } = this.#kind;
    let drop: DropReason;
    if (fault !== undefined) drop = fault === 'malformed' || fault === 'oversize' ? fault : `${layer}.${fault}`;
    else if (by === 'timeout') drop = `${layer}.${session.hasOpened ? 'unresponsive' : 'no_hello'}`;
    else return;
    counters.countDrop(drop);
    this.#drops.note('dropped', session.src, drop, { side: session.connection.side, cause: reason });
  }

  #makeTable(): ConnectionTable<TcpPeerSession<A>, A, AbortController, PublicKey> {
    const table: ConnectionTable<TcpPeerSession<A>, A, AbortController, PublicKey> = new ConnectionTable({
      realm: this.#hooks.realm,
      own: this.#options.id,
      expects: ({ id }) => id,
      remember: ({ publicKey }) => publicKey,
      // Calls in progress on it finish, and then the session closes by itself (docs/wire/tcp.md §8).
      replaced: (session) => {
        table.retire(session);
        session.retire(BYE.REPLACED);
        return undefined;
      },
      close: (session) => {
        this.#hooks.counters.countDrop(`${this.#kind.layer}.too_many_connections`);
        session.close(BYE.TOO_MANY, 'too many connections');
      },
      abandoned: ({ handle }) => handle.abort(),
    });
    return table;
  }

  #makeOwner(): PeerSessionOwner<A> {
    return {
      options: this.#options,
      hooks: this.#hooks,
      memory: this.#memory,
      addrOf: (id, ip, port) => this.#kind.addrOf(id, { ip, port }),
      machine: (connection, options, nowMs) => this.#kind.machine(connection, options, nowMs),
      opened: (session) => this.#opened(session),
      retiring: (session) => this.#table.retire(session),
      ended: (session, closed) => this.#ended(session, closed),
    };
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    const { realm } = this.#hooks;
    realm.trace?.({ layer: this.#kind.layer, type, atMs: realm.nowMs(), addr, reason, cause });
  }
}
