/** Bootstraps over TCP on a virtual internet, from a cache, the LAN and contacts. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CandidateSource } from '../../src/core/candidate.ts';
import { idOf, named, openBootstrapWorld as open, reasonsOf } from '../support/bootstrap-world.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';

describe('bootstrap over TCP', () => {
  it('dials cached peers, those on the LAN and contacts, and the first that answers wins', async () => {
    const world = await open();
    const [bob, carol, dave] = [await world.peer(2), await world.peer(3), await world.peer(4)];
    const firsts: string[] = [];
    const result = await world.begin({
      sources: [
        { name: 'cache', source: named('cache', [`${idOf(9)}@50.0.0.1:4000`, bob.addr.text]) },
        { name: 'lan', source: named('lan', [carol.addr.text]) },
        world.contacts([dave.addr.text], { fallbackAfterMs: 0 }),
      ],
      onPeer: ({ id }) => void firsts.push(id),
    });
    assert.deepEqual(
      new Set(result.peers.map(({ id, candidate: { source } }) => `${source} ${id}`)),
      new Set([`cache ${idOf(2)}`, `lan ${idOf(3)}`, `contacts ${idOf(4)}`]),
    );
    assert.equal(firsts[0], result.peers[0]?.id);
    assert.deepEqual(reasonsOf(result), { '50.0.0.1:4000': 'unreachable' });
    await world.close();
  });

  it('takes contacts only when the cache has not found enough after two seconds', async () => {
    const world = await open();
    const [bob, carol] = [await world.peer(2), await world.peer(3)];
    const silent = world.net.nat('port');
    const cached = [bob.addr.text, `${idOf(9)}@${silent.ip}:4000`];
    const startMs = world.realm.nowMs();
    const result = await world.begin({
      minPeers: 2,
      sources: [{ name: 'cache', source: named('cache', cached) }, world.contacts([carol.addr.text])],
    });
    assert.deepEqual(
      world.dialled.map(([atMs, addr]) => [atMs - startMs, addr]),
      [
        [0, cached[0]],
        [200, cached[1]],
        [2000, carol.addr.text],
      ],
    );
    assert.deepEqual(
      result.peers.map(({ id }) => id),
      [idOf(2), idOf(3)],
    );
    world.dialled = [];
    const enough = await world.begin({
      minPeers: 1,
      sources: [{ name: 'cache', source: named('cache', cached) }, world.contacts([carol.addr.text])],
    });
    assert.deepEqual([enough.peers.length, enough.sources[1]?.state, world.dialled.length], [1, 'not_asked', 1]);
    await world.close();
  });

  for (const others of [0, 1, 2, 3]) {
    it(`is ready with ${others} peers in the network, and ends by itself`, async () => {
      const world = await open();
      for (let i = 0; i < others; i++) await world.peer(2 + i);
      const list = world.swarms.map(({ addr }) => addr.text);
      const result = await world.begin({ sources: [world.contacts(list)] });
      assert.equal(result.peers.length, others);
      // The list of contacts is the same on all nodes.
      assert.deepEqual(Object.values(reasonsOf(result)), ['self']);
      await world.close();
    });
  }

  it('skips a blacklisted contact, and takes the next', async () => {
    const world = await open();
    const [bob, carol] = [await world.peer(2), await world.peer(3)];
    const list = [bob.addr.text, carol.addr.text];
    for (const blacklist of [
      [idOf(2)],
      [bob.addr.text],
      [bob.addr.inner.text],
      [bob.addr.inner.ip],
      [`${bob.addr.inner.ip}/32`],
    ]) {
      world.dialled = [];
      const result = await world.begin({ blacklist, minPeers: 2, sources: [world.contacts(list)] });
      assert.deepEqual(
        result.peers.map(({ id }) => id),
        [idOf(3)],
      );
      assert.deepEqual(Object.values(reasonsOf(result)), ['blacklisted']);
      assert.deepEqual(
        world.dialled.map(([, addr]) => addr),
        [carol.addr.text],
      );
    }
    await world.close();
  });

  it('ends without peers, and says why, when all candidates of all sources are blacklisted', async () => {
    const world = await open();
    const result = await world.begin({
      blacklist: ['50.0.0.0/8', '2001:db8::/32'],
      sources: [
        { name: 'cache', source: named('cache', [`${idOf(7)}@50.0.0.1:4000`]) },
        { name: 'lan', source: named('lan', [`${idOf(8)}@50.255.0.1:4000`]) },
        world.contacts([`${idOf(9)}@[2001:db8::7]:4000`]),
      ],
    });
    assert.deepEqual([result.peers, world.dialled], [[], []]);
    assert.deepEqual(
      result.refused.map(({ text }) => text),
      [
        `${idOf(7)}@50.0.0.1:4000 (cache) is on the blacklist`,
        `${idOf(8)}@50.255.0.1:4000 (lan) is on the blacklist`,
        `${idOf(9)}@[2001:db8::7]:4000 (contacts) is on the blacklist`,
      ],
    );
    await world.close();
  });

  it('ends at once without contacts, and after five seconds when all are silent', async () => {
    const world = await open();
    const none = await world.begin({ sources: [world.contacts([])] });
    assert.deepEqual([none.peers, none.refused, none.tookMs], [[], [], 0]);
    const [one, two] = [world.net.nat('port'), world.net.nat('port')];
    const list = [`${idOf(8)}@${one.ip}:4000`, `${idOf(9)}@${two.ip}:4000`];
    const result = await world.begin({ attemptTimeoutMs: 4000, sources: [world.contacts(list)] });
    assert.deepEqual(Object.values(reasonsOf(result)), ['silent', 'silent']);
    assert.equal(result.tookMs, 4200);
    await world.close();
  });

  it('says of each contact what was wrong: itself, another key, silence, a refusal, a closed port, an early end', async () => {
    const world = await open();
    const [denying, other] = [await world.peer(2, { accept: () => false }), await world.peer(3)];
    const hosts = Array.from({ length: 3 }, () => world.net.host());
    const [mute, flapping, closed] = hosts as [VirtualHost, VirtualHost, VirtualHost];
    await world.listener(mute, 4000);
    await flapping.network.listen({
      bind: { ip: '0.0.0.0', port: 4000 },
      backlog: 16,
      reusePort: false,
      onError: () => undefined,
      onConnection: ({ pipe }) => pipe.destroy(),
    });
    const list = [
      `${idOf(1)}@50.0.0.1:4000`,
      denying.addr.text,
      `${idOf(9)}@${other.addr.inner.text}`,
      `${idOf(8)}@${mute.ip}:4000`,
      `${idOf(7)}@${flapping.ip}:4000`,
      `${idOf(6)}@${closed.ip}:4000`,
    ];
    const result = await world.begin({ attemptTimeoutMs: 3000, sources: [world.contacts(list)] });
    const flapped = result.refused.find(({ candidate: { id } }) => id === idOf(7));
    assert.match(flapped?.reason ?? 'none', /^(denied|unreachable)$/);
    assert.deepEqual(
      Object.fromEntries(
        result.refused
          .filter((each) => each !== flapped)
          .map(({ candidate, reason }) => [candidate.id!, reason] as const),
      ),
      {
        [idOf(1)]: 'self',
        [idOf(2)]: 'denied',
        [idOf(9)]: 'wrong_key',
        [idOf(8)]: 'silent',
        [idOf(6)]: 'unreachable',
      },
    );
    assert.equal(world.dialled.length, 5, 'one attempt each, none to itself');
    await world.close();
  });

  it('gives the deny reasons of peers, and of another network name, as the attempt reports them', async () => {
    const world = await open();
    const result = await world.begin({
      sources: [world.contacts([`${idOf(8)}@50.0.0.1:4000`, `${idOf(9)}@50.0.0.2:4000`])],
      attempt: ({ addr }) =>
        Promise.resolve(
          addr.includes('50.0.0.1')
            ? { fault: 'denied', detail: 'clients are not accepted' }
            : { fault: 'wrong_network', detail: '"other"' },
        ),
    });
    assert.deepEqual(
      result.refused.map(({ text }) => text).toSorted(),
      [
        `${idOf(8)}@50.0.0.1:4000 (contacts) denied the connection: clients are not accepted`,
        `${idOf(9)}@50.0.0.2:4000 (contacts) belongs to another network: "other"`,
      ].toSorted(),
    );
    await world.close();
  });

  it('does not dial what others claim of refused ranges, and one socket once, whoever claims it', async () => {
    const world = await open();
    const claims = ['10.0.0.1:4000', '50.0.0.1:22', ...Array<string>(20).fill('50.0.0.2:4000')];
    const source: CandidateSource = {
      candidates: () =>
        claims.map((at, i) => ({
          id: idOf(100 + i),
          addr: `${idOf(100 + i)}@${at}`,
          source: 'x',
          seenMs: 1,
          expiresMs: 2,
        })),
    };
    const result = await world.begin({ sources: [{ name: 'x', source }] });
    assert.deepEqual(
      world.dialled.map(([, addr]) => addr.slice(44)),
      ['50.0.0.2:4000'],
    );
    const counted = Map.groupBy(result.refused, ({ reason }) => reason);
    assert.deepEqual([counted.get('not_allowed')?.length, counted.get('unreachable')?.length], [21, 1]);
    assert.match(result.refused[0]!.text, /is not allowed: the address could be that of a stranger/);
    await world.close();
  });
});
