/** Keys, clocks, hearsay and streams of connection managers, on virtual hosts in virtual time. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { decodeText, encodeText, fromHex } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { PeerChange } from '../../src/peers/index.ts';
import { decodeHello, encodeHello } from '../../src/protocols/peers/hello.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import vectors from '../vectors/peers.json' with { type: 'json' };
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { idOf, pair, PeersWorld, watch } from '../support/peers-world.ts';

before(() => loadQuicEngine());

describe('openPeers: two processes with one key', () => {
  for (const aheadMs of [0, 50_000, 3_600_000, -3_600_000]) {
    const title = 'both learn it, one of them keeps the connection, and they do not take turns';
    it(`${title}; the clock of the second is ${aheadMs} ms ahead`, async () => {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const bob = await w.open(1);
      bob.serve(({ payload }) => payload);
      const host = w.net.host();
      const realm = { ...host.realm, wallMs: () => host.realm.wallMs() + aheadMs };
      const [first, second] = [await w.open(0, w.net.host()), await w.open(0, host, { realm })];
      const [atFirst, atSecond, atBob] = [watch(first), watch(second), watch(bob)];
      first.maintain(bob.id);
      await w.advance(5000);
      second.maintain(bob.id);
      const count = (changes: readonly PeerChange[], type: string): number =>
        changes.filter((change) => change.type === type).length;
      await w.advance(120_000);
      assert.equal(count(atBob, 'connected'), 2, JSON.stringify(atBob));
      assert.ok(count(atFirst, 'key_elsewhere') >= 1, JSON.stringify(atFirst));
      assert.ok(count(atSecond, 'key_elsewhere') >= 1, JSON.stringify(atSecond));
      assert.equal(bob.list()[0]!.state, 'connected');
      await w.close();
    });
  }
});

describe('openPeers: clocks', () => {
  it('that differ by minutes are reported on both sides, and the peers talk', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1);
    bob.serve(({ payload }) => payload);
    const host = w.net.host();
    const { realm } = host;
    const late = { ...realm, clock: realm.clock, wallMs: () => realm.wallMs() - 300_000 };
    const alice = await w.open(0, host, {
      realm: { ...late, nowMs: () => realm.nowMs(), random: (n) => realm.random(n) },
    });
    const [atAlice, atBob] = [watch(alice), watch(bob)];
    await w.run(alice.ask(bob.id, encodeText('a')));
    await w.advance(100);
    const differences = [atAlice, atBob].map((changes) =>
      changes.flatMap((change) => (change.type === 'clock_differs' ? [Math.round(change.differenceMs / 60_000)] : [])),
    );
    assert.deepEqual(differences, [[5], [-5]]);
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

  it('addresses that no record can carry are left out of it', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1, w.net.host(), { sources: [] });
    const contacts = [bob.addrs[0]!];
    const alice = await w.open(0, w.net.host(), {
      transports: [{ name: 'mem', swarm: w.realm.secureSwarm(testKey(0).publicKey) }, 'tcp'],
      sources: [],
      contacts,
    });
    alice.serve(() => encodeText('found'));
    await w.advance(5000);
    const carol = await w.open(2, w.net.host(), { sources: [], contacts });
    await w.advance(5000);
    assert.ok(alice.addrs.some((addr) => addr.startsWith('mem://')));
    assert.equal(decodeText(await w.run(carol.ask(alice.id, encodeText('a')))), 'found');
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

describe('openPeers: attacks', () => {
  it('a flood of malformed hellos is an event with evidence, and by the policy a ban; refused hellos are neither', async () => {
    for (const banPolicy of [false, true]) {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const bob = await w.open(1, w.net.host(), { banPolicy });
      const { realm, network } = w.net.host();
      const mallory = await w.run(openTcpSwarm({ privateKey: testKey(0), realm, network, security: 'noise' }));
      const changes = watch(bob);
      const hello = decodeHello(fromHex(vectors.hello))!; // Of another network.
      const dst = mallory.parseAddr(bob.addrs[0]!.replace('tcp://', ''));
      const refused = (): Uint8Array =>
        encodeHello('hello', { ...hello, token: w.realm.random(8), session: w.realm.random(8) });
      const flood = async (packet: () => Uint8Array): Promise<void> => {
        for (let i = 0; i < 30; i++) {
          void mallory.tell(dst, packet());
          await w.advance(100);
        }
      };
      await flood(refused);
      assert.equal(bob.counters.drops.get('peers.denied'), 30);
      assert.equal(changes.length, 0, JSON.stringify(changes));
      await flood(() => refused().subarray(0, 20));
      const attack = changes.find((change) => change.type === 'attack' && change.signal === 'malformed');
      assert.ok(attack?.type === 'attack', JSON.stringify(changes));
      assert.ok(attack.count >= 10 && attack.isProven);
      assert.match(attack.samples[0]!, /hello/);
      const isBanned = !bob.lists.decide({ id: idOf(0) }).isAllowed;
      assert.equal(isBanned, banPolicy);
      await w.run(mallory.close());
      await w.close();
    }
  });
});
