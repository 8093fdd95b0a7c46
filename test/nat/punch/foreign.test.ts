/** A puncher that somebody else has written does what ours does where ports are steady, on the same sockets. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { observing, punching } from '../../../src/nat/index.ts';
import type { NatKind } from '../../../src/net/virtual/nat-rules.ts';
import { openUdpSwarm } from '../../../src/swarms/udp.ts';
import { foreignPuncher } from '../../support/foreign-puncher.ts';
import { PunchWorld } from '../../support/punch-world.ts';

const STEADY: readonly NatKind[] = ['open', 'full', 'address', 'port'];

describe('a foreign puncher', () => {
  for (const a of STEADY) {
    it(`gets from ${a} to every steady kind, and the swarm above does not notice`, async () => {
      for (const b of STEADY) {
        const w = new PunchWorld();
        await w.observe();
        const end = async (kind: NatKind) => {
          const { network: below, realm } = w.world.net.host({ behind: w.world.net.nat(kind) });
          const network = punching(below);
          const swarm = observing(await w.run(openUdpSwarm({ network, realm, bind: '0.0.0.0:4000' })));
          const heard: string[] = [];
          swarm.listen(({ src }) => void heard.push(src.text));
          const { ip, port } = w.observers[0]!;
          const observe = async () => (await swarm.observe(`${ip}:${port}`)).mapped;
          return { swarm, heard, puncher: foreignPuncher(network, 4000, realm, observe) };
        };
        const [left, right] = [await end(a), await end(b)];
        const [own, theirs] = await w.run(Promise.all([left.puncher.offer(), right.puncher.offer()]));
        const [near, far] = await w.run(
          Promise.all([
            left.puncher.punch(own, theirs, { side: 'initiator' }),
            right.puncher.punch(theirs, own, { side: 'responder' }),
          ]),
        );
        assert.deepEqual([left.heard, right.heard], [[], []]);
        await left.swarm.tell(`${near.remote.ip}:${near.remote.port}`, new Uint8Array(1));
        await right.swarm.tell(`${far.remote.ip}:${far.remote.port}`, new Uint8Array(1));
        await w.world.advance(200);
        assert.deepEqual([left.heard.length, right.heard.length], [1, 1], `${a} and ${b}`);
      }
    });
  }
});
