/** What is kept of peers when their sessions have ended: their keys, and how far their hellos have come. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { PublicKey } from '../../core/secure.ts';
import { KnownPeers } from '../../sessions/known-peers.ts';

/**
 * How long in ms a hello excludes older ones at other addresses. An overheard claim cannot be used by
 * others then (fault P7), and a peer whose clock went back is let in again after that.
 */
const HELLO_MEMORY_MS = 600_000;

interface Remembered {
  readonly publicKey: PublicKey;
  /** TAI64N of the last handshake that the peer began and completed, at whatever address. */
  readonly timestamp: Bytes | undefined;
  readonly atMs: Millis;
  /** We have called it. */
  readonly isDialled: boolean;
}

/** Of a handshake that has proven a key. */
export interface Meeting {
  /** Where the peer is, as `sourceOf` takes it. */
  readonly host: string;
  /** Of the peer's hello; `undefined` when it was we who began. */
  readonly timestamp: Bytes | undefined;
  /** It has only ever called us: handshakes that we make to answer it do not count. */
  readonly isStranger: boolean;
}

/** Proven keys by PeerID, and what of their hellos counts. Bounded by `maxPeers`. */
export class PeerMemory {
  readonly #peers: KnownPeers<Remembered>;

  constructor(maxPeers: number) {
    this.#peers = new KnownPeers(maxPeers);
  }

  get size(): number {
    return this.#peers.size;
  }

  keyOf(id: PeerId): PublicKey | undefined {
    return this.#peers.get(id)?.publicKey;
  }

  /** Whether we have called this peer lately. */
  wasDialled(id: PeerId): boolean {
    return this.#peers.get(id)?.isDialled === true;
  }

  /** The timestamp that hellos of this peer have to exceed, if any. */
  lastTimestamp(now: Millis, id: PeerId): Bytes | undefined {
    const known = this.#peers.get(id);
    return known === undefined || now - known.atMs > HELLO_MEMORY_MS ? undefined : known.timestamp;
  }

  /** A handshake has proven a key. */
  note(now: Millis, id: PeerId, publicKey: PublicKey, { host, timestamp, isStranger }: Meeting): void {
    const known = this.#peers.get(id);
    const isDialled = !isStranger || known?.isDialled === true;
    const kept = timestamp === undefined && known !== undefined ? known : { publicKey, timestamp, atMs: now };
    this.#peers.note(id, { ...kept, isDialled }, host, !isDialled);
  }
}
