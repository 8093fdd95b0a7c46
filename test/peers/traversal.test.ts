/** Peers behind NATs, in virtual time: relayed at once, and direct as soon as that can be. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { canBeDirect, KINDS, meet, outcomeOf, PAYLOAD } from '../support/nat-matrix.ts';
import { watch } from '../support/peers-world.ts';

before(() => loadQuicEngine());

describe('peers behind NATs', () => {
  it('are relayed first, and direct without losing a message', async () => {
    const { w, alice, bob } = await meet('port', 'port');
    const seen = watch(alice);
    let received = 0;
    bob.listen(() => void received++);
    const atMs = w.realm.nowMs();
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.ok(w.realm.nowMs() - atMs <= 1000, `${w.realm.nowMs() - atMs} ms`);
    assert.equal(alice.list().find(({ id }) => id === bob.id)?.path?.kind, 'relay');
    for (let i = 0; i < 100; i++) {
      await w.run(alice.tell(bob.id, PAYLOAD));
      await w.advance(20);
    }
    assert.equal(alice.list().find(({ id }) => id === bob.id)?.path?.kind, 'punch', alice.explain(bob.id).text);
    assert.equal(received, 100);
    const kinds = seen.flatMap((change) =>
      'path' in change && 'id' in change && change.id === bob.id ? [change.path?.kind] : [],
    );
    assert.deepEqual(kinds, ['relay', 'punch']);
    await w.close();
  });

  for (const a of KINDS) {
    for (const b of KINDS) {
      it(`${a} asks ${b}: the first answer within a second, then ${canBeDirect(a, b) ? 'a direct path' : 'by the relay'}`, async () => {
        const meeting = await meet(a, b);
        const { firstMs, path, text } = await outcomeOf(meeting, 20_000);
        assert.ok(firstMs <= 1000, `${firstMs} ms`);
        assert.equal(path?.kind !== 'relay', canBeDirect(a, b), text);
        await meeting.w.close();
      });
    }
  }
});
