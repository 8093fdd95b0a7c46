/** DHTs of many nodes in virtual time: they join one after the other, and look up what nobody is at. */

import { fromHex } from '../../src/base/bytes.ts';
import { decodePeerId, encodePeerId } from '../../src/core/peer-id.ts';
import { type Dht, openDht } from '../../src/overlay/kademlia/index.ts';
import type { DhtOptions } from '../../src/overlay/kademlia/options.ts';
import { closerTo, KeySpace, keyText, type KeyText } from '../../src/protocols/kademlia/position.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import type { Simulation, SimulationOptions } from '../../src/testing/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** How many of the closest nodes a lookup should find: the `k` of the DHT. */
const K = 16;
/** Its network name. */
export const SIMULATED_NETWORK = 'simulation';
const SPACE = new KeySpace(SIMULATED_NETWORK);

/** What a DHT of a simulation is like. */
export interface DhtSimulation {
  readonly nodes: number;
  readonly seed?: number | undefined;
  /** Share of messages that are lost. @default 0.1 */
  readonly loss?: number | undefined;
  /** @default one for each node */
  readonly lookups?: number | undefined;
  /** How long lookups go on. @default 60 000 */
  readonly durationMs?: number | undefined;
  /** @default none */
  readonly halfLifeMs?: number | undefined;
  readonly dht?: Partial<DhtOptions<MemoryAddr>> | undefined;
}

/** A simulation whose metrics are `overlap` (with the true nearest), `hops`, `asked`, `lookupMs`, and the attempts `lookup`. */
export function dhtSimulation(given: DhtSimulation): SimulationOptions<Dht<MemoryAddr>> {
  const { nodes, seed = 1, loss = 0.1, lookups = nodes, durationMs = 60_000, halfLifeMs } = given;
  return {
    name: 'dht',
    nodes,
    seed,
    durationMs: durationMs + 10_000,
    openEveryMs: Math.max(1, 60_000 / nodes),
    network: { kind: 'memory', netem: { latencyMs: 20, loss } },
    churn: halfLifeMs === undefined ? undefined : { halfLifeMs, downMs: 60_000, spared: 3 },
    open: async ({ index, secureSwarm, random }) => {
      const privateKey = testKey(index);
      const known = `${Math.floor(random.next() * index)}`;
      const bootstrap = index === 0 ? [] : [known, '0', '1'];
      const swarm = secureSwarm(privateKey.publicKey);
      const dht = await openDht(swarm, { networkName: SIMULATED_NETWORK, privateKey, bootstrap, ...given.dht });
      await dht.ready;
      return dht;
    },
    run: async (simulation) => {
      // What belongs to the joins is over.
      await simulation.sleep(2000);
      simulation.count('joined', simulation.size);
      const pending: Promise<void>[] = [];
      for (let i = 0; i < lookups; i++) {
        pending.push(lookUp(simulation));
        await simulation.sleep(durationMs / lookups);
      }
      await Promise.all(pending);
    },
  };
}

/** Looks up a place at which nobody is, and compares with the nodes that are closest to it. */
async function lookUp(simulation: Simulation<Dht<MemoryAddr>>): Promise<void> {
  const [, dht] = simulation.any();
  const id = encodePeerId(Uint8Array.from({ length: 32 }, () => Math.floor(simulation.random.next() * 256)));
  const place = SPACE.ofPeer(keyText(decodePeerId(id)!));
  const startedAtMs = simulation.nowMs;
  try {
    const { peers, explain } = await dht.findNode(id);
    const found = new Set(peers.map((peer) => peer.id));
    const nearest = nearestOf(simulation, place, dht);
    const overlap = nearest.filter((each) => found.has(each.id)).length / nearest.length;
    simulation.attempt('lookup', overlap > 0);
    simulation.measure('overlap', overlap);
    simulation.measure('hops', explain.hops);
    simulation.measure('asked', explain.asked);
    simulation.measure('lookupMs', simulation.nowMs - startedAtMs);
  } catch {
    // A node that goes in the middle of its own lookup is no failure of the DHT.
    simulation.count('cut short');
  }
}

/** Places by node. Bounded by the nodes of a simulation, which go with it. */
const PLACES = new WeakMap<Dht<MemoryAddr>, KeyText>();

function nearestOf(simulation: Simulation<Dht<MemoryAddr>>, place: KeyText, asker: Dht<MemoryAddr>): Dht<MemoryAddr>[] {
  const placeOf = (dht: Dht<MemoryAddr>): KeyText => {
    let known = PLACES.get(dht);
    if (known === undefined) PLACES.set(dht, (known = keyText(fromHex(dht.inspect().position))));
    return known;
  };
  const others = simulation.running().flatMap(([, dht]) => (dht === asker ? [] : [dht]));
  return others.toSorted((a, b) => closerTo(place, placeOf(a), placeOf(b))).slice(0, K);
}
