/** Which address is dialled when. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { candidate, failing, id, open, ReachWorld } from './reach-world.ts';

const [ALICE, BOB] = [id(1), id(2)];
const at = (world: ReachWorld): readonly (readonly [string, number])[] =>
  world.dials.map(({ transport, addr, atMs }) => [`${transport} ${addr}`, atMs] as const);

describe('dialling a peer', () => {
  it('begins with TCP, QUIC follows 250 ms later, and other addresses of a transport 150 ms after each other', () => {
    const world = new ReachWorld(() => undefined);
    for (const transport of ['quic', 'tcp']) {
      for (const host of [1, 2]) world.machine.candidate(0, ALICE, candidate(`198.51.100.${host}:4000`, { transport }));
    }
    world.machine.want(0, ALICE);
    world.advance(1000);
    assert.deepEqual(at(world), [
      ['tcp 198.51.100.1:4000', 0],
      ['tcp 198.51.100.2:4000', 150],
      ['quic 198.51.100.1:4000', 250],
      ['quic 198.51.100.2:4000', 400],
    ]);
  });

  it('with `prefer` reversed begins with QUIC, and with `transports` leaves TCP out', () => {
    const reversed = new ReachWorld(() => undefined, { prefer: ['quic', 'tcp'] });
    const only = new ReachWorld(() => undefined, { transports: ['quic'] });
    for (const world of [reversed, only]) {
      for (const transport of ['tcp', 'quic']) {
        world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000', { transport }));
      }
      world.machine.want(0, ALICE);
      world.advance(1000);
    }
    assert.deepEqual(at(reversed), [
      ['quic 198.51.100.1:4000', 0],
      ['tcp 198.51.100.1:4000', 250],
    ]);
    assert.deepEqual(at(only), [['quic 198.51.100.1:4000', 0]]);
    assert.equal(only.machine.explain(1000, ALICE)!.refused[0]!.rule, 'transport');
  });

  it('goes on at once when an address fails, and when a transport has nothing left', () => {
    const world = new ReachWorld(({ transport }) => (transport === 'tcp' ? failing('refused', 10) : undefined));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.candidate(0, ALICE, candidate('198.51.100.2:4000'));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000', { transport: 'quic' }));
    world.machine.want(0, ALICE);
    world.advance(100);
    assert.deepEqual(at(world), [
      ['tcp 198.51.100.1:4000', 0],
      ['tcp 198.51.100.2:4000', 10],
      ['quic 198.51.100.1:4000', 20],
    ]);
  });

  it('waits for no transport of which no address is known', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000', { transport: 'quic' }));
    world.machine.want(0, ALICE);
    world.advance(10);
    assert.deepEqual(at(world), [['quic 198.51.100.1:4000', 0]]);
  });

  it('takes the same subnet first, then what worked, private, public with IPv6 and IPv4 in turn, and virtual bridges last', () => {
    const world = new ReachWorld(() => failing('refused', 1));
    const give = (addr: string, more: object): void => world.machine.candidate(0, ALICE, candidate(addr, more));
    give('172.17.0.1:4000', { scope: 'virtual' });
    give('198.51.100.1:4000', {});
    give('198.51.100.2:4000', {});
    give('[2001:db8::1]:4000', {});
    give('[2001:db8::2]:4000', {});
    give('10.1.0.1:4000', { scope: 'private' });
    give('203.0.113.9:4000', { trust: 'reached' });
    give('10.0.0.2:4000', { scope: 'same_subnet' });
    world.machine.want(0, ALICE);
    world.advance(100);
    assert.deepEqual(
      world.dials.map(({ addr }) => addr),
      [
        '10.0.0.2:4000',
        '203.0.113.9:4000',
        '10.1.0.1:4000',
        '[2001:db8::1]:4000',
        '198.51.100.1:4000',
        '[2001:db8::2]:4000',
        '198.51.100.2:4000',
        '172.17.0.1:4000',
      ],
    );
  });

  it('relays are dialled at once, and one place of eight is kept for them', () => {
    const world = new ReachWorld(({ kind }) => (kind === 'relay' ? open(20) : undefined));
    for (let i = 0; i < 20; i++) world.machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`));
    world.machine.want(0, ALICE);
    world.advance(999);
    assert.equal(world.running.size, 7);
    world.machine.candidate(world.nowMs, ALICE, candidate('192.0.2.1:443', { kind: 'relay' }));
    world.pump();
    assert.equal(world.running.size, 8);
    world.advance(20);
    assert.deepEqual(
      world.of('reached').map(({ kind, atMs }) => [kind, atMs]),
      [['relay', 1019]],
    );
    const first = new ReachWorld(() => undefined);
    first.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    first.machine.candidate(0, ALICE, candidate('192.0.2.1:443', { kind: 'relay' }));
    first.machine.want(0, ALICE);
    first.advance(1);
    assert.deepEqual(
      first.dials.map(({ kind, atMs }) => [kind, atMs]),
      [
        ['relay', 0],
        ['direct', 0],
      ],
    );
  });

  it('over a relay goes on with direct and punched paths, and ends them when one is open', () => {
    const world = new ReachWorld(({ kind, addr }) =>
      kind === 'relay' ? open(10) : addr === '198.51.100.1:4000' ? open(500) : undefined,
    );
    world.machine.candidate(0, ALICE, candidate('192.0.2.1:443', { kind: 'relay' }));
    world.machine.candidate(0, ALICE, candidate('192.0.2.2:443', { kind: 'relay' }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:5000', { kind: 'punch', transport: 'quic' }));
    world.machine.want(0, ALICE);
    world.advance(400);
    assert.deepEqual(
      world.dials.map(({ kind }) => kind),
      ['relay', 'direct', 'punch'],
    );
    assert.equal(world.machine.explain(400, ALICE)!.path!.kind, 'relay');
    world.advance(200);
    assert.equal(world.machine.explain(600, ALICE)!.path!.kind, 'direct');
    assert.equal(world.running.size, 0);
    assert.equal(world.of('reached').length, 1);
    world.advance(600_000);
    assert.equal(world.dials.length, 3, 'a direct path is good enough');
  });

  it('over a relay looks for a better path once soon, and then each minute', () => {
    const world = new ReachWorld(({ kind }) => (kind === 'relay' ? open(10) : failing('refused', 10)));
    world.machine.candidate(0, ALICE, candidate('192.0.2.1:443', { kind: 'relay' }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.unwant(0, world.machine.want(0, ALICE));
    world.machine.want(0, ALICE);
    world.advance(300_000);
    const direct = world.dials.filter(({ kind }) => kind === 'direct');
    assert.ok(direct.length >= 6 && direct.length <= 12, `${direct.length} attempts in five minutes`);
    // The first look begins again when the peer is wanted again.
    const times = [...new Set(direct.map(({ atMs }) => atMs))];
    assert.ok(times[1]! - times[0]! <= 16_000, `the second one after ${times[1]! - times[0]!} ms`);
    for (const [i, atMs] of times.slice(2).entries()) assert.ok(atMs - times[i + 1]! >= 30_000, times.join());
    assert.equal(world.of('unreachable').length, 0);
  });

  it('thirteen dead addresses before it do not block the good one', () => {
    for (const transports of [['tcp'], ['tcp', 'quic']]) {
      const world = new ReachWorld(({ addr }) => (addr === '192.168.1.5:4000' ? open(40) : undefined));
      for (const transport of transports) {
        for (let i = 0; i < 13; i++) {
          world.machine.candidate(0, ALICE, candidate(`172.${17 + i}.0.1:4000`, { transport, scope: 'private' }));
        }
      }
      world.machine.candidate(0, ALICE, candidate('192.168.1.5:4000', { scope: 'private' }));
      world.machine.want(0, ALICE);
      world.advance(30_000);
      const [reached] = world.of('reached');
      assert.ok(reached !== undefined && reached.atMs <= 4000, `reached after ${reached?.atMs} ms`);
      assert.ok(world.mostRunning <= 8);
      assert.equal(world.running.size, 0);
    }
  });

  it('gives an address that made room another attempt with all the time', () => {
    // Slow, but good: its answer takes longer than the patience of one second.
    const world = new ReachWorld(({ addr }) => (addr === '198.51.100.1:4000' ? open(5000) : undefined));
    for (let i = 1; i <= 20; i++) world.machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`));
    world.machine.want(0, ALICE);
    world.advance(30_000);
    const tries = world.dials.filter(({ addr }) => addr === '198.51.100.1:4000');
    assert.equal(tries.length, 2);
    assert.equal(world.of('reached').length, 1);
    const tried = world.machine
      .explain(world.nowMs, ALICE)!
      .attempts.filter(({ addr }) => addr === '198.51.100.1:4000');
    assert.deepEqual(
      tried.map(({ rule, result }) => [rule, result]),
      [
        ['made_room', 'abandoned'],
        ['outcome', 'open'],
      ],
    );
  });

  it('second attempts keep no first one from its turn', () => {
    const world = new ReachWorld(({ addr }) => (addr === '198.51.100.200:4000' ? open(40) : undefined));
    for (let i = 1; i <= 16; i++) {
      world.machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`, { kind: 'punch', scope: 'same_subnet' }));
    }
    world.machine.want(0, ALICE);
    // All places are taken by then, and some have made room.
    world.advance(2500);
    for (let i = 1; i <= 3; i++) world.machine.candidate(world.nowMs, ALICE, candidate(`203.0.113.${i}:4000`));
    world.machine.candidate(world.nowMs, ALICE, candidate('198.51.100.200:4000'));
    world.advance(3000);
    assert.equal(world.of('reached').length, 1);
  });

  it('with all places taken gives each peer one before others get more', () => {
    const world = new ReachWorld(() => undefined, { maxAttempts: 8 });
    for (let i = 0; i < 8; i++) world.machine.candidate(0, ALICE, candidate(`198.51.100.${i}:4000`));
    for (let i = 0; i < 8; i++) world.machine.candidate(0, BOB, candidate(`203.0.113.${i}:4000`));
    world.machine.candidate(0, id(3), candidate('192.0.2.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(100);
    world.machine.want(world.nowMs, BOB);
    world.machine.want(world.nowMs, id(3));
    world.advance(2500);
    const per = Map.groupBy(world.running.values(), (dial) => dial.id);
    assert.equal(world.mostRunning, 8);
    assert.equal(per.get(id(3))?.length, 1);
    assert.ok(per.get(BOB)!.length >= 2 && per.get(ALICE)!.length >= 2);
  });

  it('an expired candidate is not dialled', () => {
    const world = new ReachWorld(() => undefined);
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000', { expiresMs: 50 }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.2:4000', { transport: 'quic', expiresMs: 50 }));
    world.machine.candidate(0, ALICE, candidate('198.51.100.3:4000', { expiresMs: 0 }));
    world.machine.want(0, ALICE);
    world.advance(1000);
    assert.deepEqual(at(world), [['tcp 198.51.100.1:4000', 0]]);
    assert.equal(world.machine.explain(1000, ALICE)!.refused[0]!.rule, 'expired');
  });

  it('a candidate that comes late is dialled at once, also when all others had failed', () => {
    const world = new ReachWorld(({ addr }) => (addr === '198.51.100.9:4000' ? open(5) : failing('refused', 5)));
    world.machine.candidate(0, ALICE, candidate('198.51.100.1:4000'));
    world.machine.want(0, ALICE);
    world.advance(100);
    assert.equal(world.of('unreachable').length, 1);
    world.machine.candidate(world.nowMs, ALICE, candidate('198.51.100.9:4000'));
    world.advance(10);
    assert.deepEqual(
      world.of('reached').map(({ atMs }) => atMs),
      [105],
    );
  });

  it('a policy excludes what it says', () => {
    const kinds = (policy: 'direct' | 'no_third_party' | 'own_relays' | 'relayed'): readonly string[] => {
      const world = new ReachWorld(() => undefined);
      world.machine.candidate(0, ALICE, candidate('198.51.100.1:1'));
      world.machine.candidate(0, ALICE, candidate('198.51.100.1:2', { kind: 'punch' }));
      world.machine.candidate(0, ALICE, candidate('198.51.100.1:3', { kind: 'relay' }));
      world.machine.candidate(0, ALICE, candidate('198.51.100.1:4', { kind: 'relay', isOwnRelay: true }));
      world.machine.want(0, ALICE, { policy });
      world.advance(2000);
      return world.dials.map(({ addr }) => addr.slice(-1)).toSorted();
    };
    assert.deepEqual(kinds('direct'), ['1', '2']);
    assert.deepEqual(kinds('no_third_party'), ['1']);
    assert.deepEqual(kinds('own_relays'), ['1', '2', '4']);
    assert.deepEqual(kinds('relayed'), ['3', '4']);
  });
});
