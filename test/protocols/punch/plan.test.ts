/** What is sent where, from how both NATs give out ports; and ports in random order. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SocketAddress } from '../../../src/base/ip.ts';
import type { PunchOffer, PunchPorts } from '../../../src/protocols/punch/offer.ts';
import { planPunch, type PunchPlan } from '../../../src/protocols/punch/plan.ts';
import { PortOrder } from '../../../src/protocols/punch/port-order.ts';
import { SeedStream } from '../../../src/protocols/punch/seed-stream.ts';

const at = (text: string): SocketAddress => {
  const [, ip, port] = /^\[?([^\]]*)\]?:([0-9]+)$/.exec(text)!;
  return { ip: ip!, port: Number(port) };
};
const offer = (ports: PunchPorts, addrs: readonly string[], next?: PunchOffer['next']): PunchOffer => ({
  token: new Uint8Array(16),
  ports,
  addrs: addrs.map(at),
  next,
});

function plan(own: PunchOffer, theirs: PunchOffer, near: readonly string[] = [], proven: readonly string[] = []) {
  return planPunch({
    own,
    theirs,
    proven,
    isNear: ({ ip }) => near.includes(ip),
    mayProbe: ({ ip }) => !ip.startsWith('192.168.') || near.includes(ip),
  });
}

const targets = (made: ReturnType<typeof plan>): readonly string[] =>
  (made as PunchPlan).targets.map(({ to }) => `${to.ip}:${to.port}`);
const steady = offer('steady', ['11.0.0.1:4000', '192.168.1.2:4000']);

describe('a plan', () => {
  it('for steady ports has all addresses that may be probed, near ones first', () => {
    const theirs = offer('steady', ['12.0.0.1:4000', '2001:db8::1:4000', '192.168.1.3:4000']);
    assert.deepEqual(targets(plan(steady, theirs)), ['12.0.0.1:4000', '2001:db8::1:4000']);
    assert.deepEqual(targets(plan(steady, theirs, ['192.168.1.3']))[0], '192.168.1.3:4000');
  });

  it('for sequential ports has the next eight, downwards as well, and none below 1024 or above 65535', () => {
    const ports = (port: number, delta: number): readonly number[] =>
      targets(plan(steady, offer('sequential', ['12.0.0.1:9'], { port, delta }))).map((text) =>
        Number(text.split(':')[1]),
      );
    assert.deepEqual(ports(40_000, 1), [40_000, 40_001, 40_002, 40_003, 40_004, 40_005, 40_006, 40_007]);
    assert.deepEqual(ports(1030, -2), [1030, 1028, 1026, 1024]);
    assert.deepEqual(ports(65_534, 1), [65_534, 65_535]);
  });

  it('for random ports searches only an IP that is proven', () => {
    const theirs = offer('random', ['12.0.0.1:5000', '12.0.0.1:45000']);
    const blind = plan(steady, theirs) as PunchPlan;
    assert.deepEqual([blind.guess, targets(blind), blind.targets[0]!.maxProbes], [undefined, ['12.0.0.1:5000'], 3]);
    assert.match(blind.left, /no IP is proven/);
    const seeing = plan(steady, theirs, [], ['12.0.0.1']) as PunchPlan;
    assert.deepEqual(seeing.guess, { ip: '12.0.0.1', likely: undefined });
    const narrow = offer('random', ['12.0.0.1:40010', '12.0.0.1:40050']);
    assert.deepEqual((plan(steady, narrow, [], ['12.0.0.1']) as PunchPlan).guess?.likely, [39_970, 40_090]);
  });

  it('with own random ports opens many sockets to a proven address', () => {
    const own = offer('random', ['11.0.0.1:5000']);
    const made = plan(own, offer('steady', ['12.0.0.1:4000']), [], ['12.0.0.1']) as PunchPlan;
    assert.deepEqual(made.openTo, { ip: '12.0.0.1', port: 4000 });
    assert.equal((plan(own, offer('steady', ['12.0.0.1:4000'])) as PunchPlan).openTo, undefined);
  });

  it('with random ports on both sides has only what is near or has no NAT, and else says that a relay is needed', () => {
    const own = offer('random', ['11.0.0.1:5000']);
    for (const ports of ['random', 'sequential'] as const) {
      const made = plan(own, offer(ports, ['12.0.0.1:5000'], { port: 5, delta: 1 }));
      assert.match((made as { why: string }).why, /only a relay can work/);
    }
    const theirs = offer('random', ['12.0.0.1:5000', '2001:db8::1:4000', '192.168.1.3:4000']);
    assert.deepEqual(targets(plan(own, theirs, ['192.168.1.3'])), ['192.168.1.3:4000', '2001:db8::1:4000']);
  });

  it('without an address that others can send to is refused, on both sides', () => {
    const blocked = offer('unknown', ['192.168.7.2:4000']);
    assert.match((plan(blocked, steady) as { why: string }).why, /no observer has answered it: it may be blocked here/);
    assert.match(
      (plan(steady, blocked) as { why: string }).why,
      /no observer has answered it: it may be blocked there/,
    );
  });
});

describe('the order of ports', () => {
  it('has every port from 1024 to 65535 once, those of the likely range first', () => {
    for (const likely of [undefined, [40_000, 40_063], [1024, 2000], [65_000, 65_535]] as const) {
      const order = new PortOrder(likely, new SeedStream(new Uint8Array(32)));
      const ports: number[] = [];
      for (let port = order.next(); port !== undefined; port = order.next()) ports.push(port);
      assert.equal(ports.length, 64_512);
      assert.equal(new Set(ports).size, 64_512);
      assert.ok(ports.every((port) => port >= 1024 && port <= 65_535));
      if (likely === undefined) continue;
      const [low, high] = likely;
      assert.ok(ports.slice(0, high - low + 1).every((port) => port >= low && port <= high));
    }
  });

  it('is another one for another seed', () => {
    const first = (fill: number): readonly (number | undefined)[] => {
      const order = new PortOrder(undefined, new SeedStream(new Uint8Array(32).fill(fill)));
      return Array.from({ length: 5 }, () => order.next());
    };
    assert.notDeepEqual(first(1), first(2));
    assert.deepEqual(first(1), first(1));
  });
});
