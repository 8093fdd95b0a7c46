/** The steady kinds of NATs with a relay and a puncher of somebody else, and none of ours. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { observing, punching } from '../../src/nat/index.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import type { Peers } from '../../src/peers/index.ts';
import { loadQuicEngine, quic } from '../../src/swarms/quic/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { foreignPuncher } from '../support/foreign-puncher.ts';
import { ForeignRelaySwarm, serveForeignRelay } from '../support/foreign-relay.ts';
import { PAYLOAD } from '../support/nat-matrix.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';

before(() => loadQuicEngine());

const KINDS: readonly NatKind[] = ['full', 'address', 'port'];

/** A node whose only transports are QUIC on a socket of its own with a foreign puncher, and QUIC by way of a foreign relay. */
async function openForeign(w: PeersWorld, i: number, kind: NatKind, relay: string): Promise<Peers> {
  const host = w.net.host({ behind: w.net.nat(kind) });
  const { realm } = host;
  const maxDatagramBytes = 1452;
  const network = punching(host.network);
  const udp = await w.run(openUdpSwarm({ network, realm, maxDatagramBytes }));
  const seen = observing(udp);
  const observe = async () => (await seen.observe(relay.replace(/\d+$/, '9001'))).mapped;
  const puncher = foreignPuncher(network, udp.addr.port, realm, observe);
  const punched = { name: 'own-quic', swarm: quic(seen, { privateKey: testKey(i) }), isReliable: true, puncher };
  const second = await w.run(openUdpSwarm({ network: host.network, realm, maxDatagramBytes }));
  const relayed = new ForeignRelaySwarm(second, second.parseAddr(relay), idOf(i));
  const swarm = quic(relayed, { privateKey: testKey(i) });
  const transports = [punched, { name: 'foreign', swarm, kind: 'relay', isReliable: true }] as const;
  const node = await w.open(i, host, { transports, relays: false });
  node.serve(({ payload }) => payload);
  w.directory.addrs.set(node.id, [`foreign://${node.id}@${node.id}`]);
  return node;
}

describe('peers behind NATs: with parts of somebody else', () => {
  for (const a of KINDS) {
    for (const b of KINDS) {
      it(`${a} asks ${b}: first relayed, then punched`, async () => {
        const w = new PeersWorld({ latencyMs: 20, trace: undefined });
        const { ip, network, realm } = w.net.host();
        const served = await w.run(openUdpSwarm({ bind: `${ip}:9000`, network, realm, maxDatagramBytes: 1452 }));
        serveForeignRelay(served);
        const observer = observing(await w.run(openUdpSwarm({ bind: `${ip}:9001`, network, realm })));
        const alice = await openForeign(w, 0, a, `${ip}:9000`);
        const bob = await openForeign(w, 1, b, `${ip}:9000`);
        await w.advance(500);
        await w.run(alice.ask(bob.id, PAYLOAD));
        assert.equal(alice.list()[0]?.path?.kind, 'relay');
        await w.advance(5000);
        assert.deepEqual(
          [alice.list()[0]?.path?.transport, alice.list()[0]?.path?.kind],
          ['own-quic', 'punch'],
          alice.explain(bob.id).text,
        );
        await w.run(alice.ask(bob.id, PAYLOAD));
        await w.close();
        await w.run(Promise.all([served.close(), observer.close()]));
      });
    }
  }
});
