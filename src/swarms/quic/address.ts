/** Addresses of QUIC swarms: `<PeerID>@<inner>`. */

import { type Addr, makeAddr, type NestedAddr } from '../../core/addr.ts';
import type { PeerId } from '../../core/peer-id.ts';
import { splitPeerAddr } from '../../sessions/peer-addr.ts';

/** A peer, by its key, and where it is. */
export interface QuicAddr<I extends Addr> extends NestedAddr<I> {
  readonly net: 'quic';
  readonly id: PeerId;
}

export function quicAddr<I extends Addr>(id: PeerId, inner: I): QuicAddr<I> {
  return makeAddr<QuicAddr<I>>({ net: 'quic', id, inner, text: `${id}@${inner.text}` });
}

/** @throws {TypeError} when `text` is not a PeerID, an @ and an address of the swarm below. */
export function parseQuicAddr<I extends Addr>(text: string, parseInner: (text: string) => I): QuicAddr<I> {
  const { id, inner } = splitPeerAddr(text);
  return quicAddr(id, parseInner(inner));
}
