/**
 * The peers of a connection manager: it dials by the reach machine, answers hellos, keeps one session with each peer, and moves it
 * from path to path.
 */

import type { Addr } from '../core/addr.ts';
import type { Bytes } from '../base/bytes.ts';
import type { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import { BYE, NOTICE, PACKET } from '../protocols/peers/constants.ts';
import type { Hello } from '../protocols/peers/hello.ts';
import type { ReachPolicy } from '../protocols/peers/reach/types.ts';
import type { SessionClosed } from '../protocols/peers/session-events.ts';
import { AcceptGate } from '../sessions/accept-gate.ts';
import { MemoryBudget } from '../sessions/memory-budget.ts';
import type { PeerSessions, SessionsHooks } from '../sessions/peer-sessions.ts';
import { type PeerAddr, peerAddr } from './address.ts';
import { after } from './after-first-calls.ts';
import { type GreetedPath, Greeting } from './greeting.ts';
import { EndedSessions } from './ended-sessions.ts';
import { Handshakes } from './handshakes.ts';
import { LiveSession, type LivePath, type LiveSessionOwner } from './live-session.ts';
import { pathInfo } from './peer-info.ts';
import { PeerKinds } from './peer-kinds.ts';
import type { ResolvedOptions } from './options.ts';
import { Reaching } from './reaching.ts';
import { movePaths } from './move-paths.ts';
import { PacketPaths } from './packet-paths.ts';
import { PeerTable } from './peer-table.ts';
import type { KeptBy, PeerWaiter, RemotePeer, RemotePeersHooks } from './remote-peer.ts';
import { enforceLists, recheckAll } from './admission.ts';
import { Services } from './services.ts';
import type { Transport, TransportHooks } from './transport.ts';

/** A session without a path looks for one again after this time: the peer may come by itself. */
const SEEK_AGAIN_MS = 500;
/** Two hellos within this time belong to one connection that both sides have opened. */
const SIMULTANEOUS_MS = 1000;

export class RemotePeers implements PeerSessions<PeerAddr>, TransportHooks {
  readonly inUse: ReadonlyMap<PeerId, LiveSession>;
  readonly reaching: Reaching;
  /** What peers may ask of this connection manager itself. */
  readonly services: Services;
  /** What this node does for others: bits of `ABILITY`. */
  abilities = 0;
  readonly #inUse = new Map<PeerId, LiveSession>();
  readonly #peers: PeerTable;
  readonly #options: ResolvedOptions;
  readonly #hooks: SessionsHooks<PeerAddr>;
  readonly #above: RemotePeersHooks;
  readonly #greeting: Greeting;
  readonly #handshakes: Handshakes;
  readonly #gate: AcceptGate<PeerAddr>;
  readonly #memory: MemoryBudget;
  readonly #ended = new EndedSessions();
  readonly #owner: LiveSessionOwner;
  readonly #packetPaths: PacketPaths;
  #nextPath = 1;
  #nextMove = 0;
  readonly #kinds: PeerKinds;
  #isClosed = false;

  constructor(options: ResolvedOptions, hooks: SessionsHooks<PeerAddr>, above: RemotePeersHooks) {
    this.#options = options;
    this.#peers = new PeerTable(options.maxPeers);
    this.#hooks = hooks;
    this.#above = above;
    this.inUse = this.#inUse;
    this.services = new Services(hooks.counters);
    const { realm } = hooks;
    this.#kinds = new PeerKinds(options, {
      changed: (change) => above.changed(change),
      proven: (id, addr) => this.reaching.proven(id, addr),
    });
    this.#memory = new MemoryBudget(Math.max(options.maxHeldBytes, options.limits.maxMessageBytes), realm);
    this.#gate = new AcceptGate({
      realm,
      accept: options.accept,
      onFault: ({ addr }, cause) => {
        hooks.counters.countDrop('handler_error');
        this.#trace('handler_error', addr, 'accept', cause);
      },
    });
    this.#greeting = this.#makeGreeting();
    this.#handshakes = new Handshakes({
      realm,
      hello: (peer, transport, addr, token) => this.#greeting.hello(this.#peers.add(peer), transport, addr, token),
      welcomed: (attempt, src, welcome) => this.#greeting.welcomed(attempt, src, welcome),
      greeted: (transport, src, hello) => this.#greeting.greeted(transport, src, hello),
      outcome: (attempt, result) => this.reaching.outcome(attempt, result),
      replay: (transport, src, packet) => this.received(transport, src, packet),
      malformed: (transport, src) => this.#malformed(transport, src),
      keyElsewhere: (peer) => this.#keyElsewhere(peer, true),
    });
    this.#packetPaths = new PacketPaths({
      nowMs: () => realm.nowMs(),
      pathOf: (id, transport) => this.#peers.get(id)?.paths.get(transport),
      hold: (transport, src, packet) => this.#handshakes.hold(transport, src, packet),
      dropped: () => hooks.counters.countDrop('peers.no_path'),
    });
    this.reaching = new Reaching(options, {
      realm,
      dial: (attempt, id, transport, addr) => this.#handshakes.dial(attempt, id, transport, addr),
      abandon: (attempt) => this.#handshakes.abandon(attempt),
      unreachable: (id, error) => this.#unreachable(id, error),
      failed: (bug) => hooks.failed(bug),
    });
    this.#owner = {
      options,
      hooks,
      own: peerAddr(options.id),
      rankOf: (path) => this.reaching.rankOf(path),
      join: (host, end) => this.#memory.join(host, { resume: () => undefined, end }),
      streamOpened: (stream) => above.streamOpened(stream),
      pathChanged: (session, path, reason) => this.#pathChanged(session, path, reason),
      stranded: ({ peer }) => this.#seek(this.#peers.get(peer)),
      pathEnded: (path, reason) => this.#pathEnded(path, reason),
      fault: (session, reason) => {
        this.#trace('fault', peerAddr(session.peer), reason);
        this.#above.signal(session.path?.addr, session.peer, 'malformed', reason);
      },
      noticed: ({ peer }, code) => {
        if (code === NOTICE.KEY_IN_USE) this.#keyElsewhere(peer, false);
      },
      services: this.services,
      // Not inside of the event that says so.
      renew: (session, reason) => hooks.later(() => this.#renew(session, reason)),
      busy: (session, messages) => this.#above.signal(session.path?.addr, session.peer, 'rate', undefined, messages),
      ended: (session, closed) => this.#sessionEnded(session, closed),
    };
  }

  get peers(): Iterable<RemotePeer> {
    return this.#peers.values();
  }

  get(id: PeerId): RemotePeer | undefined {
    return this.#peers.get(id);
  }

  /** The session with a peer that has said hello. */
  openSession(id: PeerId): LiveSession | undefined {
    const session = this.#peers.get(id)?.session;
    return session?.hasOpened === true ? session : undefined;
  }

  knownKey(id: PeerId): PublicKey | undefined {
    return this.#peers.keyOf(id);
  }

  get acknowledged(): boolean {
    return [...this.#inUse.values()].every(({ machine }) => machine.unacknowledged === 0);
  }

  get state(): Readonly<Record<string, number>> {
    const { size: attempts } = this.#handshakes;
    return { peers: this.#peers.size, sessions: this.#inUse.size, attempts, heldBytes: this.#memory.held };
  }

  unpark(): void {
    for (const session of this.#inUse.values()) session.unpark();
  }

  recheck(): Promise<void> {
    return recheckAll(this.#gate, this.#peers.values());
  }

  disconnect(id: PeerId, code: number = BYE.DROPPED, reason = 'dropped'): boolean {
    const session = this.#inUse.get(id);
    session?.close(code, reason);
    return session !== undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#gate.close();
    this.#handshakes.close();
    this.reaching.close();
    void this.#kinds.close();
    for (const session of this.#inUse.values()) session.close(BYE.CLOSED, 'closed');
    const error = this.#hooks.closedError('reach the peer')!;
    for (const peer of this.#peers.values()) for (const { fail } of peer.waiters) fail(error);
    this.#peers.clear();
  }

  withSession(
    dst: PeerAddr,
    fail: (error: P2PError) => void,
    use: (session: LiveSession) => void,
    intent: 'connect' | 'bootstrap' = 'connect',
  ): () => void {
    const known = this.#peers.get(dst.id);
    if (known?.session?.hasOpened === true) {
      use(known.session);
      if (known.session.machine.paths.current?.isInDoubt === true) this.reaching.doubt(dst.id);
      this.#seek(known);
      return () => {};
    }
    const peer = this.#peers.add(dst.id);
    // A node that wants this peer itself is not refused like one that looks for any peer.
    peer.intent = peer.waiters.size === 0 || intent === 'connect' ? intent : peer.intent;
    const waiter: PeerWaiter = { use, fail };
    peer.waiters.add(waiter);
    this.#seek(peer);
    return () => {
      if (peer.waiters.delete(waiter)) this.#rest(peer);
    };
  }

  /** The lists have changed: sessions that they refuse end. */
  enforce(): void {
    enforceLists(this.#options.lists, this.#peers.values());
  }

  /** Which paths to a peer may be used; those that are open and are excluded end. */
  setPolicy(id: PeerId, policy: ReachPolicy): void {
    this.reaching.setPolicy(id, policy);
    for (const path of this.#peers.get(id)?.paths.values() ?? []) {
      const reason = this.reaching.excludes(id, path.kind, path.addr);
      if (reason !== undefined) this.#pathEnded(path, reason);
    }
  }

  /** Keeps a session with a peer, until it is let go. */
  maintain(id: PeerId, isKept: boolean, by: KeptBy = 'program'): void {
    const peer = this.#peers.add(id);
    peer.keep(by, isKept);
    this.reaching.maintain(id, peer.isMaintained);
    this.#rest(peer);
  }

  /** Own transports are replaced: peers on them are told where this node is now, and dialled from there. */
  move(retired: readonly Transport[], fresh: readonly Transport[]): void {
    movePaths(this.#peers.values(), retired, fresh, (id, next, addr) =>
      // Attempts of its own, which the reach machine does not know.
      this.#handshakes.dial(--this.#nextMove, id, next, addr),
    );
  }

  /** The host slept, or its network has changed. */
  wake(): void {
    for (const { session } of this.#peers.values()) session?.wake();
    this.reaching.wake(this.#peers.inUse);
  }

  // From the transports.

  received(transport: Transport, src: Addr, packet: Bytes): void {
    if (this.#isClosed) return;
    if (packet.length > 0 && packet[0]! <= PACKET.DENIED) {
      this.#handshakes.received(transport, src, packet);
      return;
    }
    const path = this.#packetPaths.find(transport, src, packet);
    path?.session.handlePacket(path, packet);
  }

  disconnected(transport: Transport, peer: PeerId, reason: string): void {
    const path = this.#peers.get(peer)?.paths.get(transport);
    if (path !== undefined) this.#removePath(path, reason === '' ? 'disconnected' : reason);
  }

  failed(transport: Transport, cause: unknown): void {
    this.#trace('transport_failed', undefined, transport.name, cause);
    const text = cause instanceof Error ? cause.message : 'it has ended';
    this.#above.changed({ type: 'fault', source: transport.name, text });
    for (const path of this.#peers.pathsOn(transport)) this.#removePath(path, 'the transport failed');
  }

  /** A path has carried hello and welcome. */
  #opened(peer: RemotePeer, session: LiveSession, hello: Hello, { transport, addr, side, beganMs }: GreetedPath): void {
    const nowMs = this.#hooks.realm.nowMs();
    if (side === 'initiator' && !peer.isAnnounced) this.#peers.addStranger(peer.id, transport.hostOf(addr));
    peer.publicKey = session.publicKey = transport.keyOf(addr)!;
    this.#inUse.set(peer.id, session);
    const kind = this.reaching.kindOf(peer.id, transport, addr, side);
    const before = peer.paths.get(transport);
    if (before !== undefined) this.#above.signal(addr, peer.id, 'handshakes', 'hello again');
    if (before !== undefined && before.sinceMs >= (beganMs ?? nowMs - SIMULTANEOUS_MS)) {
      // Both sides have opened it.
      this.#packetPaths.opened(peer.id, addr, before);
      session.poll();
    } else {
      const path: LivePath = {
        id: this.#nextPath++,
        transport,
        addr,
        kind,
        session,
        sinceMs: nowMs,
        side,
        isOpen: true,
      };
      peer.paths.set(transport, path);
      this.#packetPaths.opened(peer.id, addr, path);
      session.addPath(path);
      // Only now: a session without a path looks for one.
      if (before !== undefined) this.#removePath(before, 'the peer has opened it again');
    }
    if (peer.isKeyElsewhere) session.notify(NOTICE.KEY_IN_USE);
    peer.isKeyElsewhere = false;
    for (const { use } of peer.takeWaiters()) use(session);
    session.poll(); // What waited goes out together with what opens the path.
    if (kind === 'direct') this.#kinds.opened(peer, session, hello, addr, side);
    this.reaching.claims(peer.id, hello.addrs);
    this.#rest(peer);
  }

  /** Another process uses this node's key. The one that is refused leaves the peer alone, so that they do not take turns. */
  #keyElsewhere(peer: PeerId, isRefused: boolean): void {
    if (isRefused) this.reaching.pause(peer);
    this.#trace('own_key_elsewhere', peerAddr(peer), 'another process uses this key');
    this.#above.changed({ type: 'key_elsewhere', id: peer });
  }

  #malformed(transport: Transport, src: Addr): void {
    this.#hooks.counters.countDrop('malformed');
    this.#trace('dropped', src, 'malformed');
    this.#above.signal(src, transport.peerOf(src), 'malformed', 'hello');
  }

  #makeGreeting(): Greeting {
    const isClosed = (): boolean => this.#isClosed;
    return new Greeting({
      options: this.#options,
      counters: this.#hooks.counters,
      gate: this.#gate,
      get isClosed() {
        return isClosed();
      },
      wallMs: () => this.#hooks.realm.wallMs(),
      ownAddrs: ({ kind }) => this.reaching.ownAddrs(kind),
      abilities: () => this.abilities,
      excludes: (id, transport, addr) => this.reaching.excludes(id, transport.kind, addr),
      find: (id) => this.#peers.get(id),
      peer: (id) => this.#peers.add(id),
      session: (peer, transport, addr) => this.#sessionOf(peer, transport.hostOf(addr)),
      restart: (peer, transport, addr, wallMs) => this.#restart(peer, transport.hostOf(addr), wallMs),
      isEnded: (session) => this.#ended.has(session),
      successor: (session) => this.#ended.successor(session),
      hasRoom: (host) => this.#peers.hasRoom(host),
      opened: (peer, session, hello, path) => this.#opened(peer, session, hello, path),
      clockDiffers: (id, differenceMs) => this.#above.changed({ type: 'clock_differs', id, differenceMs }),
      signal: (...signal) => this.#above.signal(...signal),
      rest: (peer) => this.#rest(peer),
    });
  }

  // Sessions.

  #sessionOf(peer: RemotePeer, host: string): LiveSession {
    if (peer.session !== undefined) return peer.session;
    const session = new LiveSession(this.#owner, peer.id, host);
    session.machine.isMaintained = peer.isMaintained;
    peer.session = session;
    return session;
  }

  #restart(peer: RemotePeer, host: string, wallMs: number): LiveSession {
    const theirs = peer.session?.machine.peerSession;
    if (theirs !== undefined) this.#ended.add(theirs, { atMs: this.#hooks.realm.nowMs(), wallMs });
    this.#above.signal(peer.session?.path?.addr, peer.id, 'handshakes', 'session again');
    peer.replaceSession(() => this.#sessionOf(peer, host), 'the peer has begun anew');
    return this.#sessionOf(peer, host);
  }

  /** The session is over when there was something to say: it is said in the next one. */
  #renew(session: LiveSession, reason: string): void {
    const peer = this.#peers.get(session.peer);
    if (peer?.session !== session) return;
    peer.replaceSession(() => this.#sessionOf(peer, session.host), reason);
    this.#seek(peer);
  }

  #sessionEnded(session: LiveSession, { by, reason }: SessionClosed): void {
    const peer = this.#peers.get(session.peer);
    const { peerSession } = session.machine;
    if (peerSession !== undefined) this.#ended.add(peerSession);
    if (peer === undefined || peer.session !== session) return;
    peer.session = undefined;
    this.#handshakes.endMoves(peer.id);
    peer.isAdmitted = false;
    this.#inUse.delete(peer.id);
    peer.closePaths();
    this.#peers.removeStranger(peer.id);
    if (peer.isAnnounced) {
      peer.isAnnounced = false;
      this.#above.changed({
        type: 'lost',
        id: peer.id,
        reason: by === 'peer' ? `the peer ended it: ${reason}` : reason,
      });
    }
    this.reaching.disconnected(peer.id, reason);
    this.#hooks.settled();
    this.#rest(peer);
  }

  #pathChanged(session: LiveSession, path: LivePath | undefined, reason: string): void {
    const peer = this.#peers.get(session.peer);
    if (peer === undefined || peer.session !== session) return;
    if (path === undefined) {
      this.reaching.disconnected(peer.id, reason);
      this.#seek(peer);
    } else this.reaching.connected(peer.id, path);
    const info = path === undefined ? undefined : pathInfo(path);
    if (peer.isAnnounced) this.#above.changed({ type: 'path', id: peer.id, path: info, reason });
    else if (info !== undefined) {
      peer.isAnnounced = true;
      this.#trace('session', peerAddr(peer.id), info.transport);
      this.#above.changed({ type: 'connected', id: peer.id, kind: peer.kind, path: info });
    }
  }

  #pathEnded(path: LivePath, reason: string): void {
    this.#removePath(path, reason);
    path.transport.disconnect(path.addr);
  }

  #removePath(path: LivePath, reason: string): void {
    this.#peers.get(path.session.peer)?.forgetPath(path);
    path.session.removePath(path, reason);
  }

  // Reaching.

  #seek(peer: RemotePeer | undefined): void {
    if (peer === undefined || peer.paths.size > 0 || !peer.needsPath || this.#isClosed) return;
    peer.want ??= this.reaching.want(peer.id);
  }

  /** Gives up what is not needed any more. */
  #rest(peer: RemotePeer): void {
    if (peer.isHeld) return;
    if (peer.want !== undefined && (peer.paths.size > 0 || !peer.needsPath)) {
      this.reaching.unwant(peer.want);
      peer.want = undefined;
    }
    const { session } = peer;
    // A session that never had a path, and that nobody waits for.
    if (session !== undefined && !session.hasOpened && peer.want === undefined && !peer.isMaintained) {
      peer.session = undefined;
      session.end('given up');
    }
    if (!peer.isUsed) this.#peers.remove(peer);
  }

  #unreachable(id: PeerId, error: P2PError): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#above.changed({ type: 'unreachable', id, reason: error.message });
    for (const { fail } of peer.takeWaiters()) fail(error);
    if (peer.want !== undefined) {
      this.reaching.unwant(peer.want);
      peer.want = undefined;
    }
    // A session without a path waits for `resumeMs`; meanwhile it is sought again.
    const seekAgain = (): void => this.#seek(this.#peers.get(id));
    if (peer.session?.hasOpened === true) after(this.#hooks.realm, SEEK_AGAIN_MS, seekAgain);
    this.#rest(peer);
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    this.#hooks.realm.trace?.({ layer: 'peers', type, atMs: this.#hooks.realm.nowMs(), addr, reason, cause });
  }
}
