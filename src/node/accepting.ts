/** Calls `accept` for the peers of a node. */

import { formatSocketAddress } from '../base/ip.ts';
import { type IpAddr, makeAddr } from '../core/addr.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import { type Fingerprint, peerIdOfKey } from '../identity/fingerprints.ts';
import { AcceptGate, askUntilAborted } from '../sessions/accept-gate.ts';
import type { TcpConnection } from './connection.ts';
import type { NodeAccept, NodeAcceptPeer } from './options.ts';
import type { NodeCount } from './stats.ts';
import { trace } from './trace.ts';

export class Accepting {
  readonly #gate: AcceptGate<IpAddr>;
  readonly #fingerprint: Fingerprint;

  constructor(accept: NodeAccept, fingerprint: Fingerprint, realm: Realm, count: NodeCount) {
    this.#fingerprint = fingerprint;
    this.#gate = new AcceptGate<IpAddr>({
      realm,
      // Every peer passed here comes from `#peer`.
      accept: (peer) => accept(peer as NodeAcceptPeer),
      onFault: (peer, cause) => {
        count.hookErrors++;
        trace(realm, 'handler_error', peer.addr, 'accept', cause);
      },
    });
  }

  /** Whether a peer that has proven `publicKey` is admitted. False for a connection that is aborted meanwhile. */
  ask(connection: TcpConnection, publicKey: PublicKey, signal: AbortSignal): Promise<boolean> {
    const peer = this.#peer(connection, publicKey);
    return askUntilAborted((settle) => this.#gate.ask(peer, connection.ip, settle), signal);
  }

  /** Asks again; calls `end` for each refused peer. */
  recheck<C extends TcpConnection>(connections: readonly C[], end: (connection: C) => void): Promise<void> {
    return this.#gate.recheck(
      connections.map((connection) => [this.#peer(connection, connection.publicKey!), () => end(connection)]),
    );
  }

  /** Refuses all pending peers. */
  close(): void {
    this.#gate.close();
  }

  #peer(connection: TcpConnection, publicKey: PublicKey): NodeAcceptPeer {
    const { ip, port, side } = connection;
    const addr = makeAddr<IpAddr>({ ip, port, text: formatSocketAddress(ip, port) });
    return { id: peerIdOfKey(publicKey, this.#fingerprint), publicKey, addr, side, connection };
  }
}
