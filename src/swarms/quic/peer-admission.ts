/** Which peers a QUIC swarm admits: identity inside the handshake, then `accept`, which may answer later. */

import type { Accept, AcceptPeer } from '../../core/accept.ts';
import { type Addr, ipOf } from '../../core/addr.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Realm } from '../../core/realm.ts';
import type { PublicKey } from '../../core/secure.ts';
import { keyOf } from '../../identity/quic-identity.ts';
import type { QuicConnection } from '../../protocols/quic/connection.ts';
import { ALERT, type Judged } from '../../protocols/quic/endpoint-options.ts';
import { AcceptGate, type PendingVerdict } from '../../sessions/accept-gate.ts';
import { quicAddr, type QuicAddr } from './address.ts';
import { CODE } from './codes.ts';

/** What the admission needs of the sessions. */
export interface PeerAdmissionHooks<I extends Addr> {
  readonly realm: Realm;
  readonly accept: Accept<QuicAddr<I>> | undefined;
  readonly peerIdOf: (key: PublicKey) => PeerId;
  /** The peer that a connection was dialled for; `undefined` for an incoming one. */
  expected(connection: QuicConnection): PeerId | undefined;
  /** Another peer answered a dial. */
  found(connection: QuicConnection, id: PeerId): void;
  placeOf(connection: QuicConnection): I | undefined;
  /** `accept` has answered yes for a connection that was pending. */
  accepted(connection: QuicConnection): void;
  /** A refusal, to be counted. */
  refused(): void;
  /** `accept` threw, or returned no boolean. */
  fault(addr: QuicAddr<I>, cause: unknown): void;
  scheduleFlush(): void;
}

export class PeerAdmission<I extends Addr> {
  readonly #hooks: PeerAdmissionHooks<I>;
  readonly #gate: AcceptGate<QuicAddr<I>>;
  /** Connections without a verdict. Bounded by the gate. */
  readonly #pending = new Map<QuicConnection, PendingVerdict>();
  /** Refused connections, until they have ended. */
  readonly #refused = new WeakSet<QuicConnection>();

  constructor(hooks: PeerAdmissionHooks<I>) {
    const { realm, accept } = hooks;
    this.#hooks = hooks;
    this.#gate = new AcceptGate({ realm, accept, onFault: ({ addr }, cause) => hooks.fault(addr, cause) });
  }

  isPending(connection: QuicConnection): boolean {
    return this.#pending.has(connection);
  }

  /** Whether `accept` has refused it. */
  isRefused(connection: QuicConnection): boolean {
    return this.#refused.has(connection);
  }

  /** The judge of the machine. */
  judge({ connection, chain }: Judged): number | 'pending' | undefined {
    const hooks = this.#hooks;
    const key = keyOf(chain[0]!);
    if (key === undefined) return ALERT.UNSUPPORTED_CERTIFICATE;
    const id = hooks.peerIdOf(key);
    const expected = hooks.expected(connection);
    if (expected !== undefined && expected !== id) {
      hooks.found(connection, id);
      return ALERT.BAD_CERTIFICATE;
    }
    const place = hooks.placeOf(connection);
    if (place === undefined) return ALERT.ACCESS_DENIED;
    const settle = (accepted: boolean): void => this.#settle(connection, accepted);
    const verdict = this.#gate.ask(peerOf(connection, id, key, place), ipOf(place) ?? place.text, settle);
    if (verdict === true) return undefined;
    if (verdict !== false) {
      this.#pending.set(connection, verdict);
      return 'pending';
    }
    this.#refuse(connection);
    return ALERT.ACCESS_DENIED;
  }

  /** Asks `accept` again about the peers of sessions, and closes the connections of those that it refuses. */
  recheck(
    sessions: Iterable<{ readonly peer: PeerId; readonly publicKey: PublicKey; readonly connection: QuicConnection }>,
  ): Promise<void> {
    return this.#gate.recheck(
      [...sessions].map(({ peer, publicKey, connection }) => {
        const end = (): void => {
          if (connection.state === 'closed') return;
          this.#hooks.refused();
          this.#close(connection);
        };
        return [peerOf(connection, peer, publicKey, this.#hooks.placeOf(connection)!), end] as const;
      }),
    );
  }

  /** The connection is over. */
  forget(connection: QuicConnection): void {
    this.#pending.get(connection)?.cancel();
    this.#pending.delete(connection);
  }

  close(): void {
    this.#gate.close();
  }

  #settle(connection: QuicConnection, accepted: boolean): void {
    if (!this.#pending.delete(connection) || connection.state === 'closed') return;
    if (accepted) this.#hooks.accepted(connection);
    else {
      this.#refuse(connection);
      this.#close(connection);
    }
  }

  #refuse(connection: QuicConnection): void {
    this.#refused.add(connection);
    this.#hooks.refused();
  }

  #close(connection: QuicConnection): void {
    connection.close(CODE.NOT_ACCEPTED, 'not accepted');
    this.#hooks.scheduleFlush();
  }
}

function peerOf<I extends Addr>(
  connection: QuicConnection,
  id: PeerId,
  publicKey: PublicKey,
  inner: I,
): AcceptPeer<QuicAddr<I>> {
  const { side } = connection;
  return { id, publicKey, addr: quicAddr(id, inner), side };
}
