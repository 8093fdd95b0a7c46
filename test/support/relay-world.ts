/** A relay and peers that reach each other through it. */

import type { Addr } from '../../src/core/addr.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import {
  relayAddr,
  type RelayAddr,
  type RelayService,
  type RelayServiceOptions,
  relaySwarm,
  type RelaySwarm,
  serveRelay,
} from '../../src/nat/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import {
  createMemoryRealm,
  type MemoryAddr,
  type MemoryRealm,
  type MemoryRealmOptions,
} from '../../src/swarms/memory/index.ts';
import { p2pke, type P2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import type { SuiteFixture } from '../../src/testing/suites/index.ts';

export const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);
/** The test key of the relay. */
export const RELAY_KEY = 90;

/** A relay and its clients over secure swarms. */
export interface Relayed<A extends Addr> {
  readonly service: RelayService<A>;
  readonly relay: SecureSwarm<A>;
  readonly swarms: readonly RelaySwarm<A>[];
}

/** Makes the last of `inner` a relay, and the others its clients, all with a reservation. */
export async function throughRelay<A extends Addr>(
  inner: readonly SecureSwarm<A>[],
  run: <T>(promise: Promise<T>) => Promise<T> = (promise) => promise,
  options: RelayServiceOptions<A> = {},
): Promise<Relayed<A>> {
  const relay = inner.at(-1)!;
  const service = serveRelay(relay, {
    maxPeersPerSource: 128,
    bytesPerSecond: Infinity,
    bytesPerSecondPerSource: Infinity,
    totalBytesPerSecond: Infinity,
    maxPendingBytes: 2 ** 26,
    ...options,
  });
  const swarms = inner.slice(0, -1).map((swarm) => relaySwarm(swarm));
  await run(Promise.all(swarms.map((swarm) => swarm.reserve(relay.addr.text))));
  return { service, relay, swarms };
}

/** A world in memory, in virtual time: p2pke below, so that addresses carry PeerIDs. */
export interface RelayWorld {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  /** A secure swarm with the test key `i`. */
  readonly inner: (i: number) => SecureSwarm<P2pkeAddr<MemoryAddr>>;
}

export function relayWorld(options: MemoryRealmOptions = {}): RelayWorld {
  const realm = createMemoryRealm({ mtu: 1500, seed: 1, ...options, clock: 'virtual' });
  return {
    realm,
    run: (promise) => realm.clock.run(promise),
    inner: (i) => p2pke(realm.swarm(), { privateKey: testKey(i) }),
  };
}

/** A fixture of suites: swarms through a relay, or what `wrap` makes of them. */
export function overRelay<A extends Addr, S extends { close(): Promise<void> }>(
  open: (n: number) => Promise<{ readonly inner: readonly SecureSwarm<A>[]; readonly run?: RelayWorld['run'] }>,
  wrap: (swarm: RelaySwarm<A>, i: number) => S,
  features: SuiteFixture<S>['features'],
  more: (made: readonly S[], relay: A) => Partial<Awaited<ReturnType<SuiteFixture<S>['make']>>> = () => ({}),
): SuiteFixture<S> {
  return {
    features,
    make: async (n) => {
      const { inner, run } = await open(n + 1);
      const { swarms, service, relay } = await throughRelay(inner, run);
      const made = swarms.map((swarm, i) => wrap(swarm, i));
      return {
        swarms: made,
        ...(run === undefined ? {} : { run }),
        ...more(made, relay.addr),
        [Symbol.asyncDispose]: async () => {
          await Promise.all([...made, ...inner, service].map((each) => each.close()));
        },
      };
    },
  };
}

/** The address of a peer that is not there. */
export const nobodyAt = <A extends Addr>(relay: A): RelayAddr<A> => relayAddr(idOf(77), relay);
