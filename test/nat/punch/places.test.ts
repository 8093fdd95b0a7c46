/** Hole punching where hosts share a NAT, sit behind two, or have IPv6; and what the swarm above notices. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { P2PError } from '../../../src/core/errors.ts';
import { punching, udpPuncher } from '../../../src/nat/index.ts';
import { openUdpSwarm } from '../../../src/swarms/udp.ts';
import { PunchWorld } from '../../support/punch-world.ts';

describe('two hosts behind one NAT', () => {
  for (const kind of ['full', 'port', 'sequential', 'random'] as const) {
    for (const hairpin of [false, true]) {
      it(`${kind}, ${hairpin ? 'with' : 'without'} hairpin: they meet on their LAN`, async () => {
        const w = new PunchWorld();
        await w.observe();
        const nat = w.world.net.nat(kind, { hairpin });
        const [left, right] = [await w.place(nat), await w.place(nat)];
        const punched = await w.punch(left, right);
        assert.deepEqual(
          punched.paths.map(({ remote }) => remote.ip),
          [right.host.ip, left.host.ip],
        );
        assert.ok(await w.talks(left, right, punched));
      });
    }
  }

  it('in two LANs of the NAT, which routes between them: by hairpin where it has that', async () => {
    const w = new PunchWorld();
    await w.observe();
    const nat = w.world.net.nat('full', { hairpin: true });
    const cafe = w.world.net.nat('port', { behind: nat });
    const [left, right] = [await w.place(nat), await w.place(cafe)];
    const punched = await w.punch({ ...left, nat }, { ...right, nat });
    assert.equal(punched.paths[0].remote.ip, nat.ip);
    assert.ok(await w.talks(left, right, punched));
  });

  it('hosts of different homes with the same private network do not take each other for neighbours for good', async () => {
    const w = new PunchWorld();
    await w.observe();
    const [left, right] = [await w.behind('port'), await w.behind('port')];
    assert.equal(left.host.ip, right.host.ip);
    const { paths } = await w.punch(left, right);
    assert.equal(paths[0].remote.ip, right.nat!.ip);
  });
});

describe('routers that take what nobody asked for as their own', () => {
  for (const [a, b] of [
    ['port', 'port'],
    ['address', 'port'],
  ] as const) {
    it(`${a} and ${b}: the first probe dies before it gets there, so they are crossed, however long the offers take`, async () => {
      for (const oneWayMs of [5, 20, 80]) {
        const w = new PunchWorld();
        await w.observe();
        const unsolicited = 'accept';
        const [left, right] = [await w.behind(a, { unsolicited }), await w.behind(b, { unsolicited })];
        const punched = await w.punch(left, right, { oneWayMs });
        assert.equal(punched.paths[0].remote.port, 4000);
        assert.ok(await w.talks(left, right, punched));
      }
    });
  }

  it('two that send at once with a full TTL spoil it for each other', async () => {
    const w = new PunchWorld();
    const nats = [0, 1].map(() => w.world.net.nat('port', { unsolicited: 'accept' }));
    const ears = await Promise.all(nats.map((behind) => w.world.ear(w.world.net.host({ behind }), 5000)));
    for (let round = 0; round < 5; round++) {
      for (const [i, ear] of ears.entries()) {
        // One of them begins a little earlier.
        if (round > 0 || i === 0) ear.say('hello', { ip: nats[1 - i]!.ip, port: 5000 });
      }
      await w.world.advance(100);
    }
    assert.deepEqual(
      ears.map(({ heard }) => heard.length),
      [0, 0],
    );
  });
});

describe('a NAT behind a NAT', () => {
  for (const [outer, inner, other] of [
    ['port', 'port', 'port'],
    ['full', 'full', 'random'],
    ['port', 'address', 'sequential'],
    ['random', 'port', 'port'],
  ] as const) {
    it(`${inner} behind ${outer} gets through to ${other}`, async () => {
      const w = new PunchWorld();
      await w.observe();
      const carrier = w.world.net.nat(outer, { portRange: [40_000, 40_999] });
      const home = w.world.net.nat(inner, { behind: carrier });
      const [left, right] = [{ ...(await w.place(home)), nat: carrier }, await w.behind(other)];
      const punched = await w.punch(left, right);
      assert.ok(await w.talks(left, right, punched));
    });
  }
});

describe('IPv6', () => {
  it('two firewalls are opened from both sides, and IPv4 NATs that cannot be crossed do not matter', async () => {
    const w = new PunchWorld({ ipv6: true });
    await w.observe();
    const [left, right] = [await w.behind('random'), await w.behind('random')];
    const punched = await w.punch(left, right);
    assert.match(punched.paths[0].remote.ip, /^2a10/);
    assert.ok(await w.talks(left, right, punched));
  });

  it('hosts that have nothing else punch as well', async () => {
    const w = new PunchWorld({ ipv6: true });
    await w.observe();
    const [left, right] = [await w.behind('port'), await w.behind('port')];
    const offers = await w.run(Promise.all([left.puncher.offer(), right.puncher.offer()]));
    const six = offers.map((offer) => ({ ...offer, addrs: offer.addrs.filter(({ ip }) => ip.includes(':')) }));
    const punches = [
      left.puncher.punch(six[0]!, six[1]!, { side: 'initiator' }),
      right.puncher.punch(six[1]!, six[0]!, { side: 'responder' }),
    ];
    const paths = await w.run(Promise.all(punches));
    for (const { remote } of paths) assert.match(remote.ip, /^2a10/);
  });
});

describe('the calls', () => {
  it('a host that others can dial offers nothing', async () => {
    const w = new PunchWorld();
    const host = w.world.net.host();
    const network = punching(host.network);
    const { realm } = host;
    await using swarm = await openUdpSwarm({ network, realm, bind: '0.0.0.0:4000' });
    const puncher = udpPuncher({ network, realm, port: swarm.addr.port, observers: () => [], isReachable: () => true });
    await assert.rejects(w.run(puncher.offer()), (error) => P2PError.is(error, 'unsupported'));
  });

  it('without an observer that answers an offer has local addresses, and hosts of one LAN punch by them', async () => {
    const w = new PunchWorld();
    w.observers = [{ ip: '12.9.9.9', port: 3478 }];
    const nat = w.world.net.nat('port');
    const [left, right] = [await w.place(nat), await w.place(nat)];
    const { offers, paths } = await w.punch(left, right);
    assert.deepEqual(
      offers.map(({ ports, addrs }) => [ports, addrs.length]),
      [
        ['unknown', 1],
        ['unknown', 1],
      ],
    );
    assert.equal(paths[0].remote.ip, right.host.ip);
  });

  it('one punch with random ports at a time, and the next one 20 s after it', async () => {
    const w = new PunchWorld();
    await w.observe();
    const [left, right, third] = [await w.behind('port'), await w.behind('random'), await w.behind('random')];
    const [own, other, last] = await w.run(
      Promise.all([left.puncher.offer(), right.puncher.offer(), third.puncher.offer()]),
    );
    const proven = [right.nat!.ip, third.nat!.ip];
    // The other side does not punch, so it searches until its end.
    const first = left.puncher.punch(own, other, { side: 'initiator', proven });
    first.catch(() => undefined);
    await w.world.advance(200);
    const refused = (): Promise<unknown> => left.puncher.punch(own, last, { side: 'initiator', proven });
    await assert.rejects(w.run(refused()), (error) => P2PError.is(error, 'limit_exceeded'));
    await assert.rejects(w.run(first), (error) => P2PError.is(error, 'timeout'));
    await w.world.advance(19_000);
    await assert.rejects(w.run(refused()), /next may begin in/);
    await w.world.advance(1000);
    const again = refused();
    again.catch(() => undefined);
    await w.world.advance(100);
    await left.swarm.close();
    await assert.rejects(w.run(again), (error) => P2PError.is(error, 'closed'));
  });

  it('ends with its signal and its deadline, and leaves no socket behind', async () => {
    const w = new PunchWorld();
    await w.observe();
    const [left, right] = [await w.behind('random'), await w.behind('port')];
    const [own, theirs] = await w.run(Promise.all([left.puncher.offer(), right.puncher.offer()]));
    const punch = (more: object) =>
      left.puncher.punch(own, theirs, { side: 'initiator', proven: [right.nat!.ip], ...more });
    const stop = new AbortController();
    const stopped = punch({ signal: stop.signal });
    await w.world.advance(1000);
    stop.abort(new Error('enough'));
    await assert.rejects(w.run(stopped), /enough/);
    const before = left.host.counters.sent;
    await w.world.advance(30_000);
    assert.equal(left.host.counters.sent, before);
    await assert.rejects(w.run(punch({ timeoutMs: 500 })), (error) => P2PError.is(error, 'timeout'));
    await left.puncher[Symbol.asyncDispose]();
    await assert.rejects(w.run(punch({})), (error) => P2PError.is(error, 'closed'));
    await assert.rejects(w.run(left.puncher.offer()), (error) => P2PError.is(error, 'closed'));
  });

  it('by one of many sockets: the swarm sends and hears by it, until it closes', async () => {
    const w = new PunchWorld({ seed: 3 });
    await w.observe();
    const [left, right] = [await w.behind('random', { portRange: [40_000, 41_000] }), await w.behind('port')];
    const punched = await w.punch(left, right);
    assert.equal(left.network.socketAt(4000).routes, 1);
    assert.ok(await w.talks(left, right, punched));
    const port = punched.paths[1].remote.port;
    assert.ok(right.heard.every((line) => line.endsWith(`from ${left.nat!.ip}:${port}`)));
    // What it sends elsewhere goes by its own socket.
    const ear = await w.world.ear(w.world.net.host({ ip: '12.0.0.9' }), 9);
    await left.swarm.tell('12.0.0.9:9', Uint8Array.of(65));
    await w.world.advance(100);
    assert.equal(ear.heard.length, 1);
    await left.swarm.close();
    assert.throws(() => left.network.socketAt(4000), RangeError);
  });
});
