import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { decodePeerId } from '../../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../../src/identity/fingerprints.ts';
import type { PublicKey } from '../../../src/core/secure.ts';
import { FORM, type WireContact } from '../../../src/protocols/kademlia/messages.ts';
import { NetworkSize } from '../../../src/protocols/kademlia/network-size.ts';
import { keyText, type KeyText, sharedBits } from '../../../src/protocols/kademlia/position.ts';
import { Table } from '../../../src/protocols/kademlia/table.ts';
import { type DhtNetwork, dhtNetwork } from '../../support/dht-network.ts';
import { lyingNode, SPACE } from '../../support/lying-dht-node.ts';

const random = createSeededRandom('sybils');
const text = (): KeyText => keyText(random.bytes(32));

/** Keys whose PeerIDs are next to a position; nobody checks a key of a memory realm. */
function keysNear(position: KeyText, count: number, bits: number): PublicKey[] {
  const keys: PublicKey[] = [];
  while (keys.length < count) {
    const publicKey = { algorithm: 'made-up', spki: random.bytes(16) };
    const id = keyText(decodePeerId(peerIdOfKey(publicKey))!);
    if (sharedBits(SPACE.ofPeer(id), position) >= bits) keys.push(publicKey);
  }
  return keys;
}

/** Nodes next to a key that take what is stored, give nothing back, and name only each other. */
async function surround(network: DhtNetwork, position: KeyText, count: number): Promise<() => number> {
  const keys = keysNear(position, count, 11);
  const contacts: WireContact[] = keys.map((publicKey, i) => ({
    id: keyText(decodePeerId(peerIdOfKey(publicKey))!),
    addr: `\u0000@${20_000 + i}`,
    form: FORM.binary,
  }));
  let taken = 0;
  const sybils = keys.map((publicKey, i) =>
    lyingNode(
      network.realm,
      20_000 + i,
      (query) => {
        if (query.op === 'put') taken++;
        if (query.op === 'find') return { op: 'find', contacts };
        if (query.op === 'get') return { op: 'get', value: undefined, ttlMs: 0, contacts };
        return undefined;
      },
      undefined,
      publicKey,
    ),
  );
  // They make themselves known to everybody.
  for (const sybil of sybils) {
    const asks = network.nodes.map((_, i) => sybil.ask(String(i), { op: 'find', position, limit: 16 }));
    await network.run(Promise.allSettled(asks));
  }
  await network.realm.clock.advance(1_800_000);
  return () => taken;
}

describe('a DHT with Sybils around a key', () => {
  it('notices them, stores in the whole region, and finds what is stored there', async () => {
    await using network = await dhtNetwork(150);
    const key = encodeText('censored');
    const taken = await surround(network, SPACE.ofKey(key), 20);
    const { accepted, lookups } = await network.run(network.nodes[10]!.put(key, encodeText('anyway')));
    const { isCrowded, text: words } = lookups[0]!;
    assert.equal(isCrowded, true, `${words}; ${network.nodes[10]!.inspect().estimatedNodes} nodes`);
    assert.ok(taken() >= 16, 'they are the closest ones');
    assert.ok(accepted[0]! >= 24, `${accepted[0]} nodes`);
    let found = 0;
    for (let i = 20; i < 60; i++) {
      const { value, explain } = await network.run(network.nodes[i]!.get(key));
      if (value !== undefined) found++;
      else assert.ok(explain.isCrowded, explain.text);
    }
    assert.ok(found >= 38, `${found} of 40 found it`);
  });

  it('takes an ordinary key for an ordinary one', async () => {
    await using network = await dhtNetwork(150);
    let crowded = 0;
    for (let i = 0; i < 60; i++) {
      const { lookups } = await network.run(
        network.nodes[i]!.put(encodeText(`key ${i}`), encodeText('v'), { republish: false }),
      );
      if (lookups[0]!.isCrowded) crowded++;
    }
    assert.equal(crowded, 0);
    const estimate = network.nodes[70]!.inspect().estimatedNodes!;
    assert.ok(estimate > 75 && estimate < 300, `${estimate} nodes`);
  });
});

describe('the estimate of the network size', () => {
  it('is near the truth, and tells crowds from chance', () => {
    for (const nodes of [100, 1000, 10_000]) {
      const all = Array.from({ length: nodes }, text);
      const size = new NetworkSize(16);
      const nearest = (target: KeyText): KeyText[] =>
        all
          .toSorted((a, b) => sharedBits(b, target) - sharedBits(a, target))
          .slice(0, 40)
          .toSorted((a, b) => cmp(target, a, b))
          .slice(0, 16);
      for (let i = 0; i < 16; i++) {
        const target = text();
        size.observe(target, nearest(target));
      }
      assert.ok(size.nodes! > nodes / 1.6 && size.nodes! < nodes * 1.6, `${size.nodes} for ${nodes}`);
      for (let i = 0; i < 20; i++) {
        const target = text();
        assert.equal(size.isCrowded(target, nearest(target)), false);
      }
    }
  });
});

function cmp(target: KeyText, a: KeyText, b: KeyText): number {
  for (let i = 0; i < 32; i++) {
    const d = (a.charCodeAt(i) ^ target.charCodeAt(i)) - (b.charCodeAt(i) ^ target.charCodeAt(i));
    if (d !== 0) return d;
  }
  return 0;
}

describe('the routing table', () => {
  const contact = (network: string, position = text()) => ({
    id: text(),
    position,
    addr: '',
    form: FORM.binary,
    network,
    answeredMs: -Infinity,
    rttMs: undefined,
    failures: 0,
  });

  it('takes two of a network into a bucket, and ten in all', () => {
    const own = keyText(new Uint8Array(32));
    const table = new Table({ own, k: 16, maxPerNetwork: 10, maxPerNetworkInBucket: 2 });
    let taken = 0;
    for (let i = 0; i < 2000; i++) if (table.answered(i, contact('203.0.113.0/24')) === undefined) taken++;
    assert.equal(taken, 10);
    assert.ok(table.sizes().every(({ live }) => live <= 2));
    assert.equal(table.answered(1, contact('')), undefined);
  });

  it('keeps nodes that have answered for long, and replaces those that fail by spare ones', () => {
    const own = keyText(new Uint8Array(32));
    const table = new Table({ own, k: 2, maxPerNetwork: 10, maxPerNetworkInBucket: 2 });
    const far = (): KeyText => `\u00ff${text().slice(1)}`;
    const [first, second, third] = [contact('', far()), contact('', far()), contact('', far())];
    assert.equal(table.answered(1, first), undefined);
    assert.equal(table.answered(2, second), undefined);
    assert.equal(table.answered(3, third), 'bucket_full');
    assert.deepEqual(table.sparesOf(0), [third]);
    assert.equal(table.failed(first), false);
    assert.deepEqual(
      table.closest(first.position, 2, 'healthy').map(({ id }) => id),
      [second.id],
    );
    assert.equal(table.failed(first), true);
    assert.equal(table.answered(4, third), undefined);
    assert.deepEqual(new Set(table.live()), new Set([second, third]));
    assert.equal(table.spares, 0);
  });
});
