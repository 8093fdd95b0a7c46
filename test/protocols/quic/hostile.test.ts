import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from '../../support/fast-check.ts';
import { READ, REFUSED } from '../../../src/protocols/quic/engine.ts';
import { resolveSettings } from '../../../src/protocols/quic/settings.ts';
import { engines, identity, join, Network, pattern, readAll, text, writeAll } from './network.ts';

const BAD = { latencyMs: 30, jitterMs: 60, loss: 0.1, duplicate: 0.1, flip: 0.1, truncate: 0.05 };

/** Everything that one run sends and tells. */
const run = (seed: number) => {
  const { net, alice, bob, there } = join({ seed, link: { ...BAD, flip: 0, truncate: 0 } });
  readAll(bob);
  writeAll(alice, there.open('uni')!, pattern(100_000));
  net.pass(3000);
  return {
    datagrams: net.sent.map(({ at, from, to, bytes }) => `${at} ${from} ${to} ${Buffer.from(bytes).toString('hex')}`),
    events: [alice, bob].map((node) => node.events.map(({ type }) => type)),
  };
};

describe('a bad network', () => {
  for (const seed of [1, 2, 3]) {
    it(`loses, repeats, reorders, cuts and changes datagrams; everything arrives, and nothing wrong (seed ${seed})`, () => {
      const net = new Network(seed, BAD);
      const a = net.add('alice', { handshakeTimeoutMs: 0 });
      const b = net.add('bob', { handshakeTimeoutMs: 0 });
      const got = readAll(b);
      const there = a.endpoint.connect(net.now, b.address);
      assert.ok(net.run(() => there.state === 'open'));
      const messages = Array.from({ length: 40 }, (_, i) => pattern(1000 * i + 1).map((byte) => byte ^ i));
      for (const message of messages) writeAll(a, there.open('uni')!, message);
      const whole = () => [...got.keys()].filter(({ receiveState }) => receiveState === 'finished').length;
      assert.ok(
        net.run(() => whole() === messages.length, 300_000),
        `${whole()} of ${messages.length}`,
      );
      const arrived = [...got].toSorted(([x], [y]) => x.id - y.id).map(([, reader]) => reader.bytes);
      for (const [i, message] of messages.entries())
        assert.ok(Buffer.from(message).equals(arrived[i]!), `message ${i}`);
    });
  }

  it('a seed replays a run, byte for byte and event for event', () => {
    const first = run(5);
    assert.ok(first.datagrams.length > 100);
    assert.deepEqual(run(5), first);
    assert.notDeepEqual(run(6).datagrams, first.datagrams);
  });
});

describe('bytes from anybody', () => {
  it('noise, at any length, changes nothing', () => {
    const { net, bob, there, back } = join();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500 }), fc.integer({ min: 0, max: 255 }), (bytes, first) => {
        if (bytes.length > 0) bytes[0] = first;
        bob.endpoint.handleDatagrams(net.now, [
          { address: 7, bytes },
          { address: net.now, bytes },
        ]);
        net.settle();
      }),
      { numRuns: 2000 },
    );
    const got = readAll(bob);
    there.open('uni')!.write(text('unmoved'), true);
    net.pass(200);
    assert.equal([...got.values()][0]?.bytes.toString(), 'unmoved');
    assert.equal(back.state, 'open');
    assert.equal(bob.saw('engine_failed'), undefined);
  });

  it('datagrams of a real connection, changed in every way, never break the engine', () => {
    for (let seed = 1; seed <= 25; seed++) {
      const net = new Network(seed, {
        latencyMs: 3,
        jitterMs: 5,
        loss: 0.05,
        duplicate: 0.2,
        flip: 0.3,
        truncate: 0.2,
      });
      const a = net.add('alice');
      const b = net.add('bob', seed % 2 === 0 ? { addressValidation: 'always' } : {});
      readAll(b);
      const there = a.endpoint.connect(net.now, b.address);
      const heads = new Uint8Array(64).map(() => Math.floor(net.random.next() * 256));
      net.tap = (flight) => {
        // Headers are where the parsers are: half of the changes go there.
        if (net.random.next() < 0.1) {
          const bytes = flight.bytes.slice();
          const at = Math.floor(net.random.next() * Math.min(40, bytes.length));
          bytes.set(heads.subarray(0, Math.min(bytes.length - at, Math.floor(net.random.next() * 20))), at);
          return { ...flight, bytes };
        }
        return flight;
      };
      net.pass(300);
      for (let i = 0; i < 5; i++) there.open('bidi')?.write(pattern(3000), true);
      net.pass(5000);
      assert.equal(a.saw('engine_failed') ?? b.saw('engine_failed'), undefined, `seed ${seed}`);
    }
  });

  it('forged Version Negotiation and Retry packets do not end an attempt that gets an answer', () => {
    const net = new Network(1);
    const a = net.add('alice');
    const b = net.add('bob');
    const there = a.endpoint.connect(net.now, b.address);
    net.settle();
    const [initial] = net.sent;
    const dcid = initial!.bytes.subarray(6, 6 + initial!.bytes[5]!);
    const scidAt = 6 + dcid.length;
    const scid = initial!.bytes.subarray(scidAt + 1, scidAt + 1 + initial!.bytes[scidAt]!);
    const ids = (first: number, version: number[]): number[] => [first, ...version, scid.length, ...scid];
    // Lists version 1 among others, which RFC 9000 §6.2 says must be ignored.
    net.send(
      b.address,
      a.address,
      Uint8Array.from([...ids(0xc0, [0, 0, 0, 0]), dcid.length, ...dcid, 0, 0, 0, 1, 9, 9, 9, 9]),
    );
    net.send(b.address, a.address, Uint8Array.from([...ids(0xf0, [0, 0, 0, 1]), 8, ...pattern(8), ...pattern(50)]));
    net.pass(1000);
    assert.equal(there.state, 'open');
  });

  it('those who speak no version of ours are told so, and it costs nothing', () => {
    const net = new Network(1);
    const b = net.add('bob');
    const hello = new Uint8Array(1200);
    hello.set([0xc0, 0x0a, 0x0a, 0x0a, 0x0a, 8, ...pattern(8), 8, ...pattern(8)]);
    b.endpoint.handleDatagrams(net.now, [
      { address: 7, bytes: hello },
      { address: 7, bytes: hello.subarray(0, 1199) },
    ]);
    net.settle();
    assert.deepEqual(
      net.sent.map(({ to, bytes }) => [to, bytes.subarray(1, 5)]),
      [[7, new Uint8Array(4)]],
    );
    assert.equal(b.endpoint.gauges()!.connections, 0);
  });

  it('a chain larger than the crypto buffer ends the handshake, not the endpoint', () => {
    const chain = Array.from({ length: 16 }, () => pattern(9000));
    const net = new Network(1);
    const big = { ...identity('alice'), chain: [...identity('alice').chain, ...chain.slice(1)] };
    const a = net.add('alice', { identity: big });
    const b = net.add('bob');
    const there = a.endpoint.connect(net.now, b.address);
    net.pass(20_000);
    assert.ok(there.closed !== undefined);
    assert.equal(b.saw('connected'), undefined);
    assert.equal(b.saw('engine_failed'), undefined);
    const other = net.add('p256').endpoint.connect(net.now, b.address);
    net.pass(500);
    assert.equal(other.state, 'open');
  });
});

describe('a careless caller', () => {
  it('any arguments at the border are answered', () => {
    const settings = resolveSettings({ identity: identity('alice') });
    const engine = engines({ random: pattern, judge: () => 0, failed: assert.fail }, settings, 0);
    const number = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.constantFrom(0, 1, 2, 3, -1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 62, Number.NaN, Infinity),
    );
    fc.assert(
      fc.property(fc.array(number, { minLength: 4, maxLength: 4 }), fc.uint8Array({ maxLength: 300 }), (n, bytes) => {
        const [a, b, c, d] = n as [number, number, number, number];
        engine.receive(a, [{ address: b, bytes }]);
        engine.handleTimeout(c);
        engine.poll(d);
        engine.accept(a, b);
        engine.refuse(a);
        engine.retry(a);
        engine.ignore(a);
        engine.close(a, b, c, bytes);
        engine.ping(a);
        engine.updateKeys(a);
        engine.rebind(a);
        engine.release(a);
        assert.ok(engine.open(a, true) < 0);
        assert.ok(engine.write(a, b, bytes, true) < 0);
        assert.equal(engine.read(a, b, c).status, READ.CLOSED);
        assert.ok(engine.reset(a, b, c) < 0);
        assert.ok(engine.stop(a, b, c) < 0);
        assert.ok(engine.setPriority(a, b, c) < 0);
        assert.ok(engine.sendDatagram(a, bytes, true) < 0);
        assert.equal(engine.receiveDatagram(a), undefined);
        assert.equal(engine.maxDatagram(a), undefined);
        assert.equal(engine.stats(a), undefined);
        engine.events();
      }),
      { numRuns: 1000 },
    );
    assert.ok(engine.connect(0, 1, 'no name!', undefined) === REFUSED.INVALID);
    assert.equal(engine.gauges()?.connections, 0);
  });

  it('datagrams larger than the border takes are dropped, many at once are all taken', () => {
    const { net, bob, there } = join();
    const got = readAll(bob);
    there.open('uni')!.write(text('here'), true);
    const carried: Uint8Array[] = [];
    net.tap = (flight) => void carried.push(flight.bytes);
    net.settle();
    const noise = Array.from({ length: 5000 }, () => ({ address: 9, bytes: pattern(60) }));
    const real = carried.map((bytes) => ({ address: 100, bytes }));
    bob.endpoint.handleDatagrams(net.now, [{ address: 9, bytes: new Uint8Array(300_000) }, ...noise, ...real]);
    net.settle();
    assert.equal([...got.values()][0]?.bytes.toString(), 'here');
  });
});
