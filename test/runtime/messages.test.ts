import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { type MessagesOptions, messages } from '../../src/runtime/messages.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';

function pair(options?: MessagesOptions) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const [alice, bob] = [realm.swarm(), realm.swarm(undefined, { maxPendingMessages: 4 })];
  const iterator = messages(bob, options);
  const tell = async (...bytes: number[]): Promise<void> => {
    for (const byte of bytes) void alice.tell(bob.addr, Uint8Array.of(byte));
    await realm.clock.advance(0);
  };
  const take = async (): Promise<number | undefined> => (await iterator.next()).value?.payload[0];
  return { realm, alice, bob, iterator, tell, take };
}

describe('messages', () => {
  it('gives messages in order, those that wait and those that are waited for', async () => {
    const { tell, take } = pair();
    const early = take();
    await tell(1, 2, 3);
    assert.deepEqual([await early, await take(), await take()], [1, 2, 3]);
  });

  it('ends when the swarm closes, after what is waiting', async () => {
    const { bob, tell, iterator } = pair();
    await tell(1);
    await bob.close();
    const seen: number[] = [];
    for await (const { payload } of iterator) seen.push(payload[0]!);
    assert.deepEqual(seen, [1]);
  });

  it('frees the handler slot when the loop is left', async () => {
    const { bob, tell, iterator } = pair();
    await tell(1, 2);
    for await (const message of iterator) {
      assert.equal(message.payload[0], 1);
      break;
    }
    bob.listen(() => {});
    assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  });

  it('takes the only slot: a second one is a TypeError', () => {
    const { bob } = pair();
    assert.throws(() => messages(bob), TypeError);
  });

  it('wait: hands the pressure back to the swarm, which drops by its own bound', async () => {
    const { bob, tell, take } = pair({ capacity: 2 });
    await tell(1, 2, 3, 4, 5, 6, 7, 8);
    assert.equal(bob.counters.drops.get('queue_full'), 2);
    for (const expected of [1, 2, 3, 4, 5, 6]) assert.equal(await take(), expected);
    await tell(9);
    assert.equal(await take(), 9);
  });

  it('drop-oldest and drop-newest keep capacity messages and count the others', async () => {
    const oldest = pair({ capacity: 2, overflow: 'drop-oldest' });
    await oldest.tell(1, 2, 3, 4);
    assert.deepEqual([await oldest.take(), await oldest.take(), oldest.iterator.dropped], [3, 4, 2]);
    const newest = pair({ capacity: 2, overflow: 'drop-newest' });
    await newest.tell(1, 2, 3, 4);
    assert.deepEqual([await newest.take(), await newest.take(), newest.iterator.dropped], [1, 2, 2]);
  });

  it('throw: gives what is waiting, then limit_exceeded, then ends', async () => {
    const { tell, take, iterator } = pair({ capacity: 1, overflow: 'throw' });
    await tell(1, 2);
    assert.equal(await take(), 1);
    await assert.rejects(iterator.next(), (error) => P2PError.is(error, 'limit_exceeded'));
    assert.equal((await iterator.next()).done, true);
  });

  it('an abort rejects who waits with the reason, and detaches', async () => {
    const controller = new AbortController();
    const { bob, iterator } = pair({ signal: controller.signal });
    const [first, second] = [iterator.next(), iterator.next()];
    const reason = new Error('given up');
    controller.abort(reason);
    await assert.rejects(first, (error) => error === reason);
    assert.equal((await second).done, true);
    bob.listen(() => {});
  });

  it('checks its options at once', () => {
    const bob = createMemoryRealm().swarm();
    assert.throws(() => messages(bob, { capacity: 0 }), RangeError);
    // @ts-expect-error no such policy
    assert.throws(() => messages(bob, { overflow: 'grow' }), TypeError);
    // @ts-expect-error not a signal
    assert.throws(() => messages(bob, { signal: 5 }), TypeError);
    bob.listen(() => {});
  });
});
