/** What the connection manager does with peers, on virtual hosts in virtual time. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { type PeerChange, type Peers } from '../../src/peers/index.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';

/** Changes of a node, as they come. */
function watch(peers: Peers): PeerChange[] {
  const seen: PeerChange[] = [];
  void (async () => {
    for await (const change of peers.changes()) seen.push(change);
  })();
  return seen;
}

/** Without what dialling back finds. */
const types = (changes: readonly PeerChange[]): string[] =>
  changes.map(({ type }) => type).filter((type) => type !== 'kind');

async function pair(options = {}): Promise<{ w: PeersWorld; alice: Peers; bob: Peers }> {
  const w = new PeersWorld({ latencyMs: 20, trace: undefined });
  const alice = await w.open(0, w.net.host({ name: 'a' }), options);
  const bob = await w.open(1, w.net.host({ name: 'b' }), options);
  bob.serve(({ payload }) => payload);
  alice.serve(({ payload }) => payload);
  return { w, alice, bob };
}

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
    const memory = createMemoryRealm({ clock: 'virtual', seed: 9 });
    void memory;
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

describe('openPeers: two processes with one key', () => {
  it('both learn it, one of them keeps the connection, and they do not take turns', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1);
    bob.serve(({ payload }) => payload);
    const [first, second] = [await w.open(0, w.net.host()), await w.open(0, w.net.host())];
    const [atFirst, atSecond, atBob] = [watch(first), watch(second), watch(bob)];
    first.maintain(bob.id);
    await w.advance(5000);
    second.maintain(bob.id);
    await w.advance(120_000);
    const count = (changes: readonly PeerChange[], type: string): number =>
      changes.filter((change) => change.type === type).length;
    assert.ok(count(atFirst, 'key_elsewhere') >= 1, JSON.stringify(atFirst));
    assert.ok(count(atSecond, 'key_elsewhere') >= 1, JSON.stringify(atSecond));
    assert.ok(count(atBob, 'connected') <= 3, JSON.stringify(atBob));
    assert.equal(bob.list()[0]!.state, 'connected');
    await w.close();
  });
});

describe('openPeers: peers tell of peers', () => {
  it('whom a peer has reached is reached by PeerID, without any other source', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1, w.net.host(), { sources: [] });
    const contacts = [bob.addrs[0]!];
    const alice = await w.open(0, w.net.host(), { sources: [], contacts });
    alice.serve(() => encodeText('found'));
    await w.advance(5000); // Bob dials back, so that he may tell of Alice.
    const carol = await w.open(2, w.net.host(), { sources: [], contacts });
    await w.advance(5000);
    assert.equal(decodeText(await w.run(carol.ask(alice.id, encodeText('a')))), 'found');
    assert.match(carol.explain(alice.id).text, /exchange/);
    await w.close();
  });

  it('a client, a denied peer and one that was never reached are not told of', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1, w.net.host(), { sources: [] });
    const contacts = [bob.addrs[0]!];
    const client = await w.open(0, w.net.host(), { sources: [], contacts, kind: 'client' });
    const hidden = await w.open(3, w.net.host({ behind: w.net.nat('port') }), { sources: [], contacts });
    await w.advance(8000);
    const carol = await w.open(2, w.net.host(), { sources: [], contacts });
    await w.advance(5000);
    for (const { id } of [client, hidden]) {
      await assert.rejects(w.run(carol.connect(id)), (error) => P2PError.is(error, 'unreachable'));
    }
    await w.close();
  });
});

describe('openPeers: streams', () => {
  it('carry bytes both ways, with half-close, through path changes', async () => {
    const { w, alice, bob } = await pair();
    const size = 4 * 1_048_576;
    let got = 0;
    bob.onStream(async (stream) => {
      for await (const bytes of stream.readable) got += bytes.length;
      const writer = stream.writable.getWriter();
      await writer.write(encodeText(`got ${got}`));
      await writer.close();
    });
    const stream = await w.run(alice.openStream(bob.id));
    const cut = (): void => {
      for (const [transport, peers] of w.cuts) for (const peer of peers()) transport.disconnect(peer);
    };
    for (const ms of [200, 600, 1000, 1400, 1800])
      w.realm.clock.setTimer(w.realm.nowMs() + ms, cut, { background: true });
    const writer = stream.writable.getWriter();
    const sending = (async () => {
      for (let sent = 0; sent < size; sent += 65_536) await writer.write(new Uint8Array(65_536));
      await writer.close();
    })();
    let back = '';
    const reading = (async () => {
      for await (const bytes of stream.readable) back += decodeText(bytes);
    })();
    await w.run(Promise.all([sending, reading]));
    assert.equal(back, `got ${size}`);
    await w.close();
  });

  it('without a handler they are reset, and the opener learns it', async () => {
    const { w, alice, bob } = await pair();
    const stream = await w.run(alice.openStream(bob.id));
    const writer = stream.writable.getWriter();
    await w.run(writer.write(encodeText('a')));
    await assert.rejects(w.run(stream.readable.getReader().read()), (error) => P2PError.is(error, 'refused'));
    await w.close();
  });
});
