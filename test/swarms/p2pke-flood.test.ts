import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { drops, helloOf, network } from '../support/p2pke-world.ts';

describe('p2pke under a flood', () => {
  it('p2pke holds its bounds while 5000 signed hellos come from made-up addresses, and serves honest peers beside them', async () => {
    await using net = network({ netem: { latencyMs: 20 } });
    const limits = { maxHalfOpen: 50, maxChannels: 100 };
    const bob = net.peer(2, { limits });
    let heard = 0;
    bob.listen(() => void heard++);
    const to = bob.addr.inner;
    const hello = helloOf(9, net.realm.wallMs(), 0);
    const sources = Array.from({ length: 250 }, () => net.inner());
    let most = 0;
    for (let round = 0; round < 20; round++) {
      for (const [i, source] of sources.entries()) {
        // Each from another address; the first of each round are of keys that sign.
        void source.tell(to, round === 0 && i < 220 ? helloOf(1000 + i, net.realm.wallMs(), i) : hello);
      }
      const honest = net.peer(100 + round);
      await net.run(honest.tell(bob.addr, Uint8Array.of(round), { timeoutMs: 5000 }));
      await net.realm.clock.advance(100);
      most = Math.max(most, inspect(bob).state['halfOpen'] as number);
      assert.ok((inspect(bob).state['channels'] as number) <= 100);
      await net.run(honest.close());
    }
    assert.equal(heard, 20);
    assert.ok(most > 40 && most <= 50, `${most} half-open`);
    assert.ok(drops(bob, 'overloaded') > 4000);
  });
});
