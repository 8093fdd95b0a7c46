/** TCP swarms over Noise on a network in memory, in virtual time. */

import { type FlatNetwork, flatNetwork, type FlatNetworkOptions } from './flat-network.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { createMemoryRealm, type MemoryRealm } from '../../src/swarms/memory/index.ts';
import { openTcpSwarm, type TcpSwarm, type TcpSwarmOptions } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** Hosts that can reach each other. */
export interface TcpWorld {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly network: FlatNetwork;
  /** Opens a swarm with the test key `i` at port 4000 of the host with this IP. */
  readonly open: (i: number, ip: string, options?: Partial<TcpSwarmOptions>) => Promise<TcpSwarm>;
  /** Lets time go on until the promise settles. */
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
}

export function tcpWorld({
  realmSeed = 5,
  ...links
}: Partial<FlatNetworkOptions> & { readonly realmSeed?: number } = {}): TcpWorld {
  const realm = createMemoryRealm({ clock: 'virtual', seed: realmSeed });
  const network = flatNetwork({ realm, ...links });
  const run = <T>(promise: Promise<T>): Promise<T> => realm.clock.run(promise);
  return {
    realm,
    network,
    open: (i, ip, options) => {
      const common = { security: 'noise', realm, network: network.host(ip), bind: `${ip}:4000` } as const;
      return run(openTcpSwarm({ privateKey: testKey(i), ...common, ...options }));
    },
    run,
  };
}
