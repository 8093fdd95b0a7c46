/** The receiving side of a connection: reassembles messages within the granted limits. */

import type { Bytes } from '../../base/bytes.ts';
import { Assembly } from './assembly.ts';
import { HELD_MESSAGE_BYTES, MAX_REFUSAL_BYTES, MAX_UNFINISHED } from './constants.ts';
import { costOf, ReceiveWindow } from './credit.ts';
import type { MessageHead } from './frames.ts';

/** Protocol violations of a peer. */
export type TcpFault =
  /** An invalid frame. */
  | 'malformed'
  /** A message larger than the announced limit. */
  | 'oversize'
  /** More than its credit. */
  | 'over_credit'
  /** A frame that is not allowed here: a second hello, an unknown id. */
  | 'unexpected';

/** The limits of answers. */
export interface AnswerRules {
  /**
   * The maximum bytes of the answer to this ask; `undefined` when it was cancelled, `'never'` when it never existed.
   */
  limit(id: number): number | undefined | 'never';
}

/** A complete message, or the fault. */
export type Received = { readonly head: MessageHead; readonly payload: Bytes } | TcpFault | undefined;

export class ReceiveSide {
  readonly tells: ReceiveWindow;
  readonly requests: ReceiveWindow;
  readonly #maxMessageBytes: number;
  readonly #answers: AnswerRules;
  /** Bounded by `MAX_UNFINISHED`; its bytes by the windows, and by the limits of pending asks. */
  readonly #unfinished = new Map<number, Assembly>();
  #lastStream = 0;
  /** For unfinished tells and requests: their credit, and their buffers. */
  #unfinishedCost = 0;
  #unfinishedRoom = 0;

  constructor(limits: { readonly maxMessageBytes: number; readonly windowBytes: number }, answers: AnswerRules) {
    this.#maxMessageBytes = limits.maxMessageBytes;
    this.#answers = answers;
    this.tells = new ReceiveWindow(limits.windowBytes);
    this.requests = new ReceiveWindow(limits.windowBytes);
  }

  /** Messages that have begun and are incomplete. */
  get unfinished(): number {
    return this.#unfinished.size;
  }

  /** Bytes held for tells and requests that are not processed. */
  get heldBytes(): number {
    const { tells, requests } = this;
    const messages = (tells.messages + requests.messages) * HELD_MESSAGE_BYTES;
    return tells.held + requests.held - this.#unfinishedCost + this.#unfinishedRoom + messages;
  }

  /** Of these, for incomplete messages. */
  get unfinishedBytes(): number {
    return this.#unfinishedRoom + this.#unfinished.size * HELD_MESSAGE_BYTES;
  }

  /** Handles a complete message in one frame. Returns `undefined` when it was cancelled. */
  handleMessage(head: MessageHead, payload: Bytes): Received {
    const wanted = this.#admit(head, payload.length);
    if (typeof wanted === 'string') return wanted;
    return wanted ? { head, payload } : undefined;
  }

  handleBegin(stream: number, size: number, head: MessageHead): TcpFault | undefined {
    if (stream !== this.#lastStream + 1 || this.#unfinished.size >= MAX_UNFINISHED) return 'unexpected';
    if (size === 0) return 'malformed';
    if (head.type !== 'tell' && this.#hasBegun(head)) return 'unexpected';
    this.#lastStream = stream;
    const wanted = this.#admit(head, size);
    if (typeof wanted === 'string') return wanted;
    this.#unfinished.set(stream, new Assembly(head, size, wanted));
    if (isCharged(head)) this.#unfinishedCost += costOf(size);
    return undefined;
  }

  handleChunk(stream: number, bytes: Uint8Array): Received {
    const assembly = this.#unfinished.get(stream);
    if (assembly === undefined) return 'unexpected';
    const before = assembly.room;
    if (!assembly.add(bytes)) return 'malformed';
    if (isCharged(assembly.head)) this.#unfinishedRoom += assembly.room - before;
    if (!assembly.whole) return undefined;
    this.#forget(stream, assembly);
    return assembly.wanted ? { head: assembly.head, payload: assembly.payload() } : undefined;
  }

  /** Returns the head of the aborted message, or the fault. */
  handleAbort(stream: number): MessageHead | TcpFault {
    const assembly = this.#unfinished.get(stream);
    if (assembly === undefined) return 'unexpected';
    this.#forget(stream, assembly);
    this.release(assembly.head, assembly.size);
    return assembly.head;
  }

  /** An ask was cancelled: its answer is dropped. */
  unwant(id: number): void {
    for (const assembly of this.#unfinished.values()) {
      const { head } = assembly;
      if ((head.type === 'answer' || head.type === 'refusal') && head.id === id) assembly.wanted = false;
    }
  }

  /** A tell or a request was processed. */
  release(head: MessageHead, size: number): void {
    if (head.type === 'tell') this.tells.release(costOf(size));
    else if (head.type === 'request') this.requests.release(costOf(size));
  }

  clear(): void {
    this.#unfinished.clear();
    this.#unfinishedCost = this.#unfinishedRoom = 0;
  }

  #forget(stream: number, { head, size, room }: Assembly): void {
    this.#unfinished.delete(stream);
    if (!isCharged(head)) return;
    this.#unfinishedCost -= costOf(size);
    this.#unfinishedRoom -= room;
  }

  /** Whether a message of the same ask has begun: for example, `true` for a second answer to one ask. */
  #hasBegun({ type, id }: Exclude<MessageHead, { readonly type: 'tell' }>): boolean {
    for (const { head } of this.#unfinished.values()) {
      if (head.type !== 'tell' && (head.type === 'request') === (type === 'request') && head.id === id) return true;
    }
    return false;
  }

  /** Whether a message with this head is wanted, or the fault. */
  #admit(head: MessageHead, size: number): boolean | TcpFault {
    if (head.type === 'tell' || head.type === 'request') {
      if (size > this.#maxMessageBytes) return 'oversize';
      const window = head.type === 'tell' ? this.tells : this.requests;
      return window.charge(costOf(size)) ? true : 'over_credit';
    }
    const limit = this.#answers.limit(head.id);
    if (limit === 'never') return 'unexpected';
    if (limit === undefined) return false;
    // A refusal may carry a few bytes even if an empty answer was expected.
    return size <= (head.type === 'refusal' ? MAX_REFUSAL_BYTES : limit) ? true : 'oversize';
  }
}

/** Whether a message uses credit of a window. */
function isCharged({ type }: MessageHead): boolean {
  return type === 'tell' || type === 'request';
}
