/** What comes on a connection: from the pipe through the cipher to the reader, and what stops it meanwhile. */

import { type Bytes, concatBytes } from '../base/bytes.ts';
import { type Realm } from '../core/realm.ts';
import { type Pipe, type PipeSink } from '../net/pipe.ts';
import { later } from '../runtime/later.ts';
import { type DisconnectOrigin } from './connection.ts';
import { type Reader } from './reader.ts';
import { type DisconnectReason } from './stats.ts';
import { type Transform } from './transform.ts';

/** Who wants the pipe not to be read. */
export type PausedBy = 'reader' | 'transform' | 'memory';

/** What {@link Incoming} needs of its connection. */
export interface IncomingOwner {
  readonly realm: Realm;
  readonly state: 'connecting' | 'open' | 'closing' | 'closed';
  /** The peer has closed its half, and everything that came before has been processed. */
  peerEnded(isTruncated: boolean, said?: string): void;
  /** The pipe is gone. */
  lost(cause: Error | undefined): void;
  fail(origin: DisconnectOrigin, reason: DisconnectReason, cause?: unknown): void;
}

export class Incoming implements PipeSink {
  readonly #owner: IncomingOwner;
  readonly #pipe: Pipe;
  readonly #transform: Transform | undefined;
  readonly #reader: Reader | undefined;
  /** Whether what comes is still processed. */
  #isReading = true;
  /** Bounded by those who may want it. */
  readonly #pauses = new Set<PausedBy>();
  /** The peer has closed its half, and the transform has not opened all that came before. */
  #endsLater = false;

  constructor(owner: IncomingOwner, pipe: Pipe, transform: Transform | undefined, reader: Reader | undefined) {
    this.#owner = owner;
    this.#pipe = pipe;
    this.#transform = transform;
    this.#reader = reader;
  }

  /**
   * Begins to read.
   *
   * @param left - what the handshake has left: bytes read past it, and the peer's end.
   */
  start(left: { readonly rest: Bytes; readonly hasEnded: boolean } | undefined): void {
    this.#pipe.sink = this;
    if (this.#reader === undefined) return;
    if (this.#transform === undefined) this.#pipe.readInto?.(this.#reader);
    // In a turn of its own: no message is processed before the node knows of the connection.
    queueMicrotask(() => {
      if (left !== undefined && left.rest.length > 0) this.onData(left.rest);
      if (left?.hasEnded === true) this.onEnd();
      else if (this.#owner.state === 'open' && this.#pauses.size === 0) this.#pipe.resume();
    });
  }

  /** Reads the pipe or not. */
  setPaused(by: PausedBy, paused: boolean): void {
    const wasPaused = this.#pauses.size > 0;
    if (paused) this.#pauses.add(by);
    else this.#pauses.delete(by);
    if (wasPaused === this.#pauses.size > 0) return;
    if (paused) this.#pipe.pause();
    else this.#pipe.resume();
  }

  /** Processes nothing more. */
  stop(): void {
    this.#isReading = false;
    this.#reader?.stop();
  }

  /** Reads on to the peer's end, whether or not somebody processes what comes. */
  readToEnd(): void {
    if (this.#reader === undefined || !this.#isReading) this.#pipe.resume();
  }

  onData(chunk: Bytes): void {
    const transform = this.#transform;
    if (transform === undefined) {
      this.#reader?.push(chunk);
      return;
    }
    this.#open(() => transform.open(chunk));
    if (transform.more !== undefined && !this.#pauses.has('transform')) this.#openMore(() => transform.more!());
  }

  onEnd(): void {
    this.#endsLater = this.#pauses.has('transform');
    if (this.#endsLater) return;
    if (this.#reader !== undefined && this.#isReading) this.#reader.end();
    else this.#owner.peerEnded(false);
  }

  onClose(cause: Error | undefined): void {
    this.#owner.lost(cause);
  }

  /** Hands on what the transform opens. @returns whether there was something */
  #open(open: () => readonly Bytes[] | undefined): boolean {
    let parts: readonly Bytes[] | undefined;
    try {
      parts = open();
    } catch (error) {
      this.#owner.fail('reading', 'malformed', error);
      return false;
    }
    if (parts === undefined) return false;
    const bytes = parts.length === 1 ? parts[0]! : concatBytes(...parts);
    if (bytes.length > 0) this.#reader?.push(bytes);
    return true;
  }

  /** Opens in later turns what is left, and reads nothing meanwhile. */
  #openMore(more: () => readonly Bytes[] | undefined): void {
    this.setPaused('transform', true);
    later(this.#owner.realm, () => {
      if (this.#owner.state === 'closed' || !this.#isReading) return;
      if (this.#open(more)) {
        this.#openMore(more);
        return;
      }
      this.setPaused('transform', false);
      if (this.#endsLater) this.onEnd();
    });
  }
}
