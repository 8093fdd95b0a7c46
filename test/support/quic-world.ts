/** QUIC swarms on one memory realm, in virtual time. */

import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import {
  createMemoryRealm,
  type MemoryAddr,
  type MemoryRealm,
  type MemoryRealmOptions,
} from '../../src/swarms/memory/index.ts';
import { quic, type QuicSwarm, type QuicSwarmOptions } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

export type Quic = QuicSwarm<MemoryAddr>;

export interface QuicWorld {
  readonly realm: MemoryRealm<VirtualClock>;
  /** Opens a swarm with the test key `i`. */
  readonly open: (i: number, options?: Partial<QuicSwarmOptions<MemoryAddr>>) => Quic;
  /** Lets time go on until the promise settles. */
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  readonly pass: (ms: number) => Promise<void>;
}

/** @param options - of the realm; datagrams have 1500 bytes. */
export function quicWorld(options: MemoryRealmOptions = {}): QuicWorld {
  const realm = createMemoryRealm({ mtu: 1500, ...options, clock: 'virtual' });
  return {
    realm,
    open: (i, more = {}) => quic(realm.swarm(), { privateKey: testKey(i), ...more }),
    run: (promise) => realm.clock.run(promise),
    pass: (ms) => realm.clock.advance(ms),
  };
}
