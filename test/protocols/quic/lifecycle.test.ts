import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { join, Network, pattern, readAll, text } from './network.ts';

describe('close', () => {
  it('code and reason reach the other side, and each side is told once', () => {
    const { net, alice, bob, there, back } = join();
    there.close(4711, 'enough for today');
    there.close(1, 'again');
    net.pass(5000);
    const told = [alice, bob].map((node) =>
      node.all('closed').map(({ connection, closed }) => ({ connection, ...closed })),
    );
    const common = { code: 4711, alert: undefined, reason: 'enough for today' };
    assert.deepEqual(told, [
      [{ connection: there, by: 'local', ...common }],
      [{ connection: back, by: 'peer', ...common }],
    ]);
    assert.equal(there.state, 'closed');
    assert.deepEqual([...alice.endpoint.connections, ...bob.endpoint.connections], []);
  });

  it('the server closes as well, with codes up to 2^53 - 1 and long reasons cut', () => {
    const { net, there, back } = join();
    back.close(Number.MAX_SAFE_INTEGER, 'é'.repeat(2000));
    net.pass(1000);
    assert.equal(there.closed?.code, Number.MAX_SAFE_INTEGER);
    assert.equal(there.closed.reason, 'é'.repeat(500));
    assert.throws(() => there.close(-1), RangeError);
  });

  it('after it nothing can be done, and everything says so', () => {
    const { there } = join();
    const stream = there.open('bidi')!;
    there.close();
    assert.equal(there.open('uni'), undefined);
    assert.equal(stream.write(text('x')), 0);
    assert.deepEqual([stream.sendState, stream.receiveState], ['lost', 'lost']);
    assert.equal(there.sendDatagram(text('x')), 'closed');
    assert.equal(there.maxDatagramBytes, undefined);
    there.ping();
    there.updateKeys();
    there.rebind();
    there.forget();
    stream.reset(1);
    stream.stop(1);
  });

  it('what arrived before it can be read after it, until it is forgotten', () => {
    const { net, bob, there, back } = join();
    there.open('uni')!.write(pattern(3000), true);
    there.open('uni')!.write(text('cut'));
    net.pass(100);
    there.close(0);
    net.pass(5000);
    assert.equal(bob.endpoint.gauges()!.connections, 0);
    assert.equal(bob.endpoint.gauges()!.over, 1);
    const [whole, cut] = bob.all('stream').map(({ stream }) => stream);
    assert.deepEqual(whole!.read(), pattern(3000));
    assert.equal(whole!.receiveState, 'finished');
    assert.deepEqual(cut!.read(), text('cut'));
    assert.equal(cut!.receiveState, 'open');
    assert.equal(cut!.read(), undefined);
    assert.equal(cut!.receiveState, 'lost');
    assert.equal(bob.endpoint.gauges()!.over, 0);
    assert.equal(back.stats(), undefined);
  });

  it('forget gives back what was not read', () => {
    const { net, bob, there, back } = join();
    there.open('uni')!.write(pattern(3000), true);
    net.pass(100);
    there.close(0);
    back.forget();
    net.pass(50);
    back.forget();
    assert.equal(bob.saw('stream')!.stream.read(), undefined);
    net.pass(5000);
    assert.deepEqual([bob.endpoint.gauges()!.over, bob.endpoint.gauges()!.connections], [0, 0]);
  });

  it('closing the endpoint closes all, refuses the rest, and is drained soon after', () => {
    const { net, alice, bob, there } = join();
    bob.endpoint.close(net.now, 9, 'going home');
    const late = alice.endpoint.connect(net.now, bob.address);
    const began = net.now;
    assert.ok(net.run(() => bob.endpoint.drained));
    assert.ok(net.now - began < 1000, `${net.now - began} ms`);
    net.pass(100);
    assert.deepEqual([there.closed?.by, there.closed?.code], ['peer', 9]);
    assert.deepEqual([late.closed?.by, late.closed?.code], ['peer_transport', 2]);
    assert.throws(() => bob.endpoint.connect(net.now, 5), /closed/);
  });

  it('a thousand connections closed in any order give their memory back', () => {
    const net = new Network(4);
    const alice = net.add('alice', { maxHandshakes: 2000, retryFromHandshakes: 2000 });
    const bob = net.add('bob', { maxHandshakes: 2000, retryFromHandshakes: 2000 });
    const round = (): number => {
      const made = Array.from({ length: 250 }, () => alice.endpoint.connect(net.now, bob.address));
      assert.ok(net.run(() => made.every(({ state }) => state === 'open')));
      net.pass(50);
      for (const connection of made.toSorted(() => net.random.next() - 0.5)) connection.close();
      net.pass(5000);
      const { connections, over, timers } = bob.endpoint.gauges()!;
      assert.deepEqual([connections, over], [0, 0]);
      assert.ok(timers < 100, String(timers));
      return bob.endpoint.gauges()!.memoryBytes;
    };
    const first = round();
    for (let i = 0; i < 3; i++) assert.ok(round() <= first * 1.1);
  });
});

describe('silence', () => {
  it('a connection without traffic ends after the smaller idle timeout of the two', () => {
    const { net, there, back } = join({ alice: { idleTimeoutMs: 60_000 }, bob: { idleTimeoutMs: 2000 } });
    const began = net.now;
    assert.ok(net.run(() => there.closed !== undefined && back.closed !== undefined));
    assert.deepEqual([there.closed?.by, back.closed?.by], ['idle_timeout', 'idle_timeout']);
    assert.ok(net.now - began >= 1900 && net.now - began < 2600, `${net.now - began} ms`);
  });

  it('keep-alive on one side is enough', () => {
    const { net, there, back } = join({ both: { idleTimeoutMs: 2000 }, alice: { keepAliveMs: 700 } });
    net.pass(60_000);
    assert.deepEqual([there.state, back.state], ['open', 'open']);
    assert.ok(there.stats()!.pings > 60);
  });

  it('an idle timeout of 0 is never', () => {
    const { net, there } = join({ both: { idleTimeoutMs: 0 } });
    net.pass(3_600_000);
    assert.equal(there.state, 'open');
  });

  it('an idle endpoint sleeps', () => {
    const { net, alice } = join({ both: { idleTimeoutMs: 0 } });
    net.pass(10_000);
    let wakes = 0;
    const { endpoint } = alice;
    const before = endpoint.handleTimeout.bind(endpoint);
    endpoint.handleTimeout = (now) => {
      wakes++;
      before(now);
    };
    net.pass(60_000);
    assert.ok(wakes <= 2, String(wakes));
  });
});

describe('stateless reset', () => {
  it('an endpoint that came back with its reset key ends the connections of its former life at once', () => {
    const resetKey = pattern(64);
    const { net, alice, bob, there } = join({ bob: { resetKey } });
    net.detach(bob);
    const reborn = net.add('bob', { resetKey });
    reborn.address = bob.address;
    readAll(alice);
    there.open('uni')!.write(pattern(200), true);
    const began = net.now;
    assert.ok(net.run(() => there.closed !== undefined, 5000));
    assert.equal(there.closed?.by, 'stateless_reset');
    assert.ok(net.now - began < 100);
  });

  it('without the key it keeps silent, and the connection times out', () => {
    const { net, bob, there } = join({ both: { idleTimeoutMs: 3000 } });
    net.detach(bob);
    const reborn = net.add('bob');
    reborn.address = bob.address;
    there.open('uni')!.write(pattern(200), true);
    net.pass(10_000);
    assert.equal(there.closed?.by, 'idle_timeout');
  });
});
