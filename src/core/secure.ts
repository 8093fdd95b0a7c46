/** Swarms that authenticate their peers. */

import type { Addr } from './addr.ts';
import type { Asks } from './ask.ts';
import type { Bytes } from '../base/bytes.ts';
import type { CallOptions, Swarm } from './swarm.ts';

/** A public key of any algorithm. */
export interface PublicKey {
  /** `ed25519`, `ecdsa-p256` …, or a dotted OID for an algorithm without a name here. */
  readonly algorithm: string;
  /** DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). */
  readonly spki: Bytes;
}

/** The ability to give the public key behind an address. */
export interface Secure<in out A extends Addr> {
  /** This node's own key. */
  readonly publicKey: PublicKey;

  /**
   * The key behind an address, from memory; `undefined` for text that is not an address. Always known for the `src` of
   * a message while its handler runs.
   */
  knownPublicKey(addr: A | string): PublicKey | undefined;

  /**
   * The key behind an address; contacts the peer when it is not known yet.
   *
   * @throws {P2PError} (by rejection) `unreachable`, `timeout`, `identity_mismatch`, `not_found`, `closed`.
   */
  lookupPublicKey(dst: A | string, options?: CallOptions): Promise<PublicKey>;
}

/** A swarm that authenticates. */
export interface SecureSwarm<in out A extends Addr> extends Swarm<A>, Secure<A> {}

/** A swarm that authenticates and can ask. */
export interface SecureAskSwarm<in out A extends Addr> extends Swarm<A>, Asks<A>, Secure<A> {}

/** Whether a swarm authenticates; narrows its type. */
export function isSecure<A extends Addr>(swarm: Swarm<A>): swarm is SecureSwarm<A> {
  return 'lookupPublicKey' in swarm;
}
