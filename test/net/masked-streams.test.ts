/** TCP connections that look random: the contract of networks, the suites of the TCP swarm, and what strangers see. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes, encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { Network, RawConnection } from '../../src/net/network.ts';
import { maskStreams } from '../../src/net/mask-streams.ts';
import { MaskedPipe } from '../../src/net/masked-pipe.ts';
import type { Pipe } from '../../src/net/pipe.ts';
import { createVirtualInternet } from '../../src/net/virtual/internet.ts';
import { StreamMasker } from '../../src/protocols/mask/stream.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { tcpAddr } from '../../src/swarms/tcp/address.ts';
import type { TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { askSuite, secureSuite, type SuiteFixture, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { flatNetwork } from '../support/flat-network.ts';
import { pause } from '../support/nat-probe.ts';
import { networkContract } from '../support/network-contract.ts';
import { tcpWorld } from '../support/tcp-world.ts';
import { chiSquaredOf, entropyOf, popcountOf, printableOf } from '../protocols/mask/statistics.ts';

const key = new Uint8Array(32).fill(0x6b);
const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);

for (const latencyMs of [0, 40]) {
  networkContract({ describe, it }, `masked virtual network, ${latencyMs} ms`, () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const net = createVirtualInternet({ realm, latencyMs, ipv6: true });
    const [near, far] = [net.host(), net.host()];
    const masked = ({ network }: { readonly network: Network }): Network => maskStreams({ key, network, realm });
    return {
      near: masked(near),
      far: masked(far),
      nearIp: near.ip,
      farIp: far.ip,
      run: (promise) => realm.clock.run(promise),
      tick: () => pause(realm, 10),
    };
  });
}

function fixture(security: 'tls' | 'noise'): SuiteFixture<TcpSwarm> {
  return {
    features: { flowControlled: true, manyMessages: 500, maxTriedBytes: 300_000, settleMs: 2000 },
    make: async (n) => {
      const { realm, open } = tcpWorld();
      const swarms: TcpSwarm[] = [];
      for (let i = 0; i < n; i++) swarms.push(await open(i, `10.0.0.${i + 1}`, { security, mask: { key } }));
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        unknownAddr: () => tcpAddr(idOf(77), { ip: '10.0.0.99', port: 4000 }),
        wrongAddr: (index) => tcpAddr(idOf(78), swarms[index]!.addr.inner),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(swarms.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

for (const suite of [swarmSuite, askSuite, secureSuite])
  suite({ describe, it }, 'masked tcp over Noise', fixture('noise'));
swarmSuite({ describe, it }, 'masked tcp over TLS', fixture('tls'));

/** A network that remembers the bytes that pass in each direction of its connections. */
function tapped(network: Network, sent: Uint8Array[][]): Network {
  return {
    ...bound(network),
    dial: async (options) => {
      const connection = await network.dial(options);
      const out: Uint8Array[] = [];
      sent.push(out);
      const { pipe } = connection;
      const write = pipe.write.bind(pipe);
      pipe.write = (pieces, done) => {
        for (const piece of pieces) out.push(piece.slice());
        write(pieces, done);
      };
      return connection;
    },
  };
}

function bound(network: Network): Network {
  return {
    dial: (options) => network.dial(options),
    listen: (options) => network.listen(options),
    bindUdp: (options) => network.bindUdp(options),
    interfaces: () => network.interfaces(),
    onInterfacesChanged: (listener) => network.onInterfacesChanged(listener),
  };
}

describe('masked TCP connections', () => {
  for (const security of ['tls', 'noise'] as const) {
    it(`look random from their first byte on: the handshake of ${security} and what follows`, async () => {
      const sent: Uint8Array[][] = [];
      const { realm, network, open } = tcpWorld();
      const a = await open(1, '10.0.0.1', {
        security,
        mask: { key },
        network: tapped(network.host('10.0.0.1'), sent),
      });
      const b = await open(2, '10.0.0.2', { security, mask: { key } });
      b.serve(() => new Uint8Array(10));
      for (let i = 0; i < 50; i++) await realm.clock.run(a.ask(b.addr, new Uint8Array(3000)));
      const bytes = concatBytes(...sent[0]!);
      assert.ok(bytes.length > 150_000);
      assert.ok(entropyOf(bytes) > 7.99);
      assert.ok(Math.abs(popcountOf(bytes) - 4) < 0.02);
      assert.ok(Math.abs(printableOf(bytes) - 95 / 256) < 0.02);
      assert.ok(Math.abs(chiSquaredOf(bytes) - 255) < 115);
      const first = concatBytes(...sent[0]!.slice(0, 2));
      // A TLS record begins with 22, 3, 1; 32 random bytes and a sealed length are before it now.
      assert.ok(entropyOf(first.subarray(0, 256)) > 6.5);
      await realm.clock.run(Promise.all([a.close(), b.close()]));
    });
  }

  it('with another key, or without a mask on one side, no connection comes about; both sides see only time pass', async () => {
    for (const mask of [undefined, { key: new Uint8Array(32) }]) {
      const { realm, open } = tcpWorld();
      const a = await open(1, '10.0.0.1', mask === undefined ? {} : { mask });
      const b = await open(2, '10.0.0.2', { mask: { key } });
      await assert.rejects(realm.clock.run(a.ask(b.addr, Uint8Array.of(1))), (error) => P2PError.is(error));
      await assert.rejects(realm.clock.run(b.ask(a.addr, Uint8Array.of(1))), (error) => P2PError.is(error));
      await realm.clock.run(Promise.all([a.close(), b.close()]));
    }
  });

  it('a stranger who sends anything hears nothing, sees no byte at which it ends, and holds a place for five seconds', async () => {
    const { realm, network, open } = tcpWorld();
    const b = await open(2, '10.0.0.2', { mask: { key } });
    for (const bytes of [
      encodeText('GET / HTTP/1.1\r\n\r\n'),
      new Uint8Array(51),
      new Uint8Array(52),
      new Uint8Array(100_000),
    ]) {
      const startMs = realm.nowMs();
      const connection = await realm.clock.run(
        network.host('10.0.0.9').dial({ remote: b.addr.inner, signal: new AbortController().signal }),
      );
      const heard: Uint8Array[] = [];
      const closed = Promise.withResolvers<void>();
      connection.pipe.sink = {
        onData: (chunk) => void heard.push(chunk),
        onEnd: () => connection.pipe.end(),
        onClose: () => closed.resolve(),
      };
      connection.pipe.resume();
      connection.pipe.write([bytes], () => undefined);
      await realm.clock.run(closed.promise);
      assert.deepEqual([heard.length, realm.nowMs() - startMs], [0, 5000]);
    }
    await realm.clock.run(b.close());
  });

  it('bytes that are changed on the way end a connection of peers with an error', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const flat = flatNetwork({ realm });
    const [near, far] = [flat.host('10.0.0.1'), flat.host('10.0.0.2')];
    let changing = false;
    const changer: Network = {
      ...bound(near),
      dial: async (options) => {
        const connection = await near.dial(options);
        const { pipe } = connection;
        const write = pipe.write.bind(pipe);
        pipe.write = (pieces, done) => {
          if (changing) pieces[0]![5]! ^= 1;
          write(pieces, done);
        };
        return connection;
      },
    };
    const accepted = Promise.withResolvers<RawConnection>();
    const remote = { ip: '10.0.0.2', port: 5000 };
    await maskStreams({ key, network: far, realm }).listen({
      bind: remote,
      backlog: 1,
      reusePort: false,
      onError: () => undefined,
      onConnection: accepted.resolve,
    });
    const dialled = await realm.clock.run(
      maskStreams({ key, network: changer, realm }).dial({ remote, signal: new AbortController().signal }),
    );
    const { pipe } = await accepted.promise;
    const said: string[] = [];
    pipe.sink = {
      onData: (chunk) => void said.push(String(chunk)),
      onEnd: () => void said.push('end'),
      onClose: (error) => void said.push(error?.message ?? 'closed'),
    };
    pipe.resume();
    dialled.pipe.write([Uint8Array.of(1)], () => undefined);
    await realm.clock.advance(10);
    changing = true;
    dialled.pipe.write([Uint8Array.of(2)], () => undefined);
    await realm.clock.advance(10);
    assert.deepEqual(said, ['1', 'Cannot unmask: the stream was changed on its way']);
  });

  it('a peer that sends very small frames does not hold a turn: about 512 are opened in one, and none is lost', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    let isPaused = false;
    const inner: Pipe = {
      sink: undefined,
      wireReceived: 0,
      wireSent: 0,
      releases: true,
      unsentBytes: 0,
      write: (_pieces, done) => done(),
      pause: () => (isPaused = true),
      resume: () => (isPaused = false),
      unshift: () => undefined,
      end: () => undefined,
      destroy: () => undefined,
    };
    const pipe = new MaskedPipe(inner, key, 'responder', realm);
    let bytes = 0;
    pipe.sink = {
      onData: (chunk) => (bytes += chunk.length),
      onEnd: () => undefined,
      onClose: () => undefined,
    };
    pipe.resume();
    await realm.clock.advance(0);
    const masker = new StreamMasker(key, 'initiator', (length) => realm.random(length));
    inner.sink!.onData(concatBytes(...Array.from({ length: 3000 }, () => masker.seal([Uint8Array.of(7)])).flat()));
    assert.deepEqual([bytes, isPaused], [513, true]);
    await realm.clock.advance(1);
    assert.deepEqual([bytes, isPaused], [3000, false]);
  });

  it('a key is 32 bytes, and no message quotes it', () => {
    const bad = 'f00d'.repeat(16) as unknown as Uint8Array;
    const isQuiet = (error: Error): boolean => /Cannot take key/.test(error.message) && !error.message.includes('f00d');
    assert.throws(() => maskStreams({ key: bad }), isQuiet);
    assert.throws(() => maskStreams({ key: new Uint8Array(16) }), RangeError);
    assert.throws(() => maskStreams(undefined as never), TypeError);
    assert.throws(() => maskStreams({ key, network: {} as never }), TypeError);
  });
});
