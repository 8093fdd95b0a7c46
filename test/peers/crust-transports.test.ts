/** What crust did over TCP and over uTP: here over TCP and over QUIC, which is the reliable UDP. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { Peers } from '../../src/peers/index.ts';
import { connectionsOf } from '../../src/sessions/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { PeersWorld } from '../support/peers-world.ts';
import { candidateFor, caught, failureOf, NUMBERED, pair, watch } from './crust-world.ts';

before(() => loadQuicEngine());

for (const transport of ['tcp', 'quic'] as const) {
  const only = { transports: [transport] } as const;
  describe(`openPeers over ${transport}`, () => {
    it('connects directly by addresses that were exchanged by other means, as text', async () => {
      const { w, alice, bob } = await pair({ ...only, sources: [] });
      const invitation = JSON.stringify({ id: bob.id, addrs: bob.addrs });
      const { addrs } = JSON.parse(invitation) as { addrs: string[] };
      assert.ok(addrs.every((addr) => addr.startsWith(`${transport}://${bob.id}@`)));
      for (const addr of addrs) alice.add(candidateFor(bob, addr));
      const connection = await w.run(alice.connect(bob.id));
      assert.deepEqual([connection.state, connection.path!.transport], ['connected', transport]);
      await w.close();
    });

    it('keeps one connection with a peer when both sides dial at once, and reports it once on both', async () => {
      const { w, alice, bob } = await pair(only);
      alice.serve(({ payload }) => payload);
      const [atAlice, atBob] = [watch(alice), watch(bob)];
      await w.run(Promise.all([alice.connect(bob.id), bob.connect(alice.id), alice.connect(bob.id)]));
      await w.run(Promise.all([alice.ask(bob.id, encodeText('a')), bob.ask(alice.id, encodeText('b'))]));
      await w.advance(10_000);
      for (const { types } of [atAlice, atBob]) {
        assert.equal(types.filter((type) => type === 'connected').length, 1);
        assert.ok(!types.includes('lost'));
      }
      const open = [alice, bob].map(({ transports }) => connectionsOf(transports[0]!.swarm) !== undefined);
      assert.deepEqual([alice.list().length, bob.list().length, ...open], [1, 1, true, true]);
      await w.close();
    });

    it('tells both sides once when one drops the connection', async () => {
      const { w, alice, bob } = await pair(only);
      await w.run(alice.connect(bob.id));
      const [atAlice, atBob] = [watch(alice), watch(bob)];
      alice.drop(bob.id);
      await w.advance(5000);
      assert.deepEqual([atAlice.types, atBob.types], [['lost'], ['lost']]);
      const [lost] = atBob.changes;
      assert.match(lost?.type === 'lost' ? lost.reason : '', /the peer ended it: dropped/);
      await w.close();
    });

    it('heartbeats keep an idle maintained connection for ten minutes', async () => {
      const { w, alice, bob } = await pair(only);
      alice.maintain(bob.id);
      bob.maintain(alice.id);
      await w.advance(1000);
      const [atAlice, atBob] = [watch(alice), watch(bob)];
      await w.advance(600_000);
      assert.deepEqual([atAlice.types, atBob.types], [[], []]);
      assert.equal(alice.list()[0]!.state, 'connected');
      await w.close();
    });

    it('a peer that falls silent is noticed by heartbeat, and lost when it does not come back', async () => {
      const { w, alice, bob, b } = await pair({ ...only, resumeMs: 5000 });
      alice.maintain(bob.id);
      await w.advance(1000);
      const { changes } = watch(alice);
      b.sleep();
      // A ping goes after 15 to 16 s; 2 s later the path is dead, and 5 s later the session.
      await w.advance(17_900);
      const interrupted = changes.find(({ type }) => type === 'path');
      assert.ok(interrupted?.type === 'path' && interrupted.path === undefined, JSON.stringify(changes));
      await w.advance(8000);
      assert.ok(changes.some(({ type }) => type === 'lost'));
      b.wake();
      await w.close();
    });

    it('messages arrive in order, small ones and one of 8 MiB', async () => {
      const { w, alice, bob } = await pair(only);
      const got: number[] = [];
      bob.listen(({ payload }) => void got.push(payload.length));
      const sizes = Array.from({ length: 500 }, (_, i) => (i === 250 ? 8 * 1_048_576 : i));
      await w.run(Promise.all(sizes.map((size) => alice.tell(bob.id, new Uint8Array(size)))));
      await w.advance(5000);
      assert.deepEqual(got, sizes);
      await w.close();
    });

    it('urgent messages overtake others, and those that expire are not sent: their sender learns it', async () => {
      const { w, alice, bob, a } = await pair(only);
      await w.run(alice.connect(bob.id));
      // What has been given to the transport stays in order: 16 MiB at most.
      a.setLink({ bytesPerSecond: 2_000_000 });
      const got: number[] = [];
      bob.listen(({ payload }) => void got.push(payload[0]!));
      const bulk = Array.from({ length: 40 }, () =>
        alice.tell(bob.id, new Uint8Array(1_048_576).fill(1), { timeoutMs: Infinity }),
      );
      const stale = caught(alice.tell(bob.id, Uint8Array.of(2), { expiresMs: 1000, priority: -1 }));
      const urgent = alice.tell(bob.id, Uint8Array.of(3), { priority: 1 });
      const [, , error] = await w.run(Promise.all([Promise.all(bulk), urgent, stale]));
      await w.advance(60_000);
      assert.ok(P2PError.is(error), String(error));
      assert.deepEqual([error.code, error.sent], ['timeout', 'no']);
      assert.equal(got.length, 41);
      assert.ok(!got.includes(2) && got.indexOf(3) <= 20, `${got.indexOf(3)} came before`);
      await w.close();
    });

    it('a message above the limit of either side is refused where it is sent, and the connection stays', async () => {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const alice = await w.open(1, w.net.host(), only);
      const bob = await w.open(2, w.net.host(), { ...only, maxMessageBytes: 1000 });
      bob.serve(({ payload }) => payload);
      await w.run(alice.connect(bob.id));
      for (const call of [
        alice.tell(bob.id, new Uint8Array(1001)),
        alice.ask(bob.id, new Uint8Array(1001)),
        alice.tell(bob.id, new Uint8Array(16 * 1_048_576 + 1)),
      ]) {
        const { code, side } = await failureOf(w, call);
        assert.deepEqual([code, side], ['mtu_exceeded', 'local']);
      }
      assert.equal((await w.run(alice.ask(bob.id, new Uint8Array(1000)))).length, 1000);
      await w.close();
    });

    it('with 300 ms of latency and a tenth of the packets lost it connects, and every message arrives once', async () => {
      const w = new PeersWorld({ seed: 5, trace: undefined });
      const link = { latencyMs: 300, jitterMs: 30, loss: 0.1 };
      const [alice, bob] = [await w.open(1, w.net.host({ link }), only), await w.open(2, w.net.host(), only)];
      const got: number[] = [];
      bob.listen(({ payload }) => void got.push(payload[0]!));
      bob.serve(({ payload }) => payload);
      await w.run(alice.connect(bob.id, { timeoutMs: 60_000 }));
      const small = [...NUMBERED];
      await w.run(Promise.all(small.map((payload) => alice.tell(bob.id, payload, { timeoutMs: Infinity }))));
      await w.run(Promise.all(small.map((payload) => alice.ask(bob.id, payload, { timeoutMs: Infinity }))));
      assert.deepEqual(
        got,
        NUMBERED.map((_, i) => i),
      );
      await w.close();
    });

    it('a link of 50 kB/s carries messages of 1 MiB', async () => {
      const { w, alice, bob, a } = await pair(only);
      await w.run(alice.connect(bob.id));
      a.setLink({ bytesPerSecond: 50_000 });
      let got = 0;
      bob.listen(({ payload }) => void (got += payload.length));
      await w.run(
        Promise.all([1, 2, 3].map(() => alice.tell(bob.id, new Uint8Array(1_048_576), { timeoutMs: Infinity }))),
      );
      await w.advance(300_000);
      assert.equal(got, 3 * 1_048_576);
      await w.close();
    });

    it('a mesh of ten nodes carries 900 messages of 20 KiB to each, in order, with one connection for each pair', async () => {
      const w = new PeersWorld({ latencyMs: 5, trace: undefined });
      const nodes: Peers[] = [];
      for (let i = 0; i < 10; i++) nodes.push(await w.open(i, w.net.host(), only));
      const seen = nodes.map(watch);
      const got = nodes.map(() => new Map<string, number>());
      const wrong: string[] = [];
      for (const [i, node] of nodes.entries()) {
        node.listen(({ src, payload }) => {
          const next = got[i]!.get(src.id) ?? 0;
          if (payload[0] !== next || payload.length !== 20_480) wrong.push(`${i}: ${payload[0]} for ${next}`);
          got[i]!.set(src.id, next + 1);
        });
      }
      const tells = nodes.flatMap((node) =>
        nodes
          .filter((other) => other !== node)
          .flatMap(({ id }) => NUMBERED.map((payload) => node.tell(id, payload, { timeoutMs: Infinity }))),
      );
      await w.run(Promise.all(tells));
      await w.advance(5000);
      assert.deepEqual(wrong, []);
      for (const counts of got)
        assert.deepEqual(
          [...counts.values()],
          Array.from({ length: 9 }, () => 100),
        );
      for (const { types } of seen) assert.equal(types.filter((type) => type === 'connected').length, 9);
      await w.close();
    });

    it('closing lets what was told arrive, and the peer learns that the program closed', async () => {
      const { w, alice, bob } = await pair(only);
      const got: number[] = [];
      bob.listen(({ payload }) => void got.push(payload[0]!));
      await w.run(alice.connect(bob.id));
      const { changes } = watch(bob);
      await w.run(Promise.all(NUMBERED.slice(0, 20).map((payload) => alice.tell(bob.id, payload))));
      await w.run(alice.drain().then(() => alice.close()));
      await w.advance(1000);
      assert.equal(got.length, 20);
      const lost = changes.filter(({ type }) => type === 'lost');
      assert.deepEqual(lost, [{ type: 'lost', id: alice.id, reason: 'the peer ended it: closed' }]);
      await w.close();
    });
  });
}
