/** The swarm that keeps its messages to whom they are for: datagrams in and out, and whose they are. */

import { type AcceptPeer } from '../../core/accept.ts';
import { type Addr } from '../../core/addr.ts';
import { copyBytes, equalBytes, type Bytes } from '../../base/bytes.ts';
import { type LayerDescription } from '../../core/inspect.ts';
import { P2PError } from '../../core/errors.ts';
import { type Message, type TellHandler } from '../../core/message.ts';
import { type PublicKey, type Secure } from '../../core/secure.ts';
import { sendFailures } from '../../swarm-kit/send-failures.ts';
import { type CallOptions, type Swarm } from '../../core/swarm.ts';
import { AcceptGate } from '../../sessions/accept-gate.ts';
import { later } from '../../runtime/later.ts';
import { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import { RESOLVED, rejection } from '../../runtime/promises.ts';
import { SwarmOver, type WrapOptions } from '../../swarm-kit/swarm-over.ts';
import { TellSlot } from '../../swarm-kit/tell-slot.ts';
import { Waits, checkCall } from '../../runtime/waits.ts';
import {
  FIRST_DATA_COUNTER,
  INIT_HELLO,
  MAX_COUNTER,
  MAX_MESSAGE_BYTES,
  OVERHEAD_BYTES,
} from '../../protocols/p2pke/constants.ts';
import { type P2pkeDrop } from '../../protocols/p2pke/drop-reason.ts';
import { counterOf } from '../../protocols/p2pke/messages.ts';
import { describeDuration } from '../../base/duration.ts';
import { type P2pkeAddr, assertP2pkeAddr, p2pkeAddr, parseP2pkeAddr } from './address.ts';
import { Door } from './door.ts';
import { hostOf } from './host.ts';
import { handshakeError, isNoRoute } from './errors.ts';
import { Link, type LinkEvent, type WaitingTell } from './link.ts';
import { Links } from './links.ts';
import { type ResolvedP2pke } from './options.ts';
import { WaitingRoom } from './waiting.ts';

const DEFAULT_DRAIN_TIMEOUT_MS = 30_000;

const REFUSAL_REMEDY = 'set the clock, or wait for ten minutes after the last handshake';

/** Our own addresses that are remembered as objects. */
const MAX_LOCAL_ADDRS = 64;

/** P2PKE over any swarm. Made by `p2pke`. */
export class P2pkeSwarm<I extends Addr> extends SwarmOver<I, P2pkeAddr<I>> implements Secure<P2pkeAddr<I>> {
  readonly publicKey: PublicKey;
  readonly #options: ResolvedP2pke<I>;
  readonly #links: Links<I>;
  readonly #door: Door<I>;
  readonly #gate: AcceptGate<P2pkeAddr<I>>;
  readonly #tells: TellSlot<P2pkeAddr<I>>;
  readonly #waits: Waits;
  readonly #waiting: WaitingRoom<I>;
  readonly #receiving: Disposable;
  readonly #failures: Disposable | undefined;
  /** What we are at our inner addresses, by text. Bounded by MAX_LOCAL_ADDRS. */
  readonly #locals = new Map<string, P2pkeAddr<I>>();
  readonly #user = {
    transmit: (link: Link<I>, datagram: Bytes) => this.#transmit(link, datagram),
    event: (link: Link<I>, event: LinkEvent) => this.#onEvent(link, event),
    judged: (link: Link<I>, reason: P2pkeDrop | undefined) => this.#handled(link, reason),
    failed: (bug: Error) => this.latch.fail(bug),
  };

  constructor(inner: Swarm<I>, options: ResolvedP2pke<I>, wrap: WrapOptions) {
    super(inner, 'p2pke', wrap);
    const { realm } = inner;
    this.#options = options;
    this.publicKey = options.identity.publicKey;
    this.#links = new Links(options.counts);
    this.#door = new Door(realm, options);
    this.#gate = new AcceptGate({
      realm,
      accept: options.accept,
      onFault: ({ addr }, cause) => {
        this.counts.countDrop('handler_error');
        realm.trace?.({ layer: 'p2pke', type: 'handler_error', atMs: realm.nowMs(), addr, cause });
      },
    });
    this.#tells = new TellSlot({ realm, counters: this.counts, budget: new PendingBudget(options.pending) });
    this.#waits = new Waits(realm);
    this.#waiting = new WaitingRoom(options.counts, (link) => this.#links.isStranger(link));
    // Always: handshakes come whether or not anybody listens.
    this.#receiving = inner.listen((message) => this.#receive(message));
    this.#failures = sendFailures(inner)?.onSendFailed((dst, error) => this.#cannotSend(dst, error));
  }

  localAddrs(): readonly P2pkeAddr<I>[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs().map((inner) => this.#local(inner));
  }

  parseAddr(text: string): P2pkeAddr<I> {
    return parseP2pkeAddr(text, (rest) => this.inner.parseAddr(rest));
  }

  /** The inner MTU less 20 bytes, and at most 65515. The first message of a handshake needs an inner MTU of 166 bytes. */
  protected mtuTo(dst: P2pkeAddr<I>): number {
    assertP2pkeAddr(dst);
    return Math.max(Math.min(this.inner.mtu(dst.inner) - OVERHEAD_BYTES, MAX_MESSAGE_BYTES), 0);
  }

  protected sendTell(dst: P2pkeAddr<I>, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    let link = this.#links.get(dst);
    if (link === undefined) {
      if (this.#isSelf(dst)) return this.#tellSelf(dst, payload);
      link = this.#dial(dst);
      if (link === undefined) return this.reject('tell.limit_exceeded', this.#noRoom(`tell ${dst.text}`));
    }
    const datagram = link.seal(this.realm.nowMs(), payload);
    if (datagram === undefined) return this.#tellLater(link, payload, options);
    this.counts.countSent(payload.length);
    const told = this.inner.tell(link.addr.inner, datagram);
    link.poll();
    return told === RESOLVED ? RESOLVED : this.#watched(told);
  }

  listen(handler: TellHandler<P2pkeAddr<I>>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.#tells.listen(handler);
  }

  knownPublicKey(addr: P2pkeAddr<I> | string): PublicKey | undefined {
    if (typeof addr === 'string') {
      const parsed = this.texts.tryParse(addr);
      return parsed === undefined ? undefined : this.knownPublicKey(parsed);
    }
    assertP2pkeAddr(addr);
    if (addr.id === this.#options.id) return this.publicKey;
    return this.#links.get(addr)?.publicKey ?? this.#door.peers.keyOf(addr.id);
  }

  lookupPublicKey(dst: P2pkeAddr<I> | string, options?: CallOptions): Promise<PublicKey> {
    if (typeof dst === 'string') {
      return this.texts.call('look up the key of', dst, (addr) => this.lookupPublicKey(addr, options));
    }
    const known = this.knownPublicKey(dst);
    checkCall(options);
    const what = (): string => `look up the key of ${dst.text}`;
    if (this.latch.isClosed) return rejection(this.latch.error(what()));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    if (known !== undefined) return Promise.resolve(known);
    const link = this.#links.get(dst) ?? this.#dial(dst);
    if (link === undefined) return rejection(this.#noRoom(what()));
    const defaultTimeoutMs = this.#options.timeoutMs;
    const why = (): string | undefined => link.trouble;
    const looked = this.#waits.wait<PublicKey>(
      { what, why, call: options, defaultTimeoutMs, sent: () => 'no' },
      (wait) => {
        this.#links.keep(link);
        link.lookups.add(wait);
        return () => link.lookups.delete(wait);
      },
    );
    looked.catch((error: unknown) => this.#forsaken(link, error));
    link.open();
    return looked;
  }

  /** Waits until no tell waits for a handshake, and for what the inner swarm waits for. */
  override drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.latch.isClosed || this.#waiting.messages === 0) return super.drain(options);
    const told = this.#waits.wait<void>(
      { what: () => 'drain', call: options, defaultTimeoutMs: DEFAULT_DRAIN_TIMEOUT_MS },
      (wait) => {
        const empty = (): void => wait.resolve();
        this.#waiting.onEmpty.add(empty);
        return () => this.#waiting.onEmpty.delete(empty);
      },
    );
    return told.then(() => super.drain(options));
  }

  /** Asks `accept` again about every peer, and ends what it refuses. */
  recheck(): Promise<void> {
    const sessions: [AcceptPeer<P2pkeAddr<I>>, () => void][] = []; // Bounded by maxChannels.
    for (const link of this.#links.all())
      if (link.peer !== undefined) sessions.push([link.peer, () => this.#refuse(link)]);
    return this.#gate.recheck(sessions);
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    return {
      limits: this.#options.limits,
      state: {
        channels: this.#links.size,
        halfOpen: this.#links.halfOpen,
        waitingMessages: this.#waiting.messages,
        waitingBytes: this.#waiting.bytes,
        rememberedPeers: this.#door.peers.size,
        provenSources: this.#door.sources,
        pendingMessages: this.#tells.budget.messages,
      },
    };
  }

  protected release(): void {
    this.#receiving[Symbol.dispose]();
    this.#failures?.[Symbol.dispose]();
    this.#tells.clear();
    this.#links.close();
    this.#gate.close();
    this.#waits.close(this.latch.how?.cause);
  }

  #local(inner: I): P2pkeAddr<I> {
    const known = this.#locals.get(inner.text);
    if (known !== undefined) return known;
    if (this.#locals.size >= MAX_LOCAL_ADDRS) this.#locals.clear();
    const addr = p2pkeAddr(this.#options.id, inner);
    this.#locals.set(inner.text, addr);
    return addr;
  }

  /** Another process may have our key; it is at another address. */
  #isSelf(dst: P2pkeAddr<I>): boolean {
    return dst.id === this.#options.id && this.inner.localAddrs().some(({ text }) => text === dst.inner.text);
  }

  #tellSelf(dst: P2pkeAddr<I>, payload: Uint8Array): Promise<void> {
    const message = { src: dst, dst, payload: copyBytes(payload) };
    this.counts.countSent(payload.length);
    later(this.realm, () => {
      if (!this.latch.isClosed) this.#tells.deliver(message);
    });
    return RESOLVED;
  }

  /** A new link, or `undefined` when there is no room. */
  #link(addr: P2pkeAddr<I>, halfOpen: boolean): Link<I> | undefined {
    const { realm } = this;
    const host = hostOf(addr.inner);
    const isStranger = halfOpen && !this.#door.peers.wasDialled(addr.id);
    if (!this.#links.makeRoom(realm.nowMs(), addr.inner, host, isStranger)) return undefined;
    const link = new Link<I>({ ...this.#user, gate: this.#gate, realm, options: this.#options }, addr);
    this.#links.add(link, host, { halfOpen, isStranger });
    return link;
  }

  #dial(dst: P2pkeAddr<I>): Link<I> | undefined {
    return this.#link(dst, false);
  }

  #noRoom(what: string): P2PError {
    const { maxChannels, maxChannelsPerAddr } = this.#options.counts;
    const limits = `limits are ${maxChannels} channels (maxChannels) and ${maxChannelsPerAddr} at one address (maxChannelsPerAddr)`;
    return new P2PError('limit_exceeded', 'local', `Cannot ${what}: all channels are in use, ${limits}`, {
      sent: 'no',
    });
  }

  #tellLater(link: Link<I>, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    const refusal = this.#waiting.refusal(link, payload.length);
    if (refusal !== undefined) {
      link.poll();
      return this.reject('tell.limit_exceeded', refusal);
    }
    let tell: WaitingTell | undefined;
    const told = this.#waits.wait<void>(
      {
        what: () => `tell ${link.addr.text}`,
        why: () => link.trouble,
        call: options,
        defaultTimeoutMs: this.#options.timeoutMs,
        sent: () => (tell?.sent === true ? 'maybe' : 'no'),
      },
      (wait) => {
        const waiting: WaitingTell = { payload, wait, sent: false, source: undefined };
        tell = waiting;
        this.#links.keep(link);
        this.#waiting.add(link, waiting);
        return () => this.#waiting.remove(link, waiting);
      },
    );
    told.catch((error: unknown) => {
      this.counts.countDrop('p2pke.tell_failed');
      this.#forsaken(link, error);
    });
    link.poll();
    return told;
  }

  /** A tell that the inner swarm has yet to accept. */
  #watched(told: Promise<void>): Promise<void> {
    told.catch(() => this.counts.countDrop('p2pke.send_failed'));
    return told;
  }

  /** Somebody who waited got an error; when nobody waits any more, nothing is tried any more. */
  #forsaken(link: Link<I>, error: unknown): void {
    if (link.isAwaited || this.latch.isClosed) return;
    if (link.abandon()) this.#traceFailure(link, P2PError.is(error) ? error.code : 'aborted');
    if (link.isSpent) this.#links.remove(link);
  }

  #traceFailure(link: Link<I>, reason: string): void {
    const { realm } = this;
    realm.trace?.({ layer: 'p2pke', type: 'handshake_failed', atMs: realm.nowMs(), addr: link.addr, reason });
  }

  #transmit(link: Link<I>, datagram: Bytes): void {
    const told = this.inner.tell(link.addr.inner, datagram);
    if (told === RESOLVED) return;
    told.catch((error: unknown) => {
      this.counts.countDrop('p2pke.send_failed');
      link.reject((what) => handshakeError(what, error, datagram.length));
    });
  }

  /** The swarm below has learnt afterwards that it cannot send there. Nobody waits any longer; sessions may have other ways. */
  #cannotSend(inner: I, error: unknown): void {
    if (!isNoRoute(error)) return;
    for (const link of this.#links.at(inner) ?? []) {
      link.reject((what) => handshakeError(what, error, 0));
    }
  }

  #onEvent(link: Link<I>, event: LinkEvent): void {
    switch (event.type) {
      case 'session':
        return this.#onSession(link, event.publicKey, event.initiator);
      case 'ready':
        this.#links.prefer(link);
        return this.#flush(link);
      case 'failed':
        return this.#onFailed(link, event);
      case 'clock':
        return this.#onClock(link, event.differenceMs, event.refused);
      case 'expired':
        if (link.isSpent) this.#links.remove(link);
        return undefined;
    }
  }

  #onSession(link: Link<I>, publicKey: PublicKey, initiator: boolean): void {
    const { realm } = this;
    const { addr } = link;
    this.#links.keep(link);
    link.trouble = undefined;
    this.#door.peers.note(realm.nowMs(), addr.id, publicKey, {
      host: hostOf(addr.inner),
      timestamp: initiator ? undefined : link.helloTimestamp,
      isStranger: this.#links.isStranger(link),
    });
    realm.trace?.({ layer: 'p2pke', type: 'session', atMs: realm.nowMs(), addr });
    // Somebody else has our key and has proven it.
    if (addr.id === this.#options.id)
      realm.trace?.({ layer: 'p2pke', type: 'own_key_elsewhere', atMs: realm.nowMs(), addr });
    for (const wait of link.lookups) wait.resolve(publicKey);
  }

  #onClock(link: Link<I>, differenceMs: number, refused: boolean): void {
    const { realm } = this;
    const reason = `the other side's clock differs by about ${describeDuration(Math.abs(differenceMs))}`;
    if (refused)
      link.trouble = `${reason}, and it refuses handshakes that are older than our last one (${REFUSAL_REMEDY})`;
    realm.trace?.({ layer: 'p2pke', type: 'clock_differs', atMs: realm.nowMs(), addr: link.addr, reason });
  }

  #onFailed(link: Link<I>, { reason, publicKey }: Extract<LinkEvent, { readonly type: 'failed' }>): void {
    this.#traceFailure(link, reason);
    if (reason === 'timeout') {
      if (link.isAwaited) link.open(); // the deadlines of those who wait are longer than one handshake
      return;
    }
    link.abandon();
    link.reject((what) => {
      if (reason === 'not_accepted') return notAccepted(what);
      const other = publicKey === undefined ? 'another' : this.#options.idOf(publicKey);
      return new P2PError('identity_mismatch', 'remote', `Cannot ${what}: ${other} answered there`, { sent: 'no' });
    });
    if (link.isSpent) this.#links.remove(link);
  }

  /** The application does not accept a peer any more. */
  #refuse(link: Link<I>): void {
    if (this.#links.get(link.addr) !== link) return;
    this.#drop('not_accepted');
    link.reject(notAccepted);
    this.#links.remove(link);
  }

  #flush(link: Link<I>): void {
    for (const tell of link.tells) {
      const { payload, wait } = tell;
      const datagram = link.seal(this.realm.nowMs(), payload);
      if (datagram === undefined) return;
      tell.sent = true;
      this.#waiting.remove(link, tell);
      this.counts.countSent(payload.length);
      const told = this.inner.tell(link.addr.inner, datagram);
      if (told === RESOLVED) wait.resolve();
      else told.then(wait.resolve, wait.reject);
    }
  }

  #drop(reason: P2pkeDrop): void {
    this.counts.countDrop(`p2pke.${reason}`);
  }

  #receive({ src, dst, payload: datagram }: Message<I>): void {
    const links = this.#links.at(src);
    const counter = counterOf(datagram);
    if (counter === INIT_HELLO) return this.#receiveHello(src, datagram, links);
    if (links === undefined) {
      if (counter === undefined || datagram.length < OVERHEAD_BYTES) return this.#drop('too_short');
      return this.#drop(counter >= FIRST_DATA_COUNTER && counter < MAX_COUNTER ? 'unknown_session' : 'unexpected');
    }
    const now = this.realm.nowMs();
    let reason: P2pkeDrop | undefined;
    for (const link of links) {
      const received = link.handleDatagram(now, datagram);
      if (received === undefined) return undefined;
      if (typeof received === 'object') {
        this.#tells.deliver({ src: link.addr, dst: this.#local(dst), payload: received });
        return undefined;
      }
      if (reason === undefined || reason === 'unknown_session' || reason === 'unexpected') reason = received;
    }
    return this.#drop(reason!);
  }

  #receiveHello(src: I, datagram: Bytes, links: readonly Link<I>[] | undefined): void {
    if (datagram.length < OVERHEAD_BYTES) return this.#drop('too_short');
    const now = this.realm.nowMs();
    const verdict = this.#door.admit(now, src, datagram);
    if (verdict.type === 'drop') return this.#drop(verdict.reason);
    if (verdict.type === 'cookie') {
      this.#drop('overloaded');
      void this.inner.tell(src, verdict.datagram);
      return undefined;
    }
    const { spki } = verdict.hello.hello;
    // Its channel knows a hello that comes again, and answers with the same bytes.
    const known = links?.find(({ publicKey, claimedKey }) => {
      const key = publicKey ?? claimedKey;
      return key !== undefined && equalBytes(key.spki, spki);
    });
    if (known !== undefined) {
      const received = known.handleDatagram(now, datagram);
      return this.#handled(known, typeof received === 'string' ? received : undefined);
    }
    const verified = this.#door.verify(now, datagram, verdict.hello);
    if (verified.type === 'drop') return this.#drop(verified.reason);
    if (verified.type === 'old') {
      this.#drop('stale_hello');
      if (verified.reply !== undefined) void this.inner.tell(src, verified.reply);
      return undefined;
    }
    const { id, hello } = verified;
    const link = links?.find(({ addr }) => addr.id === id) ?? this.#link(p2pkeAddr(id, src), true);
    if (link === undefined) return this.#drop('overloaded');
    link.claimedKey = hello.publicKey;
    return this.#handled(link, link.handleHello(now, hello));
  }

  /** A hello or a verdict has been handled: what is left of it. */
  #handled(link: Link<I>, reason: P2pkeDrop | undefined): void {
    if (reason !== undefined) this.#drop(reason);
    if (link.isSpent) this.#links.remove(link);
  }
}

function notAccepted(what: string): P2PError {
  return new P2PError('refused', 'local', `Cannot ${what}: accept said no to its key`, { sent: 'no' });
}
