import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import type { Message } from '../../src/core/message.ts';
import { P2PError } from '../../src/core/errors.ts';
import { inspect } from '../../src/core/inspect.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { systemRealm, withTrace } from '../../src/runtime/system-realm.ts';
import { parseUdpAddr } from '../../src/net/socket-address.ts';
import { type UdpAddr, openUdpSwarm } from '../../src/swarms/udp.ts';
import { watchLeaks } from '../../src/testing/leaks.ts';

const bind = '127.0.0.1:0';
const next = (swarm: Swarm<UdpAddr>): Promise<Message<UdpAddr>> =>
  new Promise((resolve) => {
    const listening = swarm.listen((message) => {
      listening[Symbol.dispose]();
      resolve(message);
    });
  });

describe('openUdpSwarm', () => {
  it('throws at once for what cannot be bound to', () => {
    for (const wrong of ['localhost:5', '127.0.0.1', '127.0.0.1:', '::1:5', '[127.0.0.1]:5', '', ':5', '1.2.3.4:-1']) {
      assert.throws(() => openUdpSwarm({ bind: wrong }), TypeError, wrong);
    }
    assert.throws(() => openUdpSwarm({ bind: '127.0.0.1:65536' }), RangeError);
    assert.throws(() => openUdpSwarm({ bind: 'localhost:5' }), /hostname; resolve it first/);
    // @ts-expect-error not a string
    assert.throws(() => openUdpSwarm({ bind: 5 }), TypeError);
    // @ts-expect-error not a realm
    for (const realm of [5, {}, null]) assert.throws(() => openUdpSwarm({ bind, realm }), TypeError);
    for (const options of [
      { maxDatagramBytes: 0 },
      { maxDatagramBytes: 65_528 },
      { recvBufferBytes: 0 },
      { maxPendingMessages: 0 },
    ]) {
      assert.throws(() => openUdpSwarm({ bind, ...options }), RangeError);
    }
    assert.throws(() => openUdpSwarm({ bind, maxDatagramBytes: 1.5 }), TypeError);
  });

  it('rejects with in_use naming address and port, and leaves nothing open', async () => {
    const watch = watchLeaks();
    {
      await using first = await openUdpSwarm({ bind });
      const { text } = first.addr;
      await assert.rejects(
        openUdpSwarm({ bind: text }),
        (error) => P2PError.is(error, 'in_use') && error.message.includes(text),
      );
      await assert.rejects(
        openUdpSwarm({ bind: '192.0.2.77:0' }),
        (error) => P2PError.is(error, 'unreachable') && error.message.includes('192.0.2.77:0'),
      );
    }
    assert.deepEqual((await watch.leaks()).resources, []);
  });

  it('gives up with the signal’s reason, and leaves nothing open', async () => {
    const watch = watchLeaks();
    const reason = new Error('given up');
    await assert.rejects(openUdpSwarm({ bind, signal: AbortSignal.abort(reason) }), (error) => error === reason);
    const controller = new AbortController();
    const opening = openUdpSwarm({ bind, signal: controller.signal });
    controller.abort(reason);
    await opening.then(
      (swarm) => swarm.close(),
      (error: unknown) => assert.equal(error, reason),
    );
    assert.deepEqual(await watch.leaks(controller.signal), { resources: [], abortListeners: 0 });
  });
});

describe('UDP swarm', () => {
  it('expands wildcards into one address per interface, all of which can be dialled', async () => {
    for (const wild of ['0.0.0.0:0', '[::]:0']) {
      await using swarm = await openUdpSwarm({ bind: wild });
      await using other = await openUdpSwarm({ bind: '[::]:0' });
      const ipv4 = Object.values(networkInterfaces())
        .flatMap((list) => list ?? [])
        .filter(({ family }) => family === 'IPv4');
      assert.ok(swarm.localAddrs().length >= ipv4.length);
      for (const addr of swarm.localAddrs()) {
        assert.equal(swarm.parseAddr(addr.text).text, addr.text);
        const heard = next(swarm);
        await other.tell(addr, Uint8Array.of(1));
        const { src, dst } = await heard;
        assert.ok(swarm.localAddrs().some(({ text }) => text === dst.text));
        const back = next(other);
        await swarm.tell(src, Uint8Array.of(2));
        assert.deepEqual((await back).payload, Uint8Array.of(2));
      }
    }
  });

  it('takes IPv4, and IPv6 where there is any, without a bind of its own', async () => {
    await using swarm = await openUdpSwarm();
    await using other = await openUdpSwarm();
    const { port } = swarm.addr;
    const hasIpv6 = swarm.localAddrs().some(({ ip }) => ip.includes(':'));
    for (const ip of ['127.0.0.1', ...(hasIpv6 ? ['[::1]'] : [])]) {
      const heard = next(swarm);
      await other.tell(other.parseAddr(`${ip}:${port}`), Uint8Array.of(1));
      assert.equal((await heard).src.text, `${ip}:${other.addr.port}`);
    }
  });

  it('folds IPv4-mapped sources, so that one endpoint has one address', async () => {
    await using both = await openUdpSwarm({ bind: '[::]:0' });
    await using four = await openUdpSwarm({ bind });
    const heard = next(both);
    await four.tell(four.parseAddr(`127.0.0.1:${both.addr.port}`), Uint8Array.of(1));
    assert.equal((await heard).src.text, four.addr.text);
  });

  it('cannot tell the other family from a socket of one', async () => {
    await using four = await openUdpSwarm({ bind });
    await assert.rejects(
      four.tell(four.parseAddr('[::1]:9'), Uint8Array.of(1)),
      (error) => P2PError.is(error, 'unsupported') && error.sent === 'no',
    );
  });

  it('has an MTU of 1232 for both families, by option up to what UDP carries, and receives whatever comes', async () => {
    await using small = await openUdpSwarm({ bind });
    await using large = await openUdpSwarm({ bind, maxDatagramBytes: 65_527 });
    assert.equal(small.mtu(large.addr), 1232);
    assert.equal(small.mtu(small.parseAddr('[::1]:9')), 1232);
    assert.equal(large.mtu(small.addr), 65_507);
    assert.equal(large.mtu(large.parseAddr('[::1]:9')), 65_527);
    const heard = next(small);
    await large.tell(small.addr, new Uint8Array(65_507).fill(7));
    assert.deepEqual((await heard).payload, new Uint8Array(65_507).fill(7));
  });

  it('sends what the buffer held at the call, though it is overwritten at once', async () => {
    await using alice = await openUdpSwarm({ bind, maxDatagramBytes: 9000 });
    await using bob = await openUdpSwarm({ bind });
    const { promise, resolve } = Promise.withResolvers<void>();
    let received = 0;
    let wrong = 0;
    bob.listen(({ payload }) => {
      if (new Set(payload).size !== 1 || payload[0] === 0xee) wrong++;
      if (++received === 3000) resolve();
    });
    const buffer = new Uint8Array(9000);
    for (let i = 0; i < 3000; i++) {
      const payload = buffer.subarray(0, 1 + ((i * 97) % 9000)).fill(i % 200);
      const told = alice.tell(bob.addr, payload);
      // A second tell gives the shared promise when there is one: then the bytes are back already.
      if (told === alice.drain()) buffer.fill(0xee);
      else await told;
      if (i % 20 === 19) await new Promise((done) => void setImmediate(done));
    }
    await promise;
    assert.equal(wrong, 0);
  });

  it('goes on when the socket reports an unreachable port', async () => {
    await using alice = await openUdpSwarm({ bind });
    await using bob = await openUdpSwarm({ bind });
    const gone = await openUdpSwarm({ bind });
    const dst = gone.addr;
    await gone.close();
    for (let i = 0; i < 20; i++) await alice.tell(dst, Uint8Array.of(i));
    const heard = next(bob);
    await alice.tell(bob.addr, Uint8Array.of(1));
    await heard;
  });

  it('counts a datagram that cannot be sent, and goes on', async () => {
    await using alice = await openUdpSwarm({ bind });
    await alice.tell({ ...alice.addr, port: 70_000 }, Uint8Array.of(1));
    assert.equal(alice.counters.drops.get('udp.send_failed'), 1);
  });

  it('takes datagrams from any program', async () => {
    await using bob = await openUdpSwarm({ bind });
    const heard = next(bob);
    const socket = createSocket('udp4');
    socket.send(Buffer.alloc(0), bob.addr.port, '127.0.0.1');
    assert.equal((await heard).payload.length, 0);
    socket.close();
  });

  it('traces its opening and its end, and shows its limits', async () => {
    const events: TraceEvent[] = [];
    const swarm = await openUdpSwarm({ bind, realm: withTrace(systemRealm, (event) => events.push(event)) });
    const { limits, addrs } = inspect(swarm);
    assert.equal(limits['maxDatagramBytes'], 1232);
    assert.ok(Number(limits['recvBufferBytes']) > 0);
    const [addr] = addrs;
    await swarm.close();
    assert.deepEqual(
      events.map(({ type, addr: at }) => `${type} ${at?.text}`),
      [`opened ${addr}`, 'closed undefined'],
    );
  });

  it('leaves nothing behind when closed', async () => {
    const watch = watchLeaks();
    for (let i = 0; i < 20; i++) {
      const swarm = await openUdpSwarm({ bind });
      swarm.listen(() => {});
      await swarm.tell(swarm.addr, Uint8Array.of(1));
      await swarm.close();
    }
    assert.deepEqual((await watch.leaks()).resources, []);
  });
});

describe('parseUdpAddr', () => {
  it('reads back what it writes, and throws TypeError or RangeError for all else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), fc.integer({ min: 0, max: 70_000 }), (host, port) => {
        for (const text of [host, `${host}:${port}`, `[${host}]:${port}`]) {
          try {
            const addr = parseUdpAddr(text);
            assert.equal(parseUdpAddr(addr.text).text, addr.text);
            assert.ok(addr.port > 0 && addr.port < 65_536);
          } catch (error) {
            assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('reusePort', () => {
  it('lets several swarms share a port', async () => {
    await using first = await openUdpSwarm({ bind, reusePort: true });
    await using second = await openUdpSwarm({ bind: first.addr.text, reusePort: true });
    assert.equal(second.addr.text, first.addr.text);
  });
});
