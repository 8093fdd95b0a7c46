/**
 * `shoal/allow`: filters peers; changes apply to open sessions.
 *
 * @example
 * ```ts
 * const friends = createPeerList({ allow: [bobsPeerId] });
 * await using swarm = allow(secureSwarm, friends);
 * friends.deny(bobsPeerId); // applies at once, also to calls in progress
 * ```
 */

import type { Accept, AcceptPeer, Side } from '../core/accept.ts';
import { type Addr, ipOf, peerIdOf } from '../core/addr.ts';
import type { AskSwarm } from '../core/ask.ts';
import type { Bytes } from '../base/bytes.ts';
import type { LayerDescription } from '../core/inspect.ts';
import { P2PError, Refusal } from '../core/errors.ts';
import { type AddrAsks, type Like, keep } from '../core/keep.ts';
import { assertFunction, describeValue } from '../base/checks.ts';
import type { TellHandler } from '../core/message.ts';
import { type PeerId, parsePeerId } from '../core/peer-id.ts';
import { type PublicKey, type SecureSwarm, isSecure } from '../core/secure.ts';
import type { CallOptions } from '../core/swarm.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import { AcceptGate, type PendingVerdict } from '../sessions/accept-gate.ts';
import { SAME_ADDRS } from '../swarm-kit/compose.ts';
import { PENDING_DEFAULTS, PendingBudget } from '../swarm-kit/pending-budget.ts';
import { isPending, markHandled, rejection } from '../runtime/promises.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';

/** Cached verdicts of predicates that return promises; the oldest is removed first, and asked for again. */
const MAX_VERDICTS = 4096;

/** Messages to and from one peer that may wait for its verdict. */
const MAX_WAITING_PER_PEER = 64;

/** The filter of peers. */
export interface AllowOptions<A extends Addr> extends WrapOptions {
  /**
   * Decides whether a peer is accepted; see {@link Accept}. A predicate that returns a boolean is called for every
   * message in either direction, answers included, so that a change takes effect at once. A verdict that comes as a
   * promise is cached for the peer, up to 4096 of them, until `recheck()`; messages wait for it, up to 64 per peer, and
   * 256 or 4 MiB in total.
   *
   * `side` is `'initiator'` for a message from the peer, and `'responder'` for one to it.
   */
  readonly accept: Accept<A>;
}

/** What {@link allow} adds to a swarm. */
export interface Allowing {
  /** Clears the verdicts that came as promises: each is asked for again before the peer's next message. */
  recheck(): Promise<void>;
}

/**
 * Filters peers of a secure swarm; changes apply to open sessions. A tell or ask to a peer that is not accepted rejects
 * with `refused` and nothing is sent; its tells are dropped (`refused`), and its asks are refused.
 *
 * @throws {TypeError} when the swarm is not secure: addresses alone prove nothing.
 */
export function allow<A extends Addr, S extends SecureSwarm<A>>(
  inner: S & SecureSwarm<A>,
  options: AllowOptions<A>,
): Like<S, A> & Allowing {
  assertFunction(options.accept, 'accept');
  if (!isSecure(inner)) throw new TypeError('Cannot allow: the swarm is not secure, and addresses alone prove nothing');
  const base = new AllowSwarm<A>(inner, options);
  const kept = keep<A, S, A>(inner, base, SAME_ADDRS, { asks: (asks) => base.asksOver(asks), guard: base.guard });
  return Object.assign(kept, { recheck: () => base.recheckVerdicts() });
}

/** A peer with a pending verdict, and the messages that wait for it, in order. */
interface Waiting<A extends Addr> {
  readonly peer: AcceptPeer<A>;
  question: PendingVerdict | undefined;
  /** Bounded by MAX_WAITING_PER_PEER and by the budget. */
  readonly waiters: { readonly bytes: number; readonly go: (accepted: boolean) => void }[];
}

class AllowSwarm<A extends Addr> extends SwarmOver<A, A> {
  readonly #secure: SecureSwarm<A>;
  readonly #tells: TellSlot<A>;
  readonly #gate: AcceptGate<A>;
  /** Verdicts that came as promises, oldest first. Bounded by MAX_VERDICTS. */
  readonly #verdicts = new Map<PeerId, boolean>();
  /** PeerIDs of the keys that the inner swarm has: a hash takes ten times as long as the rest of a message. Bounded by those keys. */
  readonly #ids = new WeakMap<PublicKey, PeerId>();
  /** Bounded by the gate's questions: 256. */
  readonly #waiting = new Map<PeerId, Waiting<A>>();
  readonly #budget = new PendingBudget();
  /** Counts rechecks: verdicts requested before the last one are not cached. */
  #round = 0;

  constructor(inner: SecureSwarm<A>, options: AllowOptions<A>) {
    super(inner, 'allow', options);
    this.#secure = inner;
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts });
    this.#gate = new AcceptGate<A>({
      realm: this.realm,
      accept: (peer) => {
        const answer: unknown = options.accept(peer);
        if (isPending(answer)) this.#remember(peer.id, answer);
        return answer as boolean | Promise<boolean>;
      },
      onFault: ({ addr }, cause) => {
        this.counts.countDrop('handler_error');
        this.realm.trace?.({ layer: 'allow', type: 'handler_error', atMs: this.realm.nowMs(), addr, cause });
      },
    });
  }

  localAddrs(): readonly A[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.inner.parseAddr(text);
  }

  /** The implementation of `recheck`. */
  async recheckVerdicts(): Promise<void> {
    this.#round++;
    this.#verdicts.clear();
    const under = Array.from(this.#waiting.values()); // Asking again may change the map.
    for (const waiting of under) {
      waiting.question?.cancel();
      this.#ask(waiting.peer, waiting);
    }
  }

  protected mtuTo(dst: A): number {
    return this.inner.mtu(dst);
  }

  protected sendTell(dst: A, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    const key = this.#secure.knownPublicKey(dst);
    const send = (): Promise<void> => {
      this.counts.countSent(payload.length);
      return this.inner.tell(dst, payload, options);
    };
    if (key === undefined) return markHandled(this.#afterLookup(dst, payload.length, options, send));
    const verdict = this.#verdict(dst, key, 'responder');
    if (verdict === true) return send();
    if (verdict === false) return this.reject('refused', this.#refusal('tell', dst));
    return this.#after(verdict, payload.length, (accepted) => {
      if (accepted) return stillWanted(options) ?? send();
      return this.reject('refused', this.#refusal('tell', dst));
    });
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.joined(this.#tells.listen(handler), () =>
      this.inner.listen((message) => {
        const key = this.#secure.knownPublicKey(message.src);
        const verdict = key !== undefined && this.#verdict(message.src, key, 'initiator');
        const pass = (accepted: boolean): void | Promise<void> => {
          if (accepted) return this.#tells.pass(message);
          this.counts.countDrop('refused');
          return undefined;
        };
        if (typeof verdict === 'boolean') return pass(verdict);
        // A message without room is counted; the layer below gets no error.
        return this.#after<void>(verdict, message.payload.length, pass).catch(() => undefined);
      }),
    );
  }

  /** The inner swarm's asks, for accepted peers. */
  asksOver(inner: AskSwarm<A>): AddrAsks<A> {
    return {
      maxRequestBytes: (dst) => inner.maxRequestBytes(dst),
      ask: (dst, request, options) => {
        const refused = this.refuseAsk(dst, request, options, inner.maxRequestBytes(dst));
        if (refused !== undefined) return refused;
        const send = (): Promise<Bytes> => {
          this.counts.countSent(request.length);
          return inner.ask(dst, request, options).then((answer) => {
            // The list may have changed before the answer arrived.
            const take = (accepted: boolean): Bytes => {
              if (accepted) return answer;
              this.counts.countDrop('refused');
              throw this.#refusal('take the answer of', dst, 'maybe');
            };
            return this.#judged(dst, 'responder', answer.length, take);
          });
        };
        const key = this.#secure.knownPublicKey(dst);
        if (key === undefined) return this.#afterLookup(dst, request.length, options, send);
        const go = (accepted: boolean): Promise<Bytes> => {
          if (accepted) return stillWanted(options) ?? send();
          this.counts.countDrop('refused');
          return rejection(this.#refusal('ask', dst));
        };
        const verdict = this.#verdict(dst, key, 'responder');
        return typeof verdict === 'boolean' ? go(verdict) : this.#after(verdict, request.length, go);
      },
      serve: (handler) => {
        assertFunction(handler, 'handler');
        if (this.latch.isClosed) throw this.latch.error('serve');
        return inner.serve((request) => {
          const serve = (accepted: boolean): Uint8Array | Promise<Uint8Array> => {
            if (!accepted) throw this.#notServed('not accepted');
            this.counts.countReceived(request.payload.length);
            const answer = handler(request);
            if (!isPending(answer)) return answer;
            // The list may have changed while the handler was running.
            return answer.then((bytes) =>
              this.#judged<Uint8Array>(request.src, 'initiator', bytes.length, (still) => {
                if (still) return bytes;
                throw this.#notServed('not accepted any more');
              }),
            );
          };
          return this.#judged<Uint8Array>(request.src, 'initiator', request.payload.length, serve);
        });
      },
    };
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    const { maxMessages, maxBytes } = this.#budget;
    return {
      limits: { maxVerdicts: MAX_VERDICTS, maxWaitingMessages: maxMessages, maxWaitingBytes: maxBytes },
      state: { verdicts: this.#verdicts.size, waitingMessages: this.#budget.messages },
    };
  }

  protected release(): void {
    this.#tells.clear();
    this.#gate.close();
  }

  /** Contacts an unknown address first, because its peer is known only then. */
  async #afterLookup<T>(dst: A, bytes: number, options: CallOptions | undefined, send: () => Promise<T>): Promise<T> {
    await this.#secure.lookupPublicKey(dst, options);
    return this.#judged<T>(dst, 'responder', bytes, (accepted) => {
      if (accepted) return stillWanted(options) ?? send();
      this.counts.countDrop('refused');
      throw this.#refusal('reach', dst);
    });
  }

  /** Calls `act` with the verdict on the owner of an address, now or when it is known; false for an unknown key. */
  #judged<T>(addr: A, side: Side, bytes: number, act: (accepted: boolean) => T | Promise<T>): T | Promise<T> {
    const key = this.#secure.knownPublicKey(addr);
    const verdict = key !== undefined && this.#verdict(addr, key, side);
    return typeof verdict === 'boolean' ? act(verdict) : this.#after<T>(verdict, bytes, act);
  }

  /** The verdict on a peer, or the messages that wait for it. */
  #verdict(addr: A, publicKey: PublicKey, side: Side): boolean | Waiting<A> {
    const id = peerIdOf(addr) ?? this.#idOf(publicKey);
    // The waiting messages first: after a verdict no message may overtake those that waited for it.
    const known = this.#waiting.get(id) ?? this.#verdicts.get(id);
    return known ?? this.#ask({ id, publicKey, addr, side }, undefined);
  }

  #idOf(publicKey: PublicKey): PeerId {
    let id = this.#ids.get(publicKey);
    if (id === undefined) this.#ids.set(publicKey, (id = peerIdOfKey(publicKey)));
    return id;
  }

  /** @param again - the messages that already wait for the verdict on this peer */
  #ask(peer: AcceptPeer<A>, again: Waiting<A> | undefined): boolean | Waiting<A> {
    let waiting = again;
    const settle = (accepted: boolean): void => {
      if (waiting !== undefined) this.#settle(waiting, accepted);
    };
    const answer = this.#gate.ask(peer, ipOf(peer.addr) ?? peer.addr.text, settle);
    if (typeof answer === 'boolean') {
      settle(answer);
      return answer;
    }
    waiting ??= { peer, question: undefined, waiters: [] };
    waiting.question = answer;
    this.#waiting.set(peer.id, waiting);
    return waiting;
  }

  #settle({ peer, waiters }: Waiting<A>, accepted: boolean): void {
    this.#waiting.delete(peer.id);
    for (const { bytes, go } of waiters.splice(0)) {
      this.#budget.give(bytes);
      go(accepted);
    }
  }

  /** Waits for a verdict, after earlier messages. */
  #after<T>(waiting: Waiting<A>, bytes: number, act: (accepted: boolean) => T | Promise<T>): Promise<T> {
    if (this.#budget.full || waiting.waiters.length >= MAX_WAITING_PER_PEER) {
      this.counts.countDrop('queue_full');
      const limits = `limits are ${MAX_WAITING_PER_PEER} of one peer, and ${PENDING_DEFAULTS.maxPendingMessages} or ${PENDING_DEFAULTS.maxPendingBytes} bytes in all`;
      const message = `Cannot wait for the verdict on ${waiting.peer.addr.text}: too many messages wait, ${limits}`;
      return rejection(new P2PError('limit_exceeded', 'local', message, { sent: 'no' }));
    }
    this.#budget.take(bytes);
    return markHandled(
      new Promise<T>((resolve, reject) => {
        const go = (accepted: boolean): void => {
          if (this.latch.isClosed) return reject(this.latch.error(`reach ${waiting.peer.addr.text}`));
          try {
            resolve(act(accepted));
          } catch (error) {
            reject(error);
          }
        };
        waiting.waiters.push({ bytes, go });
      }),
    );
  }

  /** Caches only results of the predicate itself: neither faults nor cancelled questions. */
  #remember(id: PeerId, answer: Promise<unknown>): void {
    const round = this.#round;
    const note = (verdict: unknown): void => {
      if (typeof verdict !== 'boolean' || round !== this.#round) return;
      this.#verdicts.delete(id);
      if (this.#verdicts.size >= MAX_VERDICTS) this.#verdicts.delete(this.#verdicts.keys().next().value!);
      this.#verdicts.set(id, verdict);
    };
    answer.then(note, () => undefined);
  }

  #notServed(message: string): Refusal {
    this.counts.countDrop('refused');
    return new Refusal(message);
  }

  #refusal(verb: string, dst: A, sent: 'no' | 'maybe' = 'no'): P2PError {
    return new P2PError('refused', 'local', `Cannot ${verb} ${dst.text}: not accepted by allow()`, { sent });
  }
}

/** The rejection of a call whose signal was aborted while it waited. */
function stillWanted(options: CallOptions | undefined): Promise<never> | undefined {
  return options?.signal?.aborted === true ? rejection(options.signal.reason) : undefined;
}

/** A list of peers that can be changed at any time; pass it to {@link allow}. */
export interface PeerList {
  /** Returns the verdict synchronously, so that a change applies to the next message. */
  accept(peer: { readonly id: PeerId }): boolean;
  /** Accepts a peer, whatever the default is. */
  allow(peer: PeerId | string): void;
  /** Refuses a peer, whatever the default is. */
  deny(peer: PeerId | string): void;
  /** Removes a peer from the list: the default applies. */
  forget(peer: PeerId | string): void;
}

/** The initial content of a {@link PeerList}. */
export interface PeerListOptions {
  readonly allow?: Iterable<PeerId | string> | undefined;
  readonly deny?: Iterable<PeerId | string> | undefined;
  /** The verdict on peers that are not listed. @default 'deny' when there is an allow list, else 'allow' */
  readonly others?: 'allow' | 'deny' | undefined;
}

/**
 * Creates a list of peers by PeerID; changes apply to open sessions.
 *
 * @throws {TypeError} for a text that is not a PeerID.
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
    accept: ({ id }) => verdicts.get(id) ?? others,
    allow: (peer) => set([peer], true),
    deny: (peer) => set([peer], false),
    forget: (peer) => void verdicts.delete(parsePeerId(peer)),
  };
}
