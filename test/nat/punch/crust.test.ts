/** What crust and its crate p2p did to get through NATs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatSocketAddress } from '../../../src/base/ip.ts';
import { punching, tcpPuncher, udpPuncher } from '../../../src/nat/index.ts';
import { loadQuicEngine, quic } from '../../../src/swarms/quic/index.ts';
import { openUdpSwarm } from '../../../src/swarms/udp.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { PunchWorld } from '../../support/punch-world.ts';
import { reading, saying } from '../../support/virtual-world.ts';

async function world(): Promise<PunchWorld> {
  const w = new PunchWorld();
  await w.observe();
  return w;
}

describe('as with crust', () => {
  it('two peers behind NATs punch a hole over UDP, and only who has the secret of the offer gets an answer', async () => {
    const w = await world();
    const [left, right] = [await w.behind('port'), await w.behind('port')];
    const punched = await w.punch(left, right);
    assert.notDeepEqual(punched.offers[0].token, punched.offers[1].token);
    assert.ok(await w.talks(left, right, punched));
  });

  it('two peers behind NATs meet over TCP at a rendezvous, with one connection between them', async () => {
    const w = await world();
    const [left, right] = [0, 1].map(() => {
      const { network, realm } = w.world.net.host({ behind: w.world.net.nat('port') });
      return tcpPuncher({ network, realm, observers: () => w.observers });
    });
    const [own, theirs] = await w.run(Promise.all([left!.offer(), right!.offer()]));
    const [near, far] = await w.run(
      Promise.all([left!.punch(own, theirs, { side: 'initiator' }), right!.punch(theirs, own, { side: 'responder' })]),
    );
    const heard = reading(far.connection);
    saying(near.connection, 'hello');
    await w.world.advance(100);
    assert.equal(heard.text, 'hello');
  });

  it('a reliable stream runs over the socket that was punched', async () => {
    await loadQuicEngine();
    const w = await world();
    const [left, right] = await Promise.all(
      [1, 2].map(async (key) => {
        const nat = w.world.net.nat('port');
        const { network: below, realm } = w.world.net.host({ behind: nat });
        const network = punching(below);
        const swarm = quic(await w.run(openUdpSwarm({ network, realm, bind: '0.0.0.0:4000' })), {
          privateKey: testKey(key),
        });
        swarm.serve(({ payload }) => payload);
        return { swarm, puncher: udpPuncher({ network, realm, port: 4000, observers: () => w.observers }) };
      }),
    );
    const [own, theirs] = await w.run(Promise.all([left!.puncher.offer(), right!.puncher.offer()]));
    const [path] = await w.run(
      Promise.all([
        left!.puncher.punch(own, theirs, { side: 'initiator' }),
        right!.puncher.punch(theirs, own, { side: 'responder' }),
      ]),
    );
    const to = `${right!.swarm.addr.id}@${formatSocketAddress(path.remote.ip, path.remote.port)}`;
    assert.equal((await w.run(left!.swarm.ask(to, new Uint8Array(200_000)))).length, 200_000);
    await w.run(Promise.all([left!.swarm.close(), right!.swarm.close()]));
  });

  it('the kind of a NAT is found: one port for all, one after the other, random, or not known', async () => {
    const w = await world();
    for (const [kind, ports] of [
      ['full', 'steady'],
      ['address', 'steady'],
      ['port', 'steady'],
      ['sequential', 'sequential'],
      ['random', 'random'],
      ['udp-blocked', 'unknown'],
    ] as const) {
      const { puncher } = await w.behind(kind);
      assert.equal((await w.run(puncher.offer())).ports, ports, kind);
    }
  });

  it('the ports of a NAT that counts are predicted, with its step', async () => {
    const w = await world();
    const [left, right] = [await w.behind('sequential'), await w.behind('sequential')];
    const punched = await w.punch(left, right);
    assert.equal(punched.offers[0].next?.delta, 1);
    assert.ok(punched.paths[1].remote.port - (punched.offers[0].next?.port ?? 0) < 8);
    assert.ok(await w.talks(left, right, punched));
  });

  it('one side that can be reached is enough, whatever NAT the other one has', async () => {
    const w = await world();
    for (const kind of ['port', 'sequential', 'random'] as const) {
      const [left, right] = [await w.behind(kind), await w.place(undefined)];
      const punched = await w.punch(left, right);
      assert.ok(await w.talks(left, right, punched), kind);
    }
  });
});
