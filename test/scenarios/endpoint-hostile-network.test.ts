/** Endpoints on a network that loses, repeats, reorders and spoils packets, with peers that come and go. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { echo, take, type TestEndpoint, world } from '../support/endpoint-world.ts';

const NASTY = {
  latencyMs: 15,
  jitterMs: 20,
  loss: 0.05,
  duplicate: 0.05,
  reorder: 0.05,
  corrupt: 0.02,
  truncate: 0.02,
};

describe('endpoints on a nasty network', () => {
  it('every request is answered with what it brought, every message arrives once and whole', async () => {
    const w = world(NASTY);
    const hub = w.open({ keepAliveMs: 2000 });
    const peers = Array.from({ length: 6 }, () => w.open({ keepAliveMs: 2000 }));
    void echo(hub);
    const patience = { timeoutMs: 300_000 };
    const work = async (peer: TestEndpoint, seed: number): Promise<number> => {
      const connection = await peer.connect(hub.addr, { timeoutMs: 60_000, retry: true });
      const sizes = [0, 1, 1000, 5000, 50_000, 200_000];
      const answers = await Promise.all(
        sizes.map((size) => connection.request(new Uint8Array(size).fill(seed), patience)),
      );
      for (const [i, answer] of answers.entries()) {
        assert.equal(answer.length, sizes[i]);
        assert.ok(answer.every((byte) => byte === seed));
      }
      return answers.length;
    };
    const done = await w.run(Promise.all(peers.map((peer, i) => work(peer, i + 1))));
    assert.deepEqual(
      done,
      peers.map(() => 6),
    );
    const [a, b] = peers as [TestEndpoint, TestEndpoint];
    const got = new Map<number, number>();
    void (async () => {
      for await (const { payload } of b.messages()) got.set(payload[0]!, (got.get(payload[0]!) ?? 0) + 1);
    })();
    const sends = Array.from({ length: 200 }, (_, i) =>
      a.send(b.addr, new Uint8Array(1 + i * 13).fill(i), { acked: true, ...patience }),
    );
    await w.run(Promise.all(sends));
    await w.pass(1000);
    assert.deepEqual([got.size, Math.max(...got.values())], [200, 1]);
  });

  it('peers that come and go lose only what was theirs, and nothing is left of them', async () => {
    const w = world({ latencyMs: 10, loss: 0.02 });
    const hub = w.open({ idleTimeoutMs: 3000 });
    void echo(hub);
    const stay = w.open({ keepAliveMs: 500 });
    const steady = await w.run(stay.connect(hub.addr, { timeoutMs: 20_000 }));
    for (let round = 0; round < 15; round++) {
      const guest = w.open();
      const connection = await w.run(guest.connect(hub.addr, { timeoutMs: 20_000 }));
      const requests = Array.from({ length: 5 }, () =>
        connection.request(new Uint8Array(3000), { timeoutMs: 20_000 }).then(
          () => 'answered',
          (error: unknown) => (P2PError.is(error) ? error.code : 'bug'),
        ),
      );
      await w.pass(round * 4);
      // Some say good-bye, others are just gone.
      if (round % 2 === 0) await w.run(connection.close({ code: 300 + round }));
      else await w.run(guest.close());
      for (const result of await w.run(Promise.all(requests))) {
        assert.ok(['answered', 'disconnected', 'closed'].includes(result), result);
      }
      assert.equal((await w.run(steady.request(Uint8Array.of(round), { timeoutMs: 20_000 })))[0], round);
    }
    await w.pass(20_000);
    assert.equal(hub.openConnections().length, 1);
    const described = 'describe' in hub && typeof hub.describe === 'function' ? hub.describe() : undefined;
    const { state } = described as { state: Record<string, number> };
    assert.deepEqual([state['connections'], state['dials'], state['heldBytes']], [1, 0, 0]);
  });

  it('a partition shorter than the idle timeout delays, a longer one ends connections, and both heal', async () => {
    const w = world({ latencyMs: 10 });
    const [alice, bob] = [w.open({ idleTimeoutMs: 10_000 }), w.open()];
    const here = await w.run(alice.connect(bob.addr));
    w.realm.cut();
    const late = here.send(new Uint8Array(100), { acked: true, timeoutMs: 60_000 });
    await w.pass(4000);
    w.realm.heal();
    await w.run(late);
    assert.equal((await w.run(take(bob.messages(), 1))).length, 1);
    w.realm.cut();
    const lost = here.send(new Uint8Array(100), { acked: true, timeoutMs: 60_000 }).catch((error: unknown) => error);
    await w.pass(30_000);
    assert.ok(P2PError.is(await lost, 'disconnected'));
    w.realm.heal();
    await w.run(alice.send(bob.addr, new Uint8Array(7), { acked: true }));
    const [again] = await w.run(take(bob.messages(), 1));
    assert.equal(again?.payload.length, 7);
  });
});
