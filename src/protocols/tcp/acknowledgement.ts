/** How far the peer has read our tells: pings carry how many were written. Source: docs/wire/tcp.md §7. */

import { type Bytes } from '../../base/bytes.ts';
import { encodeVarint, readVarint } from '../../base/varint.ts';

export class Acknowledgement {
  #written = 0;
  #asked = 0;
  #read = 0;
  #wanted = false;

  /** Tells that are written, and not known to be read. */
  get unread(): number {
    return this.#written - this.#read;
  }

  /** Whether somebody waits to hear, and nobody has asked behind the last tell. */
  get due(): boolean {
    return this.#wanted && this.#asked < this.#written;
  }

  /** A tell is written. */
  wrote(): void {
    this.#written++;
  }

  /** Somebody waits until everything is read. */
  want(): void {
    this.#wanted = true;
  }

  /** The token of a ping that goes out now. */
  ask(): Bytes {
    this.#asked = this.#written;
    return encodeVarint(this.#written);
  }

  /** A pong; false when it answers no ping of ours. */
  handlePong(token: Bytes): boolean {
    const read = readVarint(token)?.value;
    if (read === undefined || read > this.#asked) return false;
    this.#read = Math.max(this.#read, read);
    if (this.unread === 0) this.#wanted = false;
    return true;
  }
}
