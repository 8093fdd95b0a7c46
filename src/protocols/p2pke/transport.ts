/**
 * The data of one session: counters, keys, replay window. On the packet path: one buffer and one call of the cipher per
 * message.
 */

import { type Bytes, allocMessage } from '../../base/bytes.ts';
import type { AeadKey, ImportAeadKey } from '../../crypto/suite.ts';
import type { TransportKeys } from '../noise/hashing.ts';
import {
  FIRST_DATA_COUNTER,
  HEADER_BYTES,
  KEEP_ALIVE_STRIDE,
  MAX_COUNTER,
  OVERHEAD_BYTES,
  TAG_BYTES,
} from './constants.ts';
import { withCounter, writeCounter } from './messages.ts';
import { ReplayWindow } from './replay-window.ts';

// Shared scratch: safe because every use fills it and is over before the next begins (all of this is synchronous).
const header = new Uint8Array(HEADER_BYTES);
const nonce = new Uint8Array(12);

/** Fills the scratch: the header is the associated data, the counter as 8 bytes little-endian behind 4 zeros the nonce. */
function setCounter(counter: number): void {
  writeCounter(header, counter);
  nonce[4] = counter;
  nonce[5] = counter >>> 8;
  nonce[6] = counter >>> 16;
  nonce[7] = counter >>> 24;
}

/** Seals and opens what comes after the handshake's two key messages. */
export class Transport {
  readonly #sealKey: AeadKey;
  readonly #openKey: AeadKey;
  readonly #window = new ReplayWindow();
  #next = FIRST_DATA_COUNTER;

  constructor(keys: TransportKeys, initiator: boolean, importAead: ImportAeadKey) {
    this.#sealKey = importAead(initiator ? keys.initiatorToResponder : keys.responderToInitiator);
    this.#openKey = importAead(initiator ? keys.responderToInitiator : keys.initiatorToResponder);
  }

  /** The counter of the next data message. It only grows, so no nonce is used twice. */
  get nextCounter(): number {
    return this.#next;
  }

  /** Whether no counter is left. */
  get exhausted(): boolean {
    return this.#next >= MAX_COUNTER;
  }

  /** A handshake message; its counter is below those of data and used once. */
  sealHandshake(counter: number, payload: Uint8Array): Bytes {
    const sealed = new Uint8Array(payload.length + TAG_BYTES);
    setCounter(counter);
    this.#sealKey.seal(nonce, header, payload, sealed, 0);
    return withCounter(counter, sealed);
  }

  /** The payload of a handshake message, or `undefined` when it is forged. */
  openHandshake(counter: number, datagram: Uint8Array): Bytes | undefined {
    if (datagram.length < OVERHEAD_BYTES) return undefined;
    const payload = new Uint8Array(datagram.length - OVERHEAD_BYTES);
    setCounter(counter);
    return this.#openKey.open(nonce, header, datagram.subarray(HEADER_BYTES), payload, 0) ? payload : undefined;
  }

  /**
   * The datagram of a message. A bound function, which a session exposes as its own `seal`.
   *
   * @throws {Error} when no counter is left: the caller has to check {@link Transport.exhausted}.
   */
  readonly seal = (payload: Uint8Array): Bytes => {
    if (this.exhausted) throw new Error('bug: sealing under a counter that is used up');
    // An empty message on a multiple of the stride would be taken for a keep-alive.
    if (payload.length === 0 && this.#next % KEEP_ALIVE_STRIDE === 0) this.#next++;
    return this.#sealNext(payload);
  };

  /** A keep-alive, at the next counter that marks one; the gap is within the window. */
  sealKeepAlive(): Bytes | undefined {
    const counter = Math.ceil(this.#next / KEEP_ALIVE_STRIDE) * KEEP_ALIVE_STRIDE;
    if (counter >= MAX_COUNTER) return undefined;
    this.#next = counter;
    return this.#sealNext(new Uint8Array(0));
  }

  #sealNext(payload: Uint8Array): Bytes {
    const datagram = allocMessage(payload.length + OVERHEAD_BYTES);
    const counter = this.#next++;
    setCounter(counter);
    writeCounter(datagram, counter);
    this.#sealKey.seal(nonce, header, payload, datagram, HEADER_BYTES);
    return datagram;
  }

  /** Whether a counter has not been received and is not too old. */
  isFresh(counter: number): boolean {
    return this.#window.isFresh(counter);
  }

  /**
   * Opens data with a fresh counter into `out`, which has the datagram's length less 20, and notes the counter.
   *
   * @returns false when it is forged or of another session; then nothing has changed.
   */
  open(counter: number, sealed: Uint8Array, out: Uint8Array): boolean {
    setCounter(counter);
    if (!this.#openKey.open(nonce, header, sealed, out, 0)) return false;
    this.#window.mark(counter);
    return true;
  }
}
