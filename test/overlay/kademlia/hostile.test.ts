import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concatBytes, encodeText } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import type { TraceEvent } from '../../../src/core/realm.ts';
import { P2PError } from '../../../src/core/errors.ts';
import type { LookupExplanation } from '../../../src/overlay/kademlia/index.ts';
import { signPeerRecord } from '../../../src/discovery/peer-record.ts';
import { FORM, type Query, type Reply, type WireContact } from '../../../src/protocols/kademlia/messages.ts';
import { decodeAnswer } from '../../../src/protocols/kademlia/binary-messages.ts';
import { keyText } from '../../../src/protocols/kademlia/position.ts';
import { memoryAddr } from '../../../src/swarms/memory/index.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { type DhtNetwork, dhtNetwork } from '../../support/dht-network.ts';
import { type LyingNode, lyingNode } from '../../support/lying-dht-node.ts';

const EVIL = 5000;
const random = createSeededRandom('hostile');
const madeUp = (addr: string): WireContact => ({ id: keyText(random.bytes(32)), addr, form: FORM.binary });

/** A lookup in a network of ten nodes, all of which but the asking one have met the lying node. */
async function lookupWith(
  answer: (query: Query) => Reply | Uint8Array | undefined,
): Promise<{ readonly network: DhtNetwork; readonly evil: LyingNode; readonly explain: LookupExplanation }> {
  const network = await dhtNetwork(10);
  const evil = lyingNode(network.realm, EVIL, answer);
  const victim = network.nodes[9]!;
  // A node that the program itself named is asked first of all.
  await network.run(victim.join([String(EVIL)]).catch(() => undefined));
  const { explain } = await network.run(victim.findNode(network.nodes[4]!.id));
  assert.ok(['converged', 'too_many_asks'].includes(explain.ended), explain.text);
  assert.ok(
    explain.nearest.some(({ id }) => id === network.nodes[4]!.id),
    explain.text,
  );
  assert.ok(evil.asked.length > 0);
  return { network, evil, explain };
}

describe('a lookup among nodes that lie ends, and finds who is there', () => {
  it('when one names thousands of contacts', async () => {
    const contacts = Array.from({ length: 1500 }, (_, i) => madeUp(`\u0000@${10_000 + i}`));
    const { network } = await lookupWith(({ op }) => (op === 'find' ? { op, contacts } : undefined));
    await using _ = network;
    assert.ok((network.nodes[9]!.counters.drops.get('dht.too_many_contacts') ?? 0) >= 1436);
    assert.ok(network.nodes[9]!.inspect().asks.sent < 400);
    assert.equal(network.nodes[9]!.inspect().contacts, 10);
  });

  it('when one names itself and the asking node', async () => {
    let evil: LyingNode | undefined;
    const { network, explain } = await lookupWith((query) => {
      if (query.op !== 'find' || evil === undefined) return undefined;
      return { op: 'find', contacts: [evil.contact, evil.contact] };
    });
    await using _ = network;
    evil = lyingNode(network.realm, EVIL + 1, () => undefined);
    assert.equal(explain.untaken.farther, 0);
  });

  it('when one names a victim: it gets few requests, and none once it did not answer', async () => {
    const network = await dhtNetwork(10);
    await using _ = network;
    const victim = network.realm.secureSwarm(testKey(77).publicKey, 777);
    let hits = 0;
    victim.serve(() => {
      hits++;
      return encodeText('leave me alone');
    });
    const contacts = Array.from({ length: 64 }, () => madeUp('\u0000@777'));
    lyingNode(network.realm, EVIL, ({ op }) => (op === 'find' ? { op, contacts } : undefined));
    await network.run(network.nodes[9]!.join([String(EVIL)]).catch(() => undefined));
    assert.ok(hits <= 8, `${hits} requests`);
    assert.ok((network.nodes[9]!.counters.drops.get('dht.wrong_id') ?? 0) >= 1);
    const before = hits;
    for (let i = 0; i < 5; i++) await network.run(network.nodes[9]!.findNode(network.nodes[i]!.id));
    assert.ok(hits - before <= 8 * 5, `${hits - before} requests more`);
  });

  it('when one names farther nodes for ever', async () => {
    const { network, explain } = await lookupWith((query) => {
      if (query.op !== 'find') return undefined;
      return { op: 'find', contacts: Array.from({ length: 16 }, () => madeUp(`\u0000@${EVIL}`)) };
    });
    await using _ = network;
    assert.ok(explain.asked <= 8 * 16, explain.text);
  });

  it('when one names ever closer nodes that are all itself', async () => {
    const { network, explain, evil } = await lookupWith((query) => {
      if (query.op !== 'find') return undefined;
      return { op: 'find', contacts: Array.from({ length: 64 }, () => madeUp(`\u0000@${EVIL}`)) };
    });
    await using _ = network;
    assert.ok(explain.asked <= 8 * 16, explain.text);
    assert.ok(evil.asked.length < 300, `${evil.asked.length} requests`);
    assert.equal(network.nodes[9]!.inspect().contacts <= 10, true);
  });

  it('when one names dead nodes next to the target', async () => {
    const { network, explain } = await lookupWith((query) => {
      if (query.op !== 'find') return undefined;
      return { op: 'find', contacts: Array.from({ length: 64 }, () => madeUp(`\u0000@${90_000 + random.next()}`)) };
    });
    await using _ = network;
    assert.ok(explain.asked < 60, explain.text);
  });

  for (const [what, bytes] of [
    ['nothing', new Uint8Array(0)],
    ['noise', random.bytes(500)],
    ['deep JSON', encodeText(`{"nodes":${'['.repeat(20_000)}`)],
    ['another answer', Uint8Array.of(1, 0x80, 0, 0)],
    ['a huge count', Uint8Array.of(1, 0x81, 0, 0, 0xff, 0xff, 0xff, 0x7f)],
  ] as const) {
    it(`when one answers ${what}`, async () => {
      const { network } = await lookupWith(() => bytes);
      await using _ = network;
      const { drops } = network.nodes[9]!.counters;
      assert.ok((drops.get('malformed') ?? 0) + (drops.get('dht.wrong_answer') ?? 0) >= 1);
      assert.ok(!network.nodes[9]!.table().some(({ addr }) => addr === String(EVIL)));
    });
  }

  it('on disjoint paths no node is asked twice, and one that lies spoils one of them', async () => {
    const network = await dhtNetwork(40, { paths: 3 });
    await using _ = network;
    const { explain, peer } = await network.run(network.nodes[39]!.findNode(network.nodes[7]!.id));
    assert.equal(peer?.id, network.nodes[7]!.id, explain.text);
    assert.equal(new Set(explain.nearest.map(({ id }) => id)).size, explain.nearest.length);
  });
});

describe('a node of a DHT refuses and counts', () => {
  const ask = async (network: DhtNetwork, evil: LyingNode, query: Query): Promise<Reply | undefined> =>
    decodeAnswer(await network.run(evil.ask('0', query)))?.reply;

  it('requests that are malformed, oversized or deep', async () => {
    await using network = await dhtNetwork(1);
    const evil = lyingNode(network.realm, EVIL, () => undefined);
    const bad = [
      new Uint8Array(0),
      Uint8Array.of(1),
      random.bytes(2000),
      encodeText('{'),
      encodeText(`{"target":${'{"a":'.repeat(5000)}`),
      encodeText('{"target":"x"}'),
      concatBytes(encodeText('{"key":"'), new Uint8Array(60_000).fill(65), encodeText('"}')),
    ];
    for (const bytes of bad) {
      const refused = network.run(evil.swarm.ask('0', bytes));
      await assert.rejects(refused, (error) => P2PError.is(error, 'refused'));
    }
    // Two of them are JSON that names no network.
    assert.equal(network.nodes[0]!.counters.drops.get('malformed'), bad.length - 2);
    assert.equal(network.nodes[0]!.counters.drops.get('dht.wrong_network'), 2);
  });

  it("records that are unsigned, another's, stale, expired, or from the future", async () => {
    await using network = await dhtNetwork(1);
    const evil = lyingNode(network.realm, EVIL, () => undefined);
    const wallMs = network.realm.wallMs();
    const sign = (key: number, issuedMs: number, lifetimeMs = 600_000): Uint8Array<ArrayBuffer> =>
      signPeerRecord(testKey(key), { addrs: [], issuedMs, lifetimeMs }).bytes;
    const announce = async (record: Uint8Array<ArrayBuffer>): Promise<unknown> => {
      const reply = await ask(network, evil, { op: 'announce', record, positions: [], ttlMs: 1000 });
      return reply?.op === 'announce' ? reply.record : undefined;
    };
    const forged = sign(EVIL, wallMs);
    forged[forged.length - 1]! ^= 1;
    assert.equal(await announce(forged), 'refused');
    assert.equal(await announce(random.bytes(100)), 'refused');
    assert.equal(await announce(sign(EVIL + 1, wallMs)), 'refused');
    assert.equal(await announce(sign(EVIL, wallMs + 3_600_000)), 'from_the_future');
    assert.equal(await announce(sign(EVIL, wallMs - 3_600_000)), 'expired');
    assert.equal(await announce(sign(EVIL, wallMs)), 'taken');
    assert.equal(await announce(sign(EVIL, wallMs - 1000)), 'stale');
    const { drops, records } = network.nodes[0]!.inspect();
    assert.equal(records, 1);
    assert.equal(drops['dht.bad_record'], 3);
    assert.equal(drops['dht.future_record'], 1);
    assert.equal(drops['dht.expired_record'], 1);
    assert.equal(drops['dht.stale_record'], 1);
  });

  it('hands on only those addresses of a record that it has reached itself', async () => {
    await using network = await dhtNetwork(2);
    const evil = lyingNode(network.realm, EVIL, () => undefined);
    const addrs = [`${evil.id}@${EVIL}`, `${evil.id}@1`, `${evil.id}@4242`];
    const record = signPeerRecord(testKey(EVIL), {
      addrs,
      issuedMs: network.realm.wallMs(),
      lifetimeMs: 600_000,
    }).bytes;
    await ask(network, evil, { op: 'announce', record, positions: [], ttlMs: 1000 });
    await network.realm.clock.advance(30_000);
    const { records } = await network.run(network.nodes[1]!.lookup(evil.id));
    assert.deepEqual(records[0]?.addrs ?? [], [addrs[0]]);
  });

  it('more than a source may store', async () => {
    await using network = await dhtNetwork(1, { maxValues: 40, maxProvidedKeys: 40, maxStoredBytes: 4000 });
    const evil = lyingNode(network.realm, EVIL, () => undefined);
    const entries = Array.from({ length: 100 }, (_, i) => ({
      key: encodeText(`k${i}`),
      value: encodeText('v'),
      ttlMs: 60_000,
    }));
    const put = await ask(network, evil, { op: 'put', entries });
    assert.equal(put?.op === 'put' ? put.accepted.filter(Boolean).length : 0, 10);
    const positions = Array.from({ length: 100 }, () => keyText(random.bytes(32)));
    const announced = await ask(network, evil, { op: 'announce', record: undefined, positions, ttlMs: 60_000 });
    assert.equal(announced?.op === 'announce' ? announced.accepted : 0, 10);
    const large = await ask(network, evil, {
      op: 'put',
      entries: [{ key: encodeText('k0'), value: random.bytes(5000), ttlMs: 60_000 }],
    });
    assert.deepEqual(large?.op === 'put' ? large.accepted : [], [false]);
    const { values, providedKeys } = network.nodes[0]!.inspect();
    assert.deepEqual([values, providedKeys], [10, 10]);
  });

  it('nodes that only ask: they come into no table', async () => {
    await using network = await dhtNetwork(3);
    const mute = network.realm.secureSwarm(testKey(EVIL).publicKey, EVIL);
    mute.serve(() => Promise.reject(new Error('mute')));
    const evil = lyingNode(network.realm, EVIL + 1, () => undefined);
    for (let i = 0; i < 20; i++) {
      await network.run(evil.ask('0', { op: 'find', position: keyText(random.bytes(32)), limit: 16 }));
    }
    await network.realm.clock.advance(1000);
    // The second one answers, so it comes into the table; the first one has asked nobody and is not known.
    assert.ok(network.nodes[0]!.table().some(({ id }) => id === evil.id));
    assert.ok(!network.nodes[0]!.table().some(({ addr }) => addr === String(EVIL)));
  });

  it('takes nobody in before its own first lookups are done, and those that asked meanwhile afterwards', async () => {
    await using network = await dhtNetwork(1);
    const { realm } = network;
    const slow = realm.secureSwarm(testKey(EVIL).publicKey, EVIL);
    slow.serve(() => new Promise<Uint8Array>(() => undefined));
    const late = await network.open({ bootstrap: [String(EVIL)] });
    const eager = lyingNode(realm, EVIL + 1, () => undefined);
    await realm.clock.advance(10);
    for (let i = 0; i < 5; i++) await network.run(eager.ask('1', { op: 'ping' }));
    assert.equal(late.inspect().isJoined, false);
    assert.deepEqual([late.inspect().contacts, late.inspect().spares], [0, 0]);
    assert.deepEqual(eager.asked, []);
    await network.run(late.ready);
    await realm.clock.advance(1000);
    assert.deepEqual(
      late.table().map(({ id }) => id),
      [eager.id],
    );
    assert.deepEqual(eager.asked, [{ op: 'ping' }]);
  });

  it('says it when clocks are hours apart', async () => {
    const events: TraceEvent[] = [];
    const network = await dhtNetwork(2, {}, { trace: (event) => events.push(event) });
    await using _ = network;
    lyingNode(
      network.realm,
      EVIL,
      () => undefined,
      () => network.realm.wallMs() + 3 * 3_600_000,
    );
    for (let i = 0; i < 3; i++) await network.run(network.nodes[1]!.ping(String(EVIL)));
    const differs = events.filter(({ type, layer }) => type === 'clock_differs' && layer === 'dht');
    assert.equal(differs.length, 1);
    assert.match(differs[0]!.reason!, /differs by about 180 minutes/);
    assert.equal(network.nodes[1]!.counters.drops.get('dht.clock_differs'), 1);
  });
});

describe('a node that loses its network', () => {
  it('keeps its table, and finds its neighbours again at once', async () => {
    const events: TraceEvent[] = [];
    const network = await dhtNetwork(30, {}, { trace: (event) => events.push(event) });
    await using _ = network;
    const node = network.nodes[29]!;
    const before = node.inspect().contacts;
    const own = network.realm.nowMs();
    for (let i = 0; i < 29; i++) network.realm.cut(memoryAddr(i), memoryAddr(29));
    await network.realm.clock.advance(3_600_000);
    assert.equal(node.inspect().isOnline, false);
    assert.ok(node.inspect().contacts >= before - 8, `${node.inspect().contacts} of ${before}`);
    network.realm.heal();
    await network.realm.clock.advance(60_000);
    assert.equal(node.inspect().isOnline, true);
    assert.ok(node.inspect().contacts >= before - 8);
    const seen = events.filter(({ layer, atMs }) => layer === 'dht' && atMs > own).map(({ type }) => type);
    assert.ok(seen.includes('offline') && seen.includes('online'), seen.join(' '));
  });
});
