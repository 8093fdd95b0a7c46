/** Hellos that cross, come late, or are welcomed after they were given up: both sides have the path, or neither. In virtual time. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { CandidateSource } from '../../src/core/candidate.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { openPeers, type PeerChange, type Peers } from '../../src/peers/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { createMemoryRealm, type MemoryRealm } from '../../src/swarms/memory/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { PeersWorld, watch } from '../support/peers-world.ts';

before(() => loadQuicEngine());

const LATENCY_MS = 50;
const count = (changes: readonly PeerChange[], type: string): number =>
  changes.filter((change) => change.type === type).length;

/** Two nodes with two memory transports; each knows the other one by another transport. */
async function crossing(options = {}): Promise<{ realm: MemoryRealm<VirtualClock>; alice: Peers; bob: Peers }> {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 3, netem: { latencyMs: LATENCY_MS } });
  const addrs = new Map<PeerId, string>();
  const source: CandidateSource = {
    candidates: (id?: PeerId) => {
      const addr = id === undefined ? undefined : addrs.get(id);
      return addr === undefined ? [] : [{ id, addr, source: 'map', seenMs: 0, expiresMs: Infinity, trust: 'given' }];
    },
  };
  const open = async (i: number, reachedBy: string): Promise<Peers> => {
    const { publicKey } = testKey(i);
    const transports = ['one', 'two'].map((name) => ({ name, swarm: realm.secureSwarm(publicKey) }));
    const node = await openPeers({ privateKey: testKey(i), realm, transports, sources: [source], ...options });
    addrs.set(
      node.id,
      node.addrs.find((addr) => addr.startsWith(reachedBy))!,
    );
    node.serve(({ payload }) => payload);
    return node;
  };
  return { realm, alice: await open(0, 'one'), bob: await open(1, 'two') };
}

describe('openPeers: hellos that cross', () => {
  it('on two transports leave no path that only one side has', async () => {
    const { realm, alice, bob } = await crossing({ dialBack: false });
    const { clock } = realm;
    const answers: string[] = [];
    const ask = (from: Peers, to: Peers): void =>
      void from.ask(to.id, encodeText('?'), { timeoutMs: 10_000 }).then((answer) => answers.push(decodeText(answer)!));
    ask(alice, bob);
    ask(bob, alice);
    // A hello, its welcome, and an ask each way.
    await clock.advance(5 * LATENCY_MS);
    assert.deepEqual(answers, ['?', '?']);
    for (const node of [alice, bob]) assert.equal(node.counters.drops.get('peers.no_path'), undefined);
    await clock.run(Promise.all([alice.close(), bob.close()]));
  });

  it('and take longer than a session waits for a path begin one session', async () => {
    const { realm, alice, bob } = await crossing({ dialBack: false, resumeMs: LATENCY_MS / 2 });
    const changes = [watch(alice), watch(bob)];
    alice.maintain(bob.id);
    bob.maintain(alice.id);
    await realm.clock.advance(10_000);
    for (const seen of changes) assert.deepEqual([count(seen, 'connected'), count(seen, 'lost')], [1, 0]);
    await realm.clock.run(Promise.all([alice.close(), bob.close()]));
  });
});

describe('openPeers: an attempt that was given up', () => {
  it('leaves no session with the peer, which has one already', async () => {
    const { realm, alice, bob } = await crossing({ dialBack: false });
    const { clock } = realm;
    const changes = watch(bob);
    await assert.rejects(clock.run(alice.connect(bob.id, { timeoutMs: 1.5 * LATENCY_MS })), { code: 'timeout' });
    assert.equal(bob.list()[0]?.state, 'connected');
    await clock.advance(2 * LATENCY_MS);
    assert.deepEqual([alice.list(), bob.list()], [[], []]);
    assert.deepEqual(
      changes.flatMap((change) => (change.type === 'lost' ? [change.reason] : [])),
      ['the peer ended it: the attempt was given up'],
    );
    await clock.run(Promise.all([alice.close(), bob.close()]));
  });

  it('is made again for a claimed address, whose one try it was not', async () => {
    const w = new PeersWorld({ latencyMs: 50, trace: undefined });
    const bob = await w.open(1);
    bob.serve(({ payload }) => payload);
    const claims: CandidateSource = {
      candidates: (id?: PeerId) =>
        id !== bob.id
          ? []
          : bob.addrs.map((addr) => ({
              id,
              addr,
              source: 'claims',
              seenMs: 0,
              expiresMs: Infinity,
              trust: 'claimed' as const,
            })),
    };
    const alice = await w.open(0, w.net.host(), { sources: [claims] });
    for (let i = 0; i < 3; i++) {
      await assert.rejects(w.run(alice.ask(bob.id, encodeText('?'), { timeoutMs: 60 })), { code: 'timeout' });
    }
    assert.equal(decodeText(await w.run(alice.ask(bob.id, encodeText('!'), { timeoutMs: 5000 }))), '!');
    // Eight a minute, of two transports each: what is given up does not go on for ever.
    const carol = await w.open(2, w.net.host(), { sources: [claims] });
    for (let i = 0; i < 20; i++) await w.run(carol.connect(bob.id, { timeoutMs: 30 }).catch(() => undefined));
    const refused = carol.explain(bob.id).reach!.refused.map(({ reason }) => reason);
    assert.ok(
      refused.some((reason) => reason.includes('too many')),
      refused.join('; '),
    );
    await w.close();
  });
});

describe('openPeers: a welcome', () => {
  it('opens no path that the policy has excluded since the hello', async () => {
    const { realm, alice, bob } = await crossing({ dialBack: false });
    const refused = assert.rejects(realm.clock.run(alice.connect(bob.id, { timeoutMs: 3000 })));
    await realm.clock.advance(LATENCY_MS);
    alice.setPolicy(bob.id, 'relayed');
    await realm.clock.advance(2 * LATENCY_MS);
    assert.notEqual(alice.list()[0]?.state, 'connected');
    await realm.clock.advance(3000);
    await refused;
    await realm.clock.run(Promise.all([alice.close(), bob.close()]));
  });
});
