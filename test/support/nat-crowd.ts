/** Many nodes behind NATs, one helper that relays and brings them together, in virtual time: who talks with whom, and over what. */

import { createSeededRandom } from '../../src/base/seeded-random.ts';
import { encodeText } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { openObserver } from '../../src/nat/index.ts';
import type { Network } from '../../src/net/network.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import type { Peers } from '../../src/peers/index.ts';
import type { ReachKind } from '../../src/protocols/peers/reach/types.ts';
import { canBeDirect } from './nat-matrix.ts';
import { PeersWorld } from './peers-world.ts';

/**
 * Of 100 peers. Behind NATs that hole punching crosses: 64 % of all peers (Halkes and Pouwelse, UDP NAT and Firewall Puncturing in the Wild,
 * 2011). These are 82 % of the NATs (Ford, Srisuresh and Kegel, Peer-to-Peer Communication Across NATs, 2005), so 14 are behind others, and 22
 * are not behind one. How both groups divide further is not published in one place: here most of the NATs filter by address and port.
 */
export const PUBLISHED_MIX: Readonly<Record<NatKind, number>> = {
  open: 22,
  full: 12,
  address: 4,
  port: 48,
  sequential: 3,
  random: 8,
  'udp-blocked': 2,
  '443-only': 1,
};

/** How many of each kind; what rounding leaves is behind NATs that filter by port. */
export function kindsOf(peers: number): readonly NatKind[] {
  const kinds = (Object.entries(PUBLISHED_MIX) as [NatKind, number][]).flatMap(([kind, percent]) =>
    Array.from<NatKind>({ length: Math.round((peers * percent) / 100) }).fill(kind),
  );
  while (kinds.length < peers) kinds.push('port');
  return kinds.slice(0, peers);
}

export interface CrowdOptions {
  readonly peers: number;
  /** Others that each peer asks; at most all. */
  readonly partners: number;
  readonly seed: number;
  readonly latencyMs?: number;
  /** Between two asks of one peer; in all, the asks follow each other at the same distance. @default 5000 */
  readonly everyMs?: number;
  /** How long direct paths are waited for at the end, at most. */
  readonly settleMs?: number;
  readonly progress?: (line: string) => void;
}

/** What became of a pair. */
export interface CrowdPair {
  readonly a: NatKind;
  readonly b: NatKind;
  readonly isPossible: boolean;
  /** From the ask to its answer; `undefined` when there was none. */
  firstMs: number | undefined;
  /** From the ask to a path without a relay. */
  directMs: number | undefined;
  kind: ReachKind | undefined;
  /** What `explain` says, when there is no direct path in the end, although theory knows one. */
  why?: string;
  /** STUN messages to the other one's NAT, of both sides. */
  probes: number;
}

/** Between two messages of a pair that waits for a direct path. */
const SETTLE_STEP_MS = 10_000;
const PAYLOAD = encodeText('hello');
const STUN_COOKIE = [0x21, 0x12, 0xa4, 0x42];

/** A network that counts the STUN requests that leave it. */
function counting(network: Network, count: (ip: string) => void): Network {
  return {
    ...networkOf(network),
    bindUdp: async (options) => {
      const socket = await network.bindUdp(options);
      const send = socket.send.bind(socket);
      socket.send = (payload, ip, port, ttl) => {
        if (payload.length >= 20 && payload[0] === 0 && STUN_COOKIE.every((byte, i) => payload[4 + i] === byte))
          count(ip);
        send(payload, ip, port, ttl);
      };
      return socket;
    },
  };
}

const networkOf = (network: Network): Network => ({
  dial: (options) => network.dial(options),
  listen: (options) => network.listen(options),
  bindUdp: (options) => network.bindUdp(options),
  interfaces: () => network.interfaces(),
  gateways: () => network.gateways?.() ?? [],
  onInterfacesChanged: (listener) => network.onInterfacesChanged(listener),
});

class Crowd {
  readonly world: PeersWorld;
  readonly pairs = new Map<string, CrowdPair>();
  readonly #options: CrowdOptions;
  readonly #kinds: readonly NatKind[];
  readonly #nodes: Peers[] = [];
  readonly #outside: string[] = [];

  constructor(options: CrowdOptions) {
    const { seed, latencyMs = 20 } = options;
    this.#options = options;
    this.#kinds = kindsOf(options.peers);
    this.world = new PeersWorld({ latencyMs, seed, trace: undefined });
  }

  async open(): Promise<void> {
    const { world } = this;
    const { peers } = this.#options;
    const host = world.net.host({ name: 'helper' });
    const MIB = 1_048_576;
    const helper = await world.open(10_000, host, {
      bind: `${host.ip}:443`,
      serveRelay: { maxPeers: 2 * peers, maxPeersPerSource: 2 * peers, totalBytesPerSecond: 64 * MIB },
      minPeers: 0,
      exchange: false,
    });
    const observers: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { network, ip, realm } = world.net.host({ name: `observer${i}` });
      await world.run(openObserver({ bind: `${ip}:3478`, network, realm }));
      observers.push(`${ip}:3478`);
    }
    for (const [i, kind] of this.#kinds.entries()) {
      const nat = world.net.nat(kind);
      const place = world.net.host({ behind: nat });
      // Of a kind without a NAT the host itself.
      this.#outside.push(kind === 'open' ? place.ip : nat.ip);
      const network = counting(place.network, (ip) => this.#probed(i, ip));
      const options = { network, observers, minPeers: 0, exchange: false } as const;
      const node = await world.open(i, place, options);
      world.directory.addrs.delete(node.id);
      node.serve(({ payload }) => payload);
      node.maintain(helper.id);
      this.#nodes.push(node);
    }
    const hasPlace = ({ reservations }: Peers): boolean => reservations.some(({ state }) => state === 'reserved');
    for (let ms = 0; ms < 60_000 && !this.#nodes.every(hasPlace); ms += 1000) await world.advance(1000);
    const without = this.#nodes.filter((node) => !hasPlace(node)).length;
    if (without > 0) throw new Error(`${without} nodes have no place at the relay`);
    for (const node of this.#nodes) void this.#watch(node);
    await world.advance(2000);
  }

  /** In each round every node asks another one. */
  async talk(): Promise<void> {
    const { partners, everyMs = 5000, settleMs = 1_800_000, seed, progress } = this.#options;
    const count = this.#nodes.length;
    // Each distance once, so that no pair asks twice at the same time.
    const distances = Array.from({ length: count - 1 }, (_, i) => i + 1);
    const random = createSeededRandom(`partners ${seed}`);
    for (let i = distances.length - 1; i > 0; i--) {
      const j = Math.floor(random.next() * (i + 1));
      [distances[i], distances[j]] = [distances[j]!, distances[i]!];
    }
    for (const [round, distance] of distances.slice(0, partners).entries()) {
      // Not all in one instant.
      for (let i = 0; i < count; i++) {
        const atMs = Math.ceil(this.world.realm.nowMs()) + Math.floor((i * everyMs) / count);
        this.world.realm.clock.setTimer(atMs, () => this.#ask(i, (i + distance) % count));
      }
      await this.world.advance(everyMs);
      progress?.(`round ${round + 1}: ${this.#summary()}`);
    }
    for (let waited = 0; waited < settleMs && this.#missing().length > 0; waited += SETTLE_STEP_MS) {
      // Nobody punches for a session that nobody uses.
      for (const key of this.#missing()) {
        const [i, j] = placesOf(key);
        this.#nodes[i]!.tell(this.#nodes[j]!.id, PAYLOAD).catch(() => undefined);
      }
      await this.world.advance(SETTLE_STEP_MS);
      if (waited % 100_000 === 0) progress?.(`after ${waited / 1000} s: ${this.#summary()}`);
    }
    progress?.(`settled: ${this.#summary()}`);
    for (const key of this.#missing()) {
      const [i, j] = placesOf(key);
      this.pairs.get(key)!.why = [i, j]
        .map((own, at) => this.#nodes[own]!.explain(this.#nodes[at === 0 ? j : i]!.id).text)
        .join('\n');
    }
  }

  #ask(i: number, j: number): void {
    const [a, b] = [this.#kinds[i]!, this.#kinds[j]!];
    const key = keyOf(i, j);
    if (this.pairs.has(key)) return;
    const startMs = this.world.realm.nowMs();
    const isPossible = canBeDirect(a, b);
    const pair = { a, b, isPossible, firstMs: undefined, directMs: undefined, kind: undefined, probes: 0 } as CrowdPair;
    this.pairs.set(key, pair);
    this.#started.set(key, startMs);
    this.#nodes[i]!.ask(this.#nodes[j]!.id, PAYLOAD, { timeoutMs: 30_000 }).then(
      () => (pair.firstMs = this.world.realm.nowMs() - startMs),
      () => undefined,
    );
  }

  /** When the pairs began. Bounded by them. */
  readonly #started = new Map<string, number>();

  async #watch(node: Peers): Promise<void> {
    const places = new Map<PeerId, number>(this.#nodes.map(({ id }, i) => [id, i]));
    const own = places.get(node.id)!;
    for await (const change of node.changes()) {
      if ((change.type !== 'connected' && change.type !== 'path') || change.path === undefined) continue;
      const other = places.get(change.id);
      const key = keyOf(own, other ?? own);
      const pair = this.pairs.get(key);
      if (pair === undefined) continue;
      pair.kind = change.path.kind;
      if (pair.kind !== 'relay') pair.directMs ??= this.world.realm.nowMs() - this.#started.get(key)!;
    }
  }

  #probed(from: number, ip: string): void {
    const to = this.#outside.indexOf(ip);
    const pair = to === -1 ? undefined : this.pairs.get(keyOf(from, to));
    if (pair !== undefined) pair.probes++;
  }

  /** Pairs that are not direct yet, and could be. */
  #missing(): readonly string[] {
    return [...this.pairs].flatMap(([key, { isPossible, directMs }]) =>
      isPossible && directMs === undefined ? [key] : [],
    );
  }

  #summary(): string {
    const all = [...this.pairs.values()];
    const answered = all.filter(({ firstMs }) => firstMs !== undefined).length;
    const direct = all.filter(({ directMs }) => directMs !== undefined).length;
    return `${all.length} pairs, ${answered} answered, ${direct} direct, ${this.#missing().length} more could be`;
  }
}

const placesOf = (key: string): readonly [number, number] => key.split(' ').map(Number) as [number, number];

const keyOf = (i: number, j: number): string => (i < j ? `${i} ${j}` : `${j} ${i}`);

/** Opens the peers, has them talk, and closes them. */
export async function meetAll(options: CrowdOptions): Promise<readonly CrowdPair[]> {
  const crowd = new Crowd(options);
  await crowd.open();
  await crowd.talk();
  await crowd.world.close();
  return [...crowd.pairs.values()];
}

/** The value below which a share of the numbers is. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
