/** The two networks that a simulation can run on, behind one interface. */

import type { SeededRandom } from '../../base/seeded-random.ts';
import type { AskSwarm } from '../../core/ask.ts';
import type { ClockedRealm } from '../../core/realm.ts';
import type { PublicKey, SecureAskSwarm } from '../../core/secure.ts';
import { type MemoryAddr, memoryAddr } from '../../net/memory/address.ts';
import type { LinkConfig } from '../../net/memory/links.ts';
import type { PacketEvent } from '../../net/packet-event.ts';
import { createVirtualInternet } from '../../net/virtual/internet.ts';
import type { NatKind } from '../../net/virtual/nat-rules.ts';
import type { VirtualHost, VirtualNat } from '../../net/virtual/types.ts';
import type { VirtualClock } from '../../runtime/virtual-clock.ts';
import { createMemoryRealm } from '../../swarms/memory/realm.ts';
import type { InternetNetwork, MemoryNetwork } from './options.ts';

/** A network of nodes with indexes. */
export interface World {
  readonly clock: VirtualClock;
  realmOf(index: number): ClockedRealm;
  host(index: number): VirtualHost;
  swarm(index: number): AskSwarm<MemoryAddr>;
  secureSwarm(index: number, key: PublicKey): SecureAskSwarm<MemoryAddr>;
  /** The machine is gone, and its peers hear nothing of it. */
  crash(index: number): void;
  /** Undoes {@link World.crash}. */
  revive(index: number): void;
  /** @param netem - `undefined`: without loss or latency of their own. */
  setLinks(netem: LinkConfig | undefined): void;
  partition(parts: readonly (readonly number[])[]): void;
  heal(): void;
}

/** What a world is made with. */
export interface WorldOptions {
  readonly seed: string;
  readonly nodes: number;
  readonly random: SeededRandom;
  readonly onPacket: (event: PacketEvent) => void;
}

/** @throws {TypeError | RangeError} for wrong options of the network. */
export function createWorld(network: MemoryNetwork | InternetNetwork, options: WorldOptions): World {
  return network.kind === 'memory' ? memoryWorld(network, options) : internetWorld(network, options);
}

function memoryWorld(network: MemoryNetwork, { seed, onPacket }: WorldOptions): World {
  const realm = createMemoryRealm({
    clock: 'virtual',
    seed,
    mtu: network.mtu,
    netem: network.netem,
    onPacket,
  });
  return {
    clock: realm.clock,
    realmOf: () => realm,
    host: () => {
      throw new TypeError("Cannot take the host of a node: that needs network: 'internet'");
    },
    swarm: (index) => realm.swarm(index),
    secureSwarm: (index, key) => realm.secureSwarm(key, index),
    crash: (index) => realm.drop(index),
    revive: () => {},
    setLinks: (netem) => realm.setNetem(netem ?? 'perfect'),
    partition: (parts) => realm.partition(...parts.map((part) => part.map((index) => memoryAddr(index)))),
    heal: () => realm.heal(),
  };
}

function internetWorld(network: InternetNetwork, options: WorldOptions): World {
  const { seed, nodes, random, onPacket } = options;
  const realm = createMemoryRealm({ clock: 'virtual', seed });
  const { latencyMs, ipv6 } = network;
  const internet = createVirtualInternet({ realm, seed, latencyMs, ipv6, onPacket });
  const hosts: VirtualHost[] = [];
  const outermost: (VirtualHost | VirtualNat)[] = [];
  for (let index = 0; index < nodes; index++) {
    const kind = natOf(network.nat, index, random);
    const nat = kind === 'open' ? undefined : internet.nat(kind);
    const host = internet.host({ behind: nat, link: network.netem });
    hosts.push(host);
    outermost.push(nat ?? host);
  }
  return {
    clock: realm.clock,
    realmOf: (index) => hosts[index]!.realm,
    host: (index) => hosts[index]!,
    swarm: onlyInMemory,
    secureSwarm: onlyInMemory,
    crash: (index) => hosts[index]!.down(),
    revive: (index) => hosts[index]!.up(),
    setLinks: (netem) => {
      for (const host of hosts) host.setLink(netem);
    },
    partition: (parts) => internet.partition(...parts.map((part) => part.map((index) => outermost[index]!))),
    heal: () => internet.heal(),
  };
}

function onlyInMemory(): never {
  throw new TypeError("Cannot make a memory swarm: that needs network: 'memory'; open a swarm on context.host");
}

function natOf(nat: InternetNetwork['nat'], index: number, random: SeededRandom): NatKind {
  if (nat === undefined) return 'open';
  if (typeof nat === 'string') return nat;
  if (typeof nat === 'function') return nat(index);
  const total = nat.reduce((sum, [, weight]) => sum + weight, 0);
  let at = random.next() * total;
  for (const [kind, weight] of nat) {
    at -= weight;
    if (at < 0) return kind;
  }
  return nat.at(-1)?.[0] ?? 'open';
}
