/** A byte stream over a masked one. */

import type { Bytes } from '../base/bytes.ts';
import type { Side } from '../core/accept.ts';
import type { Realm } from '../core/realm.ts';
import { StreamMasker, StreamUnmasker } from '../protocols/mask/stream.ts';
import { later } from '../runtime/later.ts';
import type { Pipe, PipeSink } from './pipe.ts';

/** Frames opened in one turn: about 5 ms, when a peer sends empty ones. */
const MAX_FRAMES_PER_TURN = 512;

export class MaskedPipe implements Pipe, PipeSink {
  sink: PipeSink | undefined;
  readonly releases = true;
  readonly #inner: Pipe;
  readonly #realm: Realm;
  readonly #masker: StreamMasker;
  readonly #unmasker: StreamUnmasker;
  /** Bytes that were put back, or that came when the reader had paused. Bounded by one frame and what was read. */
  readonly #ready: Bytes[] = [];
  #isFlowing = false;
  /** Whether a turn that reads is due. */
  #isDue = false;
  #hasEnded = false;
  #closed: { readonly error: Error | undefined } | undefined;
  #isDestroyed = false;
  #isOver = false;

  /** @param side - of this host. */
  constructor(inner: Pipe, key: Uint8Array, side: Side, realm: Realm) {
    this.#inner = inner;
    this.#realm = realm;
    this.#masker = new StreamMasker(key, side, (length) => realm.random(length));
    this.#unmasker = new StreamUnmasker(key, side === 'initiator' ? 'responder' : 'initiator');
    inner.sink = this;
  }

  get wireReceived(): number {
    return this.#inner.wireReceived;
  }

  get wireSent(): number {
    return this.#inner.wireSent;
  }

  get unsentBytes(): number {
    return this.#inner.unsentBytes;
  }

  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    this.#inner.write(this.#masker.seal(pieces), done);
  }

  pause(): void {
    this.#isFlowing = false;
    this.#inner.pause();
  }

  resume(): void {
    if (this.#isFlowing) return;
    this.#isFlowing = true;
    this.#schedule();
  }

  unshift(chunk: Bytes): void {
    if (chunk.length > 0) this.#ready.unshift(chunk);
  }

  end(): void {
    this.#inner.end();
  }

  destroy(): void {
    this.#isDestroyed = true;
    this.#ready.length = 0;
    this.#inner.destroy();
  }

  onData(chunk: Bytes): void {
    this.#unmasker.push(chunk);
    if (!this.#isDue) this.#read();
  }

  onEnd(): void {
    this.#hasEnded = true;
    if (!this.#isDue) this.#read();
  }

  onClose(error: Error | undefined): void {
    this.#closed ??= { error };
    if (!this.#isDue) this.#read();
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    later(this.#realm, () => {
      this.#isDue = false;
      this.#read();
    });
  }

  /** Delivers what there is while the reader wants it; then reads on, or tells of the end. */
  #read(): void {
    for (let frames = 0; this.#isFlowing; frames++) {
      const ready = this.#ready.shift();
      const piece = ready ?? this.#unmasker.next();
      if (piece === undefined) {
        this.#readOn();
        return;
      }
      if (piece === 'failed') {
        this.#fail();
        return;
      }
      if (piece.length > 0) this.sink?.onData(piece);
      if (frames < MAX_FRAMES_PER_TURN) continue;
      this.#inner.pause();
      this.#schedule();
      return;
    }
    if (this.#closed !== undefined && (this.#closed.error !== undefined || this.#isDestroyed || this.#isEmpty())) {
      this.#finish();
    }
  }

  /** Whether a paused reader has nothing more to read. */
  #isEmpty(): boolean {
    const piece = this.#ready.length === 0 ? this.#unmasker.next() : undefined;
    if (piece !== undefined && piece !== 'failed') this.#ready.push(piece);
    return this.#ready.length === 0;
  }

  #readOn(): void {
    if (this.#hasEnded) {
      this.#hasEnded = false;
      this.sink?.onEnd();
    }
    if (this.#closed !== undefined) this.#finish();
    else if (this.#isFlowing) this.#inner.resume();
  }

  /**
   * Before the first frame nothing shows a stranger that his bytes are wrong, or at which byte: they are read and dropped,
   * until a time limit above ends the connection. Later it is an attack on a connection of peers.
   */
  #fail(): void {
    if (this.#unmasker.hasOpened && this.#closed === undefined) {
      this.#closed = { error: new Error('Cannot unmask: the stream was changed on its way') };
      this.#inner.destroy();
    }
    this.#readOn();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#hasEnded && !this.#isDestroyed) this.sink?.onEnd();
    this.#isFlowing = false;
    this.sink?.onClose(this.#closed?.error);
  }
}
