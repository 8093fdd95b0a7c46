/** The receiving half of a TCP connection, sans-IO: puts segments in order, and says how much more there is room for. */

import type { Bytes } from '../../base/bytes.ts';

interface Waiting {
  readonly bytes: Bytes;
  readonly isFin: boolean;
}

export class TcpReceiver {
  /** The next number that is expected. */
  nextSeq = 0;
  /** In order, read or not. */
  receivedBytes = 0;
  readonly #windowBytes: number;
  /** In order and not read. Bounded by the window. */
  #inbox: Bytes[] = [];
  #unreadBytes = 0;
  /** Came too early, by number. Bounded by the window. */
  readonly #early = new Map<number, Waiting>();
  #hasFin = false;
  #advertisedBytes: number;

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
    this.#advertisedBytes = windowBytes;
  }

  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** The peer has closed its half, and all of it has come. */
  get isFinished(): boolean {
    return this.#hasFin;
  }

  /** The same, and all of it is read. */
  get hasEnded(): boolean {
    return this.#hasFin && this.#inbox.length === 0;
  }

  /** Whether the peer should hear that there is room again. */
  get mustUpdate(): boolean {
    return this.#room() - this.#advertisedBytes >= this.#windowBytes / 2;
  }

  /** The SYN of the peer has come. */
  begin(seq: number): void {
    this.nextSeq = seq + 1;
  }

  /** The window as it is told to the peer. */
  advertise(): number {
    this.#advertisedBytes = this.#room();
    return this.#advertisedBytes;
  }

  isInWindow(seq: number): boolean {
    return seq >= this.nextSeq && seq <= this.nextSeq + this.#windowBytes;
  }

  /** @param bytes - a segment as it was sent: those that come twice are cut alike. */
  receive(seq: number, bytes: Bytes, isFin: boolean): void {
    if (seq < this.nextSeq || seq + bytes.length > this.nextSeq + this.#windowBytes || this.#hasFin) return;
    this.#early.set(seq, { bytes, isFin });
    for (let next = this.#early.get(this.nextSeq); next !== undefined; next = this.#early.get(this.nextSeq)) {
      this.#early.delete(this.nextSeq);
      this.nextSeq += next.bytes.length + (next.isFin ? 1 : 0);
      if (next.bytes.length > 0) this.#inbox.push(next.bytes);
      this.#unreadBytes += next.bytes.length;
      this.receivedBytes += next.bytes.length;
      if (next.isFin) {
        this.#hasFin = true;
        this.#early.clear();
      }
    }
  }

  take(): Bytes | undefined {
    const piece = this.#inbox.shift();
    this.#unreadBytes -= piece?.length ?? 0;
    return piece;
  }

  unshift(piece: Bytes): void {
    this.#inbox.unshift(piece);
    this.#unreadBytes += piece.length;
  }

  discard(): void {
    this.#inbox = [];
    this.#unreadBytes = 0;
  }

  #room(): number {
    return Math.max(this.#windowBytes - this.#unreadBytes, 0);
  }
}
