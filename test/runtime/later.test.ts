import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryRealm } from 'shoal/memory';
import { createVirtualClock } from 'shoal/testing';
import { later, soon } from '../../src/runtime/later.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';

test('in system time soon runs after the current call and before the next turn of the event loop, later after it', async () => {
  const seen: string[] = [];
  await new Promise<void>((resolve) => {
    setImmediate(() => {
      later(systemRealm, () => {
        seen.push('later');
        resolve();
      });
      soon(systemRealm, () => seen.push('soon'));
      setImmediate(() => seen.push('immediate'));
      seen.push('call');
    });
  });
  deepEqual(seen.slice(0, 3), ['call', 'soon', 'later']);
});

test('in virtual time soon and later keep the order of their calls', async () => {
  const realm = createMemoryRealm({ clock: createVirtualClock() });
  const seen: number[] = [];
  for (let i = 0; i < 4; i++) (i % 2 === 0 ? soon : later)(realm, () => seen.push(i));
  deepEqual(seen, []);
  await realm.clock.advance(0);
  deepEqual(seen, [0, 1, 2, 3]);
  equal(realm.nowMs(), 0);
});

test('in system time soon runs after the promises that wait for what the call has settled', async () => {
  const seen: string[] = [];
  const chain = async (name: string, hops: number): Promise<void> => {
    for (let hop = 0; hop < hops; hop++) await Promise.resolve();
    seen.push(name);
  };
  await new Promise<void>((resolve) => {
    setImmediate(() => {
      void chain('three', 3);
      soon(systemRealm, () => {
        seen.push('soon');
        resolve();
      });
      void chain('ten', 10);
    });
  });
  deepEqual(seen, ['three', 'ten', 'soon']);
});
