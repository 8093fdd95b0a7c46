/**
 * `shoal/peer`: a swarm addressed by PeerID alone, over a secure swarm and a source of addresses.
 *
 * @example
 * ```ts
 * const peers = peerSwarm(swarm, { source: (id) => book.get(id) ?? [] });
 * await peers.tell(peers.parseAddr(bobsPeerId), payload);
 * ```
 */

import { type Addr, makeAddr, peerIdOf } from '../core/addr.ts';
import type { AskSwarm } from '../core/ask.ts';
import { type CandidateSource, candidateFaultOf } from '../core/candidate.ts';
import type { LayerDescription } from '../core/inspect.ts';
import { P2PError } from '../core/errors.ts';
import { type AddrAsks, type AddrSecure, type Like, keep, textSecure } from '../core/keep.ts';
import { assertFunction, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import type { TellHandler } from '../core/message.ts';
import { type PeerId, parsePeerId } from '../core/peer-id.ts';
import { type PublicKey, type SecureSwarm, isSecure } from '../core/secure.ts';
import type { CallOptions } from '../core/swarm.ts';
import { markHandled, rejection } from '../runtime/promises.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import { Waits, checkCall } from '../runtime/waits.ts';
import { causeOf, type Found, raceCandidates } from './peer-race.ts';

/** The address of a peer: its PeerID. */
export interface PeerAddr extends Addr {
  readonly net: 'peer';
  readonly id: PeerId;
}

/** Finds the addresses of a peer: addresses or their texts, best first; they may arrive over time. */
export type AddrSource<A extends Addr> = (
  id: PeerId,
) => Iterable<A | string> | AsyncIterable<A | string> | Promise<Iterable<A | string>>;

/** Options for finding peers. */
export interface PeerSwarmOptions<A extends Addr> extends WrapOptions {
  /**
   * The source of addresses; used when no known address of the peer works. Either a source of discovery, such as the
   * result of `peerExchange`, which also hears what came of its addresses, or a function. Texts that are not addresses
   * of the inner swarm are skipped.
   */
  readonly source: CandidateSource | AddrSource<A>;
  /** The delay before the next address is tried in parallel. @default 250, as RFC 8305 (Happy Eyeballs) §5 */
  readonly staggerMs?: number | undefined;
  /** Addresses tried at the same time. @default 4 */
  readonly maxParallel?: number | undefined;
  /** Addresses taken from the source for one search. @default 16 */
  readonly maxCandidates?: number | undefined;
  /** The time limit of a search when the call has no deadline. @default 15 000 */
  readonly searchTimeoutMs?: number | undefined;
  /** Peers whose last working address is remembered. @default 4096 */
  readonly maxRememberedPeers?: number | undefined;
}

/** Makes a peer's address. @throws {TypeError} when `id` is not a PeerID. */
export function peerAddr(id: PeerId | string): PeerAddr {
  const checked = parsePeerId(id);
  return makeAddr<PeerAddr>({ net: 'peer', id: checked, text: checked });
}

/**
 * Wraps a secure swarm whose addresses contain PeerIDs. The last address that worked, or that a message came from, is
 * tried first; then those of the source, each a little later than the one before. The first that proves to be the peer
 * is used. When none works, calls reject with `unreachable`, whose `cause` is an AggregateError with one error per
 * address.
 */
export function peerSwarm<A extends Addr, S extends SecureSwarm<A>>(
  inner: S & SecureSwarm<A>,
  options: PeerSwarmOptions<A>,
): Like<S, PeerAddr> {
  const { source } = options;
  const find: unknown = typeof source === 'object' ? Reflect.get(source ?? {}, 'candidates') : source;
  assertFunction(find, typeof source === 'object' ? 'source.candidates' : 'source');
  if (!isSecure(inner)) throw new TypeError('Cannot make peerSwarm: the inner swarm is not secure');
  const base = new PeerSwarm<A>(inner, options);
  const map = {
    // Only the secure and ask halves are mapped, and this layer implements both.
    down: (): never => {
      throw new TypeError('a peer has no address of its own');
    },
    up: (addr: A): PeerAddr => base.up(addr),
  };
  const kept = keep<A, S, PeerAddr>(inner, base, map, { asks: (asks) => base.asksOver(asks), guard: base.guard });
  return Object.assign(kept, textSecure(base.secure(), base.texts));
}

/** A search shared by calls. */
interface Search<A extends Addr> {
  readonly found: Promise<A>;
  /** The errors of tried addresses so far. */
  readonly errors: readonly unknown[];
  readonly over: AbortController;
  /** The number of calls that wait for it. */
  waiting: number;
}

class PeerSwarm<A extends Addr> extends SwarmOver<A, PeerAddr> {
  readonly #secure: SecureSwarm<A>;
  readonly #options: PeerSwarmOptions<A>;
  readonly #limits: {
    readonly staggerMs: number;
    readonly maxParallel: number;
    readonly maxCandidates: number;
    readonly searchTimeoutMs: number;
    readonly maxRememberedPeers: number;
  };
  readonly #tells: TellSlot<PeerAddr>;
  /** The last address of each peer. Bounded by `maxRememberedPeers`: the least recently used is removed. */
  readonly #last = new Map<PeerId, A>();
  /** Searches in progress; calls for one peer share one. Bounded by the pending calls. */
  readonly #searches = new Map<PeerId, Search<A>>();
  readonly #waits: Waits;

  constructor(inner: SecureSwarm<A>, options: PeerSwarmOptions<A>) {
    const limits = {
      staggerMs: quantity(options.staggerMs, 'staggerMs', 250, 0, Infinity),
      maxParallel: wholeNumber(options.maxParallel, 'maxParallel', 4, 1, Number.MAX_SAFE_INTEGER),
      maxCandidates: wholeNumber(options.maxCandidates, 'maxCandidates', 16, 1, Number.MAX_SAFE_INTEGER),
      searchTimeoutMs: quantity(options.searchTimeoutMs, 'searchTimeoutMs', 15_000, 0, Infinity),
      maxRememberedPeers: wholeNumber(
        options.maxRememberedPeers,
        'maxRememberedPeers',
        4096,
        1,
        Number.MAX_SAFE_INTEGER,
      ),
    };
    super(inner, 'peer', options);
    this.#secure = inner;
    this.#options = options;
    this.#limits = limits;
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts });
    this.#waits = new Waits(this.realm);
  }

  localAddrs(): readonly PeerAddr[] {
    if (this.latch.isClosed) return [];
    const ids = new Set(this.inner.localAddrs().map((addr) => this.#idOf(addr)));
    return Array.from(ids, peerAddr);
  }

  parseAddr(text: string): PeerAddr {
    return peerAddr(text);
  }

  /** The MTU of the known address of the peer; for an unknown peer, that of the own address. */
  protected mtuTo(dst: PeerAddr): number {
    assertPeerAddr(dst);
    const addr = this.#last.get(dst.id) ?? this.inner.localAddrs()[0];
    return addr === undefined ? 0 : this.inner.mtu(addr);
  }

  protected sendTell(dst: PeerAddr, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    this.counts.countSent(payload.length);
    const send = (addr: A, rest = options): Promise<void> => this.inner.tell(addr, payload, rest);
    const known = this.#known(dst.id);
    if (known === undefined) return markHandled(this.#withAddr(dst, options, send));
    return send(known);
  }

  listen(handler: TellHandler<PeerAddr>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.joined(this.#tells.listen(handler), () =>
      this.inner.listen(({ src, dst, payload }) => {
        this.#tells.deliver({ src: this.#learn(src), dst: this.up(dst), payload });
      }),
    );
  }

  /** The PeerID of an address, as an address. */
  up(addr: A): PeerAddr {
    return peerAddr(this.#idOf(addr));
  }

  asksOver(inner: AskSwarm<A>): AddrAsks<PeerAddr> {
    return {
      maxRequestBytes: (dst) => {
        assertPeerAddr(dst);
        const addr = this.#last.get(dst.id) ?? inner.localAddrs()[0];
        return addr === undefined ? 0 : inner.maxRequestBytes(addr);
      },
      ask: (dst, request, options) => {
        assertPeerAddr(dst);
        const refused = this.refuseAsk(dst, request, options, Infinity); // The limit depends on the address, which is not known yet.
        if (refused !== undefined) return refused;
        this.counts.countSent(request.length);
        return this.#withAddr(dst, options, (addr, rest) => inner.ask(addr, request, rest));
      },
      serve: (handler) => {
        assertFunction(handler, 'handler');
        if (this.latch.isClosed) throw this.latch.error('serve');
        return inner.serve((request) => {
          this.counts.countReceived(request.payload.length);
          return handler({
            src: this.#learn(request.src),
            dst: this.up(request.dst),
            payload: request.payload,
            get signal() {
              return request.signal;
            },
          });
        });
      },
    };
  }

  /** The secure half: keys by PeerID. */
  secure(): AddrSecure<PeerAddr> {
    return {
      publicKey: this.#secure.publicKey,
      knownPublicKey: (addr) => {
        assertPeerAddr(addr);
        const last = this.#last.get(addr.id) ?? this.#own(addr.id);
        return last === undefined ? undefined : this.#secure.knownPublicKey(last);
      },
      lookupPublicKey: (dst, options) => {
        assertPeerAddr(dst);
        checkCall(options);
        const error = this.guard(`look up the key of ${dst.text}`);
        if (error !== undefined) return rejection(error);
        return this.#withAddr(dst, options, (addr, rest): Promise<PublicKey> =>
          this.#secure.lookupPublicKey(addr, rest),
        );
      },
    };
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    return { limits: this.#limits, state: { rememberedPeers: this.#last.size, searches: this.#searches.size } };
  }

  protected release(): void {
    this.#tells.clear();
    this.#waits.close(this.latch.how?.cause);
  }

  #idOf(addr: A): PeerId {
    const id = peerIdOf(addr);
    if (id === undefined) {
      throw new TypeError(`Cannot use ${addr.text} with peerSwarm: expected an address with a PeerID`);
    }
    return id;
  }

  #own(id: PeerId): A | undefined {
    return this.inner.localAddrs().find((addr) => peerIdOf(addr) === id);
  }

  /** An address that reaches the peer without a search. */
  #known(id: PeerId): A | undefined {
    const last = this.#last.get(id);
    if (last !== undefined && this.#secure.knownPublicKey(last) !== undefined) return last;
    return this.#own(id);
  }

  #learn(src: A): PeerAddr {
    const addr = this.up(src);
    this.#remember(addr.id, src);
    return addr;
  }

  #remember(id: PeerId, addr: A): void {
    this.#last.delete(id);
    this.#last.set(id, addr);
    if (this.#last.size <= this.#limits.maxRememberedPeers) return;
    for (const oldest of this.#last.keys()) {
      this.#last.delete(oldest);
      break;
    }
  }

  /**
   * Calls `call` with an address of the peer; when a remembered one fails and nothing was sent, with a searched one.
   * The time of the search counts against the deadline of the call.
   */
  async #withAddr<T, O extends CallOptions>(
    dst: PeerAddr,
    options: O | undefined,
    call: (addr: A, rest: O | undefined) => Promise<T>,
  ): Promise<T> {
    options?.signal?.throwIfAborted();
    const beganMs = this.realm.nowMs();
    const rest = (): O | undefined =>
      options?.timeoutMs === undefined
        ? options
        : { ...options, timeoutMs: Math.max(options.timeoutMs - (this.realm.nowMs() - beganMs), 0) };
    const known = this.#known(dst.id);
    if (known !== undefined) {
      try {
        return await call(known, options);
      } catch (error) {
        if (!P2PError.is(error) || error.sent !== 'no' || error.code === 'mtu_exceeded' || this.latch.isClosed)
          throw error;
        this.#last.delete(dst.id);
      }
    }
    return call(await this.#search(dst.id, rest()), rest());
  }

  /** Waits for the search that calls for this peer share. The search is aborted when its last waiter cancels. */
  async #search(id: PeerId, options: CallOptions | undefined): Promise<A> {
    const search = this.#searches.get(id) ?? this.#beginSearch(id);
    search.waiting++;
    const { searchTimeoutMs: defaultTimeoutMs } = this.#limits;
    const what = (): string => `reach peer ${id}`;
    try {
      return await this.#waits.wait<A>({ what, call: options, defaultTimeoutMs, sent: () => 'no' }, (wait) => {
        search.found.then(wait.resolve, wait.reject);
        return () => {
          if (--search.waiting > 0) return;
          search.over.abort(new Error('No call waits for the search any more'));
          if (this.#searches.get(id) === search) this.#searches.delete(id);
        };
      });
    } catch (error) {
      if (!P2PError.is(error, 'timeout') || search.errors.length === 0) throw error;
      throw new P2PError('timeout', 'path', error.message, { sent: 'no', cause: causeOf([...search.errors]) });
    }
  }

  #find(id: PeerId, signal: AbortSignal): Found<A> {
    const { source } = this.#options;
    return typeof source === 'function' ? source(id) : source.candidates(id, { signal });
  }

  /** Looks up the key at an address, and tells the source what came of it, unless another address was faster. */
  async #attempt(id: PeerId, addr: A, signal: AbortSignal): Promise<void> {
    const { source } = this.#options;
    const listening = typeof source === 'function' ? undefined : source;
    try {
      await this.#secure.lookupPublicKey(addr, { signal, timeoutMs: this.#limits.searchTimeoutMs });
    } catch (error) {
      const failed = { id, addr: addr.text, reason: candidateFaultOf(error) };
      if (!signal.aborted) this.#callOut(() => listening?.failed?.(failed));
      throw error;
    }
    this.#remember(id, addr);
    this.#callOut(() => listening?.reached?.({ id, addr: addr.text }));
  }

  #callOut(call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.counts.countDrop('handler_error');
      this.realm.trace?.({ layer: 'peer', type: 'handler_error', atMs: this.realm.nowMs(), cause });
    }
  }

  #beginSearch(id: PeerId): Search<A> {
    const last = this.#last.get(id);
    const over = new AbortController();
    const errors: unknown[] = [];
    const found = raceCandidates<A>({
      realm: this.realm,
      what: `peer ${id}`,
      first: last === undefined ? [] : [last],
      source: (signal) => this.#find(id, signal),
      parse: (addr) => (typeof addr === 'string' ? this.inner.tryParseAddr(addr) : addr),
      check: (addr) =>
        peerIdOf(addr) === id
          ? undefined
          : new P2PError(
              'identity_mismatch',
              'local',
              `Cannot use ${describeValue(addr.text)} for peer ${id}: it names another peer`,
              { sent: 'no' },
            ),
      attempt: (addr, signal) => this.#attempt(id, addr, signal),
      limits: this.#limits,
      errors,
      signal: over.signal,
    });
    const search: Search<A> = { found: markHandled(found), errors, over, waiting: 0 };
    this.#searches.set(id, search);
    return search;
  }
}

function assertPeerAddr(value: unknown): asserts value is PeerAddr {
  if (typeof value !== 'object' || value === null || !('net' in value) || value.net !== 'peer') {
    throw new TypeError(`Cannot take dst: expected a peer's address (see parseAddr), got ${describeValue(value)}`);
  }
}
