import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { SourceShares, sourceOf } from '../../src/base/source-shares.ts';
import * as fc from '../support/fast-check.ts';

/** A table of at most `max` items that makes room as {@link SourceShares} says. */
function table(max: number): {
  readonly shares: SourceShares<string>;
  readonly take: (host: string, item: string) => boolean;
} {
  const shares = new SourceShares<string>();
  return {
    shares,
    take: (host, item) => {
      if (shares.size >= max) {
        const victim = shares.victimFor(host);
        if (victim === undefined) return false;
        shares.delete(victim);
      }
      shares.add(host, item);
      return true;
    },
  };
}

describe('sourceOf', () => {
  it('is the /24 of an IPv4 address, the /64 of an IPv6 address with its zone, and any other text itself', () => {
    const cases = [
      ['192.0.2.7', '192.0.2.0/24'],
      ['192.0.3.7', '192.0.3.0/24'],
      ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
      ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
      ['fe80::1%eth0', 'fe80::%eth0/64'],
      ['17', '17'],
      ['a.b.c.d', 'a.b.c.d'],
      ['', ''],
    ] as const;
    for (const [ip, source] of cases) assert.equal(sourceOf(ip), source, ip);
  });
});

describe('SourceShares', () => {
  it('one host that fills the table gives its oldest items to newcomers of other networks; others stay', () => {
    const { shares, take } = table(100);
    take('198.51.100.1', 'old');
    for (let i = 0; i < 500; i++) assert.equal(take('192.0.2.1', `flood ${i}`), true);
    for (let i = 0; i < 10; i++) assert.equal(take(`203.0.${i}.1`, `new ${i}`), true);
    for (let i = 500; i < 900; i++) take('192.0.2.1', `flood ${i}`);
    assert.equal(shares.size, 100);
    assert.equal(shares.has('old'), true);
    for (let i = 0; i < 10; i++) assert.equal(shares.has(`new ${i}`), true);
    assert.equal(shares.has('flood 899'), true);
    assert.equal(shares.has('flood 810'), false);
    assert.equal(shares.countOf('192.0.2.99'), 89);
  });

  it('a network counts as one source, and inside it the busiest host makes room', () => {
    const { shares, take } = table(10);
    for (let i = 0; i < 8; i++) take('192.0.2.1', `busy ${i}`);
    take('192.0.2.2', 'neighbour');
    take('198.51.100.1', 'other');
    assert.equal(take('192.0.2.3', 'newcomer'), true);
    assert.equal(shares.has('busy 0'), false);
    for (let i = 0; i < 40; i++) take(`192.0.2.${10 + i}`, `spread ${i}`);
    assert.equal(shares.has('other'), true);
    assert.equal(shares.countOf('192.0.2.1'), 9);
  });

  it('nobody makes room for a newcomer when each network holds one item', () => {
    const { shares, take } = table(3);
    for (let i = 0; i < 3; i++) take(`192.0.${i}.1`, `item ${i}`);
    assert.equal(take('198.51.100.1', 'newcomer'), false);
    assert.equal(shares.oldestOfBusiest, 'item 0');
    assert.equal(take('192.0.1.1', 'second of its host'), false);
  });

  it('a network may hold a fair number before it makes room, also for newcomers of its own', () => {
    const shares = new SourceShares<string>();
    for (const item of ['a', 'b', 'c']) shares.add('192.0.2.1', item);
    shares.add('198.51.100.1', 'other');
    for (const host of ['192.0.2.1', '192.0.2.2', '198.51.100.1', '203.0.113.1']) {
      assert.equal(shares.victimFor(host, 3), undefined, host);
      assert.equal(shares.victimFor(host, 2), 'a', host);
    }
    shares.add('198.51.100.2', 'neighbour');
    shares.add('198.51.100.1', 'second');
    assert.equal(shares.victimFor('198.51.100.1'), 'other', 'of equals the newcomer gives way to itself');
    assert.equal(shares.victimFor('198.51.100.2'), 'other');
    assert.equal(shares.victimFor('192.0.2.9'), 'a');
  });

  it('an item that is added again counts once, as the newest of its new host', () => {
    const shares = new SourceShares<string>();
    shares.add('192.0.2.1', 'x');
    shares.add('192.0.2.1', 'y');
    shares.add('192.0.2.1', 'x');
    assert.equal(shares.oldestOfBusiest, 'y');
    shares.add('198.51.100.1', 'x');
    assert.deepEqual([shares.countOf('192.0.2.1'), shares.countOf('198.51.100.1'), shares.size], [1, 1, 2]);
    shares.clear();
    assert.deepEqual([shares.size, shares.oldestOfBusiest, shares.victimFor('192.0.2.1')], [0, undefined, undefined]);
  });

  it('any order of adding and deleting: counts are right, and the victim is of the busiest host of the busiest network', () => {
    const step = fc.record({ network: fc.nat(3), host: fc.nat(2), item: fc.nat(30), remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
        const shares = new SourceShares<number>();
        const model = new Map<number, string>();
        for (const { network, host, item, remove } of steps) {
          const ip = `10.0.${network}.${host}`;
          assert.equal(remove && shares.delete(item), remove && model.has(item));
          model.delete(item);
          if (!remove) {
            shares.add(ip, item);
            model.set(item, ip);
          }
          assert.equal(shares.size, model.size);
          const most = (names: readonly string[]): number =>
            Math.max(0, ...names.map((name) => names.filter((other) => other === name).length));
          const victim = shares.oldestOfBusiest;
          assert.equal(victim === undefined, model.size === 0);
          if (victim === undefined) continue;
          const from = model.get(victim)!;
          assert.equal(shares.countOf(from), most([...model.values()].map(sourceOf)));
          const beside = [...model.values()].filter((other) => sourceOf(other) === sourceOf(from));
          assert.equal(beside.filter((other) => other === from).length, most(beside));
          const [oldest] = [...model].find(([, other]) => other === from)!;
          assert.equal(victim, oldest);
        }
      }),
    );
  });

  it('of hosts of one network with as many, the newcomer gives up its own', () => {
    const shares = new SourceShares<string>();
    for (const item of ['a1', 'a2']) shares.add('10.0.0.1', item);
    for (const item of ['b1', 'b2']) shares.add('10.0.0.2', item);
    assert.equal(shares.victimFor('10.0.0.2'), 'b1');
    assert.equal(shares.victimFor('10.0.0.1'), 'a1');
    shares.add('10.0.0.1', 'a3');
    assert.equal(shares.victimFor('10.0.0.2'), 'a1');
  });
});
