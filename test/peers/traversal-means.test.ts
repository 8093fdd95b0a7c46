/** What else leads to a peer behind NATs: mapped ports, TURN, proxies, and parts of somebody else. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { quic } from '../../src/swarms/quic/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { foreignMapper } from '../support/foreign-mapper.ts';
import { ForeignRelaySwarm, serveForeignRelay } from '../support/foreign-relay.ts';
import { openHttpProxy } from '../support/http-proxy.ts';
import { meet, outcomeOf, PAYLOAD } from '../support/nat-matrix.ts';
import { idOf, PeersWorld, watch } from '../support/peers-world.ts';
import { TurnTestServer } from '../support/turn-server.ts';
import { virtualRouter } from '../support/virtual-router.ts';

before(() => loadQuicEngine());

describe('peers behind NATs: mapped ports', () => {
  it('two NATs with random ports, one of which forwards a port, need no relay', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const relay = await w.open(10, w.net.host(), { serveRelay: true });
    const nat = w.net.nat('random');
    await w.run(virtualRouter(nat, { realm: w.realm }));
    const bob = await w.open(1, w.net.host({ behind: nat }), { portMapping: true });
    const alice = await w.open(0, w.net.host({ behind: w.net.nat('random') }));
    bob.serve(({ payload }) => payload);
    const changes = watch(bob);
    bob.maintain(relay.id);
    await w.advance(4000);
    assert.ok(
      bob.addrs.some((addr) => addr.includes(`@${nat.ip}:`)),
      bob.addrs.join(' '),
    );
    assert.ok(changes.some(({ type }) => type === 'addrs'));
    w.directory.addrs.set(bob.id, bob.addrs);
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.equal(alice.list().find(({ id }) => id === bob.id)?.path?.kind, 'direct');
    await w.close();
  });

  it('a mapper of somebody else is used as it is', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const nat = w.net.nat('port');
    const host = w.net.host({ behind: nat });
    const table = new Map([['tcp 5000', { ip: nat.ip, port: 6000 }]]);
    nat.forward('tcp', 6000, { ip: host.ip, port: 5000 });
    const bob = await w.open(1, host, { bind: '0.0.0.0:5000', portMapping: foreignMapper(table) });
    assert.ok(bob.addrs.includes(`tcp://${bob.id}@${nat.ip}:6000`), bob.addrs.join(' '));
    w.directory.addrs.set(bob.id, bob.addrs);
    bob.serve(({ payload }) => payload);
    const alice = await w.open(0, w.net.host({ behind: w.net.nat('random') }));
    await w.run(alice.ask(bob.id, PAYLOAD));
    await w.close();
  });
});

describe('peers behind NATs: other relays', () => {
  it('TURN: two peers with addresses at one server reach each other by it', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const host = w.net.host();
    await w.run(TurnTestServer.open(host.network, host.realm, host.ip));
    const turn = [{ server: `${host.ip}:3478`, username: 'user', credential: 'secret' }];
    const options = { turn, relays: false, punch: false } as const;
    const alice = await w.open(0, w.net.host({ behind: w.net.nat('random') }), options);
    const bob = await w.open(1, w.net.host({ behind: w.net.nat('random') }), options);
    bob.serve(({ payload }) => payload);
    await w.advance(1000);
    assert.ok(
      bob.addrs.some((addr) => addr.startsWith('turn://')),
      bob.addrs.join(' '),
    );
    w.directory.addrs.set(bob.id, bob.addrs);
    await w.run(alice.ask(bob.id, PAYLOAD));
    const { path } = alice.list().find(({ id }) => id === bob.id)!;
    assert.deepEqual([path?.transport, path?.kind], ['turn', 'relay']);
    await w.close();
  });

  it('TURN: a server that does not let this node in is reported, and asked again', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const host = w.net.host();
    await w.run(TurnTestServer.open(host.network, host.realm, host.ip));
    const turn = [{ server: `${host.ip}:3478`, username: 'user', credential: 'wrong' }];
    const alice = await w.open(0, w.net.host(), { turn });
    const seen = watch(alice);
    await w.advance(10_000);
    const faults = seen.filter((change) => change.type === 'fault' && change.source === `turn ${host.ip}:3478`);
    assert.ok(faults.length >= 2 && faults.length <= 5, `${faults.length} faults`);
    await w.close();
  });

  it('the place of a peer whose session has ended is free at once, and who sends to it is told', async () => {
    const { w, alice, bob, helpers } = await meet('random', 'random');
    assert.equal(helpers[0]!.relayed!.peers.length, 2);
    await w.run(bob.close());
    await w.advance(100);
    assert.deepEqual(
      helpers[0]!.relayed!.peers.map(({ id }) => id),
      [alice.id],
    );
    const atMs = w.realm.nowMs();
    await assert.rejects(w.run(alice.ask(bob.id, PAYLOAD, { timeoutMs: 20_000 })));
    assert.ok(w.realm.nowMs() - atMs < 1000, `${w.realm.nowMs() - atMs} ms`);
    await w.close();
  });

  it('an own relay that ends: the reservation is lost within ten seconds, and held again when the relay is back', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const host = w.net.host();
    const options = { serveRelay: true, bind: `${host.ip}:4000` };
    const relay = await w.open(10, host, options);
    const alice = await w.open(0, w.net.host({ behind: w.net.nat('random') }), {
      relays: [`${relay.id}@${host.ip}:4000`],
    });
    const seen = watch(alice);
    await w.advance(3000);
    assert.equal(alice.reservations[0]?.state, 'reserved');
    await w.run(relay.close());
    await w.advance(10_000);
    assert.equal(alice.reservations[0]?.state, 'lost');
    await w.open(10, host, options);
    await w.advance(60_000);
    assert.equal(alice.reservations[0]?.state, 'reserved');
    const states = seen.flatMap((change) => (change.type === 'relay' ? [change.state] : []));
    assert.deepEqual(states, ['reserved', 'lost', 'reserved']);
    await w.close();
  });

  it('a relay of somebody else, sealed by QUIC, joins as a transport', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const server = w.net.host();
    const served = await w.run(
      openUdpSwarm({ bind: `${server.ip}:9000`, network: server.network, realm: server.realm, maxDatagramBytes: 1452 }),
    );
    serveForeignRelay(served);
    const open = async (i: number) => {
      const host = w.net.host({ behind: w.net.nat('random') });
      const udp = await w.run(openUdpSwarm({ network: host.network, realm: host.realm, maxDatagramBytes: 1452 }));
      const swarm = quic(new ForeignRelaySwarm(udp, udp.parseAddr(served.addr.text), idOf(i)), {
        privateKey: testKey(i),
      });
      const foreign = { name: 'foreign', swarm, kind: 'relay', isReliable: true } as const;
      return w.open(i, host, { transports: ['tcp', 'quic', foreign], relays: false });
    };
    const [alice, bob] = [await open(0), await open(1)];
    bob.serve(({ payload }) => payload);
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.equal(alice.list()[0]?.path?.kind, 'relay');
    await w.close();
    await w.run(served.close());
  });

  it('a relay on port 443 is reached through an HTTP proxy, where nothing else leaves', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const [server, proxyHost] = [w.net.host(), w.net.host()];
    const relay = await w.open(10, server, { serveRelay: true, bind: `${server.ip}:443` });
    const proxy = await w.run(openHttpProxy(proxyHost.network, { ip: proxyHost.ip, port: 443 }));
    const place = { behind: w.net.nat('443-only') };
    // The firewall knows the proxy only.
    const alice = await w.open(0, w.net.host(place), {
      proxy: `http://${proxyHost.ip}:443`,
      relays: [`${relay.id}@${server.ip}:443`],
    });
    const bob = await w.open(1, w.net.host({ behind: w.net.nat('random') }), {
      relays: [`${relay.id}@${server.ip}:443`],
    });
    w.directory.addrs.delete(bob.id);
    bob.serve(({ payload }) => payload);
    await w.advance(3000);
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.ok(proxy.requests.length > 0);
    assert.equal(alice.list().find(({ id }) => id === bob.id)?.path?.kind, 'relay');
    await w.close();
    await w.run(proxy.close());
  });
});

describe('peers behind NATs: policies', () => {
  for (const [policy, expected] of [
    ['relayed', 'relay'],
    ['direct', 'punch'],
  ] as const) {
    it(policy, async () => {
      const meeting = await meet('port', 'port');
      meeting.alice.setPolicy(meeting.bob.id, policy);
      const { path, text } = await outcomeOf(meeting, 10_000);
      assert.equal(path?.kind, expected, text);
      await meeting.w.close();
    });
  }

  it('no_third_party: neither relayed nor punched, in both directions', async () => {
    const { w, alice, bob } = await meet('port', 'port', { peers: { policy: 'no_third_party' } });
    await assert.rejects(
      w.run(alice.ask(bob.id, PAYLOAD, { timeoutMs: 60_000 })),
      /explain\(\) tells more|no source knows/,
    );
    await w.close();
  });

  it('a ban of an IP keeps hole punches from it, in both directions', async () => {
    for (const side of ['alice', 'bob'] as const) {
      const meeting = await meet('port', 'port');
      const { w, alice, bob, helpers } = meeting;
      const [banning, other] = side === 'alice' ? [alice, bob] : [bob, alice];
      const at = helpers[0]!.list().find(({ id }) => id === other.id)!.path!.addr;
      banning.ban(at.slice(at.lastIndexOf('@') + 1, at.lastIndexOf(':')));
      const { path } = await outcomeOf(meeting, 20_000);
      assert.equal(path?.kind, 'relay');
      const punches = banning.explain(other.id).reach!.attempts.filter(({ kind }) => kind === 'punch');
      const theirs = other.explain(banning.id).reach!.attempts.filter(({ kind }) => kind === 'punch');
      const results = [...punches, ...theirs].map(({ result }) => result);
      assert.ok(results.length > 0, 'no punch was tried');
      assert.deepEqual(
        results.filter((result) => !['not_allowed', 'denied', 'abandoned'].includes(result)),
        [],
      );
      await w.close();
    }
  });

  it('a policy that changes ends the path that it excludes', async () => {
    const { w, alice, bob } = await meet('random', 'random');
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.equal(alice.list().find(({ id }) => id === bob.id)?.path?.kind, 'relay');
    alice.setPolicy(bob.id, 'direct');
    await w.advance(1000);
    assert.equal(alice.list().find(({ id }) => id === bob.id)?.path, undefined);
    alice.setPolicy(bob.id, 'any');
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.throws(() => alice.setPolicy(bob.id, 'best' as never), TypeError);
    await w.close();
  });
});

describe('peers behind NATs: explain', () => {
  it('joins the reports of both sides, and says that only a relay can work', async () => {
    const { w, alice, bob } = await meet('random', 'random');
    await w.run(alice.ask(bob.id, PAYLOAD));
    await w.advance(5000);
    const { remote, help, text } = await w.run(alice.explainBoth(bob.id));
    assert.equal(remote?.network.ports, 'random');
    assert.ok(remote.network.relays >= 1);
    assert.ok(
      help.some((sentence) => /[Bb]oth NATs give random ports: only a relay can work/.test(sentence)),
      text,
    );
    assert.match(text, /the peer's side: its NAT gives random ports/);
    assert.match(text, /punch quic/);
    await w.close();
  });

  it('tells of routers that map no ports', async () => {
    const { w, alice, bob } = await meet('random', 'random', { peers: { portMapping: true } });
    await w.run(alice.ask(bob.id, PAYLOAD));
    await w.advance(5000);
    const { help } = await w.run(alice.explainBoth(bob.id));
    assert.ok(
      help.some((sentence) => sentence.startsWith('Enable PCP or UPnP on the router of this side')),
      help.join('\n'),
    );
    assert.ok(help.some((sentence) => sentence.startsWith("Enable PCP or UPnP on the router of the peer's side")));
    await w.close();
  });

  it('tells that a relay has no place of the peer, and that nobody brings the two together', async () => {
    const { w, alice, bob } = await meet('random', 'random');
    await w.run(bob.close());
    await assert.rejects(w.run(alice.ask(bob.id, PAYLOAD, { timeoutMs: 20_000 })));
    const { help } = alice.explain(bob.id);
    assert.ok(help.some((sentence) => sentence.startsWith('The relay does not lead to the peer')));
    assert.ok(help.some((sentence) => sentence.startsWith('The peer cannot be asked for a hole punch')));
    assert.ok(!help.some((sentence) => sentence.startsWith('This host has no route')));
    await w.close();
  });

  it('asks nobody who is not connected for longer than the call has', async () => {
    const { w, alice } = await meet('port', 'port');
    await assert.rejects(w.run(alice.explainBoth(idOf(5), { timeoutMs: 2000 })));
    await w.close();
  });
});
