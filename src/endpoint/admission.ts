/** Decides about peers: identity and trust during the handshake, then `accept`, which may be asynchronous. */

import { type Addr, ipOf } from '../core/addr.ts';
import type { AcceptPeer } from '../core/accept.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import { keyOf } from '../identity/quic-identity.ts';
import type { CounterSet } from '../swarm-kit/counter-set.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';
import { ALERT, type Judged } from '../protocols/quic/endpoint-options.ts';
import { AcceptGate, type PendingVerdict } from '../sessions/accept-gate.ts';
import type { Peer } from './connection-hooks.ts';
import type { ResolvedEndpointOptions } from './options.ts';
import type { Distrust } from './trust.ts';

/** A peer without a certificate. */
const NOBODY: Peer = { authenticated: false, id: undefined, publicKey: undefined };

const NOT_ACCEPTED: Distrust = { alert: ALERT.ACCESS_DENIED, code: 'refused', why: 'accept refused it' };

/** What admission needs of its endpoint. */
export interface AdmissionHooks<A extends Addr> {
  readonly realm: Realm;
  readonly counters: CounterSet;
  /** The address of the peer of a connection. */
  addrOf(connection: QuicConnection): A | undefined;
  /** `accept` has answered for a connection that was pending. */
  decided(connection: QuicConnection, accepted: boolean): void;
}

/** What a dial expects of its peer. */
export interface Expected {
  readonly peerId: PeerId | undefined;
  readonly serverName: string | undefined;
  /** Called when another peer answered. */
  found(peerId: PeerId): void;
}

export class Admission<A extends Addr> {
  readonly #hooks: AdmissionHooks<A>;
  readonly #resolved: ResolvedEndpointOptions<A>;
  readonly #gate: AcceptGate<A>;
  /** Identities that peers have proven. */
  readonly #proven = new WeakMap<QuicConnection, Peer>();
  /** Why peers were refused. */
  readonly #refused = new WeakMap<QuicConnection, Distrust>();
  /** Connections whose peers `accept` has not decided about. Bounded by the gate. */
  readonly #pending = new Map<QuicConnection, PendingVerdict>();

  constructor(resolved: ResolvedEndpointOptions<A>, hooks: AdmissionHooks<A>) {
    const { realm, counters } = hooks;
    this.#resolved = resolved;
    this.#hooks = hooks;
    this.#gate = new AcceptGate({
      realm,
      accept: resolved.options.accept,
      onFault: ({ addr }, cause) => {
        counters.countDrop('handler_error');
        const atMs = realm.nowMs();
        realm.trace?.({ layer: 'endpoint', type: 'handler_error', atMs, addr, reason: 'accept', cause });
      },
    });
  }

  /** Judges a peer that has proven its key. @returns `undefined` to accept it, an alert to refuse it, or `'pending'` */
  judge({ connection, chain }: Judged, expected: Expected | undefined): number | 'pending' | undefined {
    const publicKey = keyOf(chain[0]!);
    const addr = this.#hooks.addrOf(connection);
    if (publicKey === undefined) return ALERT.UNSUPPORTED_CERTIFICATE;
    if (addr === undefined) return ALERT.ACCESS_DENIED;
    const { trust, fingerprint } = this.#resolved;
    const id = peerIdOfKey(publicKey, fingerprint);
    if (trust.authenticates) this.#proven.set(connection, { authenticated: true, id, publicKey });
    if (expected?.peerId !== undefined && expected.peerId !== id) {
      expected.found(id);
      return ALERT.BAD_CERTIFICATE;
    }
    const side = connection.side;
    const serverName = expected === undefined ? undefined : (expected.serverName ?? trust.serverName);
    const peer = { peerId: id, certificates: chain, side };
    const distrust = trust.judge(peer, serverName, this.#hooks.realm.wallMs());
    if (distrust !== undefined) return this.#refuse(connection, distrust, 'endpoint.not_trusted');
    const question = acceptPeer(connection, id, publicKey, addr);
    const verdict = this.#gate.ask(question, ipOf(addr) ?? addr.text, (accepted) => {
      if (!this.#pending.delete(connection)) return;
      if (!accepted) this.#refuse(connection, NOT_ACCEPTED, 'endpoint.not_accepted');
      this.#hooks.decided(connection, accepted);
    });
    if (verdict === true) return undefined;
    if (verdict === false) return this.#refuse(connection, NOT_ACCEPTED, 'endpoint.not_accepted');
    this.#pending.set(connection, verdict);
    return 'pending';
  }

  /** Whether `accept` has not answered yet. */
  isPending(connection: QuicConnection): boolean {
    return this.#pending.has(connection);
  }

  /** The identity that the peer of a connection has proven. */
  peerOf(connection: QuicConnection): Peer {
    return this.#proven.get(connection) ?? NOBODY;
  }

  /** Why the peer of a connection was refused, if it was. */
  refusalOf(connection: QuicConnection): Distrust | undefined {
    return this.#refused.get(connection);
  }

  /** The connection has ended. */
  forget(connection: QuicConnection): void {
    this.#pending.get(connection)?.cancel();
    this.#pending.delete(connection);
  }

  /** Asks `accept` again about the peers of open connections; `end` is called for those that it refuses. */
  recheck(connections: readonly QuicConnection[], end: (connection: QuicConnection) => void): Promise<void> {
    return this.#gate.recheck(
      connections.flatMap((connection) => {
        const { id, publicKey } = this.peerOf(connection);
        const addr = this.#hooks.addrOf(connection);
        if (id === undefined || publicKey === undefined || addr === undefined) return [];
        const refuse = (): void => {
          if (connection.state === 'closed') return;
          this.#hooks.counters.countDrop('endpoint.not_accepted');
          end(connection);
        };
        return [[acceptPeer(connection, id, publicKey, addr), refuse] as const];
      }),
    );
  }

  close(): void {
    this.#gate.close();
  }

  #refuse(
    connection: QuicConnection,
    distrust: Distrust,
    drop: 'endpoint.not_trusted' | 'endpoint.not_accepted',
  ): number {
    this.#hooks.counters.countDrop(drop);
    this.#refused.set(connection, distrust);
    return distrust.alert;
  }
}

function acceptPeer<A extends Addr>(
  connection: QuicConnection,
  id: PeerId,
  publicKey: AcceptPeer['publicKey'],
  addr: A,
): AcceptPeer<A> {
  return { id, publicKey, addr, side: connection.side };
}
