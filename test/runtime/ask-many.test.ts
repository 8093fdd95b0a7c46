import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { askMany } from '../../src/runtime/ask-many.ts';
import { P2PError } from '../../src/core/errors.ts';
import { createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';
import { discardAsks, discardTells, receiveOne } from '../../src/runtime/receive.ts';

function world(n: number) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const asker = realm.swarm();
  let underWay = 0;
  let most = 0;
  const servers = Array.from({ length: n }, (_, i) => {
    const server = realm.swarm();
    server.serve(async () => {
      most = Math.max(most, ++underWay);
      await new Promise<void>((resolve) => void realm.clock.setTimer(realm.nowMs() + 100 - i, resolve));
      underWay--;
      if (i === 3) throw new Error('broken');
      return Uint8Array.of(i);
    });
    return server.addr;
  });
  return { realm, asker, servers, most: () => most };
}

describe('askMany', () => {
  it('gives answers and errors as they come, never more than `concurrency` under way', async () => {
    const { realm, asker, servers, most } = world(8);
    const results: string[] = [];
    const gather = async (): Promise<void> => {
      for await (const result of askMany(asker, [...servers, memoryAddr(99)], Uint8Array.of(1), { concurrency: 4 })) {
        results.push(
          result.ok
            ? `${result.answer[0]}`
            : `${result.dst.text} ${P2PError.is(result.error) ? result.error.code : '?'}`,
        );
      }
    };
    await realm.clock.run(gather());
    assert.equal(most(), 4);
    assert.deepEqual(results.toSorted(), ['0', '1', '2', '4', '4 refused', '5', '6', '7', '99 unreachable'].toSorted());
    assert.equal(results[0], '4 refused'); // the quickest of the first four
  });

  it('somebody who is asked twice answers twice, whichever answer comes first', async () => {
    const { realm, asker } = world(0);
    const server = realm.swarm();
    let served = 0;
    server.serve(async ({ payload }) => {
      const pauseMs = 300 - 100 * served++;
      await new Promise<void>((resolve) => void realm.clock.setTimer(realm.nowMs() + pauseMs, resolve));
      return payload;
    });
    const [dst] = server.localAddrs();
    const loop = async (): Promise<number> => {
      let answers = 0;
      for await (const { ok } of askMany(asker, [dst!, dst!, dst!], Uint8Array.of(1))) if (ok) answers++;
      return answers;
    };
    assert.equal(await realm.clock.run(loop()), 3);
  });

  it('a request that is none is told at once', () => {
    const { asker, servers } = world(1);
    assert.throws(() => askMany(asker, servers, 'hello' as unknown as Uint8Array), TypeError);
  });

  it('leaving the loop gives up the asks under way', async () => {
    const { realm, asker, servers } = world(3);
    const signals: AbortSignal[] = [];
    const slow = realm.swarm();
    slow.serve(({ signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    const first = async (): Promise<void> => {
      for await (const result of askMany(asker, [servers[0]!, slow.addr], Uint8Array.of(1))) {
        assert.ok(result.ok);
        break;
      }
    };
    await realm.clock.run(first());
    await realm.clock.advance(1);
    assert.equal(signals[0]!.aborted, true);
  });

  it('an abort ends the iteration with its reason', async () => {
    const { realm, asker, servers } = world(3);
    const controller = new AbortController();
    const reason = new Error('given up');
    realm.clock.setTimer(50, () => controller.abort(reason));
    const all = async (): Promise<void> => {
      for await (const result of askMany(asker, servers, Uint8Array.of(1), { signal: controller.signal })) void result;
    };
    await assert.rejects(realm.clock.run(all()), (error) => error === reason);
    assert.throws(() => askMany(asker, servers, Uint8Array.of(1), { concurrency: 0 }), RangeError);
  });
});

describe('receiveOne, discardTells, discardAsks', () => {
  it('receiveOne takes one message and frees the slot; ends by deadline, abort and close', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [alice, bob] = [realm.swarm(), realm.swarm()];
    const received = receiveOne(bob);
    assert.throws(() => receiveOne(bob), TypeError);
    void alice.tell(bob.addr, Uint8Array.of(7));
    assert.deepEqual((await realm.clock.run(received)).payload, Uint8Array.of(7));
    await assert.rejects(realm.clock.run(receiveOne(bob, { timeoutMs: 10 })), (error) => P2PError.is(error, 'timeout'));
    const controller = new AbortController();
    const aborted = receiveOne(bob, { signal: controller.signal });
    controller.abort(new Error('given up'));
    await assert.rejects(aborted, /given up/);
    const open = receiveOne(bob);
    await bob.close();
    await assert.rejects(open, (error) => P2PError.is(error, 'closed'));
  });

  it('receiveOne of a closed swarm rejects, and misuse leaves the slot free', async () => {
    const swarm = createMemoryRealm({ clock: 'virtual' }).swarm();
    // @ts-expect-error no signal
    assert.throws(() => receiveOne(swarm, { signal: 5 }), TypeError);
    swarm.listen(() => {})[Symbol.dispose]();
    await swarm.close();
    await assert.rejects(receiveOne(swarm), (error) => P2PError.is(error, 'closed'));
  });

  it('discards what nobody wants', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [alice, bob] = [realm.swarm(), realm.swarm()];
    discardTells(bob);
    const asks = discardAsks(bob);
    void alice.tell(bob.addr, Uint8Array.of(7));
    assert.equal((await realm.clock.run(alice.ask(bob.addr, Uint8Array.of(7)))).length, 0);
    assert.equal(bob.counters.drops.size, 0);
    asks[Symbol.dispose]();
    await assert.rejects(realm.clock.run(alice.ask(bob.addr, Uint8Array.of(7))), (error) =>
      P2PError.is(error, 'refused'),
    );
  });
});
