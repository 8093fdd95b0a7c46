/** What is kept of peers when their sessions have ended: their keys, and how far their hellos have come. */

import { compareBytes, type Bytes } from '../../core/bytes.ts';
import { type Millis } from '../../core/machine.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type PublicKey } from '../../core/secure.ts';

/**
 * How long in ms a hello stands in the way of older ones at other addresses. A claim that was overheard is of no use to
 * others then (fault P7), and a peer whose clock went back is let in again after that.
 */
const HELLO_MEMORY_MS = 600_000;

interface Remembered {
  readonly publicKey: PublicKey;
  /** TAI64N of the last handshake that the peer began and completed, at whatever address. */
  readonly timestamp: Bytes | undefined;
  readonly atMs: Millis;
}

/** Proven keys by PeerID. Bounded by `maxPeers`; the one whose last handshake is longest ago is forgotten first. */
export class PeerMemory {
  readonly #maxPeers: number;
  readonly #peers = new Map<PeerId, Remembered>();

  constructor(maxPeers: number) {
    this.#maxPeers = maxPeers;
  }

  get size(): number {
    return this.#peers.size;
  }

  keyOf(id: PeerId): PublicKey | undefined {
    return this.#peers.get(id)?.publicKey;
  }

  /** Whether a hello is not newer than one that this peer has completed lately. */
  isOld(now: Millis, id: PeerId, timestamp: Uint8Array): boolean {
    const known = this.#peers.get(id);
    if (known?.timestamp === undefined || now - known.atMs > HELLO_MEMORY_MS) return false;
    return compareBytes(timestamp, known.timestamp) <= 0;
  }

  /** A handshake has proven a key. @param timestamp - of the peer's hello, when it was the peer that began. */
  note(now: Millis, id: PeerId, publicKey: PublicKey, timestamp: Bytes | undefined): void {
    const known = this.#peers.get(id);
    if (known !== undefined) this.#peers.delete(id);
    else if (this.#peers.size >= this.#maxPeers) this.#peers.delete(this.#peers.keys().next().value!);
    const kept = timestamp === undefined && known !== undefined;
    this.#peers.set(id, kept ? known : { publicKey, timestamp, atMs: now });
  }
}
