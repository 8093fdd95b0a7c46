import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Judged } from '../../../src/protocols/quic/endpoint-options.ts';
import type { EngineFactory, QuicEngine } from '../../../src/protocols/quic/engine.ts';
import { engines, Network, readAll, text } from './network.ts';

/** Alice dials Bob, who holds his peers and decides later. */
function held(options: { readonly holdPeers?: boolean } = { holdPeers: true }) {
  const net = new Network(1);
  const alice = net.add('alice');
  const bob = net.add('bob', { ...options, judge: () => 'pending' });
  const there = alice.endpoint.connect(net.now, bob.address);
  assert.ok(net.run(() => there.state === 'open' && bob.saw('connected') !== undefined));
  return { net, alice, bob, there, back: bob.saw('connected')!.connection };
}

describe('a peer that is held', () => {
  it('opens no stream before it is let in, is told when it may, and is read then', () => {
    const { net, alice, bob, there, back } = held();
    const got = readAll(bob);
    net.pass(1000);
    for (const kind of ['uni', 'bidi'] as const) assert.equal(there.open(kind), undefined);
    assert.deepEqual(alice.all('streams_available'), []);
    bob.endpoint.admit(net.now, back);
    assert.ok(net.run(() => alice.all('streams_available').length === 2, 100));
    const [uni, bidi] = [there.open('uni')!, there.open('bidi')!];
    assert.equal(uni.write(text('hello'), true), 5);
    assert.equal(bidi.write(text('and'), true), 3);
    net.pass(100);
    assert.deepEqual(
      [...got.values()].map(({ length }) => length).toSorted((a, b) => a - b),
      [3, 5],
    );
  });

  it('gets streams and window within its handshake when it is let in at once', () => {
    const net = new Network(1);
    const bob = net.add('bob', { holdPeers: true });
    const alice = net.add('alice');
    const there = alice.endpoint.connect(net.now, bob.address);
    assert.ok(net.run(() => there.state === 'open'));
    const before = net.now;
    assert.equal(there.open('uni'), undefined);
    assert.ok(net.run(() => alice.saw('streams_available') !== undefined));
    assert.equal(net.now - before, 10, 'a round trip');
    assert.equal(there.open('uni')!.write(new Uint8Array(20_000), true), 20_000);
  });

  it('is held as a responder too', () => {
    const net = new Network(1);
    const asked: Judged[] = [];
    const bob = net.add('bob');
    const alice = net.add('alice', { holdPeers: true, judge: (judged) => (asked.push(judged), 'pending') });
    const there = alice.endpoint.connect(net.now, bob.address);
    assert.ok(net.run(() => bob.saw('connected') !== undefined));
    net.pass(500);
    const back = bob.saw('connected')!.connection;
    assert.equal(back.open('uni'), undefined);
    alice.endpoint.admit(net.now, there);
    assert.ok(net.run(() => bob.all('streams_available').length === 2, 100));
    assert.ok(back.open('uni') !== undefined);
  });

  it('gets no window when the windows of all change before it is let in', () => {
    const told: number[] = [];
    let isBusy = false;
    const busy: EngineFactory = (host, settings, now) =>
      new Proxy(engines(host, settings, now), {
        get(engine, name: keyof QuicEngine) {
          // Between half of the budget, where send windows shrink, and twice it, where connections end.
          if (name === 'memoryBytes' || name === 'bytesInUse') return () => (isBusy ? 2 * 2 ** 20 : 0);
          const method: unknown = Reflect.get(engine, name, engine);
          if (typeof method !== 'function') return method;
          return (...args: unknown[]): unknown => {
            if (name === 'setWindows') told.push(args[2] as number);
            return Reflect.apply(method, engine, args);
          };
        },
      });
    const net = new Network(1);
    const bob = net.add('bob', { holdPeers: true, judge: () => 'pending', engines: busy, windowBudgetBytes: 2 ** 20 });
    const there = net.add('alice').endpoint.connect(net.now, bob.address);
    assert.ok(net.run(() => there.state === 'open' && bob.saw('connected') !== undefined));
    isBusy = true;
    bob.endpoint.handleTimeout(net.now);
    net.pass(1000);
    assert.equal(told.length, 0);
    bob.endpoint.admit(net.now, bob.saw('connected')!.connection);
    assert.ok(told.includes(2 ** 19), 'it begins with the small send window that all have');
  });

  it('learns that it is turned away, and has opened nothing until then', () => {
    const { net, bob, there, back } = held();
    back.close(5, 'not accepted');
    net.pass(100);
    assert.deepEqual([there.closed?.by, there.closed?.code], ['peer', 5]);
    assert.deepEqual(bob.all('stream'), []);
  });
});

it('a peer that is not held opens streams before it is let in', () => {
  const { there } = held({});
  assert.ok(there.open('uni') !== undefined);
});
