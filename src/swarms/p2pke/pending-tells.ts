/** How many tells wait for handshakes, in all. */

import type { Addr } from '../../core/addr.ts';
import { P2PError } from '../../core/errors.ts';
import { sourceOf } from '../../base/source-shares.ts';
import { hostOf } from './host.ts';
import type { PeerSession, PendingTell } from './peer-session.ts';
import type { ResolvedP2pke } from './options.ts';

/** The part of all places that tells to strangers of one source may take: a stranger that makes us answer can also make us wait. */
const SOURCE_SHARE = 1 / 8;

/** The part that tells to strangers may take together; the rest is for peers that are called from here. */
const STRANGERS_SHARE = 1 / 2;

/** What waits of something. */
class Load {
  messages = 0;
  bytes = 0;

  add(messages: number, bytes: number): void {
    this.messages += messages;
    this.bytes += bytes;
  }
}

/** Bounded by maxWaitingMessages and maxWaitingBytes, both per peer, and by shares of both for strangers. */
export class PendingTells<I extends Addr> {
  readonly #counts: ResolvedP2pke<I>['counts'];
  readonly #isStranger: (session: PeerSession<I>) => boolean;
  readonly #all = new Load();
  readonly #strangers = new Load();
  /** Tells to strangers by source. Bounded by the tells that wait. */
  readonly #bySource = new Map<string, Load>();
  /** Called when the last waiting tell has ended. Bounded by the drains under way. */
  readonly onEmpty: Set<() => void> = new Set();

  /** @param isStranger - whether a peer has only ever called us. */
  constructor(counts: ResolvedP2pke<I>['counts'], isStranger: (session: PeerSession<I>) => boolean) {
    this.#counts = counts;
    this.#isStranger = isStranger;
  }

  get messages(): number {
    return this.#all.messages;
  }

  get bytes(): number {
    return this.#all.bytes;
  }

  /** Why one more tell to this peer cannot wait; `undefined` when it can. */
  refusal(session: PeerSession<I>, bytes: number): P2PError | undefined {
    const { maxWaitingMessagesPerPeer, maxWaitingBytesPerPeer, maxWaitingMessages, maxWaitingBytes } = this.#counts;
    const full =
      session.tells.size >= maxWaitingMessagesPerPeer
        ? `${session.tells.size} messages wait for its handshake, limit is ${maxWaitingMessagesPerPeer} (maxWaitingMessagesPerPeer)`
        : session.tells.size > 0 && session.waitingBytes + bytes > maxWaitingBytesPerPeer
          ? `${session.waitingBytes} bytes wait for its handshake, limit is ${maxWaitingBytesPerPeer} (maxWaitingBytesPerPeer)`
          : this.messages >= maxWaitingMessages
            ? `${this.messages} messages wait for handshakes, limit is ${maxWaitingMessages} (maxWaitingMessages)`
            : this.messages > 0 && this.bytes + bytes > maxWaitingBytes
              ? `${this.bytes} bytes wait for handshakes, limit is ${maxWaitingBytes} (maxWaitingBytes)`
              : this.#strangerRefusal(session, bytes);
    if (full === undefined) return undefined;
    return new P2PError('limit_exceeded', 'local', `Cannot tell ${session.addr.text}: ${full}`, { sent: 'no' });
  }

  add(session: PeerSession<I>, tell: PendingTell): void {
    session.tells.add(tell);
    session.waitingBytes += tell.payload.length;
    this.#all.add(1, tell.payload.length);
    if (!this.#isStranger(session)) return;
    tell.source = sourceOf(hostOf(session.addr.inner));
    this.#strangers.add(1, tell.payload.length);
    const own = this.#bySource.get(tell.source) ?? new Load();
    this.#bySource.set(tell.source, own);
    own.add(1, tell.payload.length);
  }

  /** Takes out what has gone, or does not wait any more. Idempotent. */
  remove(session: PeerSession<I>, tell: PendingTell): void {
    if (!session.tells.delete(tell)) return;
    session.waitingBytes -= tell.payload.length;
    this.#all.add(-1, -tell.payload.length);
    if (tell.source !== undefined) {
      this.#strangers.add(-1, -tell.payload.length);
      const own = this.#bySource.get(tell.source)!;
      own.add(-1, -tell.payload.length);
      if (own.messages === 0) this.#bySource.delete(tell.source);
    }
    if (this.messages === 0) for (const empty of this.onEmpty) empty();
  }

  /** A first message of a source, and a first one in all, is let in whatever its size. */
  #strangerRefusal(session: PeerSession<I>, bytes: number): string | undefined {
    if (!this.#isStranger(session)) return undefined;
    const own = this.#bySource.get(sourceOf(hostOf(session.addr.inner)));
    if (own !== undefined && this.#isOver(own, bytes, SOURCE_SHARE)) {
      return `${own.messages} messages and ${own.bytes} bytes wait for peers of its network, which is the share of one`;
    }
    if (this.#strangers.messages === 0 || !this.#isOver(this.#strangers, bytes, STRANGERS_SHARE)) return undefined;
    const { messages, bytes: waiting } = this.#strangers;
    return `${messages} messages and ${waiting} bytes wait for peers that called us, which is their share`;
  }

  #isOver(load: Load, bytes: number, share: number): boolean {
    const { maxWaitingMessages, maxWaitingBytes } = this.#counts;
    return load.messages >= maxWaitingMessages * share || load.bytes + bytes > maxWaitingBytes * share;
  }
}
