/** Relays in virtual time: reservations that are lost and found, guests, verdicts, budgets, and what addresses say. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { ipOf, peerIdOf, portOf } from '../../src/core/addr.ts';
import { P2PError } from '../../src/core/errors.ts';
import { inspect } from '../../src/core/inspect.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import {
  relayAddr,
  relayOf,
  type RelayService,
  type RelayServiceOptions,
  relaySwarm,
  type RelaySwarm,
  serveRelay,
} from '../../src/nat/index.ts';
import type { MemoryAddr } from '../../src/net/memory/address.ts';
import { bytesOfPeerId, encodeSend, turnIntoReceived } from '../../src/protocols/relay/messages.ts';
import { udpAddr } from '../../src/net/socket-address.ts';
import { p2pke, p2pkeAddr, type P2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { loadQuicEngine, quic } from '../../src/swarms/quic/index.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, nobodyAt, RELAY_KEY, relayWorld, type RelayWorld } from '../support/relay-world.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

type A = P2pkeAddr<MemoryAddr>;

interface Cast extends RelayWorld {
  readonly relay: SecureSwarm<A>;
  readonly service: RelayService<A>;
  /** A node with the test key `i`, without reservations. */
  readonly node: (i: number) => RelaySwarm<A>;
  readonly at: string;
}

function cast(options: RelayServiceOptions<A> = {}): Cast {
  const world = relayWorld();
  const relay = world.inner(RELAY_KEY);
  const service = serveRelay(relay, options);
  return { ...world, relay, service, node: (i) => relaySwarm(world.inner(i)), at: relay.addr.text };
}

function hear(swarm: RelaySwarm<A>): string[] {
  const heard: string[] = [];
  swarm.listen(
    ({ src, payload }) =>
      void heard.push(`${payload.length} from ${src.id === idOf(1) ? 'alice' : src.id === idOf(2) ? 'bob' : 'carol'}`),
  );
  return heard;
}

const stateOf = (swarm: RelaySwarm<A>) => swarm.reservations.map(({ state, reason }) => [state, reason]);
const drops = (of: { readonly counters: { readonly drops: ReadonlyMap<string, number> } }, reason: string) =>
  of.counters.drops.get(reason) ?? 0;

describe('a swarm through a relay', () => {
  it('has an address once a relay holds a reservation, and none before and after', async () => {
    const { run, node, at, service, realm } = cast();
    const alice = node(1);
    assert.deepEqual(alice.localAddrs(), []);
    assert.throws(
      () => alice.addr,
      (error) => P2PError.is(error, 'unreachable'),
    );
    await run(alice.reserve(at));
    assert.equal(alice.addr.text, `${idOf(1)}@${at}`);
    assert.deepEqual(
      service.peers.map(({ id, receivedBytes, sentBytes }) => [id, receivedBytes, sentBytes]),
      [[idOf(1), 0, 0]],
    );
    assert.deepEqual(stateOf(alice), [['reserved', undefined]]);
    assert.ok(alice.reservations[0]!.expiresMs! > realm.nowMs() + 3_500_000);
    alice.release(at);
    await realm.clock.advance(100);
    assert.deepEqual([alice.localAddrs(), alice.reservations, service.peers], [[], [], []]);
  });

  it('gives its reservation up when it is closed', async () => {
    const { run, node, at, service, realm } = cast();
    const alice = node(1);
    await run(alice.reserve(at));
    await run(alice.close());
    await realm.clock.advance(100);
    assert.deepEqual([service.peers, alice.localAddrs()], [[], []]);
  });

  it('carries no more than the relay can pass on to it', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 600 });
    const inner = [1, RELAY_KEY].map((i) => p2pke(realm.swarm(), { privateKey: testKey(i) }));
    const alice = relaySwarm(inner[0]!);
    serveRelay(inner[1]!);
    await realm.clock.run(alice.reserve(inner[1]!.addr));
    assert.equal(alice.mtu(alice.addr), 600 - 20 - 34);
  });

  it('is asked again about guests too', async () => {
    const denied = new Set<string>();
    const { run, node, at, realm, service } = cast({ accept: ({ id }) => !denied.has(id) });
    const [alice, carol] = [node(1), node(3)];
    const heard = hear(alice);
    await run(alice.reserve(at));
    await run(carol.tell(alice.addr, new Uint8Array(4)));
    await realm.clock.advance(100);
    denied.add(idOf(3));
    await run(service.recheck());
    await run(carol.tell(alice.addr, new Uint8Array(5)));
    await realm.clock.advance(100);
    assert.deepEqual(heard, ['4 from carol']);
    assert.equal(drops(carol, 'relay.denied'), 1);
  });

  it('carries datagrams both ways between reserved peers, and between a guest and a reserved peer', async () => {
    const { run, node, at, realm, service } = cast();
    const [alice, bob, carol] = [node(1), node(2), node(3)];
    const heard = [alice, bob, carol].map((swarm) => hear(swarm));
    await run(Promise.all([alice.reserve(at), bob.reserve(at)]));
    await run(alice.tell(bob.addr, new Uint8Array(3)));
    await run(carol.tell(`${idOf(1)}@${at}`, new Uint8Array(4)));
    await realm.clock.advance(100);
    await run(alice.tell(`${idOf(3)}@${at}`, new Uint8Array(5)));
    await realm.clock.advance(100);
    assert.deepEqual(heard, [['4 from carol'], ['3 from alice'], ['5 from alice']]);
    assert.equal(service.guests, 1);
    assert.deepEqual(
      service.peers.map(({ receivedBytes, sentBytes }) => [receivedBytes, sentBytes]),
      [
        [8, 4],
        [0, 3],
      ],
    );
  });

  it('reports a peer without a reservation as a failure to send', async () => {
    const { run, node, at, realm, relay } = cast();
    const alice = node(1);
    const failed: string[] = [];
    alice.onSendFailed(
      (dst, error) => void failed.push(`${dst.text === nobodyAt(relay.addr).text} ${(error as Error).message}`),
    );
    await run(alice.reserve(at));
    await run(alice.tell(nobodyAt(relay.addr), new Uint8Array(1)));
    await realm.clock.advance(100);
    assert.equal(failed.length, 1);
    assert.match(failed[0]!, /^true Cannot tell .*: the peer has no reservation at the relay$/);
    assert.equal(drops(alice, 'relay.no_reservation'), 1);
  });

  it('says when the relay goes and returns, and has its address back without being asked', async () => {
    const world = relayWorld();
    const relay = world.inner(RELAY_KEY);
    const first = serveRelay(relay);
    let changes = 0;
    const alice = relaySwarm(world.inner(1), { relays: [relay.addr.text], onChange: () => void changes++ });
    await world.realm.clock.advance(1000);
    assert.deepEqual([stateOf(alice), changes], [[['reserved', undefined]], 2]);
    await world.run(first.close());
    await world.realm.clock.advance(100);
    assert.deepEqual(stateOf(alice), [['lost', 'closing']]);
    assert.deepEqual(alice.localAddrs(), []);
    const second = serveRelay(relay);
    await world.realm.clock.advance(10_000);
    assert.deepEqual([stateOf(alice), second.peers.length], [[['reserved', undefined]], 1]);
  });

  it('notices a relay that has died without a word within 26.2 s', async () => {
    const { run, node, at, realm, relay } = cast();
    const alice = node(1);
    await run(alice.reserve(at));
    await run(relay.close());
    await realm.clock.advance(26_300);
    assert.equal(stateOf(alice)[0]![0], 'lost');
  });

  it('tells the node that it was refused, and why; live lists hold for reservations that exist', async () => {
    const denied = new Set([idOf(2)]);
    const sides: string[] = [];
    const { run, node, at, realm, service } = cast({
      accept: ({ id, side }) => {
        sides.push(side);
        return Promise.resolve(!denied.has(id));
      },
    });
    const [alice, bob] = [node(1), node(2)];
    await run(alice.reserve(at));
    await assert.rejects(
      run(bob.reserve(at)),
      (error) => P2PError.is(error, 'refused') && /denied/.test(error.message),
    );
    assert.deepEqual(stateOf(bob), [['refused', 'denied']]);
    assert.deepEqual(new Set(sides), new Set(['initiator']));
    denied.add(idOf(1));
    await run(service.recheck());
    await realm.clock.advance(100);
    assert.deepEqual([stateOf(alice), service.peers], [[['refused', 'denied']], []]);
    assert.equal(drops(service, 'refused'), 1);
  });

  it('an accept that throws, hangs or says something else admits nobody', async () => {
    for (const accept of [
      () => {
        throw new Error('no');
      },
      () => new Promise<boolean>(() => undefined),
      () => 'yes' as unknown as boolean,
    ]) {
      const { run, node, at, service } = cast({ accept });
      const alice = node(1);
      await assert.rejects(run(alice.reserve(at)), (error) => P2PError.is(error));
      assert.equal(service.peers.length, 0);
      assert.equal(drops(service, 'handler_error'), 1);
    }
  });

  it('shows budgets, fill and drops in inspect', async () => {
    const { run, node, at, service } = cast({ maxPeers: 5, bytesPerSecond: 5000 });
    await run(node(1).reserve(at));
    const { layer, limits, state, inner } = inspect(service);
    assert.equal(layer, 'relay');
    assert.deepEqual([limits['maxPeers'], limits['maxPeersPerSource'], limits['bytesPerSecond']], [5, 2, 5000]);
    assert.deepEqual([state['reservations'], state['guests'], inner[0]!.layer], [1, 0, 'p2pke']);
    service.update({ maxPeers: 1 });
    assert.equal(inspect(service).limits['maxPeers'], 1);
    await assert.rejects(run(node(2).reserve(at)), /full/);
    assert.throws(() => service.update({ maxPeers: -1 }), RangeError);
    assert.throws(() => service.update({ bytesPerSecond: 10 }), RangeError);
  });

  it('drops what a slow client does not take, beyond the bound', async () => {
    const { run, node, at, relay, service, realm } = cast({ maxPendingBytes: 3000 });
    const [alice, bob] = [node(1), node(2)];
    await run(Promise.all([alice.reserve(at), bob.reserve(at)]));
    // From now on the relay's link to everybody is stuck.
    relay.tell = () => new Promise(() => undefined);
    for (let i = 0; i < 4; i++) await run(alice.tell(bob.addr, new Uint8Array(1000)));
    await realm.clock.advance(100);
    assert.equal(drops(service, 'relay.slow_peer'), 2);
    assert.equal(inspect(service).state['pendingBytes'], 2068);
  });

  it('takes messages from its relays only, and names no other sender than the relay does', async () => {
    const { run, node, at, realm, inner } = cast();
    const alice = node(1);
    const heard = hear(alice);
    await run(alice.reserve(at));
    const mallory = inner(4);
    const forged = turnIntoReceived(
      encodeSend(1, bytesOfPeerId(idOf(2)), new Uint8Array(9)),
      1,
      bytesOfPeerId(idOf(2)),
    );
    await run(mallory.tell(`${idOf(1)}@1`, forged));
    await realm.clock.advance(1000);
    assert.deepEqual(heard, []);
    assert.equal(drops(alice, 'relay.unknown_relay'), 1);
  });

  it('waits for no answer longer than asked, and goes on asking', async () => {
    const { run, node, realm } = cast();
    const alice = node(1);
    await assert.rejects(run(alice.reserve(`${idOf(70)}@99`, { timeoutMs: 500 })), (error) =>
      P2PError.is(error, 'timeout'),
    );
    assert.equal(alice.reservations.length, 1);
    await realm.clock.advance(10_000);
    assert.equal(alice.reservations[0]!.state, 'lost');
  });
});

describe('the address of a relayed peer', () => {
  it('has a PeerID, is no place of the peer, and tells its relay', () => {
    const relay = p2pkeAddr(idOf(RELAY_KEY), udpAddr({ ip: '203.0.113.7', port: 443 }));
    const addr = relayAddr(idOf(1), relay);
    assert.equal(addr.text, `${idOf(1)}@${idOf(RELAY_KEY)}@203.0.113.7:443`);
    for (const shown of [addr, p2pkeAddr(idOf(1), addr)]) {
      assert.deepEqual([peerIdOf(shown), ipOf(shown), portOf(shown)], [idOf(1), undefined, undefined]);
      assert.equal(relayOf(shown), relay);
    }
    assert.equal(relayOf(relay), undefined);
  });
});

describe('relays on a virtual internet', () => {
  it('tell a client behind a NAT under which address they see it, and keep its mapping open', async () => {
    const w = new VirtualWorld({ latencyMs: 20, trace: undefined });
    await loadQuicEngine();
    const open = async (i: number, host = w.net.host()) => {
      const { realm, network } = host;
      return p2pke(await w.run(openUdpSwarm({ realm, network, maxDatagramBytes: 1300 })), { privateKey: testKey(i) });
    };
    const nats = [w.net.nat('random', { udpTimeoutMs: 30_000 }), w.net.nat('random', { udpTimeoutMs: 30_000 })];
    const relay = await open(RELAY_KEY);
    serveRelay(relay);
    const at = relay.localAddrs().find((addr) => !ipOf(addr)!.includes(':'))!;
    const peers = await Promise.all(
      nats.map(async (nat, i) => {
        const swarm = relaySwarm(await open(i, w.net.host({ behind: nat })), { relays: [at] });
        const sealed = quic(swarm, { privateKey: testKey(i) });
        sealed.serve(({ payload }) => payload);
        return { swarm, sealed };
      }),
    );
    await w.advance(1000);
    const [alice, bob] = peers as [(typeof peers)[0], (typeof peers)[0]];
    assert.equal(alice.swarm.reservations[0]!.observed?.ip, nats[0]!.ip);
    const before = w.realm.nowMs();
    await w.run(alice.sealed.ask(bob.sealed.addr, encodeText('first')));
    assert.ok(w.realm.nowMs() - before <= 1000, `the first ask took ${w.realm.nowMs() - before} ms`);
    await w.advance(300_000);
    const answer = await w.run(alice.sealed.ask(bob.sealed.addr, encodeText('after five minutes of silence')));
    assert.equal(answer.length, 29);
    await w.run(Promise.all(peers.map(({ sealed }) => sealed.close())));
  });

  it('over TCP notice at once that a client is gone, and dial nobody', async () => {
    const w = new VirtualWorld({ latencyMs: 20, trace: undefined });
    const open = (i: number, host: ReturnType<typeof w.net.host>) =>
      w.run(
        openTcpSwarm({
          privateKey: testKey(i),
          security: 'noise',
          realm: host.realm,
          network: host.network,
          bind: '0.0.0.0:443',
        }),
      );
    const relay = await open(RELAY_KEY, w.net.host());
    const service = serveRelay(relay);
    const inner = await open(1, w.net.host({ behind: w.net.nat('443-only') }));
    const alice = relaySwarm(inner);
    await w.run(alice.reserve(relay.addr));
    assert.equal(service.peers.length, 1);
    // The connection stays open over minutes, because reservations are renewed.
    await w.advance(600_000);
    assert.equal(service.peers.length, 1);
    await w.run(inner.close());
    await w.advance(1000);
    assert.equal(service.peers.length, 0);
  });
});
