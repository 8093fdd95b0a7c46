/** How many tells wait for handshakes, in all. */

import { type Addr } from '../../core/addr.ts';
import { P2PError } from '../../core/errors.ts';
import { type Link, type WaitingTell } from './link.ts';
import { type ResolvedP2pke } from './options.ts';

/** Bounded by maxWaitingMessages and maxWaitingBytes, and both per peer. */
export class WaitingRoom<I extends Addr> {
  readonly #counts: ResolvedP2pke<I>['counts'];
  #messages = 0;
  #bytes = 0;
  /** Told when nobody waits any more. Bounded by the drains under way. */
  readonly onEmpty: Set<() => void> = new Set();

  constructor(counts: ResolvedP2pke<I>['counts']) {
    this.#counts = counts;
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Why one more tell to this peer cannot wait; `undefined` when it can. */
  refusal(link: Link<I>, bytes: number): P2PError | undefined {
    const { maxWaitingMessagesPerPeer, maxWaitingBytesPerPeer, maxWaitingMessages, maxWaitingBytes } = this.#counts;
    const full =
      link.tells.size >= maxWaitingMessagesPerPeer
        ? `${link.tells.size} messages wait for its handshake, limit is ${maxWaitingMessagesPerPeer} (maxWaitingMessagesPerPeer)`
        : link.tells.size > 0 && link.waitingBytes + bytes > maxWaitingBytesPerPeer
          ? `${link.waitingBytes} bytes wait for its handshake, limit is ${maxWaitingBytesPerPeer} (maxWaitingBytesPerPeer)`
          : this.#messages >= maxWaitingMessages
            ? `${this.#messages} messages wait for handshakes, limit is ${maxWaitingMessages} (maxWaitingMessages)`
            : this.#messages > 0 && this.#bytes + bytes > maxWaitingBytes
              ? `${this.#bytes} bytes wait for handshakes, limit is ${maxWaitingBytes} (maxWaitingBytes)`
              : undefined;
    if (full === undefined) return undefined;
    return new P2PError('limit_exceeded', 'local', `Cannot tell ${link.addr.text}: ${full}`, { sent: 'no' });
  }

  add(link: Link<I>, tell: WaitingTell): void {
    link.tells.add(tell);
    link.waitingBytes += tell.payload.length;
    this.#messages++;
    this.#bytes += tell.payload.length;
  }

  /** Takes out what has gone, or does not wait any more. Idempotent. */
  remove(link: Link<I>, tell: WaitingTell): void {
    if (!link.tells.delete(tell)) return;
    link.waitingBytes -= tell.payload.length;
    this.#messages--;
    this.#bytes -= tell.payload.length;
    if (this.#messages === 0) for (const empty of this.onEmpty) empty();
  }
}
