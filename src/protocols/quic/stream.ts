/** The streams of a connection: bytes in order, each direction with an end of its own. */

import type { Side } from '../../core/accept.ts';
import type { Bytes } from '../../base/bytes.ts';
import { describeValue, wholeNumber } from '../../base/checks.ts';
import { READ, type QuicEngine } from './engine.ts';

/** Both ways, or from the one who opens it to the other. */
export type StreamKind = 'bidi' | 'uni';

/**
 * Our sending side: `finished` when the end was written, `acknowledged` when the peer's transport has it all, `reset` by
 * us, `stopped` by the peer, `lost` with the connection, `none` on a unidirectional stream of the peer's.
 */
export type SendState = 'open' | 'finished' | 'acknowledged' | 'reset' | 'stopped' | 'lost' | 'none';

/**
 * Our receiving side: `finished` when everything up to the end was read, `reset` by the peer, `stopped` by us, `lost` with
 * the connection, `none` on a unidirectional stream of ours.
 */
export type ReceiveState = 'open' | 'finished' | 'reset' | 'stopped' | 'lost' | 'none';

/** What one `read` copies at most unless told otherwise, in bytes. */
const READ_BYTES = 65_536;

/** Error codes are whole numbers up to 2^53 - 1 here; the wire has up to 2^62 (RFC 9000 §16). */
export function checkCode(code: number, label: string): number {
  return wholeNumber(code, label, 0, 0, Number.MAX_SAFE_INTEGER);
}

/** The streams of a connection: what a `QuicConnection` is to them. */
export abstract class StreamOwner {
  /** What the peer is: the responder when this side dialled. */
  readonly side: Side;
  /** The engine's number for the connection. @internal */
  readonly handle: number;
  /** @internal */
  readonly engine: QuicEngine;
  /** Streams that are not over on both sides. Bounded by the stream limits of both peers. */
  readonly #streams = new Map<number, QuicStream<this>>();

  constructor(side: Side, handle: number, engine: QuicEngine) {
    this.side = side;
    this.handle = handle;
    this.engine = engine;
  }

  /** Set once the connection is over. */
  abstract readonly closed: object | undefined;

  /** The streams that are not over on both sides. */
  get streams(): Iterable<QuicStream<this>> {
    return this.#streams.values();
  }

  /**
   * Opens a stream; `undefined` while the peer allows none (`streams_available` follows), during the handshake, and when the
   * connection is over.
   */
  open(kind: StreamKind): QuicStream<this> | undefined {
    const id = this.engine.open(this.handle, kind === 'uni');
    return id < 0 ? undefined : this.#add(id);
  }

  /** @internal The stream with this id; `make` for one that the peer has just opened. */
  handleStream(id: number, make: boolean): QuicStream<this> | undefined {
    return this.#streams.get(id) ?? (make ? this.#add(id) : undefined);
  }

  /** @internal Both sides of a stream are over. */
  handleStreamEnd(id: number): void {
    this.#streams.delete(id);
    if (this.#streams.size === 0) this.handleNoStreams();
  }

  /** @internal So many bytes were read of a stream. */
  abstract handleRead(bytes: number): void;

  /** The last stream is over. */
  protected abstract handleNoStreams(): void;

  #add(id: number): QuicStream<this> {
    const stream = new QuicStream<this>(this, id);
    this.#streams.set(id, stream);
    return stream;
  }
}

/**
 * One stream. Made by its connection.
 *
 * @typeParam C - the connection.
 */
export class QuicStream<out C extends StreamOwner = StreamOwner> {
  readonly connection: C;
  /** As on the wire (RFC 9000 §2.1): unique within the connection. */
  readonly id: number;
  readonly kind: StreamKind;
  /** Whether we opened it. */
  readonly opened: 'here' | 'there';
  readonly #engine: QuicEngine;
  #send: SendState = 'open';
  #receive: ReceiveState = 'open';
  #isPaused = false;
  #resetCode: number | undefined;
  #stopCode: number | undefined;

  /** @internal */
  constructor(connection: C, id: number) {
    this.connection = connection;
    this.id = id;
    this.kind = id % 4 >= 2 ? 'uni' : 'bidi';
    this.opened = (id % 2 === 0) === (connection.side === 'responder') ? 'here' : 'there';
    this.#engine = connection.engine;
    if (this.kind === 'uni') {
      if (this.opened === 'here') this.#receive = 'none';
      else this.#send = 'none';
    }
  }

  get sendState(): SendState {
    return this.#send;
  }

  get receiveState(): ReceiveState {
    return this.#receive;
  }

  /** The peer's code, once `receiveState` is `reset`. */
  get resetCode(): number | undefined {
    return this.#resetCode;
  }

  /** The peer's code, once `sendState` is `stopped`. */
  get stopCode(): number | undefined {
    return this.#stopCode;
  }

  /**
   * Passes bytes to the transport, which copies them.
   *
   * @returns how many it took. When that is less than all, a `writable` event follows. 0 also when `sendState` is not `open`.
   *
   * @param fin - ends our side with the last of these bytes, in the same frame, if all of them were taken.
   */
  write(bytes: Uint8Array, fin = false): number {
    if (this.#send !== 'open') return 0;
    const { handle } = this.connection;
    const taken = this.#engine.write(handle, this.id, bytes, fin);
    if (taken < 0) return 0;
    if (fin && taken === bytes.length && this.#send === 'open') this.#send = 'finished';
    return taken;
  }

  /** Ends our side. */
  finish(): void {
    this.write(new Uint8Array(0), true);
  }

  /**
   * The next bytes in order, at most `maxBytes`; `undefined` when there are none now, and then `receiveState` tells a
   * pause from an end. The bytes are the caller's.
   */
  read(maxBytes: number = READ_BYTES): Bytes | undefined {
    if (this.#receive !== 'open') return undefined;
    const { handle } = this.connection;
    const { bytes, status, resetCode } = this.#engine.read(handle, this.id, maxBytes);
    if (bytes.length > 0) this.connection.handleRead(bytes.length);
    this.#isPaused = status === READ.BLOCKED;
    switch (status) {
      case READ.MORE:
        break;
      case READ.BLOCKED:
        // After the end of the connection nothing more will come.
        if (bytes.length === 0 && this.connection.closed !== undefined) this.#endReceive('lost');
        break;
      case READ.FINISHED:
        this.#endReceive('finished');
        break;
      case READ.RESET:
        this.#resetCode = resetCode;
        this.#endReceive('reset');
        break;
      default:
        this.#endReceive('lost');
    }
    return bytes.length > 0 ? bytes : undefined;
  }

  /** Whether the last `read` took all that has come: another one finds nothing before the next `readable`. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Resets our side: data that the peer has not received is lost, and it sees `code`. */
  reset(code: number): void {
    checkCode(code, 'reset code');
    if (this.#send !== 'open' && this.#send !== 'finished') return;
    const { handle } = this.connection;
    this.#engine.reset(handle, this.id, code);
    this.#endSend('reset');
  }

  /** Asks the peer to stop sending, with a code. Data that was not read is dropped. */
  stop(code: number): void {
    checkCode(code, 'stop code');
    if (this.#receive !== 'open') return;
    const { handle } = this.connection;
    this.#engine.stop(handle, this.id, code);
    this.#endReceive('stopped');
  }

  /**
   * Which streams go first: higher numbers, 0 from the start, equal ones in turn. Holds for what is written from now on.
   *
   * @param priority - a whole number of 32 bits.
   */
  setPriority(priority: number): void {
    if (!Number.isInteger(priority) || priority !== (priority | 0)) {
      throw new RangeError(`Cannot take priority: expected a whole number of 32 bits, got ${describeValue(priority)}`);
    }
    const { handle } = this.connection;
    this.#engine.setPriority(handle, this.id, priority);
  }

  /** @internal The peer's transport has everything. */
  handleAcknowledged(): boolean {
    if (this.#send !== 'finished') return false;
    this.#endSend('acknowledged');
    return true;
  }

  /** @internal */
  handleStopped(code: number): boolean {
    if (this.#send !== 'open' && this.#send !== 'finished') return false;
    this.#stopCode = code;
    this.#endSend('stopped');
    return true;
  }

  /** @internal The connection is over; what has arrived stays readable unless it is gone with the engine. */
  handleLost(readable: boolean): void {
    if (this.#send === 'open' || this.#send === 'finished') this.#endSend('lost');
    if (!readable && this.#receive === 'open') this.#endReceive('lost');
  }

  #endSend(state: SendState): void {
    this.#send = state;
    this.#settle();
  }

  #endReceive(state: ReceiveState): void {
    this.#receive = state;
    this.#settle();
  }

  #settle(): void {
    const sending = this.#send === 'open' || this.#send === 'finished';
    if (!sending && this.#receive !== 'open') this.connection.handleStreamEnd(this.id);
  }
}
