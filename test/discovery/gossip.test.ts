/** How fast a new node becomes known by gossip, what is handed on, and to whom. In virtual time, from a seed. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { peerExchange, type PeerExchange, type PeerExchangeOptions } from '../../src/discovery/index.ts';
import { defaultKeyRegistry } from '../../src/identity/ecdsa-p256.ts';
import type { KeyRegistry } from '../../src/identity/key-algorithm.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { addressedRealm, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { parseTcpAddr, type TcpAddr } from '../../src/swarms/tcp/address.ts';
import { testKey } from '../../src/testing/test-key.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';

interface Node {
  readonly id: PeerId;
  readonly swarm: SecureAskSwarm<TcpAddr>;
  readonly exchange: PeerExchange<TcpAddr>;
  /** Exchanges that it began. */
  asked: number;
}

const ROUND_MS = 1000;

/** Checks each signature once for all nodes, which in a test are one process. */
function sharedRegistry(): KeyRegistry {
  const known = new Map<string, boolean>(); // Bounded by the records of a test.
  return Object.create(defaultKeyRegistry, {
    verifier: {
      value: (spki: Uint8Array) => {
        const verifier = defaultKeyRegistry.verifier(spki);
        if (verifier === undefined) return undefined;
        const verify = (message: Uint8Array, signature: Uint8Array): boolean => {
          const key = `${toHex(message)} ${toHex(signature)}`;
          const before = known.get(key) ?? verifier.verify(message, signature);
          known.set(key, before);
          return before;
        };
        return { publicKey: verifier.publicKey, verify };
      },
    },
  }) as KeyRegistry;
}

/** Authenticated swarms in memory, with addresses that have a PeerID and an IP. */
function world(seed: number) {
  const realm = createMemoryRealm({ clock: 'virtual', seed });
  const net = addressedRealm(realm, parseTcpAddr);
  const registry = sharedRegistry();
  const node = (i: number, options: Partial<PeerExchangeOptions<TcpAddr>> = {}): Node => {
    const privateKey = testKey(i);
    const id = peerIdOfKey(privateKey.publicKey);
    const swarm = net.secureSwarm(privateKey.publicKey, parseTcpAddr(`${id}@50.${i >> 8}.${i & 255}.1:4000`));
    const made: Node = { id, swarm, asked: 0, exchange: undefined as never };
    const counted = new Proxy(swarm, {
      get: (target, name) => {
        if (name === 'ask') made.asked++;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    return Object.assign(made, {
      exchange: peerExchange(counted, { privateKey, registry, everyMs: ROUND_MS, ...options }),
    });
  };
  const meet = (a: Node, b: Node): Promise<unknown> => realm.clock.run(a.exchange.exchange(b.swarm.addr));
  const close = (nodes: readonly Node[]): Promise<unknown> => Promise.all(nodes.map(({ swarm }) => swarm.close()));
  return { realm, node, meet, close };
}

describe('gossip among 200 nodes', () => {
  for (const seed of [1]) {
    it(`makes a new node known to all in log2(200) + 2 rounds, with three exchanges a round and node (seed ${seed})`, async (t) => {
      const { realm, node, meet, close } = world(seed);
      const nodes = Array.from({ length: 200 }, (_, i) => node(i));
      // All know each other from one of them, and have reached nobody else.
      for (let turn = 0; turn < 2; turn++) for (const each of nodes.slice(1)) await meet(each, nodes[0]!);
      assert.ok(nodes.every(({ exchange }) => exchange.records.length === 199));
      const before = nodes.map(({ asked }) => asked);
      const newcomer = node(200);
      await meet(newcomer, nodes[77]!);
      const known = (): number => nodes.filter(({ exchange }) => exchange.record(newcomer.id) !== undefined).length;
      let rounds = 0;
      const growth: number[] = [known()];
      for (; rounds < 30 && known() < nodes.length; rounds++) {
        await realm.clock.advance(ROUND_MS);
        growth.push(known());
      }
      t.diagnostic(`known to ${growth.join(', ')} after each round`);
      assert.ok(rounds <= Math.log2(200) + 2, `${rounds} rounds: ${growth.join(', ')}`);
      for (const [i, { asked }] of nodes.entries()) {
        assert.ok(asked - before[i]! <= 3 * rounds, `node ${i} asked ${asked - before[i]!} times in ${rounds} rounds`);
      }
      await close([...nodes, newcomer]);
    });
  }
});

describe('what gossip hands on', () => {
  it('is no client, whose record has no addresses, but the client learns of all nodes', async () => {
    const { node, meet, close } = world(3);
    const [a, b] = [node(1), node(2)];
    const client = node(3, { kind: 'client' });
    await meet(a, b);
    await meet(client, b);
    assert.deepEqual(client.exchange.own.addrs, []);
    assert.deepEqual(client.exchange.records.map(({ id }) => id).toSorted(), [a.id, b.id].toSorted());
    await meet(a, b);
    assert.equal(b.exchange.record(client.id)?.addrs.length, 0);
    assert.equal(a.exchange.record(client.id), undefined);
    assert.equal(b.exchange.candidates(client.id).length, 0);
    await close([a, b, client]);
  });

  it('is what the program allows, for each asker, and follows its lists at once', async () => {
    const { node, meet, close } = world(4);
    const secret = new Set<PeerId>();
    const asked: string[] = [];
    const b = node(2, {
      mayHandOn: (peer, to) => {
        asked.push(`${peer} ${to}`);
        return !secret.has(peer);
      },
    });
    const [a, c, d] = [node(1), node(3), node(4)];
    await meet(c, b);
    secret.add(c.id);
    await meet(a, b);
    assert.equal(a.exchange.record(c.id), undefined);
    assert.deepEqual(asked, [`${c.id} ${a.id}`]);
    secret.clear();
    await meet(d, b);
    assert.notEqual(d.exchange.record(c.id), undefined);
    await close([a, b, c, d]);
  });

  it('is not kept of peers that the program does not want to know, from the moment on at which it says so', async () => {
    const { node, meet, close } = world(5);
    const denied = new Set<PeerId>();
    const a = node(1, { mayKeep: (id) => !denied.has(id) });
    const [b, c, d] = [node(2), node(3), node(4)];
    await meet(c, b);
    await meet(a, b);
    assert.notEqual(a.exchange.record(c.id), undefined);
    denied.add(c.id);
    assert.equal(a.exchange.record(c.id), undefined);
    assert.deepEqual([a.exchange.candidates(c.id), a.exchange.records.map(({ id }) => id)], [[], [b.id]]);
    denied.add(d.id);
    await meet(d, b);
    await meet(a, b);
    assert.ok(a.exchange.counters.drops.get('exchange.not_kept')! >= 1);
    denied.clear();
    assert.equal(a.exchange.record(d.id), undefined);
    await close([a, b, c, d]);
  });

  it('is nothing where a predicate throws or gives no boolean', async () => {
    const { node, meet, close } = world(6);
    const c = node(3);
    for (const [i, mayHandOn] of [
      () => 'yes' as never,
      (): boolean => {
        throw new Error('a fault of the program');
      },
    ].entries()) {
      const [a, b] = [node(10 + 2 * i), node(11 + 2 * i, { mayHandOn })];
      await meet(c, b);
      await meet(a, b);
      assert.equal(a.exchange.record(c.id), undefined);
      assert.equal(b.exchange.counters.drops.get('handler_error') ?? 0, i);
      await close([a, b]);
    }
    await close([c]);
  });
});
