/** Finds the connections and addresses of the peer that a call names. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';
import type { EndpointConnections } from './connections.ts';
import type { ConnectTarget, PeerTarget } from './endpoint.ts';
import { LiveConnection } from './live-connection.ts';
import { type ParseAddr, type Target, targetOf } from './targets.ts';

/** What a lookup stands on. */
export interface PeerLookupParts<A extends Addr, M> {
  readonly connections: EndpointConnections<A, M>;
  readonly parse: ParseAddr<A>;
  /** Whether peers have PeerIDs: qp2p's have none. */
  readonly hasPeerIds: boolean;
}

export class PeerLookup<A extends Addr, M> {
  readonly #parts: PeerLookupParts<A, M>;

  constructor(parts: PeerLookupParts<A, M>) {
    this.#parts = parts;
  }

  /**
   * The address to dial; a `P2PError` for an unusable address, and for a text that is not an address.
   *
   * @throws {TypeError} for a value that is neither an address nor a text, and for an expected PeerID where peers have no PeerIDs.
   */
  target(target: ConnectTarget<A> | A | string, expect: PeerId | undefined): Target<A> | P2PError {
    const { parse, hasPeerIds } = this.#parts;
    const resolved = targetOf(target, expect, parse);
    if (resolved instanceof P2PError || resolved.expect === undefined || hasPeerIds) return resolved;
    throw new TypeError("Cannot take expect: preset: 'qp2p' does not authenticate peers");
  }

  /** Where to dial to reach a peer. */
  targetOfPeer(peer: PeerTarget<A, M>, expect: PeerId | undefined): Target<A> | P2PError {
    if (isPeerId(peer)) {
      const addr = this.#parts.connections.addrOf(peer);
      if (addr !== undefined) return { addr, expect: peer };
      const why = `Cannot send to ${peer}: no address of it is known; connect to it, or send to <PeerID>@<address>`;
      return new P2PError('unreachable', 'local', why, { sent: 'no' });
    }
    if (peer instanceof LiveConnection) {
      const what = `Cannot send to ${peer.id}: the connection has ended`;
      return new P2PError('disconnected', 'local', what, { sent: 'no' });
    }
    return this.target(peer as ConnectTarget<A> | A | string, expect);
  }

  /** All open connections that a call means. */
  connectionsOf(peer: PeerTarget<A, M>): readonly LiveConnection<A, M>[] {
    if (peer instanceof LiveConnection) return peer.closeReason === undefined ? [peer] : [];
    const { index } = this.#parts.connections;
    if (isPeerId(peer)) return index.ofPeer(peer);
    const target = this.targetOfPeer(peer, undefined);
    if (target instanceof P2PError) return [];
    return target.expect === undefined ? index.ofAddr(target.addr) : index.ofPeer(target.expect);
  }

  /** The connection to use for a call. */
  connectionOf(peer: PeerTarget<A, M>): LiveConnection<A, M> | undefined {
    if (peer instanceof LiveConnection || isPeerId(peer)) return this.connectionsOf(peer)[0];
    const target = this.targetOfPeer(peer, undefined);
    return target instanceof P2PError ? undefined : this.#parts.connections.index.find(target);
  }
}

/** A peer in words, for errors. */
export function peerName(peer: unknown): string {
  if (peer instanceof LiveConnection) return peer.id;
  return String(typeof peer === 'object' && peer !== null && 'addr' in peer ? peer.addr : peer);
}
