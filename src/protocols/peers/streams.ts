/** Streams of a session: ordered bytes both ways, with credit for each stream. Source: docs/wire/peers.md §§5, 6. */

import { type Bytes, copyBytes } from '../../base/bytes.ts';
import { Fifo } from '../../base/fifo.ts';
import { MAX_STREAMS, MESSAGE, type MessageType, STREAM_REFUSED } from './constants.ts';
import { makeOutgoing, type Outgoing } from './outgoing.ts';

/** What happens on streams. */
export type StreamEvent =
  | { readonly type: 'stream_opened'; readonly stream: number }
  | { readonly type: 'stream_bytes'; readonly stream: number; readonly bytes: Bytes; readonly isLast: boolean }
  | { readonly type: 'stream_reset'; readonly stream: number; readonly code: number }
  /** There is room again for {@link PeerStreams.write}. */
  | { readonly type: 'stream_writable'; readonly stream: number };

/** The bytes of a stream in one message. */
const CHUNK_BYTES = 65_536;
/** What a stream holds before it is sent; a writer waits above this. */
const MAX_UNSENT_BYTES = 262_144;

interface Stream {
  readonly id: number;
  /** Written and not sent. Bounded by MAX_UNSENT_BYTES and one write. */
  readonly unsent: Fifo<Bytes>;
  unsentBytes: number;
  /** The offset into the first of them. */
  offset: number;
  sentBytes: number;
  limit: number;
  isFinished: boolean;
  /** The fin has been sent; the fin has come. */
  isSent: boolean;
  isReceived: boolean;
  receivedBytes: number;
  /** What the application has read, and the limit that the peer was given. */
  readBytes: number;
  granted: number;
  /** Whether a writer waits for room. */
  isFull: boolean;
}

/** What the streams need from the session. */
export interface StreamsOwner {
  event(event: StreamEvent): void;
  urgent(message: Outgoing): void;
  /** Stream bytes that may be sent now, of all streams. */
  readonly credit: number;
  /** Charges bytes of the peer to the credit of all streams. False when it had none for them. */
  take(bytes: number): boolean;
  /** The application has read bytes, or will never read them. */
  consumed(bytes: number): void;
}

export class PeerStreams {
  readonly #owner: StreamsOwner;
  readonly #window: number;
  #peerWindow = 0;
  /** Bounded by MAX_STREAMS for each side. */
  readonly #streams = new Map<number, Stream>();
  /** Streams with bytes to send, in turn. */
  readonly #ready = new Set<Stream>();
  #nextOwn: number;
  #nextTheirs: number;

  /** @param isSmaller - whether this side has the smaller PeerID */
  constructor(owner: StreamsOwner, window: number, isSmaller: boolean) {
    this.#owner = owner;
    this.#window = window;
    this.#nextOwn = isSmaller ? 0 : 1;
    this.#nextTheirs = isSmaller ? 1 : 0;
  }

  set peerWindow(bytes: number) {
    this.#peerWindow = bytes;
    for (const stream of this.#streams.values()) stream.limit = Math.max(stream.limit, bytes);
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Opens a stream; `undefined` when this side has as many as allowed. The peer sees it with its first bytes. */
  open(): number | undefined {
    let own = 0;
    for (const id of this.#streams.keys()) if (id % 2 === this.#nextOwn % 2) own++;
    if (own >= MAX_STREAMS) return undefined;
    const id = this.#nextOwn;
    this.#nextOwn += 2;
    this.#add(id);
    return id;
  }

  /** Writes bytes, which are copied. @returns false when there is no room for more: wait for `stream_writable`. */
  write(id: number, bytes: Uint8Array): boolean {
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.isFinished) return true;
    if (bytes.length > 0) {
      stream.unsent.push(copyBytes(bytes));
      stream.unsentBytes += bytes.length;
      this.#ready.add(stream);
    }
    stream.isFull = stream.unsentBytes >= MAX_UNSENT_BYTES;
    return !stream.isFull;
  }

  /** Ends this direction. */
  finish(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.isFinished) return;
    stream.isFinished = true;
    this.#ready.add(stream);
  }

  /** Ends both directions at once. */
  reset(id: number, code: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#remove(stream);
    this.#owner.urgent(makeOutgoing(MESSAGE.RESET, [id, code]));
  }

  /** The application has read bytes of a stream. */
  read(id: number, bytes: number): void {
    const stream = this.#streams.get(id);
    this.#owner.consumed(bytes);
    if (stream === undefined || stream.isReceived) return;
    stream.readBytes += bytes;
    if (stream.readBytes + this.#window - stream.granted < this.#window / 4) return;
    stream.granted = stream.readBytes + this.#window;
    this.#owner.urgent(makeOutgoing(MESSAGE.WINDOW, [id, stream.granted]));
  }

  /** The next bytes to send, within the credit of the stream and of all. */
  take(): Outgoing | undefined {
    for (const stream of this.#ready) {
      const most = Math.min(CHUNK_BYTES, stream.limit - stream.sentBytes, this.#owner.credit);
      const isAll = stream.unsent.length <= 1 && stream.unsentBytes <= Math.max(most, 0);
      const isLast = stream.isFinished && isAll;
      if (most <= 0 && !isLast) continue;
      const bytes = this.#cut(stream, most);
      this.#ready.delete(stream);
      stream.sentBytes += bytes.length;
      if (isLast) {
        stream.isSent = true;
        this.#endIfDone(stream);
      } else if (stream.unsentBytes > 0 || stream.isFinished) this.#ready.add(stream);
      if (stream.isFull && stream.unsentBytes < MAX_UNSENT_BYTES / 2) {
        stream.isFull = false;
        this.#owner.event({ type: 'stream_writable', stream: stream.id });
      }
      return makeOutgoing(isLast ? MESSAGE.FIN : MESSAGE.STREAM, [stream.id], bytes);
    }
    return undefined;
  }

  /** A message about a stream has come. False when the peer broke a rule. */
  handle(message: MessageType, id: number, value: number, rest: Bytes): boolean {
    if (message === MESSAGE.RESET) return this.#handleReset(id, value);
    if (message === MESSAGE.WINDOW) return this.#handleWindow(id, value);
    return this.#owner.take(rest.length) && this.#handleBytes(id, rest, message === MESSAGE.FIN);
  }

  #handleBytes(id: number, bytes: Bytes, isLast: boolean): boolean {
    const stream = this.#find(id);
    if (stream === 'fault') return false;
    if (stream === undefined || stream.isReceived) {
      // It was reset on this side.
      this.#owner.consumed(bytes.length);
      return stream === undefined;
    }
    stream.receivedBytes += bytes.length;
    if (stream.receivedBytes > stream.granted) return false;
    if (isLast) stream.isReceived = true;
    this.#owner.event({ type: 'stream_bytes', stream: id, bytes, isLast });
    this.#endIfDone(stream);
    return true;
  }

  #handleReset(id: number, code: number): boolean {
    const stream = this.#find(id);
    if (stream === 'fault') return false;
    if (stream === undefined) return true;
    this.#remove(stream);
    this.#owner.event({ type: 'stream_reset', stream: id, code });
    return true;
  }

  #handleWindow(id: number, limit: number): boolean {
    const stream = this.#find(id);
    if (stream === 'fault') return false;
    if (stream !== undefined && limit > stream.limit) {
      stream.limit = limit;
      if (stream.unsentBytes > 0) this.#ready.add(stream);
    }
    return true;
  }

  /** The streams that are open, when the session ends. */
  clear(): readonly number[] {
    const open = [...this.#streams.keys()];
    this.#streams.clear();
    this.#ready.clear();
    return open;
  }

  /** A stream of the peer may begin here. `undefined`: it has ended. */
  #find(id: number): Stream | 'fault' | undefined {
    const known = this.#streams.get(id);
    if (known !== undefined) return known;
    if (id % 2 !== this.#nextTheirs % 2) return id < this.#nextOwn ? undefined : 'fault';
    if (id < this.#nextTheirs) return undefined;
    if (id !== this.#nextTheirs) return 'fault';
    this.#nextTheirs += 2;
    let theirs = 0;
    for (const other of this.#streams.keys()) if (other % 2 === id % 2) theirs++;
    if (theirs >= MAX_STREAMS) {
      this.#owner.urgent(makeOutgoing(MESSAGE.RESET, [id, STREAM_REFUSED]));
      return undefined;
    }
    const stream = this.#add(id);
    this.#owner.event({ type: 'stream_opened', stream: id });
    return stream;
  }

  #add(id: number): Stream {
    const stream: Stream = {
      id,
      unsent: new Fifo(),
      unsentBytes: 0,
      offset: 0,
      sentBytes: 0,
      limit: this.#peerWindow,
      isFinished: false,
      isSent: false,
      isReceived: false,
      receivedBytes: 0,
      readBytes: 0,
      granted: this.#window,
      isFull: false,
    };
    this.#streams.set(id, stream);
    return stream;
  }

  #cut(stream: Stream, most: number): Bytes {
    const first = stream.unsent.first();
    if (first === undefined || most <= 0) return new Uint8Array(0);
    const left = first.length - stream.offset;
    const bytes = first.subarray(stream.offset, stream.offset + Math.min(left, most));
    stream.unsentBytes -= bytes.length;
    if (bytes.length === left) {
      stream.unsent.shift();
      stream.offset = 0;
    } else stream.offset += bytes.length;
    return bytes;
  }

  #endIfDone(stream: Stream): void {
    if (stream.isSent && stream.isReceived) this.#streams.delete(stream.id);
  }

  #remove(stream: Stream): void {
    this.#streams.delete(stream.id);
    this.#ready.delete(stream);
  }
}
