/** Receive windows from one budget, and engines whose memory has grown. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { FIRST_WINDOW_BYTES, WindowBudget, Windows } from '../../../src/protocols/quic/window-budget.ts';
import { join, Network, pattern, readAll, writeAll } from './network.ts';

const MIB = 2 ** 20;

describe('WindowBudget', () => {
  const KIB = 1024;
  const make = (maxBytes: number, elsewhere = (): number => 0) => {
    const applied: Windows[] = [];
    return { applied, budget: new WindowBudget(maxBytes, elsewhere, (windows) => applied.push(windows)) };
  };

  it('a connection gets a quarter of what is free, at most the whole window, and gives it back', () => {
    const { budget } = make(400 * KIB);
    const first = new Windows('a', 4 * MIB, MIB);
    budget.begin(first, 0);
    assert.deepEqual([first.receive, first.growth], [FIRST_WINDOW_BYTES + 100 * KIB, 100 * KIB]);
    const second = new Windows('b', 64 * KIB, MIB);
    budget.begin(second, 0);
    assert.equal(second.receive, 64 * KIB);
    assert.equal(budget.granted, 100 * KIB + 64 * KIB - FIRST_WINDOW_BYTES);
    budget.forget(first);
    budget.forget(second);
    budget.forget(second);
    for (let i = 0; i < 9; i++) budget.handleRead(first, MIB, 1);
    assert.equal(budget.granted, 0, 'what is read after the end earns nothing');
  });

  it('one source has at most half of it, and all together never more than the whole', () => {
    const { budget } = make(MIB);
    const ofOne = Array.from({ length: 100 }, () => new Windows('a', MIB, MIB));
    for (const windows of ofOne) budget.begin(windows, 0);
    for (const windows of ofOne) for (let i = 0; i < 10; i++) budget.handleRead(windows, MIB, 0);
    assert.ok(budget.granted <= MIB / 2);
    for (let i = 0; i < 100; i++) {
      const windows = new Windows(`b${i}`, MIB, MIB);
      budget.begin(windows, 0);
      budget.handleRead(windows, MIB, 0);
    }
    assert.ok(budget.granted > MIB / 2 && budget.granted <= MIB);
  });

  it('what is held elsewhere counts', () => {
    let held = 0;
    const { budget } = make(MIB, () => held);
    held = MIB;
    const windows = new Windows('a', MIB, MIB);
    budget.begin(windows, 0);
    budget.handleRead(windows, MIB, 0);
    assert.equal(windows.receive, FIRST_WINDOW_BYTES);
  });

  it('a window that is read grows; one that is not is taken back under pressure, as its credit is used up', () => {
    const { applied, budget } = make(40 * KIB);
    const idle = new Windows('a', MIB, MIB);
    budget.begin(idle, 0);
    budget.handleRead(idle, 20 * KIB, 0);
    assert.ok(idle.receive > FIRST_WINDOW_BYTES + 10 * KIB, 'grown');
    assert.deepEqual(applied, [idle]);
    const growth = idle.growth;
    const busy = new Windows('b', MIB, MIB);
    budget.begin(busy, 4999);
    budget.handleRead(busy, MIB, 4999);
    assert.equal(idle.owed, 0, 'not yet idle');
    budget.handleRead(busy, MIB, 6000);
    assert.deepEqual([idle.receive, idle.owed, idle.growth], [FIRST_WINDOW_BYTES, growth, growth]);
    budget.handleRead(idle, growth - 1, 6001);
    assert.equal(idle.owed, 1);
  });

  it('under pressure every connection has a part of the send windows, at least the first one, new ones too, and the whole one afterwards', () => {
    const { applied, budget } = make(MIB);
    const [old, fresh] = [new Windows('a', MIB, MIB), new Windows('a', MIB, MIB)];
    budget.limitSends(1000, [old]);
    budget.open(fresh, 0);
    assert.deepEqual([old.send, fresh.send], [FIRST_WINDOW_BYTES, FIRST_WINDOW_BYTES]);
    budget.limitSends(100 * KIB + 0.5, [old, fresh]);
    assert.deepEqual([old.send, fresh.send], [100 * KIB, 100 * KIB]);
    budget.limitSends(Infinity, [old, fresh]);
    assert.deepEqual([old.send, fresh.send], [MIB, MIB]);
    assert.ok(applied.length >= 6);
  });
});

describe('memory of an endpoint', () => {
  it('connections that nobody reads hold the budget and 8 KiB each, not a window each', () => {
    const net = new Network(1);
    const a = net.add('alice');
    const b = net.add('bob', { windowBudgetBytes: MIB, retryFromHandshakes: 1000 });
    for (let i = 0; i < 60; i++) {
      const there = a.endpoint.connect(net.now, b.address);
      net.pass(50);
      there.open('uni')!.write(pattern(MIB));
    }
    net.pass(3000);
    assert.ok(b.endpoint.grantedBytes <= MIB);
    assert.ok(b.endpoint.gauges()!.memoryBytes < 14 * MIB, String(b.endpoint.gauges()!.memoryBytes));
  });

  it('a connection that is read goes as fast as its whole window allows, whatever its first one', () => {
    const { net, alice, bob, there } = join({ link: { latencyMs: 50 }, bob: { windowBudgetBytes: 8 * MIB } });
    const got = readAll(bob);
    const before = net.now;
    writeAll(alice, there.open('uni')!, pattern(8 * MIB));
    assert.ok(net.run(() => [...got.values()].some(({ length }) => length === 8 * MIB)));
    assert.ok(net.now - before < 1500, `${net.now - before} ms of virtual time`);
  });

  it('streams cut into single bytes, whose datagrams the engine keeps, end the connections that have most of them', () => {
    const net = new Network(2);
    const b = net.add('bob', { windowBudgetBytes: 0, displacedCode: 7, retryFromHandshakes: 1000 });
    const honest = net.add('alice');
    const fine = honest.endpoint.connect(net.now, b.address);
    net.pass(50);
    const a = net.add('p256', { initialMtuBytes: 1200, maxMtuBytes: 1200 });
    const there = Array.from({ length: 4 }, () => a.endpoint.connect(net.now, b.address));
    net.pass(1000);
    assert.deepEqual(
      there.map(({ state }) => state),
      ['open', 'open', 'open', 'open'],
    );
    for (const connection of there) {
      if (connection.state !== 'open') continue;
      const streams = Array.from({ length: 90 }, () => connection.open('uni')!);
      for (let k = 0; k < 25; k++) {
        for (const stream of streams) {
          stream.write(Uint8Array.of(k));
          // A datagram of its own for each byte, filled up with one that is dropped.
          connection.sendDatagram(pattern(1000), true);
          a.endpoint.poll();
          net.settle();
        }
        net.pass(10);
      }
    }
    net.pass(1000);
    assert.equal(fine.state, 'open');
    assert.ok(there.some(({ closed }) => closed?.code === 7));
    assert.ok(there.every(({ state, closed }) => state === 'open' || closed?.code === 7));
    assert.ok(b.endpoint.gauges()!.memoryBytes < 24 * MIB, String(b.endpoint.gauges()!.memoryBytes));
  });

  it('an engine that has grown large and holds little is replaced; its connections go on, and with the last of them it goes', () => {
    const net = new Network(3);
    const windows = { connectionWindowBytes: 16 * MIB, streamWindowBytes: 16 * MIB, sendWindowBytes: 16 * MIB };
    const b = net.add('bob', { ...windows, windowBudgetBytes: 128 * MIB });
    b.react = (event) => {
      if (event.type === 'closed') event.connection.forget();
    };
    const [a, m, c] = [net.add('alice'), net.add('p256', windows), net.add('rsa')];
    const lasting = a.endpoint.connect(net.now, b.address);
    net.pass(100);
    const lastingBack = b.saw('connected')!.connection;
    const floods = Array.from({ length: 3 }, () => m.endpoint.connect(net.now, b.address));
    net.pass(100);
    for (const flood of floods) writeAll(m, flood.open('uni')!, pattern(7 * MIB));
    net.pass(4000);
    const large = b.endpoint.gauges()!.memoryBytes;
    assert.ok(large > 20 * MIB, String(large));
    for (const flood of floods) flood.close();
    net.pass(5000);
    const later = c.endpoint.connect(net.now, b.address);
    assert.ok(net.run(() => later.state === 'open' && b.all('connected').length === 5, 1000));
    const laterBack = b.all('connected').at(-1)!.connection;
    assert.notEqual(laterBack.engine, lastingBack.engine, 'new connections are on another engine');
    // Both engines on one address: each gets its own datagrams.
    const got = readAll(b);
    for (const connection of [lasting, later]) connection.open('uni')!.write(pattern(50_000), true);
    net.pass(1000);
    assert.deepEqual(
      [...got.values()].map(({ length }) => length),
      [50_000, 50_000],
    );
    assert.ok(b.endpoint.gauges()!.memoryBytes >= large);
    lasting.close();
    net.pass(5000);
    assert.ok(b.endpoint.gauges()!.memoryBytes < 8 * MIB, String(b.endpoint.gauges()!.memoryBytes));
    assert.equal(later.state, 'open');
    assert.deepEqual(lastingBack.stats(), undefined);
  });
});

it('a fourth connection of one host, which begins when three have taken what its network may have, grows too', () => {
  const net = new Network(1, { latencyMs: 50 });
  const alice = net.add('alice');
  const bob = net.add('bob', { windowBudgetBytes: 2 ** 20, hostOf: () => '192.0.2.1' });
  readAll(bob);
  const busy = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const there = alice.endpoint.connect(net.now, bob.address);
      assert.ok(net.run(() => there.state === 'open'));
      writeAll(alice, there.open('uni')!, new Uint8Array(2 ** 23));
    }
  };
  busy(3);
  net.pass(2000);
  assert.ok(bob.endpoint.grantedBytes > 350_000, `${bob.endpoint.grantedBytes} bytes`);
  busy(1);
  net.pass(4000);
  const late = bob.all('connected')[3]!.connection.windows;
  assert.ok(late.receive > 8 * FIRST_WINDOW_BYTES, `${late.receive} bytes`);
  assert.ok(bob.endpoint.grantedBytes <= 2 ** 19);
});
