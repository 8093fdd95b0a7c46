import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { type Candidate, Lookup, type LookupOptions, type Seed } from '../../../src/protocols/kademlia/lookup.ts';
import { FORM } from '../../../src/protocols/kademlia/messages.ts';
import { closerTo, type KeyText, keyText } from '../../../src/protocols/kademlia/position.ts';
import { RoundTrips } from '../../../src/protocols/kademlia/round-trips.ts';

const random = createSeededRandom('lookup');
const text = (): KeyText => keyText(random.bytes(32));
const target = text();
const seed = (position: KeyText = text(), addr = ''): Seed => ({ id: position, position, addr, form: FORM.binary });
const make = (seeds: readonly Seed[], options: Partial<LookupOptions> = {}): Lookup =>
  new Lookup(
    {
      target,
      width: 4,
      alpha: 3,
      paths: 1,
      asksPerWidth: 8,
      maxTries: 3,
      maxPerNetwork: 2,
      networkOf: (addr) => addr,
      positionOf: (id) => id,
      self: keyText(new Uint8Array(32)),
      ...options,
    },
    seeds,
  );
const nearestFirst = (seeds: readonly Seed[]): Seed[] =>
  seeds.toSorted((a, b) => closerTo(target, a.position, b.position));

describe('a lookup', () => {
  it('asks the closest nodes first, alpha at a time, and ends when the closest have answered', () => {
    const seeds = nearestFirst(Array.from({ length: 10 }, () => seed()));
    const lookup = make(seeds);
    const asked = [lookup.next(), lookup.next(), lookup.next()] as Candidate[];
    assert.deepEqual(
      asked.map(({ id }) => id),
      seeds.slice(0, 3).map(({ id }) => id),
    );
    assert.equal(lookup.next(), undefined);
    for (const each of asked) lookup.handleAnswer(each, []);
    const fourth = lookup.next()!;
    assert.equal(fourth.id, seeds[3]!.id);
    assert.equal(lookup.next(), undefined);
    assert.equal(lookup.ended, undefined);
    lookup.handleAnswer(fourth, []);
    assert.equal(lookup.next(), undefined);
    assert.equal(lookup.ended, 'converged');
    assert.deepEqual(
      lookup.nearest().map(({ id }) => id),
      seeds.slice(0, 4).map(({ id }) => id),
    );
    assert.equal(lookup.hops, 1);
  });

  it('asks nobody twice, and counts how many answers led to a node', () => {
    const [close, closer, closest] = nearestFirst([seed(), seed(), seed()]).toReversed() as [Seed, Seed, Seed];
    const lookup = make([close]);
    const first = lookup.next()!;
    lookup.handleAnswer(first, [closer, closer, close]);
    const second = lookup.next()!;
    assert.equal(second.id, closer.id);
    assert.deepEqual(lookup.handleAnswer(second, [close, closest, second]), { self: 1, farther: 0, network: 0 });
    const third = lookup.next()!;
    lookup.handleAnswer(third, [close, closer]);
    assert.equal(lookup.next(), undefined);
    assert.equal(lookup.ended, 'converged');
    assert.deepEqual([lookup.asked, lookup.answered, lookup.hops], [3, 3, 3]);
  });

  it('takes nothing that is farther than the closest that have answered', () => {
    const seeds = nearestFirst(Array.from({ length: 8 }, () => seed()));
    const lookup = make(seeds.slice(0, 4));
    for (let each = lookup.next(); each !== undefined; each = lookup.next()) {
      const isLast = lookup.answered === 3;
      const { farther } = lookup.handleAnswer(each, isLast ? seeds.slice(4) : []);
      assert.equal(farther, isLast ? 4 : 0);
    }
    assert.equal(lookup.ended, 'converged');
  });

  it('is not blocked by slow nodes: others are asked meanwhile, and a slow one again', () => {
    const seeds = nearestFirst(Array.from({ length: 8 }, () => seed()));
    const lookup = make(seeds);
    const slow = [lookup.next(), lookup.next(), lookup.next()] as Candidate[];
    for (const each of slow) {
      assert.equal(lookup.handleFailure(each, false), false);
      lookup.askAgain(each);
    }
    assert.equal(lookup.next()?.id, seeds[3]!.id);
    for (const each of slow) {
      lookup.handleFailure(each, false);
      lookup.askAgain(each);
      assert.equal(lookup.handleFailure(each, false), true);
    }
    assert.equal(lookup.next()?.id, seeds[4]!.id);
    assert.equal(lookup.failed, 3);
  });

  it('ends at its bound of requests', () => {
    const lookup = make([seed()], { asksPerWidth: 2 });
    let asked = 0;
    for (let each = lookup.next(); each !== undefined; each = lookup.next()) {
      asked++;
      // Each names somebody who is closer, for ever.
      const position = `${target.slice(0, asked)}${String.fromCharCode(target.charCodeAt(asked) ^ 1)}${target.slice(asked + 1)}`;
      lookup.handleAnswer(each, [seed(position)]);
    }
    assert.equal(lookup.ended, 'too_many_asks');
    assert.equal(asked, 8);
  });

  it('has no more nodes of a network among the candidates than it may', () => {
    const lookup = make([seed(), seed(text(), '203.0.113.0/24')]);
    const each = lookup.next()!;
    const named = Array.from({ length: 5 }, () => seed(text(), '203.0.113.0/24'));
    assert.equal(lookup.handleAnswer(each, named).network, 4);
  });

  it('has no node on two disjoint paths', () => {
    const seeds = Array.from({ length: 9 }, () => seed());
    const lookup = make(seeds, { paths: 3, alpha: 1 });
    const firsts = [lookup.next(), lookup.next(), lookup.next()] as Candidate[];
    assert.deepEqual(new Set(firsts.map(({ path }) => path)), new Set([0, 1, 2]));
    const common = Array.from({ length: 4 }, () => seed());
    for (const each of firsts) lookup.handleAnswer(each, common);
    const ids: KeyText[] = [];
    for (let each = lookup.next(); each !== undefined; each = lookup.next()) {
      ids.push(each.id);
      lookup.handleAnswer(each, common);
    }
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(lookup.ended, 'converged');
  });

  it('does not follow a node all of whose named nodes fail', () => {
    const lookup = make([seed()], { width: 16, alpha: 16 });
    const asked = lookup.next()!;
    lookup.handleAnswer(
      asked,
      Array.from({ length: 64 }, () => seed()),
    );
    let failed = 0;
    for (let each = lookup.next(); each !== undefined; each = lookup.next()) {
      lookup.handleFailure(each, true);
      failed++;
    }
    assert.equal(failed, 4);
    assert.equal(lookup.ended, 'converged');
  });

  it('ends at once without nodes, and says so', () => {
    const lookup = make([]);
    assert.equal(lookup.next(), undefined);
    assert.equal(lookup.ended, 'no_peers');
    const silent = make([seed()]);
    silent.handleFailure(silent.next()!, true);
    silent.next();
    assert.equal(silent.ended, 'no_answer');
  });
});

describe('the time for an answer', () => {
  it('follows the measured round trips, grows with each try, and stays in its bounds', () => {
    const trips = new RoundTrips();
    assert.equal(trips.timeoutMs(undefined, 0), 2000);
    let smoothed: number | undefined;
    for (let i = 0; i < 50; i++) smoothed = trips.measured(100, smoothed);
    assert.equal(Math.round(smoothed!), 100);
    const known = trips.timeoutMs(smoothed, 0);
    assert.ok(known >= 250 && known < 500, `${known} ms`);
    assert.equal(trips.timeoutMs(smoothed, 1), 2 * known);
    assert.ok(trips.timeoutMs(undefined, 0) >= known, 'a session may have to be opened first');
    assert.equal(trips.timeoutMs(smoothed, 20), 5000);
    for (let i = 0; i < 50; i++) smoothed = trips.measured(3000, smoothed);
    assert.ok(trips.timeoutMs(smoothed, 0) > 2900);
  });
});
