import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keyText } from '../../../src/protocols/kademlia/position.ts';
import { ProviderStore, type StoreLimits, ValueStore } from '../../../src/protocols/kademlia/stores.ts';

const LIMITS: StoreLimits = {
  maxValues: 4000,
  maxValueBytes: 100,
  maxStoredBytes: 4000,
  maxProvidedKeys: 1000,
  maxProvidersPerKey: 8,
  maxTtlMs: 60_000,
};
const place = (n: number): ReturnType<typeof keyText> => keyText(Uint8Array.of(n, n, ...new Uint8Array(30)));
const OWN = place(0);

describe('what is stored for others', () => {
  it('one source has at most a quarter of the bytes, also by larger values in place of small ones', () => {
    const store = new ValueStore(OWN, LIMITS);
    const put = (n: number, bytes: number, source: string, now = 0) =>
      store.put(now, place(n), { value: new Uint8Array(bytes), ttlMs: 1000, by: place(200), source });
    for (let n = 1; n <= 20; n++) assert.equal(put(n, 40, 'a'), undefined);
    for (let n = 1; n <= 20; n++) put(n, 100, 'a');
    assert.ok(store.bytes <= 1000, `${store.bytes}`);
    assert.equal(put(30, 100, 'a'), 'source_full');
    for (const source of ['b', 'c', 'd']) for (let n = 0; n < 10; n++) put(source.charCodeAt(0) + 20 * n, 10, source);
    assert.equal(put(31, 100, 'b'), undefined, 'others have their own share');
    store.expire(2000);
    assert.equal(store.bytes, 0);
    assert.equal(put(30, 100, 'a', 2000), undefined, 'what expired is not counted');
  });

  it('providers of one source make room for those of others, and not the other way round', () => {
    const store = new ProviderStore(OWN, LIMITS);
    const key = place(7);
    const add = (n: number, source: string) => store.add(0, key, place(n), source, 1000);
    for (let n = 1; n <= 8; n++) assert.equal(add(n, 'evil'), undefined);
    assert.equal(add(9, 'evil'), 'full');
    for (let n = 20; n < 23; n++) assert.equal(add(n, `host ${n}`), undefined);
    for (let n = 40; n < 80; n++) assert.equal(add(n, 'evil'), 'full');
    const providers = new Set(store.get(0, key));
    assert.equal(providers.size, 8);
    for (let n = 20; n < 23; n++) assert.ok(providers.has(place(n)));
    assert.equal(add(100, 'two'), undefined);
    assert.equal(add(101, 'two'), undefined);
    assert.equal(add(102, 'two'), 'full', 'no source pushes others out to have more than they');
  });
});
