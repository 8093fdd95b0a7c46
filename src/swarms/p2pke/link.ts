/** One peer at one inner address: its channel, and who waits for it. */

import { type Addr } from '../../core/addr.ts';
import { type Bytes } from '../../base/bytes.ts';
import { type Millis } from '../../base/machine.ts';
import { type Realm } from '../../core/realm.ts';
import { type PublicKey } from '../../core/secure.ts';
import { Driver } from '../../runtime/driver.ts';
import { type Wait } from '../../runtime/waits.ts';
import { type ChannelEvent } from '../../protocols/p2pke/channel-options.ts';
import { Channel } from '../../protocols/p2pke/channel.ts';
import { type P2pkeDrop } from '../../protocols/p2pke/drop-reason.ts';
import { type VerifiedHello } from '../../protocols/p2pke/hello.ts';
import { type P2pkeAddr } from './address.ts';
import { type ResolvedP2pke } from './options.ts';

/** What a link tells its swarm. */
export interface LinkUser<I extends Addr> {
  readonly realm: Realm;
  readonly options: ResolvedP2pke<I>;
  /** Whether the user wants to talk to this key; never throws. */
  accepts(addr: P2pkeAddr<I>, key: PublicKey): boolean;
  /** Sends a datagram of a handshake, or one that only says that we live. */
  transmit(link: Link<I>, datagram: Bytes): void;
  /** Takes all events but drops. */
  event(link: Link<I>, event: Exclude<ChannelEvent, { readonly type: 'dropped' }>): void;
  failed(bug: Error): void;
}

/** A tell that waits for a session. */
export interface WaitingTell {
  /** The caller's, and left alone by it as long as the tell is not settled. */
  readonly payload: Uint8Array;
  readonly wait: Wait<void>;
  /** Whether it has been sealed and handed down. */
  sent: boolean;
  /** The source that it counts for, when it is for a stranger. */
  source: string | undefined;
}

/** The sessions with one peer at one inner address. */
export class Link<I extends Addr> {
  readonly addr: P2pkeAddr<I>;
  /** Bounded by maxWaitingMessagesPerPeer; in the order of the calls. */
  readonly tells: Set<WaitingTell> = new Set();
  waitingBytes = 0;
  /** Look-ups that wait for the key. Bounded by the calls under way. */
  readonly lookups: Set<Wait<PublicKey>> = new Set();
  /** The key that a hello has claimed: not proven, and only good for knowing the same claim again. */
  claimedKey: PublicKey | undefined;
  /** What is known about why its handshakes fail, for error messages. */
  trouble: string | undefined;
  /** When something was last told to or heard from this peer. */
  usedMs: Millis;
  readonly #user: LinkUser<I>;
  readonly #channel: Channel;
  readonly #driver: Driver<Bytes, ChannelEvent>;
  #dropped: P2pkeDrop | undefined;

  constructor(user: LinkUser<I>, addr: P2pkeAddr<I>) {
    const { realm, options } = user;
    this.#user = user;
    this.addr = addr;
    this.usedMs = realm.nowMs();
    let refusal: 'identity_mismatch' | 'not_accepted' = 'identity_mismatch';
    const channel = new Channel({
      identity: options.identity,
      limits: options.channel,
      accept: (key) => {
        const isPeer = options.idOf(key) === addr.id;
        refusal = isPeer ? 'not_accepted' : 'identity_mismatch';
        return isPeer && user.accepts(addr, key);
      },
      get refusal() {
        return refusal; // asked for right after accept
      },
    });
    this.#channel = channel;
    this.#driver = new Driver(channel, {
      realm,
      transmit: (datagram) => user.transmit(this, datagram),
      event: (event) => {
        if (event.type === 'dropped') this.#dropped = event.reason;
        else user.event(this, event);
      },
      failed: (bug) => user.failed(bug),
      background: () => !channel.isHandshaking,
    });
  }

  /** The peer's key, once it has been proven. */
  get publicKey(): PublicKey | undefined {
    return this.#channel.publicKey;
  }

  /** Timestamp of the last hello with which the peer completed a handshake. */
  get helloTimestamp(): Bytes | undefined {
    return this.#channel.helloTimestamp;
  }

  /** Why the last datagram was dropped; `undefined` when it was not. */
  get dropped(): P2pkeDrop | undefined {
    return this.#dropped;
  }

  /** Whether somebody waits for a session or for the key. */
  get isAwaited(): boolean {
    return this.tells.size > 0 || this.lookups.size > 0;
  }

  /** Whether nothing is left that would be missed. */
  get isSpent(): boolean {
    return this.#channel.isEmpty && !this.isAwaited;
  }

  /** The datagram of a message; `undefined` when that takes a handshake, which begins with the next poll. */
  seal(now: Millis, payload: Uint8Array): Bytes | undefined {
    this.usedMs = now;
    return this.#channel.seal(now, this.#user.realm.wallMs(), payload);
  }

  /** Sees to it that there is a session or a handshake. */
  open(): void {
    const { realm } = this.#user;
    this.#channel.open(realm.nowMs(), realm.wallMs());
    this.#driver.poll();
  }

  poll(): void {
    this.#driver.poll();
  }

  /** Takes a datagram; the message in it, or `undefined`: then `dropped` says whether it was of any use. */
  handleDatagram(now: Millis, datagram: Uint8Array): Bytes | undefined {
    this.#dropped = undefined;
    const message = this.#channel.handleDatagram(now, this.#user.realm.wallMs(), datagram);
    this.#driver.poll();
    if (message !== undefined) this.usedMs = now;
    return message;
  }

  /** Takes a hello that has been checked. */
  handleHello(now: Millis, hello: VerifiedHello): void {
    this.#dropped = undefined;
    this.#channel.handleHello(now, this.#user.realm.wallMs(), hello);
    this.#driver.poll();
  }

  /** Nobody waits any more. @returns whether a handshake was given up by it. */
  abandon(): boolean {
    const handshaking = this.#channel.isHandshaking;
    this.#channel.abandon();
    this.#driver.poll();
    return handshaking && !this.#channel.isHandshaking;
  }

  /** Rejects everybody who waits. */
  reject(error: (what: string) => Error): void {
    for (const { wait } of this.tells) wait.reject(error(`tell ${this.addr.text}`));
    for (const wait of this.lookups) wait.reject(error(`look up the key of ${this.addr.text}`));
  }

  close(): void {
    this.#driver.stop();
    this.#channel.close();
  }
}
