import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { P2PError } from '../../src/core/errors.ts';
import { bytes, errorOf, idOf, nowhere, pair, take, world } from '../support/endpoint-world.ts';

describe('endpoint: connecting', () => {
  it('one endpoint dials and is dialled on the same address', async () => {
    const w = world();
    const [alice, bob, carol] = [w.open(), w.open(), w.open()];
    const accepted = bob.connections();
    await w.run(alice.connect(bob.addr));
    const there = (await w.run(accepted.next())).value!;
    assert.equal(there.remoteAddr.text, alice.addr.text);
    const onwards = await w.run(bob.connect(carol.addr));
    assert.deepEqual([there.side, onwards.side], ['initiator', 'responder']);
  });

  it('an endpoint that does not listen takes no connections, but streams on those it made', async () => {
    const w = world();
    const [alice, bob] = [w.open({ listen: false }), w.open()];
    const accepted = bob.connections();
    const here = await w.run(alice.connect(bob.addr));
    const there = (await w.run(accepted.next())).value!;
    await w.run(there.send(bytes('to the client'), { acked: true }));
    assert.equal((await w.run(take(here.messages(), 1))).length, 1);
    const carol = w.open();
    const refused = await w.run(errorOf(carol.connect(alice.addr, { timeoutMs: 2000 })));
    assert.ok(['timeout', 'refused', 'unreachable'].includes(refused.code), refused.code);
  });

  it('connect rejects with its own code for a dead address, port 0 and a peer that refuses', async () => {
    const w = world();
    const alice = w.open();
    const dead = await w.run(errorOf(alice.connect(nowhere(w))));
    assert.deepEqual([dead.code, dead.sent], ['timeout', 'no']);
    assert.equal(w.realm.nowMs(), 10_000);
    const soon = await w.run(errorOf(alice.connect(nowhere(w), { timeoutMs: 300 })));
    assert.deepEqual([soon.code, w.realm.nowMs()], ['timeout', 10_300]);
    const strict = w.open({ accept: () => false });
    const refused = await w.run(errorOf(alice.connect(strict.addr)));
    assert.deepEqual([refused.code, refused.side], ['refused', 'remote']);
    assert.throws(() => alice.connect(strict.addr, { timeoutMs: -1 }), RangeError);
  });

  it('rejects a text that is no address, and one that names another PeerID, without harm to other candidates', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const expect = bob.peerId;
    const elsewhere = `${idOf(99)}@${bob.addr.text}`;
    for (const [text, code] of [
      ['not an address', 'unreachable'],
      ['', 'unreachable'],
      [`${expect}@`, 'unreachable'],
      [elsewhere, 'identity_mismatch'],
    ] as const) {
      const failed = await w.run(errorOf(alice.connect(text, { expect })));
      assert.deepEqual([failed.code, failed.side, failed.sent], [code, 'local', 'no']);
      const unsent = await w.run(errorOf(alice.send(text, Uint8Array.of(1), { expect })));
      assert.equal(unsent.code, code);
      assert.equal(alice.connectionTo(text), undefined);
    }
    const none = await w.run(errorOf(alice.connectToAny(['not an address', elsewhere], { expect })));
    assert.deepEqual(
      (none.cause as AggregateError).errors.map((cause: P2PError) => cause.code),
      ['unreachable', 'identity_mismatch'],
    );
    const found = await w.run(alice.connectToAny(['not an address', elsewhere, bob.addr], { expect }));
    assert.equal(found.peerId, expect);
    assert.throws(() => alice.connect(7 as never), TypeError);
  });

  it('the first of several that answers wins, and the others are cancelled', async () => {
    const w = world({ latencyMs: 10 });
    const [alice, bob, carol] = [w.open(), w.open(), w.open()];
    const candidates = [nowhere(w), bob.addr, carol.addr];
    const startedMs = w.realm.nowMs();
    const one = await w.run(alice.connectToAny(candidates, { staggerMs: 250 }));
    assert.equal(one.peerId, bob.peerId);
    assert.ok(w.realm.nowMs() - startedMs < 350);
    await w.pass(20_000);
    assert.equal(alice.openConnections().length, 1);
    assert.equal(carol.openConnections().length, 0, 'carol was never tried');
    const both = w.open();
    const fast = await w.run(both.connectToAny([nowhere(w), bob.addr]));
    assert.equal(fast.peerId, bob.peerId, 'without a stagger all begin at once');
  });

  it('when no address answers, the error has one cause for each, in order', async () => {
    const w = world();
    const alice = w.open();
    const mallory = w.open();
    const candidates = [nowhere(w), { addr: mallory.addr, expect: idOf(99) }, nowhere(w)];
    const startedMs = w.realm.nowMs();
    const error = await w.run(errorOf(alice.connectToAny(candidates, { timeoutMs: 1000, maxParallel: 1 })));
    assert.equal(error.code, 'unreachable');
    assert.ok(error.cause instanceof AggregateError);
    assert.deepEqual(
      error.cause.errors.map((cause: P2PError) => cause.code),
      ['timeout', 'identity_mismatch', 'timeout'],
    );
    assert.ok(w.realm.nowMs() - startedMs >= 2000 && w.realm.nowMs() - startedMs < 2100);
    assert.throws(() => alice.connectToAny([]), RangeError);
  });

  it('a candidate that is connected already wins without a packet', async () => {
    const w = world();
    const { alice, bob, here } = await pair(w);
    const carol = w.open();
    assert.equal(await w.run(alice.connectToAny([carol.addr, bob.addr])), here);
    assert.notEqual(await w.run(alice.connectToAny([bob.addr], { fresh: true })), here);
  });

  it('a signal cancels a race, which leaves nothing behind', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const stop = new AbortController();
    const race = alice.connectToAny([nowhere(w), nowhere(w)], { signal: stop.signal });
    const outcome = race.catch((error: unknown) => error);
    await w.pass(100);
    stop.abort('enough');
    assert.equal(await w.run(outcome), 'enough');
    await w.run(alice.connect(bob.addr));
  });

  it('connections come as an iterator, in order, and without waiting', async () => {
    const w = world();
    const bob = w.open();
    const accepted = bob.connections();
    assert.equal(accepted.tryNext(), undefined);
    const peers = [w.open(), w.open(), w.open()];
    for (const peer of peers) await w.run(peer.connect(bob.addr));
    assert.equal(accepted.tryNext()?.peerId, peers[0]!.peerId);
    const rest = await w.run(take(accepted, 2));
    assert.deepEqual(
      rest.map(({ peerId }) => peerId),
      [peers[1]!.peerId, peers[2]!.peerId],
    );
    const waiting = accepted.next();
    await w.run(bob.close());
    assert.deepEqual(await w.run(waiting), { done: true, value: undefined });
  });

  it('a slow handshake delays no other', async () => {
    const w = world();
    const bob = w.open();
    const silent = w.realm.swarm();
    await silent.tell(bob.addr, new Uint8Array(1200).fill(0xc0));
    const alice = w.open();
    await w.run(alice.connect(bob.addr));
  });

  it('both ends know the identity, the id and the address of the other', async () => {
    const w = world();
    const { alice, bob, here, there } = await pair(w);
    assert.deepEqual([here.peerId, there.peerId], [bob.peerId, alice.peerId]);
    assert.deepEqual([here.authenticated, there.authenticated], [true, true]);
    assert.deepEqual([here.alpn, there.alpn], ['shoal-endpoint/1', 'shoal-endpoint/1']);
    assert.equal(here.publicKey?.algorithm, 'ed25519');
    assert.equal(here.certificates.length, 1);
    assert.equal(here.remoteAddr.text, bob.addr.text);
    const again = await w.run(alice.connect(bob.addr, { fresh: true }));
    assert.notEqual(again.id, here.id);
    assert.match(here.id, /#1$/);
  });

  it('a close tells its code and reason, and both ends know how it ended', async () => {
    const w = world();
    const { here, there } = await pair(w);
    await w.run(here.close({ code: 1234, reason: 'had enough' }));
    const [mine, theirs] = [await w.run(here.closed), await w.run(there.closed)];
    assert.deepEqual([mine.by, mine.code, mine.reason, mine.benign], ['local', 1234, 'had enough', true]);
    assert.deepEqual([theirs.by, theirs.code, theirs.reason, theirs.benign], ['peer', 1234, 'had enough', false]);
    assert.equal(here.closeReason, mine);
    const late = await w.run(errorOf(here.send(bytes('x'))));
    assert.deepEqual([late.code, late.side, late.sent], ['disconnected', 'local', 'no']);
    await w.run(here.close());
  });

  it('the close reason of a peer cannot control a terminal', async () => {
    const w = world();
    const { here, there } = await pair(w);
    await w.run(here.close({ code: 1, reason: 'red\u001b[31m \u202eback' }));
    assert.equal((await w.run(there.closed)).reason, 'red\ufffd[31m \ufffdback');
  });

  it('closing an endpoint closes everything at once and wakes every waiter', async () => {
    const w = world();
    const { alice, bob, there, here } = await pair(w);
    const request = errorOf(here.request(bytes('never answered')));
    await w.pass(10);
    const dial = errorOf(alice.connect(nowhere(w)));
    await w.run(alice.close({ code: 300, reason: 'good night' }));
    assert.deepEqual([(await request).code, (await dial).code].toSorted(), ['closed', 'disconnected']);
    const how = await w.run(there.closed);
    assert.deepEqual([how.by, how.code, how.reason], ['peer', 300, 'good night']);
    assert.equal((await w.run(errorOf(alice.connect(bob.addr)))).code, 'closed');
    assert.deepEqual(alice.localAddrs(), []);
    assert.deepEqual(await alice.closed, { by: 'local' });
    await w.run(alice.close());
  });

  it('a connection without traffic ends after the idle timeout; that is benign and reported once', async () => {
    const w = world();
    const { here, there } = await pair(w, { idleTimeoutMs: 1000 });
    const feed = there.messages();
    const waiting = feed.next();
    await w.pass(3000);
    const how = await here.closed;
    assert.deepEqual([how.by, how.benign], ['idle_timeout', true]);
    assert.equal((await w.run(errorOf(here.send(bytes('late'))))).code, 'disconnected');
    assert.deepEqual(await w.run(waiting), { done: true, value: undefined });
  });

  it('keep-alive of one side keeps a connection open', async () => {
    const w = world();
    const { here, there } = await pair(w, { idleTimeoutMs: 10_000, keepAliveMs: 4000 }, { idleTimeoutMs: 10_000 });
    await w.pass(60_000);
    assert.equal(here.closeReason, undefined);
    await w.run(here.send(bytes('still there'), { acked: true }));
    assert.equal((await w.run(take(there.messages(), 1))).length, 1);
  });

  it('a loss that is not benign is thrown once by the iterator, a benign end is only an end', async () => {
    const w = world();
    const { here, there } = await pair(w);
    const feed = there.messages();
    await w.run(here.send(bytes('before'), { acked: true }));
    await w.run(here.close({ code: 999, reason: 'broken' }));
    await w.run(there.closed);
    assert.equal((await w.run(feed.next())).done, false, 'what has come is given out first');
    assert.equal((await w.run(errorOf(feed.next()))).code, 'disconnected');
    assert.deepEqual(await w.run(feed.next()), { done: true, value: undefined });
    const other = await pair(w);
    const benign = other.there.messages();
    await w.run(other.here.close());
    await w.run(other.there.closed);
    assert.deepEqual(await w.run(benign.next()), { done: true, value: undefined });
  });

  it('both dial at once: both connections work, and both sides use the same one from then on', async () => {
    for (const order of [0, 1]) {
      const w = world({ latencyMs: 5 });
      const ends = [w.open(), w.open()];
      const [alice, bob] = order === 0 ? [ends[0]!, ends[1]!] : [ends[1]!, ends[0]!];
      const [here, there] = await w.run(Promise.all([alice.connect(bob.addr), bob.connect(alice.addr)]));
      await w.run(Promise.all([here.send(bytes('a'), { acked: true }), there.send(bytes('b'), { acked: true })]));
      await w.pass(100);
      assert.equal(alice.openConnections().length, 2);
      const [mine, theirs] = [alice.connectionTo(bob.peerId)!, bob.connectionTo(alice.peerId)!];
      assert.notEqual(mine.side, theirs.side, 'the two ends of one connection');
      const initiator = mine.side === 'responder' ? alice : bob;
      assert.equal(initiator.peerId, [alice.peerId, bob.peerId].toSorted()[0], 'dialled by the smaller PeerID');
      await w.pass(100_000);
      assert.ok(alice.openConnections().length <= 1, 'the other was closed when it was quiet');
    }
  });
});
