/** What a session sends without a number: once, on the path in use, or not at all. Source: docs/wire/peers.md §§1, 3. */

import type { Bytes } from '../../base/bytes.ts';
import { DATAGRAM_HEAD_BYTES, DATAGRAM_VERSION, MAX_DATAGRAM_BACKLOG_BYTES } from './constants.ts';
import { encodeDatagram, encodeNotice } from './packets.ts';
import type { PathSet } from './path-set.ts';

export class Unnumbered {
  readonly #tag: number;
  readonly #paths: PathSet;
  readonly #transmit: (path: number, packet: Bytes) => void;

  constructor(tag: number, paths: PathSet, transmit: (path: number, packet: Bytes) => void) {
    this.#tag = tag;
    this.#paths = paths;
    this.#transmit = transmit;
  }

  notify(code: number): void {
    const { current } = this.#paths;
    if (current !== undefined) this.#transmit(current.id, encodeNotice(this.#tag, code));
  }

  /** The largest payload of a datagram; 0 when none can be sent. @param version - of the session */
  datagramBytes(version: number): number {
    const { current } = this.#paths;
    return current === undefined || version < DATAGRAM_VERSION ? 0 : Math.max(0, current.mtu - DATAGRAM_HEAD_BYTES);
  }

  /** @returns false when no path carries it, or too much waits for the transport */
  datagram(version: number, service: number, payload: Uint8Array): boolean {
    const { current } = this.#paths;
    if (current === undefined || payload.length > this.datagramBytes(version)) return false;
    if (current.pendingBytes > MAX_DATAGRAM_BACKLOG_BYTES) return false;
    this.#transmit(current.id, encodeDatagram(this.#tag, service, payload));
    return true;
  }
}
