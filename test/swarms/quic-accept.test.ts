/** `accept` of a QUIC swarm that answers later, or never, or otherwise when it is asked again. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import type { QuicSwarmOptions } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { RawQuicPeer } from '../scenarios/raw-quic-peer.ts';
import { type Quic, quicWorld } from '../support/quic-world.ts';

function world() {
  const { realm, run, open: openSilent } = quicWorld();
  const open = (i: number, options: Partial<QuicSwarmOptions<MemoryAddr>> = {}): Quic => {
    const swarm = openSilent(i, options);
    swarm.serve(({ payload }) => payload);
    return swarm;
  };
  const after = (ms: number, value: boolean): Promise<boolean> =>
    new Promise((resolve) => void realm.clock.setTimer(realm.clock.nowMs() + ms, () => resolve(value)));
  return { realm, open, after, run };
}

for (const dials of ['alice', 'bob'] as const) {
  describe(`accept of a QUIC swarm, when ${dials === 'bob' ? 'it' : 'the peer'} dials`, () => {
    it('a yes after 1 s lets the peer in, and nothing is delivered before', async () => {
      const { realm, open, after, run } = world();
      const asked: unknown[] = [];
      const alice = open(1);
      const bob = open(2, {
        accept: ({ id, publicKey, addr, side }) => {
          asked.push([id, publicKey.algorithm, addr.text, side]);
          return after(1000, true);
        },
      });
      const heard: number[] = [];
      for (const swarm of [alice, bob]) swarm.listen(() => void heard.push(realm.clock.nowMs()));
      const [from, to] = dials === 'alice' ? [alice, bob] : [bob, alice];
      const tells = [1, 2, 3].map((n) => from.tell(to.addr, Uint8Array.of(n)));
      const answer = from.ask(to.addr, Uint8Array.of(7));
      await realm.clock.advance(900);
      assert.deepEqual(heard, []);
      assert.equal(bob.knownPublicKey(alice.addr), undefined);
      assert.equal(inspect(bob).state['sessions'], 0);
      await run(Promise.all(tells));
      assert.deepEqual(await run(answer), Uint8Array.of(7));
      await realm.clock.advance(1000);
      assert.equal(heard.length, 3);
      assert.deepEqual(asked, [
        [alice.addr.id, 'ed25519', alice.addr.text, dials === 'alice' ? 'initiator' : 'responder'],
      ]);
      await run(Promise.all([alice.close(), bob.close()]));
    });

    for (const [name, verdict, tookMs] of [
      ['a no after 1 s', false, 1000],
      ['a verdict that never comes', undefined, 5000],
    ] as const) {
      it(`${name} is refused on both sides`, async () => {
        const { realm, open, after, run } = world();
        const alice = open(1);
        const bob = open(2, {
          accept: () => (verdict === undefined ? new Promise(() => undefined) : after(tookMs, verdict)),
        });
        for (const swarm of [alice, bob]) swarm.listen(() => assert.fail('delivered'));
        const [from, to] = dials === 'alice' ? [alice, bob] : [bob, alice];
        from.tell(to.addr, Uint8Array.of(1)).catch(() => undefined);
        const fromMs = realm.clock.nowMs();
        await assert.rejects(run(from.ask(to.addr, Uint8Array.of(1), { timeoutMs: 60_000 })), {
          code: 'refused',
          side: dials === 'alice' ? 'remote' : 'local',
        });
        const took = realm.clock.nowMs() - fromMs;
        assert.ok(took >= tookMs && took < tookMs + 500, `${took} ms`);
        assert.equal(bob.counters.drops.get('quic.not_accepted'), 1);
        assert.equal(inspect(bob).state['connections'], 0);
        await run(Promise.all([alice.close(), bob.close()]));
      });
    }
  });
}

describe('accept of a QUIC swarm', () => {
  for (const verdict of [true, false]) {
    it(`lets a peer open no stream before the verdict, and after a ${verdict ? 'yes' : 'no'} ${verdict ? 'all' : 'none'}`, async () => {
      const { realm, open, after, run } = world();
      const bob = open(2, { accept: () => after(1000, verdict) });
      const heard: number[] = [];
      bob.listen(({ payload }) => void heard.push(payload[0]!));
      const raw = new RawQuicPeer(realm, testKey(9));
      const connection = await raw.connected(bob.addr.inner);
      await realm.clock.advance(900);
      assert.deepEqual([connection.open('uni'), connection.open('bidi')], [undefined, undefined]);
      await realm.clock.advance(200);
      if (verdict) {
        connection.open('uni')!.write(Uint8Array.of(7), true);
        raw.flush();
        await realm.clock.advance(100);
        assert.deepEqual(heard, [7]);
      } else {
        assert.deepEqual([connection.state, connection.closed?.code, connection.open('uni')], ['closed', 5, undefined]);
        assert.deepEqual(heard, []);
      }
      raw.close();
      await run(bob.close());
    });
  }

  it('recheck asks again, ends the sessions that are refused, and leaves the others', async () => {
    const { realm, open, run } = world();
    const banned = new Set<string>();
    const bob = open(2, { accept: async ({ id }) => !banned.has(id) });
    const [alice, carol] = [open(1), open(3)];
    for (const swarm of [alice, carol]) await run(swarm.ask(bob.addr, Uint8Array.of(1)));
    await run(bob.recheck());
    assert.equal(inspect(bob).state['sessions'], 2);
    banned.add(alice.addr.id);
    await run(bob.recheck());
    await realm.clock.advance(2000);
    assert.deepEqual([inspect(bob).state['sessions'], inspect(alice).state['sessions']], [1, 0]);
    await assert.rejects(run(alice.ask(bob.addr, Uint8Array.of(1))), { code: 'refused', side: 'remote' });
    assert.deepEqual(await run(carol.ask(bob.addr, Uint8Array.of(3))), Uint8Array.of(3));
    await run(Promise.all([alice.close(), bob.close(), carol.close()]));
  });

  it('a peer that leaves before its verdict is forgotten, and closing answers all questions', async () => {
    const { realm, open, run } = world();
    let asked = 0;
    const bob = open(2, { accept: () => (asked++, new Promise(() => undefined)) });
    const [alice, carol] = [open(1), open(3)];
    for (const swarm of [alice, carol]) swarm.tell(bob.addr, Uint8Array.of(1)).catch(() => undefined);
    await realm.clock.advance(100);
    assert.equal(asked, 2);
    await run(alice.close());
    await realm.clock.advance(100);
    assert.equal(bob.counters.drops.get('quic.not_accepted') ?? 0, 0);
    await run(bob.close());
    await run(carol.close());
  });
});
