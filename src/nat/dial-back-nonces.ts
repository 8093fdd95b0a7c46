/** The nonces that a node waits for: each is told to one helper only, and counts once, where and from where it arrived. */

import { equalBytes, toHex } from '../base/bytes.ts';
import type { SocketAddress } from '../base/ip.ts';
import { decodeDialBackNonce, type DialBackTransport } from '../protocols/reachability/dial-back.ts';

/** A nonce that has arrived. */
export interface DialBackArrival {
  readonly transport: DialBackTransport;
  /** From where it came, as this host saw it. */
  readonly from: SocketAddress;
}

/** Nonces that are waited for at once. */
export const MAX_DIAL_BACK_NONCES = 64;

/** Shared by the calls that ask helpers and by the sockets that the helpers dial. */
export class DialBackNonces {
  /** Bounded by {@link MAX_DIAL_BACK_NONCES}. */
  readonly #waiting = new Map<
    string,
    { readonly nonce: Uint8Array; readonly arrived: (arrival: DialBackArrival) => void }
  >();

  /** Nonces that somebody waits for at present. */
  get size(): number {
    return this.#waiting.size;
  }

  /** @returns a function that stops waiting; `undefined` when too many are waited for. */
  expect(nonce: Uint8Array, arrived: (arrival: DialBackArrival) => void): (() => void) | undefined {
    if (this.#waiting.size >= MAX_DIAL_BACK_NONCES) return undefined;
    const key = toHex(nonce);
    this.#waiting.set(key, { nonce, arrived });
    return () => void this.#waiting.delete(key);
  }

  /**
   * Takes a datagram, or the first 48 bytes of a connection.
   *
   * @returns whether it was a dial-back message, wanted or not. Others are not for this.
   */
  handle(bytes: Uint8Array, from: SocketAddress, transport: DialBackTransport): boolean {
    const nonce = decodeDialBackNonce(bytes);
    if (nonce === undefined) return false;
    const waiting = this.#waiting.get(toHex(nonce));
    if (waiting !== undefined && equalBytes(waiting.nonce, nonce)) {
      this.#waiting.delete(toHex(nonce));
      waiting.arrived({ transport, from });
    }
    return true;
  }
}
