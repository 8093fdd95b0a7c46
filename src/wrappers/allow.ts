/**
 * `shoal/allow`: lets through only whom you accept, in both directions, from now on and for sessions that exist.
 *
 * @example
 * ```ts
 * const friends = createPeerList({ allow: [bobsPeerId] });
 * await using swarm = allow(secureSwarm, friends);
 * friends.deny(bobsPeerId); // at once, also for what is under way
 * ```
 */

import { type Addr, peerIdOf } from '../core/addr.ts';
import { type AskSwarm } from '../core/ask.ts';
import { type Bytes } from '../base/bytes.ts';
import { type LayerDescription } from '../core/inspect.ts';
import { P2PError, Refusal } from '../core/errors.ts';
import { askFilter } from '../core/filter.ts';
import { type AddrAsks, type Like, keep } from '../core/keep.ts';
import { assertFunction, describeValue } from '../base/checks.ts';
import { type TellHandler } from '../core/message.ts';
import { type PeerId, parsePeerId } from '../core/peer-id.ts';
import { type PublicKey, type SecureSwarm, isSecure } from '../core/secure.ts';
import { type CallOptions } from '../core/swarm.ts';
import { SAME_ADDRS } from '../swarm-kit/compose.ts';
import { isPending, markHandled, rejection } from '../runtime/promises.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';

/** Whom to let through. */
export interface AllowOptions<A extends Addr> extends WrapOptions {
  /**
   * Asked for every message in either direction, answers included, so that a change counts at once. Only `true` lets
   * a peer through: a promise, anything else and a throw are a no, counted and traced as `handler_error`.
   *
   * @param addr - the peer's address.
   * @param key - the key it has proven.
   */
  readonly accept: (addr: A, key: PublicKey) => boolean;
}

/**
 * Wraps a secure swarm. A tell or ask to somebody who is not accepted rejects with `refused` and nothing is sent; what
 * comes from there is dropped (`refused`), or refused when it is an ask.
 *
 * @throws {TypeError} when the swarm is not secure: addresses alone prove nothing.
 */
export function allow<A extends Addr, S extends SecureSwarm<A>>(
  inner: S & SecureSwarm<A>,
  options: AllowOptions<A>,
): Like<S, A> {
  assertFunction(options.accept, 'accept');
  if (!isSecure(inner)) throw new TypeError('Cannot allow: the swarm is not secure, and addresses alone prove nothing');
  const base = new AllowSwarm<A>(inner, options);
  return keep<A, S, A>(inner, base, SAME_ADDRS, { asks: (asks) => base.asksOver(asks), guard: base.guard });
}

class AllowSwarm<A extends Addr> extends SwarmOver<A, A> {
  readonly #secure: SecureSwarm<A>;
  readonly #options: AllowOptions<A>;
  readonly #tells: TellSlot<A>;

  constructor(inner: SecureSwarm<A>, options: AllowOptions<A>) {
    super(inner, 'allow', options);
    this.#secure = inner;
    this.#options = options;
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts });
  }

  localAddrs(): readonly A[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.inner.parseAddr(text);
  }

  protected mtuTo(dst: A): number {
    return this.inner.mtu(dst);
  }

  protected sendTell(dst: A, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    const send = (): Promise<void> => {
      this.counts.countSent(payload.length);
      return this.inner.tell(dst, payload, options);
    };
    const key = this.#secure.knownPublicKey(dst);
    if (key === undefined) return markHandled(this.#afterLookup(dst, options, send));
    return this.#accepts(dst, key) ? send() : this.reject('refused', this.#refusal('tell', dst));
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.joined(this.#tells.listen(handler), () =>
      this.inner.listen((message) => (this.#acceptsSource(message.src) ? this.#tells.pass(message) : undefined)),
    );
  }

  /** The inner swarm's asks, for those who are accepted. */
  asksOver(inner: AskSwarm<A>): AddrAsks<A> {
    return {
      maxRequestBytes: (dst) => inner.maxRequestBytes(dst),
      ask: (dst, request, options) => {
        const refused = this.refuseAsk(dst, request, options, inner.maxRequestBytes(dst));
        if (refused !== undefined) return refused;
        const send = (): Promise<Bytes> => {
          this.counts.countSent(request.length);
          return inner.ask(dst, request, options).then((answer) => {
            // The list may have changed while the answer was on its way.
            if (this.#acceptsSource(dst)) return answer;
            throw this.#refusal('take the answer of', dst, 'maybe');
          });
        };
        const key = this.#secure.knownPublicKey(dst);
        if (key === undefined) return this.#afterLookup(dst, options, send);
        if (this.#accepts(dst, key)) return send();
        this.counts.countDrop('refused');
        return rejection(this.#refusal('ask', dst));
      },
      serve: (handler) => {
        assertFunction(handler, 'handler');
        if (this.latch.isClosed) throw this.latch.error('serve');
        return inner.serve((request) => {
          if (!this.#acceptsSource(request.src)) throw new Refusal('not accepted');
          this.counts.countReceived(request.payload.length);
          const answer = handler(request);
          if (!isPending(answer)) return answer;
          // The list may have changed while the handler was at work.
          return answer.then((bytes) => {
            if (this.#acceptsSource(request.src)) return bytes;
            throw new Refusal('not accepted any more');
          });
        });
      },
    };
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    return { limits: {} };
  }

  protected release(): void {
    this.#tells.clear();
  }

  /** Makes contact first: whom an unknown address belongs to is known only then. */
  async #afterLookup<T>(dst: A, options: CallOptions | undefined, send: () => Promise<T>): Promise<T> {
    const key = await this.#secure.lookupPublicKey(dst, options);
    if (!this.#accepts(dst, key)) {
      this.counts.countDrop('refused');
      throw this.#refusal('reach', dst);
    }
    return send();
  }

  #acceptsSource(src: A): boolean {
    const key = this.#secure.knownPublicKey(src);
    if (key !== undefined && this.#accepts(src, key)) return true;
    this.counts.countDrop('refused');
    return false;
  }

  #accepts(addr: A, key: PublicKey): boolean {
    const answer = askFilter(() => this.#options.accept(addr, key));
    if (typeof answer === 'boolean') return answer;
    this.counts.countDrop('handler_error');
    this.realm.trace?.({ layer: 'allow', type: 'handler_error', atMs: this.realm.nowMs(), addr, cause: answer });
    return false;
  }

  #refusal(verb: string, dst: A, sent: 'no' | 'maybe' = 'no'): P2PError {
    return new P2PError('refused', 'local', `Cannot ${verb} ${dst.text}: not accepted by allow()`, { sent });
  }
}

/** A list of peers that can be changed at any time; give it to {@link allow}. */
export interface PeerList extends AllowOptions<Addr> {
  /** Lets a peer through, whatever the default is. */
  allow(peer: PeerId | string): void;
  /** Keeps a peer out, whatever the default is. */
  deny(peer: PeerId | string): void;
  /** Treats a peer as all others again. */
  forget(peer: PeerId | string): void;
}

/** What a {@link PeerList} begins with. */
export interface PeerListOptions {
  readonly allow?: Iterable<PeerId | string> | undefined;
  readonly deny?: Iterable<PeerId | string> | undefined;
  /** What happens to peers on neither list. @default 'deny' when there is an allow list, else 'allow' */
  readonly others?: 'allow' | 'deny' | undefined;
}

/**
 * Who may pass, by PeerID. Addresses without a PeerID are never let through by an allow list.
 *
 * @throws {TypeError} for a text that is no PeerID.
 */
export function createPeerList(options: PeerListOptions = {}): PeerList {
  const verdicts = new Map<PeerId, boolean>(); // Bounded by what the application puts on the list.
  const set = (peers: Iterable<PeerId | string> | undefined, verdict: boolean): void => {
    for (const peer of peers ?? []) verdicts.set(parsePeerId(peer), verdict);
  };
  set(options.allow, true);
  set(options.deny, false);
  if (options.others !== undefined && options.others !== 'allow' && options.others !== 'deny') {
    throw new TypeError(`Cannot take others: expected 'allow' or 'deny', got ${describeValue(options.others)}`);
  }
  const others = (options.others ?? (options.allow === undefined ? 'allow' : 'deny')) === 'allow';
  return {
    accept: (addr) => {
      const peer = peerIdOf(addr);
      return peer === undefined ? others : (verdicts.get(peer) ?? others);
    },
    allow: (peer) => set([peer], true),
    deny: (peer) => set([peer], false),
    forget: (peer) => void verdicts.delete(parsePeerId(peer)),
  };
}
