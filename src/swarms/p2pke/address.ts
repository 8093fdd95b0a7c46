/** Addresses of P2PKE swarms: `<PeerID>@<inner>`. */

import { type Addr, makeAddr, type NestedAddr } from '../../core/addr.ts';
import { describeValue } from '../../base/checks.ts';
import type { PeerId } from '../../core/peer-id.ts';
import { splitPeerAddr } from '../../sessions/peer-addr.ts';

/** A peer, by its key, and where it is. Its text is `<PeerID>@<inner address>`. */
export interface P2pkeAddr<I extends Addr> extends NestedAddr<I> {
  readonly net: 'p2pke';
  readonly id: PeerId;
}

/** The address of the peer `id` at `inner`. */
export function p2pkeAddr<I extends Addr>(id: PeerId, inner: I): P2pkeAddr<I> {
  return makeAddr<P2pkeAddr<I>>({ net: 'p2pke', id, inner, text: `${id}@${inner.text}` });
}

/** @throws {TypeError} when `text` is not a PeerID, an @ and an address of the swarm below; the message names the part. */
export function parseP2pkeAddr<I extends Addr>(text: string, parseInner: (text: string) => I): P2pkeAddr<I> {
  const { id, inner } = splitPeerAddr(text);
  return p2pkeAddr(id, parseInner(inner));
}

/** @throws {TypeError} when `value` is not the address of a P2PKE swarm. */
export function assertP2pkeAddr(value: unknown): asserts value is P2pkeAddr<Addr> {
  if (typeof value !== 'object' || value === null || !('net' in value) || value.net !== 'p2pke') {
    const wanted = 'expected a P2PKE address, <PeerID>@<inner address> (see parseAddr)';
    throw new TypeError(`Cannot take dst: ${wanted}, got ${describeValue(value)}`);
  }
}
