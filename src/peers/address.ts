/** Addresses of the connection manager: a PeerID, and nothing else. */

import { makeAddr } from '../core/addr.ts';
import { parsePeerId, type PeerId } from '../core/peer-id.ts';
import type { KeyedAddr } from '../sessions/peer-sessions.ts';

/** A peer, wherever it is. */
export interface PeerAddr extends KeyedAddr {
  readonly net: 'peers';
}

export function peerAddr(id: PeerId): PeerAddr {
  return makeAddr<PeerAddr>({ net: 'peers', id, text: id });
}

/** @throws {TypeError} when `text` is not a PeerID. */
export function parsePeerAddr(text: string): PeerAddr {
  return peerAddr(parsePeerId(text));
}
