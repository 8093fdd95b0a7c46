import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { sendPath } from '../../src/swarm-kit/send-path.ts';

describe('the way to an address', () => {
  it('is the tell of a swarm that has no shorter one', async () => {
    const realm = createMemoryRealm({ seed: 1, clock: 'virtual', mtu: 100 });
    const [from, to] = [realm.swarm(), realm.swarm()];
    const got: number[] = [];
    to.listen(({ payload }) => void got.push(payload.length));
    const path = sendPath(from, to.addr);
    await realm.clock.run(path.send(new Uint8Array(7)));
    await realm.clock.advance(10);
    assert.deepEqual(got, [7]);
    await assert.rejects(realm.clock.run(path.send(new Uint8Array(101))), { code: 'mtu_exceeded' });
    await realm.clock.run(from.close());
    await assert.rejects(realm.clock.run(path.send(new Uint8Array(1))), { code: 'closed' });
  });
});
