/** What the connection manager does with peers, on virtual hosts in virtual time. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { openPeers, type Peers } from '../../src/peers/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, pair, PeersWorld, types, watch } from '../support/peers-world.ts';

before(() => loadQuicEngine());

describe('openPeers: connections', () => {
  it('an ask by PeerID finds, dials and connects; both sides report it once, with the same path', async () => {
    const { w, alice, bob } = await pair();
    const [atAlice, atBob] = [watch(alice), watch(bob)];
    const answer = await w.run(alice.ask(bob.id, encodeText('hi')));
    await w.advance(1000);
    assert.equal(decodeText(answer), 'hi');
    assert.deepEqual([types(atAlice), types(atBob)], [['connected'], ['connected']]);
    const [info] = alice.list();
    assert.equal(info!.path!.transport, 'tcp');
    assert.equal(info!.path!.side, 'responder');
    assert.equal(bob.list()[0]!.path!.side, 'initiator');
    await w.close();
  });

  it('TCP is favoured; QUIC is used where TCP does not pass', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const alice = await w.open(0);
    const bob = await w.open(1, w.net.host(), { transports: ['quic'] });
    bob.serve(({ payload }) => payload);
    const port = /:([0-9]+)$/.exec(bob.addrs[0]!)![1]!;
    // The same address is said to have both.
    w.directory.addrs.set(bob.id, [bob.addrs[0]!, bob.addrs[0]!.replace('quic://', 'tcp://')]);
    await w.run(alice.ask(bob.id, encodeText(port)));
    assert.equal(alice.list()[0]!.path!.transport, 'quic');
    await w.close();
  });

  it('both dial at once, over TCP and over a memory swarm: one session, one path, the same on both sides', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const swarms = [0, 1].map((i) => w.realm.secureSwarm(testKey(i).publicKey));
    const open = (i: number): Promise<Peers> =>
      w.open(i, w.net.host(), {
        transports: ['tcp', { name: 'mem', swarm: swarms[i]! }],
      });
    const [alice, bob] = [await open(0), await open(1)];
    alice.serve(({ payload }) => payload);
    bob.serve(({ payload }) => payload);
    w.directory.addrs.set(bob.id, [`mem://${swarms[1]!.addr.text}`]);
    w.directory.addrs.set(
      alice.id,
      alice.addrs.filter((addr) => addr.startsWith('tcp')),
    );
    await w.run(
      Promise.all([
        ...Array.from({ length: 20 }, (_, i) => alice.ask(bob.id, Uint8Array.of(i))),
        ...Array.from({ length: 20 }, (_, i) => bob.ask(alice.id, Uint8Array.of(i))),
      ]),
    );
    await w.advance(5000);
    assert.equal(alice.list()[0]!.path!.transport, bob.list()[0]!.path!.transport);
    assert.equal(alice.list().length, 1);
    await w.close();
  });

  it('connect resolves to the connection, also when connected already; a look at it shows the present', async () => {
    const { w, alice, bob } = await pair();
    const first = await w.run(alice.connect(bob.id));
    const again = await w.run(alice.connect(bob.id));
    assert.equal(first.state, 'connected');
    assert.equal(again.path!.addr, first.path!.addr);
    await w.run(bob.close());
    await w.advance(100);
    assert.notEqual(first.state, 'connected');
    await w.close();
  });

  it('lost is reported once, with the reason, when the peer closes; pending asks fail as disconnected', async () => {
    const { w, alice, bob } = await pair();
    const changes = watch(alice);
    await w.run(alice.ask(bob.id, encodeText('a')));
    const carol = alice.ask(bob.id, encodeText('b'));
    void carol.catch(() => undefined);
    await w.run(bob.close());
    await w.advance(1000);
    assert.deepEqual(types(changes), ['connected', 'lost']);
    await w.close();
  });

  it('a peer that was restarted with the same key is met again, with a new session', async () => {
    const { w, alice, bob } = await pair({ transports: ['tcp'] });
    await w.run(alice.ask(bob.id, encodeText('a')));
    const changes = watch(alice);
    await w.run(bob.close());
    const host = w.net.host({ name: 'b2' });
    const again = await w.open(1, host, { transports: ['tcp'] });
    again.serve(() => encodeText('again'));
    const answer = await w.run(alice.ask(bob.id, encodeText('b')));
    assert.equal(decodeText(answer), 'again');
    assert.deepEqual(types(changes), ['lost', 'connected']);
    await w.close();
  });

  it('a host asleep for 60 s is back within 2 s of waking, and the program does nothing', async () => {
    for (const isMaintained of [true, false]) {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const host = w.net.host({ name: 'laptop' });
      const [alice, bob] = [await w.open(0, host), await w.open(1)];
      bob.serve(({ payload }) => payload);
      if (isMaintained) alice.maintain(bob.id);
      await w.run(alice.ask(bob.id, encodeText('a')));
      const stream = isMaintained ? undefined : await w.run(alice.openStream(bob.id));
      await w.advance(10_000);
      host.sleep();
      await w.advance(60_000);
      host.wake();
      const wokeMs = w.realm.nowMs();
      if (isMaintained) {
        for (let i = 0; i < 40 && alice.list()[0]?.state !== 'connected'; i++) await w.advance(50);
        await w.advance(1);
      }
      const answer = await w.run(alice.ask(bob.id, encodeText('b')));
      assert.equal(decodeText(answer), 'b');
      const tookMs = w.realm.nowMs() - wokeMs;
      assert.ok(tookMs <= 2000, `${tookMs} ms`);
      stream?.reset();
      await w.close();
    }
  });

  it('notices a sleep during which the monotonic clock stood still', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const { realm, ...host } = w.net.host();
    let asleepMs = 0;
    const stalled = {
      clock: realm.clock,
      nowMs: () => realm.nowMs(),
      random: (length: number) => realm.random(length),
      wallMs: () => realm.wallMs() + asleepMs,
    };
    const other = w.net.host({ name: 'other' });
    const alice = await w.open(0, { realm, ...host }, { realm: stalled });
    const bob = await w.open(1, other);
    alice.maintain(bob.id);
    await w.run(alice.connect(bob.id));
    await w.advance(100);
    other.sleep();
    asleepMs = 60_000;
    await w.advance(6000); // Less than a heartbeat.
    assert.notEqual(alice.list()[0]!.state, 'connected');
    other.wake();
    await w.close();
  });

  it('an idle one closes; a maintained one stays, and is dialled again when it is lost', async () => {
    const { w, alice, bob } = await pair({ idleTimeoutMs: 10_000 });
    await w.run(alice.ask(bob.id, encodeText('a')));
    await w.advance(12_000);
    assert.deepEqual(alice.list(), []);
    alice.maintain(bob.id);
    await w.advance(60_000);
    assert.equal(alice.list()[0]!.state, 'connected');
    for (const [transport, peers] of w.cuts) for (const peer of peers()) transport.disconnect(peer);
    await w.advance(5000);
    assert.equal(alice.list()[0]!.state, 'connected');
    alice.drop(bob.id);
    await w.advance(1000);
    assert.deepEqual(alice.list(), []);
    await w.close();
  });

  it('a start with minPeers 0 meets nobody, and peers are reached when they are wanted; more than 256 are refused', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1, w.net.host({ name: 'b' }));
    bob.serve(({ payload }) => payload);
    const seenMs = 0;
    const known = bob.addrs.map((addr) => ({
      id: bob.id,
      addr,
      source: 'x',
      trust: 'given' as const,
      seenMs,
      expiresMs: Infinity,
    }));
    const source = { candidates: () => known };
    const host = w.net.host({ name: 'a' });
    const alice = await w.open(0, host, { minPeers: 0, sources: [source] });
    assert.deepEqual((await w.run(alice.ready)).peers, []);
    await w.advance(5000);
    assert.deepEqual(alice.list(), []);
    assert.deepEqual(await w.run(alice.ask(alice.parseAddr(bob.id), Uint8Array.of(1))), Uint8Array.of(1));
    const eager = await w.open(2, w.net.host({ name: 'c' }), { minPeers: 1, sources: [source] });
    assert.deepEqual((await w.run(eager.ready)).peers.length, 1);
    for (const minPeers of [-1, 257]) await assert.rejects(async () => w.open(3, host, { minPeers }), RangeError);
    await w.close();
  });

  it('another network name, another key and oneself are told apart', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const alice = await w.open(0);
    const bob = await w.open(1, w.net.host(), { networkName: 'other' });
    const code = async (id: Peers['id']): Promise<string> => {
      const error = await w.run(
        alice.connect(id).then(
          () => 'none',
          (error: unknown) => error,
        ),
      );
      return P2PError.is(error) ? error.code : String(error);
    };
    assert.equal(await code(bob.id), 'refused');
    assert.match(alice.explain(bob.id).text, /wrong network/);
    w.directory.addrs.set(
      idOf(7),
      bob.addrs.map((addr) => addr.replace(bob.id, idOf(7))),
    );
    assert.equal(await code(idOf(7)), 'identity_mismatch');
    assert.equal(await code(alice.id), 'unreachable');
    await w.close();
  });
});

describe('openPeers: ports and kinds', () => {
  it('a peer that dialled is a node once it was dialled back; behind a NAT it stays a client', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1);
    const alice = await w.open(0);
    const hidden = await w.open(2, w.net.host({ behind: w.net.nat('port') }));
    const changes = watch(bob);
    await w.run(alice.connect(bob.id));
    await w.run(hidden.connect(bob.id));
    await w.advance(10_000);
    const kinds = Object.fromEntries(bob.list().map(({ id, kind }) => [id, kind]));
    assert.deepEqual(kinds, { [alice.id]: 'node', [hidden.id]: 'client' });
    assert.deepEqual(
      changes.filter(({ type }) => type === 'kind'),
      [{ type: 'kind', id: alice.id, kind: 'node' }],
    );
    assert.equal(alice.list()[0]!.kind, 'node'); // It was dialled.
    await w.close();
  });

  it('movePortEveryMs moves to another port, and no message is lost', async () => {
    const { w, alice, bob } = await pair({ movePortEveryMs: 20_000 });
    const ports = new Set<string>();
    let answered = 0;
    for (let i = 0; i < 600; i++) {
      ports.add(alice.addrs[0]!);
      void alice.ask(bob.id, Uint8Array.of(i & 255)).then(() => answered++);
      await w.advance(200);
    }
    await w.advance(5000);
    assert.equal(answered, 600);
    assert.ok(ports.size >= 5, `${ports.size} ports`);
    await w.close();
  });

  it('a preferred port is taken, and a random one when it is in use', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const host = w.net.host();
    const first = await w.open(0, host, { preferredPort: 5483 });
    const second = await w.open(1, host, { preferredPort: 5483 });
    assert.match(first.addrs[0]!, /:5483$/);
    assert.doesNotMatch(second.addrs[0]!, /:5483$/);
    assert.deepEqual(new Set(second.addrs.map((addr) => addr.replace(/^.*:/, ''))).size, 1); // TCP and QUIC share it.
    await w.close();
  });
});

describe('openPeers: who may', () => {
  it('accept refuses: the asker gets refused, and nothing is delivered', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const alice = await w.open(0);
    const bob = await w.open(1, w.net.host(), { accept: () => Promise.resolve(false) });
    let heard = 0;
    bob.listen(() => void heard++);
    await assert.rejects(w.run(alice.ask(bob.id, encodeText('a'))), (error) => P2PError.is(error, 'refused'));
    assert.equal(heard, 0);
    await w.close();
  });

  it('bootstrap requests are refused while acceptBootstrap is false, with the reason; other connections are not', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1, w.net.host(), { acceptBootstrap: false });
    const contacts = [bob.addrs[0]!];
    const alice = await w.open(0, w.net.host(), { sources: [], contacts, fallbackAfterMs: 0 });
    await w.advance(3000);
    assert.deepEqual(alice.list(), []);
    bob.acceptBootstrap = true;
    const carol = await w.open(2, w.net.host(), { sources: [], contacts, fallbackAfterMs: 0 });
    await w.advance(3000);
    assert.equal(carol.list().length, 1);
    await w.run(alice.connect(bob.id));
    assert.equal(bob.inspect().layer, 'peers');
    await w.close();
  });

  it('a ban ends connections, refuses new ones, and is not dialled; unban lets in again', async () => {
    const { w, alice, bob } = await pair();
    await w.run(alice.ask(bob.id, encodeText('a')));
    const changes = watch(alice);
    bob.ban([alice.id, '203.0.113.0/24'], { reason: 'spam' });
    await w.advance(1000);
    assert.deepEqual(types(changes), ['lost']);
    await assert.rejects(w.run(alice.ask(bob.id, encodeText('a'))), (error) => P2PError.is(error, 'refused'));
    await assert.rejects(w.run(bob.ask(alice.id, encodeText('a'))), (error) => P2PError.is(error));
    assert.equal(bob.unban(alice.id), 1);
    await w.advance(60_000);
    await w.run(bob.ask(alice.id, encodeText('a')));
    await w.close();
  });

  it('bans of an IP and of a prefix end connections too, live', async () => {
    const { w, alice, bob } = await pair();
    await w.run(alice.ask(bob.id, encodeText('a')));
    const ip = /@([0-9.]+):/.exec(bob.list()[0]!.path!.addr)![1]!;
    bob.ban(ip.replace(/[0-9]+$/, '0/24'));
    await w.advance(1000);
    assert.deepEqual(alice.list(), []);
    await w.close();
  });
});

describe('openPeers: lists by kind', () => {
  it('an allow list for nodes lets clients be refused, live', async () => {
    const { w, alice, bob } = await pair({ kind: 'client' });
    await w.run(alice.ask(bob.id, encodeText('a')));
    bob.lists.allow([{ target: '0.0.0.0/0', kind: 'node' }]);
    await w.advance(1000);
    assert.deepEqual(alice.list(), []);
    await assert.rejects(w.run(alice.connect(bob.id)), (error) => P2PError.is(error, 'refused'));
    await w.close();
  });
});

describe('openPeers: wrong arguments', () => {
  it('what expires before there is a connection fails then, and was not sent', async () => {
    const { w, alice } = await pair();
    const away = w.net.host();
    const carol = await w.open(5, away);
    away.sleep();
    const began = w.realm.nowMs();
    for (const call of [
      () => alice.tell(carol.id, encodeText('a'), { expiresMs: 200 }),
      () => alice.ask(carol.id, encodeText('a'), { expiresMs: 200 }),
    ]) {
      await assert.rejects(w.run<unknown>(call()), (error) => P2PError.is(error, 'timeout') && error.sent === 'no');
    }
    assert.ok(w.realm.nowMs() - began <= 500);
    away.wake();
    await w.close();
  });

  it('a stream takes bytes only; what is none does no harm to the session', async () => {
    const { w, alice, bob } = await pair();
    for (const wrong of ['text', 5, { length: 3 }]) {
      const stream = await w.run(alice.openStream(bob.id));
      const writer = stream.writable.getWriter();
      await assert.rejects(writer.write(wrong as Uint8Array), /Cannot take bytes: expected a Uint8Array/);
    }
    assert.equal((await w.run(alice.connect(bob.id))).state, 'connected');
    await w.close();
  });

  it('what is no PeerID is refused, and a node does not look for itself', async () => {
    const { w, alice } = await pair();
    for (const wrong of [5, {}, 'x', undefined] as unknown[]) {
      assert.throws(() => alice.maintain(wrong as PeerId), /Cannot parse PeerID/);
      assert.throws(() => alice.explain(wrong as PeerId), /Cannot parse PeerID/);
    }
    alice.maintain(alice.id);
    assert.deepEqual(alice.list(), []);
    await w.close();
  });

  it('changes of a closed node end at once', async () => {
    const { w, alice } = await pair();
    await w.close();
    assert.deepEqual(await alice.changes().next(), { done: true, value: undefined });
  });

  it('options of a wrong type are refused by name', async () => {
    for (const name of ['acceptBootstrap', 'dialBack', 'exchange', 'lan', 'banPolicy', 'mask', 'sources']) {
      const call = async (): Promise<Peers> => openPeers({ privateKey: testKey(0), [name]: 'yes' });
      await assert.rejects(call, new RegExp(`Cannot take ${name}`), name);
    }
    await assert.rejects(async () => openPeers({ privateKey: testKey(0), bind: [] }), /Cannot take bind/);
  });
});
