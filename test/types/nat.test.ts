import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Swarm } from 'shoal';
import {
  type DialBackProof,
  natReport,
  type NatReport,
  observing,
  type ObservingSwarm,
  type PunchedConnection,
  type Puncher,
  type RelayAddr,
  relaySwarm,
  type RelaySwarm,
  serveRelay,
  type StunAnswer,
  tcpPuncher,
  type UdpPuncher,
} from 'shoal/nat';
import { generateKey } from 'shoal/keys';
import { createMemoryRealm, type MemoryAddr } from 'shoal/memory';
import { p2pke, type P2pkeAddr } from 'shoal/p2pke';
import { openUdpSwarm, type UdpAddr } from 'shoal/udp';

const same = <T>(value: T): T => value;

describe('types of shoal/nat', () => {
  it('an observing swarm has the addresses of the one below', async () => {
    await using swarm = observing(await openUdpSwarm({ bind: '127.0.0.1:0' }));
    same<ObservingSwarm<UdpAddr>>(swarm);
    same<Swarm<UdpAddr>>(swarm);
    const ask = (): Promise<StunAnswer> => swarm.observe(swarm.addr);
    // @ts-expect-error observers are addresses or texts
    const wrong = (): unknown => swarm.observe(5);
    assert.equal(typeof ask, typeof wrong);
  });

  it('a swarm through relays has addresses that name the relay, and needs a swarm that authenticates', async () => {
    const realm = createMemoryRealm();
    const secure = p2pke(realm.swarm(), { privateKey: generateKey() });
    const through = relaySwarm(secure, { keepInner: true });
    same<RelaySwarm<P2pkeAddr<MemoryAddr>>>(through);
    same<Swarm<RelayAddr<P2pkeAddr<MemoryAddr>>>>(through);
    // @ts-expect-error nobody proves who is behind a UDP address
    assert.throws(() => serveRelay(realm.swarm()), TypeError);
    // @ts-expect-error a budget is a number
    assert.throws(() => serveRelay(realm.secureSwarm(generateKey().publicKey), { maxPeers: '5' }), TypeError);
    await secure.close();
  });

  it('reports and proofs are plain data', async () => {
    const report: NatReport = await natReport({ observers: [] });
    assert.equal(report.paths.length, 0);
    // @ts-expect-error whom to ask must be said
    assert.throws(() => natReport({}), TypeError);
    // @ts-expect-error a proof cannot be changed
    const older = (proof: DialBackProof): unknown => (proof.atMs = 0);
    assert.equal(typeof older, 'function');
  });

  it('a puncher of TCP is a puncher whose paths have connections; one of UDP has none', () => {
    const tcp = tcpPuncher({ observers: () => [] });
    same<Puncher<PunchedConnection>>(tcp);
    same<Puncher>(tcp);
    same<(puncher: UdpPuncher) => Puncher>((puncher) => puncher);
    // @ts-expect-error the side must be given, since both sides behave differently
    const wrong = (): unknown => tcp.punch({} as never, {} as never, {});
    assert.equal(typeof wrong, 'function');
  });
});
