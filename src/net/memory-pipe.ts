/** Bytes between two ends in memory, as TCP carries them: in order, cut anywhere, through a bounded window. */

import { type Bytes, concatBytes } from '../base/bytes.ts';
import { type Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { later } from '../runtime/later.ts';
import { type Pipe, type PipeSink } from './pipe.ts';

/** How bytes travel. */
export interface Path {
  readonly realm: Realm;
  readonly latencyMs: number;
  /** Bytes that were sent and not read. */
  readonly windowBytes: number;
  /** Where a piece of `length` bytes is cut: at most so many go together. */
  readonly cut: (length: number) => number;
}

interface Write {
  readonly bytes: Bytes;
  at: number;
  readonly done: (error?: Error | null) => void;
}

/** One end. Made in pairs by {@link memoryPipes}. */
export class MemoryPipe implements Pipe {
  sink: PipeSink | undefined;
  readonly releases = true;
  wireReceived = 0;
  wireSent = 0;
  readonly #path: Path;
  #peer!: MemoryPipe;
  /** Written and not in the window. Bounded by who writes. */
  readonly #writes: Write[] = [];
  /** In the window: sent, and not read by the peer. */
  #windowBytes = 0;
  /** Came and not read. Bounded by the peer's window. */
  #inbox: Bytes[] = [];
  #isPaused = true;
  #isEnding = false;
  #hasSentEnd = false;
  #hasPeerEnded = false;
  #hasToldEnd = false;
  #isDestroyed = false;
  #isClosed = false;

  constructor(path: Path) {
    this.#path = path;
  }

  get unsentBytes(): number {
    return this.#writes.reduce((sum, { bytes, at }) => sum + bytes.length - at, 0);
  }

  /** Makes two ends of one connection. */
  join(peer: MemoryPipe): void {
    this.#peer = peer;
    peer.#peer = this;
  }

  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    if (this.#isDestroyed || this.#isEnding) {
      later(this.#path.realm, () => done(new Error('The pipe has ended')));
      return;
    }
    this.#writes.push({ bytes: concatBytes(...pieces), at: 0, done });
    this.#pump();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    later(this.#path.realm, () => this.#read());
  }

  unshift(chunk: Bytes): void {
    if (chunk.length > 0) this.#inbox.unshift(chunk);
  }

  end(): void {
    this.#isEnding = true;
    this.#pump();
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    // As TCP: what the kernel has still goes, unless something that came was never read.
    const unread = this.#inbox.length > 0;
    for (const { done } of this.#writes.splice(0)) later(this.#path.realm, () => done(new Error('The pipe is gone')));
    this.#inbox = [];
    if (unread) this.#send((peer) => peer.#reset());
    else if (!this.#hasSentEnd) this.#sendEnd();
    this.#close();
  }

  /** Moves bytes into the window, while there is room. */
  #pump(): void {
    const { windowBytes, realm, cut } = this.#path;
    for (let write = this.#writes[0]; write !== undefined; write = this.#writes[0]) {
      const room = windowBytes - this.#windowBytes;
      const left = write.bytes.length - write.at;
      if (left > 0) {
        if (room <= 0) return;
        const take = Math.max(1, cut(Math.min(room, left)));
        const piece = write.bytes.slice(write.at, write.at + take);
        write.at += take;
        this.#windowBytes += take;
        this.wireSent += take;
        this.#send((peer) => peer.#receive(piece));
      }
      if (write.at < write.bytes.length) continue;
      this.#writes.shift();
      const { done } = write;
      later(realm, () => done());
    }
    if (this.#isEnding && !this.#hasSentEnd) this.#sendEnd();
  }

  #sendEnd(): void {
    this.#hasSentEnd = true;
    this.#send((peer) => peer.#receiveEnd());
    this.#closeIfOver();
  }

  /** Timers of one instant fire in the order of arming, so everything arrives in order. */
  #send(deliver: (peer: MemoryPipe) => void): void {
    const { realm, latencyMs } = this.#path;
    clockOf(realm).setTimer(realm.nowMs() + latencyMs, () => deliver(this.#peer));
  }

  #receive(piece: Bytes): void {
    if (this.#isDestroyed) {
      this.#send((peer) => peer.#reset());
      return;
    }
    this.wireReceived += piece.length;
    this.#inbox.push(piece);
    this.#read();
  }

  #receiveEnd(): void {
    this.#hasPeerEnded = true;
    this.#read();
  }

  #read(): void {
    while (!this.#isPaused && !this.#isDestroyed && this.#inbox.length > 0) {
      const piece = this.#inbox.shift()!;
      const peer = this.#peer;
      peer.#windowBytes = Math.max(peer.#windowBytes - piece.length, 0);
      later(this.#path.realm, () => peer.#pump());
      this.sink?.onData(piece);
    }
    if (this.#isPaused || this.#isDestroyed || !this.#hasPeerEnded || this.#hasToldEnd || this.#inbox.length > 0)
      return;
    this.#hasToldEnd = true;
    this.sink?.onEnd();
    this.#closeIfOver();
  }

  #reset(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    for (const { done } of this.#writes.splice(0)) done(new Error('The peer has reset the connection'));
    this.#inbox = [];
    this.#close(new Error('The peer has reset the connection'));
  }

  /** Both halves are closed. */
  #closeIfOver(): void {
    if (!this.#hasSentEnd || !this.#hasToldEnd || this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#close();
  }

  #close(error?: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    later(this.#path.realm, () => this.sink?.onClose(error));
  }
}

/** The two ends of a new connection. */
export function memoryPipes(path: Path): readonly [MemoryPipe, MemoryPipe] {
  const [near, far] = [new MemoryPipe(path), new MemoryPipe(path)];
  near.join(far);
  return [near, far];
}
