/** Connections kept by peer, in virtual time, with connections that are plain objects. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Side } from '../../src/core/accept.ts';
import { P2PError } from '../../src/core/errors.ts';
import { comparePeerIds, type PeerId } from '../../src/core/peer-id.ts';
import {
  ConnectionTable,
  type ConnectionTableOptions,
  MAX_CONNECTIONS_AT_ONCE,
  MAX_CONNECTIONS_PER_PEER,
  type PeerConnection,
  prefersNew,
  SIMULTANEOUS_MS,
  SURPLUS_IDLE_MS,
} from '../../src/sessions/connection-table.ts';
import { KnownPeers, MAX_KNOWN_PEERS } from '../../src/sessions/known-peers.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { watchedClock } from '../support/watched-clock.ts';
import { idOf } from '../support/p2pke-world.ts';

interface Fake extends PeerConnection {
  readonly name: string;
  idleSinceMs: number | undefined;
}

type Options = Partial<ConnectionTableOptions<Fake, PeerId, string, string>>;

const [SMALL, LARGE] = [idOf(1), idOf(2)].toSorted(comparePeerIds) as [PeerId, PeerId];

function fake(name: string, parts: Partial<PeerConnection> = {}): Fake {
  return { name, peer: LARGE, side: 'responder', sinceMs: 0, idleSinceMs: 0, host: '192.0.2.1', ...parts };
}

/** Name, why and when. */
type ClosedOne = readonly [string, string, number];

function world(options: Options = {}) {
  const clock = watchedClock();
  const closed: ClosedOne[] = [];
  const abandoned: string[] = [];
  const table: ConnectionTable<Fake, PeerId, string, string> = new ConnectionTable({
    realm: createMemoryRealm({ clock }),
    own: SMALL,
    expects: (target) => target,
    remember: ({ name }) => `key of ${name}`,
    replaced: () => undefined,
    close: (connection, why) => {
      closed.push([connection.name, why, clock.nowMs()]);
      table.remove(connection);
    },
    abandoned: ({ handle }) => {
      abandoned.push(handle);
      table.dials.take(handle);
    },
    ...options,
  });
  const got: string[] = [];
  const join = (name: string, target: PeerId, handle: string): (() => void) =>
    table.join(
      target,
      'there',
      () => table.dials.add(target, target, handle),
      (result) => {
        got.push(`${name}: ${result instanceof P2PError ? result.code : result.name}`);
      },
    );
  const names = (peer = LARGE): string[] => table.all(peer).map(({ name }) => name);
  return { clock, table, closed, abandoned, got, join, names };
}

describe('a table of connections: dials', () => {
  it('calls for one peer share a dial, and one that gives up leaves the others waiting', () => {
    const { table, got, abandoned, join } = world();
    const stops = ['a', 'b', 'c'].map((name) => join(name, LARGE, 'dial'));
    assert.equal(table.dials.size, 1);
    stops[0]!();
    stops[0]!();
    assert.deepEqual(abandoned, []);
    const connection = fake('one');
    assert.equal(table.add(connection, 'dial'), connection);
    assert.deepEqual([got, table.dials.size], [['b: one', 'c: one'], 0]);
  });

  it('the dial is given up with its last waiter, and a later call begins another', () => {
    const { abandoned, join, got, table } = world();
    join('a', LARGE, 'first')();
    assert.deepEqual([abandoned, got], [['first'], []]);
    join('b', LARGE, 'second');
    assert.ok(table.dials.of('second') !== undefined);
  });

  it('calls that wait for the peer at another address get its connection, whoever dialled it', () => {
    const { table, got, join } = world();
    join('a', LARGE, 'elsewhere');
    table.add(fake('theirs', { side: 'initiator' }));
    assert.deepEqual(got, ['a: theirs']);
    assert.equal(table.dials.size, 1, 'the dial itself goes on');
  });

  it('a dial that cannot begin answers with its error', () => {
    const { table } = world();
    const error = new P2PError('unreachable', 'local', 'nowhere');
    let got: unknown;
    table.join(
      'key',
      'there',
      () => error,
      (result) => void (got = result),
    );
    assert.equal(got, error);
  });
});

describe('a table of connections: which one is used', () => {
  it('of two dialled at once within 5 s both sides use the one whose initiator has the smaller PeerID', () => {
    const far = SIMULTANEOUS_MS - 1;
    for (const smallDialledFirst of [true, false]) {
      const [first, second] = [
        smallDialledFirst ? 'by small' : 'by large',
        smallDialledFirst ? 'by large' : 'by small',
      ];
      for (const [own, peer] of [
        [SMALL, LARGE],
        [LARGE, SMALL],
      ] as const) {
        const { table } = world({ own });
        const sideOf = (name: string): Side => ((name === 'by small') === (own === SMALL) ? 'responder' : 'initiator');
        table.add(fake(first, { peer, side: sideOf(first) }));
        table.add(fake(second, { peer, side: sideOf(second), sinceMs: far }));
        assert.equal(table.current(peer)?.name, 'by small');
      }
    }
  });

  it('the newer one is used when they are further apart, of one initiator, or at another place', () => {
    const old = fake('old', { side: 'responder' });
    assert.equal(prefersNew(SMALL, fake('new', { side: 'initiator', sinceMs: SIMULTANEOUS_MS }), old), true);
    assert.equal(prefersNew(SMALL, fake('new', { side: 'responder', sinceMs: 1 }), old), true);
    assert.equal(prefersNew(SMALL, fake('new', { side: 'initiator', sinceMs: 1 }), old), false);
    assert.equal(prefersNew(SMALL, fake('new', { side: 'initiator', sinceMs: 1, place: 2 }), old), true);
  });

  it('of several transports the one with the highest rank is used, and the next one when that has gone', () => {
    const { table, names } = world();
    const quic = fake('quic', { rank: 1 });
    table.add(fake('relay', { rank: 0 }));
    table.add(quic);
    table.add(fake('tcp', { rank: 2 }));
    table.add(fake('relay again', { rank: 0 }));
    assert.deepEqual(names(), ['tcp', 'quic', 'relay again', 'relay']);
    table.remove(table.current(LARGE)!);
    assert.equal(table.current(LARGE), quic);
  });

  it('a retired connection stays in the table and is not used', () => {
    const { table, names } = world();
    const [a, b] = [fake('a'), fake('b')];
    table.add(a);
    table.retire(a);
    assert.deepEqual([table.current(LARGE), table.recall(LARGE), table.has(a)], [undefined, 'key of a', true]);
    table.add(b);
    assert.equal(table.current(LARGE), b);
    table.retire(b);
    table.add(fake('c'));
    assert.deepEqual(names(), ['c', 'b', 'a']);
  });

  it('an exclusive one is what its caller gets; it replaces none and is not replaced', () => {
    const replaced: string[] = [];
    const { table, names, got, join } = world({ replaced: ({ name }) => void replaced.push(name) });
    table.add(fake('shared'));
    join('a', LARGE, 'dial');
    assert.equal(table.add(fake('own', { isExclusive: true }), 'dial').name, 'own');
    assert.deepEqual([names(), replaced, got], [['shared', 'own'], [], ['a: own']]);
    table.add(fake('newer'));
    assert.deepEqual([names(), replaced], [['newer', 'shared', 'own'], ['shared']]);
  });
});

describe('a table of connections: surplus ones', () => {
  it('of more than four the oldest closes when it has been idle for 750 ms, and none that is in use', async () => {
    const { table, clock, closed, names } = world();
    const all = ['1', '2', '3', '4', '5', '6'].map((name) => fake(name));
    all[0]!.idleSinceMs = undefined; // an ask is open on it
    for (const each of all) table.add(each);
    await clock.advance(SURPLUS_IDLE_MS - 1);
    assert.equal(closed.length, 0);
    await clock.advance(1);
    assert.deepEqual(closed, [
      ['2', 'surplus', 750],
      ['3', 'surplus', 750],
    ]);
    assert.deepEqual(names(), ['6', '5', '4', '1']);
    assert.equal(names().length, MAX_CONNECTIONS_PER_PEER);
    await clock.advance(60_000);
    assert.deepEqual([closed.length, clock.armed], [2, 0]);
  });

  it('all others busy: nothing is closed until one becomes idle, however long that takes', async () => {
    const { table, clock, closed } = world();
    const all = ['1', '2', '3', '4', '5'].map((name) => fake(name, { idleSinceMs: undefined }));
    for (const each of all) table.add(each);
    await clock.advance(600_000);
    assert.equal(closed.length, 0);
    all[1]!.idleSinceMs = clock.nowMs();
    await clock.advance(2 * SURPLUS_IDLE_MS);
    assert.deepEqual(
      closed.map((each) => each[0]),
      ['2'],
    );
  });

  it('a replaced one closes after the time its owner says, and not when it is used again meanwhile', async () => {
    const { table, clock, closed } = world({ replaced: ({ side }) => (side === 'responder' ? 30_000 : undefined) });
    const [old, middle] = [fake('old'), fake('middle')];
    table.add(old);
    table.add(fake('theirs', { side: 'initiator', sinceMs: 10_000 }));
    table.add(middle);
    await clock.advance(20_000);
    old.idleSinceMs = 20_000; // a late message
    await clock.advance(29_999);
    assert.equal(closed.length, 0);
    await clock.advance(1);
    assert.deepEqual(closed, [['old', 'replaced', 50_000]]);
    assert.equal(table.current(LARGE), middle);
  });

  it('one that was replaced is used again when its successor has gone, and stays', async () => {
    const { table, clock, closed } = world({ replaced: () => 30_000 });
    const [old, fresh] = [fake('old'), fake('fresh')];
    table.add(old);
    table.add(fresh);
    table.remove(fresh);
    await clock.advance(120_000);
    assert.deepEqual([closed, table.current(LARGE), clock.armed], [[], old, 0]);
  });

  it('beyond 128 at once the oldest idle one closes, and where all are in use the new one', () => {
    const { table, closed } = world();
    for (let i = 0; i < MAX_CONNECTIONS_AT_ONCE; i++) {
      table.add(fake(String(i), { idleSinceMs: i === 5 || i === 9 ? 0 : undefined }));
    }
    assert.equal(closed.length, 0);
    for (const name of ['a', 'b', 'c']) table.add(fake(name, { idleSinceMs: undefined }));
    assert.deepEqual(
      closed.map((each) => each.slice(0, 2)),
      [
        ['5', 'too_many'],
        ['9', 'too_many'],
        ['c', 'too_many'],
      ],
    );
    assert.equal(table.size, MAX_CONNECTIONS_AT_ONCE);
  });

  it('other peers are not touched', async () => {
    const { table, clock, closed } = world();
    const third = idOf(3);
    for (const name of ['a', 'b', 'c', 'd']) table.add(fake(name, { peer: third }));
    for (const name of ['1', '2', '3', '4', '5']) table.add(fake(name));
    await clock.advance(10_000);
    assert.deepEqual([closed.map((each) => each[0]), table.all(third).length, table.peers], [['1'], 4, 2]);
  });
});

describe('a table of connections: peers that have gone', () => {
  it('are remembered, the oldest forgotten first, and none that has a connection', () => {
    const { table } = world({ maxKnown: 2 });
    const [a, b, c] = [idOf(11), idOf(12), idOf(13)];
    const kept = fake('kept');
    table.add(kept);
    for (const peer of [a, b, c]) table.remove(table.add(fake(`of ${peer.slice(0, 4)}`, { peer })));
    assert.equal(table.known, 2);
    assert.deepEqual([table.recall(a), table.recall(LARGE)], [undefined, 'key of kept']);
    assert.ok(table.recall(b) !== undefined && table.recall(c) !== undefined);
    table.remove(kept);
    assert.deepEqual([table.recall(b), table.recall(LARGE)], [undefined, 'key of kept']);
  });

  it('one source that dials under many keys forgets its own keys and not those of others', () => {
    const { table } = world({ maxKnown: 4 });
    table.remove(table.add(fake('dialled')));
    const victim = idOf(20);
    table.remove(table.add(fake('elsewhere', { peer: victim, side: 'initiator', host: '198.51.100.1' })));
    for (let i = 30; i < 40; i++) table.remove(table.add(fake(`flood ${i}`, { peer: idOf(i), side: 'initiator' })));
    assert.equal(table.known, 4);
    assert.ok(table.recall(LARGE) !== undefined && table.recall(victim) !== undefined);
  });

  it('are 4096 at most', () => {
    const known = new KnownPeers<number>();
    for (let i = 0; i < MAX_KNOWN_PEERS + 10; i++) known.note(`peer ${i}` as PeerId, i, 'host', false);
    assert.deepEqual([known.size, MAX_KNOWN_PEERS, known.get('peer 9' as PeerId)], [4096, 4096, undefined]);
    assert.equal(known.get('peer 10' as PeerId), 10);
  });
});

describe('a table of connections that is cleared', () => {
  it('answers all who wait, holds nothing and arms no timer', async () => {
    const { table, clock, got, closed, join } = world({ replaced: () => 30_000 });
    for (const name of ['1', '2', '3', '4', '5']) table.add(fake(name));
    table.remove(table.add(fake('gone', { peer: idOf(11) })));
    join('a', idOf(12), 'dial');
    table.clear(new P2PError('closed', 'local', 'closed'));
    assert.deepEqual(got, ['a: closed']);
    assert.deepEqual([table.size, table.peers, table.known, table.dials.size, clock.armed], [0, 0, 0, 0, 0]);
    assert.deepEqual([table.current(LARGE), table.recall(idOf(11))], [undefined, undefined]);
    await clock.advance(60_000);
    assert.equal(closed.length, 0);
  });
});
