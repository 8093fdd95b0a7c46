/** A node on a virtual internet that begins with others, over TCP. */

import type { Candidate, CandidateSource } from '../../src/core/candidate.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import {
  bootstrap,
  type BootstrapFrom,
  type BootstrapOptions,
  type BootstrapResult,
  contacts,
  type ContactsOptions,
} from '../../src/discovery/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { openTcpSwarm, type TcpSwarm, type TcpSwarmOptions } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { VirtualWorld } from './virtual-world.ts';

export const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);

/** A source with a fixed list, as a cache or the LAN would name them. */
export function named(name: string, addrs: readonly string[], more: Partial<CandidateSource> = {}): CandidateSource {
  const candidate = (addr: string): Candidate => ({
    id: addr.slice(0, 43) as PeerId,
    addr,
    source: name,
    seenMs: 1,
    expiresMs: Infinity,
    trust: 'reached',
  });
  return { candidates: () => addrs.map(candidate), ...more };
}

/** Alice, who begins, and others. */
export class BootstrapWorld extends VirtualWorld {
  readonly swarms: TcpSwarm[] = [];
  readonly alice: VirtualHost = this.net.host();
  dialled: [number, string][] = [];

  async peer(
    i: number,
    options: Partial<TcpSwarmOptions> = {},
    host: VirtualHost = this.net.host(),
  ): Promise<TcpSwarm> {
    const { realm, network } = host;
    const swarm = await this.run(
      openTcpSwarm({ realm, network, privateKey: testKey(i), security: 'noise', ...options }),
    );
    this.swarms.push(swarm);
    return swarm;
  }

  contacts(list: readonly string[], options: ContactsOptions = {}): BootstrapFrom {
    const source = contacts(list, { realm: this.realm, ...options });
    return { name: 'contacts', source };
  }

  /** From alice, the first swarm. */
  async begin(options: Partial<BootstrapOptions>): Promise<BootstrapResult> {
    const swarm = this.swarms[0]!;
    const run = bootstrap({
      realm: this.realm,
      self: idOf(1),
      ownAddrs: () => swarm.localAddrs().map(({ text }) => text),
      attempt: async ({ addr }, { signal }) => {
        this.dialled.push([this.realm.nowMs(), addr]);
        await swarm.lookupPublicKey(addr, { signal });
        return { peer: swarm.parseAddr(addr).id, proof: 'dialled' };
      },
      sources: [],
      ...options,
    });
    return this.run(run.ready);
  }

  async close(): Promise<void> {
    await this.run(Promise.all(this.swarms.map((swarm) => swarm.close())));
  }
}

export const openBootstrapWorld = async (): Promise<BootstrapWorld> => {
  const world = new BootstrapWorld({ seed: 11, trace: undefined });
  await world.peer(1, {}, world.alice);
  return world;
};

/** Reasons of refused candidates by the last part of their addresses. */
export const reasonsOf = (result: BootstrapResult): Record<string, string> =>
  Object.fromEntries(result.refused.map(({ candidate: { addr }, reason }) => [addr.slice(44), reason]));
