/** Addresses of relayed peers: `<PeerID>@<address of the relay>`. */

import { type Addr, assertAddr, makeAddr, peerIdOf } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey, SecureSwarm } from '../core/secure.ts';
import { describeValue } from '../base/checks.ts';
import { peerIdOfKey } from '../identity/keys.ts';
import { splitPeerAddr } from '../sessions/peer-addr.ts';

/**
 * A peer, by its PeerID, and the relay that passes datagrams to it. Its text is `<PeerID>@<relay>`. The relay is not the place of the peer:
 * `ipOf` and `portOf` give nothing, and `withIp` changes nothing.
 */
export interface RelayAddr<out A extends Addr = Addr> extends Addr {
  readonly net: 'relay';
  readonly id: PeerId;
  readonly relay: A;
}

/** The address of the peer `id` at a relay. */
export function relayAddr<A extends Addr>(id: PeerId, relay: A): RelayAddr<A> {
  return makeAddr<RelayAddr<A>>({ net: 'relay', id, relay, text: `${id}@${relay.text}` });
}

/** @throws {TypeError} when `text` is not a PeerID, an @ and an address of the swarm below. */
export function parseRelayAddr<A extends Addr>(text: string, parseRelay: (text: string) => A): RelayAddr<A> {
  const { id, inner } = splitPeerAddr(text);
  return relayAddr(id, parseRelay(inner));
}

/** @throws {TypeError} when `value` is not the address of a relayed peer. */
export function assertRelayAddr(value: unknown): asserts value is RelayAddr {
  if (typeof value !== 'object' || value === null || !('net' in value) || value.net !== 'relay') {
    const wanted = 'expected the address of a relayed peer, <PeerID>@<relay> (see parseAddr)';
    throw new TypeError(`Cannot take dst: ${wanted}, got ${describeValue(value)}`);
  }
}

/** The relay in an address, however deeply nested; `undefined` for an address that leads to its peer directly. */
export function relayOf(addr: Addr): Addr | undefined {
  assertAddr(addr, 'addr');
  for (let at: unknown = addr; typeof at === 'object' && at !== null; at = 'inner' in at ? at.inner : undefined) {
    if ('net' in at && at.net === 'relay' && 'relay' in at) return at.relay as Addr;
  }
  return undefined;
}

/** Who has this key at this address. */
export function idBehind(addr: Addr, key: PublicKey): PeerId {
  return peerIdOf(addr) ?? peerIdOfKey(key);
}

/** Whose address it is, as the swarm has proven; `undefined` when it does not know. */
export function provenId<A extends Addr>(swarm: SecureSwarm<A>, addr: A): PeerId | undefined {
  const key = swarm.knownPublicKey(addr);
  return key === undefined ? undefined : idBehind(addr, key);
}

/** Our own PeerID on a swarm. */
export function ownId<A extends Addr>(swarm: SecureSwarm<A>): PeerId {
  const [local] = swarm.localAddrs();
  return (local === undefined ? undefined : peerIdOf(local)) ?? peerIdOfKey(swarm.publicKey);
}

/** @throws {TypeError} when the swarm does not authenticate. */
export function assertSecure<A extends Addr>(swarm: SecureSwarm<A>): void {
  if (typeof swarm?.tell === 'function' && typeof swarm.knownPublicKey === 'function') return;
  throw new TypeError(
    `Cannot take swarm: expected one that authenticates (tcp, quic, p2pke …), got ${describeValue(swarm)}`,
  );
}
