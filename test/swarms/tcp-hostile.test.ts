/** The TCP swarm in virtual time, against hosts that hold its places and filters that misbehave. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from '../../src/core/inspect.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { openTcpSwarm, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { tcpWorld, type TcpWorld } from '../support/tcp-world.ts';

const world = (): TcpWorld => tcpWorld({ realmSeed: 3, latencyMs: 10 });

describe('the tcp swarm, while one host holds places', () => {
  for (const attacker of ['192.0.2.66', '198.51.100.66']) {
    it(`half-open connections from ${attacker} keep nobody else out, and leave our own dials alone`, async () => {
      const { realm, network, open, run } = world();
      const bob = await open(1, '203.0.113.1');
      bob.serve(({ payload }) => payload);
      const abort = new AbortController();
      const host = network.host(attacker);
      const remote = bob.addr.inner;
      // A hundred connections that say nothing, and each that ends comes back at once.
      const hold = async (): Promise<void> => {
        while (!abort.signal.aborted) {
          const connection = await host.dial({ remote, bind: undefined, signal: abort.signal });
          await new Promise<void>((resolve) => {
            connection.pipe.sink = { onData: () => {}, onEnd: () => {}, onClose: () => resolve() };
          });
        }
      };
      for (let i = 0; i < 100; i++) void hold().catch(() => undefined);
      await realm.clock.advance(100);
      assert.equal(inspect(bob).state['connecting'], 100);
      let answered = 0;
      for (let i = 0; i < 30; i++) {
        // Some of the honest peers are neighbours of the attacker.
        const honest = await open(100 + i, i % 3 === 0 ? `198.51.100.${i + 1}` : `192.0.${i + 3}.1`);
        const answer = await run(honest.ask(bob.addr, Uint8Array.of(i), { timeoutMs: 2000 })).catch(() => undefined);
        if (answer?.[0] === i) answered++;
        assert.ok(Number(inspect(bob).state['connecting']) >= 50, 'the attack goes on');
        await honest.close();
      }
      assert.ok(answered >= 29, `${answered} of 30`);
      const carol = await open(2, '203.0.114.1');
      carol.serve(({ payload }) => payload);
      assert.deepEqual(await run(bob.ask(carol.addr, Uint8Array.of(1))), Uint8Array.of(1));
      abort.abort();
      await run(Promise.all([bob.close(), carol.close()]));
    });
  }
});

describe('accept of the tcp swarm', () => {
  for (const [what, accept] of [
    ['a promise that rejects', () => Promise.reject(new Error('mine'))],
    ['nothing', () => undefined],
    ['one', () => 1],
    [
      'by a throw',
      () => {
        throw new Error('mine');
      },
    ],
  ] as const) {
    it(`that answers ${what} admits nobody, dialled or dialling, and is counted and traced`, async () => {
      const { open, run } = world();
      const [alice, bob] = [await open(1, '203.0.113.1'), await open(2, '203.0.113.2', { accept: accept as never })];
      let heard = 0;
      for (const swarm of [alice, bob]) {
        swarm.listen(() => void heard++);
        swarm.serve(() => {
          heard++;
          return Uint8Array.of(1);
        });
      }
      const refused = (error: unknown): boolean => P2PError.is(error) && error.code !== 'timeout';
      await assert.rejects(run(alice.ask(bob.addr, Uint8Array.of(1))), refused);
      await assert.rejects(
        run(bob.ask(alice.addr, Uint8Array.of(1))),
        (error) => P2PError.is(error, 'refused') && error.side === 'local',
      );
      assert.equal(heard, 0);
      assert.ok(bob.counters.drops.get('handler_error')! >= 2);
      await run(Promise.all([alice.close(), bob.close()]));
    });
  }
});

describe('many connections of one peer of the tcp swarm', () => {
  it('a connection with an ask under way stays, also the oldest of six; those that are idle for a while go', async () => {
    const { realm, network, open, run } = world();
    const bob = await open(1, '203.0.113.1');
    const { promise, resolve } = Promise.withResolvers<void>();
    let serving = 0;
    bob.serve(async ({ payload }) => {
      serving++;
      await promise;
      return payload;
    });
    const [to] = bob.localAddrs();
    // The same key on six hosts: each dials for itself.
    const twins: TcpSwarm[] = [];
    const answers: Promise<Uint8Array>[] = [];
    for (let i = 0; i < 6; i++) {
      const ip = `203.0.114.${i + 1}`;
      const twin = await run(
        openTcpSwarm({
          privateKey: testKey(9),
          security: 'noise',
          realm,
          network: network.host(ip),
          bind: `${ip}:4000`,
        }),
      );
      twins.push(twin);
      answers.push(twin.ask(to!, Uint8Array.of(i), { timeoutMs: 60_000 }));
      await realm.clock.advance(100);
    }
    assert.equal(serving, 6);
    await realm.clock.advance(20_000);
    assert.equal(inspect(bob).state['connections'], 6);
    assert.equal(bob.counters.drops.get('tcp.too_many_connections'), undefined);
    resolve();
    assert.deepEqual(
      await run(Promise.all(answers)),
      [0, 1, 2, 3, 4, 5].map((i) => Uint8Array.of(i)),
    );
    await realm.clock.advance(2000);
    assert.ok(Number(inspect(bob).state['connections']) <= 4, String(inspect(bob).state['connections']));
    await run(Promise.all([bob, ...twins].map((swarm) => swarm.close())));
  });
});

describe('accept of the tcp swarm, asynchronous', () => {
  const later = (clock: VirtualClock, ms: number, answer: boolean): Promise<boolean> =>
    new Promise((resolve) => void clock.setTimer(clock.nowMs() + ms, () => resolve(answer)));

  for (const dials of ['alice', 'bob'] as const) {
    it(`a yes after 1 s lets the peer in, when ${dials} dials, and nothing is delivered before`, async () => {
      const { realm, open, run } = world();
      const asked: unknown[] = [];
      const alice = await open(1, '203.0.113.1');
      const bob = await open(2, '203.0.113.2', {
        accept: ({ id, publicKey, addr, side }) => {
          asked.push([id, publicKey.algorithm, addr.id, side]);
          return later(realm.clock, 1000, true);
        },
      });
      const heard: number[] = [];
      for (const swarm of [alice, bob]) {
        swarm.listen(() => void heard.push(realm.clock.nowMs()));
        swarm.serve(({ payload }) => payload);
      }
      const [from, to] = dials === 'alice' ? [alice, bob] : [bob, alice];
      const told = from.tell(to.addr, Uint8Array.of(1));
      await realm.clock.advance(900);
      assert.deepEqual(heard, []);
      assert.equal(bob.knownPublicKey(alice.addr), undefined);
      await run(told);
      assert.deepEqual(await run(from.ask(to.addr, Uint8Array.of(7))), Uint8Array.of(7));
      assert.equal(heard.length, 1);
      const { id } = alice.addr;
      assert.deepEqual(asked, [[id, 'ed25519', id, dials === 'alice' ? 'initiator' : 'responder']]);
      await run(Promise.all([alice.close(), bob.close()]));
    });

    it(`a verdict that never comes ends as refused after 5 s, on both sides, when ${dials} dials`, async () => {
      const { realm, open, run } = world();
      const alice = await open(1, '203.0.113.1');
      const bob = await open(2, '203.0.113.2', { accept: () => new Promise(() => undefined) });
      const [from, to] = dials === 'alice' ? [alice, bob] : [bob, alice];
      const fromMs = realm.clock.nowMs();
      await assert.rejects(run(from.ask(to.addr, Uint8Array.of(1), { timeoutMs: 60_000 })), {
        code: 'refused',
        side: dials === 'alice' ? 'remote' : 'local',
      });
      const tookMs = realm.clock.nowMs() - fromMs;
      assert.ok(tookMs >= 5000 && tookMs < 5500, `${tookMs} ms`);
      assert.equal(bob.counters.drops.get('handler_error'), 1);
      assert.equal(bob.counters.drops.get('tcp.not_accepted'), 1);
      assert.equal(inspect(bob).state['connections'], 0);
      await run(Promise.all([alice.close(), bob.close()]));
    });
  }

  it('recheck asks again, ends the peers that are refused, and leaves the others', async () => {
    const { realm, open, run } = world();
    const banned = new Set<string>();
    const bob = await open(2, '203.0.113.2', { accept: async ({ id }) => !banned.has(id) });
    bob.serve(({ payload }) => payload);
    const [alice, carol] = [await open(1, '203.0.113.1'), await open(3, '203.0.113.3')];
    for (const swarm of [alice, carol]) await run(swarm.ask(bob.addr, Uint8Array.of(1)));
    await run(bob.recheck());
    assert.equal(inspect(bob).state['peers'], 2);
    banned.add(alice.addr.id);
    await run(bob.recheck());
    await realm.clock.advance(2000);
    assert.equal(inspect(bob).state['peers'], 1);
    await assert.rejects(run(alice.ask(bob.addr, Uint8Array.of(1))), { code: 'refused', side: 'remote' });
    assert.deepEqual(await run(carol.ask(bob.addr, Uint8Array.of(3))), Uint8Array.of(3));
    await run(Promise.all([alice.close(), bob.close(), carol.close()]));
  });
});
