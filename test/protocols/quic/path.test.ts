import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { join, pattern, readAll, text, writeAll } from './network.ts';

describe('migration', () => {
  it('NAT rebinding: the server follows a client whose address changes under it', () => {
    const { net, alice, bob, there, back } = join();
    readAll(bob);
    const old = alice.address;
    alice.address = 555;
    there.open('uni')!.write(text('still here'), true);
    net.pass(500);
    assert.deepEqual(
      bob.all('path_changed').map(({ connection, previous }) => [connection, previous]),
      [[back, old]],
    );
    assert.equal(back.address, 555);
    const got = readAll(alice);
    back.open('uni')!.write(text('so I see'), true);
    net.pass(500);
    assert.equal([...got.values()][0]?.bytes.toString(), 'so I see');
  });

  it('rebind moves to a new connection id and tells the server by itself', () => {
    const { net, alice, bob, there, back } = join();
    net.pass(500);
    alice.address = 555;
    there.rebind();
    net.pass(500);
    assert.equal(back.address, 555);
    assert.equal(there.state, 'open');
    assert.equal(bob.all('path_changed').length, 1);
  });

  it('a large transfer survives moves in its midst', () => {
    const { net, alice, bob, there } = join();
    const got = readAll(bob);
    const big = pattern(2_000_000);
    writeAll(alice, there.open('uni')!, big);
    for (let move = 1; move <= 4; move++) {
      net.pass(120);
      alice.address = 500 + move;
    }
    assert.ok(net.run(() => [...got.values()].some(({ length }) => length === big.length)));
    assert.ok(Buffer.from(big).equals([...got.values()][0]!.bytes));
  });

  it('where it is forbidden, packets from elsewhere are dropped', () => {
    const { net, alice, bob, there, back } = join({ bob: { migration: false } });
    const old = alice.address;
    alice.address = 555;
    there.open('uni')!.write(text('hello?'), true);
    net.pass(500);
    assert.equal(back.address, old);
    assert.equal(bob.saw('stream'), undefined);
  });

  it('a third party that replays packets from its own address does not take the connection over', () => {
    const { net, alice, bob, there, back } = join();
    readAll(bob);
    const copies: Uint8Array[] = [];
    net.tap = (flight) => {
      if (flight.from === alice.address) copies.push(flight.bytes);
      return flight;
    };
    there.open('uni')!.write(text('one'), true);
    net.pass(300);
    for (const bytes of copies) net.send(666, bob.address, bytes);
    net.pass(300);
    there.open('uni')!.write(text('two'), true);
    net.pass(3000);
    assert.equal(back.address, alice.address);
    assert.equal(bob.all('stream').length, 2);
  });

  it('connections retain the addresses they use and release them at the end', () => {
    const uses = new Map<number, number>();
    const count = (address: number, by: number): void => void uses.set(address, (uses.get(address) ?? 0) + by);
    const addresses = { retain: (a: number) => count(a, 1), release: (a: number) => count(a, -1) };
    const { net, alice, there } = join({ bob: { addresses } });
    const old = alice.address;
    assert.deepEqual([...uses], [[old, 1]]);
    alice.address = 555;
    there.ping();
    net.pass(300);
    assert.deepEqual([uses.get(old), uses.get(555)], [0, 1]);
    there.close();
    net.pass(5000);
    assert.deepEqual([uses.get(old), uses.get(555)], [0, 0]);
  });
});

describe('MTU', () => {
  it('discovery finds what the path carries, up to the limit', () => {
    for (const [maxBytes, limit, found] of [
      [65_535, 9000, [9000, 9000]],
      [8000, 9000, [7900, 8000]],
      [1400, 9000, [1380, 1400]],
      [65_535, 1452, [1452, 1452]],
      [65_535, 1200, [1200, 1200]],
    ] as const) {
      const { net, alice, there } = join({ link: { maxBytes }, both: { maxMtuBytes: limit } });
      net.pass(20_000);
      const { mtuBytes } = there;
      assert.ok(mtuBytes >= found[0] && mtuBytes <= found[1], `${mtuBytes} on a path of ${maxBytes}`);
      assert.equal(there.stats()!.mtuBytes, mtuBytes);
      assert.equal(alice.saw('mtu_changed') !== undefined, limit > 1200);
    }
  });

  it('discovery in a narrow range takes one probe of each side where the path carries the limit, and finds the middle elsewhere', () => {
    for (const [maxBytes, found, probes] of [
      [65_535, 1452, 1],
      [1400, 1325, 4],
    ] as const) {
      const { net, there } = join({ link: { maxBytes }, both: { maxMtuBytes: 1452 } });
      net.pass(20_000);
      assert.deepEqual([there.mtuBytes, there.stats()!.sentMtuProbes], [found, probes]);
    }
  });

  it('a path that stops carrying large datagrams is noticed, and the transfer goes on', () => {
    const { net, alice, bob, there } = join({ both: { maxMtuBytes: 9000, idleTimeoutMs: 0 } });
    net.pass(5000);
    assert.equal(there.mtuBytes, 9000);
    const got = readAll(bob);
    net.link = { ...net.link, maxBytes: 1300 };
    const big = pattern(300_000);
    writeAll(alice, there.open('uni')!, big);
    assert.ok(net.run(() => [...got.values()].some(({ length }) => length === big.length), 120_000));
    assert.ok(there.stats()!.blackHoles >= 1);
    assert.ok(there.mtuBytes <= 1300);
  });

  it('first packets of the size that the caller vouches for', () => {
    const { net, bob, there } = join({ both: { initialMtuBytes: 9000, maxMtuBytes: 9000 } });
    readAll(bob);
    assert.equal(there.mtuBytes, 9000);
    there.open('uni')!.write(pattern(50_000), true);
    net.pass(50);
    assert.ok(net.sent.some(({ bytes }) => bytes.length > 8900));
    const small = join({ both: { initialMtuBytes: 1200, maxMtuBytes: 1200 } });
    small.net.pass(2000);
    assert.ok(small.net.sent.every(({ bytes }) => bytes.length <= 1200));
  });
});

describe('keys', () => {
  it('updates go through in the midst of traffic, from either side', () => {
    const { net, alice, bob, there, back } = join();
    const got = readAll(bob);
    const big = pattern(1_000_000);
    writeAll(alice, there.open('uni')!, big);
    for (let i = 0; i < 5; i++) {
      net.pass(40);
      there.updateKeys();
      net.pass(40);
      back.updateKeys();
    }
    assert.ok(net.run(() => [...got.values()].some(({ length }) => length === big.length)));
    assert.ok(Buffer.from(big).equals([...got.values()][0]!.bytes));
    assert.deepEqual([there.state, back.state], ['open', 'open']);
  });
});

describe('statistics', () => {
  it('round-trip time, window, losses and bytes are those of the path', () => {
    const { net, alice, bob, there, back } = join({ link: { latencyMs: 40, loss: 0.03 }, seed: 8 });
    const got = readAll(bob);
    const big = pattern(500_000);
    writeAll(alice, there.open('uni')!, big);
    assert.ok(net.run(() => [...got.values()].some(({ length }) => length === big.length)));
    const stats = there.stats()!;
    assert.ok(stats.rttMs >= 80 && stats.rttMs < 130, `rtt ${stats.rttMs}`);
    assert.equal(Math.round(stats.minRttMs), 80);
    assert.ok(stats.lostPackets > 5 && stats.lostBytes > 5000 && stats.congestionEvents > 0);
    assert.ok(stats.congestionWindowBytes > 2400);
    assert.ok(stats.sentBytes > 500_000 && stats.sentBytes < 700_000, `sent ${stats.sentBytes}`);
    const received = back.stats()!;
    assert.ok(received.receivedBytes > 500_000 && received.receivedBytes < stats.sentBytes);
  });

  it('CUBIC: the window grows without loss and shrinks with it', () => {
    const { net, alice, bob, there } = join();
    readAll(bob);
    const small = there.stats()!.congestionWindowBytes;
    writeAll(alice, there.open('uni')!, pattern(10_000_000));
    net.pass(60);
    const large = there.stats()!.congestionWindowBytes;
    assert.ok(large > 3 * small, `${small} to ${large}`);
    net.link = { ...net.link, loss: 0.1 };
    net.pass(100);
    const shrunk = there.stats()!.congestionWindowBytes;
    assert.ok(shrunk < large / 2, `${large} to ${shrunk}`);
  });
});
