/** One message that comes in parts. */

import { type Bytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { type MessageHead } from './frames.ts';

/** The least room that a message in parts gets. */
const MIN_ROOM_BYTES = 1024;

/** Room doubles with what has come: a peer that announces much costs nothing until it sends it. */
export class Assembly {
  readonly head: MessageHead;
  readonly size: number;
  /** False when nobody wants it any more: its chunks are counted and dropped. */
  wanted: boolean;
  #room: Bytes = EMPTY_BYTES;
  #length = 0;

  constructor(head: MessageHead, size: number, wanted: boolean) {
    this.head = head;
    this.size = size;
    this.wanted = wanted;
  }

  /** Bytes that are taken for it. */
  get room(): number {
    return this.#room.length;
  }

  get whole(): boolean {
    return this.#length === this.size;
  }

  /** Takes a chunk; false when there is more than was announced. */
  add(bytes: Uint8Array): boolean {
    const length = this.#length + bytes.length;
    if (length > this.size) return false;
    if (this.wanted) {
      if (length > this.#room.length) {
        const room = new Uint8Array(Math.min(this.size, Math.max(length, 2 * this.#length, MIN_ROOM_BYTES)));
        room.set(this.#room.subarray(0, this.#length));
        this.#room = room;
      }
      this.#room.set(bytes, this.#length);
    }
    this.#length = length;
    return true;
  }

  /** The payload of a whole message: it fills its buffer. */
  payload(): Bytes {
    return this.#room;
  }
}
