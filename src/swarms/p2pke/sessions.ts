/** All sessions of a swarm: finds the session of a datagram, handles their events, and ends what the application refuses. */

import type { AcceptPeer, Side } from '../../core/accept.ts';
import type { Addr } from '../../core/addr.ts';
import { equalBytes, type Bytes } from '../../base/bytes.ts';
import { describeDuration } from '../../base/duration.ts';
import { P2PError } from '../../core/errors.ts';
import type { Message } from '../../core/message.ts';
import type { Realm } from '../../core/realm.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import { AcceptGate } from '../../sessions/accept-gate.ts';
import { DropTrace } from '../../sessions/drop-trace.ts';
import type { CounterSet } from '../../swarm-kit/counter-set.ts';
import { RESOLVED } from '../../runtime/promises.ts';
import { FIRST_DATA_COUNTER, INIT_HELLO, MAX_COUNTER, OVERHEAD_BYTES } from '../../protocols/p2pke/constants.ts';
import type { P2pkeDrop } from '../../protocols/p2pke/drop-reason.ts';
import { counterOf } from '../../protocols/p2pke/messages.ts';
import { type P2pkeAddr, p2pkeAddr } from './address.ts';
import { handshakeError, isNoRoute } from './errors.ts';
import { hostOf } from './host.ts';
import { IncomingHellos } from './incoming-hellos.ts';
import type { ResolvedP2pke } from './options.ts';
import { PeerSession, type PeerSessionEvent, type PeerSessionHooks } from './peer-session.ts';
import { PendingTells } from './pending-tells.ts';
import { SessionTable } from './session-table.ts';

const REFUSAL_REMEDY = 'set the clock, or wait for ten minutes after the last handshake';

/** What sessions need of their swarm. */
export interface SessionsHooks<I extends Addr> {
  readonly inner: Swarm<I>;
  readonly realm: Realm;
  readonly counts: CounterSet;
  readonly isClosed: boolean;
  deliver(src: P2pkeAddr<I>, dst: I, payload: Bytes): void;
  failed(bug: Error): void;
}

/** All sessions of a swarm. */
export class Sessions<I extends Addr> {
  readonly table: SessionTable<I>;
  readonly hellos: IncomingHellos<I>;
  readonly pending: PendingTells<I>;
  readonly #hooks: SessionsHooks<I>;
  readonly #options: ResolvedP2pke<I>;
  readonly #gate: AcceptGate<P2pkeAddr<I>>;
  readonly #sessionHooks: PeerSessionHooks<I>;
  readonly #drops: DropTrace;

  constructor(hooks: SessionsHooks<I>, options: ResolvedP2pke<I>) {
    const { realm, counts } = hooks;
    this.#hooks = hooks;
    this.#options = options;
    this.table = new SessionTable(options.counts);
    this.hellos = new IncomingHellos(realm, options);
    this.pending = new PendingTells(options.counts, (session) => this.table.isStranger(session));
    this.#drops = new DropTrace(realm, 'p2pke');
    this.#gate = new AcceptGate({
      realm,
      accept: options.accept,
      onFault: ({ addr }, cause) => {
        counts.countDrop('handler_error');
        realm.trace?.({ layer: 'p2pke', type: 'handler_error', atMs: realm.nowMs(), addr, cause });
      },
    });
    this.#sessionHooks = {
      inner: hooks.inner,
      realm,
      options,
      gate: this.#gate,
      transmit: (session, datagram) => this.#transmit(session, datagram),
      event: (session, event) => this.#onEvent(session, event),
      judged: (session, reason) => this.#handled(session, reason),
      failed: (bug) => hooks.failed(bug),
    };
  }

  close(): void {
    this.table.close();
    this.#gate.close();
  }

  /** Asks `accept` again about every peer, and ends what it refuses. */
  recheck(): Promise<void> {
    const sessions: [AcceptPeer<P2pkeAddr<I>>, () => void][] = []; // Bounded by maxChannels.
    for (const session of this.table.all())
      if (session.peer !== undefined) sessions.push([session.peer, () => this.#refuse(session)]);
    return this.#gate.recheck(sessions);
  }

  /** A new session, or `undefined` when there is no room. */
  make(addr: P2pkeAddr<I>, halfOpen: boolean): PeerSession<I> | undefined {
    const { realm } = this.#hooks;
    const host = hostOf(addr.inner);
    const isStranger = halfOpen && !this.hellos.peers.wasDialled(addr.id);
    if (!this.table.makeRoom(realm.nowMs(), addr.inner, host, isStranger)) return undefined;
    const session = new PeerSession<I>(this.#sessionHooks, addr);
    this.table.add(session, host, { halfOpen, isStranger });
    return session;
  }

  /** A waiting call got an error. Gives up the handshake when no other call waits. */
  forsaken(session: PeerSession<I>, error: unknown): void {
    if (session.isAwaited || this.#hooks.isClosed) return;
    if (session.abandon()) this.#traceFailure(session, P2PError.is(error) ? error.code : 'aborted');
    if (session.isSpent) this.table.remove(session);
  }

  #traceFailure(session: PeerSession<I>, reason: string): void {
    const { realm } = this.#hooks;
    realm.trace?.({ layer: 'p2pke', type: 'handshake_failed', atMs: realm.nowMs(), addr: session.addr, reason });
  }

  #transmit(session: PeerSession<I>, datagram: Bytes): void {
    const told = session.path.send(datagram);
    if (told === RESOLVED) return;
    told.catch((error: unknown) => {
      this.#hooks.counts.countDrop('p2pke.send_failed');
      session.reject((what) => handshakeError(what, error, datagram.length));
    });
  }

  /** The swarm below has learnt afterwards that it cannot send there. Waiting calls fail; sessions stay. */
  cannotSend(inner: I, error: unknown): void {
    if (!isNoRoute(error)) return;
    for (const session of this.table.at(inner) ?? []) {
      session.reject((what) => handshakeError(what, error, 0));
    }
  }

  #onEvent(session: PeerSession<I>, event: PeerSessionEvent): void {
    switch (event.type) {
      case 'session':
        return this.#onSession(session, event.publicKey, event.side);
      case 'ready':
        this.table.prefer(session);
        return this.#flush(session);
      case 'failed':
        return this.#onFailed(session, event);
      case 'clock':
        return this.#onClock(session, event.differenceMs, event.refused);
      case 'expired':
        if (session.isSpent) this.table.remove(session);
        return undefined;
    }
  }

  #onSession(session: PeerSession<I>, publicKey: PublicKey, side: Side): void {
    const { realm } = this.#hooks;
    const { addr } = session;
    this.table.keep(session);
    session.trouble = undefined;
    this.hellos.peers.note(realm.nowMs(), addr.id, publicKey, {
      host: hostOf(addr.inner),
      timestamp: side === 'responder' ? undefined : session.helloTimestamp,
      isStranger: this.table.isStranger(session),
    });
    realm.trace?.({ layer: 'p2pke', type: 'session', atMs: realm.nowMs(), addr });
    // Somebody else has our key and has proven it.
    if (addr.id === this.#options.id)
      realm.trace?.({ layer: 'p2pke', type: 'own_key_elsewhere', atMs: realm.nowMs(), addr });
    for (const wait of session.lookups) wait.resolve(publicKey);
  }

  #onClock(session: PeerSession<I>, differenceMs: number, refused: boolean): void {
    const { realm } = this.#hooks;
    const reason = `the other side's clock differs by about ${describeDuration(Math.abs(differenceMs))}`;
    if (refused)
      session.trouble = `${reason}, and it refuses handshakes that are older than our last one (${REFUSAL_REMEDY})`;
    realm.trace?.({ layer: 'p2pke', type: 'clock_differs', atMs: realm.nowMs(), addr: session.addr, reason });
  }

  #onFailed(
    session: PeerSession<I>,
    { reason, publicKey }: Extract<PeerSessionEvent, { readonly type: 'failed' }>,
  ): void {
    this.#traceFailure(session, reason);
    if (reason === 'timeout') {
      if (session.isAwaited) session.open(); // the deadlines of waiting calls are longer than one handshake
      return;
    }
    session.abandon();
    session.reject((what) => {
      if (reason === 'not_accepted') return notAccepted(what);
      const other = publicKey === undefined ? 'another' : this.#options.idOf(publicKey);
      return new P2PError('identity_mismatch', 'remote', `Cannot ${what}: ${other} answered there`, { sent: 'no' });
    });
    if (session.isSpent) this.table.remove(session);
  }

  /** The application does not accept a peer any more. */
  #refuse(session: PeerSession<I>): void {
    if (this.table.get(session.addr) !== session) return;
    this.#drop('not_accepted', session.addr.inner);
    session.reject(notAccepted);
    this.table.remove(session);
  }

  #flush(session: PeerSession<I>): void {
    const { realm } = this.#hooks;
    for (const tell of session.tells) {
      const { payload, wait } = tell;
      session.usedMs = realm.nowMs();
      const datagram = session.channel.seal(session.usedMs, realm.wallMs(), payload);
      if (datagram === undefined) return;
      tell.sent = true;
      this.pending.remove(session, tell);
      this.#hooks.counts.countSent(payload.length);
      const told = session.path.send(datagram);
      if (told === RESOLVED) wait.resolve();
      else told.then(wait.resolve, wait.reject);
    }
  }

  /** @param src - where the datagram came from; its IP may be forged. */
  #drop(reason: P2pkeDrop, src: I): void {
    this.#hooks.counts.countDrop(`p2pke.${reason}`);
    this.#drops.note('dropped', src, reason);
  }

  receive({ src, dst, payload: datagram }: Message<I>): void {
    const sessions = this.table.at(src);
    const counter = counterOf(datagram);
    if (counter === INIT_HELLO) return this.#receiveHello(src, datagram, sessions);
    if (sessions === undefined) {
      if (counter === undefined || datagram.length < OVERHEAD_BYTES) return this.#drop('too_short', src);
      return this.#drop(counter >= FIRST_DATA_COUNTER && counter < MAX_COUNTER ? 'unknown_session' : 'unexpected', src);
    }
    const now = this.#hooks.realm.nowMs();
    let reason: P2pkeDrop | undefined;
    for (const session of sessions) {
      const received = session.handleDatagram(now, datagram);
      if (received === undefined) return undefined;
      if (typeof received === 'object') {
        this.#hooks.deliver(session.addr, dst, received);
        return undefined;
      }
      if (reason === undefined || reason === 'unknown_session' || reason === 'unexpected') reason = received;
    }
    return this.#drop(reason!, src);
  }

  #receiveHello(src: I, datagram: Bytes, sessions: readonly PeerSession<I>[] | undefined): void {
    if (datagram.length < OVERHEAD_BYTES) return this.#drop('too_short', src);
    const now = this.#hooks.realm.nowMs();
    const verdict = this.hellos.admit(now, src, datagram);
    if (verdict.type === 'drop') return this.#drop(verdict.reason, src);
    if (verdict.type === 'cookie') {
      this.#drop('overloaded', src);
      void this.#hooks.inner.tell(src, verdict.datagram);
      return undefined;
    }
    const { spki } = verdict.hello.hello;
    // Its channel recognizes a repeated hello, and replies with the same bytes.
    const known = sessions?.find(({ publicKey, claimedKey }) => {
      const key = publicKey ?? claimedKey;
      return key !== undefined && equalBytes(key.spki, spki);
    });
    if (known !== undefined) {
      const received = known.handleDatagram(now, datagram);
      return this.#handled(known, typeof received === 'string' ? received : undefined);
    }
    const verified = this.hellos.verify(now, datagram, verdict.hello);
    if (verified.type === 'drop') return this.#drop(verified.reason, src);
    if (verified.type === 'old') {
      this.#drop('stale_hello', src);
      if (verified.reply !== undefined) void this.#hooks.inner.tell(src, verified.reply);
      return undefined;
    }
    const { id, hello } = verified;
    const session = sessions?.find(({ addr }) => addr.id === id) ?? this.make(p2pkeAddr(id, src), true);
    if (session === undefined) return this.#drop('overloaded', src);
    session.claimedKey = hello.publicKey;
    return this.#handled(session, session.handleHello(now, hello));
  }

  /** A hello or a verdict has been handled: what is left of it. */
  #handled(session: PeerSession<I>, reason: P2pkeDrop | undefined): void {
    if (reason !== undefined) this.#drop(reason, session.addr.inner);
    if (session.isSpent) this.table.remove(session);
  }
}

function notAccepted(what: string): P2PError {
  return new P2PError('refused', 'local', `Cannot ${what}: accept said no to its key`, { sent: 'no' });
}
