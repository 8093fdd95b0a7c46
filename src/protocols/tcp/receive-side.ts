/** What one side of a connection receives: messages in parts become whole, within what was allowed. */

import { type Bytes } from '../../base/bytes.ts';
import { Assembly } from './assembly.ts';
import { HELD_MESSAGE_BYTES, MAX_REFUSAL_BYTES, MAX_UNFINISHED } from './constants.ts';
import { costOf, ReceiveWindow } from './credit.ts';
import { type MessageHead } from './frames.ts';

/** What a peer must not do. */
export type TcpFault =
  /** No frame, or one that cannot be. */
  | 'malformed'
  /** A message larger than was said to be taken. */
  | 'oversize'
  /** More than its credit. */
  | 'over_credit'
  /** A frame that does not belong there: a second hello, an id that was never given. */
  | 'unexpected';

/** What is known of answers that may come. */
export interface AnswerRules {
  /** The most bytes of the answer to this ask; `undefined` when it was given up, `'never'` when it was never made. */
  limit(id: number): number | undefined | 'never';
}

/** A whole message, or what is wrong. */
export type Received = { readonly head: MessageHead; readonly payload: Bytes } | TcpFault | undefined;

export class ReceiveSide {
  readonly tells: ReceiveWindow;
  readonly requests: ReceiveWindow;
  readonly #maxMessageBytes: number;
  readonly #answers: AnswerRules;
  /** Bounded by `MAX_UNFINISHED`; its bytes by the windows, and by what the asks under way take. */
  readonly #unfinished = new Map<number, Assembly>();
  #lastStream = 0;
  /** Of unfinished tells and requests: what they are charged, and what is taken for them. */
  #unfinishedCost = 0;
  #unfinishedRoom = 0;

  constructor(limits: { readonly maxMessageBytes: number; readonly windowBytes: number }, answers: AnswerRules) {
    this.#maxMessageBytes = limits.maxMessageBytes;
    this.#answers = answers;
    this.tells = new ReceiveWindow(limits.windowBytes);
    this.requests = new ReceiveWindow(limits.windowBytes);
  }

  /** Messages that have begun and are not whole. */
  get unfinished(): number {
    return this.#unfinished.size;
  }

  /** Bytes that are taken for tells and requests that are not done with. */
  get heldBytes(): number {
    const { tells, requests } = this;
    const messages = (tells.messages + requests.messages) * HELD_MESSAGE_BYTES;
    return tells.held + requests.held - this.#unfinishedCost + this.#unfinishedRoom + messages;
  }

  /** Of these, for what has begun and is not whole. */
  get unfinishedBytes(): number {
    return this.#unfinishedRoom + this.#unfinished.size * HELD_MESSAGE_BYTES;
  }

  /** A whole message in one frame. Nothing when nobody wants it. */
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

  /** Answers the head of what was given up, or the fault. */
  handleAbort(stream: number): MessageHead | TcpFault {
    const assembly = this.#unfinished.get(stream);
    if (assembly === undefined) return 'unexpected';
    this.#forget(stream, assembly);
    this.release(assembly.head, assembly.size);
    return assembly.head;
  }

  /** An ask was given up: what comes of its answer is dropped. */
  unwant(id: number): void {
    for (const assembly of this.#unfinished.values()) {
      const { head } = assembly;
      if ((head.type === 'answer' || head.type === 'refusal') && head.id === id) assembly.wanted = false;
    }
  }

  /** A tell or a request is done with. */
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

  /** Whether a message of the same ask has begun; `true` for a second answer to one ask, say. */
  #hasBegun({ type, id }: Exclude<MessageHead, { readonly type: 'tell' }>): boolean {
    for (const { head } of this.#unfinished.values()) {
      if (head.type !== 'tell' && (head.type === 'request') === (type === 'request') && head.id === id) return true;
    }
    return false;
  }

  /** Whether a message of this head is wanted; or why it must not come. */
  #admit(head: MessageHead, size: number): boolean | TcpFault {
    if (head.type === 'tell' || head.type === 'request') {
      if (size > this.#maxMessageBytes) return 'oversize';
      const window = head.type === 'tell' ? this.tells : this.requests;
      return window.charge(costOf(size)) ? true : 'over_credit';
    }
    const limit = this.#answers.limit(head.id);
    if (limit === 'never') return 'unexpected';
    if (limit === undefined) return false;
    // Refusals may carry a few bytes even where an empty answer was expected.
    return size <= (head.type === 'refusal' ? MAX_REFUSAL_BYTES : limit) ? true : 'oversize';
  }
}

/** Whether a message is charged to a window. */
function isCharged({ type }: MessageHead): boolean {
  return type === 'tell' || type === 'request';
}
