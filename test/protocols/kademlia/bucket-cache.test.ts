import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compareBytes, fromHex } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { BucketCache } from '../../../src/protocols/kademlia/bucket-cache.ts';
import { compareDistances, distanceLeadingZeros, leadingZeros } from '../../../src/protocols/kademlia/distance.ts';

const hex = (text: string): Uint8Array => fromHex(text);
const zero = new Uint8Array(32);

describe('the bucket cache', () => {
  it('gives back what was put, until it expires', () => {
    const cache = new BucketCache<string>(zero, 10);
    assert.deepEqual(cache.put(hex('80'), 'a', 5, 100), { added: true, evicted: undefined });
    assert.equal(cache.get(hex('80'), 99)?.value, 'a');
    assert.equal(cache.has(hex('81'), 99), false);
    assert.equal(cache.get(hex('80'), 100), undefined);
    assert.equal(cache.count, 1);
    assert.deepEqual(
      cache.expire(100).map(({ value }) => value),
      ['a'],
    );
    assert.equal(cache.count, 0);
  });

  it('does not shrink over time: expired entries leave room for new ones', () => {
    const cache = new BucketCache<number>(zero, 4);
    for (let i = 0; i < 100; i++) {
      assert.equal(cache.put(Uint8Array.of(128 + i), i, i, i + 1).added, true);
      cache.expire(i + 1);
    }
    for (let i = 0; i < 4; i++) assert.equal(cache.put(Uint8Array.of(i + 1), i, 0, Infinity).added, true);
    assert.equal(cache.count, 4);
  });

  it('keeps the time of creation of a key that is put again', () => {
    const cache = new BucketCache<number>(zero, 4);
    cache.put(hex('80'), 1, 10, Infinity);
    cache.put(hex('80'), 2, 20, Infinity);
    assert.deepEqual({ ...cache.get(hex('80'), 0) }, { key: hex('80'), value: 2, createdMs: 10, expiresMs: Infinity });
    assert.equal(cache.count, 1);
  });

  it('treats an expired entry as a new one', () => {
    const cache = new BucketCache<number>(zero, 4);
    cache.put(hex('80'), 1, 10, 20);
    let before: unknown = 1;
    cache.update(
      hex('80'),
      (entry) => {
        before = entry;
        return { value: 2, createdMs: 30, expiresMs: 40 };
      },
      30,
    );
    assert.equal(before, undefined);
    assert.equal(cache.get(hex('80'), 30)?.createdMs, 30);
  });

  it('evicts the newest entry of the farthest bucket', () => {
    const cache = new BucketCache<string>(zero, 3);
    cache.put(hex('80'), 'old', 1, Infinity);
    cache.put(hex('81'), 'new', 2, Infinity);
    cache.put(hex('40'), 'closer', 3, Infinity);
    assert.equal(cache.put(hex('20'), 'closest', 4, Infinity).evicted?.value, 'new');
    assert.equal(cache.put(hex('82'), 'newer', 5, Infinity).added, false);
    assert.equal(cache.put(hex('83'), 'older', 0, Infinity).evicted?.value, 'old');
    assert.equal(cache.count, 3);
  });

  it('leaves each bucket its minimum, and takes nothing when nothing may be evicted', () => {
    const cache = new BucketCache<number>(Uint8Array.of(0), 8, 1);
    for (let i = 0; i < 8; i++) assert.equal(cache.put(Uint8Array.of(1 << i), i, 0, Infinity).added, true);
    // The ninth bucket holds the locus itself, and no bucket has more than its minimum.
    assert.equal(cache.wouldAdd(Uint8Array.of(0), 1), false);
    assert.equal(cache.put(Uint8Array.of(0), 9, 1, Infinity).added, false);
    assert.equal(cache.put(Uint8Array.of(129), 9, 1, Infinity).added, false);
    assert.equal(cache.count, 8);
  });

  it('answers wouldAdd and wouldPut as put then does', () => {
    const random = createSeededRandom('would');
    const cache = new BucketCache<number>(zero.subarray(0, 2), 24, 1);
    for (let i = 0; i < 5000; i++) {
      const key = random.bytes(2);
      const nowMs = random.bytes(1)[0]!;
      const known = cache.has(key, 0);
      const [wouldAdd, wouldPut] = [cache.wouldAdd(key, nowMs), cache.wouldPut(key, nowMs)];
      const { added } = cache.put(key, i, nowMs, Infinity);
      assert.equal(wouldPut, added);
      assert.equal(wouldAdd, added && !known);
    }
  });

  it('says which prefix a full cache accepts', () => {
    const cache = new BucketCache<number>(zero, 2);
    assert.equal(cache.acceptingPrefixBits, 0);
    cache.put(hex('80'), 1, 0, Infinity);
    cache.put(hex('10'), 1, 0, Infinity);
    assert.equal(cache.isFull, true);
    assert.equal(cache.acceptingPrefixBits, 1);
    cache.put(hex('08'), 1, 0, Infinity);
    assert.equal(cache.acceptingPrefixBits, 4);
  });

  it('stores nothing with room for nothing', () => {
    const cache = new BucketCache<number>(zero, 0);
    assert.deepEqual(cache.put(hex('80'), 1, 0, Infinity), { added: false, evicted: undefined });
    assert.equal(cache.wouldPut(hex('80'), 0), false);
    assert.equal(cache.count, 0);
  });

  it('keeps of ten thousand random keys those that are close', () => {
    const random = createSeededRandom('ten thousand');
    const cache = new BucketCache<number>(zero, 10);
    for (let i = 0; i < 10_000; i++) cache.put(random.bytes(32), i, i, Infinity);
    assert.equal(cache.count, 10);
    for (const { key } of cache.nearest(zero)) assert.ok(leadingZeros(key) > 8, `${leadingZeros(key)} leading zeros`);
  });

  it('lists entries from the closest to the farthest, of any key', () => {
    const random = createSeededRandom('nearest');
    const cache = new BucketCache<number>(random.bytes(8), 200, 1);
    for (let i = 0; i < 500; i++) cache.put(random.bytes(8), i, i, Infinity);
    for (let i = 0; i < 50; i++) {
      const key = random.bytes(8);
      const found = Array.from(cache.nearest(key), (entry) => entry.key);
      assert.equal(found.length, cache.count);
      assert.deepEqual(
        found,
        found.toSorted((a, b) => compareDistances(key, a, b) || compareBytes(a, b)),
      );
      assert.deepEqual(cache.closest(key)?.key, found[0]);
      const closer = Array.from(cache.closerThanLocus(key), (entry) => entry.key);
      assert.deepEqual(
        closer,
        found.filter((each) => compareDistances(key, each, cache.locus) < 0),
      );
      const matching = Array.from(cache.matching(key, 3), (entry) => entry.key);
      assert.deepEqual(
        matching,
        found.filter((each) => distanceLeadingZeros(each, key) >= 3),
      );
    }
  });

  it('deletes, and refuses what it cannot hold', () => {
    const cache = new BucketCache<number>(zero, 3);
    cache.put(hex('80'), 7, 0, Infinity);
    assert.equal(cache.delete(hex('80'))?.value, 7);
    assert.equal(cache.delete(hex('80')), undefined);
    assert.equal(cache.count, 0);
    assert.throws(() => new BucketCache(zero, -1), RangeError);
    assert.throws(() => new BucketCache(zero, 255, 1), /256 buckets need 256 entries, max is 255/);
    assert.throws(() => new BucketCache(new Uint8Array(0), 1), RangeError);
    assert.throws(() => cache.put(new Uint8Array(0), 1, 0, 1), RangeError);
    assert.throws(() => cache.put(new Uint8Array(2000), 1, 0, 1), RangeError);
  });
});
