/** Swarms over what was punched: QUIC on the socket that punches, and TCP over a connection that was handed in. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatSocketAddress } from '../../../src/base/ip.ts';
import { punchedTcp, punching, tcpPuncher, udpPuncher } from '../../../src/nat/index.ts';
import type { NatKind } from '../../../src/net/virtual/nat-rules.ts';
import { loadQuicEngine, quic } from '../../../src/swarms/quic/index.ts';
import { openTcpSwarm } from '../../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../../src/swarms/udp.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { PunchWorld } from '../../support/punch-world.ts';
import { reading } from '../../support/virtual-world.ts';

describe('QUIC over a socket that punches', () => {
  async function end(w: PunchWorld, kind: NatKind, key: number) {
    const nat = w.world.net.nat(kind, { portRange: [40_000, 41_000] });
    const host = w.world.net.host({ behind: nat });
    const { realm } = host;
    const network = punching(host.network);
    const udp = await w.run(openUdpSwarm({ network, realm, bind: '0.0.0.0:4000' }));
    const swarm = quic(udp, { privateKey: testKey(key) });
    const heard: number[] = [];
    swarm.listen(({ payload }) => void heard.push(payload.length));
    swarm.serve(({ payload }) => payload);
    const puncher = udpPuncher({ network, realm, port: 4000, observers: () => w.observers });
    return { nat, host, network, swarm, puncher, heard };
  }

  for (const [a, b] of [
    ['port', 'port'],
    ['random', 'port'],
    ['port', 'random'],
  ] as const) {
    it(`from ${a} to ${b}: a session is dialled through the hole, by either side`, async () => {
      await loadQuicEngine();
      const w = new PunchWorld({ seed: 5 });
      await w.observe();
      const [left, right] = [await end(w, a, 1), await end(w, b, 2)];
      const [own, theirs] = await w.run(Promise.all([left.puncher.offer(), right.puncher.offer()]));
      const punches = [
        left.puncher.punch(own, theirs, { side: 'initiator', proven: [right.nat.ip] }),
        right.puncher.punch(theirs, own, { side: 'responder', proven: [left.nat.ip] }),
      ];
      const [path] = await w.run(Promise.all(punches));
      const to = `${right.swarm.addr.id}@${formatSocketAddress(path!.remote.ip, path!.remote.port)}`;
      const answer = await w.run(left.swarm.ask(to, new Uint8Array(20_000)));
      assert.equal(answer.length, 20_000);
      await w.run(Promise.all([left.swarm.close(), right.swarm.close()]));
      for (const { network } of [left, right]) assert.throws(() => network.socketAt(4000), RangeError);
    });
  }
});

describe('a TCP swarm over an adopted connection', () => {
  async function end(w: PunchWorld, kind: NatKind, key: number) {
    const nat = w.world.net.nat(kind);
    const host = w.world.net.host({ behind: nat });
    const { realm } = host;
    const network = punchedTcp({ network: host.network, realm });
    const swarm = await w.run(openTcpSwarm({ privateKey: testKey(key), network, realm, bind: '0.0.0.0:4000' }));
    const heard: number[] = [];
    swarm.listen(({ payload }) => void heard.push(payload.length));
    const puncher = tcpPuncher({ network, realm, observers: () => w.observers });
    return { nat, host, network, swarm, puncher, heard };
  }

  async function punched(w: PunchWorld) {
    await w.observe();
    const [left, right] = [await end(w, 'port', 1), await end(w, 'port', 2)];
    const [own, theirs] = await w.run(Promise.all([left.puncher.offer(), right.puncher.offer()]));
    const [near, far] = await w.run(
      Promise.all([
        left.puncher.punch(own, theirs, { side: 'initiator' }),
        right.puncher.punch(theirs, own, { side: 'responder' }),
      ]),
    );
    return { left, right, near, far };
  }

  it('the initiator dials and gets it, the responder takes it in: messages go both ways', async () => {
    const w = new PunchWorld();
    const { left, right, near, far } = await punched(w);
    assert.equal(right.network.adopt(far.remote, far.connection, 'responder'), true);
    assert.equal(left.network.adopt(near.remote, near.connection, 'initiator'), true);
    const { ip, port } = near.remote;
    await w.run(left.swarm.tell(`${right.swarm.addr.id}@${formatSocketAddress(ip, port)}`, new Uint8Array(50_000)));
    await w.world.advance(2000);
    assert.deepEqual(right.heard, [50_000]);
    await w.run(
      right.swarm.tell(
        `${left.swarm.addr.id}@${formatSocketAddress(far.remote.ip, far.remote.port)}`,
        new Uint8Array(7),
      ),
    );
    await w.world.advance(2000);
    assert.deepEqual(left.heard, [7]);
    await w.run(Promise.all([left.swarm.close(), right.swarm.close()]));
  });

  it('what nobody dials is closed after ten seconds, and without a listener at once', async () => {
    const w = new PunchWorld();
    const { left, right, near, far } = await punched(w);
    assert.equal(left.network.adopt(near.remote, near.connection, 'initiator'), true);
    const heard = reading(far.connection);
    await w.world.advance(9000);
    assert.equal(heard.end, undefined);
    await w.world.advance(2000);
    assert.ok(heard.end !== undefined);
    await w.run(right.swarm.close());
    assert.equal(right.network.adopt(far.remote, far.connection, 'responder'), false);
    await w.run(left.swarm.close());
  });
});
