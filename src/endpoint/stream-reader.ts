/** Reads one direction of one stream: what it carries, and then its messages or its bytes. */

import { type Bytes, viewFrom } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { type Decoded, type FrameFault, type Framing, PREFACE } from '../protocols/endpoint/frame.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';
import { Assembly } from '../quic/sending.ts';
import { STREAM_CODE } from './codes.ts';
import { streamError } from './errors.ts';

/** Why nothing more can be read. `lost`: the connection ended before the stream. */
export type StreamFault = FrameFault | 'reset' | 'stopped' | 'lost' | 'not_messages' | 'not_bytes';

/** What one direction of a stream carries. */
export type StreamContent = 'welcome' | 'messages' | 'bytes';

/** How much is read to learn what a stream carries; often that is all of it. */
const FIRST_BYTES = 16_384;

const CODE_OF_FAULT: Readonly<Record<FrameFault, number>> = {
  oversize: STREAM_CODE.OVERSIZE,
  malformed: STREAM_CODE.MALFORMED,
  version: STREAM_CODE.VERSION,
  empty_payload: STREAM_CODE.MALFORMED,
};

/** A fault of a stream, which can be turned into an error. */
export class StreamFailure {
  readonly fault: StreamFault;
  readonly #resetCode: number | undefined;

  constructor(fault: StreamFault, resetCode?: number) {
    this.fault = fault;
    this.#resetCode = resetCode;
  }

  error(what: string): P2PError {
    switch (this.fault) {
      case 'reset':
        return streamError(what, this.#resetCode);
      case 'oversize':
        return new P2PError('mtu_exceeded', 'remote', `Cannot ${what}: the message is over the limit; raise it`);
      case 'stopped':
        return new P2PError('disconnected', 'local', `Cannot ${what}: it was stopped here`);
      case 'lost':
        return new P2PError('disconnected', 'path', `Cannot ${what}: the connection has ended`);
      case 'not_messages':
        return new P2PError('unsupported', 'remote', `Cannot ${what}: it carries bytes; take them from readable`);
      case 'not_bytes':
        return new P2PError('unsupported', 'remote', `Cannot ${what}: it carries messages; take them from next()`);
      case 'malformed':
      case 'version':
      case 'empty_payload':
        break;
    }
    return new P2PError('unsupported', 'remote', `Cannot ${what}: the peer sent no message (${this.fault})`);
  }
}

/** A complete message. */
export interface Whole<M> {
  readonly message: M;
}

/** @typeParam M - a message. */
export class StreamReader<M> {
  readonly stream: QuicStream;
  readonly #framing: Framing<M>;
  readonly #assembly = new Assembly();
  #content: StreamContent | undefined;
  #announced = false;
  /** What the assembly must hold before another look at it tells more. */
  #wantedBytes = 0;
  #failure: StreamFailure | undefined;

  constructor(stream: QuicStream, framing: Framing<M>) {
    this.stream = stream;
    this.#framing = framing;
    if (!framing.prefaced) this.#content = 'messages';
  }

  /** Bytes that were read from the stream and not returned yet. */
  get held(): number {
    return this.#assembly.length;
  }

  /** Whether the peer has announced the stream before saying what it carries. */
  get announced(): boolean {
    return this.#announced;
  }

  /** What the stream carries; `undefined` before that is known. @param roomBytes - the most bytes that are read */
  content(roomBytes: number = Infinity): StreamContent | undefined {
    if (this.#content !== undefined || this.#failure !== undefined) return this.#content;
    this.#assembly.take(this.stream, Math.min(FIRST_BYTES, roomBytes));
    if (this.#assembly.length === 0) return undefined;
    let [preface] = this.#assembly.bytes();
    this.#assembly.drop(1);
    if (preface === PREFACE.OPENED && !this.#announced) {
      this.#announced = true;
      if (this.#assembly.length === 0) return undefined;
      [preface] = this.#assembly.bytes();
      this.#assembly.drop(1);
    }
    if (preface === PREFACE.MESSAGES) this.#content = 'messages';
    else if (preface === PREFACE.BYTES) this.#content = 'bytes';
    else if (preface === PREFACE.WELCOME) this.#content = 'welcome';
    else this.#fail('version');
    return this.#content;
  }

  /**
   * The next message, the end, a failure, or `undefined` while more has to come.
   *
   * @param roomBytes - how many bytes may be held at most; a message that needs more is not returned.
   */
  next(maxBytes: number, roomBytes: number = Infinity): Whole<M> | 'end' | StreamFailure | undefined {
    const content = this.content(roomBytes);
    if (this.#failure !== undefined) return this.#failure;
    if (content === undefined) return this.#ended();
    if (content !== 'messages') return new StreamFailure('not_messages');
    const { single, maxHeadBytes } = this.#framing;
    const assembly = this.#assembly;
    let decoded = this.#decode(maxBytes);
    if (decoded === undefined || single) {
      const taken = assembly.take(this.stream, Math.min(maxBytes + maxHeadBytes, roomBytes));
      if (taken > 0) decoded = this.#decode(maxBytes);
    }
    if (typeof decoded === 'string') return this.#fail(decoded);
    if (decoded === undefined) {
      if (this.stream.receiveState === 'finished' && assembly.length > 0) return this.#fail('malformed');
      return this.#ended();
    }
    const { length } = decoded;
    if (single) {
      if (assembly.length > length) return this.#fail('malformed');
      if (this.stream.receiveState === 'open') return undefined;
      if (this.stream.receiveState !== 'finished') return this.#ended();
    }
    assembly.drop(length);
    this.#wantedBytes = 0;
    return decoded;
  }

  /** The message at the front, where it is whole: before that its pieces are not joined. */
  #decode(maxBytes: number): Decoded<M> {
    const assembly = this.#assembly;
    if (assembly.length < this.#wantedBytes) return undefined;
    const { maxHeadBytes } = this.#framing;
    const head = assembly.head(maxHeadBytes);
    this.#wantedBytes = this.#framing.wanted(head);
    // A fault shows in the head.
    return this.#framing.decode(assembly.length < this.#wantedBytes ? head : assembly.bytes(), maxBytes);
  }

  /** The next bytes, at most so many, the end, a failure, or `undefined` while more has to come. */
  bytes(maxBytes: number): Bytes | 'end' | StreamFailure | undefined {
    const content = this.content();
    if (this.#failure !== undefined) return this.#failure;
    if (content === undefined) return this.#ended();
    if (content !== 'bytes') return new StreamFailure('not_bytes');
    if (this.#assembly.length === 0) this.#assembly.take(this.stream, maxBytes - 1);
    const { length } = this.#assembly;
    if (length === 0) return this.#ended();
    const bytes = viewFrom(this.#assembly.bytes(), 0, length);
    this.#assembly.drop(length);
    return bytes;
  }

  /** Stops the stream and drops what was read. */
  stop(code: number): void {
    this.stream.stop(code);
    this.#failure ??= new StreamFailure('stopped');
    this.#assembly.drop(this.#assembly.length);
  }

  /** Reads up to the end, which frees the stream; stops the stream if it has not ended. */
  discard(): void {
    if (this.stream.read(1) !== undefined) this.stream.stop(STREAM_CODE.DONE);
  }

  #ended(): 'end' | StreamFailure | undefined {
    switch (this.stream.receiveState) {
      case 'open':
        return undefined;
      case 'finished':
        return 'end';
      case 'reset':
        return (this.#failure = new StreamFailure('reset', this.stream.resetCode));
      case 'stopped':
        return (this.#failure ??= new StreamFailure('stopped'));
      case 'lost':
      case 'none':
        break;
    }
    return (this.#failure = new StreamFailure('lost'));
  }

  /** Stops the stream, and resets its other direction if it has one. */
  #fail(fault: FrameFault): StreamFailure {
    const code = CODE_OF_FAULT[fault];
    this.stream.stop(code);
    if (this.stream.kind === 'bidi') this.stream.reset(code);
    this.#assembly.drop(this.#assembly.length);
    return (this.#failure = new StreamFailure(fault));
  }
}
