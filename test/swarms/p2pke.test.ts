import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Bytes } from '../../src/base/bytes.ts';
import { inspect } from '../../src/core/inspect.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { fingerprints, peerIdOfKey } from '../../src/identity/keys.ts';
import { RESOLVED } from '../../src/runtime/promises.ts';
import { frag } from '../../src/wrappers/frag.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { memoryAddr } from '../../src/swarms/memory/index.ts';
import { p2pke, p2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { codeOf } from '../support/code-of.ts';
import { drops, helloOf, idOf, network } from '../support/p2pke-world.ts';

describe('p2pke', () => {
  it('p2pke brings a first tell after one and a half round trips, exactly', async () => {
    await using net = network({ netem: { latencyMs: 50 } });
    const [alice, bob] = [net.peer(1), net.peer(2)];
    let atMs = -1;
    bob.listen(() => void (atMs = net.realm.nowMs()));
    void alice.tell(bob.addr, Uint8Array.of(1));
    await net.realm.clock.advance(149);
    assert.equal(atMs, -1);
    await net.realm.clock.advance(1);
    assert.equal(atMs, 150);
  });

  it('p2pke returns the shared promise on a session, and makes none of its own', async () => {
    await using net = network();
    const [alice, bob] = [net.peer(1), net.peer(2)];
    bob.listen(() => {});
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    assert.equal(alice.tell(bob.addr, Uint8Array.of(2)), RESOLVED);
  });

  it('p2pke gives texts that split at the first @, also when nested, and takes them back', async () => {
    await using net = network();
    const outer = p2pke(net.peer(1), { privateKey: testKey(2) });
    const [addr] = outer.localAddrs();
    assert.equal(addr!.text, `${idOf(2)}@${idOf(1)}@0`);
    assert.equal(outer.parseAddr(addr!.text).inner.inner.text, '0');
    assert.throws(() => outer.parseAddr(`${idOf(2)}@x@0`), /Cannot parse PeerID/);
    assert.throws(() => outer.parseAddr(idOf(2)), /expected <PeerID>@<inner address>/);
    assert.throws(() => outer.parseAddr(`${idOf(2)}@${idOf(1)}@zero`), TypeError);
  });

  it('p2pke has neither the asks nor the keys of the swarm below', async () => {
    await using net = network();
    const asker = mbapp(net.peer(1));
    const outer = p2pke(asker, { privateKey: testKey(2) });
    assert.equal('ask' in outer, false);
    assert.equal('serve' in outer, false);
    assert.deepEqual(outer.publicKey.spki, testKey(2).publicKey.spki);
  });

  it('p2pke takes 20 bytes of the inner MTU, and never gives more than 65515', async () => {
    await using net = network({ mtu: 200 });
    const alice = net.peer(1);
    assert.equal(alice.mtu(alice.addr), 180);
    await using large = network({ mtu: 100_000 });
    const bob = large.peer(1);
    assert.equal(bob.mtu(bob.addr), 65_515);
  });

  it('p2pke works over exactly 166 bytes, and names frag over less', async () => {
    await using net = network({ mtu: 166 });
    const [alice, bob] = [net.peer(1), net.peer(2)];
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    await using small = network({ mtu: 165 });
    const [carol, dave] = [small.peer(1), small.peer(2)];
    const told = carol.tell(dave.addr, Uint8Array.of(1));
    await assert.rejects(small.run(told), { code: 'mtu_exceeded', message: /166 bytes.*165 bytes.*frag\(\)/s });
    const [erin, frank] = [3, 4].map((key) => p2pke(frag(small.inner()), { privateKey: testKey(key) }));
    await small.run(erin!.tell(frank!.addr, Uint8Array.of(1)));
  });

  it('p2pke rejects with timeout when nobody answers, by its own deadline or the call’s, and stops trying', async () => {
    await using net = network();
    const alice = net.peer(1, { timeoutMs: 3000 });
    const nobody = p2pkeAddr(idOf(9), memoryAddr(99));
    for (const [options, ms] of [
      [undefined, 3000],
      [{ timeoutMs: 25_000 }, 25_000],
    ] as const) {
      const before = net.realm.nowMs();
      const error: unknown = await net.run(
        alice.tell(nobody, Uint8Array.of(1), options).catch((reason: unknown) => reason),
      );
      assert.ok(P2PError.is(error, 'timeout'));
      assert.equal(error.sent, 'no');
      assert.equal(net.realm.nowMs() - before, ms);
    }
    const { sent } = alice.counters.inner!;
    await net.realm.clock.advance(60_000);
    assert.equal(alice.counters.inner!.sent, sent);
    assert.equal(inspect(alice).state['channels'], 0);
  });

  it('p2pke says identity_mismatch after one round trip, and a good session at that address goes on', async () => {
    await using net = network({ netem: { latencyMs: 50 } });
    const [alice, bob] = [net.peer(1), net.peer(2)];
    const heard: number[] = [];
    bob.listen(({ payload }) => void heard.push(payload[0]!));
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    const before = net.realm.nowMs();
    const wrong = p2pkeAddr(idOf(7), bob.addr.inner);
    assert.equal(await net.run(codeOf(alice.tell(wrong, Uint8Array.of(9)))), 'identity_mismatch');
    assert.equal(net.realm.nowMs() - before, 100);
    await net.run(alice.tell(bob.addr, Uint8Array.of(2)));
    await net.realm.clock.advance(1000);
    assert.deepEqual(heard, [1, 2]);
    assert.equal(inspect(alice).state['channels'], 1);
  });

  it('p2pke asks accept about whom it dials and who dials it, with address and key', async () => {
    await using net = network();
    const asked: string[] = [];
    const alice = net.peer(1, { accept: ({ id, publicKey }) => id !== idOf(3) && publicKey.algorithm === 'ed25519' });
    const bob = net.peer(2, { accept: ({ addr, id }) => asked.push(addr.text) > 0 && id !== idOf(3) });
    const carol = net.peer(3);
    let heard = 0;
    bob.listen(() => void heard++);
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    assert.ok(asked.every((text) => text === alice.addr.text) && asked.length > 0);
    assert.equal(await net.run(codeOf(alice.tell(carol.addr, Uint8Array.of(1)))), 'refused');
    assert.equal(await net.run(codeOf(carol.tell(bob.addr, Uint8Array.of(1), { timeoutMs: 2000 }))), 'timeout');
    assert.ok(drops(bob, 'not_accepted') > 0);
    assert.equal(heard, 1);
  });

  it('p2pke takes an accept that throws for a no, and goes on', async () => {
    await using net = network();
    const alice = net.peer(1);
    const bob = net.peer(2, {
      accept: () => {
        throw new Error('thrown by accept');
      },
    });
    assert.equal(await net.run(codeOf(alice.tell(bob.addr, Uint8Array.of(1), { timeoutMs: 500 }))), 'timeout');
    assert.ok((bob.counters.drops.get('handler_error') ?? 0) > 0);
  });

  it('p2pke takes anything but true of an accept for a no, counts it and traces it', async () => {
    const answers: readonly (() => unknown)[] = [
      () => Promise.resolve(1),
      () => Promise.reject(new Error('late')),
      () => undefined,
      () => 1,
      () => ({}),
      () => 'yes',
    ];
    for (const answer of answers) {
      const events: TraceEvent[] = [];
      await using net = network({ trace: (event) => void events.push(event) });
      const accept = answer as () => boolean;
      const [alice, bob] = [net.peer(1), net.peer(2, { accept })];
      let heard = 0;
      bob.listen(() => void heard++);
      assert.equal(await net.run(codeOf(alice.tell(bob.addr, Uint8Array.of(1), { timeoutMs: 500 }))), 'timeout');
      assert.ok((bob.counters.drops.get('handler_error') ?? 0) > 0);
      const [fault] = events.filter(({ type }) => type === 'handler_error');
      assert.match(String(fault!.cause), /must return true or false|late/);
      assert.equal(await net.run(codeOf(bob.tell(alice.addr, Uint8Array.of(1)))), 'refused');
      assert.equal(heard, 0);
    }
  });

  it('p2pke has the PeerIDs of the fingerprint it is given', async () => {
    await using net = network();
    const fingerprint = fingerprints.sha3;
    const [alice, bob] = [net.peer(1, { fingerprint }), net.peer(2, { fingerprint })];
    assert.equal(bob.addr.id, peerIdOfKey(testKey(2).publicKey, fingerprint));
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
  });

  it('p2pke bounds what waits for handshakes, per peer and in all', async () => {
    await using net = network();
    const limits = { maxWaitingMessagesPerPeer: 3, maxWaitingBytesPerPeer: 1000, maxWaitingMessages: 5 };
    const alice = net.peer(1, { limits, timeoutMs: 1000 });
    const [one, two] = [p2pkeAddr(idOf(8), memoryAddr(98)), p2pkeAddr(idOf(9), memoryAddr(99))];
    const codes = [one, one, one, one, two, two, two].map((dst) => codeOf(alice.tell(dst, Uint8Array.of(1))));
    assert.deepEqual(await net.run(Promise.all(codes)), [
      'timeout',
      'timeout',
      'timeout',
      'limit_exceeded',
      'timeout',
      'timeout',
      'limit_exceeded',
    ]);
    const large = [1, 2].map(() => codeOf(alice.tell(one, new Uint8Array(900))));
    assert.deepEqual(await net.run(Promise.all(large)), ['timeout', 'limit_exceeded']);
    assert.equal(inspect(alice).state['waitingMessages'], 0);
    assert.equal(inspect(alice).state['waitingBytes'], 0);
  });

  it('p2pke wakes all who wait when it closes, and drain waits for them', async () => {
    await using net = network();
    const [alice, bob] = [net.peer(1), net.peer(2)];
    const told = codeOf(alice.tell(p2pkeAddr(idOf(9), memoryAddr(99)), Uint8Array.of(1)));
    const looked = codeOf(alice.lookupPublicKey(p2pkeAddr(idOf(9), memoryAddr(99))));
    await net.run(alice.close());
    assert.deepEqual([await told, await looked], ['closed', 'closed']);
    const carol = net.peer(3);
    let settled = false;
    void carol.tell(bob.addr, Uint8Array.of(1)).then(() => (settled = true));
    await net.run(carol.drain());
    assert.ok(settled);
  });

  it('p2pke reports a tell that the swarm below does not take, on a session and before one (P12)', async () => {
    await using net = network();
    const failing = net.inner();
    let broken = false;
    const tell = failing.tell.bind(failing);
    failing.tell = (dst, payload, options) =>
      broken ? Promise.reject(new P2PError('unreachable', 'path', 'broken')) : tell(dst, payload, options);
    const alice = net.peer(1, {}, failing);
    const [bob, carol] = [net.peer(2), net.peer(3)];
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    broken = true;
    assert.equal(await net.run(codeOf(alice.tell(bob.addr, Uint8Array.of(2)))), 'unreachable');
    assert.equal(await net.run(codeOf(alice.tell(carol.addr, Uint8Array.of(2)))), 'unreachable');
    assert.ok(drops(alice, 'send_failed') >= 2);
  });

  it('p2pke keeps no state for packets of strangers, and counts them by reason (P6)', async () => {
    await using net = network();
    const [alice, bob] = [net.peer(1), net.peer(2)];
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    const mallory = net.inner();
    const to = bob.addr.inner;
    const withCounter = (counter: number, length: number): Bytes => {
      const datagram = new Uint8Array(length);
      new DataView(datagram.buffer).setUint32(0, counter);
      return datagram;
    };
    const forged = helloOf(9, 0, 0);
    forged[100]! ^= 1;
    const datagrams = [new Uint8Array(3), withCounter(16, 40), withCounter(2, 86), withCounter(0, 166), forged];
    for (const datagram of datagrams) await net.run(mallory.tell(to, datagram));
    await net.realm.clock.advance(10);
    assert.deepEqual(
      ['too_short', 'unknown_session', 'unexpected', 'malformed', 'bad_signature'].map((reason) => drops(bob, reason)),
      [1, 1, 1, 1, 1],
    );
    assert.equal(inspect(bob).state['channels'], 1);
  });

  it('p2pke counts what is replayed on a session, and delivers it once', async () => {
    await using net = network({ netem: { duplicate: 1 } });
    const [alice, bob] = [net.peer(1), net.peer(2)];
    let heard = 0;
    bob.listen(() => void heard++);
    for (let i = 0; i < 3; i++) await net.run(alice.tell(bob.addr, Uint8Array.of(i)));
    await net.realm.clock.advance(1000);
    assert.equal(heard, 3);
    assert.ok(drops(bob, 'replayed') > 0);
  });

  it('p2pke answers no hello older than the last that its key completed, whatever address it comes from (P7)', async () => {
    await using net = network();
    const [alice, bob] = [net.peer(1), net.peer(2)];
    const overheard = helloOf(1, net.realm.wallMs() - 1000, 1);
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    const mallory = net.inner();
    let answers = 0;
    mallory.listen(() => void answers++);
    await net.run(mallory.tell(bob.addr.inner, overheard));
    await net.realm.clock.advance(1000);
    assert.equal(drops(bob, 'stale_hello'), 1);
    assert.equal(answers, 0);
  });

  it('p2pke talks on with a peer that starts again, with its old key or a new one', async () => {
    await using net = network();
    const alice = net.peer(1);
    const inner = net.inner();
    const heard: string[] = [];
    for (const key of [2, 2, 3]) {
      const bob = p2pke(inner, { privateKey: testKey(key), keepInner: true });
      bob.listen(({ src }) => void heard.push(`${key} ${src.id === idOf(1)}`));
      if (heard.length === 0) await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
      else {
        await net.run(bob.tell(alice.addr, Uint8Array.of(1)));
        await net.realm.clock.advance(10); // until Alice knows
        await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
      }
      await net.realm.clock.advance(100);
      await net.run(bob.close());
    }
    assert.deepEqual(heard, ['2 true', '2 true', '3 true']);
  });

  it('p2pke knows the key of a source when its sessions are gone (P13)', async () => {
    await using net = network();
    const [alice, bob] = [net.peer(1), net.peer(2)];
    bob.listen(() => {});
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    await net.realm.clock.advance(400_000);
    assert.equal(inspect(bob).state['channels'], 0);
    assert.deepEqual(bob.knownPublicKey(alice.addr)?.spki, testKey(1).publicKey.spki);
  });

  it('p2pke looks a key up, is silent for 16 s, and tells at once (P1)', async () => {
    await using net = network({ netem: { latencyMs: 10 } });
    const [alice, bob] = [net.peer(1), net.peer(2)];
    let heard = 0;
    bob.listen(() => void heard++);
    await net.run(alice.lookupPublicKey(bob.addr));
    await net.realm.clock.advance(16_000);
    const { sent } = alice.counters.inner!;
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    await net.realm.clock.advance(100);
    assert.equal(heard, 1);
    assert.ok(alice.counters.inner!.sent - sent < 8);
  });

  it('p2pke is quiet when it is closed (P12), and when it is idle (P14)', async () => {
    await using net = network();
    const [alice, bob] = [net.peer(1), net.peer(2)];
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    await net.realm.clock.advance(20_000); // the last keep-alive
    const before = alice.counters.inner!.sent + bob.counters.inner!.sent;
    await net.realm.clock.advance(200_000);
    assert.equal(alice.counters.inner!.sent + bob.counters.inner!.sent, before);
    void alice.tell(p2pkeAddr(idOf(9), memoryAddr(99)), Uint8Array.of(1));
    await net.run(alice.close());
    const { sent } = alice.counters.inner!;
    await net.realm.clock.advance(60_000);
    assert.equal(alice.counters.inner!.sent, sent);
  });

  it('p2pke makes room for new peers where others are idle, and says when there is none', async () => {
    await using net = network();
    const hub = net.peer(0, { limits: { maxChannels: 2 }, timeoutMs: 1000 });
    const spokes = [1, 2, 3].map((key) => net.peer(key));
    for (const spoke of spokes.slice(0, 2)) await net.run(hub.tell(spoke.addr, Uint8Array.of(1)));
    assert.equal(await net.run(codeOf(hub.tell(spokes[2]!.addr, Uint8Array.of(1)))), 'limit_exceeded');
    await net.realm.clock.advance(16_000);
    assert.equal(await net.run(codeOf(hub.tell(spokes[2]!.addr, Uint8Array.of(1)))), 'resolved');
    assert.equal(inspect(hub).state['channels'], 2);
  });

  it('p2pke traces sessions, and failed handshakes with their reason', async () => {
    const events: TraceEvent[] = [];
    await using net = network({ trace: (event) => void events.push(event) });
    const alice = net.peer(1, { timeoutMs: 1000 });
    const bob = net.peer(2);
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    await net.run(codeOf(alice.tell(p2pkeAddr(idOf(9), bob.addr.inner), Uint8Array.of(1))));
    await net.run(codeOf(alice.tell(p2pkeAddr(idOf(9), memoryAddr(99)), Uint8Array.of(1))));
    const seen = events
      .filter(({ addr }) => addr?.text.startsWith(idOf(2)) === true || addr?.text.startsWith(idOf(9)) === true)
      .map(({ type, reason }) => `${type} ${reason ?? ''}`.trim());
    assert.deepEqual(seen, ['session', 'handshake_failed identity_mismatch', 'handshake_failed timeout']);
    await alice.close();
    const ends = events.filter(({ layer }) => layer === 'p2pke').map(({ type }) => type);
    assert.deepEqual([ends.filter((type) => type === 'opened').length, ends.at(-1)], [2, 'closed']);
  });

  it('p2pke keeps the inner swarm open when asked to', async () => {
    await using net = network();
    const inner = net.inner();
    const swarm = p2pke(inner, { privateKey: testKey(1), keepInner: true });
    await swarm.close();
    assert.equal(inner.localAddrs().length, 1);
    await p2pke(inner, { privateKey: testKey(1) }).close();
    assert.equal(inner.localAddrs().length, 0);
  });

  it('p2pke refuses wrong options at once, and says which', async () => {
    await using net = network();
    const make = (options: object) => () => Reflect.apply(p2pke, undefined, [net.inner(), options]);
    assert.throws(make({}), { name: 'TypeError', message: /privateKey/ });
    assert.throws(make({ privateKey: testKey(1), accept: 1 }), { name: 'TypeError', message: /accept/ });
    assert.throws(make({ privateKey: testKey(1), timeoutMs: -1 }), { name: 'RangeError', message: /timeoutMs/ });
    assert.throws(make({ privateKey: testKey(1), limits: { maxChannels: 0 } }), {
      name: 'RangeError',
      message: /maxChannels/,
    });
    assert.throws(make({ privateKey: testKey(1), limits: 7 }), { name: 'TypeError', message: /limits/ });
    assert.throws(make({ privateKey: testKey(1), aead: {} }), { name: 'TypeError', message: /aead/ });
    assert.throws(make({ privateKey: testKey(1), registry: 7 }), { name: 'TypeError', message: /registry/ });
    for (const inner of [null, undefined, {}, Promise.resolve()]) {
      const over = (): unknown => Reflect.apply(p2pke, undefined, [inner, { privateKey: testKey(1) }]);
      assert.throws(over, { name: 'TypeError', message: /Cannot take inner: expected a swarm/ });
    }
    const unawaited = (): unknown => Reflect.apply(frag, undefined, [Promise.resolve()]);
    assert.throws(unawaited, /await it first/);
  });
});
