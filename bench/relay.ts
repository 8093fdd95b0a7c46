/**
 * What a relay costs: a datagram of 1200 bytes through it, in memory, beside one that takes two hops without one; and asks over QUIC on loopback
 * that go through a relay, beside asks that go directly. All ends and the relay share one process, so a relayed ask has the
 * relay's work in it too.
 */

import type { Addr, AskSwarm, SecureSwarm } from 'shoal';
import { generateKey, type PrivateKey } from 'shoal/keys';
import { createMemoryRealm } from 'shoal/memory';
import { relaySwarm, type RelayService, serveRelay } from 'shoal/nat';
import { p2pke } from 'shoal/p2pke';
import { loadQuicEngine, openQuicSwarm, quic } from 'shoal/quic';
import { openTcpSwarm } from 'shoal/tcp';
import { openUdpSwarm } from 'shoal/udp';
import { type Bench, type Claim, counted, type Measure, median } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';

const BATCH = 200;
const IN_FLIGHT = 64;
const TWO_HOPS = 'two hops in memory';
const THROUGH = 'a relay in memory';
const DIRECT = 'asks over QUIC, directly';
/** Without limits: they are not what is measured. */
const UNLIMITED = {
  maxPeersPerSource: 128,
  bytesPerSecond: Infinity,
  bytesPerSecondPerSource: Infinity,
  totalBytesPerSecond: Infinity,
};

type Ask = AskSwarm<Addr>;

/** Datagrams a second from one end to the other. */
interface Way {
  readonly send: () => void;
  readonly received: () => number;
}

/** Milliseconds until so many have come. */
async function sendAll({ send, received }: Way, count: number): Promise<number> {
  const before = received();
  const start = performance.now();
  for (let sent = 0; received() - before < count;) {
    for (let i = 0; i < BATCH && sent < count; i++, sent++) send();
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  return performance.now() - start;
}

const key = (i: number) => ({ algorithm: 'bench', spki: Uint8Array.of(i) });

function twoHops(): Way {
  const realm = createMemoryRealm({ mtu: 1500 });
  const [alice, middle, bob] = [1, 2, 3].map((i) => realm.secureSwarm(key(i)));
  let received = 0;
  bob!.listen(() => void received++);
  middle!.listen(({ payload }) => void middle!.tell(bob!.addr, payload));
  const [payload, dst] = [new Uint8Array(1234), middle!.addr];
  return { send: () => void alice!.tell(dst, payload), received: () => received };
}

async function throughRelay(): Promise<Way & { readonly service: RelayService<Addr> }> {
  const realm = createMemoryRealm({ mtu: 1500 });
  const [alice, relay, bob] = [1, 2, 3].map((i) => realm.secureSwarm(key(i)));
  const service = serveRelay(relay!, UNLIMITED);
  const [from, to] = [relaySwarm(alice!), relaySwarm(bob!)];
  await Promise.all([from.reserve(relay!.addr), to.reserve(relay!.addr)]);
  let received = 0;
  to.listen(() => void received++);
  const [payload, dst] = [new Uint8Array(1200), to.addr];
  return {
    send: () => void from.tell(dst, payload),
    received: () => received,
    service: service as unknown as RelayService<Addr>,
  };
}

/** Milliseconds for so many asks, 64 in flight. */
async function asks([alice, bob]: Pair, count: number): Promise<number> {
  const request = new Uint8Array(100);
  const start = performance.now();
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await alice.ask(bob.addr, request);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return performance.now() - start;
}

/** Two ends, and the relay between them. */
type Pair = readonly [Ask, Ask, ...Closable[]];
type Closable = { readonly close: () => Promise<void> };

function serving(pair: readonly unknown[]): Pair {
  const both = pair as Pair;
  both[1].serve(({ payload }) => payload);
  return both;
}

async function relayedPair<A extends Addr>(open: (privateKey: PrivateKey) => Promise<SecureSwarm<A>>): Promise<Pair> {
  const relay = await open(generateKey());
  serveRelay(relay, UNLIMITED);
  const join = async () => {
    const privateKey = generateKey();
    const through = relaySwarm(await open(privateKey));
    await through.reserve(relay.addr);
    return quic(through, { privateKey });
  };
  return serving([await join(), await join(), relay]);
}

const bind = '127.0.0.1:0';
const PAIRS: Readonly<Record<string, () => Promise<Pair>>> = {
  [DIRECT]: async () =>
    serving(await Promise.all([1, 2].map(() => openQuicSwarm({ privateKey: generateKey(), bind })))),
  'asks over QUIC, relayed over p2pke and UDP': () =>
    relayedPair(async (privateKey) => p2pke(await openUdpSwarm({ bind, maxDatagramBytes: 1300 }), { privateKey })),
  'asks over QUIC, relayed over TLS': () => relayedPair((privateKey) => openTcpSwarm({ privateKey, bind })),
};

/** The bench: `npm run bench -- relay`. */
export const relayBench: Bench = {
  name: 'relay',
  question: 'What does a relay cost a datagram, and an ask over QUIC?',
  prepare: () => {
    let relayed: Awaited<ReturnType<typeof throughRelay>> | undefined;
    const open: Lazy<unknown>[] = [];
    const measure = <T>(
      name: string,
      unit: string,
      first: number,
      start: () => Promise<T>,
      run: (way: T, count: number) => Promise<number>,
    ): Measure => {
      const way = new Lazy(start);
      open.push(way);
      return { name, unit, round: counted(async (count) => run(await way.get(), count), first) };
    };
    const pairs = Object.entries(PAIRS).map(([name, start]) =>
      measure(
        name,
        'asks/s',
        500,
        async () => {
          await loadQuicEngine();
          const pair = await start();
          return { pair, [Symbol.asyncDispose]: () => Promise.all(pair.map((swarm) => swarm.close())) };
        },
        ({ pair }, count) => asks(pair, count),
      ),
    );
    const claims: Claim[] = [{ subject: THROUGH, baseline: TWO_HOPS }];
    for (const { name } of pairs) if (name !== DIRECT) claims.push({ subject: name, baseline: DIRECT });
    return {
      measures: [
        measure(TWO_HOPS, 'datagrams/s', 50_000, () => Promise.resolve(twoHops()), sendAll),
        measure(THROUGH, 'datagrams/s', 50_000, async () => (relayed = await throughRelay()), sendAll),
        ...pairs,
      ],
      claims,
      controls: [
        {
          what: 'the relay passed on all datagrams, and dropped none',
          of: THROUGH,
          needs: [THROUGH],
          holds: () => {
            const { sent, drops } = relayed!.service.counters;
            return sent === relayed!.received() && drops.size === 0;
          },
        },
      ],
      notes: (figures) => {
        const [hops, through] = [figures.get(TWO_HOPS), figures.get(THROUGH)];
        if (hops === undefined || through === undefined) return [];
        const own = through.map((rate, i) => 1e9 / rate - 1e9 / hops[i]!);
        return [`a relay and its two clients cost a datagram ${Math.round(median(own))} ns`];
      },
      [Symbol.asyncDispose]: () => endAll(open),
    };
  },
};
