/** Messages from one peer: tells, and requests with the answers to them. */

import type { Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { isPending } from '../../runtime/promises.ts';
import type { Answer, Serving } from '../../swarm-kit/ask-slot.ts';
import type { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import type { QuicStream } from '../../protocols/quic/stream.ts';
import { Assembly, FRAME_HEADER_BYTES, Sending } from '../../quic/sending.ts';
import { CODE } from './codes.ts';
import { discard } from './discard.ts';
import type { SessionHooks } from './session-hooks.ts';
import { giveBack } from './swarm-memory.ts';

/** A request in the handler's hands, or its answer on the way. */
interface Served {
  readonly serving: Serving;
  response: Sending | undefined;
  /** Bytes of the response while they are not all with the transport. */
  unsent: number;
}

/** Bytes of unfinished messages of one peer before all but the oldest have to wait, in messages of the largest size. */
const ASSEMBLED_MESSAGES = 4;
/** Unread answers from which on a peer's next requests wait, in messages of the largest size. */
const UNSENT_ANSWERS = 4;

export class Incoming<S> {
  readonly #hooks: SessionHooks<S>;
  readonly #session: S;
  readonly #tellBudget: PendingBudget;
  /** Messages that come in, oldest first. Bounded by our stream limits, as are the following. */
  readonly #incoming = new Map<QuicStream, Assembly>();
  /** The bytes in them. */
  #held = 0;
  readonly #served = new Map<QuicStream, Served>();
  /** Bytes of answers that the transport has not taken yet. */
  #unsent = 0;
  /** Streams with something to read that has to wait for the handler, in order. */
  readonly #parked = new Set<QuicStream>();

  constructor(hooks: SessionHooks<S>, session: S, tellBudget: PendingBudget) {
    this.#hooks = hooks;
    this.#session = session;
    this.#tellBudget = tellBudget;
  }

  /** Bytes of messages that are not whole. */
  get held(): number {
    return this.#held;
  }

  /** Whether something is under way. */
  get isBusy(): boolean {
    return this.#incoming.size > 0 || this.#served.size > 0;
  }

  /** The peer has opened a stream. */
  handleOpened(stream: QuicStream): void {
    this.#incoming.set(stream, new Assembly());
    this.handleReadable(stream);
  }

  /** More has come on a stream, or its end. */
  handleReadable(stream: QuicStream): void {
    const assembly = this.#incoming.get(stream);
    if (assembly === undefined) {
      discard(stream);
      return;
    }
    if (this.#mustWait(stream, assembly)) {
      this.#parked.add(stream);
      return;
    }
    const limit = this.#hooks.maxMessageBytes + (stream.kind === 'bidi' ? FRAME_HEADER_BYTES : 0);
    this.#hold(assembly.take(stream, limit));
    if (assembly.length > limit) this.#turnDown(stream, assembly, 'oversize', CODE.OVERSIZE);
    else if (stream.kind === 'uni') this.#readTell(stream, assembly);
    else this.#readRequest(stream, assembly);
  }

  /** More of an answer can be written. */
  handleWritable(stream: QuicStream): void {
    const served = this.#served.get(stream);
    if (served?.response?.write(stream) === true) this.#forgetServed(stream, served);
  }

  /** The peer wants no answer any more. */
  handleStopped(stream: QuicStream): void {
    const served = this.#served.get(stream);
    if (served === undefined) return;
    this.#forgetServed(stream, served);
    served.serving.abort(new P2PError('disconnected', 'remote', 'The asker has given up'));
  }

  /** There is room again, or a handler: reads what was left unread. */
  unpark(): void {
    // Reading may park a stream again, behind the others: each is looked at once.
    const parked = [...this.#parked];
    this.#parked.clear();
    for (const stream of parked) this.handleReadable(stream);
    this.#hooks.scheduleFlush();
  }

  /** The connection is over: everything under way fails. */
  handleClosed(error: (sent: 'maybe') => P2PError): void {
    for (const { serving } of this.#served.values()) serving.abort(error('maybe'));
    this.#served.clear();
    this.#parked.clear();
    this.#incoming.clear();
    this.#hold(-this.#held);
  }

  /**
   * Tells wait while nobody listens or too many pend, requests while the peer does not take the answers to earlier ones;
   * anything waits when too much is unfinished, but for the oldest.
   */
  #mustWait(stream: QuicStream, assembly: Assembly): boolean {
    if (stream.kind === 'bidi' && this.#unsent > UNSENT_ANSWERS * this.#hooks.maxMessageBytes) return true;
    if (stream.kind === 'uni' && (!this.#hooks.listening || this.#tellBudget.full)) return true;
    if (assembly.length > 0) return false;
    const { memory, maxMessageBytes } = this.#hooks;
    if (
      this.#held <= ASSEMBLED_MESSAGES * maxMessageBytes &&
      (this.#held === 0 || memory.held + memory.pending < memory.maxBytes)
    ) {
      return false;
    }
    const [oldest] = this.#incoming.keys();
    return oldest !== stream;
  }

  #hold(bytes: number): void {
    this.#held += bytes;
    if (bytes < 0) giveBack(this.#hooks.memory, 'held', -bytes);
    else this.#hooks.memory.held += bytes;
  }

  #forgetIncoming(stream: QuicStream, assembly: Assembly): void {
    if (this.#incoming.delete(stream)) this.#hold(-assembly.length);
  }

  #readTell(stream: QuicStream, assembly: Assembly): void {
    if (stream.receiveState === 'open') return;
    this.#forgetIncoming(stream, assembly);
    if (stream.receiveState === 'finished') this.#hooks.deliver(this.#session, assembly.bytes());
    if (this.#parked.size > 0) this.unpark();
  }

  #readRequest(stream: QuicStream, assembly: Assembly): void {
    const length = assembly.frameLength();
    if (length !== undefined && length > this.#hooks.maxMessageBytes) {
      this.#turnDown(stream, assembly, 'oversize', CODE.OVERSIZE);
      return;
    }
    if (length === undefined || assembly.length < FRAME_HEADER_BYTES + length) {
      if (stream.receiveState === 'finished') this.#turnDown(stream, assembly, 'malformed', CODE.MALFORMED);
      else if (stream.receiveState !== 'open') this.#turnDown(stream, assembly, undefined, CODE.CANCELLED);
      return;
    }
    if (assembly.length > FRAME_HEADER_BYTES + length) {
      this.#turnDown(stream, assembly, 'malformed', CODE.MALFORMED);
      return;
    }
    this.#forgetIncoming(stream, assembly);
    this.#serve(stream, assembly.bytes().subarray(FRAME_HEADER_BYTES));
    discard(stream);
  }

  #serve(stream: QuicStream, request: Bytes): void {
    const serving = this.#hooks.serve(this.#session, request);
    const served: Served = { serving, response: undefined, unsent: 0 };
    this.#served.set(stream, served);
    const answer = (result: Answer): void => this.#answer(stream, served, result);
    if (isPending(serving.answer)) void serving.answer.then(answer);
    else answer(serving.answer);
  }

  #answer(stream: QuicStream, served: Served, answer: Answer): void {
    if (this.#served.get(stream) !== served) return;
    if (!answer.ok) {
      this.#served.delete(stream);
      stream.reset(CODE.REFUSED);
    } else {
      this.#hooks.countSent(answer.bytes.length);
      served.response = Sending.framed(answer.bytes);
      if (served.response.write(stream)) this.#served.delete(stream);
      else this.#unsent += served.unsent = answer.bytes.length;
    }
    this.#hooks.scheduleFlush();
  }

  #forgetServed(stream: QuicStream, served: Served): void {
    this.#served.delete(stream);
    if (served.unsent === 0) return;
    this.#unsent -= served.unsent;
    if (this.#parked.size > 0) this.unpark();
  }

  #turnDown(stream: QuicStream, assembly: Assembly, drop: 'oversize' | 'malformed' | undefined, code: number): void {
    this.#forgetIncoming(stream, assembly);
    if (drop !== undefined) this.#hooks.count(this.#session, drop);
    stream.stop(code);
    stream.reset(code);
    this.#hooks.scheduleFlush();
    if (this.#parked.size > 0) this.unpark();
  }
}
