/** Tracks which tells the peer has read: pings carry the number of written tells. Source: docs/wire/tcp.md §7. */

import type { Bytes } from '../../base/bytes.ts';
import { encodeVarint, readVarint } from '../../base/varint.ts';

export class Acknowledgement {
  #written = 0;
  #asked = 0;
  #read = 0;
  #wanted = false;

  /** Tells that were written and are not confirmed as read. */
  get unread(): number {
    return this.#written - this.#read;
  }

  /** Whether a call waits for confirmation, and no ping was sent after the last tell. */
  get due(): boolean {
    return this.#wanted && this.#asked < this.#written;
  }

  /** A tell was written. */
  wrote(): void {
    this.#written++;
  }

  /** A call waits until everything is read. */
  want(): void {
    this.#wanted = true;
  }

  /** The token of a ping that is sent now. */
  ask(): Bytes {
    this.#asked = this.#written;
    return encodeVarint(this.#written);
  }

  /** Handles a pong; false when it does not match a ping of this side. */
  handlePong(token: Bytes): boolean {
    const read = readVarint(token)?.value;
    if (read === undefined || read > this.#asked) return false;
    this.#read = Math.max(this.#read, read);
    if (this.unread === 0) this.#wanted = false;
    return true;
  }
}
