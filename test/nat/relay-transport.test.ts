/** Relays as transports of the connection manager: ours, and one that somebody else might have written. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { type Addr, ipOf } from '../../src/core/addr.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import { relayOf, relaySwarm, serveRelay } from '../../src/nat/index.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { loadQuicEngine, quic } from '../../src/swarms/quic/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { ForeignRelaySwarm, serveForeignRelay } from '../support/foreign-relay.ts';
import { idOf, PeersWorld, watch } from '../support/peers-world.ts';

before(() => loadQuicEngine());

/** What gives the swarm of a node that is reached through a relay, once the relay serves. */
type Open = (i: number, host: VirtualHost) => Promise<SecureSwarm<Addr>>;

/** Swarms are invariant in their addresses; those of a test are used with their own addresses only. */
const anyAddr = (swarm: unknown): SecureSwarm<Addr> => swarm as SecureSwarm<Addr>;

const RELAYS: Readonly<Record<string, (w: PeersWorld) => Promise<Open>>> = {
  'our relay over TCP, under QUIC': async (w) => {
    const tcp = (i: number, { realm, network }: VirtualHost) =>
      w.run(openTcpSwarm({ privateKey: testKey(i), realm, network, bind: '0.0.0.0:443' }));
    const relay = await tcp(90, w.net.host());
    serveRelay(relay);
    return async (i, host) => {
      const through = relaySwarm(await tcp(i, host));
      await w.run(through.reserve(relay.addr));
      return anyAddr(quic(through, { privateKey: testKey(i) }));
    };
  },
  'our relay over p2pke, under p2pke': async (w) => {
    const open = async (i: number, { realm, network }: VirtualHost) =>
      p2pke(await w.run(openUdpSwarm({ realm, network, maxDatagramBytes: 1400 })), { privateKey: testKey(i) });
    const relay = await open(90, w.net.host());
    serveRelay(relay);
    const at = relay.localAddrs().find((addr) => ipOf(addr)?.startsWith('11.') === true) ?? relay.addr;
    return async (i, host) => {
      const through = relaySwarm(await open(i, host));
      await w.run(through.reserve(at));
      return anyAddr(p2pke(through, { privateKey: testKey(i) }));
    };
  },
  'a foreign relay, under QUIC': (w) => foreign(w, quic as never),
  'a foreign relay, under p2pke': (w) => foreign(w, p2pke as never),
};

async function foreign(w: PeersWorld, seal: (swarm: Addr, options: object) => SecureSwarm<Addr>): Promise<Open> {
  const host = w.net.host();
  const open = ({ realm, network }: VirtualHost) =>
    w.run(openUdpSwarm({ realm, network, bind: '0.0.0.0:7000', maxDatagramBytes: 1400 }));
  const relay = await open(host);
  serveForeignRelay(relay);
  return async (i, at) => {
    const through = new ForeignRelaySwarm(await open(at), relay.parseAddr(`${host.ip}:7000`), idOf(i));
    return seal(through as never, { privateKey: testKey(i) });
  };
}

describe('relays as transports of openPeers', () => {
  for (const [name, make] of Object.entries(RELAYS)) {
    it(`${name}: two peers behind NATs with random ports ask within a second, and go on for ten minutes`, async () => {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const open = await make(w);
      const nodes = [];
      const swarms: SecureSwarm<Addr>[] = [];
      for (const i of [0, 1]) {
        const host = w.net.host({ behind: w.net.nat('random') });
        const swarm = await open(i, host);
        const peers = await w.open(i, host, { transports: [{ name: 'relayed', swarm, isReliable: false }] });
        w.directory.addrs.set(
          peers.id,
          swarm.localAddrs().map(({ text }) => `relayed://${text}`),
        );
        nodes.push(peers);
        swarms.push(swarm);
      }
      const [alice, bob] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
      bob.serve(({ payload }) => encodeText(decodeText(payload)!.toUpperCase()));
      await w.advance(1000);
      const changes = watch(alice);
      const before = w.realm.nowMs();
      assert.equal(decodeText(await w.run(alice.ask(bob.id, encodeText('hello')))), 'HELLO');
      assert.ok(w.realm.nowMs() - before <= 1000, `the first ask took ${w.realm.nowMs() - before} ms`);
      // Heartbeats go through the relay as everything does.
      alice.maintain(bob.id);
      bob.maintain(alice.id);
      await w.advance(600_000);
      await w.run(alice.ask(bob.id, encodeText('after ten minutes')));
      assert.ok(
        changes.every(({ type }) => type === 'connected' || type === 'kind'),
        JSON.stringify(changes),
      );
      const { path } = alice.list()[0]!;
      assert.equal(path?.transport, 'relayed');
      const addr = swarms[0]!.parseAddr(path.addr);
      if (name.startsWith('our')) assert.notEqual(relayOf(addr), undefined);
      assert.equal(ipOf(addr), undefined, 'the IP of a relay is not that of the peer');
      await w.close();
    });
  }
});
