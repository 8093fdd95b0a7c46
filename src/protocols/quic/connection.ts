/** One QUIC connection: streams, datagrams, and one end. */

import type { Side } from '../../core/accept.ts';
import { type Bytes, encodeText } from '../../base/bytes.ts';
import { wholeNumber } from '../../base/checks.ts';
import type { Millis } from '../../base/machine.ts';
import { type ConnectionStats, type QuicEngine, REFUSED } from './engine.ts';
import type { QuicClosed } from './closed.ts';
import { checkCode, StreamOwner } from './stream.ts';
import type { Windows } from './window-budget.ts';

/** How far a connection is. */
export type ConnectionState = 'handshake' | 'open' | 'closed';

/** What became of a datagram. */
export type DatagramResult =
  /** It leaves with the next packets; it may be lost. */
  | 'sent'
  /** The queue is full; `datagrams_writable` follows. */
  | 'blocked'
  /** Larger than `maxDatagramBytes`. */
  | 'too_large'
  /** The peer, or this endpoint, takes none. */
  | 'unsupported'
  | 'closed';

/** The longest close reason that is sent, in bytes of UTF-8; longer ones are cut. */
const MAX_REASON_BYTES = 1000;

/** @internal What a connection needs of its endpoint. */
export interface ConnectionOwner {
  /** The time of the last input. */
  now(): Millis;
  /** So many bytes were read: the window may grow. */
  read(windows: Windows, bytes: number): void;
  ended(connection: QuicConnection, closed: QuicClosed): void;
}

/** @internal */
export interface ConnectionParts {
  readonly side: Side;
  readonly handle: number;
  readonly address: number;
  readonly mtuBytes: number;
  readonly engine: QuicEngine;
  readonly windows: Windows;
}

/** One connection. Made by a `QuicEndpoint`. */
export class QuicConnection extends StreamOwner {
  /** @internal */
  readonly windows: Windows;
  readonly #owner: ConnectionOwner;
  #state: ConnectionState = 'handshake';
  #address: number;
  #alpn: string | undefined;
  #serverName: string | undefined;
  #peerChain: readonly Bytes[] = [];
  #closed: QuicClosed | undefined;
  #mtuBytes: number;
  #drained = false;
  #released = false;

  /** @internal */
  constructor({ side, handle, address, mtuBytes, engine, windows }: ConnectionParts, owner: ConnectionOwner) {
    super(side, handle, engine);
    this.#address = address;
    this.#mtuBytes = mtuBytes;
    this.windows = windows;
    this.#owner = owner;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Where the peer is now. */
  get address(): number {
    return this.#address;
  }

  /** The application protocol both agreed on; `undefined` before that, and without ALPN. */
  get alpn(): string | undefined {
    return this.#alpn;
  }

  /** The name the client asked for (SNI), on both sides. */
  get serverName(): string | undefined {
    return this.#serverName;
  }

  /** The peer's certificates, DER, end entity first; proven and judged. Empty before that, and for those without. */
  get peerChain(): readonly Bytes[] {
    return this.#peerChain;
  }

  /** How it ended, once it has. */
  get closed(): QuicClosed | undefined {
    return this.#closed;
  }

  /** The largest UDP payload that the path is known to carry. */
  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  /**
   * Sends a datagram (RFC 9221): unordered, unreliable, inside the congestion control.
   *
   * @param dropOld - when the queue is full, drop the oldest instead of saying `blocked`.
   */
  sendDatagram(bytes: Uint8Array, dropOld = false): DatagramResult {
    if (this.#state === 'closed') return 'closed';
    switch (this.engine.sendDatagram(this.handle, bytes, dropOld)) {
      case 0:
        return 'sent';
      case REFUSED.BLOCKED:
        return 'blocked';
      case REFUSED.TOO_LARGE:
        return 'too_large';
      case REFUSED.UNSUPPORTED:
        return 'unsupported';
      default:
        return 'closed';
    }
  }

  /** The next datagram that has arrived, the caller's to keep; `undefined` when there is none. */
  receiveDatagram(): Bytes | undefined {
    return this.engine.receiveDatagram(this.handle);
  }

  /** The largest datagram that can be sent now, in bytes; `undefined` when none can. Moves with the MTU. */
  get maxDatagramBytes(): number | undefined {
    if (this.#state !== 'open') return undefined;
    return this.engine.maxDatagram(this.handle);
  }

  /** Statistics so far; `undefined` after `forget`. */
  stats(): ConnectionStats | undefined {
    return this.engine.stats(this.handle);
  }

  /** Sends a PING, which the peer must acknowledge. */
  ping(): void {
    this.engine.ping(this.handle);
  }

  /** Replaces the traffic keys now (RFC 9001 §6). Happens by itself long before they are worn out. */
  updateKeys(): void {
    this.engine.updateKeys(this.handle);
  }

  /** As a client, after our own address changed: moves to a fresh connection id and tells the peer where we are. */
  rebind(): void {
    this.engine.rebind(this.handle);
  }

  /**
   * Ends the connection at once; a `closed` event follows. What the peer has not acknowledged is lost.
   *
   * @param code - for the peer's application, 0 to 2^53 - 1. @default 0
   * @param reason - for people; cut at 1000 bytes.
   */
  close(code = 0, reason = ''): void {
    checkCode(code, 'close code');
    if (this.#state === 'closed') return;
    const bytes = encodeText(reason).subarray(0, MAX_REASON_BYTES);
    this.engine.close(this.#owner.now(), this.handle, code, bytes);
    this.handleClosed({ by: 'local', code, alert: undefined, reason });
  }

  /** After `closed`: drops what had arrived and was not read. Without it, that stays in memory until it is read. */
  forget(): void {
    if (this.#closed === undefined) return;
    for (const stream of this.streams) stream.handleLost(false);
    this.#release();
  }

  /** Whether no stream is left that could be read on. */
  get #isRead(): boolean {
    return this.streams[Symbol.iterator]().next().done === true;
  }

  #release(): void {
    if (!this.#drained || this.#released || !this.#isRead) return;
    this.#released = true;
    this.engine.release(this.handle);
  }

  /** @internal The peer has shown these, and proven to hold their key. */
  handleChain(chain: readonly Bytes[]): void {
    this.#peerChain = chain;
  }

  /** @internal */
  handleNegotiated(alpn: string | undefined, serverName: string | undefined): void {
    this.#alpn = alpn;
    this.#serverName = serverName;
  }

  /** @internal */
  handleConnected(): void {
    if (this.#state === 'handshake') this.#state = 'open';
  }

  /** @internal */
  handleRead(bytes: number): void {
    this.#owner.read(this.windows, bytes);
  }

  protected handleNoStreams(): void {
    this.#release();
  }

  /** @internal */
  handlePath(address: number): void {
    this.#address = address;
  }

  /** @internal */
  handleMtu(bytes: number): void {
    this.#mtuBytes = wholeNumber(bytes, 'mtu', bytes, 0, 65_535);
  }

  /** @internal Tells the end, once. */
  handleClosed(closed: QuicClosed): void {
    if (this.#closed !== undefined) return;
    this.#closed = closed;
    this.#state = 'closed';
    // After a local close nothing is read any more; after any other end, buffered data can be read.
    const readable = closed.by !== 'local' && closed.by !== 'engine_failure';
    for (const stream of this.streams) stream.handleLost(readable);
    this.#owner.ended(this, closed);
  }

  /** @internal Nothing more will come from the engine. */
  handleDrained(): void {
    this.#drained = true;
    this.#release();
  }
}
