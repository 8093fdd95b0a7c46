import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePeerId, type PeerId } from '../../src/core/peer-id.ts';
import {
  type AttackEvent,
  AttackSignals,
  type AttackSignalsOptions,
  banPolicy,
} from '../../src/peers/attack-signals.ts';
import { PeerLists } from '../../src/peers/lists.ts';
import { array, assert as check, constantFrom, nat, property, record } from '../support/fast-check.ts';

const ALICE: PeerId = parsePeerId('A'.repeat(42) + '-');

function watch(options: Partial<AttackSignalsOptions> = {}) {
  const events: AttackEvent[] = [];
  const signals = new AttackSignals({ onAttack: (event) => events.push(event), ...options });
  return { events, signals };
}

describe('signs of attacks', () => {
  it('are reported once when a source crosses the threshold, with evidence', () => {
    const { events, signals } = watch();
    for (let i = 0; i < 30; i++) {
      const observation = {
        ip: '192.0.2.1',
        signal: 'handshakes_failed',
        isProven: true,
        sample: `failure ${i}`,
      } as const;
      signals.note(1000 + i, observation);
    }
    assert.deepEqual(events, [
      {
        type: 'attack',
        source: '192.0.2.1',
        signal: 'handshakes_failed',
        isProven: true,
        count: 20,
        perMs: 60_000,
        firstMs: 1000,
        lastMs: 1019,
        samples: ['failure 0', 'failure 1', 'failure 2', 'failure 3'],
        times: 1,
      },
    ]);
  });

  it('that go on are reported again with pauses that double, and after silence from the beginning', () => {
    const { events, signals } = watch();
    const at: number[] = [];
    for (let now = 0; now < 3_600_000; now += 1000) {
      const before = events.length;
      for (let i = 0; i < 20; i++) signals.note(now, { ip: '192.0.2.1', signal: 'malformed', isProven: true });
      if (events.length > before) at.push(now / 60_000);
    }
    assert.deepEqual(at, [0, 1, 3, 7, 15, 31]);
    assert.ok(events.at(-1)!.count > 10_000, 'the evidence is of the whole pause');
    for (let i = 0; i < 20; i++) signals.note(20_000_000, { ip: '192.0.2.1', signal: 'malformed', isProven: true });
    assert.equal(events.at(-1)!.times, 1);
  });

  it('below the threshold are not reported, however long they go on, nor where two windows meet', () => {
    const { events, signals } = watch({ thresholds: { malformed: { count: 10, perMs: 1000 } } });
    for (let now = 0; now < 100_000; now += 125)
      signals.note(now, { ip: '192.0.2.1', signal: 'malformed', isProven: true });
    assert.equal(events.length, 0, 'eight in a second');
    // One begins a window, and thirteen within 100 ms lie in two of them.
    const note = (now: number, ip: string): void => signals.note(now, { ip, signal: 'malformed', isProven: true });
    note(200_000, '192.0.2.2');
    for (let i = 0; i < 6; i++) note(200_950, '192.0.2.2');
    for (let i = 0; i < 6; i++) note(201_050, '192.0.2.2');
    assert.equal(events.length, 1);
    // With a window in between they are no burst.
    for (let i = 0; i < 9; i++) note(300_000, '192.0.2.3');
    for (let i = 0; i < 9; i++) note(302_500, '192.0.2.3');
    assert.equal(events.length, 1);
  });

  it('count for the PeerID and for the network of the IP, proven and not apart', () => {
    const { events, signals } = watch({ thresholds: { malformed: { count: 10, perMs: 1000 } } });
    for (let i = 0; i < 10; i++)
      signals.note(i, { id: ALICE, ip: `2001:db8::${i}`, signal: 'malformed', isProven: true });
    for (let i = 0; i < 9; i++) {
      signals.note(i, { ip: '192.0.2.1', signal: 'malformed', isProven: true });
      signals.note(i, { ip: '192.0.2.1', signal: 'malformed', isProven: false });
    }
    assert.deepEqual(
      events.map(({ source }) => source),
      [ALICE, '2001:db8::/64'],
    );
  });

  it('of many sources are bounded, and a flood of one network pushes no other out', () => {
    const { events, signals } = watch({ maxCounts: 100 });
    for (let i = 0; i < 9; i++) signals.note(0, { ip: '198.51.100.1', signal: 'malformed', isProven: true });
    for (let i = 0; i < 10_000; i++)
      signals.note(1, { ip: `203.0.113.${i & 255}`, signal: 'malformed', isProven: false });
    for (let i = 0; i < 60 * 256; i += 7) {
      signals.note(1, { ip: `203.0.${i >> 8}.${i & 255}`, signal: 'undecryptable', isProven: false });
    }
    assert.equal(signals.size, 100);
    signals.note(2, { ip: '198.51.100.1', signal: 'malformed', isProven: true });
    assert.ok(events.some(({ source }) => source === '198.51.100.1'));
  });

  it('keep few short samples', () => {
    const { events, signals } = watch();
    for (let i = 0; i < 10; i++) {
      signals.note(0, { ip: '192.0.2.1', signal: 'malformed', isProven: true, sample: 'x'.repeat(100_000) });
    }
    assert.deepEqual(
      events[0]!.samples.map(({ length }) => length),
      [200, 200, 200, 200],
    );
  });

  it('never lead to more than one event for each threshold of observations', () => {
    const observation = record({
      ms: nat(2000),
      source: nat(2),
      signal: constantFrom('malformed', 'rate', 'handshakes'),
    });
    check(
      property(array(observation, { maxLength: 300 }), (observations) => {
        const { events, signals } = watch({
          thresholds: {
            malformed: { count: 5, perMs: 1000 },
            rate: { count: 5, perMs: 1 },
            handshakes: { count: 5, perMs: 1e6 },
          },
        });
        let now = 0;
        for (const { ms, source, signal } of observations) {
          now += ms;
          signals.note(now, { ip: `192.0.2.${source}`, signal, isProven: true });
        }
        const all = Map.groupBy(events, ({ source, signal }) => `${source} ${signal}`);
        for (const [key, some] of all) {
          const seen = observations.filter(({ source, signal }) => key === `192.0.2.${source} ${signal}`).length;
          const told = some.reduce((sum, { count }) => sum + count, 0);
          assert.ok(told <= seen && some.every(({ count, firstMs, lastMs }) => count >= 5 && firstMs <= lastMs));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('refuse options out of bounds', () => {
    assert.throws(() => watch({ thresholds: { flood: { count: 1, perMs: 1 } } as never }), /got "flood"/);
    assert.throws(() => watch({ thresholds: { rate: { count: 0, perMs: 1 } } }), RangeError);
    assert.throws(() => watch({ maxCounts: 1 }), RangeError);
    assert.throws(() => banPolicy({ forMs: 10, maxForMs: 5 }), RangeError);
  });
});

describe('the ban policy', () => {
  const event: AttackEvent = {
    type: 'attack',
    source: '192.0.2.1',
    signal: 'malformed',
    isProven: true,
    count: 10,
    perMs: 60_000,
    firstMs: 1000,
    lastMs: 3500,
    samples: [],
    times: 1,
  };

  it('bans a source that is proven, twice as long each time', () => {
    const policy = banPolicy({ maxForMs: 3_000_000 });
    const times = [1, 2, 3, 4, 50].map((n) => policy({ ...event, times: n })?.forMs);
    assert.deepEqual(times, [600_000, 1_200_000, 2_400_000, 3_000_000, 3_000_000]);
    assert.deepEqual(policy(event), {
      target: '192.0.2.1',
      reason: 'malformed: 10 in 2.5 s',
      forMs: 600_000,
      by: 'policy',
    });
  });

  it('bans no source that others can forge, none of signals that it ignores, and nothing that is no target', () => {
    const policy = banPolicy();
    assert.equal(policy({ ...event, isProven: false }), undefined);
    assert.equal(policy({ ...event, signal: 'handshakes' }), undefined);
    assert.equal(policy({ ...event, source: 'fe80::%eth0/64' }), undefined);
    assert.equal(policy({ ...event, source: 'somewhere' }), undefined);
    assert.equal(banPolicy({ signals: ['rate'] })(event), undefined);
  });

  it('makes bans that the lists take', () => {
    const realm = { nowMs: () => 0, wallMs: () => 0 };
    const lists = new PeerLists({ realm });
    for (const source of ['192.0.2.1', '2001:db8::/64', ALICE]) {
      const { target, ...how } = banPolicy()({ ...event, source })!;
      lists.ban(target, how);
    }
    assert.equal(lists.decide({ ip: '2001:db8::9' }).rule, 'banned');
    assert.equal(lists.decide({ id: ALICE }).reason, `${ALICE} is banned: malformed: 10 in 2.5 s`);
  });
});
