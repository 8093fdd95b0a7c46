/** One message that arrives in parts. */

import { type Bytes, EMPTY_BYTES } from '../../base/bytes.ts';
import type { MessageHead } from './frames.ts';

/** The minimum buffer of a message in parts. */
const MIN_ROOM_BYTES = 1024;

/** The buffer doubles as bytes arrive: a large announced size costs nothing until the peer sends the bytes. */
export class Assembly {
  readonly head: MessageHead;
  readonly size: number;
  /** False when the message was cancelled: its chunks are counted and dropped. */
  wanted: boolean;
  #room: Bytes = EMPTY_BYTES;
  #length = 0;

  constructor(head: MessageHead, size: number, wanted: boolean) {
    this.head = head;
    this.size = size;
    this.wanted = wanted;
  }

  /** Bytes of its buffer. */
  get room(): number {
    return this.#room.length;
  }

  get whole(): boolean {
    return this.#length === this.size;
  }

  /** Adds a chunk; false when there are more bytes than announced. */
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

  /** The payload of a complete message, which fills its buffer. */
  payload(): Bytes {
    return this.#room;
  }
}
