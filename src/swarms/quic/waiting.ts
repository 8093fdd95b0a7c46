/** Messages that wait until their peer allows a stream for them. */

import { P2PError } from '../../core/errors.ts';
import type { PeerId } from '../../core/peer-id.ts';
import { DEFAULT_PRIORITY, type Priority } from '../../core/priority.ts';
import type { QuicConnection } from '../../protocols/quic/connection.ts';
import type { QuicStream, StreamKind } from '../../protocols/quic/stream.ts';

/** A message that waits for a stream. */
export interface Waiting {
  /** Higher first. */
  readonly priority: Priority;
  readonly begin: (stream: QuicStream) => void;
  readonly fail: (error: P2PError) => void;
}

/** Messages of each kind that wait for a stream; more fail at once, so that a peer that reads nothing gathers no heap. */
const MAX_WAITING = 65_536;

/** Messages of one kind that wait for a stream: by priority, then in order. */
export class WaitingMessages implements Iterable<Waiting> {
  /** By priority, highest first. Bounded, with everything in it, by `MAX_WAITING`. */
  readonly #levels: { readonly priority: Priority; readonly messages: Set<Waiting> }[] = [];
  /** How many; the queue alone writes it. */
  size = 0;

  add(waiting: Waiting): void {
    const { priority } = waiting;
    let at = this.#levels.length;
    while (at > 0 && this.#levels[at - 1]!.priority < priority) at--;
    const level = this.#levels[at - 1];
    if (level?.priority === priority) level.messages.add(waiting);
    else this.#levels.splice(at, 0, { priority, messages: new Set([waiting]) });
    this.size++;
  }

  delete(waiting: Waiting): void {
    const at = this.#levels.findIndex(({ messages }) => messages.has(waiting));
    if (at === -1) return;
    const { messages } = this.#levels[at]!;
    messages.delete(waiting);
    if (messages.size === 0) this.#levels.splice(at, 1);
    this.size--;
  }

  /** In their order; messages may be deleted meanwhile. */
  *[Symbol.iterator](): Generator<Waiting> {
    const levels = this.#levels.slice();
    for (const { messages } of levels) yield* messages;
  }
}

/** @param waits - those that wait already; here is their bound. */
export function waitForStream(waits: WaitingMessages, waiting: Waiting, peer: PeerId): void {
  if (waits.size < MAX_WAITING) waits.add(waiting);
  else {
    const full = `Cannot reach ${peer}: ${MAX_WAITING} messages wait for it to read`;
    waiting.fail(new P2PError('limit_exceeded', 'remote', full, { sent: 'no' }));
  }
}

/** Gives streams to messages that wait, as far as the peer allows. */
export function giveStreams(waits: WaitingMessages, connection: QuicConnection, kind: StreamKind): void {
  for (const waiting of waits) {
    const stream = connection.open(kind);
    if (stream === undefined) return;
    waits.delete(waiting);
    if (waiting.priority !== DEFAULT_PRIORITY) prioritize(stream, waiting.priority);
    waiting.begin(stream);
  }
}

/** Has a stream's data sent by the priority of its message, in whole numbers of 32 bits: others become the next lower one. */
export function prioritize(stream: QuicStream, priority: Priority): void {
  stream.setPriority(Math.max(-(2 ** 31), Math.min(Math.floor(priority), 2 ** 31 - 1)));
}

/** Fails all that wait. */
export function failWaiting(waits: WaitingMessages, error: () => P2PError): void {
  for (const waiting of Array.from(waits)) {
    waits.delete(waiting);
    waiting.fail(error());
  }
}
