import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { Peers } from '../../src/peers/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { PeersWorld } from '../support/peers-world.ts';

before(() => loadQuicEngine());

/** Opens nodes that know the first one and nobody else, and find others by the DHT alone. */
async function world(
  count: number,
  options: Parameters<PeersWorld['open']>[2] = {},
): Promise<{ w: PeersWorld; all: Peers[] }> {
  const w = new PeersWorld({ latencyMs: 5, trace: undefined });
  const all: Peers[] = [];
  for (let i = 0; i < count; i++) {
    const peers = await w.open(i, w.net.host(), { dht: true, exchange: false, sources: [], ...options });
    const [first] = all;
    all.push(peers);
    if (first === undefined) continue;
    const known = { id: first.id, addr: first.addrs[0]!, source: 'test', trust: 'given' } as const;
    peers.add({ ...known, seenMs: 0, expiresMs: Infinity });
    await w.run(peers.connect(first.id));
    await w.advance(3000);
  }
  return { w, all };
}

describe('the DHT of connection managers', () => {
  it('finds a peer of which only a third one knows', async () => {
    const { w, all } = await world(6);
    const [, second, , , , last] = all;
    second!.serve(({ payload }) => payload);
    assert.ok(last!.dht!.inspect().contacts >= 1, JSON.stringify(last!.dht!.inspect().buckets));
    const { records, explain } = await w.run(last!.dht!.lookup(second!.id));
    assert.ok((records[0]?.addrs.length ?? 0) > 0, explain.text);
    const answer = await w.run(last!.ask(second!.id, encodeText('hello'), { timeoutMs: 10_000 }));
    assert.equal(decodeText(answer), 'hello');
    const { reach } = last!.explain(second!.id);
    assert.ok(JSON.stringify(reach).includes('dht'));
    await w.close();
  });

  it('keeps values for its peers, and is not there without the option', async () => {
    const { w, all } = await world(4);
    await w.run(all[1]!.dht!.put(encodeText('color'), encodeText('blue')));
    const { value, explain } = await w.run(all[3]!.dht!.get(encodeText('color')));
    assert.equal(value === undefined ? undefined : decodeText(value), 'blue', explain.text);
    const plain = await w.open(9, w.net.host());
    assert.equal(plain.dht, undefined);
    await w.close();
  });

  it('has no clients in its tables', async () => {
    const { w, all } = await world(3);
    const client = await w.open(8, w.net.host(), { dht: true, exchange: false, sources: [], kind: 'client' });
    client.add({
      id: all[0]!.id,
      addr: all[0]!.addrs[0]!,
      source: 'test',
      trust: 'given',
      seenMs: 0,
      expiresMs: Infinity,
    });
    await w.run(client.connect(all[0]!.id));
    await w.advance(5000);
    assert.equal(client.dht!.inspect().kind, 'client');
    assert.ok(client.dht!.inspect().contacts >= 1);
    for (const peers of all) assert.ok(!peers.dht!.table().some(({ id }) => id === client.id));
    await w.close();
  });
});
