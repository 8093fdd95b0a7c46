/** The sending half of a TCP connection, sans-IO: what is written, what is on its way, and what was lost. */

import { type Bytes, EMPTY_BYTES } from '../../base/bytes.ts';

/** A segment that is not acknowledged yet. */
export interface SentSegment {
  readonly seq: number;
  readonly bytes: Bytes;
  readonly isSyn: boolean;
  readonly isFin: boolean;
  readonly sentAtMs: number;
  isRepeated: boolean;
}

type Done = (error?: Error | null) => void;

interface Write {
  readonly bytes: Bytes;
  at: number;
  readonly done: Done;
}

/** The most bytes of a segment, as behind segmentation offload. */
const MAX_SEGMENT_BYTES = 16_384;

export class TcpSender {
  /** Bytes that the peer has room for. */
  windowBytes: number;
  /** The writer has closed this half. */
  isEnding = false;
  /** The number behind everything that was sent. */
  nextSeq: number;
  acknowledgedSeq: number;
  readonly #firstSeq: number;
  readonly #maxWindowBytes: number;
  readonly #random: () => number;
  readonly #writes: Write[] = []; // Bounded by who writes.
  #sent: SentSegment[] = []; // Bounded by the window.
  #unsentBytes = 0;
  #hasSentFin = false;

  constructor(firstSeq: number, maxWindowBytes: number, random: () => number) {
    this.#firstSeq = firstSeq;
    this.nextSeq = firstSeq;
    this.acknowledgedSeq = firstSeq;
    this.windowBytes = maxWindowBytes;
    this.#maxWindowBytes = maxWindowBytes;
    this.#random = random;
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  get hasSentFin(): boolean {
    return this.#hasSentFin;
  }

  get isSynAcknowledged(): boolean {
    return this.acknowledgedSeq > this.#firstSeq;
  }

  /** Whether something is on its way. */
  get isWaiting(): boolean {
    return this.#sent.length > 0;
  }

  /** Whether something could be sent if the peer had room. */
  get isBlocked(): boolean {
    return this.#writes.length > 0 && this.#sent.length === 0;
  }

  write(bytes: Bytes, done: Done): void {
    this.#writes.push({ bytes, at: 0, done });
    this.#unsentBytes += bytes.length;
  }

  takeSyn(now: number): SentSegment {
    return this.#take(now, EMPTY_BYTES, true, false);
  }

  /**
   * The next segment that fits into the window.
   *
   * @param settle - calls what a writer waits for, later.
   */
  takeNext(now: number, settle: (done: () => void) => void): SentSegment | undefined {
    for (let write = this.#writes[0]; write !== undefined; write = this.#writes[0]) {
      const left = write.bytes.length - write.at;
      const room = Math.min(this.windowBytes, this.#maxWindowBytes) - (this.nextSeq - this.acknowledgedSeq);
      if (left > 0 && !this.#isWorthwhile(Math.min(left, room), left)) return undefined;
      const take = left === 0 ? 0 : this.#cut(Math.min(left, room, MAX_SEGMENT_BYTES));
      const bytes = write.bytes.slice(write.at, write.at + take);
      write.at += take;
      this.#unsentBytes -= take;
      if (write.at === write.bytes.length) {
        const { done } = write;
        this.#writes.shift();
        settle(() => done());
      }
      if (take > 0) return this.#take(now, bytes, false, false);
    }
    if (!this.isEnding || this.#hasSentFin) return undefined;
    this.#hasSentFin = true;
    return this.#take(now, EMPTY_BYTES, false, true);
  }

  /** The first segment that is missing, once more. */
  again(): SentSegment | undefined {
    const [first] = this.#sent;
    if (first !== undefined) first.isRepeated = true;
    return first;
  }

  /** @returns when the newest of what was acknowledged was sent, if that says how long it took. */
  acknowledge(ackSeq: number): number | undefined {
    if (ackSeq > this.nextSeq) return undefined;
    this.acknowledgedSeq = ackSeq;
    let sentAtMs: number | undefined;
    let count = 0;
    for (const { seq, bytes, isSyn, isFin, isRepeated, sentAtMs: at } of this.#sent) {
      if (seq + bytes.length + (isSyn || isFin ? 1 : 0) > ackSeq) break;
      count++;
      sentAtMs = isRepeated ? undefined : at;
    }
    this.#sent = count === this.#sent.length ? [] : this.#sent.slice(count);
    return sentAtMs;
  }

  /** Forgets what is written and not sent. @returns who waits for it. */
  dropWrites(): Done[] {
    this.#unsentBytes = 0;
    return this.#writes.splice(0).map(({ done }) => done);
  }

  /** Against silly windows (RFC 1122 §4.2.3.4): small segments only where nothing else would ever be sent. */
  #isWorthwhile(bytes: number, left: number): boolean {
    if (bytes <= 0) return false;
    return bytes === left || this.#sent.length === 0 || bytes >= Math.min(this.#maxWindowBytes / 2, MAX_SEGMENT_BYTES);
  }

  /** Half of what could go together goes whole, so that readers cannot rely on it. */
  #cut(length: number): number {
    return this.#random() < 0.5 ? length : Math.max(1, Math.ceil(this.#random() * length));
  }

  #take(now: number, bytes: Bytes, isSyn: boolean, isFin: boolean): SentSegment {
    const segment = { seq: this.nextSeq, bytes, isSyn, isFin, sentAtMs: now, isRepeated: false };
    this.nextSeq += bytes.length + (isSyn || isFin ? 1 : 0);
    this.#sent.push(segment);
    return segment;
  }
}
