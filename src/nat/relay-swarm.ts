/**
 * A swarm through relays: datagrams to a PeerID at a relay, over any swarm that authenticates. It authenticates relays, not peers: wrap it in
 * `quic` or `p2pke`, which seal everything end to end.
 */

import { type Addr, peerIdOf } from '../core/addr.ts';
import { type Bytes, copyBytes } from '../base/bytes.ts';
import { assertFunction, describeValue, wholeNumber } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { LayerDescription } from '../core/inspect.ts';
import type { Message, TellHandler } from '../core/message.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { SecureSwarm } from '../core/secure.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import {
  bytesOfPeerId,
  decodeRelayReply,
  encodeSend,
  MAX_RELAYED_BYTES,
  RELAY_HEADER_BYTES,
  type RelayGoneReason,
} from '../protocols/relay/messages.ts';
import { connectionsOf } from '../sessions/connections.ts';
import { later } from '../runtime/later.ts';
import { RESOLVED, rejection } from '../runtime/promises.ts';
import { checkCall, Waits } from '../runtime/waits.ts';
import { PendingBudget, type PendingLimits } from '../swarm-kit/pending-budget.ts';
import type { SendFailures } from '../swarm-kit/send-failures.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import {
  assertRelayAddr,
  assertSecure,
  ownId,
  parseRelayAddr,
  provenId,
  relayAddr,
  type RelayAddr,
} from './relay-address.ts';
import { RelayLink, type RelayReservation } from './relay-link.ts';

/** Options of a swarm through relays. */
export interface RelaySwarmOptions<A extends Addr> extends WrapOptions, PendingLimits {
  /** Where to reserve at once: addresses of relays on the inner swarm. @default none */
  readonly relays?: readonly (A | string)[] | undefined;
  /** For how long to reserve, in whole minutes up to 65 535; it is renewed anyway. @default as long as the relay gives */
  readonly minutes?: number | undefined;
  /** Called when a reservation has another state or other terms. */
  readonly onChange?: (() => void) | undefined;
}

/** What {@link relaySwarm} makes. `localAddrs()` is empty while no relay holds a reservation. */
export interface RelaySwarm<A extends Addr> extends Swarm<RelayAddr<A>>, SendFailures<RelayAddr<A>> {
  /** Our own PeerID. */
  readonly id: PeerId;
  /** All that are wanted. */
  readonly reservations: readonly RelayReservation<A>[];
  /**
   * Wants a reservation at a relay, until released.
   *
   * @returns resolves when it is held. A rejection ends only the waiting: the node goes on asking.
   * @throws {P2PError} (by rejection) `refused` with the relay's reason, `unreachable`, `timeout`, `limit_exceeded`, `closed`; the
   * signal's reason.
   */
  reserve(relay: A | string, options?: CallOptions): Promise<void>;
  /** Gives a reservation up. No effect without one. */
  release(relay: A | string): void;
}

/** Relays that are wanted at a time. */
const MAX_RESERVATIONS = 64;
/** Relays that are sent to without a reservation; the least recently used one is forgotten. */
const MAX_RELAYS = 1024;
const MAX_CACHED_PEERS = 8192;
const RESERVE_TIMEOUT_MS = 10_000;

const GONE: Readonly<Record<RelayGoneReason, string>> = {
  no_reservation: 'the peer has no reservation at the relay',
  denied: 'the relay does not serve this node',
  no_room: 'the relay has no room for guests',
};

/**
 * Sends and receives through relays. Sending to a peer at a relay where this node has no reservation makes it a guest there: the peer's answers
 * reach it for two minutes. Takes the inner swarm's handler slot at once.
 *
 * The MTU is 1232 bytes, or that of the inner swarm less 34 where this is less: then wrap the inner one in `frag`, here and at the relay.
 * A relay can drop messages, and nothing more once they are sealed: this swarm alone proves no peer's identity.
 *
 * @throws {TypeError | RangeError} for options out of bounds, and when the inner swarm has a handler or does not authenticate.
 */
export function relaySwarm<A extends Addr>(inner: SecureSwarm<A>, options: RelaySwarmOptions<A> = {}): RelaySwarm<A> {
  assertSecure(inner);
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  if (options.onChange !== undefined) assertFunction(options.onChange, 'onChange');
  wholeNumber(options.minutes, 'minutes', 0, 1, 65_535);
  return new Relayed(inner, options);
}

/** What is sent to a peer begins with. */
interface Target<A extends Addr> {
  readonly addr: RelayAddr<A>;
  readonly idBytes: Bytes;
  readonly link: RelayLink<A>;
}

class Relayed<A extends Addr> extends SwarmOver<A, RelayAddr<A>> implements RelaySwarm<A> {
  readonly id: PeerId;
  readonly #secure: SecureSwarm<A>;
  readonly #options: RelaySwarmOptions<A>;
  readonly #tells: TellSlot<RelayAddr<A>>;
  readonly #waits: Waits;
  readonly #listening: Disposable;
  readonly #connections: Disposable | undefined;
  /** By the text of the relay's address. Bounded by MAX_RELAYS. */
  readonly #links = new Map<string, RelayLink<A>>();
  /** By the text of the address. Bounded by MAX_CACHED_PEERS: a full cache is cleared. */
  readonly #targets = new Map<string, Target<A>>();
  /** Bounded by the calls of `onSendFailed`. */
  readonly #failureListeners = new Set<(dst: RelayAddr<A>, error: unknown) => void>();
  #lastTarget: Target<A> | undefined;

  constructor(inner: SecureSwarm<A>, options: RelaySwarmOptions<A>) {
    super(inner, 'relay', options);
    this.#secure = inner;
    this.#options = options;
    this.id = ownId(inner);
    const { realm } = inner;
    this.#tells = new TellSlot({ realm, counters: this.counts, budget: new PendingBudget(options) });
    this.#waits = new Waits(realm);
    const relays = (options.relays ?? []).map((relay) => (typeof relay === 'string' ? inner.parseAddr(relay) : relay));
    if (relays.length > MAX_RESERVATIONS) {
      throw new RangeError(`Cannot take relays: at most ${MAX_RESERVATIONS}, got ${relays.length}`);
    }
    this.#listening = inner.listen((message) => this.#receive(message));
    // A connection that has ended is noticed at once, not at the next renewal.
    this.#connections = connectionsOf(inner)?.onDisconnected((peer) => {
      for (const link of this.#linksOf(peer)) link.handleDisconnected();
    });
    for (const relay of relays) this.#linkTo(relay)!.reserve();
  }

  /** Our id at each relay that holds a reservation. */
  localAddrs(): readonly RelayAddr<A>[] {
    if (this.latch.isClosed) return [];
    return [...this.#links.values()].filter(({ client }) => client.state === 'reserved').map(({ local }) => local);
  }

  /** @throws {P2PError} (at once) `closed`; `unreachable` while no relay holds a reservation. */
  override get addr(): RelayAddr<A> {
    const [best] = this.localAddrs();
    if (best !== undefined || this.latch.isClosed) return best ?? super.addr;
    throw new P2PError('unreachable', 'local', 'Cannot read addr: no relay holds a reservation', { sent: 'no' });
  }

  parseAddr(text: string): RelayAddr<A> {
    return parseRelayAddr(text, (rest) => this.inner.parseAddr(rest));
  }

  get reservations(): readonly RelayReservation<A>[] {
    return [...this.#links.values()].flatMap((link) => link.reservation ?? []);
  }

  reserve(relay: A | string, call?: CallOptions): Promise<void> {
    if (typeof relay === 'string' && this.inner.tryParseAddr(relay) === undefined) {
      return rejection(new P2PError('unreachable', 'local', 'Cannot reserve: that is no address of the swarm below'));
    }
    const addr = typeof relay === 'string' ? this.inner.parseAddr(relay) : relay;
    this.inner.mtu(addr); // Throws for what is no address of the swarm below.
    checkCall(call);
    const what = (): string => `reserve at ${addr.text}`;
    if (this.latch.isClosed) return rejection(this.latch.error(what()));
    const link = this.#linkTo(addr);
    if (link === undefined || (!link.isWanted && this.reservations.length >= MAX_RESERVATIONS)) {
      const message = `Cannot ${what()}: ${MAX_RESERVATIONS} reservations are wanted, release one`;
      return rejection(new P2PError('limit_exceeded', 'local', message, { sent: 'no' }));
    }
    const waiting = this.#waits.wait<void>({ what, call, defaultTimeoutMs: RESERVE_TIMEOUT_MS }, (wait) => {
      const settle = (): void => {
        const { state, reason } = link.client;
        if (state === 'reserved') wait.resolve();
        else if (state === 'refused') {
          wait.reject(new P2PError('refused', 'remote', `Cannot ${what()}: the relay refuses, ${reason}`));
        } else if (state === 'lost') {
          wait.reject(new P2PError('unreachable', 'path', `Cannot ${what()}: ${reason}`));
        } else if (state === 'idle') {
          wait.reject(new P2PError('closed', 'local', `Cannot ${what()}: it was released`));
        }
      };
      if (link.client.state === 'reserved') settle();
      else {
        link.reserve();
        link.waiters.add(settle);
      }
      return () => link.waiters.delete(settle);
    });
    waiting.catch(() => undefined);
    return waiting;
  }

  /** @param relay - `undefined`: from the base class, to release everything once it is closed. */
  override release(relay?: A | string): void {
    if (relay !== undefined) {
      this.#links.get(String(relay))?.release();
      return;
    }
    if (!this.latch.isClosed) throw new TypeError('Cannot release: expected the address of a relay, got undefined');
    for (const link of this.#links.values()) link.close();
    this.#connections?.[Symbol.dispose]();
    this.#listening[Symbol.dispose]();
    this.#tells.clear();
    this.#waits.close(this.latch.how?.cause);
  }

  listen(handler: TellHandler<RelayAddr<A>>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.#tells.listen(handler);
  }

  onSendFailed(listener: (dst: RelayAddr<A>, error: unknown) => void): Disposable {
    const own = (dst: RelayAddr<A>, error: unknown): void => listener(dst, error);
    this.#failureListeners.add(own);
    return { [Symbol.dispose]: () => void this.#failureListeners.delete(own) };
  }

  protected mtuTo(dst: RelayAddr<A>): number {
    assertRelayAddr(dst);
    const link = this.#lastTarget?.addr === dst ? this.#lastTarget.link : this.#links.get(dst.relay.text);
    const granted = link?.client.grant?.mtu ?? MAX_RELAYED_BYTES;
    return Math.max(0, Math.min(MAX_RELAYED_BYTES, granted, this.inner.mtu(dst.relay) - RELAY_HEADER_BYTES));
  }

  protected sendTell(dst: RelayAddr<A>, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    const target = this.#targetOf(dst);
    if (target === undefined) {
      const message = `Cannot tell ${dst.text}: ${MAX_RELAYS} relays are in use`;
      return this.reject('tell.limit_exceeded', new P2PError('limit_exceeded', 'local', message, { sent: 'no' }));
    }
    const { link, idBytes } = target;
    if (dst.id === this.id && link.client.state === 'reserved') return this.#tellSelf(dst, payload);
    this.counts.countSent(payload.length);
    const send = encodeSend(link.client.version, idBytes, payload);
    return options === undefined ? link.path.send(send) : this.inner.tell(dst.relay, send, options);
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    const { maxMessages, maxBytes, messages } = this.#tells.budget;
    return {
      limits: { maxPendingMessages: maxMessages, maxPendingBytes: maxBytes, maxReservations: MAX_RESERVATIONS },
      state: { reservations: this.localAddrs().length, relays: this.#links.size, pendingMessages: messages },
    };
  }

  #tellSelf(dst: RelayAddr<A>, payload: Uint8Array): Promise<void> {
    const message = { src: dst, dst, payload: copyBytes(payload) };
    this.counts.countSent(payload.length);
    later(this.realm, () => {
      if (!this.latch.isClosed) this.#tells.deliver(message);
    });
    return RESOLVED;
  }

  #targetOf(dst: RelayAddr<A>): Target<A> | undefined {
    if (this.#lastTarget?.addr === dst) return this.#lastTarget;
    let target = this.#targets.get(dst.text);
    if (target === undefined) {
      const link = this.#linkTo(dst.relay);
      if (link === undefined) return undefined;
      target = { addr: dst, idBytes: bytesOfPeerId(dst.id), link };
      if (this.#targets.size >= MAX_CACHED_PEERS) this.#targets.clear();
      this.#targets.set(dst.text, target);
    }
    this.#lastTarget = target;
    return target;
  }

  #linkTo(relay: A): RelayLink<A> | undefined {
    const known = this.#links.get(relay.text);
    if (known !== undefined) return known;
    if (this.#links.size >= MAX_RELAYS && !this.#forgetOne()) return undefined;
    const link = new RelayLink<A>(this.#secure, relayAddr(this.id, relay), this.#options.minutes, {
      changed: () => this.#changed(link),
      stale: () => this.counts.countDrop('relay.stale'),
      unsent: () => this.counts.countDrop('relay.send_failed'),
      failed: (bug) => this.latch.fail(bug),
    });
    this.#links.set(relay.text, link);
    return link;
  }

  /** @returns whether there was a link without a reservation */
  #forgetOne(): boolean {
    for (const [text, link] of this.#links) {
      if (link.isWanted) continue;
      link.close();
      this.#links.delete(text);
      this.#targets.clear();
      this.#lastTarget = undefined;
      return true;
    }
    return false;
  }

  #changed(link: RelayLink<A>): void {
    for (const settle of link.waiters) settle();
    const { state, reason } = link.client;
    this.realm.trace?.({
      layer: 'relay',
      type: `reservation_${state}`,
      atMs: this.realm.nowMs(),
      addr: link.local.relay,
      reason,
    });
    if (this.latch.isClosed || this.#options.onChange === undefined) return;
    try {
      this.#options.onChange();
    } catch (cause) {
      this.counts.countDrop('handler_error');
      this.realm.trace?.({ layer: 'relay', type: 'handler_error', atMs: this.realm.nowMs(), cause });
    }
  }

  #receive({ src, payload }: Message<A>): void {
    const link = this.#links.get(src.text) ?? this.#linkOfPeer(src);
    if (link === undefined) {
      this.counts.countDrop('relay.unknown_relay');
      return;
    }
    const { version, message } = decodeRelayReply(payload);
    if (typeof message === 'string') this.counts.countDrop(message === 'malformed' ? 'malformed' : `relay.${message}`);
    else if (message.type === 'received') {
      if (message.datagram.length > MAX_RELAYED_BYTES) this.counts.countDrop('oversize');
      else {
        const from = link.sourceOf(message.from);
        this.#tells.deliver({ src: from, dst: link.local, payload: message.datagram });
      }
    } else if (message.type === 'gone') this.#gone(relayAddr(message.id, link.local.relay), message.reason);
    else link.handleReply(version, message);
  }

  /** The relay may have dialled us: then its messages come from another address. */
  #linkOfPeer(src: A): RelayLink<A> | undefined {
    const id = provenId(this.#secure, src);
    return id === undefined ? undefined : this.#linksOf(id)[0];
  }

  #linksOf(relay: PeerId): readonly RelayLink<A>[] {
    const idOf = ({ local }: RelayLink<A>): PeerId | undefined =>
      peerIdOf(local.relay) ?? provenId(this.#secure, local.relay);
    return [...this.#links.values()].filter((link) => idOf(link) === relay);
  }

  #gone(dst: RelayAddr<A>, reason: RelayGoneReason): void {
    this.counts.countDrop(`relay.${reason}`);
    if (this.#failureListeners.size === 0) return;
    const error = new P2PError('unreachable', 'remote', `Cannot tell ${dst.text}: ${GONE[reason]}`);
    for (const listener of this.#failureListeners) listener(dst, error);
  }
}
