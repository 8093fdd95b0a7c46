/** Options of `openPeers` that change what is on the wire, or which addresses there are. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, it, mock } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { StunHandler } from '../../src/nat/stun-handler.ts';
import { openPeers, openPeersFromFile } from '../../src/peers/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';
import { failureOf, watch } from './crust-world.ts';

before(() => loadQuicEngine());

const KEY = new Uint8Array(32).fill(7);
const OTHER_KEY = new Uint8Array(32).fill(8);

describe('openPeers with a mask', () => {
  for (const transport of ['tcp', 'quic'] as const) {
    it(`connects over ${transport} with those that have the key, proves them by dialling back, and reaches nobody else`, async () => {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const options = { transports: [transport], mask: { key: KEY } } as const;
      const [alice, bob] = [await w.open(1, w.net.host(), options), await w.open(2, w.net.host(), options)];
      bob.serve(({ payload }) => payload);
      assert.equal((await w.run(alice.ask(bob.id, encodeText('hi')))).length, 2);
      await w.advance(10_000);
      assert.equal(bob.list()[0]!.kind, 'node');
      const wrong = await w.open(3, w.net.host(), { transports: [transport], mask: { key: OTHER_KEY } });
      const bare = await w.open(4, w.net.host(), { transports: [transport] });
      for (const stranger of [wrong, bare]) {
        assert.equal((await failureOf(w, stranger.connect(bob.id, { timeoutMs: 60_000 }))).code, 'unreachable');
      }
      assert.equal(bob.list().length, 1);
      await w.close();
    });
  }

  it('takes the key from the file that a configuration names, and none that others can read or that is no key', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'shoal-mask-'));
    const file = path.join(folder, 'mask.key');
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    try {
      const { realm, network } = w.net.host();
      const config = JSON.stringify({ maskKeyFile: file, transports: ['tcp'], security: 'noise' });
      const reader = { stamp: () => Promise.resolve('1'), read: () => Promise.resolve(config) };
      const open = () =>
        w.realm.clock.hold(openPeersFromFile('peers.json', { reader, privateKey: testKey(2), realm, network }));
      await writeFile(file, 'no key', { mode: 0o600 });
      await assert.rejects(w.run(open()), /expected 64 hexadecimal digits/);
      await writeFile(file, `${'07'.repeat(32)}\n`);
      const bob = await w.run(open());
      w.opened.push(bob);
      w.directory.addrs.set(bob.id, bob.addrs);
      const alice = await w.open(1, w.net.host(), { transports: ['tcp'], mask: { key: KEY } });
      assert.equal((await w.run(alice.connect(bob.id))).state, 'connected');
    } finally {
      await w.close();
      await rm(folder, { recursive: true });
    }
  });
});

describe('openPeers and addresses', () => {
  it('is reached over IPv4 and over IPv6 on one port', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined, ipv6: true });
    const bob = await w.open(2);
    bob.serve(({ payload }) => payload);
    assert.ok(bob.addrs.some((addr) => addr.includes('@[')) && bob.addrs.some((addr) => /@[0-9.]+:/.test(addr)));
    assert.equal(new Set(bob.addrs.map((addr) => addr.replace(/^.*:/, ''))).size, 1);
    const hosts = [w.net.host({ ipv6: false }), w.net.host({ ipv4: false }), w.net.host()];
    for (const [i, host] of hosts.entries()) {
      const guest = await w.open(10 + i, host);
      await w.run(guest.ask(bob.id, encodeText('hi')));
      const isIpv6 = guest.list()[0]!.path!.addr.includes('@[');
      if (i < 2) assert.equal(isIpv6, i === 1, guest.list()[0]!.path!.addr);
    }
    await w.close();
  });

  it('is reached at a link-local IPv6 address, which needs its zone', async () => {
    const w = new PeersWorld({ latencyMs: 1, trace: undefined, ipv6: true });
    const lan = w.net.lan();
    const [a, b] = [w.net.host({ behind: lan, ipv4: false }), w.net.host({ behind: lan, ipv4: false })];
    const local = b.ips.find((ip) => ip.startsWith('fe80:'))!;
    const bob = await w.open(2, b, { bind: '[::]:4000' });
    const alice = await w.open(1, a, { sources: [] });
    const zone = a.ips.find((ip) => ip.startsWith('fe80:'))!.split('%')[1]!;
    const at = `${local.split('%')[0]!}%${zone}`;
    alice.add({
      id: bob.id,
      addr: `tcp://${bob.id}@[${at}]:4000`,
      source: 'user',
      seenMs: 0,
      expiresMs: Infinity,
      trust: 'given',
    });
    const connection = await w.run(alice.connect(bob.id));
    assert.ok(connection.path!.addr.includes(`[${at}]`), connection.path!.addr);
    await w.close();
  });

  it('tells others the addresses that a router forwards, and is reached and dialled back there', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const nat = w.net.nat('port');
    const host = w.net.host({ behind: nat });
    nat.forward('tcp', 4000, { ip: host.ip, port: 5000 });
    const externalAddrs = [`${nat.ip}:4000`];
    const bob = await w.open(2, host, { bind: '0.0.0.0:5000', externalAddrs, transports: ['tcp'] });
    bob.serve(({ payload }) => payload);
    assert.equal(bob.addrs[0], `tcp://${idOf(2)}@${nat.ip}:4000`);
    const alice = await w.open(1);
    await w.run(alice.ask(bob.id, encodeText('hi')));
    assert.ok(alice.list()[0]!.path!.addr.endsWith(`${nat.ip}:4000`));
    // Somebody whom it has dialled proves it there.
    const carol = await w.open(3);
    await w.run(bob.connect(carol.id));
    await w.advance(10_000);
    assert.equal(carol.list()[0]!.kind, 'node');
    await w.close();
    const open = (addr: string) => openPeers({ privateKey: testKey(1), externalAddrs: [addr] });
    assert.throws(() => open('router.example.org:4000'), /externalAddrs: expected ip:port/);
  });
});

describe('openPeers as an observer', () => {
  it('every QUIC listener answers who asks for its own address, masked ones only those with the key', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const host = w.net.host();
    const asker = new StunHandler(host.realm, (to, bytes) => ear.socket.send(bytes, to.ip, to.port), false);
    const ear = await w.ear(host);
    ear.socket.sink = {
      onDatagram: (payload, ip, port) => void asker.handle({ ip, port }, ear.socket.address, payload),
    };
    for (const mask of [undefined, { key: KEY }]) {
      const at = w.net.host();
      await w.open(2, at, { bind: '0.0.0.0:4000', mask });
      const asked = asker.observe({ ip: at.ip, port: 4000 }, { timeoutMs: 5000 });
      if (mask === undefined) {
        const { mapped } = await w.run(asked);
        assert.deepEqual(mapped, { ip: host.ip, port: ear.socket.address.port });
      } else await assert.rejects(w.run(asked), /timeout|no answer/i);
    }
    asker.close();
    await w.close();
  });
});

describe('openPeers on a LAN', () => {
  it('finds others by multicast DNS where broadcasts do not lead to them', async () => {
    const w = new PeersWorld({ latencyMs: 1, trace: undefined });
    const lan = w.net.lan();
    const options = (port: number) => ({ lan: { mdns: true, port }, minPeers: 1, sources: [] });
    // Their beacons use other ports, so they do not hear each other.
    const bob = await w.open(2, w.net.host({ behind: lan }), options(6001));
    const alice = await w.open(1, w.net.host({ behind: lan }), options(6002));
    const { peers } = await w.run(alice.ready);
    assert.deepEqual(
      peers.map(({ id }) => id),
      [bob.id],
    );
    await w.close();
  });
});

describe('openPeers and hostile contacts', () => {
  it('that are ourselves, accept and say nothing, or have another key, have a reason that can be read', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const mute = w.net.host();
    await w.listener(mute, 4000);
    const other = await w.open(5);
    const host = w.net.host();
    const contacts = [
      `tcp://${idOf(1)}@${host.ip}:5000`,
      `tcp://${idOf(6)}@${host.ip}:5000`,
      `tcp://${idOf(7)}@${mute.ip}:4000`,
      other.addrs[0]!.replace(other.id, idOf(8)),
    ];
    const alice = await w.open(1, host, { bind: '0.0.0.0:5000', contacts, fallbackAfterMs: 0, sources: [] });
    const faults = watch(alice);
    const { peers, refused } = await w.run(alice.ready);
    assert.deepEqual(peers, []);
    const reasons = Object.fromEntries(refused.map(({ candidate, reason }) => [candidate.id!, reason] as const));
    assert.equal(reasons[idOf(7)], 'silent');
    assert.equal(reasons[idOf(8)], 'wrong_key');
    assert.ok(refused.every(({ text }) => text.length > 10 && !/undefined/.test(text)));
    assert.ok(!faults.types.includes('connected'));
    assert.deepEqual(alice.list(), []);
    await w.close();
  });

  it('one that flaps is met each time, reported truly, and dialled ever less often', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const alice = await w.open(1);
    const { types } = watch(alice);
    alice.maintain(idOf(2));
    let lives = 0;
    for (; lives < 10; lives++) {
      const bob = await w.open(2, w.net.host(), { transports: ['tcp'] });
      await w.advance(1500);
      await w.run(bob.close());
      await w.advance(500);
    }
    const [connected, lost] = ['connected', 'lost'].map((type) => types.filter((each) => each === type).length);
    assert.equal(connected, lost);
    assert.ok(connected! >= 1 && connected! <= lives);
    const { attempts } = alice.explain(idOf(2)).reach!;
    assert.ok(attempts.length <= 64);
    w.directory.addrs.delete(idOf(2));
    const before = attempts.length;
    await w.advance(60_000);
    assert.ok(alice.explain(idOf(2)).reach!.attempts.length - before <= 30);
    await w.close();
  });
});

describe('openPeers with a cache file that cannot be used', () => {
  it('reports the fault as the first change of the first loop, and once', { timeout: 20_000 }, async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'shoal-cache-'));
    const cache = path.join(folder, 'peers.json');
    await writeFile(cache, 'no cache');
    const options = { privateKey: testKey(1), bind: '127.0.0.1:0', transports: ['tcp'], minPeers: 0, cache } as const;
    try {
      await using first = await openPeers(options);
      const changes = first.changes();
      const { value } = await changes.next();
      assert.ok(value?.type === 'fault' && value.source === 'cache', JSON.stringify(value));
      assert.match(value.text, /corrupt-1/);
      await using later = first.changes();
      first.ban('192.0.2.1');
      assert.equal((await later.next()).value?.type, 'lists');
      assert.equal((await changes.next()).value?.type, 'lists');
      // The cache belongs to the first one now.
      await using second = await openPeers({ ...options, privateKey: testKey(2) });
      const inUse = (await second.changes().next()).value;
      assert.ok(inUse?.type === 'fault' && inUse.source === 'cache', JSON.stringify(inUse));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('openPeers with options for NATs that are out of bounds', () => {
  const server = '203.0.113.7:3478';
  const wrong: readonly (readonly [name: string, options: object, error: typeof TypeError | typeof RangeError])[] = [
    ['relays that are no list', { relays: {} }, TypeError],
    ['a relay without a port', { relays: [`${idOf(3)}@203.0.113.7`] }, TypeError],
    ['a relay with a port out of range', { relays: [`${idOf(3)}@203.0.113.7:99999`] }, TypeError],
    ['a TURN server that is none', { turn: [null] }, TypeError],
    ['a TURN server without an address', { turn: [{ username: 'user', credential: 'secret' }] }, TypeError],
    ['a TURN server without credentials', { turn: [{ server }] }, TypeError],
    ['a TURN server with a user that is no string', { turn: [{ server, username: 5, credential: 'x' }] }, TypeError],
    ['budgets of a relay that are a list', { serveRelay: [] }, TypeError],
    ['a negative budget of a relay', { serveRelay: { maxPeers: -1 } }, RangeError],
    ['a rate below one datagram', { serveRelay: { bytesPerSecond: 5 } }, RangeError],
    ['an accept that is no function', { serveRelay: { accept: 5 } }, TypeError],
    ['a mapper that maps nothing', { portMapping: {} }, TypeError],
  ];
  for (const [name, options, error] of wrong) {
    it(`${name}: says so, and opens nothing`, async () => {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const { realm, network } = w.net.host();
      const [udp, tcp] = [mock.method(network, 'bindUdp'), mock.method(network, 'listen')];
      const opened = (): Promise<unknown> => openPeers({ privateKey: testKey(1), realm, network, ...options });
      await assert.rejects(async () => opened(), error);
      assert.equal(udp.mock.callCount() + tcp.mock.callCount(), 0);
    });
  }

  it('explainBoth: a wrong PeerID or call throws at once', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const alice = await w.open(1);
    assert.throws(() => void alice.explainBoth('nobody' as never), TypeError);
    assert.throws(() => void alice.explainBoth(idOf(3), { timeoutMs: -1 }), RangeError);
    assert.throws(() => void alice.explainBoth(idOf(3), { signal: 5 as never }), TypeError);
    await w.close();
  });
});
