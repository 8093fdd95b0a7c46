/** One budget for what all peers make one hold, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { MemoryBudget } from '../../src/sessions/memory-budget.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';

const MAX = 1_000_000;
const FLOOR = 8192;

function world() {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  const budget = new MemoryBudget(MAX, realm);
  const log: string[] = [];
  const join = (ip: string, name = ip) => {
    const holder = budget.join(ip, {
      resume: () => void log.push(`resume ${name}`),
      end: () => {
        log.push(`end ${name}`);
        holder.leave();
        holder.update(0, 0);
      },
    });
    return holder;
  };
  return { realm, budget, log, join };
}

/** One that holds least, and so goes on first although the budget is used up. */
function favoured(join: ReturnType<typeof world>['join']): void {
  const first = join('203.0.113.200', 'first');
  first.update(9000, 9000);
  first.wait();
}

describe('MemoryBudget', () => {
  it('lets peers of one network hold three quarters, all hold the whole, and each its floor up to twice the whole', () => {
    const { budget, join } = world();
    const [a, b, c] = [join('192.0.2.1'), join('192.0.2.99'), join('198.51.100.1')];
    const share = (MAX * 3) / 4;
    assert.equal(a.mayTake(2 * MAX), true, 'alone');
    assert.equal(a.mayTake(2 * MAX + 1), false);
    const other = join('233.252.0.1');
    other.update(1, 0);
    assert.equal(a.mayTake(share), true);
    assert.equal(a.mayTake(share + 1), false);
    a.update(share, 0);
    assert.equal(b.mayTake(FLOOR), true, 'its floor');
    assert.equal(b.mayTake(FLOOR + 1), false, 'the same network');
    assert.equal(c.mayTake(MAX - share - 1), true);
    assert.equal(c.mayTake(MAX - share), false, 'the whole');
    other.update(0, 0);
    c.update(MAX - share, 0);
    assert.equal(budget.held, MAX);
    assert.equal(budget.free, 0);
    const d = join('203.0.113.1');
    assert.equal(d.mayTake(FLOOR + 1), false);
    assert.equal(d.mayTake(FLOOR), true);
    const reads = 5 * 65_536; // one for each of them
    c.update(2 * MAX + reads - share - FLOOR, 0);
    assert.equal(d.mayTake(FLOOR), true);
    c.update(2 * MAX + reads - share - FLOOR + 1, 0);
    assert.equal(d.mayTake(FLOOR), false, 'twice the whole, and the reads');
  });

  it('resumes those that wait in their order, once there is room for them, and each once', async () => {
    const { realm, budget, log, join } = world();
    const [a, b, c] = [join('192.0.2.1'), join('198.51.100.1'), join('203.0.113.1')];
    a.update(MAX, 0);
    b.update(20_000, 0);
    c.update(30_000, 0);
    c.wait();
    b.wait();
    await realm.clock.advance(10);
    assert.deepEqual(log, []);
    assert.equal(budget.waiting, 2);
    a.update(MAX - 50_000, 0);
    assert.deepEqual(log, [], 'in a later turn');
    await realm.clock.advance(10);
    assert.deepEqual(log, ['resume 203.0.113.1', 'resume 198.51.100.1']);
    a.update(0, 0);
    await realm.clock.advance(10);
    assert.equal(log.length, 2);
    assert.equal(budget.waiting, 0);
  });

  it('one that waits while there is room goes on in a later turn', async () => {
    const { realm, log, join } = world();
    join('192.0.2.1').wait();
    await realm.clock.advance(0);
    assert.deepEqual(log, ['resume 192.0.2.1']);
  });

  it('ends what moves nothing for 5 s while others wait, of the network that holds most first, until half is free', async () => {
    const { realm, log, join } = world();
    const [honest, big, small] = [join('198.51.100.1'), join('192.0.2.1', 'big'), join('192.0.2.2', 'small')];
    honest.update(300_000, 300_000);
    big.update(500_000, 500_000);
    small.update(200_000, 200_000);
    favoured(join);
    const waiting = join('203.0.113.1', 'newcomer');
    waiting.update(10_000, 0);
    waiting.wait();
    await realm.clock.advance(4999);
    assert.deepEqual(log, ['resume first']);
    await realm.clock.advance(1001);
    assert.deepEqual(log, ['resume first', 'end big', 'end small', 'resume newcomer']);
    await realm.clock.advance(60_000);
    assert.equal(log.length, 4, 'nobody waits any more');
  });

  it('does not end what moves 16 KiB in 5 s, what waits for us, or the floor', async () => {
    const { realm, log, join } = world();
    const [moving, ours, floor, drips] = [
      join('192.0.2.1'),
      join('198.51.100.1'),
      join('198.51.101.1'),
      join('198.51.102.1', 'drips'),
    ];
    moving.update(500_000, 500_000);
    ours.update(400_000, 8192);
    floor.update(8192, 8192);
    drips.update(150_000, 150_000);
    favoured(join);
    await realm.clock.advance(1000);
    assert.deepEqual(log.splice(0), ['resume first']);
    const waiting = join('203.0.113.1', 'newcomer');
    waiting.update(10_000, 0);
    waiting.wait();
    for (let i = 0; i < 30; i++) {
      moving.move(8192);
      if (log.length === 0) drips.move(1000);
      await realm.clock.advance(1000);
    }
    assert.deepEqual(log, ['end drips', 'end first', 'resume newcomer']);
  });

  it('ends one that waits for itself alone, rather than let it wait for ever', async () => {
    const { realm, log, join } = world();
    const alone = join('192.0.2.1');
    alone.update(2_100_000, 2_100_000);
    alone.wait();
    await realm.clock.advance(4999);
    assert.deepEqual(log, []);
    await realm.clock.advance(1001);
    assert.deepEqual(log, ['end 192.0.2.1']);
  });

  it('one after the other goes on beyond the budget, the smallest first, up to twice the budget', async () => {
    const { realm, log, join } = world();
    const peers = [1, 2, 3, 4].map((i) => join(`192.0.${i}.1`, `${i}`));
    for (const [i, peer] of peers.entries()) {
      peer.update(260_000 - i, 260_000 - i);
      peer.wait();
    }
    await realm.clock.advance(1000);
    assert.deepEqual(log, ['resume 4']);
    assert.equal(peers[3]!.mayTake(1_000_000), true);
    assert.equal(peers[3]!.mayTake(1_300_000), false);
    assert.equal(peers[2]!.mayTake(260_000), false);
    // Its message is whole and done with: there is room for the others.
    peers[3]!.update(0, 0);
    await realm.clock.advance(0);
    assert.deepEqual(log.splice(0), ['resume 4', 'resume 1', 'resume 2', 'resume 3']);
  });

  it('honest peers that fill the budget together are not ended while they wait for each other', async () => {
    const { realm, log, join } = world();
    const peers = [1, 2, 3].map((i) => join(`192.0.${i}.1`, `${i}`));
    for (const peer of peers) {
      peer.update(340_000, 340_000);
      peer.wait();
    }
    for (const [i, peer] of peers.entries()) {
      // 4 s for what is missing of its message.
      for (let second = 0; second < 4; second++) {
        await realm.clock.advance(1000);
        peer.move(20_000);
      }
      assert.ok(log.includes(`resume ${i + 1}`), log.join());
      peer.update(0, 0);
      await realm.clock.advance(0);
    }
    assert.ok(!log.some((line) => line.startsWith('end')), log.join());
  });

  it('arms nothing once nobody waits, and what a peer that left still holds counts until it is less', async () => {
    const { realm, budget, log, join } = world();
    const [a, b] = [join('192.0.2.1'), join('198.51.100.1')];
    a.update(MAX, 0);
    b.update(10_000, 0);
    b.wait();
    b.leave();
    b.update(0, 0);
    a.leave();
    assert.equal(budget.held, MAX);
    assert.equal(join('203.0.113.1').mayTake(10_000), false);
    a.update(0, 0);
    assert.equal(budget.held, 0);
    await realm.clock.advance(10_000);
    assert.deepEqual(log, []);
    assert.equal(budget.waiting, 0);
  });
});
