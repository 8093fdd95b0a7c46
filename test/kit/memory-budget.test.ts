/** One budget for what all peers make one hold, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { MemoryBudget } from '../../src/kit/memory-budget.ts';
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

describe('MemoryBudget', () => {
  it('lets peers of one network hold three quarters, all hold the whole, and each its floor up to twice the whole', () => {
    const { budget, join } = world();
    const [a, b, c] = [join('192.0.2.1'), join('192.0.2.99'), join('198.51.100.1')];
    const share = (MAX * 3) / 4;
    assert.equal(a.mayTake(share), true);
    assert.equal(a.mayTake(share + 1), false);
    a.update(share, 0);
    assert.equal(b.mayTake(FLOOR), true, 'its floor');
    assert.equal(b.mayTake(FLOOR + 1), false, 'the same network');
    assert.equal(c.mayTake(MAX - share), true);
    c.update(MAX - share, 0);
    assert.equal(budget.held, MAX);
    assert.equal(budget.free, 0);
    const d = join('203.0.113.1');
    assert.equal(d.mayTake(FLOOR + 1), false);
    assert.equal(d.mayTake(FLOOR), true);
    c.update(2 * MAX - share - FLOOR, 0);
    assert.equal(d.mayTake(FLOOR), true);
    c.update(2 * MAX - share - FLOOR + 1, 0);
    assert.equal(d.mayTake(FLOOR), false, 'twice the whole');
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

  it('ends what moves nothing for 5 s while others wait, of the network that holds most, and no more than is needed', async () => {
    const { realm, log, join } = world();
    const [honest, big, small] = [join('198.51.100.1'), join('192.0.2.1', 'big'), join('192.0.2.2', 'small')];
    honest.update(300_000, 300_000);
    big.update(500_000, 500_000);
    small.update(200_000, 200_000);
    const waiting = join('203.0.113.1', 'newcomer');
    waiting.update(10_000, 0);
    waiting.wait();
    await realm.clock.advance(4999);
    assert.deepEqual(log, []);
    await realm.clock.advance(1001);
    assert.deepEqual(log, ['end big', 'resume newcomer']);
    await realm.clock.advance(60_000);
    assert.equal(log.length, 2, 'nobody waits any more');
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
    const waiting = join('203.0.113.1', 'newcomer');
    waiting.update(10_000, 0);
    waiting.wait();
    for (let i = 0; i < 30; i++) {
      moving.move(8192);
      if (log.length === 0) drips.move(1000);
      await realm.clock.advance(1000);
    }
    assert.deepEqual(log, ['end drips', 'resume newcomer']);
    waiting.update(200_000, 0);
    waiting.wait();
    for (let i = 0; i < 30; i++) {
      moving.move(8192);
      await realm.clock.advance(1000);
    }
    assert.equal(log.length, 2);
    await realm.clock.advance(7000);
    assert.deepEqual(log.slice(2), ['end 192.0.2.1', 'resume newcomer']);
  });

  it('ends one that waits for itself alone, rather than let it wait for ever', async () => {
    const { realm, log, join } = world();
    const alone = join('192.0.2.1');
    alone.update(800_000, 800_000);
    alone.wait();
    await realm.clock.advance(4999);
    assert.deepEqual(log, []);
    await realm.clock.advance(1001);
    assert.deepEqual(log, ['end 192.0.2.1']);
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
