import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../../src/base/bytes.ts';
import { dhtNetwork } from '../../support/dht-network.ts';

const keysOf = (name: string, count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => encodeText(`${name} ${i}`));

describe('announcing and putting many keys', () => {
  it('costs a tenth and less of one by one for ten thousand keys, and every key is found', async () => {
    await using network = await dhtNetwork(120);
    const { nodes, run } = network;
    const provider = nodes[60]!;
    const alone = await Promise.all(
      keysOf('alone', 20).map((key) => run(provider.announce([key], { republish: false }))),
    );
    const each = alone.reduce((sum, { asked }) => sum + asked, 0) / alone.length;
    const keys = keysOf('together', 10_000);
    const { asked, accepted } = await run(provider.announce(keys, { republish: false }));
    assert.ok(asked * 10 <= each * keys.length, `${asked} requests for all, ${each} for each alone`);
    assert.ok(
      accepted.every((count) => count >= 12),
      `${Math.min(...accepted)} nodes took a key`,
    );
    for (let i = 0; i < keys.length; i += 500) {
      const { records, explain } = await run(nodes[i % 50]!.providers(keys[i]!));
      assert.deepEqual(
        records.map(({ id }) => id),
        [provider.id],
        explain.text,
      );
    }
  });

  it('puts many values at the nodes at which one alone would be', async () => {
    await using network = await dhtNetwork(80);
    const { nodes, run } = network;
    const entries = keysOf('value', 300).map((key) => [key, key] as const);
    const { asked, accepted } = await run(nodes[3]!.putMany(entries, { republish: false }));
    assert.ok(asked < 300 * 16, `${asked} requests`);
    assert.ok(accepted.every((count) => count >= 14));
    for (let i = 0; i < entries.length; i += 10) {
      const { value, explain } = await run(nodes[i % 80]!.get(entries[i]![0]));
      assert.deepEqual(value, entries[i]![1], explain.text);
    }
  });

  it('stores all of it again with one sweep', async () => {
    await using network = await dhtNetwork(30, { ttlMs: 1_200_000, republishMs: 600_000 });
    const { nodes, run } = network;
    await run(nodes[1]!.announce(keysOf('again', 500)));
    const before = nodes[1]!.inspect().asks.sent;
    await network.realm.clock.advance(700_000);
    assert.ok(nodes[1]!.inspect().asks.sent - before < 300, `${nodes[1]!.inspect().asks.sent - before} requests`);
    await network.realm.clock.advance(1_000_000);
    assert.equal((await run(nodes[20]!.providers(encodeText('again 77')))).records[0]?.id, nodes[1]!.id);
  });

  it('refuses more keys than are to be stored again', async () => {
    await using network = await dhtNetwork(1, { maxPublished: 10 });
    assert.throws(() => void network.nodes[0]!.announce(keysOf('many', 11)), /11 keys, limit is 10/);
  });
});
