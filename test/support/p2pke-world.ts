/** Peers in virtual time, for tests of p2pke. */

import type { Bytes } from '../../src/base/bytes.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { Timestamps } from '../../src/protocols/p2pke/tai64n.ts';
import {
  type MemoryAddr,
  type MemoryRealm,
  type MemoryRealmOptions,
  createMemoryRealm,
} from '../../src/swarms/memory/index.ts';
import { type P2pkeOptions, type P2pkeSwarm, p2pke } from '../../src/swarms/p2pke/index.ts';
import { createP2pkeIdentity } from '../../src/protocols/p2pke/identity.ts';
import { initiateSession } from '../../src/protocols/p2pke/session.ts';
import { testKey } from '../../src/testing/test-key.ts';

type Options = Partial<P2pkeOptions<MemoryAddr>>;
type Peer = P2pkeSwarm<MemoryAddr>;

export const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);

interface Network extends AsyncDisposable {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  /** A swarm without keys. */
  readonly inner: () => Swarm<MemoryAddr>;
  peer(key: number, more?: Options, inner?: Swarm<MemoryAddr>): Peer;
}

/** Peers in virtual time, and somebody else on the same network. */
export function network(options: MemoryRealmOptions = {}): Network {
  const realm = createMemoryRealm({ mtu: 1500, ...options, clock: 'virtual' });
  const swarms: Swarm<MemoryAddr>[] = [];
  return {
    realm,
    run: <T>(promise: Promise<T>): Promise<T> => realm.clock.run(promise),
    inner: () => {
      const swarm = realm.swarm();
      swarms.push(swarm);
      return swarm;
    },
    peer(key: number, more: Options = {}, inner: Swarm<MemoryAddr> = realm.swarm()): Peer {
      const swarm = p2pke(inner, { privateKey: testKey(key), ...more });
      swarms.push(inner);
      return swarm;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(swarms.map((swarm) => swarm.close()));
    },
  };
}

export const drops = (swarm: Peer, reason: string): number => swarm.counters.drops.get(`p2pke.${reason}`) ?? 0;
/** A hello of somebody's, signed as it should be. */
export function helloOf(key: number, wallMs: number, ephemeral: number): Bytes {
  const identity = createP2pkeIdentity({ privateKey: testKey(key), random: (length) => new Uint8Array(length) });
  const seed = new Uint8Array(32);
  new DataView(seed.buffer).setUint32(0, ephemeral + 1);
  return initiateSession(identity, 0, new Timestamps().next(wallMs), seed).message;
}
