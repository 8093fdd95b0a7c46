/** What goes over one connection to a peer: tells on unidirectional streams, asks on bidirectional ones. */

import { isPending } from '../../runtime/promises.ts';
import { type Addr } from '../../core/addr.ts';
import { type Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type Answer, type Serving } from '../../swarm-kit/ask-slot.ts';
import { type PendingBudget, type PendingLimits } from '../../swarm-kit/pending-budget.ts';
import { type PeerSession } from '../../sessions/session-swarm.ts';
import { type QuicConnection } from '../../protocols/quic/connection.ts';
import { type QuicStream } from '../../protocols/quic/stream.ts';
import { type QuicAddr } from './address.ts';
import { CODE } from './codes.ts';
import { Assembly, FRAME_HEADER_BYTES, Sending } from '../../quic/sending.ts';
import { giveBack, SharedBudget, type SwarmMemory } from './swarm-memory.ts';

/** What a session needs of its swarm. */
export interface SessionHost<I extends Addr> {
  readonly maxMessageBytes: number;
  readonly datagramTells: boolean;
  readonly pending: PendingLimits;
  /** Whether somebody listens; without, tells are left unread. */
  readonly listening: boolean;
  /** A tell has come; false when nobody took it. */
  deliver(session: Session<I>, payload: Bytes): void;
  serve(session: Session<I>, request: Bytes): Serving;
  count(drop: 'oversize' | 'malformed'): void;
  countSent(bytes: number): void;
  /** Something was given to the connection: take its outputs soon. */
  kick(): void;
  /** What all sessions hold. */
  readonly memory: SwarmMemory;
  /** A tell has been acknowledged, or is lost: `drain` looks again. */
  settled(): void;
}

/** An ask under way. */
interface Asked {
  readonly assembly: Assembly;
  readonly maxResponseBytes: number;
  readonly settle: (result: Bytes | P2PError) => void;
}

/** A message that waits for a stream. */
interface Waiting {
  readonly begin: (stream: QuicStream) => void;
  readonly fail: (error: P2PError) => void;
}

/** A request in the handler's hands, or its answer on the way. */
interface Served {
  readonly serving: Serving;
  response: Sending | undefined;
  /** Bytes of the response while they are not all with the transport. */
  unsent: number;
}

/** Bytes of unfinished messages of one peer before all but the eldest have to wait, in messages of the largest size. */
const ASSEMBLED_MESSAGES = 4;
/** Messages of each kind that wait for a stream; more fail at once, so that a peer that reads nothing gathers no heap. */
const MAX_WAITING = 65_536;
/** Answers that a peer does not read before its next requests have to wait, in messages of the largest size. */
const UNSENT_ANSWERS = 4;

export class Session<I extends Addr> implements PeerSession {
  readonly connection: QuicConnection;
  readonly peer: PeerId;
  readonly publicKey: PublicKey;
  readonly sinceMs: number;
  /** The addresses of the last message, for the next one. */
  ends: { readonly src: QuicAddr<I>; readonly dst: QuicAddr<I> } | undefined;
  readonly #host: SessionHost<I>;
  readonly #tellBudget: PendingBudget;
  readonly #askBudget: PendingBudget;
  /** For each kind of stream, in order. Bounded by {@link MAX_WAITING}. */
  readonly #waiting = { uni: new Set<Waiting>(), bidi: new Set<Waiting>() };
  /** Tells whose bytes are not all taken, and what to do then. */
  readonly #telling = new Map<QuicStream, { readonly sending: Sending; readonly taken: (error?: P2PError) => void }>();
  /** Tells that are not acknowledged. Bounded by the peer's stream limit. */
  readonly #unacknowledged = new Set<QuicStream>();
  readonly #requests = new Map<QuicStream, Sending>();
  readonly #asked = new Map<QuicStream, Asked>();
  /** Messages that come in, eldest first. Bounded by our stream limits. */
  readonly #incoming = new Map<QuicStream, Assembly>();
  /** The bytes in them. */
  #held = 0;
  readonly #served = new Map<QuicStream, Served>();
  /** Bytes of answers that the peer has not taken off our hands. */
  #unsent = 0;
  /** Streams with something to read that has to wait for the handler, in order. */
  readonly #parked = new Set<QuicStream>();

  constructor(
    host: SessionHost<I>,
    connection: QuicConnection,
    peer: { readonly id: PeerId; readonly publicKey: PublicKey },
    sinceMs: number,
  ) {
    this.#host = host;
    this.connection = connection;
    this.peer = peer.id;
    this.publicKey = peer.publicKey;
    this.sinceMs = sinceMs;
    this.#tellBudget = new SharedBudget(host.pending, host.memory);
    this.#askBudget = new SharedBudget(host.pending, host.memory);
    this.#tellBudget.onRoom = () => this.unpark();
  }

  get tellBudget(): PendingBudget {
    return this.#tellBudget;
  }

  get askBudget(): PendingBudget {
    return this.#askBudget;
  }

  /** Bytes of messages that are not whole. */
  get held(): number {
    return this.#held;
  }

  /** Messages that wait for a stream. */
  get waiting(): number {
    return this.#waiting.uni.size + this.#waiting.bidi.size;
  }

  /** Tells of which the peer has not acknowledged everything. */
  get unacknowledged(): number {
    return this.#unacknowledged.size + this.waiting;
  }

  /** Whether something is under way on it. */
  get busy(): boolean {
    return this.unacknowledged > 0 || this.#asked.size > 0 || this.#incoming.size > 0 || this.#served.size > 0;
  }

  /**
   * Sends a tell. `taken` is called when the transport has all bytes, or with the error; `true` is answered, and it is not
   * called, when it takes them all now. Otherwise what gives the tell up.
   */
  tell(payload: Uint8Array, taken: (error?: P2PError) => void): true | (() => void) {
    if (this.#host.datagramTells && this.connection.sendDatagram(payload) === 'sent') {
      this.#host.countSent(payload.length);
      this.#host.kick();
      return true;
    }
    const sending = new Sending([payload]);
    let stream: QuicStream | undefined;
    const begin = (opened: QuicStream): boolean => {
      stream = opened;
      this.#unacknowledged.add(opened);
      this.#host.countSent(payload.length);
      if (sending.write(opened)) return true;
      this.#telling.set(opened, { sending, taken });
      return false;
    };
    const opened = this.#waiting.uni.size === 0 ? this.connection.open('uni') : undefined;
    if (opened !== undefined) {
      const done = begin(opened);
      this.#host.kick();
      if (done) return true;
    }
    const waiting: Waiting = {
      begin: (later) => {
        if (begin(later)) taken();
      },
      fail: taken,
    };
    if (opened === undefined) this.#wait('uni', waiting);
    return () => {
      if (stream === undefined) this.#waiting.uni.delete(waiting);
      else if (this.#telling.delete(stream)) {
        stream.reset(CODE.CANCELLED);
        this.handleAcknowledged(stream);
        this.#host.kick();
      }
    };
  }

  /** Sends a request. Answers what gives it up. */
  ask(request: Uint8Array, maxResponseBytes: number, settle: (result: Bytes | P2PError) => void): () => void {
    let stream: QuicStream | undefined;
    const waiting: Waiting = {
      begin: (opened) => {
        stream = opened;
        this.#asked.set(opened, { assembly: new Assembly(), maxResponseBytes, settle });
        this.#host.countSent(request.length);
        const sending = Sending.framed(request);
        if (!sending.write(opened)) this.#requests.set(opened, sending);
      },
      fail: settle,
    };
    this.#wait('bidi', waiting);
    this.flush();
    return () => {
      if (stream === undefined) {
        this.#waiting.bidi.delete(waiting);
        return;
      }
      this.#requests.delete(stream);
      if (!this.#asked.delete(stream)) return;
      stream.reset(CODE.CANCELLED);
      stream.stop(CODE.CANCELLED);
      this.#host.kick();
    };
  }

  /** Gives streams to those who wait, as far as the peer allows. */
  flush(): void {
    for (const kind of ['uni', 'bidi'] as const) {
      for (const waiting of this.#waiting[kind]) {
        const stream = this.connection.open(kind);
        if (stream === undefined) break;
        this.#waiting[kind].delete(waiting);
        waiting.begin(stream);
      }
    }
    this.#host.kick();
  }

  handleWritable(stream: QuicStream): void {
    const told = this.#telling.get(stream);
    if (told?.sending.write(stream) === true) {
      this.#telling.delete(stream);
      told.taken();
    }
    const request = this.#requests.get(stream);
    if (request?.write(stream) === true) this.#requests.delete(stream);
    const served = this.#served.get(stream);
    if (served?.response?.write(stream) === true) this.#forgetServed(stream, served);
  }

  /** Datagrams have come: each is a tell. */
  handleDatagrams(): void {
    for (let payload; (payload = this.connection.receiveDatagram()) !== undefined;) this.#host.deliver(this, payload);
  }

  handleAcknowledged(stream: QuicStream): void {
    if (this.#unacknowledged.delete(stream)) this.#host.settled();
  }

  /** The peer wants no more of what we send. */
  handleStopped(stream: QuicStream): void {
    this.handleAcknowledged(stream);
    const told = this.#telling.get(stream);
    this.#telling.delete(stream);
    told?.taken(refusedBy(stream.stopCode));
    this.#requests.delete(stream);
    const served = this.#served.get(stream);
    if (served === undefined) return;
    this.#forgetServed(stream, served);
    served.serving.abort(new P2PError('disconnected', 'remote', 'The asker has given up'));
  }

  /** The peer has opened a stream. */
  handleOpened(stream: QuicStream): void {
    this.#incoming.set(stream, new Assembly());
    this.#readMessage(stream);
  }

  /** More has come on a stream, or its end. */
  handleReadable(stream: QuicStream): void {
    if (this.#asked.has(stream)) this.#readAnswer(stream);
    else this.#readMessage(stream);
  }

  /** There is room again, or a handler: go on with what was left unread. */
  unpark(): void {
    // Reading may park a stream again, behind the others: each is looked at once.
    const parked = [...this.#parked];
    this.#parked.clear();
    for (const stream of parked) this.#readMessage(stream);
    this.#host.kick();
  }

  /** The connection is over: everything under way fails. */
  handleClosed(error: (sent: 'no' | 'maybe') => P2PError): void {
    const waiting = [...this.#waiting.uni, ...this.#waiting.bidi];
    this.#waiting.uni.clear();
    this.#waiting.bidi.clear();
    for (const { fail } of waiting) fail(error('no'));
    for (const { taken } of this.#telling.values()) taken(error('maybe'));
    for (const { settle } of this.#asked.values()) settle(error('maybe'));
    for (const { serving } of this.#served.values()) serving.abort(error('maybe'));
    this.#telling.clear();
    this.#asked.clear();
    this.#served.clear();
    this.#requests.clear();
    this.#unacknowledged.clear();
    this.#parked.clear();
    this.#incoming.clear();
    this.#hold(-this.#held);
    this.#host.settled();
  }

  #wait(kind: 'uni' | 'bidi', waiting: Waiting): void {
    const waits = this.#waiting[kind];
    if (waits.size < MAX_WAITING) waits.add(waiting);
    else {
      const full = `Cannot reach ${this.peer}: ${MAX_WAITING} messages wait for it to read`;
      waiting.fail(new P2PError('limit_exceeded', 'remote', full, { sent: 'no' }));
    }
  }

  #readMessage(stream: QuicStream): void {
    const assembly = this.#incoming.get(stream);
    if (assembly === undefined) {
      this.#discard(stream);
      return;
    }
    if (this.#mustWait(stream, assembly)) {
      this.#parked.add(stream);
      return;
    }
    const limit = this.#host.maxMessageBytes + (stream.kind === 'bidi' ? FRAME_HEADER_BYTES : 0);
    this.#hold(assembly.take(stream, limit));
    if (assembly.length > limit) this.#turnDown(stream, assembly, 'oversize', CODE.OVERSIZE);
    else if (stream.kind === 'uni') this.#readTell(stream, assembly);
    else this.#readRequest(stream, assembly);
  }

  /**
   * Tells wait while nobody listens or too many pend, requests while the peer does not take the answers to earlier ones;
   * anything waits when too much is unfinished, but for the eldest.
   */
  #mustWait(stream: QuicStream, assembly: Assembly): boolean {
    if (stream.kind === 'bidi' && this.#unsent > UNSENT_ANSWERS * this.#host.maxMessageBytes) return true;
    if (stream.kind === 'uni' && (!this.#host.listening || this.#tellBudget.full)) return true;
    if (assembly.length > 0) return false;
    const { memory, maxMessageBytes } = this.#host;
    if (
      this.#held <= ASSEMBLED_MESSAGES * maxMessageBytes &&
      (this.#held === 0 || memory.held + memory.pending < memory.maxBytes)
    ) {
      return false;
    }
    const [eldest] = this.#incoming.keys();
    return eldest !== stream;
  }

  #hold(bytes: number): void {
    this.#held += bytes;
    if (bytes < 0) giveBack(this.#host.memory, 'held', -bytes);
    else this.#host.memory.held += bytes;
  }

  #forgetIncoming(stream: QuicStream, assembly: Assembly): void {
    if (this.#incoming.delete(stream)) this.#hold(-assembly.length);
  }

  #readTell(stream: QuicStream, assembly: Assembly): void {
    if (stream.receiveState === 'open') return;
    this.#forgetIncoming(stream, assembly);
    if (stream.receiveState === 'finished') this.#host.deliver(this, assembly.bytes());
    if (this.#parked.size > 0) this.unpark();
  }

  #readRequest(stream: QuicStream, assembly: Assembly): void {
    const length = assembly.frameLength();
    if (length !== undefined && length > this.#host.maxMessageBytes) {
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
    const serving = this.#host.serve(this, assembly.bytes().subarray(FRAME_HEADER_BYTES));
    const served: Served = { serving, response: undefined, unsent: 0 };
    this.#served.set(stream, served);
    const answer = (result: Answer): void => this.#answer(stream, served, result);
    if (isPending(serving.answer)) void serving.answer.then(answer);
    else answer(serving.answer);
    this.#discard(stream);
  }

  #answer(stream: QuicStream, served: Served, answer: Answer): void {
    if (this.#served.get(stream) !== served) return;
    if (!answer.ok) {
      this.#served.delete(stream);
      stream.reset(CODE.REFUSED);
    } else {
      this.#host.countSent(answer.bytes.length);
      served.response = Sending.framed(answer.bytes);
      if (served.response.write(stream)) this.#served.delete(stream);
      else this.#unsent += served.unsent = answer.bytes.length;
    }
    this.#host.kick();
  }

  #forgetServed(stream: QuicStream, served: Served): void {
    this.#served.delete(stream);
    if (served.unsent === 0) return;
    this.#unsent -= served.unsent;
    if (this.#parked.size > 0) this.unpark();
  }

  #turnDown(stream: QuicStream, assembly: Assembly, drop: 'oversize' | 'malformed' | undefined, code: number): void {
    this.#forgetIncoming(stream, assembly);
    if (drop !== undefined) this.#host.count(drop);
    stream.stop(code);
    stream.reset(code);
    this.#host.kick();
    if (this.#parked.size > 0) this.unpark();
  }

  #readAnswer(stream: QuicStream): void {
    const asked = this.#asked.get(stream)!;
    const { assembly, maxResponseBytes } = asked;
    assembly.take(stream, maxResponseBytes + FRAME_HEADER_BYTES);
    const length = assembly.frameLength();
    const fail = (error: P2PError): void => this.#settleAsk(stream, asked, error, CODE.OVERSIZE);
    if (length !== undefined && length > maxResponseBytes) {
      const what = `The answer has ${length} bytes, limit is ${maxResponseBytes} bytes; raise maxResponseBytes`;
      fail(new P2PError('limit_exceeded', 'local', what));
    } else if (length !== undefined && assembly.length >= FRAME_HEADER_BYTES + length) {
      this.#settleAsk(
        stream,
        asked,
        assembly.bytes().subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length),
        undefined,
      );
      this.#discard(stream);
    } else if (stream.receiveState === 'reset') fail(refusedBy(stream.resetCode));
    else if (stream.receiveState !== 'open') {
      // The end without an answer: how go-p2p refuses.
      fail(new P2PError('refused', 'remote', 'The peer has refused to answer'));
    }
  }

  #settleAsk(stream: QuicStream, asked: Asked, result: Bytes | P2PError, code: number | undefined): void {
    this.#asked.delete(stream);
    this.#requests.delete(stream);
    if (code !== undefined) {
      stream.stop(code);
      stream.reset(code);
      this.#host.kick();
    }
    asked.settle(result);
  }

  /** Reads what is of no use, up to the end that frees the stream; more than an end is a fault. */
  #discard(stream: QuicStream): void {
    if (stream.read(1) !== undefined) stream.stop(CODE.MALFORMED);
  }
}

function refusedBy(code: number | undefined): P2PError {
  if (code === CODE.OVERSIZE) {
    return new P2PError('mtu_exceeded', 'remote', 'The message is larger than the peer takes');
  }
  return new P2PError('refused', 'remote', `The peer has refused the message (code ${code ?? 0})`);
}
