/** What NATs do beside mapping and filtering: hairpin, NATs behind NATs, time, reboots, and where they end. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { reading, saying, VirtualWorld } from '../../support/virtual-world.ts';

describe('hairpin', () => {
  it('two hosts behind one NAT reach each other by its outside address with hairpin, and not without', async () => {
    for (const hairpin of [true, false]) {
      const w = new VirtualWorld();
      const nat = w.net.nat('full', { hairpin });
      const server = await w.ear(w.net.host(), 3478);
      const [a, b] = [await w.ear(w.net.host({ behind: nat }), 5000), await w.ear(w.net.host({ behind: nat }), 6000)];
      const at = { ip: '11.0.1.1', port: 3478 };
      const seen = await w.seenBy(server, b, at);
      assert.deepEqual(seen, { ip: nat.ip, port: 6000 });
      a.say('round the corner', seen);
      await w.advance(1000);
      // RFC 4787 REQ-9: with the source as it is seen outside.
      assert.deepEqual(b.heard, hairpin ? [`round the corner from ${nat.ip}:5000`] : []);
      assert.equal(nat.counters.drops.get('nat.hairpin'), hairpin ? undefined : 1);
      assert.equal(a.heard.length, 0);
    }
  });

  it('filters hairpinned packets as those from outside, and carries TCP', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port', { hairpin: true });
    const [a, b] = [w.net.host({ behind: nat }), w.net.host({ behind: nat })];
    const [near, far] = await w.run(
      Promise.all([w.dial(a, { ip: nat.ip, port: 6000 }, 5000), w.dial(b, { ip: nat.ip, port: 5000 }, 6000)]),
    );
    const read = reading(far);
    saying(near, 'hello');
    await w.advance(100);
    assert.equal(read.text, 'hello');
    const ear = await w.ear(b, 7000);
    (await w.ear(a, 7001)).say('unasked', { ip: nat.ip, port: 7000 });
    await w.advance(100);
    assert.deepEqual(ear.heard, []);
  });
});

describe('a NAT behind a NAT', () => {
  it('carrier-grade: punching works where the outer NAT is steady; without hairpin there two customers do not meet', async () => {
    for (const [outerKind, hairpin, meets] of [
      ['port', true, true],
      ['port', false, false],
      ['random', true, false],
    ] as const) {
      const w = new VirtualWorld();
      const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
      const carrier = w.net.nat(outerKind, { subnet: '100.64.0.0/10', hairpin });
      const homes = [w.net.nat('port', { behind: carrier }), w.net.nat('port', { behind: carrier })];
      assert.ok(homes.every(({ ip }) => ip.startsWith('100.64.')));
      const ears = [];
      for (const behind of homes) ears.push(await w.ear(w.net.host({ behind }), 5000));
      const seen = [];
      for (const ear of ears) seen.push(await w.seenBy(server, ear, { ip: '12.0.0.1', port: 3478 }));
      assert.ok(seen.every(({ ip }) => ip === carrier.ip));
      for (let round = 0; round < 3; round++) {
        for (const [i, ear] of ears.entries()) ear.say('punch', seen[1 - i]!);
        await w.advance(100);
      }
      assert.equal(
        ears.every(({ heard }) => heard.length > 0),
        meets,
        `${outerKind}, hairpin ${hairpin}`,
      );
    }
  });

  it('each router takes one from the TTL', async () => {
    const w = new VirtualWorld({ hops: 5 });
    const carrier = w.net.nat('port', { subnet: '100.64.0.0/10' });
    const a = await w.ear(w.net.host({ behind: w.net.nat('port', { behind: carrier }) }), 5000);
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    a.say('seven', { ip: '12.0.0.1', port: 3478 }, 7);
    await w.advance(100);
    assert.deepEqual(server.heard, []);
    a.say('eight', { ip: '12.0.0.1', port: 3478 }, 8);
    await w.advance(100);
    assert.equal(server.heard.length, 1);
  });
});

describe('time and NATs', () => {
  it('a mapping of UDP lasts its time since it was used, and the next one has another port', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port', { udpTimeoutMs: 30_000, ports: 'random' });
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    const a = await w.ear(w.net.host({ behind: nat }), 5000);
    const at = { ip: '12.0.0.1', port: 3478 };
    const first = await w.seenBy(server, a, at);
    await w.advance(28_000);
    assert.deepEqual(await w.seenBy(server, a, at), first, 'what leaves keeps it');
    await w.advance(28_000);
    server.say('in', first);
    await w.advance(29_500);
    server.say('again', first);
    await w.advance(1000);
    assert.deepEqual(a.heard.length, 2, 'and so does what comes in');
    await w.advance(30_000);
    server.say('too late', first);
    await w.advance(1000);
    assert.equal(a.heard.length, 2);
    assert.notDeepEqual(await w.seenBy(server, a, at), first);
  });

  it('where only what leaves keeps a mapping, what comes in does not', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port', { udpTimeoutMs: 30_000, refresh: 'outbound' });
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    const a = await w.ear(w.net.host({ behind: nat }), 5000);
    const seen = await w.seenBy(server, a, { ip: '12.0.0.1', port: 3478 });
    for (let i = 0; i < 4; i++) {
      await w.advance(10_000);
      server.say('in', seen);
    }
    await w.advance(1000);
    assert.equal(a.heard.length, 2);
  });

  it('a reboot forgets UDP mappings at once', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('full');
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    const a = await w.ear(w.net.host({ behind: nat }), 5000);
    const seen = await w.seenBy(server, a, { ip: '12.0.0.1', port: 3478 });
    nat.reboot();
    assert.equal(nat.mappings, 0);
    server.say('gone', seen);
    await w.advance(1000);
    assert.deepEqual([a.heard, nat.counters.drops.get('nat.unsolicited')], [[], 1]);
  });

  it('TCP goes on over a reboot where the port is kept, and is reset where it is not', async () => {
    for (const ports of ['preserve', 'random'] as const) {
      const w = new VirtualWorld();
      const nat = w.net.nat('port', { ports });
      const server = w.net.host();
      const come = await w.listener(server, 80);
      const near = await w.run(w.dial(w.net.host({ behind: nat }), { ip: server.ip, port: 80 }, 5000));
      await w.advance(100);
      const [nearRead, farRead] = [reading(near), reading(come[0]!)];
      nat.reboot();
      saying(near, 'still here');
      await w.advance(10_000);
      if (ports === 'preserve') assert.deepEqual([farRead, nearRead], [{ text: 'still here' }, { text: '' }]);
      else assert.match(nearRead.end ?? '', /reset/);
    }
  });

  it('a connection whose NAT has forgotten it is half open: the far side learns of it when it times out', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port');
    const server = w.net.host();
    const come = await w.listener(server, 80);
    const near = await w.run(w.dial(w.net.host({ behind: nat }), { ip: server.ip, port: 80 }, 5000));
    await w.advance(100);
    const [nearRead, farRead] = [reading(near), reading(come[0]!)];
    nat.renumber();
    saying(come[0]!, 'are you there?');
    await w.advance(60_000);
    assert.deepEqual([nearRead, farRead], [{ text: '' }, { text: '' }]);
    await w.advance(3_600_000);
    assert.match(farRead.end ?? '', /does not answer/);
    assert.equal(nearRead.end, undefined);
  });

  it('a silent TCP connection is forgotten after its time, one that is being opened much sooner', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port', { tcpTimeoutMs: 600_000, tcpTransitoryTimeoutMs: 10_000 });
    const server = w.net.host();
    const come = await w.listener(server, 80);
    const near = await w.run(w.dial(w.net.host({ behind: nat }), { ip: server.ip, port: 80 }, 5000));
    const read = reading(near);
    await w.advance(590_000);
    saying(come[0]!, 'one');
    await w.advance(610_000);
    assert.equal(read.text, 'one');
    saying(come[0]!, 'two');
    await w.advance(1000);
    assert.equal(read.text, 'one');
  });

  it('renumber gives another address outside, and nothing comes to the old one', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('full');
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    const a = await w.ear(w.net.host({ behind: nat }), 5000);
    const at = { ip: '12.0.0.1', port: 3478 };
    const before = await w.seenBy(server, a, at);
    nat.renumber();
    const after = await w.seenBy(server, a, at);
    assert.notEqual(after.ip, before.ip);
    assert.equal(after.ip, nat.ip);
    server.say('old', before);
    server.say('new', after);
    await w.advance(1000);
    assert.deepEqual(a.heard, ['new from 12.0.0.1:3478']);
  });
});

describe('what a NAT refuses', () => {
  it('TCP that nobody asked for: silence, or an RST where it rejects', async () => {
    for (const unsolicited of ['drop', 'reject'] as const) {
      const w = new VirtualWorld();
      const nat = w.net.nat('port', { unsolicited });
      const dialling = w.run(w.dial(w.net.host(), { ip: nat.ip, port: 80 }));
      const expected = unsolicited === 'drop' ? /no answer/ : /nobody listens/;
      await assert.rejects(dialling, expected);
    }
  });

  it('UDP from behind udp-blocked, everything but TCP to 443 from behind 443-only', async () => {
    const w = new VirtualWorld();
    const server = w.net.host();
    const ear = await w.ear(server, 443);
    await w.listener(server, 443);
    await w.listener(server, 80);
    for (const [kind, tcpPorts] of [
      ['udp-blocked', [80, 443]],
      ['443-only', [443]],
    ] as const) {
      const host = w.net.host({ behind: w.net.nat(kind) });
      (await w.ear(host)).say('udp', { ip: server.ip, port: 443 });
      const reached: number[] = [];
      for (const port of [80, 443]) {
        await w.run(
          w.dial(host, { ip: server.ip, port }).then(
            () => reached.push(port),
            () => undefined,
          ),
        );
      }
      assert.deepEqual(reached, tcpPorts, kind);
    }
    assert.deepEqual(ear.heard, []);
  });

  it('new sessions when its table is full; the old ones go on, and make room when they have run out', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port', { maxSessions: 10, udpTimeoutMs: 60_000 });
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    const host = w.net.host({ behind: nat });
    const at = { ip: '12.0.0.1', port: 3478 };
    const ears = [];
    for (let i = 0; i < 20; i++) ears.push(await w.ear(host));
    for (const ear of ears) ear.say('one', at);
    await w.advance(1000);
    assert.deepEqual([server.heard.length, nat.mappings, nat.counters.drops.get('nat.full')], [10, 10, 10]);
    for (const ear of ears) ear.say('two', at);
    await w.advance(1000);
    assert.equal(server.heard.length, 20);
    await w.advance(61_000);
    for (const ear of ears.toReversed()) ear.say('three', at);
    await w.advance(1000);
    assert.deepEqual([server.heard.length, nat.mappings], [30, 10]);
  });

  it('the ports of its range and no more', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('random', { portRange: [40_000, 40_003] });
    const server = await w.ear(w.net.host({ ip: '12.0.0.1' }), 3478);
    const host = w.net.host({ behind: nat });
    for (let i = 0; i < 6; i++) (await w.ear(host)).say('hello', { ip: '12.0.0.1', port: 3478 });
    await w.advance(1000);
    const ports = server.heard.map((text) => Number(text.split(':').at(-1))).toSorted((a, b) => a - b);
    assert.deepEqual(ports, [40_000, 40_001, 40_002, 40_003]);
  });
});

describe('a router', () => {
  it('has sockets of its own on its LAN, which hear groups too, and nobody outside reaches them', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const nat = w.net.nat('port');
    const host = w.net.host({ behind: nat });
    const [router] = nat.network.interfaces().filter(({ isInternal, ip }) => !isInternal && !ip.includes(':'));
    const pcp = await w.ear({ network: nat.network, ips: [] } as never, 5351);
    pcp.socket.joinMulticast('239.255.255.250', 'lan');
    const ear = await w.ear(host, 5000);
    ear.say('ask', { ip: router!.ip, port: 5351 });
    ear.say('search', { ip: '239.255.255.250', port: 5351 });
    (await w.ear(w.net.host())).say('from outside', { ip: nat.ip, port: 5351 });
    await w.advance(100);
    assert.deepEqual(pcp.heard, [`ask from ${host.ip}:5000`, `search from ${host.ip}:5000`]);
    pcp.say('answer', { ip: host.ip, port: 5000 });
    await w.advance(100);
    assert.deepEqual(ear.heard, [`answer from ${router!.ip}:5351`]);
    await nat.network.listen({
      bind: { ip: '0.0.0.0', port: 80 },
      backlog: 1,
      reusePort: false,
      onError: () => undefined,
      onConnection: ({ pipe }) => pipe.destroy(),
    });
    await w.run(w.dial(host, { ip: router!.ip, port: 80 }));
    await assert.rejects(w.run(w.dial(w.net.host(), { ip: nat.ip, port: 80 })), /no answer/);
  });

  it('forwards a port to a host, for UDP and TCP and whatever its kind, until it is disposed of', async () => {
    for (const kind of ['port', 'random', 'full'] as const) {
      const w = new VirtualWorld();
      const nat = w.net.nat(kind);
      const [host, other] = [w.net.host({ behind: nat }), w.net.host({ behind: nat })];
      const far = w.net.host({ ip: '12.0.0.1' });
      const [ear, caller] = [await w.ear(host, 5000), await w.ear(far, 9)];
      const forwarded = nat.forward('udp', 6000, { ip: host.ip, port: 5000 });
      assert.throws(() => nat.forward('udp', 6000, { ip: other.ip, port: 5000 }), RangeError);
      assert.throws(() => nat.forward('udp', 70_000, { ip: host.ip, port: 5000 }), RangeError);
      assert.throws(() => nat.forward('udp', 6001, { ip: 'host', port: 5000 }), TypeError);
      await w.advance(10_000_000);
      caller.say('hello', { ip: nat.ip, port: 6000 });
      await w.advance(100);
      assert.deepEqual(ear.heard, ['hello from 12.0.0.1:9'], kind);
      // The answer comes from where the question went, also where each destination has a port of its own.
      ear.say('answer', { ip: '12.0.0.1', port: 9 });
      await w.advance(100);
      assert.deepEqual(caller.heard, [`answer from ${nat.ip}:6000`], kind);
      nat.forward('tcp', 80, { ip: host.ip, port: 8080 });
      const come = await w.listener(host, 8080);
      const near = await w.run(w.dial(far, { ip: nat.ip, port: 80 }));
      await w.advance(100);
      const read = reading(near);
      saying(come[0]!, 'welcome');
      await w.advance(100);
      assert.equal(read.text, 'welcome', kind);
      forwarded[Symbol.dispose]();
      caller.say('too late', { ip: nat.ip, port: 6000 });
      await w.advance(100);
      assert.equal(ear.heard.length, 1);
    }
  });

  it('forwards again for the same host, and closing what a reboot has forgotten does no harm', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port', { maxSessions: 1 });
    const host = w.net.host({ behind: nat });
    const to = { ip: host.ip, port: 5000 };
    const [ear, caller] = [await w.ear(host, 5000), await w.ear(w.net.host({ ip: '12.0.0.1' }), 9)];
    const first = nat.forward('udp', 6000, to);
    const renewed = nat.forward('udp', 6000, to);
    first[Symbol.dispose]();
    caller.say('hello', { ip: nat.ip, port: 6000 });
    await w.advance(100);
    assert.equal(ear.heard.length, 1);
    nat.reboot();
    renewed[Symbol.dispose]();
    // There is room for one session, as before, and not for more.
    ear.say('one', { ip: '12.0.0.1', port: 9 });
    ear.say('two', { ip: '12.0.0.1', port: 10 });
    await w.advance(100);
    assert.deepEqual([caller.heard.length, nat.counters.drops.get('nat.full')], [1, 1]);
  });

  it('takes what it had for the socket away when it forwards another port to it', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('full');
    const host = w.net.host({ behind: nat });
    const [ear, caller] = [await w.ear(host, 5000), await w.ear(w.net.host({ ip: '12.0.0.1' }), 9)];
    assert.deepEqual(await w.seenBy(caller, ear, { ip: '12.0.0.1', port: 9 }), { ip: nat.ip, port: 5000 });
    const forwarded = nat.forward('udp', 6000, { ip: host.ip, port: 5000 });
    assert.deepEqual(await w.seenBy(caller, ear, { ip: '12.0.0.1', port: 9 }), { ip: nat.ip, port: 6000 });
    caller.say('old', { ip: nat.ip, port: 5000 });
    caller.say('new', { ip: nat.ip, port: 6000 });
    await w.advance(100);
    assert.deepEqual(ear.heard, ['new from 12.0.0.1:9']);
    forwarded[Symbol.dispose]();
    assert.equal(nat.mappings, 0);
  });

  it('opens its IPv6 firewall for a host', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const nat = w.net.nat('port');
    const host = w.net.host({ behind: nat });
    const ip = host.ips.find((each) => each.startsWith('2a10'))!;
    const ear = await w.ear(host, 5000);
    const far = await w.ear(w.net.host(), 9);
    far.say('closed', { ip, port: 5000 });
    await w.advance(100);
    const opened = nat.forward('udp', 5000, { ip, port: 5000 });
    far.say('open', { ip, port: 5000 });
    await w.advance(100);
    opened[Symbol.dispose]();
    far.say('closed again', { ip, port: 5000 });
    await w.advance(100);
    assert.deepEqual(
      ear.heard.map((text) => text.split(' from ')[0]),
      ['open'],
    );
  });
});
