/** What an attacker can make peers do by records: whom they try, what they hand on, what they forget, what they check. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Bytes } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { encodeExchange } from '../../src/discovery/exchange-message.ts';
import {
  type PeerExchange,
  type PeerExchangeOptions,
  type PeerRecord,
  peerExchange,
  signPeerRecord,
  verifyPeerRecord,
} from '../../src/discovery/index.ts';
import { PeerBook } from '../../src/discovery/peer-book.ts';
import { readPeerRecord, withoutAddrs } from '../../src/discovery/peer-record.ts';
import { nextTurn } from '../../src/runtime/system-clock.ts';
import { defaultKeyRegistry } from '../../src/identity/ecdsa-p256.ts';
import type { KeyRegistry } from '../../src/identity/key-algorithm.ts';
import { generateKey, peerIdOfKey, type PrivateKey } from '../../src/identity/keys.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { addressedRealm, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { type P2pkeAddr, p2pke } from '../../src/swarms/p2pke/index.ts';
import { parseUdpAddr, type UdpAddr } from '../../src/net/socket-address.ts';
import { testKey } from '../../src/testing/index.ts';

type Where = P2pkeAddr<UdpAddr>;

interface Node {
  readonly key: PrivateKey;
  readonly id: PeerId;
  readonly swarm: SecureAskSwarm<Where>;
  readonly exchange: PeerExchange<Where>;
  readonly addr: Where;
}

/** Nodes on a network of IP addresses; what goes to a place where nobody is can be counted. */
function world(options: Partial<PeerExchangeOptions> = {}) {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 5 });
  const net = addressedRealm(realm, parseUdpAddr);
  const node = (i: number, place: string, more: Partial<PeerExchangeOptions> = {}): Node => {
    const key = testKey(i);
    const swarm = mbapp(p2pke(net.swarm(parseUdpAddr(place)), { privateKey: key })) as SecureAskSwarm<Where>;
    const exchange = peerExchange(swarm, { privateKey: key, ...options, ...more });
    return { key, id: peerIdOfKey(key.publicKey), swarm, exchange, addr: swarm.addr };
  };
  return { realm, net, node, run: <T>(promise: Promise<T>) => realm.clock.run(promise) };
}

/** Signs that a key is at some places, whether or not that is so. */
function claim(i: number, wallMs: number, ...places: readonly string[]): PeerRecord {
  const key = testKey(i);
  const id = peerIdOfKey(key.publicKey);
  const addrs = places.map((place) => `${id}@${place}`);
  return signPeerRecord(key, { addrs, issuedMs: Math.floor(wallMs), lifetimeMs: 600_000 });
}

/** A registry that counts the signatures it checks, in all and without a pause. */
function counting(): { readonly registry: KeyRegistry; readonly seen: { all: number; most: number } } {
  const seen = { all: 0, most: 0 };
  let inARow = 0;
  const registry: KeyRegistry = Object.create(defaultKeyRegistry, {
    verifier: {
      value: (spki: Uint8Array) => {
        const verifier = defaultKeyRegistry.verifier(spki);
        if (verifier === undefined) return undefined;
        return {
          publicKey: verifier.publicKey,
          verify: (message: Uint8Array, signature: Uint8Array) => {
            if (inARow++ === 0) queueMicrotask(() => (inARow = 0));
            seen.all++;
            seen.most = Math.max(seen.most, inARow);
            return verifier.verify(message, signature);
          },
        };
      },
    },
  }) as KeyRegistry;
  return { registry, seen };
}

/** What a swarm that lies answers from now on: any records. */
function answering(node: Node, wallMs: number, records: readonly Bytes[]): void {
  node.exchange[Symbol.dispose]();
  liars.get(node)?.[Symbol.dispose]();
  liars.set(
    node,
    node.swarm.serve(() => encodeExchange(wallMs, records, 1_000_000)),
  );
}

const liars = new WeakMap<Node, Disposable>();

describe('records that name a victim', () => {
  const VICTIM = '203.0.113.7';

  it('are not handed on before their address has led to their peer', async () => {
    const { realm, node, run } = world();
    const [alice, bob, mallory] = [
      node(1, '198.51.100.1:4000'),
      node(2, '198.51.100.2:4000'),
      node(3, '192.0.2.66:4000'),
    ];
    answering(mallory, realm.wallMs(), [claim(9, realm.wallMs(), `${VICTIM}:5000`).bytes]);
    await run(alice.exchange.exchange(mallory.addr));
    assert.equal(alice.exchange.records.length, 1);
    await run(bob.exchange.exchange(alice.addr));
    assert.deepEqual(
      bob.exchange.records.map(({ id }) => id),
      [alice.id],
    );
    await Promise.all([alice, bob, mallory].map(({ swarm }) => swarm.close()));
  });

  it('are handed on without the addresses that nobody has reached, and their peer adds the rest itself', async () => {
    const { node, run } = world();
    const [alice, bob] = [node(1, '198.51.100.1:4000'), node(2, '198.51.100.2:4000')];
    const carolId = peerIdOfKey(testKey(3).publicKey);
    const carol = node(3, '198.51.100.3:4000', {
      addrs: () => [`${carolId}@${VICTIM}:5000`, `${carolId}@198.51.100.3:4000`],
    });
    await run(carol.exchange.exchange(alice.addr));
    assert.equal(alice.exchange.record(carol.id)?.addrs.length, 2);
    await run(bob.exchange.exchange(alice.addr));
    assert.deepEqual(bob.exchange.record(carol.id)?.addrs, [`${carolId}@198.51.100.3:4000`]);
    await run(bob.exchange.exchange(carol.addr));
    assert.equal(bob.exchange.record(carol.id)?.addrs.length, 2);
    await Promise.all([alice, bob, carol].map(({ swarm }) => swarm.close()));
  });

  it('are tried once each, eight at one IP in a minute, 256 in all, and again with a newer record only', async () => {
    const { realm, node, run } = world({ maxPeersPerTeller: 2000, maxAnswerBytes: 1_000_000 });
    const [alice, mallory] = [node(1, '198.51.100.1:4000'), node(3, '192.0.2.66:4000')];
    const fakes = Array.from({ length: 60 }, (_, i) => i + 100);
    const aimed = (i: number, wallMs: number): PeerRecord => claim(i, wallMs, `${VICTIM}:${2000 + i}`);
    answering(
      mallory,
      realm.wallMs(),
      fakes.map((i) => aimed(i, realm.wallMs()).bytes),
    );
    await run(alice.exchange.exchange(mallory.addr));
    const tried = (): number =>
      fakes.reduce((sum, i) => sum + alice.exchange.candidates(peerIdOfKey(testKey(i).publicKey)).length, 0);
    assert.equal(tried(), 8);
    assert.equal(tried(), 0);
    assert.ok(alice.exchange.counters.drops.get('exchange.too_many_probes')! > 0);
    await realm.clock.advance(60_001);
    assert.equal(tried(), 8);
    const first = peerIdOfKey(testKey(100).publicKey);
    await realm.clock.advance(60_001);
    assert.equal(alice.exchange.candidates(first).length, 0, 'tried in the first minute, and no newer record came');
    await alice.swarm.close();
    await mallory.swarm.close();
  });

  it('that name many victims cost no more than the overall bound', async () => {
    const { realm, node, run } = world({ maxPeersPerTeller: 2000, maxAnswerBytes: 1_000_000, maxProbes: 20 });
    const [alice, mallory] = [node(1, '198.51.100.1:4000'), node(3, '192.0.2.66:4000')];
    const fakes = Array.from({ length: 50 }, (_, i) => i + 200);
    answering(
      mallory,
      realm.wallMs(),
      fakes.map((i) => claim(i, realm.wallMs(), `203.0.113.${i}:5000`).bytes),
    );
    await run(alice.exchange.exchange(mallory.addr));
    const ids = fakes.map((i) => peerIdOfKey(testKey(i).publicKey));
    assert.equal(
      ids.reduce((sum, id) => sum + alice.exchange.candidates(id).length, 0),
      20,
    );
    await alice.swarm.close();
    await mallory.swarm.close();
  });

  it('name no host, a well-known port, a private network of others, or nothing that can be read: never tried', async () => {
    const { realm, node, run } = world({ maxAnswerBytes: 1_000_000 });
    const [alice, mallory] = [node(1, '10.1.2.3:4000'), node(3, '10.9.9.9:4000')];
    const places = [
      '224.0.0.251:5353',
      '255.255.255.255:5000',
      '0.0.0.0:5000',
      '[ff02::fb]:5353',
      '[::]:5000',
      '192.168.0.1:5000',
      '172.16.0.1:5000',
      '127.0.0.1:5000',
      '[::1]:5000',
      '169.254.1.1:5000',
      '[fe80::1]:5000',
      '198.51.100.9:53',
      '198.51.100.9:1023',
      '198.51.100.9:0',
      'garbage',
    ];
    answering(
      mallory,
      realm.wallMs(),
      places.map((place, i) => claim(i + 10, realm.wallMs(), place).bytes),
    );
    await run(alice.exchange.exchange(mallory.addr));
    for (const [i, place] of places.entries()) {
      assert.deepEqual(alice.exchange.candidates(peerIdOfKey(testKey(i + 10).publicKey)), [], place);
    }
    const fine = claim(40, realm.wallMs(), '198.51.100.9:1024', '10.200.0.1:5000');
    answering(mallory, realm.wallMs(), [fine.bytes]);
    await run(alice.exchange.exchange(mallory.addr));
    assert.equal(alice.exchange.candidates(fine.id).length, 2);
    await alice.swarm.close();
    await mallory.swarm.close();
  });

  it('are believed for a quarter of an hour after they came, whatever they say', async () => {
    const { realm, node, run } = world();
    const [alice, mallory] = [node(1, '198.51.100.1:4000'), node(3, '192.0.2.66:4000')];
    const id = peerIdOfKey(testKey(9).publicKey);
    const long = signPeerRecord(testKey(9), {
      addrs: [`${id}@${VICTIM}:5000`],
      issuedMs: Math.floor(realm.wallMs()),
      lifetimeMs: 86_400_000,
    });
    answering(mallory, realm.wallMs(), [long.bytes]);
    await run(alice.exchange.exchange(mallory.addr));
    assert.equal(alice.exchange.records.length, 1);
    await realm.clock.advance(900_001);
    assert.equal(alice.exchange.records.length, 0);
    await alice.swarm.close();
    await mallory.swarm.close();
  });
});

describe('what is forgotten', () => {
  it('does not come back by hearsay, but by a newer record or from its peer itself', async () => {
    const { realm, node, run } = world();
    const [alice, bob, carol] = [
      node(1, '198.51.100.1:4000'),
      node(2, '198.51.100.2:4000'),
      node(3, '198.51.100.3:4000'),
    ];
    await run(carol.exchange.exchange(bob.addr));
    await run(alice.exchange.exchange(bob.addr));
    assert.equal(alice.exchange.forget(carol.id), true);
    await run(alice.exchange.exchange(bob.addr));
    assert.equal(alice.exchange.record(carol.id), undefined);
    await run(carol.exchange.exchange(alice.addr));
    assert.ok(alice.exchange.record(carol.id) !== undefined);
    alice.exchange.forget(carol.id);
    await realm.clock.advance(300_001);
    await run(carol.exchange.exchange(bob.addr));
    await run(alice.exchange.exchange(bob.addr));
    assert.ok(alice.exchange.record(carol.id) !== undefined, 'its record was signed anew');
    await Promise.all([alice, bob, carol].map(({ swarm }) => swarm.close()));
  });

  it('a peer that withdraws is known to have left, also by those it did not tell', async () => {
    const left: PeerId[] = [];
    const onRecord = ({ id, withdrawn }: PeerRecord): void => void (withdrawn && left.push(id));
    const { node, run } = world();
    const [alice, bob, carol] = [
      node(1, '198.51.100.1:4000', { onRecord }),
      node(2, '198.51.100.2:4000'),
      node(3, '198.51.100.3:4000'),
    ];
    await run(carol.exchange.exchange(bob.addr));
    await run(alice.exchange.exchange(bob.addr));
    assert.ok(alice.exchange.record(carol.id) !== undefined);
    await run(carol.exchange.withdraw());
    assert.equal(bob.exchange.record(carol.id), undefined);
    assert.deepEqual(bob.exchange.candidates(carol.id), []);
    await run(alice.exchange.exchange(bob.addr));
    assert.equal(alice.exchange.record(carol.id), undefined);
    assert.deepEqual(left, [carol.id]);
    await assert.rejects(run(carol.exchange.exchange(bob.addr)));
    await assert.rejects(run(carol.exchange.withdraw()));
    await Promise.all([alice, bob, carol].map(({ swarm }) => swarm.close()));
  });
});

describe('what is checked', () => {
  it('no record is verified twice, and none that is not newer than what is known', async () => {
    const { registry, seen } = counting();
    const { realm, node, run } = world({ maxAnswerBytes: 1_000_000 });
    const [alice, mallory] = [node(1, '198.51.100.1:4000', { registry }), node(3, '192.0.2.66:4000')];
    const records = Array.from({ length: 199 }, (_, i) => claim(i + 100, realm.wallMs(), `203.0.113.${i}:5000`));
    answering(
      mallory,
      realm.wallMs(),
      records.map(({ bytes }) => bytes),
    );
    await run(alice.exchange.exchange(mallory.addr));
    assert.equal(seen.all, 199);
    for (let round = 0; round < 5; round++) await run(alice.exchange.exchange(mallory.addr));
    assert.equal(seen.all, 199);
    const pruned = records.map(({ bytes }) => withoutAddrs(bytes, () => false));
    answering(mallory, realm.wallMs(), pruned);
    await run(alice.exchange.exchange(mallory.addr));
    const old = records.map((_, i) => claim(i + 100, realm.wallMs() - 1, `203.0.113.${i}:5001`).bytes);
    answering(mallory, realm.wallMs(), old);
    await run(alice.exchange.exchange(mallory.addr));
    assert.equal(seen.all, 199);
    await alice.swarm.close();
    await mallory.swarm.close();
  });

  it('an answer of 256 new records is checked in many turns, four signatures at most in each', async () => {
    const { registry, seen } = counting();
    const { realm, node, run } = world({ maxAnswerBytes: 1_000_000 });
    const [alice, mallory] = [node(1, '198.51.100.1:4000', { registry }), node(3, '192.0.2.66:4000')];
    const signer = generateKey({ algorithm: 'ecdsa-p256' });
    const forged = signPeerRecord(signer, { addrs: [], issuedMs: Math.floor(realm.wallMs()), lifetimeMs: 1000 }).bytes;
    forged[forged.length - 1]! ^= 1;
    answering(
      mallory,
      realm.wallMs(),
      Array.from({ length: 256 }, () => forged),
    );
    let [turns, ended] = [0, false];
    const tick = (): void => {
      turns++;
      if (!ended) nextTurn(tick);
    };
    tick();
    await run(alice.exchange.exchange(mallory.addr));
    ended = true;
    assert.equal(seen.all, 256);
    assert.ok(seen.most <= 4, `${seen.most} without a pause`);
    assert.ok(turns >= 64, `others got ${turns} turns`);
    await alice.swarm.close();
    await mallory.swarm.close();
  });

  it('a copy with addresses left out says the same, and no other address can be put in', () => {
    const record = claim(1, 1_700_000_000_000, '198.51.100.1:1', '198.51.100.2:2', '198.51.100.3:3');
    const copy = withoutAddrs(record.bytes, (addr) => addr.endsWith(':2'));
    const read = verifyPeerRecord(copy);
    assert.ok(typeof read === 'object');
    assert.deepEqual(read.addrs, [record.addrs[1]]);
    assert.equal(read.expiresMs, record.expiresMs);
    assert.deepEqual(readPeerRecord(copy)?.signed, readPeerRecord(record.bytes)?.signed);
    const text = String.fromCharCode(...copy).replace('198.51.100.2:2', '198.51.100.9:9');
    assert.equal(verifyPeerRecord(Uint8Array.from(text, (character) => character.charCodeAt(0))), 'bad_signature');
  });
});

describe('a book that is full', () => {
  const book = (): PeerBook => new PeerBook({ maxPeers: 100, maxPeersPerTeller: 1000 });

  it('one host with many keys takes room from its own network only', () => {
    const full = book();
    for (let i = 0; i < 20; i++) {
      const honest = claim(i, 1000, '198.51.100.1:1');
      assert.equal(typeof full.add(1000, honest.bytes, honest.id, `198.51.${i}.1`), 'object');
    }
    for (let i = 100; i < 300; i++) {
      const hostile = claim(i, 1000, '203.0.113.1:1');
      full.add(1000, hostile.bytes, hostile.id, `203.0.113.${i % 250}`);
    }
    for (let i = 20; i < 40; i++) {
      const newcomer = claim(i, 1000, '198.51.100.1:1');
      assert.equal(typeof full.add(1000, newcomer.bytes, newcomer.id, `198.51.${i}.1`), 'object', `newcomer ${i}`);
    }
    for (let i = 0; i < 40; i++) {
      assert.ok(full.get(1000, peerIdOfKey(testKey(i).publicKey)) !== undefined, `honest ${i} was pushed out`);
    }
    assert.equal(full.size, 100);
  });

  it('hearsay of one host makes room for that of others', () => {
    const full = book();
    const teller = (i: number): PeerId => peerIdOfKey(testKey(1000 + i).publicKey);
    for (let i = 0; i < 150; i++) full.add(1000, claim(i, 1000, '203.0.113.1:1').bytes, teller(i), '203.0.113.1');
    for (let i = 200; i < 220; i++) {
      const told = full.add(1000, claim(i, 1000, '198.51.100.1:1').bytes, teller(i), `198.51.${i}.1`);
      assert.equal(typeof told, 'object');
    }
    for (let i = 200; i < 220; i++) assert.ok(full.get(1000, peerIdOfKey(testKey(i).publicKey)) !== undefined);
  });
});
