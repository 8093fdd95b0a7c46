import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { encodeExchange } from '../../src/discovery/exchange-message.ts';
import { type PeerRecord, peerExchange, signPeerRecord } from '../../src/discovery/index.ts';
import { PeerBook } from '../../src/discovery/peer-book.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/index.ts';

function world(options: { readonly onRecord?: (record: PeerRecord) => void; readonly lifetimeMs?: number } = {}) {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 5 });
  const node = (i: number) => {
    const privateKey = testKey(i);
    const swarm = mbapp(p2pke(realm.swarm(), { privateKey }));
    const exchange = peerExchange(swarm, { privateKey, ...options });
    return { swarm, exchange, id: peerIdOfKey(privateKey.publicKey), addr: swarm.addr };
  };
  return { realm, node, run: <T>(promise: Promise<T>) => realm.clock.run(promise) };
}

const dropsOf = (counters: { readonly drops: ReadonlyMap<string, number> }) => Object.fromEntries(counters.drops);

describe('peer exchange', () => {
  it('makes everybody known to everybody who asks the one peer that all know', async () => {
    const { node, run } = world();
    const nodes = Array.from({ length: 8 }, (_, i) => node(i));
    const [bootstrap, ...others] = nodes;
    for (let round = 0; round < 2; round++) {
      for (const { exchange } of others) await run(exchange.exchange(bootstrap!.addr));
    }
    for (const { exchange, id } of nodes) {
      const known = exchange.records.map((record) => record.id).toSorted();
      assert.deepEqual(
        known,
        nodes
          .map((each) => each.id)
          .filter((each) => each !== id)
          .toSorted(),
      );
      assert.deepEqual(dropsOf(exchange.counters), {});
    }
    const [a, b] = others;
    assert.deepEqual(
      a!.exchange.candidates(b!.id).map(({ addr, source }) => [addr, source]),
      [[b!.addr.text, 'exchange']],
    );
    await Promise.all(nodes.map(({ swarm }) => swarm.close()));
  });

  it('asked for anybody gives one address each of some peers, all known ones when there are few', async () => {
    const { node, run } = world();
    const nodes = Array.from({ length: 25 }, (_, i) => node(i));
    const [asker, ...others] = nodes;
    assert.deepEqual(asker!.exchange.candidates(), []);
    for (const { exchange } of others.slice(0, 3)) await run(exchange.exchange(asker!.addr));
    const found = asker!.exchange.candidates();
    assert.deepEqual(
      found.map(({ addr }) => addr).toSorted(),
      others
        .slice(0, 3)
        .map(({ addr }) => addr.text)
        .toSorted(),
    );
    assert.ok(found.every(({ trust }) => trust === 'reached'));
    for (const { exchange } of others) await run(exchange.exchange(asker!.addr));
    assert.equal(new Set(asker!.exchange.candidates().map(({ id }) => id)).size, 16);
    await Promise.all(nodes.map(({ swarm }) => swarm.close()));
  });

  it('exchanges with the text of an address, and rejects a text that is none', async () => {
    const { node, run } = world();
    const [a, b] = [node(1), node(2)];
    const records = await run(a.exchange.exchange(b.addr.text));
    assert.deepEqual(
      records.map(({ id }) => id),
      [b.id],
    );
    await assert.rejects(run(a.exchange.exchange('not an address')), (error) => P2PError.is(error, 'unreachable'));
    await Promise.all([a.swarm.close(), b.swarm.close()]);
  });

  it('lets nobody speak for another', async () => {
    const { node, run } = world();
    const [a, b, c] = [node(1), node(2), node(3)];
    a.exchange[Symbol.dispose]();
    const request = encodeExchange(0, [c.exchange.own.bytes], 65_536);
    await run(a.swarm.ask(b.addr, request));
    assert.deepEqual(b.exchange.records, []);
    assert.deepEqual(dropsOf(b.exchange.counters), { 'exchange.wrong_peer': 1 });
    const forged = c.exchange.own.bytes.slice();
    forged[forged.length - 1]! ^= 1;
    await run(c.swarm.ask(b.addr, encodeExchange(0, [forged], 65_536)));
    assert.equal(dropsOf(b.exchange.counters)['exchange.bad_signature'], 1);
    await Promise.all([a, b, c].map(({ swarm }) => swarm.close()));
  });

  it('refuses a request that is none, and reports an answer that is none', async () => {
    const { node, run } = world();
    const [a, b] = [node(1), node(2)];
    const refused = (error: unknown): boolean => P2PError.is(error, 'refused');
    await assert.rejects(run(a.swarm.ask(b.addr, Uint8Array.of(9, 9, 9))), refused);
    const two = encodeExchange(0, [a.exchange.own.bytes, a.exchange.own.bytes], 65_536);
    await assert.rejects(run(a.swarm.ask(b.addr, two)), refused);
    b.exchange[Symbol.dispose]();
    b.swarm.serve(() => Uint8Array.of(7));
    await assert.rejects(run(a.exchange.exchange(b.addr)), refused);
    a.exchange[Symbol.dispose]();
    await assert.rejects(run(a.exchange.exchange(b.addr)), (error) => P2PError.is(error, 'closed'));
    await Promise.all([a, b].map(({ swarm }) => swarm.close()));
  });

  it('forgets what has expired, and signs its own word anew', async () => {
    const heard: PeerId[] = [];
    const { realm, node, run } = world({ lifetimeMs: 10_000, onRecord: ({ id }) => void heard.push(id) });
    const [a, b] = [node(1), node(2)];
    const first = a.exchange.own;
    assert.equal(a.exchange.own, first);
    await run(a.exchange.exchange(b.addr));
    assert.equal(b.exchange.record(a.id)?.issuedMs, first.issuedMs);
    await realm.clock.advance(6000);
    assert.ok(a.exchange.own.issuedMs > first.issuedMs);
    await run(a.exchange.exchange(b.addr));
    assert.deepEqual(heard.filter((id) => id === a.id).length, 2);
    await realm.clock.advance(10_001);
    assert.deepEqual(b.exchange.records, []);
    assert.equal(b.exchange.record(a.id), undefined);
    await Promise.all([a, b].map(({ swarm }) => swarm.close()));
  });

  it("goes on when the user's function throws", async () => {
    const { node, run } = world({
      onRecord: () => {
        throw new Error('mine');
      },
    });
    const [a, b] = [node(1), node(2)];
    await run(a.exchange.exchange(b.addr));
    assert.equal(a.exchange.records.length, 1);
    assert.equal(dropsOf(a.exchange.counters)['handler_error'], 1);
    await Promise.all([a, b].map(({ swarm }) => swarm.close()));
  });

  it('is misuse without asks, without a key, with numbers out of bounds', () => {
    const swarm = createMemoryRealm().swarm();
    const privateKey = testKey(1);
    assert.throws(() => peerExchange({} as typeof swarm, { privateKey }), TypeError);
    assert.throws(() => peerExchange(swarm, {} as { privateKey: typeof privateKey }), TypeError);
    assert.throws(() => peerExchange(swarm, { privateKey, lifetimeMs: 1 }), RangeError);
    assert.throws(() => peerExchange(swarm, { privateKey, maxPeers: 0 }), RangeError);
  });
});

describe('peer book', () => {
  const record = (i: number, issuedMs = 1000, lifetimeMs = 1000): PeerRecord =>
    signPeerRecord(testKey(i), { addrs: [], issuedMs, lifetimeMs });

  it('is bounded, and gives up hearsay before what peers have said themselves', () => {
    const book = new PeerBook({ maxPeers: 2 });
    const [a, b, c] = [record(1), record(2, 1000, 500), record(3)];
    assert.equal(book.addVerified(1000, a, a.id), a);
    assert.equal(book.addVerified(1000, b, a.id), b);
    assert.equal(book.addVerified(1000, c, a.id), c);
    assert.deepEqual(
      book.records(1000).map(({ id }) => id),
      [a.id, c.id],
    );
    const d = record(4);
    assert.equal(book.addVerified(1000, d, d.id), d);
    assert.equal(book.addVerified(1000, b, b.id), 'full');
    assert.equal(book.size, 2);
  });

  it('lets nobody fill it alone', () => {
    const book = new PeerBook({ maxPeersPerTeller: 2 });
    const teller = record(9).id;
    for (const i of [1, 2]) assert.notEqual(typeof book.addVerified(1000, record(i), teller), 'string');
    assert.equal(book.addVerified(1000, record(3), teller), 'full');
    assert.notEqual(typeof book.addVerified(1000, record(3), record(8).id), 'string');
    assert.equal(book.delete(record(1).id), true);
    assert.notEqual(typeof book.addVerified(1000, record(4), teller), 'string');
  });

  it('takes the newer of two records, none that has expired, none from the future', () => {
    const book = new PeerBook();
    assert.equal(book.addVerified(2000, record(1)), 'expired');
    assert.equal(book.addVerified(0, record(1, 700_000)), 'from_the_future');
    const newer = record(1, 1500);
    assert.equal(book.addVerified(1500, newer), newer);
    assert.equal(book.addVerified(1500, record(1, 1499)), 'stale');
    assert.equal(book.addVerified(1500, newer), 'stale');
    assert.equal(book.get(2499, newer.id), newer);
    assert.equal(book.get(2500, newer.id), undefined);
    assert.equal(book.size, 0);
  });
});
