/** Five hundred connection managers in one process: they meet, churn and part, and a seed replays the run. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { Candidate, CandidateSource } from '../../src/core/candidate.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { generateKey, type PrivateKey } from '../../src/identity/keys.ts';
import { openPeers, type Peers } from '../../src/peers/index.ts';
import { createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';

const NODES = 500;
const FRIENDS = 3;

interface Outcome {
  /** A hash of everything that was reported, in order. */
  readonly hash: number;
  readonly reports: number;
  readonly delivered: number;
  readonly told: number;
}

async function simulate(seed: number): Promise<Outcome> {
  const realm = createMemoryRealm({ clock: 'virtual', seed, netem: { latencyMs: 20, jitterMs: 10 } });
  const { clock } = realm;
  const random = createSeededRandom(`churn ${seed}`);
  const keys: PrivateKey[] = Array.from({ length: NODES }, () =>
    generateKey({ random: (length) => random.bytes(length) }),
  );
  const where = new Map<PeerId, string>();
  const source: CandidateSource = {
    candidates: (id?: PeerId): Candidate[] => {
      const addr = id === undefined ? undefined : where.get(id);
      return addr === undefined ? [] : [{ id, addr, source: 'map', seenMs: 0, expiresMs: Infinity, trust: 'given' }];
    },
  };
  let hash = 0;
  let reports = 0;
  let delivered = 0;
  let told = 0;
  const note = (text: string): void => {
    reports++;
    for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  };
  const nodes: Peers[] = [];
  const open = async (i: number): Promise<void> => {
    const swarm = realm.secureSwarm(keys[i]!.publicKey);
    const node = await openPeers({
      privateKey: keys[i]!,
      realm,
      transports: [{ name: 'mem', swarm }],
      sources: [source],
      dialBack: false,
    });
    nodes[i] = node;
    where.set(node.id, `mem://${memoryAddr(Number(swarm.addr.text)).text}`);
    node.listen(() => void delivered++);
    void (async () => {
      for await (const change of node.changes()) {
        note(`${realm.nowMs()} ${i} ${change.type} ${'id' in change ? change.id : ''}`);
      }
    })();
  };
  for (let i = 0; i < NODES; i++) await open(i);
  const friends = nodes.map((_, i) =>
    Array.from({ length: FRIENDS }, () => (i + 1 + Math.floor(random.next() * (NODES - 1))) % NODES),
  );
  const meet = (i: number): void => {
    for (const friend of friends[i]!) nodes[i]!.maintain(nodes[friend]!.id);
  };
  for (let i = 0; i < NODES; i++) meet(i);
  await clock.advance(2000);
  for (let round = 0; round < 5; round++) {
    // A tenth leaves and comes back with the same key at another address.
    const gone = Array.from({ length: NODES / 10 }, () => Math.floor(random.next() * NODES));
    for (const i of new Set(gone)) {
      await clock.run(nodes[i]!.close());
      await open(i);
      meet(i);
    }
    // What was sent to a process that has ended is lost with it.
    await clock.advance(100);
    for (let i = 0; i < NODES; i++) {
      told++;
      void nodes[i]!.tell(nodes[friends[i]![0]!]!.id, Uint8Array.of(round));
    }
    await clock.advance(20_000);
  }
  await clock.advance(60_000);
  for (let i = 0; i < NODES; i++) {
    const connected = new Set(nodes[i]!.list().flatMap(({ id, state }) => (state === 'connected' ? [id] : [])));
    for (const friend of friends[i]!) assert.ok(connected.has(nodes[friend]!.id), `${i} has lost ${friend}`);
  }
  await clock.run(Promise.all(nodes.map((node) => node.close())));
  return { hash, reports, delivered, told };
}

describe('openPeers: 500 nodes', () => {
  it('that meet, churn and part find each other again, lose no tell, and the same seed gives the same run', async () => {
    const first = await simulate(1);
    assert.ok(first.reports > 3000, `${first.reports} reports`);
    assert.equal(first.delivered, first.told);
    assert.deepEqual(await simulate(1), first);
  });
});
