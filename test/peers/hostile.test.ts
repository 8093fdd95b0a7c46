/** Peers that waste what a connection manager has: hellos, sessions, memory. In virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { inspect } from '../../src/core/inspect.ts';
import type { PeerChange, Peers } from '../../src/peers/index.ts';
import { DENIED, MESSAGE, PACKET } from '../../src/protocols/peers/constants.ts';
import { encodeBye, encodePart, encodePing } from '../../src/protocols/peers/packets.ts';
import { Mallory } from '../support/mallory.ts';
import { PeersWorld } from '../support/peers-world.ts';

const KIB = 1024;
const LATENCY_MS = 20;

function world(): PeersWorld {
  return new PeersWorld({ latencyMs: LATENCY_MS, trace: undefined });
}

function watch(peers: Peers): PeerChange[] {
  const seen: PeerChange[] = [];
  void (async () => {
    for await (const change of peers.changes()) seen.push(change);
  })();
  return seen;
}

/** What a connection manager says of its state. */
function stateOf(peers: Peers): Readonly<Record<string, number>> {
  return inspect(peers).state as Readonly<Record<string, number>>;
}

/** A victim, somebody who is honest, and their world. */
async function victim(options = {}): Promise<{ w: PeersWorld; bob: Peers; alice: Peers }> {
  const w = world();
  const bob = await w.open(1, w.net.host({ name: 'bob' }), { transports: ['tcp'], exchange: false, ...options });
  const alice = await w.open(0, w.net.host({ name: 'alice' }), { transports: ['tcp'], exchange: false });
  bob.serve(({ payload }) => payload);
  return { w, bob, alice };
}

describe('openPeers: hostile peers', () => {
  it('ten thousand hellos a second of one session: one session, few changes, one dial back, and others are served', async () => {
    const { w, bob, alice } = await victim();
    const mallory = await Mallory.open(w, 66, bob);
    const changes = watch(bob);
    mallory.greet();
    await w.advance(1000);
    for (let slice = 0; slice < 20; slice++) {
      for (let i = 0; i < 500; i++) mallory.greet();
      await w.advance(50);
    }
    const began = w.realm.nowMs();
    await w.run(alice.ask(bob.id, encodeText('still there?')));
    assert.ok(w.realm.nowMs() - began < 1000, `took ${w.realm.nowMs() - began} ms`);
    assert.equal(bob.list().length, 2);
    const { sessions, attempts } = stateOf(bob);
    assert.deepEqual([sessions, attempts], [2, 0]);
    const types = changes.map(({ type }) => type).filter((type) => type !== 'attack');
    assert.ok(types.length < 20, types.join(' '));
    assert.ok(mallory.dialled <= 1, `dialled back ${mallory.dialled} times`);
    assert.ok(changes.some((change) => change.type === 'attack' && change.signal === 'handshakes'));
    await w.run(mallory.close());
    await w.close();
  });

  it('one that begins a session and forgets it, again and again, has one session, and is reported', async () => {
    const { w, bob, alice } = await victim();
    const mallory = await Mallory.open(w, 66, bob);
    const changes = watch(bob);
    for (let slice = 0; slice < 20; slice++) {
      for (let i = 0; i < 100; i++) {
        mallory.forget();
        mallory.greet();
      }
      await w.advance(50);
      assert.ok(bob.list().length <= 2);
      assert.ok(stateOf(bob)['sessions']! <= 2);
    }
    await w.run(alice.ask(bob.id, encodeText('still there?')));
    const attack = changes.find((change) => change.type === 'attack');
    assert.equal(attack?.type === 'attack' && attack.signal, 'handshakes');
    await w.run(mallory.close());
    await w.advance(45_000);
    assert.deepEqual(
      bob.list().map(({ id }) => id),
      [alice.id],
    );
    await w.close();
  });

  it('thousands of sessions a second of one peer, also ended with a bye: few begin, and it may begin one again later', async () => {
    for (const endsThem of [false, true]) {
      const { w, bob, alice } = await victim();
      const mallory = await Mallory.open(w, 66, bob);
      const changes = watch(bob);
      for (let slice = 0; slice < 20; slice++) {
        for (let i = 0; i < 100; i++) {
          mallory.forget();
          mallory.greet({ kind: 'client' });
          if (endsThem) mallory.say(encodeBye(mallory.tag, 0, 'bye'));
        }
        await w.advance(50);
      }
      const begun = changes.filter(({ type }) => type === 'connected').length;
      assert.ok(begun >= 1 && begun <= 6, `${begun} sessions`);
      assert.ok(bob.counters.drops.get('peers.too_many_sessions')! > 1900);
      assert.ok(changes.some((change) => change.type === 'attack' && change.signal === 'handshakes'));
      await w.run(alice.ask(bob.id, encodeText('still there?')));
      await w.advance(2000);
      mallory.forget();
      mallory.welcome = undefined;
      mallory.greet({ kind: 'client' });
      await w.advance(500);
      assert.deepEqual(mallory.welcome!.known, mallory.session);
      await w.run(mallory.close());
      await w.close();
    }
  });

  it('an honest peer that restarts again and again gets in each time', async () => {
    const { w, bob } = await victim();
    const host = w.net.host();
    for (let i = 0; i < 10; i++) {
      const began = w.realm.nowMs();
      const carol = await w.open(5, host, { transports: ['tcp'], exchange: false });
      await w.run(carol.ask(bob.id, encodeText('again'), { timeoutMs: 10_000 }));
      assert.ok(w.realm.nowMs() - began < 3000, `start ${i} took ${w.realm.nowMs() - began} ms`);
      await w.run(carol.close());
    }
    await w.close();
  });

  it('garbage as hello, welcome and denial begins nothing, is counted, and reported', async () => {
    const { w, bob, alice } = await victim();
    const mallory = await Mallory.open(w, 66, bob);
    const changes = watch(bob);
    for (let slice = 0; slice < 10; slice++) {
      for (let i = 0; i < 900; i++) mallory.say(mallory.garbage(i % 3, 1 + ((i * 7) % 300)));
      await w.advance(100);
    }
    assert.deepEqual(bob.list(), []);
    // A denial is short: some of them are well-formed, and for no attempt.
    assert.ok(bob.counters.drops.get('malformed')! > 6000);
    const attacks = changes.filter(({ type }) => type === 'attack');
    assert.ok(attacks.length > 0 && attacks.length < 20, `${attacks.length} events`);
    assert.equal(changes.length, attacks.length);
    await w.run(alice.ask(bob.id, encodeText('still there?')));
    await w.run(mallory.close());
    await w.close();
  });

  it('one that acknowledges nothing: what is kept for it is bounded, further tells are refused, and all is gone with it', async () => {
    const messageBytes = 1024 * KIB;
    const maxQueueBytes = 2 * messageBytes;
    const { w, bob } = await victim({ maxQueueBytes, resumeMs: 5000 });
    const mallory = await Mallory.open(w, 66, bob);
    mallory.answersPings = true;
    mallory.greet({ kind: 'client' });
    await w.advance(500);
    const { id } = bob.list()[0]!;
    let [taken, refused, pending] = [0, 0, 0];
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 8; i++) {
        pending++;
        bob.tell(id, new Uint8Array(messageBytes), { timeoutMs: Infinity }).then(
          () => (taken++, pending--),
          (error: unknown) => {
            pending--;
            if (P2PError.is(error, 'limit_exceeded')) refused++;
          },
        );
      }
      await w.advance(200);
    }
    // 16 MiB are out at most, and the queue behind them.
    assert.ok(taken * messageBytes <= 16 * KIB * KIB + maxQueueBytes, `${taken} taken`);
    assert.ok(refused >= 4 * 8 - 19, `${refused} refused`);
    assert.ok(pending <= 3, `${pending} pending`);
    await w.run(mallory.close());
    await w.advance(60_000);
    assert.equal(pending, 0);
    assert.deepEqual(bob.list(), []);
    const { sessions, heldBytes } = stateOf(bob);
    assert.deepEqual([sessions, heldBytes], [0, 0]);
    await w.close();
  });

  it('many that send tells nobody reads: their sum is bounded, and another network is served', async () => {
    const maxHeldBytes = 512 * KIB;
    const maxMessageBytes = 64 * KIB;
    const { w, bob, alice } = await victim({ maxHeldBytes, maxMessageBytes });
    const senders: Peers[] = [];
    for (let i = 0; i < 8; i++) {
      senders.push(await w.open(10 + i, w.net.host(), { transports: ['tcp'], exchange: false }));
    }
    let most = 0;
    for (let round = 0; round < 20; round++) {
      for (const sender of senders) {
        for (let i = 0; i < 16; i++) {
          sender.tell(bob.id, new Uint8Array(16 * KIB), { timeoutMs: Infinity }).catch(() => undefined);
        }
      }
      await w.advance(100);
      most = Math.max(most, stateOf(bob)['heldBytes']!);
    }
    // Twice the limit while one network alone has it, and the least that each peer may always send.
    assert.ok(most > maxHeldBytes / 2 && most <= 2 * maxHeldBytes + senders.length * 64 * KIB, `${most} bytes`);
    const answer = await w.run(alice.ask(bob.id, new Uint8Array(4 * KIB)));
    assert.equal(answer.length, 4 * KIB);
    // Once somebody reads, the memory is free again, and tells arrive.
    let heard = 0;
    bob.listen(() => void heard++);
    await w.advance(30_000);
    for (const sender of senders) await w.run(sender.tell(bob.id, new Uint8Array(16 * KIB), { timeoutMs: 600_000 }));
    await w.advance(60_000);
    assert.ok(heard >= senders.length, `${heard} heard`);
    assert.equal(stateOf(bob)['heldBytes'], 0);
    await w.close();
  });

  it('many that never complete their messages are let go when others need the memory', async () => {
    const maxHeldBytes = 512 * KIB;
    const { w, bob, alice } = await victim({ maxHeldBytes, maxMessageBytes: 256 * KIB });
    const liars: Mallory[] = [];
    for (let i = 0; i < 6; i++) liars.push(await Mallory.open(w, 40 + i, bob));
    for (const liar of liars) {
      liar.answersPings = true;
      liar.greet({ kind: 'client' });
    }
    await w.advance(500);
    for (const liar of liars) {
      const { tag } = liar;
      const part = { tag, number: 1, received: 0, message: MESSAGE.TELL, size: 200 * KIB };
      liar.say(encodePart({ ...part, offset: 0, bytes: new Uint8Array(190 * KIB) }));
    }
    await w.advance(1000);
    assert.ok(stateOf(bob)['heldBytes']! <= 2 * maxHeldBytes);
    const began = w.realm.nowMs();
    const answer = await w.run(alice.ask(bob.id, new Uint8Array(200 * KIB), { timeoutMs: 60_000 }));
    assert.equal(answer.length, 200 * KIB);
    assert.ok(w.realm.nowMs() - began < 30_000, `took ${w.realm.nowMs() - began} ms`);
    for (const liar of liars) await w.run(liar.close());
    await w.close();
  });

  it('many of one network take their share of the places, and another network gets in', async () => {
    const { w, bob, alice } = await victim({ maxPeers: 40 });
    const host = w.net.host();
    const crowd: Mallory[] = [];
    for (let i = 0; i < 60; i++) crowd.push(await Mallory.open(w, 100 + i, bob, host));
    for (const each of crowd) each.greet({ kind: 'client' });
    await w.advance(1000);
    const admitted = bob.list().length;
    assert.ok(admitted <= 21 && admitted >= 10, `${admitted} admitted`);
    await w.run(alice.ask(bob.id, encodeText('room for me?')));
    for (const each of crowd) await w.run(each.close());
    await w.close();
  });

  it('nodes of one IP that look for anybody, at one that takes no bootstrap requests: no attack, no ban', async () => {
    const w = world();
    const options = { transports: ['tcp' as const], exchange: false as const };
    const bob = await w.open(1, w.net.host(), { ...options, acceptBootstrap: false, banPolicy: true });
    const changes = watch(bob);
    const host = w.net.host();
    const honest: Peers[] = [];
    const contacts = [bob.addrs[0]!];
    for (let i = 0; i < 12; i++) {
      honest.push(await w.open(20 + i, host, { ...options, sources: [], contacts, fallbackAfterMs: 0 }));
    }
    await w.advance(120_000);
    assert.ok(bob.counters.drops.get('peers.denied')! >= 20, 'each was refused, and came again');
    assert.deepEqual(
      changes.filter(({ type }) => type === 'attack'),
      [],
    );
    // Whoever wants this node itself still gets in.
    for (const peer of honest) await w.run(peer.connect(bob.id));
    await w.close();
  });
});

describe('openPeers: a peer with a path that this node does not have', () => {
  it('loses its connection when it has sent nothing else for 2 s, and may say hello again', async () => {
    const { w, bob } = await victim();
    const mallory = await Mallory.open(w, 66, bob);
    const stray = (): void => mallory.say(encodePing('ping', mallory.tag, 1));
    for (let i = 0; i < 9; i++) {
      stray();
      await w.advance(200);
    }
    assert.equal(mallory.ended, 0);
    for (let i = 0; i < 4; i++) {
      stray();
      await w.advance(200);
    }
    assert.equal(mallory.ended, 1);
    assert.ok(bob.counters.drops.get('peers.no_path')! > 0);
    mallory.greet({ kind: 'client' });
    await w.advance(500);
    assert.equal(bob.list().length, 1);
    // With a path it is left alone.
    mallory.answersPings = true;
    await w.advance(10_000);
    assert.equal(mallory.ended, 1);
    await w.run(mallory.close());
    await w.close();
  });
});

describe('openPeers: a peer that opens its path again', () => {
  it('has a path all the time, so that this node does not look for another one', async () => {
    const { w, bob } = await victim();
    const mallory = await Mallory.open(w, 66, bob);
    const changes = watch(bob);
    mallory.answersPings = true;
    for (let i = 0; i < 3; i++) {
      mallory.greet({ kind: 'client' });
      await w.advance(1500);
    }
    const ended = changes.filter((change) => change.type === 'path' && change.path === undefined);
    assert.deepEqual([ended.length, bob.list()[0]?.state], [0, 'connected']);
    await w.run(mallory.close());
    await w.close();
  });
});

describe('openPeers: a hello of a session that another one has replaced', () => {
  it('is late when it is older than the hello of that one, however long it took; a newer one is of a second process', async () => {
    const { w, bob } = await victim();
    const mallory = await Mallory.open(w, 66, bob);
    const changes = watch(bob);
    mallory.greet({ kind: 'client', wallMs: 1000 });
    await w.advance(200);
    const first = mallory.session;
    mallory.forget();
    mallory.greet({ kind: 'client', wallMs: 2000 });
    await w.advance(3000);
    mallory.greet({ kind: 'client', session: first, wallMs: 2000 });
    await w.advance(200);
    assert.equal(mallory.denied, DENIED.CLOSING);
    assert.equal(mallory.heard.get(PACKET.NOTICE), undefined);
    mallory.greet({ kind: 'client', session: first, wallMs: 2001 });
    await w.advance(200);
    assert.equal(mallory.denied, DENIED.KEY_IN_USE);
    mallory.greet({ kind: 'client', wallMs: 2002 });
    await w.advance(200);
    assert.ok(mallory.heard.get(PACKET.NOTICE)! > 0);
    assert.equal(changes.filter(({ type }) => type === 'connected').length, 2);
    await w.run(mallory.close());
    await w.close();
  });
});

describe('openPeers: a peer that does not answer when this node moves to another port', () => {
  it('is forgotten when its session has ended', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1, w.net.host(), { movePortEveryMs: 60_000 });
    const mallory = await Mallory.open(w, 66, bob);
    mallory.answersPings = true;
    mallory.greet();
    await w.advance(1000);
    assert.equal(bob.list()[0]?.state, 'connected');
    await w.advance(600_000);
    assert.deepEqual(bob.list(), []);
    await w.run(mallory.close());
    await w.close();
  });
});
