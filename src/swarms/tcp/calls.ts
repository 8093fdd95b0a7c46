/** Tells and asks in progress on one connection, and their results. */

import type { Bytes } from '../../base/bytes.ts';
import { IdMap } from '../../base/id-map.ts';
import { mtuError, P2PError, Refusal } from '../../core/errors.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Priority } from '../../core/priority.ts';
import type { CounterSet } from '../../swarm-kit/counter-set.ts';
import { REFUSAL_PLAIN, REFUSAL_TOO_LARGE } from '../../protocols/tcp/constants.ts';
import type { TcpTicket } from '../../protocols/tcp/events.ts';
import type { MessageSession } from '../../protocols/tcp/message-session.ts';
import { sessionError } from './errors.ts';

/** Messages that may wait on one connection; further ones are refused. */
const MAX_QUEUED_MESSAGES = 65_536;

interface Asked {
  readonly settle: (result: Bytes | P2PError) => void;
  readonly maxResponseBytes: number;
}

/** What the calls of a session need from it. */
export interface CallsOwner {
  readonly peer: PeerId;
  /** The peer's address, for error messages. */
  readonly src: { readonly text: string };
  /** The largest message that the peer accepts. */
  readonly peerMaxBytes: number;
  /** The swarm's `closed` error, once it is closed. */
  closedError(what: string): P2PError | undefined;
  /** Runs the machine asynchronously. */
  scheduleFlush(): void;
}

export class Calls {
  readonly #owner: CallsOwner;
  readonly #machine: MessageSession;
  readonly #counters: CounterSet;
  readonly #maxQueueBytes: number;
  readonly #telling = new Map<TcpTicket, (error?: P2PError) => void>(); // Bounded by MAX_QUEUED_MESSAGES.
  readonly #asked = new IdMap<Asked>(); // Bounded by the pending calls.

  constructor(owner: CallsOwner, machine: MessageSession, counters: CounterSet, maxQueueBytes: number) {
    this.#owner = owner;
    this.#machine = machine;
    this.#counters = counters;
    this.#maxQueueBytes = maxQueueBytes;
  }

  tell(
    nowMs: number,
    payload: Uint8Array,
    taken: (error?: P2PError) => void,
    priority?: Priority,
  ): true | (() => void) {
    const refused = this.#refusal(payload);
    if (refused !== undefined) {
      taken(refused);
      return () => {};
    }
    const ticket = this.#machine.tell(nowMs, payload, priority);
    this.#counters.countSent(payload.length);
    this.#owner.scheduleFlush();
    if (ticket === undefined) return true;
    this.#telling.set(ticket, taken);
    return () => {
      if (!this.#telling.delete(ticket)) return;
      this.#machine.giveUpTell(ticket);
      this.#owner.scheduleFlush();
    };
  }

  ask(
    nowMs: number,
    request: Uint8Array,
    maxResponseBytes: number,
    settle: (result: Bytes | P2PError) => void,
    priority?: Priority,
  ): () => void {
    const refused = this.#refusal(request);
    if (refused !== undefined) {
      settle(refused);
      return () => {};
    }
    const id = this.#machine.ask(nowMs, request, maxResponseBytes, priority);
    this.#counters.countSent(request.length);
    this.#asked.set(id, { settle, maxResponseBytes });
    this.#owner.scheduleFlush();
    return () => {
      if (!this.#asked.delete(id)) return;
      this.#machine.cancelAsk(id);
      this.#owner.scheduleFlush();
    };
  }

  /** A tell was written, or failed. */
  taken(ticket: TcpTicket, lost?: 'no' | 'maybe'): void {
    const taken = this.#telling.get(ticket);
    this.#telling.delete(ticket);
    taken?.(lost === undefined ? undefined : this.#lost(lost));
  }

  answered(id: number, payload: Bytes): void {
    this.#settle(id, payload);
  }

  refused(id: number, code: number, payload: Bytes): void {
    this.#settle(id, this.#refused(id, code, payload));
  }

  /** An ask failed. */
  failed(id: number, sent: 'no' | 'maybe'): void {
    this.#settle(id, this.#lost(sent));
  }

  #refusal(payload: Uint8Array): P2PError | undefined {
    const { length } = payload;
    const { src, peerMaxBytes } = this.#owner;
    if (length > peerMaxBytes) return mtuError(`reach ${src.text}`, length, peerMaxBytes);
    const { queued, queuedBytes } = this.#machine;
    if (queued < MAX_QUEUED_MESSAGES && (queued === 0 || queuedBytes + length <= this.#maxQueueBytes)) return undefined;
    const what = `Cannot reach ${src.text}: ${queued} messages, ${queuedBytes} bytes, wait for it already`;
    return new P2PError('limit_exceeded', 'local', `${what}; await what was sent, or raise maxQueueBytes`, {
      sent: 'no',
    });
  }

  #settle(id: number, result: Bytes | P2PError): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    asked?.settle(result);
  }

  #refused(id: number, code: number, payload: Bytes): P2PError {
    const cannot = `Cannot ask ${this.#owner.src.text}: `;
    if (code === REFUSAL_TOO_LARGE) {
      const limit = this.#asked.get(id)?.maxResponseBytes ?? 0;
      const what = `${cannot}the answer has more than ${limit} bytes; raise maxResponseBytes`;
      return new P2PError('limit_exceeded', 'local', what);
    }
    const plain = code === REFUSAL_PLAIN && payload.length === 0;
    const cause = new Refusal('refused', payload.length === 0 ? undefined : payload, code);
    return new P2PError('refused', 'remote', `${cannot}refused${plain ? '' : ` with code ${code}`}`, { cause });
  }

  #lost(sent: 'no' | 'maybe'): P2PError {
    const closed = this.#machine.end ?? { by: 'lost', code: 0, reason: '' };
    return this.#owner.closedError(`reach ${this.#owner.src.text}`) ?? sessionError(this.#owner.peer, closed, sent);
  }
}
