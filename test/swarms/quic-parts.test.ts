/** Parts of the QUIC layer by themselves: dials, connections of a key, which of two to use. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { comparePeerIds } from '../../src/core/peer-id.ts';
import { type QuicConnection } from '../../src/protocols/quic/connection.ts';
import { ConnectionTable, MAX_CONNECTIONS_PER_PEER } from '../../src/quic/connection-table.ts';
import { type DialWaiter, DialTable, MAX_DIAL_WAITERS } from '../../src/quic/dials.ts';
import { prefersNew, Retirement, type Rival } from '../../src/quic/rivalry.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { watchedClock } from '../support/watched-clock.ts';
import { idOf } from './p2pke-network.ts';

describe('the table of dials', () => {
  function table() {
    const abandoned: string[] = [];
    const dials = new DialTable<string, string, string>(({ connection }) => {
      abandoned.push(connection);
      dials.take(connection);
    });
    const got: string[] = [];
    const waiter =
      (name: string): DialWaiter<string> =>
      (result) =>
        void got.push(`${name} ${typeof result === 'string' ? result : result.code}`);
    return { dials, abandoned, got, waiter };
  }

  it('tells all who wait for a dial, in order, and takes 4096 of them', () => {
    const { dials, got, waiter } = table();
    const dial = dials.add('key', 'target', 'c1');
    assert.deepEqual([dials.get('key'), dials.of('c1'), dials.size], [dial, dial, 1]);
    for (let i = 0; i < MAX_DIAL_WAITERS; i++) dials.join(dial, 'there', i < 2 ? waiter(String(i)) : () => {});
    assert.equal(MAX_DIAL_WAITERS, 4096);
    dials.join(dial, 'there', waiter('late'));
    assert.deepEqual(got, ['late limit_exceeded']);
    dials.settle(dials.take('c1')!, 'session');
    assert.deepEqual(got.slice(1), ['0 session', '1 session']);
    dials.settle(dial, 'again');
    assert.equal(got.length, 3, 'once');
    assert.deepEqual(
      [dials.size, dials.get('key'), dials.of('c1'), dials.take('c1')],
      [0, undefined, undefined, undefined],
    );
  });

  it('is told when the last one gave up, and not of a dial that has ended', () => {
    const { dials, abandoned, got, waiter } = table();
    const dial = dials.add('key', 'target', 'c1');
    const stops = ['a', 'b'].map((name) => dials.join(dial, 'there', waiter(name)));
    stops[0]!();
    stops[0]!();
    assert.deepEqual(abandoned, []);
    stops[1]!();
    assert.deepEqual([abandoned, dials.size], [['c1'], 0]);
    const ended = dials.add('key', 'target', 'c2');
    const stop = dials.join(ended, 'there', waiter('c'));
    dials.take('c2');
    stop();
    assert.deepEqual([abandoned, got], [['c1'], []]);
    dials.join(ended, 'there', waiter('d'), 1);
    dials.join(ended, 'there', waiter('e'), 1);
    assert.deepEqual(got, ['e limit_exceeded']);
  });

  it('keeps the dial of a key that took the place of another, and dials without a key apart', () => {
    const { dials } = table();
    const old = dials.add('key', 'target', 'c1');
    const fresh = dials.add('key', 'target', 'c2');
    dials.add(undefined, 'target', 'c3');
    assert.equal(dials.take('c1'), old);
    assert.equal(dials.get('key'), fresh);
    dials.take('c3');
    assert.deepEqual([dials.get('key'), [...dials.values()]], [fresh, [fresh]]);
    dials.settle(fresh, new P2PError('closed', 'local', 'closed'));
  });
});

const connection = (role: 'client' | 'server', address = 1): QuicConnection =>
  ({ role, address, state: 'open', stats: () => ({ receivedStreamFrames: 0 }) }) as unknown as QuicConnection;

describe('the connections of a key', () => {
  const made = (): { readonly connection: QuicConnection } => ({ connection: connection('client') });

  it('are the preferred one and then the newest first; the fifth makes one too many', () => {
    const table = new ConnectionTable<string, { readonly connection: QuicConnection }>();
    const all = Array.from({ length: 5 }, made);
    assert.equal(MAX_CONNECTIONS_PER_PEER, 4);
    assert.deepEqual(
      all.map((each, i) => table.add('a', each, i === 1)),
      [undefined, undefined, undefined, undefined, all[0]],
    );
    assert.deepEqual(
      table.all('a'),
      [1, 4, 3, 2, 0].map((i) => all[i]),
    );
    assert.deepEqual(
      [table.current('a'), table.of(all[3]!.connection), table.size, table.keys],
      [all[1], all[3], 5, 1],
    );
    assert.equal(table.remove(all[1]!.connection), true);
    assert.equal(table.remove(all[1]!.connection), false);
    assert.deepEqual([table.current('a'), table.size], [all[4], 4]);
    for (const i of [0, 2, 3, 4]) table.remove(all[i]!.connection);
    assert.deepEqual([table.keys, table.size, table.current('a'), table.all('a')], [0, 0, undefined, []]);
  });
});

describe('of two connections with a peer', () => {
  const [small, large] = [idOf(1), idOf(2)].toSorted(comparePeerIds) as [
    ReturnType<typeof idOf>,
    ReturnType<typeof idOf>,
  ];
  const rival = (role: 'client' | 'server', sinceMs: number, peer = large, address = 1): Rival => ({
    connection: connection(role, address),
    peer,
    sinceMs,
    busy: false,
  });

  it('that were dialled at once, within 5 s, the one that the smaller PeerID dialled is used', () => {
    assert.equal(prefersNew(small, rival('client', 4999), rival('server', 0)), true);
    assert.equal(prefersNew(small, rival('server', 4999), rival('client', 0)), false);
    assert.equal(prefersNew(large, rival('client', 4999, small), rival('server', 0, small)), false);
    assert.equal(prefersNew(large, rival('server', 4999, small), rival('client', 0, small)), true);
  });

  it('the newer is used when they are further apart, of one dialler, or from another address', () => {
    assert.equal(prefersNew(small, rival('server', 5000), rival('client', 0)), true);
    assert.equal(prefersNew(small, rival('server', 1), rival('server', 0)), true);
    assert.equal(prefersNew(large, rival('client', 1, small), rival('client', 0, small)), true);
    assert.equal(prefersNew(small, rival('server', 1, large, 2), rival('client', 0, large, 1)), true);
  });

  it('the other is closed when it has been quiet for 30 s; a surplus one that was never used after 750 ms', async () => {
    const clock = watchedClock();
    const closed: [unknown, number][] = [];
    const used = new Set<Rival>();
    let polls = 0;
    const retirement = new Retirement<Rival>({
      realm: createMemoryRealm({ clock }),
      inUse: (each) => used.has(each),
      close: (each) => void closed.push([each, clock.nowMs()]),
      poll: () => void polls++,
    });
    const frames = { count: 0 };
    const talking = { ...rival('client', 0), busy: false };
    Object.assign(talking.connection, { stats: () => ({ receivedStreamFrames: frames.count }) });
    const busy = { ...rival('client', 0), busy: true };
    const [quiet, theirs, inUse, unused, over] = ['client', 'server', 'client', 'server', 'client'].map((role) =>
      rival(role as 'client' | 'server', 0),
    ) as [Rival, Rival, Rival, Rival, Rival];
    used.add(inUse);
    for (const each of [quiet, theirs, inUse, busy, talking, over]) retirement.retire(each);
    Object.assign(over.connection, { state: 'closed' });
    retirement.retireSurplus(unused);
    frames.count = 1;
    await clock.advance(29_999);
    assert.deepEqual(closed, [[unused, 750]]);
    await clock.advance(1);
    assert.deepEqual(closed.slice(1), [[quiet, 30_000]]);
    busy.busy = false;
    await clock.advance(30_000);
    assert.deepEqual(
      closed.slice(2).map(([each, at]) => [each === busy || each === talking, at]),
      [
        [true, 60_000],
        [true, 60_000],
      ],
    );
    assert.deepEqual([clock.armed, polls > 0], [0, true]);
    retirement.retire(quiet);
    retirement.stop();
    assert.equal(clock.armed, 0);
  });
});
