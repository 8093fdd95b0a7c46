import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../../../src/base/bytes.ts';
import { P2PError } from '../../../src/core/errors.ts';
import { openDht } from '../../../src/overlay/kademlia/index.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { dhtNetwork, FIRST_KEY } from '../../support/dht-network.ts';

const key = encodeText('color');
const blue = encodeText('blue');

describe('a DHT', () => {
  for (const count of [1, 2, 3]) {
    it(`stores, finds, announces and looks up with ${count} node${count === 1 ? '' : 's'}`, async () => {
      await using network = await dhtNetwork(count);
      const { nodes, run } = network;
      const [first, last] = [nodes[0]!, nodes.at(-1)!];
      assert.equal((await run(first.ready)).peers, 0);
      assert.equal(last.inspect().isJoined, true);
      assert.equal(last.inspect().contacts, count - 1);
      const stored = await run(last.put(key, blue));
      assert.deepEqual(stored.accepted, [count]);
      for (const node of nodes) assert.equal(decodeText((await run(node.get(key))).value!), 'blue');
      assert.equal((await run(first.get(encodeText('shape')))).value, undefined);
      await run(last.announce());
      await run(last.announce([encodeText('a file')]));
      for (const node of nodes) {
        const { records, explain } = await run(node.lookup(last.id));
        if (node === last && count === 1) assert.equal(explain.ended, 'no_peers');
        else assert.deepEqual(records[0]?.addrs, [`${last.id}@${count - 1}`], explain.text);
        const found = await run(node.providers(encodeText('a file')));
        if (count > 1)
          assert.deepEqual(
            found.records.map(({ id }) => id),
            [last.id],
            found.explain.text,
          );
      }
    });
  }

  it('learns of nodes that come later, and they of each other', async () => {
    await using network = await dhtNetwork(8);
    await network.realm.clock.advance(1000);
    for (const node of network.nodes) assert.equal(node.inspect().contacts, 7, node.id);
  });

  it('finds every node from every node, in few hops', async () => {
    await using network = await dhtNetwork(60);
    const { nodes, run } = network;
    for (const [i, node] of nodes.entries()) {
      const other = nodes[(i * 7 + 3) % nodes.length]!;
      const found = await run(node.findNode(other.id));
      if (node !== other) assert.equal(found.peer?.id, other.id, found.explain.text);
      assert.equal(found.explain.ended, 'converged');
      assert.ok(found.explain.hops <= 4, found.explain.text);
    }
  });

  it('ends a lookup as soon as the peer has answered, if told so', async () => {
    await using network = await dhtNetwork(60);
    const { nodes, run } = network;
    let [all, few] = [0, 0];
    for (let i = 0; i < 10; i++) {
      const other = nodes[i * 5 + 9]!;
      all += (await run(nodes[i]!.findNode(other.id))).explain.asked;
      const found = await run(nodes[i]!.findNode(other.id, { untilFound: true }));
      assert.equal(found.peer?.id, other.id);
      assert.equal(found.explain.ended, 'found');
      few += found.explain.asked;
    }
    assert.ok(few * 2 < all, `${few} and ${all} requests`);
  });

  it('explains a lookup in words', async () => {
    await using network = await dhtNetwork(2);
    const { explain } = await network.run(network.nodes[1]!.findNode(network.nodes[0]!.id));
    const expected =
      'find: 1 hops, 1 requests, 1 nodes answered, 0 did not, 0 ms; ended because the closest nodes have all answered';
    assert.equal(explain.text, expected);
    assert.equal(network.nodes[1]!.inspect().lookups.at(-1)?.text, expected);
  });

  it('keeps networks with different names apart, and says so', async () => {
    await using network = await dhtNetwork(3);
    const other = await network.open({ networkName: 'other' });
    const joined = await network.run(other.ready);
    assert.equal(joined.peers, 0);
    assert.equal(network.nodes[0]!.counters.drops.get('dht.wrong_network'), 1);
    assert.equal(network.nodes[0]!.inspect().contacts, 2);
    assert.notEqual(other.inspect().position, network.nodes[0]!.inspect().position);
    await assert.rejects(network.run(other.join(['0'])), (error) => P2PError.is(error, 'unreachable'));
  });

  it("has clients in nobody's table, which can store and find", async () => {
    await using network = await dhtNetwork(5);
    const client = await network.open({ kind: 'client' });
    await network.run(client.ready);
    await network.realm.clock.advance(1000);
    assert.equal(client.inspect().contacts, 5);
    for (const node of network.nodes.slice(0, 5)) {
      assert.ok(!node.table().some(({ id }) => id === client.id));
    }
    await network.run(client.put(key, blue));
    assert.equal(client.inspect().values, 0);
    assert.equal(decodeText((await network.run(network.nodes[2]!.get(key))).value!), 'blue');
  });

  it('comes into tables once others can reach it, and leaves them when they cannot', async () => {
    await using network = await dhtNetwork(4);
    let kind: 'server' | 'client' = 'client';
    const node = await network.open({ kind: () => kind });
    await network.run(node.ready);
    await network.realm.clock.advance(1000);
    const isKnown = (): boolean[] =>
      network.nodes.slice(0, 4).map((each) => each.table().some(({ id }) => id === node.id));
    assert.deepEqual(isKnown(), [false, false, false, false]);
    kind = 'server';
    await network.run(node.join());
    await network.realm.clock.advance(1000);
    assert.deepEqual(isKnown(), [true, true, true, true]);
    kind = 'client';
    await network.run(node.join());
    assert.deepEqual(isKnown(), [false, false, false, false]);
  });

  it('stores again before it expires, until it is to forget', async () => {
    await using network = await dhtNetwork(4, { ttlMs: 600_000, republishMs: 300_000 });
    const [first, second] = network.nodes;
    await network.run(first!.put(key, blue));
    await network.realm.clock.advance(3_600_000);
    assert.equal(decodeText((await network.run(second!.get(key))).value!), 'blue');
    assert.equal(first!.forget(key), true);
    await network.realm.clock.advance(1_200_000);
    assert.equal((await network.run(second!.get(key))).value, undefined);
    assert.equal(second!.inspect().values, 0);
  });

  it('lets only the peer that stored a value replace it', async () => {
    await using network = await dhtNetwork(3);
    const [first, second, third] = network.nodes;
    await network.run(first!.put(key, blue));
    assert.deepEqual((await network.run(second!.put(key, encodeText('red')))).accepted, [0]);
    assert.equal(decodeText((await network.run(third!.get(key))).value!), 'blue');
    assert.deepEqual((await network.run(first!.put(key, encodeText('green')))).accepted, [3]);
    assert.equal(decodeText((await network.run(third!.get(key))).value!), 'green');
  });

  it('returns only values that the program finds valid', async () => {
    await using network = await dhtNetwork(2);
    await network.run(network.nodes[0]!.put(key, blue));
    const strict = await network.open({ validate: (_, value) => decodeText(value) !== 'blue' });
    await network.run(strict.ready);
    assert.equal((await network.run(strict.get(key))).value, undefined);
    assert.ok((strict.counters.drops.get('dht.invalid_value') ?? 0) >= 1);
  });

  it('begins again while there is nobody, and ends at close', async () => {
    await using network = await dhtNetwork(0);
    const { realm } = network;
    const lonely = await openDht(realm.secureSwarm(testKey(FIRST_KEY + 1).publicKey, 1), {
      networkName: 'test',
      bootstrap: ['0'],
    });
    assert.equal((await realm.clock.run(lonely.ready)).peers, 0);
    const first = await openDht(realm.secureSwarm(testKey(FIRST_KEY).publicKey, 0), { networkName: 'test' });
    await realm.clock.advance(20_000);
    assert.equal(lonely.inspect().contacts, 1);
    await realm.clock.run(Promise.all([lonely.close(), first.close()]));
    await assert.rejects(lonely.get(key), (error) => P2PError.is(error, 'closed'));
    assert.equal((await first.closed).by, 'local');
    assert.equal(realm.size, 0);
  });

  it('refuses what it cannot take', async () => {
    await using network = await dhtNetwork(1);
    const [dht] = network.nodes;
    assert.throws(() => void dht!.put(new Uint8Array(0), blue), RangeError);
    assert.throws(() => void dht!.put(new Uint8Array(257), blue), RangeError);
    assert.throws(() => void dht!.put(key, new Uint8Array(4097)), /4097 bytes, limit is 4096/);
    assert.throws(
      () =>
        void dht!.putMany([
          [key, blue],
          [key, blue],
        ]),
      /twice/,
    );
    const swarm = network.realm.secureSwarm(testKey(5).publicKey);
    const plain = await openDht(swarm, { networkName: 'test' });
    assert.throws(() => void plain.announce(), /privateKey/);
    assert.throws(() => openDht(swarm, { networkName: 'test' }), TypeError);
    for (const bad of [
      { networkName: 7 },
      { networkName: 'x', k: 1 },
      { networkName: 'x', kind: 'boss' },
      { networkName: 'x'.repeat(256) },
      { networkName: 'x', form: 'xml' },
      { networkName: 'x', bootstrap: 'a' },
      { networkName: 'x', bootstrap: [3] },
      { networkName: 'x', bootstrap: ['0', 'no address'] },
    ]) {
      assert.throws(() => openDht(network.realm.secureSwarm(testKey(6).publicKey), bad as never));
    }
    await network.run(plain.close());
  });
});
