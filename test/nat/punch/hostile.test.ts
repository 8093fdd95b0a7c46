/** Punchers among liars: victims that are named, tokens that are guessed, probes that are copied, floods. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SocketAddress } from '../../../src/base/ip.ts';
import { P2PError } from '../../../src/core/errors.ts';
import type { PunchOffer, PunchPorts } from '../../../src/nat/index.ts';
import type { VirtualHost } from '../../../src/net/virtual/types.ts';
import { PunchCodec } from '../../../src/protocols/punch/message.ts';
import { encodeStun } from '../../../src/protocols/stun/message.ts';
import { STUN_BINDING, STUN_ATTRIBUTE } from '../../../src/protocols/stun/constants.ts';
import { encodeXorAddress } from '../../../src/protocols/stun/attributes.ts';
import { type PunchHost, PunchWorld } from '../../support/punch-world.ts';

const token = (fill: number): PunchOffer['token'] => new Uint8Array(16).fill(fill);

/** Counts what arrives at a host, on all ports that are named. */
async function countAt(
  w: PunchWorld,
  host: VirtualHost,
  ports: readonly number[],
): Promise<{ datagrams: number; bytes: number }> {
  const got = { datagrams: 0, bytes: 0 };
  for (const port of ports) {
    const { socket } = await w.world.ear(host, port);
    socket.sink = {
      onDatagram: (payload) => {
        got.datagrams++;
        got.bytes += payload.length;
      },
    };
  }
  return got;
}

async function fooled(
  w: PunchWorld,
  at: PunchHost,
  addrs: readonly SocketAddress[],
  ports: PunchPorts,
  next?: PunchOffer['next'],
): Promise<void> {
  const own = await w.run(at.puncher.offer());
  const theirs = { token: token(9), addrs, ports, next };
  await assert.rejects(w.run(at.puncher.punch(own, theirs, { side: 'responder' })), P2PError);
}

describe('an offer that names a victim', () => {
  it('gets it ten probes and 560 bytes, however many of its ports are named', async () => {
    for (const [ports, next] of [
      ['steady', undefined],
      ['random', undefined],
      ['sequential', { port: 5000, delta: 1 }],
      ['unknown', undefined],
    ] as const) {
      for (const own of ['port', 'random'] as const) {
        const w = new PunchWorld();
        await w.observe();
        const host = await w.behind(own);
        const victim = w.world.net.host({ ip: '12.0.0.7' });
        const named = Array.from({ length: 8 }, (_, i) => 5000 + i);
        const got = await countAt(w, victim, named);
        await fooled(
          w,
          host,
          named.map((port) => ({ ip: '12.0.0.7', port })),
          ports,
          next,
        );
        assert.ok(
          got.datagrams <= 10 && got.bytes <= 560,
          `${ports} from ${own}: ${got.datagrams} probes, ${got.bytes} bytes`,
        );
        const unheard = [...victim.counters.drops.values()].reduce((sum, one) => sum + one, 0);
        assert.ok(got.datagrams + unheard <= 10, `${unheard} more`);
      }
    }
  });

  it('is refused for services, groups, broadcast, loopback, and private networks elsewhere', async () => {
    const w = new PunchWorld();
    await w.observe();
    const host = await w.behind('port');
    const before = host.nat!.mappings;
    for (const [ip, port] of [
      ['12.0.0.7', 53],
      ['239.1.2.3', 5000],
      ['255.255.255.255', 5000],
      ['0.0.0.0', 5000],
      ['127.0.0.1', 5000],
      ['10.1.2.3', 5000],
      ['192.168.77.3', 5000],
      ['100.64.0.1', 5000],
      ['169.254.1.1', 5000],
    ] as const) {
      const own = await w.run(host.puncher.offer());
      const sent = host.host.counters.sent;
      const punch = host.puncher.punch(
        own,
        { token: token(1), addrs: [{ ip, port }], ports: 'steady' },
        { side: 'initiator' },
      );
      await assert.rejects(w.run(punch), (error) => P2PError.is(error, 'unreachable'));
      assert.equal(host.host.counters.sent, sent, ip);
    }
    assert.ok(host.nat!.mappings <= before + 1);
  });

  it('is not searched for random ports unless its IP is proven', async () => {
    const w = new PunchWorld();
    await w.observe();
    const [left, right] = [await w.behind('port'), await w.behind('random')];
    const before = left.host.counters.sent;
    await assert.rejects(w.punch(left, right, { proven: false }), /no IP is proven/);
    assert.ok(left.host.counters.sent - before <= 15);
  });
});

describe('messages of others', () => {
  /** A puncher that waits for its peer, and somebody who sends to it. */
  async function waiting() {
    const w = new PunchWorld();
    await w.observe();
    const host = await w.place(undefined);
    const own = await w.run(host.puncher.offer());
    const theirs: PunchOffer = { token: token(2), addrs: [{ ip: '12.0.0.7', port: 5000 }], ports: 'steady' };
    const attacker = await w.world.ear(w.world.net.host({ ip: '12.0.0.66' }), 6000);
    let state = 'waits';
    const punch = host.puncher.punch(own, theirs, { side: 'responder' });
    punch.then(
      () => (state = 'punched'),
      () => (state = 'failed'),
    );
    const to = { ip: host.host.ip, port: 4000 };
    return { w, host, own, theirs, attacker, to, state: () => state };
  }

  it('with guessed tokens are counted, and answered by nothing', async () => {
    const { w, host, own, theirs, attacker, to, state } = await waiting();
    let answered = 0;
    attacker.socket.sink = { onDatagram: () => answered++ };
    for (let i = 0; i < 200; i++) {
      // It knows one of the two tokens.
      const codec = new PunchCodec(token(10 + (i % 200)), own.token, 'initiator');
      for (const kind of ['probe', 'choose'] as const)
        attacker.socket.send(codec.encode(kind, new Uint8Array(12).fill(i)), to.ip, to.port);
    }
    // The name of the punch is no secret, the tags are.
    const right = new PunchCodec(theirs.token, own.token, 'initiator');
    const bytes = right.encode('probe', new Uint8Array(12));
    for (let i = 1; i <= 100; i++) {
      const forged = encodeStun({
        class: 'indication',
        method: STUN_BINDING,
        transactionId: new Uint8Array(12).fill(i),
        attributes: [{ type: 0xdb02, value: bytes.slice(24, 45) }],
      });
      attacker.socket.send(forged, to.ip, to.port);
    }
    await w.world.advance(1000);
    assert.equal(answered, 0);
    assert.equal(state(), 'waits');
    assert.ok((host.puncher.counters.drops.get('punch.forged') ?? 0) >= 100);
    assert.ok((host.puncher.counters.drops.get('punch.unknown') ?? 0) >= 390);
  });

  it('a flood of them is checked at a bounded rate, and the peer still gets through', async () => {
    const { w, host, own, theirs, attacker, to, state } = await waiting();
    const peer = await w.world.ear(w.world.net.host({ ip: '12.0.0.7' }), 5000);
    const codec = new PunchCodec(theirs.token, own.token, 'initiator');
    const bytes = codec.encode('probe', new Uint8Array(12));
    const forged = encodeStun({
      class: 'indication',
      method: STUN_BINDING,
      transactionId: new Uint8Array(12).fill(7),
      attributes: [{ type: 0xdb02, value: bytes.slice(24, 45) }],
    });
    for (let i = 0; i < 20_000; i++) attacker.socket.send(forged, to.ip, to.port);
    await w.world.advance(50);
    assert.ok((host.puncher.counters.drops.get('punch.too_many') ?? 0) > 19_000);
    let answers = 0;
    peer.socket.sink = { onDatagram: () => answers++ };
    peer.socket.send(codec.encode('probe', new Uint8Array(12).fill(1)), to.ip, to.port);
    await w.world.advance(100);
    assert.ok(answers > 0);
    assert.equal(state(), 'waits');
  });

  it('a probe that is copied and sent from elsewhere gets one answer, no more, and becomes no path', async () => {
    const { w, host, own, theirs, attacker, to, state } = await waiting();
    const got: number[] = [];
    attacker.socket.sink = { onDatagram: (payload) => void got.push(payload.length) };
    const codec = new PunchCodec(theirs.token, own.token, 'initiator');
    const copies = [
      codec.encode('probe', new Uint8Array(12).fill(1)),
      codec.encode('choose', new Uint8Array(12).fill(2)),
    ];
    // The copies come before the originals do: the attacker is faster than the peer.
    for (let i = 0; i < 50; i++) for (const copy of copies) attacker.socket.send(copy, to.ip, to.port);
    await w.world.advance(4000);
    assert.equal(state(), 'waits');
    // One answer, and probes of our own that nobody answers.
    assert.ok(got.length <= 11, `${got.length} datagrams`);
    assert.ok((host.puncher.counters.drops.get('punch.replayed') ?? 0) >= 98);
    await w.world.advance(10_000);
    assert.equal(state(), 'failed');
  });
});

describe('observers that lie', () => {
  it('one of three changes nothing', async () => {
    const w = new PunchWorld();
    await w.observe(2);
    const lying = w.world.net.host();
    const { socket } = await w.world.ear(lying, 3478);
    socket.sink = {
      onDatagram: (payload, ip, port) => {
        const transactionId = payload.slice(8, 20);
        const attributes = [
          {
            type: STUN_ATTRIBUTE.XOR_MAPPED_ADDRESS,
            value: encodeXorAddress({ ip: '12.0.0.7', port: 5000 }, transactionId),
          },
        ];
        socket.send(encodeStun({ class: 'success', method: STUN_BINDING, transactionId, attributes }), ip, port);
      },
    };
    w.observers = [{ ip: lying.ip, port: 3478 }, ...w.observers];
    const [left, right] = [await w.behind('port'), await w.behind('port')];
    const { offers, paths } = await w.punch(left, right);
    assert.deepEqual([offers[0].ports, offers[0].addrs[0]], ['steady', { ip: left.nat!.ip, port: 4000 }]);
    assert.equal(paths[1].remote.ip, left.nat!.ip);
  });
});
