/** The secure swarm: seals tells, opens datagrams, and keeps the calls that wait for sessions. */

import type { Addr } from '../../core/addr.ts';
import { copyBytes } from '../../base/bytes.ts';
import type { LayerDescription } from '../../core/inspect.ts';
import { P2PError } from '../../core/errors.ts';
import type { TellHandler } from '../../core/message.ts';
import type { PublicKey, Secure } from '../../core/secure.ts';
import { sendFailures } from '../../swarm-kit/send-failures.ts';
import type { CallOptions, Swarm } from '../../core/swarm.ts';
import { later } from '../../runtime/later.ts';
import { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import { RESOLVED, rejection } from '../../runtime/promises.ts';
import { SwarmOver, type WrapOptions } from '../../swarm-kit/swarm-over.ts';
import { TellSlot } from '../../swarm-kit/tell-slot.ts';
import { Waits, checkCall } from '../../runtime/waits.ts';
import { MAX_MESSAGE_BYTES, OVERHEAD_BYTES } from '../../protocols/p2pke/constants.ts';
import { type P2pkeAddr, assertP2pkeAddr, p2pkeAddr, parseP2pkeAddr } from './address.ts';
import type { PeerSession, PendingTell } from './peer-session.ts';
import { Sessions } from './sessions.ts';
import type { ResolvedP2pke } from './options.ts';

const DEFAULT_DRAIN_TIMEOUT_MS = 30_000;

/** Our own addresses that are remembered as objects. */
const MAX_LOCAL_ADDRS = 64;

/** P2PKE over any swarm. Made by `p2pke`. */
export class P2pkeSwarm<I extends Addr> extends SwarmOver<I, P2pkeAddr<I>> implements Secure<P2pkeAddr<I>> {
  readonly publicKey: PublicKey;
  readonly #options: ResolvedP2pke<I>;
  readonly #sessions: Sessions<I>;
  readonly #tells: TellSlot<P2pkeAddr<I>>;
  readonly #waits: Waits;
  readonly #receiving: Disposable;
  readonly #failures: Disposable | undefined;
  /** Our addresses by the text of the inner ones. Bounded by MAX_LOCAL_ADDRS. */
  readonly #locals = new Map<string, P2pkeAddr<I>>();
  constructor(inner: Swarm<I>, options: ResolvedP2pke<I>, wrap: WrapOptions) {
    super(inner, 'p2pke', wrap);
    const { realm } = inner;
    this.#options = options;
    this.publicKey = options.identity.publicKey;
    this.#tells = new TellSlot({ realm, counters: this.counts, budget: new PendingBudget(options.pending) });
    this.#waits = new Waits(realm);
    const isClosed = (): boolean => this.latch.isClosed;
    this.#sessions = new Sessions<I>(
      {
        inner,
        realm,
        counts: this.counts,
        get isClosed() {
          return isClosed();
        },
        deliver: (src, dst, payload) => void this.#tells.deliver({ src, dst: this.#local(dst), payload }),
        failed: (bug) => this.latch.fail(bug),
      },
      options,
    );
    // Always: handshakes arrive with and without a handler.
    this.#receiving = inner.listen((message) => this.#sessions.receive(message));
    this.#failures = sendFailures(inner)?.onSendFailed((dst, error) => this.#sessions.cannotSend(dst, error));
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
    let session = this.#sessions.table.get(dst);
    if (session === undefined) {
      if (this.#isSelf(dst)) return this.#tellSelf(dst, payload);
      session = this.#dial(dst);
      if (session === undefined) return this.reject('tell.limit_exceeded', this.#noRoom(`tell ${dst.text}`));
    }
    session.usedMs = this.realm.nowMs();
    const datagram = session.channel.seal(session.usedMs, this.realm.wallMs(), payload);
    if (datagram === undefined) return this.#tellLater(session, payload, options);
    this.counts.countSent(payload.length);
    const told = session.path.send(datagram);
    session.poll();
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
    return this.#sessions.table.get(addr)?.publicKey ?? this.#sessions.hellos.peers.keyOf(addr.id);
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
    const session = this.#sessions.table.get(dst) ?? this.#dial(dst);
    if (session === undefined) return rejection(this.#noRoom(what()));
    const defaultTimeoutMs = this.#options.timeoutMs;
    const why = (): string | undefined => session.trouble;
    const looked = this.#waits.wait<PublicKey>(
      { what, why, call: options, defaultTimeoutMs, sent: () => 'no' },
      (wait) => {
        this.#sessions.table.keep(session);
        session.lookups.add(wait);
        return () => session.lookups.delete(wait);
      },
    );
    looked.catch((error: unknown) => this.#sessions.forsaken(session, error));
    session.open();
    return looked;
  }

  /** Waits until no tell waits for a handshake, and for what the inner swarm waits for. */
  override drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.latch.isClosed || this.#sessions.pending.messages === 0) return super.drain(options);
    const told = this.#waits.wait<void>(
      { what: () => 'drain', call: options, defaultTimeoutMs: DEFAULT_DRAIN_TIMEOUT_MS },
      (wait) => {
        const empty = (): void => wait.resolve();
        this.#sessions.pending.onEmpty.add(empty);
        return () => this.#sessions.pending.onEmpty.delete(empty);
      },
    );
    return told.then(() => super.drain(options));
  }

  /** Asks `accept` again about every peer, and ends what it refuses. */
  recheck(): Promise<void> {
    return this.#sessions.recheck();
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    return {
      limits: this.#options.limits,
      state: {
        channels: this.#sessions.table.size,
        halfOpen: this.#sessions.table.halfOpen,
        waitingMessages: this.#sessions.pending.messages,
        waitingBytes: this.#sessions.pending.bytes,
        rememberedPeers: this.#sessions.hellos.peers.size,
        provenSources: this.#sessions.hellos.sources,
        pendingMessages: this.#tells.budget.messages,
      },
    };
  }

  protected release(): void {
    this.#receiving[Symbol.dispose]();
    this.#failures?.[Symbol.dispose]();
    this.#tells.clear();
    this.#sessions.close();
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

  /** Another process may have the same key, at another address. */
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

  #dial(dst: P2pkeAddr<I>): PeerSession<I> | undefined {
    return this.#sessions.make(dst, false);
  }

  #noRoom(what: string): P2PError {
    const { maxChannels, maxChannelsPerAddr } = this.#options.counts;
    const limits = `limits are ${maxChannels} channels (maxChannels) and ${maxChannelsPerAddr} at one address (maxChannelsPerAddr)`;
    return new P2PError('limit_exceeded', 'local', `Cannot ${what}: all channels are in use, ${limits}`, {
      sent: 'no',
    });
  }

  #tellLater(session: PeerSession<I>, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    const refusal = this.#sessions.pending.refusal(session, payload.length);
    if (refusal !== undefined) {
      session.poll();
      return this.reject('tell.limit_exceeded', refusal);
    }
    let tell: PendingTell | undefined;
    const told = this.#waits.wait<void>(
      {
        what: () => `tell ${session.addr.text}`,
        why: () => session.trouble,
        call: options,
        defaultTimeoutMs: this.#options.timeoutMs,
        sent: () => (tell?.sent === true ? 'maybe' : 'no'),
      },
      (wait) => {
        const waiting: PendingTell = { payload, wait, sent: false, source: undefined };
        tell = waiting;
        this.#sessions.table.keep(session);
        this.#sessions.pending.add(session, waiting);
        return () => this.#sessions.pending.remove(session, waiting);
      },
    );
    told.catch((error: unknown) => {
      this.counts.countDrop('p2pke.tell_failed');
      this.#sessions.forsaken(session, error);
    });
    session.poll();
    return told;
  }

  /** A tell that the inner swarm has yet to accept. */
  #watched(told: Promise<void>): Promise<void> {
    told.catch(() => this.counts.countDrop('p2pke.send_failed'));
    return told;
  }
}
