/**
 * Finds out whether a peer that dialled this node can be dialled itself: dials the addresses that it names, with a key that exists
 * for this only, and looks which key is there. Only addresses with the IP from which the peer came are dialled, which is proven.
 */

import { type Addr, ipOf } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { SecureSwarm } from '../core/secure.ts';
import { generateKey } from '../identity/generate-key.ts';
import { connectionsOf } from '../sessions/connections.ts';
import { loadQuicEngine, quic } from '../swarms/quic/index.ts';
import { openTcpSwarm } from '../swarms/tcp/index.ts';
import { openUdpSwarm } from '../swarms/udp.ts';
import { afterFirstCalls } from './after-first-calls.ts';
import type { LiveSession } from './live-session.ts';
import type { ResolvedOptions } from './options.ts';
import type { RemotePeer } from './remote-peer.ts';
import { masked } from './own-transports.ts';

/** Addresses of one peer that are dialled. Source: crust dials back to three. */
const MAX_ADDRS = 3;
/** The time limit of each. Source: crust's is 3 s. */
const DIAL_MS = 3000;
/** Peers that are dialled back at a time; others count as clients until they connect again. */
const MAX_AT_ONCE = 8;
const NAMED = /^([a-z][a-z0-9-]*):\/\/(.+)$/;

export class DialBack {
  readonly #options: ResolvedOptions;
  /** Opened with the first dial. Bounded by the kinds of transports. */
  readonly #swarms = new Map<string, Promise<SecureSwarm<Addr>>>();
  #running = 0;
  #isClosed = false;

  constructor(options: ResolvedOptions) {
    this.#options = options;
  }

  /** Dials a peer back, once for each session, when the first calls have had time to be answered. */
  once(
    peer: RemotePeer,
    session: LiveSession,
    addrs: readonly string[],
    from: Addr,
    found: (addr: string | undefined) => void,
  ): void {
    if (peer.dialledBack === session) return;
    peer.dialledBack = session;
    afterFirstCalls(this.#options.realm, () => {
      if (peer.session === session) void this.find(peer.id, addrs, from).then(found);
    });
  }

  /**
   * Dials the addresses that a peer names. Never rejects.
   *
   * @param from - where the peer came from.
   * @returns the first address at which its key is; `undefined` when there is none.
   */
  async find(peer: PeerId, addrs: readonly string[], from: Addr): Promise<string | undefined> {
    if (this.#running >= MAX_AT_ONCE || this.#isClosed) return undefined;
    this.#running++;
    try {
      let dialled = 0;
      for (const text of addrs) {
        const [, name, rest] = NAMED.exec(text) ?? [];
        if (name === undefined || rest === undefined || !this.#options.transports.some((each) => each === name))
          continue;
        const swarm = await this.#swarm(name);
        const addr = swarm.tryParseAddr(rest);
        const isFrom = addr !== undefined && ipOf(addr) !== undefined && ipOf(addr) === ipOf(from);
        if (!isFrom || rest.slice(0, rest.indexOf('@')) !== peer) continue;
        if (++dialled > MAX_ADDRS) return undefined;
        if (await this.#isAt(swarm, peer, addr)) return text;
      }
      return undefined;
    } catch {
      return undefined; // No socket for it: the peer counts as a client.
    } finally {
      this.#running--;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([...this.#swarms.values()].map(async (opening) => (await opening).close()));
  }

  async #isAt(swarm: SecureSwarm<Addr>, peer: PeerId, addr: Addr): Promise<boolean> {
    try {
      await swarm.lookupPublicKey(addr, { timeoutMs: DIAL_MS });
      return true;
    } catch (error) {
      // Who refuses this key has proven its own before.
      return P2PError.is(error, 'refused') && error.side === 'remote';
    } finally {
      connectionsOf(swarm)?.disconnect(peer);
    }
  }

  #swarm(name: string): Promise<SecureSwarm<Addr>> {
    let opening = this.#swarms.get(name);
    if (opening === undefined) {
      opening = this.#open(name);
      this.#swarms.set(name, opening);
    }
    return opening;
  }

  async #open(name: string): Promise<SecureSwarm<Addr>> {
    const { realm, network, tcpNetwork, security, mask } = this.#options;
    const shared = { privateKey: generateKey({ random: (length) => realm.random(length) }), realm, network };
    if (name === 'tcp') return openTcpSwarm({ ...shared, network: tcpNetwork, security, mask, accept: onlyDialled });
    const udp = await openUdpSwarm({ realm, network });
    try {
      await loadQuicEngine();
      return quic(masked(udp, this.#options), { ...shared, accept: onlyDialled });
    } catch (error) {
      await udp.close();
      throw error;
    }
  }
}

/** Nobody else is let in: the peer that is dialled is looked at, and the connection is closed. */
function onlyDialled({ side }: { readonly side: string }): boolean {
  return side === 'responder';
}
