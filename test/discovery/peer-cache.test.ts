/** A cache over a store of the user, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import {
  openPeerCache,
  type PeerCache,
  type PeerCacheFault,
  type PeerCacheOptions,
  type PeerCacheStore,
} from '../../src/discovery/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);
const at = (i: number): string => `${idOf(i)}@50.0.${i}.1:4000`;
const DAY = 86_400_000;

/** A store in memory, whose calls may fail. */
class Store implements PeerCacheStore {
  bytes: Uint8Array | undefined;
  loads = 0;
  saves = 0;
  fails: Error | undefined;

  load(): Promise<Uint8Array | undefined> {
    this.loads++;
    return Promise.resolve(this.bytes);
  }

  save(bytes: Uint8Array): Promise<void> {
    this.saves++;
    if (this.fails !== undefined) return Promise.reject(this.fails);
    this.bytes = bytes;
    return Promise.resolve();
  }
}

function world(store: PeerCacheStore = new Store()) {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  const faults: PeerCacheFault[] = [];
  const open = (options: Partial<PeerCacheOptions> = {}): Promise<PeerCache> =>
    realm.clock.run(
      openPeerCache({ store, networkName: 'app', realm, onFault: (fault) => void faults.push(fault), ...options }),
    );
  return { realm, faults, open };
}

const reach = (cache: PeerCache, ...peers: readonly number[]): void => {
  for (const i of peers) cache.reached({ id: idOf(i), addr: at(i), proof: 'dialled' });
};
const idsOf = (cache: PeerCache): PeerId[] => cache.peers.map(({ id }) => id).toSorted();

describe('a peer cache', () => {
  it('begins with the peers of the previous session', async () => {
    const store = new Store();
    const { realm, open, faults } = world(store);
    {
      await using cache = await open();
      assert.deepEqual(cache.candidates(), []);
      reach(cache, 1, 2);
    }
    await realm.clock.advance(365 * DAY);
    await using next = await open();
    assert.deepEqual(idsOf(next), [idOf(1), idOf(2)].toSorted());
    assert.deepEqual(
      next.candidates(idOf(1)).map(({ addr, source, trust }) => [addr, source, trust]),
      [[at(1), 'cache', 'reached']],
    );
    assert.deepEqual(faults, []);
  });

  it('saves two seconds after a change, once for many changes, and nothing without one', async () => {
    const store = new Store();
    const { realm, open } = world(store);
    await using cache = await open();
    await realm.clock.advance(10_000);
    assert.equal(store.saves, 0);
    reach(cache, 1, 2, 3);
    await realm.clock.advance(1999);
    assert.equal(store.saves, 0);
    await realm.clock.advance(1);
    assert.equal(store.saves, 1);
    reach(cache, 1, 2, 3);
    cache.failed({ id: idOf(9), addr: at(9), reason: 'silent' });
    await realm.clock.advance(10_000);
    assert.equal(store.saves, 1, 'nothing new');
    assert.equal(cache.forget(idOf(1)), true);
    assert.equal(cache.forget(idOf(1)), false);
    assert.equal(await cache.save(), true);
    assert.deepEqual([store.saves, decodeText(store.bytes!)!.includes(idOf(1))], [2, false]);
  });

  it('saves that an address has failed', async () => {
    const store = new Store();
    const { realm, open } = world(store);
    await using cache = await open();
    reach(cache, 1);
    await realm.clock.advance(2000);
    cache.failed({ id: idOf(1), addr: at(1), reason: 'silent' });
    assert.equal(cache.peers[0]?.addrs[0]?.failures, 1);
    await realm.clock.advance(2000);
    assert.match(decodeText(store.bytes!)!, /"failures":1/);
  });

  it('keeps networks that share a store apart', async () => {
    const store = new Store();
    const { open } = world(store);
    for (const [networkName, i] of [
      ['blue', 1],
      ['red', 2],
      ['blue', 3],
    ] as const) {
      await using cache = await open({ networkName });
      reach(cache, i);
    }
    await using blue = await open({ networkName: 'blue' });
    await using red = await open({ networkName: 'red' });
    await using green = await open({ networkName: 'green' });
    assert.deepEqual(idsOf(blue), [idOf(1), idOf(3)].toSorted());
    assert.deepEqual([idsOf(red), idsOf(green)], [[idOf(2)], []]);
  });

  it('keeps 200 peers, or as many as it is told, also when more are saved', async () => {
    const store = new Store();
    const { open } = world(store);
    {
      await using cache = await open();
      for (let i = 0; i < 250; i++) cache.reached({ id: idOf(i), addr: at(i), proof: 'dial_back' });
      assert.equal(cache.peers.length, 200);
    }
    await using small = await open({ maxPeers: 10 });
    assert.equal(small.peers.length, 10);
  });

  it('takes no address that is not proven, names another peer, or has control characters', async () => {
    const { open } = world();
    await using cache = await open();
    cache.reached({ id: idOf(1), addr: at(1) });
    cache.reached({ id: idOf(1), addr: at(2), proof: 'dialled' });
    cache.reached({ id: idOf(1), addr: '50.0.0.1:1\n', proof: 'dialled' });
    cache.reached({ id: idOf(1), addr: `${idOf(1)}@${'9'.repeat(600)}`, proof: 'dialled' });
    assert.deepEqual(cache.peers, []);
  });

  it('with what is damaged starts empty, says so, and saves again', async () => {
    for (const bytes of [encodeText('{"format":"shoal pe'), encodeText('null'), 7 as never, new Uint8Array(0)]) {
      const store = new Store();
      store.bytes = bytes;
      const { open, faults } = world(store);
      await using cache = await open();
      assert.deepEqual([cache.peers, faults.map(({ code }) => code)], [[], ['corrupt']]);
      reach(cache, 1);
      if (bytes instanceof Uint8Array) assert.equal(await cache.save(), true);
      assert.equal(faults.length, 1);
    }
  });

  it('leaves what a later release has saved as it is', async () => {
    const store = new Store();
    const later = encodeText('{"format":"shoal peer cache","version":2,"peers":"in another form"}');
    store.bytes = later;
    const { realm, open, faults } = world(store);
    await using cache = await open();
    reach(cache, 1);
    assert.equal(await cache.save(), false);
    await realm.clock.advance(120_000);
    assert.deepEqual(idsOf(cache), [idOf(1)]);
    assert.deepEqual([store.bytes, faults.map(({ code }) => code)], [later, ['version']]);
  });

  it('on a full disk keeps all in memory, says so once, and saves when there is room', async () => {
    const store = new Store();
    const { realm, open, faults } = world(store);
    await using cache = await open();
    reach(cache, 1);
    await realm.clock.advance(2000);
    const before = store.bytes;
    store.fails = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    reach(cache, 2);
    await realm.clock.advance(300_000);
    assert.ok(store.saves >= 5, 'it tries again');
    assert.deepEqual(
      faults.map(({ code, cause }) => [code, cause]),
      [['unwritable', store.fails]],
    );
    assert.deepEqual([store.bytes, cache.peers.length], [before, 2]);
    store.fails = undefined;
    await realm.clock.advance(30_000);
    assert.ok(decodeText(store.bytes!)!.includes(idOf(2)));
    assert.equal(await cache.save(), true);
  });

  it('whose store cannot be read is empty, and overwrites nothing', async () => {
    const store = new Store();
    const broken: PeerCacheStore = {
      load: () => Promise.reject(new Error('no connection')),
      save: (bytes) => store.save(bytes),
    };
    const { open, faults } = world(broken);
    await using cache = await open();
    reach(cache, 1);
    assert.equal(await cache.save(), false);
    assert.deepEqual([store.saves, faults.map(({ code }) => code)], [0, ['unreadable', 'unwritable']]);
  });

  it('opens and closes although its store never answers', async () => {
    const silent: PeerCacheStore = {
      load: () => new Promise(() => undefined),
      save: () => new Promise(() => undefined),
    };
    const { realm, open, faults } = world(silent);
    const cache = await open();
    assert.deepEqual(
      faults.map(({ code }) => code),
      ['unreadable'],
    );
    reach(cache, 1);
    const beganMs = realm.nowMs();
    await realm.clock.run(cache.close());
    assert.equal(realm.nowMs() - beganMs, 1000);
    await cache.close();
  });

  it('saves a change that comes while it saves', async () => {
    const store = new Store();
    const waiting: (() => void)[] = [];
    const slow: PeerCacheStore = {
      load: () => store.load(),
      save: (bytes) => new Promise((resolve) => waiting.push(() => resolve(store.save(bytes)))),
    };
    const { realm, open } = world(slow);
    const cache = await open();
    reach(cache, 1);
    const saved = cache.save();
    await realm.clock.advance(0);
    reach(cache, 2);
    waiting.shift()!();
    await realm.clock.advance(0);
    waiting.shift()!();
    assert.equal(await realm.clock.run(saved), true);
    assert.ok(decodeText(store.bytes!)!.includes(idOf(2)));
    await realm.clock.run(cache.close());
  });

  it('a fault of the program in onFault changes nothing', async () => {
    const store = new Store();
    store.bytes = encodeText('x');
    const { open } = world(store);
    await using cache = await open({
      onFault: () => {
        throw new Error('a fault of the program');
      },
    });
    assert.deepEqual(cache.peers, []);
  });

  it('is misuse with wrong options', async () => {
    const store = new Store();
    for (const options of [
      undefined,
      { networkName: 'a' },
      { networkName: 'a', path: 'x', store },
      { store },
      { store, networkName: '' },
      { store, networkName: 'x'.repeat(256) },
      { store: {}, networkName: 'a' },
      { path: '', networkName: 'a' },
      { path: 7, networkName: 'a' },
    ]) {
      await assert.rejects(openPeerCache(options as never), TypeError, JSON.stringify(options));
    }
    for (const more of [{ maxPeers: 0 }, { maxPeers: 4097 }, { saveAfterMs: -1 }]) {
      await assert.rejects(openPeerCache({ store, networkName: 'a', ...more }), RangeError);
    }
  });
});
