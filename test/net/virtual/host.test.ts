/** Hosts: LANs with broadcast and multicast, several interfaces, other uplinks, sleep. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { VirtualHost } from '../../../src/net/virtual/types.ts';
import { type Ear, reading, saying, VirtualWorld } from '../../support/virtual-world.ts';

describe('a LAN', () => {
  const threeAndOne = async (w: VirtualWorld, port = 7707): Promise<readonly [VirtualHost[], Ear[]]> => {
    const nat = w.net.nat('port');
    const lan = w.net.lan({ behind: nat });
    const hosts = [...Array.from({ length: 3 }, () => w.net.host({ behind: nat })), w.net.host({ behind: lan })];
    const ears: Ear[] = [];
    for (const host of hosts) ears.push(await w.ear(host, port, { reuseAddress: true }));
    return [hosts, ears];
  };

  it('broadcast reaches every host of it, the sender’s own sockets too, and nobody behind a router', async () => {
    for (const to of ['255.255.255.255', '192.168.1.255']) {
      const w = new VirtualWorld();
      const [hosts, ears] = await threeAndOne(w);
      const sender = await w.ear(hosts[0]!);
      sender.say('not allowed', { ip: to, port: 7707 });
      sender.socket.setBroadcast(true);
      sender.say('hello', { ip: to, port: 7707 });
      await w.advance(100);
      const expected = [`hello from ${hosts[0]!.ip}:${sender.socket.address.port}`];
      assert.deepEqual(
        ears.map(({ heard }) => heard),
        [expected, expected, expected, []],
      );
      assert.deepEqual(sender.failures, ['EACCES']);
    }
  });

  it('a group is heard by those who joined it on that interface and are bound to a wildcard', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const [hosts, ears] = await threeAndOne(w);
    for (const group of ['239.77.7.7', 'ff02::7707']) {
      for (const { heard } of ears) heard.length = 0;
      ears[1]!.socket.joinMulticast(group, 'eth0');
      ears[3]!.socket.joinMulticast(group, 'eth0');
      const bound = await w.ear(hosts[1]!, 7707, { ip: hosts[1]!.ip, reuseAddress: true });
      const sender = await w.ear(hosts[0]!, 0, { ip: group.includes(':') ? '::' : '0.0.0.0' });
      sender.socket.setMulticastInterface('eth0');
      sender.say('hello', { ip: group, port: 7707 });
      await w.advance(100);
      const from = group.includes(':') ? hosts[0]!.ips.find((ip) => ip.startsWith('fe80'))! : hosts[0]!.ip;
      assert.deepEqual(
        ears.map(({ heard }) => heard),
        [[], [`hello from ${from}:${sender.socket.address.port}`], [], []],
      );
      assert.deepEqual(bound.heard, []);
      ears[1]!.socket.leaveMulticast(group, 'eth0');
      sender.say('again', { ip: group, port: 7707 });
      await w.advance(100);
      assert.equal(ears[1]!.heard.length, 1);
      await Promise.all([bound, sender].map(({ socket }) => socket.close()));
    }
  });

  it('link-local addresses need their zone, and are seen with that of the receiver', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const nat = w.net.nat('port');
    const [a, b] = [w.net.host({ behind: nat }), w.net.host({ behind: nat })];
    const [from, to] = [await w.ear(a, 5000), await w.ear(b, 5000)];
    const target = b.ips.find((ip) => ip.startsWith('fe80'))!;
    from.say('hello', { ip: target, port: 5000 });
    await w.advance(100);
    assert.deepEqual(to.heard, [`hello from ${a.ips.find((ip) => ip.startsWith('fe80'))}:5000`]);
    assert.match(target, /%eth0$/);
  });

  it('without a NAT nobody gets out of it; inside it TCP works', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const [a, b] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const outside = w.net.host();
    const ear = await w.ear(a);
    ear.say('out', { ip: outside.ip, port: 9 });
    await w.advance(100);
    assert.deepEqual(ear.failures, ['ENETUNREACH']);
    const come = await w.listener(b, 80);
    await w.run(w.dial(a, { ip: b.ip, port: 80 }));
    await assert.rejects(w.run(w.dial(a, { ip: outside.ip, port: 80 })), /no route/);
    await w.advance(10);
    assert.equal(come.length, 1);
  });

  it('an address of it that nobody has is unreachable after three seconds, one of the internet after a round trip', async () => {
    const w = new VirtualWorld({ latencyMs: 40 });
    const host = w.net.host({ behind: w.net.nat('port') });
    for (const [ip, ms] of [
      ['192.168.1.77', 3000],
      ['12.34.56.78', 80],
    ] as const) {
      const startedAt = w.realm.nowMs();
      await assert.rejects(w.run(w.dial(host, { ip, port: 80 })), /knows no way/);
      assert.equal(w.realm.nowMs() - startedAt, ms, ip);
    }
  });
});

describe('uplinks', () => {
  it('a host that moves has other addresses; wildcards go on, connections do not, and listeners of changes hear', async () => {
    const w = new VirtualWorld();
    const [home, mobile] = [w.net.nat('port'), w.net.nat('random')];
    const host = w.net.host({ behind: home });
    const server = w.net.host({ ip: '12.0.0.1' });
    const ear = await w.ear(server, 3478);
    const come = await w.listener(server, 80);
    let changes = 0;
    const listening = host.network.onInterfacesChanged(() => void changes++);
    const wild = await w.ear(host, 5000);
    const bound = await w.ear(host, 5001, { ip: host.ip });
    const connection = await w.run(w.dial(host, { ip: server.ip, port: 80 }));
    await w.advance(100);
    const read = reading(come[0]!);
    assert.equal((await w.seenBy(ear, wild, { ip: server.ip, port: 3478 })).ip, home.ip);
    host.move({ behind: mobile });
    assert.equal(changes, 1);
    assert.equal((await w.seenBy(ear, wild, { ip: server.ip, port: 3478 })).ip, mobile.ip);
    bound.say('lost', { ip: server.ip, port: 3478 });
    saying(connection, 'lost as well');
    await w.advance(5000);
    assert.deepEqual([bound.failures, read.text], [[], '']);
    listening[Symbol.dispose]();
    host.down();
    assert.deepEqual([changes, host.ips], [1, []]);
    wild.say('no way', { ip: server.ip, port: 3478 });
    await w.advance(100);
    assert.deepEqual(wild.failures, ['ENETUNREACH']);
    host.up();
    assert.equal((await w.seenBy(ear, wild, { ip: server.ip, port: 3478 })).ip, mobile.ip);
  });

  it('a host with two interfaces uses the first that is up, and for each network its own', async () => {
    const w = new VirtualWorld();
    const [wifi, cellular] = [w.net.nat('port'), w.net.nat('port', { subnet: '10.9.0.0/16' })];
    const host = w.net.host({ behind: wifi });
    assert.equal(host.attach({ behind: cellular }), 'eth1');
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    const ear = await w.ear(host);
    const at = { ip: '12.0.0.1', port: 3478 };
    assert.equal((await w.seenBy(server, ear, at)).ip, wifi.ip);
    const neighbour = await w.ear(w.net.host({ behind: cellular }), 9);
    ear.say('hello', { ip: '10.9.0.3', port: 9 });
    await w.advance(100);
    assert.deepEqual(neighbour.heard, [`hello from 10.9.0.2:${ear.socket.address.port}`]);
    const bound = await w.ear(host, 0, { ip: '10.9.0.2' });
    assert.equal((await w.seenBy(server, bound, at)).ip, cellular.ip);
    host.down('eth0');
    assert.equal((await w.seenBy(server, ear, at)).ip, cellular.ip);
    host.up('eth0');
    assert.equal((await w.seenBy(server, ear, at)).ip, wifi.ip);
  });

  it('links lose, delay and limit; what they lose is counted by reason', async () => {
    const w = new VirtualWorld();
    const server = w.net.host({ link: { latencyMs: 100 } });
    const host = w.net.host({ link: { loss: 0.5 } });
    const ear = await w.ear(server, 9);
    const sender = await w.ear(host);
    for (let i = 0; i < 1000; i++) sender.say('x', { ip: server.ip, port: 9 });
    await w.advance(119);
    assert.equal(ear.heard.length, 0);
    await w.advance(1);
    assert.ok(ear.heard.length > 400 && ear.heard.length < 600, `${ear.heard.length} of 1000`);
    assert.equal(host.counters.drops.get('link.loss'), 1000 - ear.heard.length);
    host.setLink({ bytesPerSecond: 290, queueBytes: 290 });
    for (let i = 0; i < 100; i++) sender.say('x', { ip: server.ip, port: 9 });
    const before = ear.heard.length;
    await w.advance(10_000);
    assert.equal(ear.heard.length - before, 10);
    assert.equal(host.counters.drops.get('link.queue'), 90);
  });
});

describe('sleep', () => {
  it('a host that sleeps neither sends nor receives, and its timers fire when it wakes, in order', async () => {
    const w = new VirtualWorld();
    const [host, other] = [w.net.host(), w.net.host()];
    const [ear, far] = [await w.ear(host, 9), await w.ear(other, 9)];
    const fired: string[] = [];
    const { clock } = host.realm;
    for (const ms of [300, 200, 100, 5000]) clock.setTimer(ms, () => void fired.push(`${ms} at ${clock.nowMs()}`));
    const cancelled = clock.setTimer(250, () => void fired.push('cancelled'));
    await w.advance(150);
    host.sleep();
    assert.equal(host.isAsleep, true);
    ear.say('asleep', { ip: other.ip, port: 9 });
    far.say('are you up?', { ip: host.ip, port: 9 });
    await w.advance(1000);
    cancelled.cancel();
    assert.deepEqual([fired, ear.heard, far.heard], [['100 at 100'], [], []]);
    assert.equal(host.counters.drops.get('host.asleep'), 2);
    host.wake();
    await w.advance(0);
    assert.deepEqual(fired, ['100 at 100', '200 at 1150', '300 at 1150']);
    far.say('and now?', { ip: host.ip, port: 9 });
    await w.advance(4000);
    assert.deepEqual([ear.heard.length, fired.length], [1, 4]);
  });

  it('TCP goes on after a short sleep, and is gone after a long one', async () => {
    for (const [ms, lives] of [
      [30_000, true],
      [7_200_000, false],
    ] as const) {
      const w = new VirtualWorld();
      const [host, server] = [w.net.host(), w.net.host()];
      const come = await w.listener(server, 80);
      const connection = await w.run(w.dial(host, { ip: server.ip, port: 80 }));
      await w.advance(100);
      const [near, far] = [reading(connection), reading(come[0]!)];
      host.sleep();
      saying(come[0]!, 'wake up');
      await w.advance(ms);
      host.wake();
      await w.advance(300_000);
      assert.equal(near.text, lives ? 'wake up' : '');
      assert.equal(far.end === undefined, lives);
    }
  });
});

describe('a network', () => {
  it('does the same for the same seed, to the last line of its trace, and something else for another', async () => {
    const traceOf = async (seed: number): Promise<string> => {
      const w = new VirtualWorld({ seed, ipv6: true });
      const server = w.net.host();
      const come = await w.listener(server, 80);
      const ear = await w.ear(server, 9);
      for (let i = 0; i < 5; i++) {
        const host = w.net.host({ behind: w.net.nat('random'), link: 'lossy' });
        (await w.ear(host)).say('hello', { ip: server.ip, port: 9 });
        const connection = await w.run(w.dial(host, { ip: server.ip, port: 80 }, undefined, 100_000));
        saying(connection, 'x'.repeat(100_000));
        await w.advance(10);
      }
      await w.advance(100_000);
      for (const connection of come) connection.pipe.destroy();
      await w.advance(100_000);
      assert.ok(ear.heard.length > 0);
      return w.trace.join('\n');
    };
    const [first, again, other] = [await traceOf(1), await traceOf(1), await traceOf(2)];
    assert.ok(first.length > 10_000);
    assert.equal(first, again);
    assert.notEqual(first, other);
  });

  it('says what it does not understand, at once, and is as it was', () => {
    const w = new VirtualWorld();
    const { net } = w;
    const nat = net.nat('port');
    const lan = net.lan();
    const host = net.host({ behind: nat });
    const wrong: readonly (() => unknown)[] = [
      // @ts-expect-error no such kind
      () => net.nat('symmetric'),
      // @ts-expect-error no such mapping
      () => net.nat('port', { mapping: 'cone' }),
      // @ts-expect-error not true or false
      () => net.nat('port', { hairpin: 'yes' }),
      // @ts-expect-error not a place
      () => net.host({ behind: 'nat1' }),
      () => net.host({ behind: new VirtualWorld().net.nat('port') }),
      () => net.host({ ip: 'localhost' }),
      () => net.host({ ip: '::1' }),
      // @ts-expect-error no such preset
      () => net.host({ link: 'fast' }),
      () => net.lan({ subnet: '192.168.1.0' }),
      () => host.move({ behind: nat }, 'eth7'),
      () => host.down('eth7'),
      // @ts-expect-error no such preset
      () => host.move({ link: 'fast' }),
    ];
    for (const act of wrong) assert.throws(act, TypeError, String(act));
    const outside: readonly (() => unknown)[] = [
      () => net.nat('port', { portRange: [5, 4] }),
      () => net.nat('port', { udpTimeoutMs: 0 }),
      () => net.nat('port', { maxSessions: 0 }),
      () => net.host({ behind: nat, ip: '10.0.0.1' }),
      () => net.host({ behind: nat, ip: host.ip }),
      () => net.host({ ip: '224.0.0.1' }),
      () => net.host({ ip: nat.ip }),
      () => net.host({ link: { loss: 2 } }),
      () => net.lan({ subnet: '192.168.1.5/24' }),
      () => net.lan({ subnet: '192.168.1.0/31' }),
      () => net.host({ behind: lan, ipv6: true }),
    ];
    for (const act of outside) assert.throws(act, RangeError, String(act));
    assert.deepEqual(host.ips, ['192.168.1.2']);
    assert.equal(net.host({ behind: nat }).ip, '192.168.1.3');
  });

  it('a LAN that is full takes no more hosts', () => {
    const { net } = new VirtualWorld();
    const lan = net.lan({ subnet: '10.0.0.0/29' });
    for (let i = 0; i < 5; i++) net.host({ behind: lan });
    assert.throws(() => net.host({ behind: lan }), /addresses are taken/);
  });

  it('carries so many packets at one time, and drops and counts the rest', async () => {
    const w = new VirtualWorld({ maxPackets: 100 });
    const [a, b] = [w.net.host(), w.net.host()];
    const [sender, ear] = [await w.ear(a), await w.ear(b, 9)];
    for (let i = 0; i < 150; i++) sender.say('x', { ip: b.ip, port: 9 });
    await w.advance(1000);
    assert.deepEqual([ear.heard.length, b.counters.drops.get('queue_full')], [100, 50]);
  });
});

describe('a parted internet', () => {
  it('loses what goes from one part to another, and what is in no part reaches everybody', async () => {
    const lost: string[] = [];
    const w = new VirtualWorld({
      onPacket: ({ to, lost: why }) => void (why !== undefined && lost.push(`${to} ${why}`)),
    });
    const nat = w.net.nat('full');
    const [alice, bob, carol] = [w.net.host(), w.net.host({ behind: nat }), w.net.host()];
    const [a, b, c] = [await w.ear(alice, 1), await w.ear(bob, 2), await w.ear(carol, 3)];
    const talk = async (): Promise<readonly number[]> => {
      for (const ear of [a, b, c]) ear.heard.length = 0;
      b.say('b', { ip: alice.ip, port: 1 });
      b.say('b', { ip: carol.ip, port: 3 });
      a.say('a', { ip: carol.ip, port: 3 });
      await w.advance(100);
      a.say('a', { ip: nat.ip, port: 2 });
      await w.advance(100);
      return [a, b, c].map(({ heard }) => heard.length);
    };
    assert.deepEqual(await talk(), [1, 1, 2]);
    w.net.partition([alice], [nat]);
    assert.deepEqual(await talk(), [0, 0, 2]);
    assert.deepEqual(lost, [`${alice.ip}:1 link.cut`, `${nat.ip}:2 link.cut`]);
    w.net.heal();
    assert.deepEqual(await talk(), [1, 1, 2]);
    assert.throws(() => w.net.partition([bob]), /host2 is not attached to it/);
  });
});
