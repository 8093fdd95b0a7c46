import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createMemoryRealm, type MemoryAddr } from '../../src/swarms/memory/index.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';

/** A swarm that counts how often its MTU is asked for. */
function counted(inner: Swarm<MemoryAddr>): { readonly swarm: Swarm<MemoryAddr>; asked: number } {
  const counter = { swarm: inner, asked: 0 };
  const mtu = inner.mtu.bind(inner);
  inner.mtu = (dst) => {
    counter.asked++;
    return mtu(dst);
  };
  return counter;
}

it('mbapp looks up the MTU below once for an ask, and once for its answer', async () => {
  const realm = createMemoryRealm({ seed: 1, clock: 'virtual', mtu: 600 });
  const [below, above] = [counted(realm.swarm()), counted(realm.swarm())];
  await using asker = mbapp(below.swarm);
  await using server = mbapp(above.swarm);
  server.serve(({ payload }) => payload);
  for (const bytes of [10, 100, 5000]) {
    const before = [below.asked, above.asked];
    await realm.clock.run(asker.ask(server.addr, new Uint8Array(bytes)));
    assert.deepEqual([below.asked - before[0]!, above.asked - before[1]!], [1, 1], `${bytes} bytes`);
  }
});
