/** Receives on a connection: passes bytes from the pipe through the cipher to the reader, and pauses the pipe. */

import { type Bytes, concatBytes } from '../base/bytes.ts';
import type { Realm } from '../core/realm.ts';
import type { Pipe, PipeSink } from '../net/pipe.ts';
import { later } from '../runtime/later.ts';
import type { Reader } from './reader.ts';
import type { Transform } from './transform.ts';

/** The reasons for pausing the pipe. */
export type PausedBy = 'reader' | 'transform' | 'memory';

/** What {@link Incoming} needs from its connection. */
export interface IncomingOwner {
  readonly realm: Realm;
  readonly state: 'connecting' | 'open' | 'closing' | 'closed';
  /** The peer has closed its half, and all earlier bytes have been processed. */
  peerEnded(isTruncated: boolean, said?: string): void;
  /** The pipe has closed. */
  lost(cause: Error | undefined): void;
  /** Bytes came that the cipher of the peer has not made. */
  undecryptable(cause: unknown): void;
}

export class Incoming implements PipeSink {
  readonly #owner: IncomingOwner;
  readonly #pipe: Pipe;
  readonly #transform: Transform | undefined;
  readonly #reader: Reader | undefined;
  /** Whether received bytes are still processed. */
  #isReading = true;
  /** Bounded by the values of `PausedBy`. */
  readonly #pauses = new Set<PausedBy>();
  /** The peer has closed its half, and the transform has not decrypted all earlier bytes. */
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
   * @param left - the state after the handshake: bytes read beyond it, and the peer's end.
   */
  start(left: { readonly rest: Bytes; readonly hasEnded: boolean } | undefined): void {
    this.#pipe.sink = this;
    if (this.#reader === undefined) return;
    if (this.#transform === undefined) this.#pipe.readInto?.(this.#reader);
    // Asynchronously: no message is processed before the node has registered the connection.
    queueMicrotask(() => {
      if (left !== undefined && left.rest.length > 0) this.onData(left.rest);
      if (left?.hasEnded === true) this.onEnd();
      else if (this.#owner.state === 'open' && this.#pauses.size === 0) this.#pipe.resume();
    });
  }

  /** Pauses or resumes reading the pipe. */
  setPaused(by: PausedBy, paused: boolean): void {
    const wasPaused = this.#pauses.size > 0;
    if (paused) this.#pauses.add(by);
    else this.#pauses.delete(by);
    if (wasPaused === this.#pauses.size > 0) return;
    if (paused) this.#pipe.pause();
    else this.#pipe.resume();
  }

  /** Stops processing. */
  stop(): void {
    this.#isReading = false;
    this.#reader?.stop();
  }

  /** Reads until the peer's end, even if received bytes are no longer processed. */
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

  /** Passes on decrypted bytes. @returns whether there were any */
  #open(open: () => readonly Bytes[] | undefined): boolean {
    let parts: readonly Bytes[] | undefined;
    try {
      parts = open();
    } catch (error) {
      this.#owner.undecryptable(error);
      return false;
    }
    if (parts === undefined) return false;
    const bytes = parts.length === 1 ? parts[0]! : concatBytes(...parts);
    if (bytes.length > 0) this.#reader?.push(bytes);
    return true;
  }

  /** Decrypts the rest asynchronously in steps, and reads nothing meanwhile. */
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
