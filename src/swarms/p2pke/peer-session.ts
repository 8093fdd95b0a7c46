/** One peer at one inner address: its channel, and the calls that wait for it. */

import type { AcceptPeer, Side } from '../../core/accept.ts';
import type { Addr } from '../../core/addr.ts';
import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { Realm } from '../../core/realm.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import { Driver } from '../../runtime/driver.ts';
import { type SendPath, sendPath } from '../../swarm-kit/send-path.ts';
import type { Wait } from '../../runtime/waits.ts';
import type { ChannelEvent, ChannelVerdict } from '../../protocols/p2pke/channel-options.ts';
import { Channel } from '../../protocols/p2pke/channel.ts';
import type { P2pkeDrop } from '../../protocols/p2pke/drop-reason.ts';
import type { VerifiedHello } from '../../protocols/p2pke/hello.ts';
import type { AcceptGate, PendingVerdict } from '../../sessions/accept-gate.ts';
import type { P2pkeAddr } from './address.ts';
import { hostOf } from './host.ts';
import type { ResolvedP2pke } from './options.ts';

/** What a session needs of its swarm. */
export interface PeerSessionHooks<I extends Addr> {
  readonly inner: Swarm<I>;
  readonly realm: Realm;
  readonly options: ResolvedP2pke<I>;
  readonly gate: AcceptGate<P2pkeAddr<I>>;
  /** Sends a datagram of a handshake, or a keep-alive. */
  transmit(session: PeerSession<I>, datagram: Bytes): void;
  /** Takes all events but questions. */
  event(session: PeerSession<I>, event: PeerSessionEvent): void;
  /** A key has been judged; `reason`: why the hello that brought it is dropped. */
  judged(session: PeerSession<I>, reason: P2pkeDrop | undefined): void;
  failed(bug: Error): void;
}

/** The events that a session passes to its swarm; it handles `accept` itself. */
export type PeerSessionEvent = Exclude<ChannelEvent, { readonly type: 'accept' }>;

/** A tell that waits for a session. */
export interface PendingTell {
  /** The caller's, which does not change it until the tell is settled. */
  readonly payload: Uint8Array;
  readonly wait: Wait<void>;
  /** Whether it has been sealed and handed down. */
  sent: boolean;
  /** The source that it counts for, when it is for a stranger. */
  source: string | undefined;
}

/** The sessions with one peer at one inner address. */
export class PeerSession<I extends Addr> {
  readonly addr: P2pkeAddr<I>;
  /** The way to its inner address. */
  readonly path: SendPath;
  /** The swarm seals messages with it; everything else goes through this class. */
  readonly channel: Channel;
  /** Bounded by maxWaitingMessagesPerPeer; in the order of the calls. */
  readonly tells: Set<PendingTell> = new Set();
  waitingBytes = 0;
  /** Look-ups that wait for the key. Bounded by the calls under way. */
  readonly lookups: Set<Wait<PublicKey>> = new Set();
  /** The key that a hello has claimed: not proven, and only good for knowing the same claim again. */
  claimedKey: PublicKey | undefined;
  /** What is known about why its handshakes fail, for error messages. */
  trouble: string | undefined;
  /** When something was last told to or heard from this peer. */
  usedMs: Millis;
  readonly #hooks: PeerSessionHooks<I>;
  readonly #driver: Driver<Bytes, ChannelEvent>;
  #peer: AcceptPeer<P2pkeAddr<I>> | undefined;
  #question: PendingVerdict | undefined;

  constructor(hooks: PeerSessionHooks<I>, addr: P2pkeAddr<I>) {
    const { realm, options } = hooks;
    this.#hooks = hooks;
    this.addr = addr;
    this.path = sendPath(hooks.inner, addr.inner);
    this.usedMs = realm.nowMs();
    const channel = new Channel({ identity: options.identity, limits: options.channel });
    this.channel = channel;
    this.#driver = new Driver(channel, {
      realm,
      transmit: (datagram) => hooks.transmit(this, datagram),
      event: (event) => {
        if (event.type === 'accept') this.#ask(event.publicKey, event.side);
        else hooks.event(this, event);
      },
      failed: (bug) => hooks.failed(bug),
      background: () => !channel.isHandshaking,
    });
  }

  /** The peer that the application was asked about, if it was. */
  get peer(): AcceptPeer<P2pkeAddr<I>> | undefined {
    return this.#peer;
  }

  /** The peer's key, once it has been proven. */
  get publicKey(): PublicKey | undefined {
    return this.channel.publicKey;
  }

  /** Timestamp of the last hello with which the peer completed a handshake. */
  get helloTimestamp(): Bytes | undefined {
    return this.channel.helloTimestamp;
  }

  /** Whether a call waits for a session or for the key. */
  get isAwaited(): boolean {
    return this.tells.size > 0 || this.lookups.size > 0;
  }

  /** Whether it has no session, no handshake and no waiting call. */
  get isSpent(): boolean {
    return this.channel.isEmpty && !this.isAwaited;
  }

  /** Sees to it that there is a session or a handshake. */
  open(): void {
    const { realm } = this.#hooks;
    this.channel.open(realm.nowMs(), realm.wallMs());
    this.#driver.poll();
  }

  poll(): void {
    this.#driver.poll();
  }

  /** Takes a datagram. @returns the message in it, why it was dropped, or `undefined` when it was valid and has no message */
  handleDatagram(now: Millis, datagram: Uint8Array): Bytes | P2pkeDrop | undefined {
    const received = this.channel.handleDatagram(now, this.#hooks.realm.wallMs(), datagram);
    this.#driver.poll();
    if (received instanceof Uint8Array) this.usedMs = now;
    return received;
  }

  /** Takes a hello that has been checked. @returns why it was dropped, if it was */
  handleHello(now: Millis, hello: VerifiedHello): P2pkeDrop | undefined {
    const reason = this.channel.handleHello(now, this.#hooks.realm.wallMs(), hello);
    this.#driver.poll();
    return reason;
  }

  /** The last waiting call has ended. @returns whether that cancelled a handshake */
  abandon(): boolean {
    const handshaking = this.channel.isHandshaking;
    this.channel.abandon();
    this.#driver.poll();
    return handshaking && !this.channel.isHandshaking;
  }

  /** Rejects all waiting calls. */
  reject(error: (what: string) => Error): void {
    for (const { wait } of this.tells) wait.reject(error(`tell ${this.addr.text}`));
    for (const wait of this.lookups) wait.reject(error(`look up the key of ${this.addr.text}`));
  }

  close(): void {
    this.#question?.cancel();
    this.#question = undefined;
    this.#driver.stop();
    this.channel.close();
  }

  /** One question at a time: its verdict counts for all that waits for it. */
  #ask(publicKey: PublicKey, side: Side): void {
    const { addr } = this;
    const { gate, options } = this.#hooks;
    if (options.idOf(publicKey) !== addr.id) return this.#answer(publicKey, 'identity_mismatch');
    if (this.#question !== undefined) return undefined;
    this.#peer = { id: addr.id, publicKey, addr, side };
    const settle = (accepted: boolean): void => {
      this.#question = undefined;
      this.#answer(publicKey, accepted ? 'accepted' : 'not_accepted');
    };
    const verdict = gate.ask(this.#peer, hostOf(addr.inner), settle);
    if (typeof verdict === 'boolean') settle(verdict);
    else this.#question = verdict;
    return undefined;
  }

  #answer(publicKey: PublicKey, verdict: ChannelVerdict): void {
    const { realm } = this.#hooks;
    const reason = this.channel.answer(realm.nowMs(), realm.wallMs(), publicKey, verdict);
    this.#driver.poll();
    this.#hooks.judged(this, reason);
  }
}
