import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodePeerId, type PeerId } from '../../src/core/peer-id.ts';
import { type ListChange, type ListsData, type ListsOptions, PeerLists } from '../../src/peers/lists.ts';
import { parseTarget } from '../../src/peers/target-index.ts';
import { array, assert as check, constantFrom, nat, property, string, tuple } from '../support/fast-check.ts';

const id = (i: number): PeerId =>
  encodePeerId(Uint8Array.from({ length: 32 }, (_, at) => (at === 0 ? i : at === 1 ? i >> 8 : 7)));
const [ALICE, BOB] = [id(1), id(2)];

function lists(options: Partial<ListsOptions> = {}) {
  const time = { nowMs: 1000 };
  const changes: ListChange[] = [];
  const realm = { nowMs: () => time.nowMs, wallMs: () => 1_700_000_000_000 + time.nowMs };
  const made = new PeerLists({ realm, onChange: (change) => changes.push(change), ...options });
  return { lists: made, time, changes, realm };
}

describe('lists of peers', () => {
  it('without entries admit everybody', () => {
    assert.deepEqual(lists().lists.decide({ id: ALICE, ip: '192.0.2.1', kind: 'node' }), {
      isAllowed: true,
      rule: 'default',
      reason: 'no list has it',
    });
  });

  it('deny PeerIDs, IPs and prefixes, and say why', () => {
    const { lists: all } = lists();
    all.deny([ALICE, { target: '192.0.2.0/24', reason: 'a test network' }, '2001:db8::/32', '203.0.113.7']);
    for (const [subject, reason] of [
      [{ id: ALICE, ip: '198.51.100.1' }, `the deny list has ${ALICE}`],
      [{ id: BOB, ip: '192.0.2.77' }, 'the deny list has 192.0.2.0/24: a test network'],
      [{ ip: '::ffff:192.0.2.77' }, 'the deny list has 192.0.2.0/24: a test network'],
      [{ ip: '2001:db8:1:2::3' }, 'the deny list has 2001:db8::/32'],
      [{ ip: '203.0.113.7' }, 'the deny list has 203.0.113.7'],
    ] as const) {
      assert.deepEqual(all.decide(subject), { isAllowed: false, rule: 'denied', reason });
    }
    for (const ip of ['192.0.3.1', '2001:db9::1', '203.0.113.8', 'no ip', ''])
      assert.ok(all.decide({ id: BOB, ip }).isAllowed);
    assert.equal(all.remove('deny', ['::ffff:203.0.113.7', '198.51.100.9']), 1);
    assert.ok(all.decide({ ip: '203.0.113.7' }).isAllowed);
  });

  it('with an allow list admit nobody else, as soon as enough is known', () => {
    const { lists: all } = lists();
    all.allow([ALICE, '10.0.0.0/8']);
    const rule = (id_?: PeerId, ip?: string): string => all.decide({ id: id_, ip, kind: 'node' }).rule;
    assert.equal(rule(ALICE, '192.0.2.1'), 'listed');
    assert.equal(rule(BOB, '10.9.9.9'), 'listed');
    assert.equal(rule(BOB, '192.0.2.1'), 'not_listed');
    assert.equal(rule(undefined, '192.0.2.1'), 'undecided', 'its key may be on the list');
    assert.equal(rule(BOB, undefined), 'undecided', 'its IP may be on the list');
    const byKey = lists().lists;
    byKey.allow(ALICE);
    assert.equal(byKey.decide({ id: BOB, kind: 'node' }).rule, 'not_listed');
    const byIp = lists().lists;
    byIp.allow('10.0.0.0/8');
    assert.equal(byIp.decide({ ip: '192.0.2.1', kind: 'node' }).rule, 'not_listed');
  });

  it('decide by what is left when an entry that was added twice is removed', () => {
    const { lists: all } = lists();
    all.allow([ALICE, '10.0.0.0/8']);
    all.allow({ target: '10.0.0.0/8', reason: 'again' });
    assert.equal(all.decide({ ip: '10.1.1.1' }).reason, 'the allow list has 10.0.0.0/8: again');
    all.remove('allow', '10.0.0.0/8');
    assert.equal(all.decide({ id: BOB, kind: 'node' }).rule, 'not_listed');
  });

  it('apply to nodes, to clients, or to both', () => {
    const { lists: all } = lists();
    all.deny({ target: '192.0.2.0/24', kind: 'client' });
    assert.equal(
      all.decide({ ip: '192.0.2.1', kind: 'client' }).reason,
      'the deny list has 192.0.2.0/24 for each client',
    );
    assert.ok(all.decide({ ip: '192.0.2.1', kind: 'node' }).isAllowed);
    assert.ok(all.decide({ ip: '192.0.2.1' }).isAllowed, 'not before the kind is known');
    const { lists: allowing } = lists();
    allowing.allow({ target: ALICE, kind: 'node' });
    assert.equal(allowing.decide({ id: ALICE }).rule, 'undecided');
    assert.equal(allowing.decide({ id: ALICE, kind: 'node' }).rule, 'listed');
    assert.equal(allowing.decide({ id: ALICE, kind: 'client' }).rule, 'not_listed');
  });

  it('put bans and the deny list before the allow list', () => {
    const { lists: all } = lists();
    all.allow([ALICE, BOB]);
    all.deny('192.0.2.1');
    all.ban(BOB, { reason: 'sent garbage' });
    assert.equal(all.decide({ id: ALICE, ip: '192.0.2.1' }).rule, 'denied');
    assert.deepEqual(all.decide({ id: BOB, ip: '192.0.2.2' }), {
      isAllowed: false,
      rule: 'banned',
      reason: `${BOB} is banned: sent garbage`,
    });
  });

  it('find the entry among ten thousand, whatever else there is', () => {
    const { lists: all } = lists();
    all.deny(Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`));
    all.deny('172.16.0.0/12');
    const ips: string[] = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.9`);
    assert.ok(ips.every((ip) => !all.decide({ ip }).isAllowed));
    assert.ok(all.decide({ ip: '10.40.0.9' }).isAllowed);
    assert.equal(all.decide({ ip: '172.31.1.1' }).reason, 'the deny list has 172.16.0.0/12');
  });
});

describe('bans', () => {
  it('of many at once end by themselves, or when they are lifted', () => {
    const { lists: all, time } = lists();
    all.ban([ALICE, '192.0.2.0/24'], { forMs: 500, reason: 'flood' });
    all.ban(BOB);
    assert.ok(!all.decide({ id: ALICE }).isAllowed && !all.decide({ ip: '192.0.2.5' }).isAllowed);
    time.nowMs += 499;
    assert.ok(!all.decide({ id: ALICE }).isAllowed);
    time.nowMs += 1;
    assert.ok(all.decide({ id: ALICE }).isAllowed && all.decide({ ip: '192.0.2.5' }).isAllowed);
    assert.equal(all.unban([BOB, ALICE]), 2, 'a ban that has ended is there until somebody looks');
    assert.ok(all.decide({ id: BOB }).isAllowed);
    assert.equal(all.unban(BOB), 0);
  });

  it('of a network that has ended hide none of a larger one', () => {
    const { lists: all, time } = lists();
    all.ban('192.0.2.1', { forMs: 10 });
    all.ban('192.0.2.0/24', { forMs: 1000 });
    time.nowMs += 100;
    assert.equal(all.decide({ ip: '192.0.2.1' }).reason, '192.0.2.0/24 is banned: banned');
  });

  it('are bounded: those of a policy make room with a share per network, those of the program end first', () => {
    const { lists: all } = lists({ maxBans: 100 });
    all.ban('192.0.2.1');
    for (let i = 0; i < 10; i++) all.ban(`198.51.100.${i}`, { by: 'policy', forMs: 1000 });
    // A host with many keys.
    for (let i = 0; i < 1000; i++) all.ban(id(i), { by: 'policy', host: '203.0.113.9', forMs: 1000 });
    const { bans } = all.snapshot();
    assert.equal(bans.length, 100);
    assert.ok(!all.decide({ ip: '192.0.2.1' }).isAllowed);
    assert.equal(bans.filter(({ target }) => target.startsWith('198.51.100.')).length, 10);
    for (let i = 0; i < 200; i++) all.ban(`10.0.${i}.1`, { forMs: 1000 + i });
    const targets = all.snapshot().bans.map(({ target }) => target);
    assert.equal(targets.length, 100);
    assert.ok(targets.includes('192.0.2.1') && targets.includes('10.0.199.1') && !targets.includes('10.0.1.1'));
  });

  it('that have ended make room before those that have not', () => {
    const { lists: all, time } = lists({ maxBans: 2 });
    all.ban('192.0.2.1', { forMs: 10 });
    all.ban('192.0.2.2', { forMs: 1000, by: 'policy' });
    time.nowMs += 10;
    all.ban('192.0.2.3');
    assert.deepEqual(
      all.snapshot().bans.map(({ target }) => target),
      ['192.0.2.2', '192.0.2.3'],
    );
  });

  it('of a policy do not shorten those of the program', () => {
    const { lists: all } = lists();
    all.ban(ALICE, { reason: 'for good' });
    all.ban(ALICE, { reason: 'flood', forMs: 10, by: 'policy' });
    assert.equal(all.decide({ id: ALICE }).reason, `${ALICE} is banned: for good`);
  });
});

describe('changes of lists', () => {
  it('are reported once for each call, with canonical targets', () => {
    const { lists: all, changes } = lists();
    all.allow(['::ffff:10.0.0.0/104', ALICE]);
    all.deny('2001:DB8::/32');
    all.remove('allow', ALICE);
    all.remove('allow', ALICE);
    all.ban([ALICE, BOB]);
    all.unban(ALICE);
    assert.deepEqual(changes, [
      { list: 'allow', added: ['10.0.0.0/8', ALICE], removed: [] },
      { list: 'deny', added: ['2001:db8::/32'], removed: [] },
      { list: 'allow', added: [], removed: [ALICE] },
      { list: 'bans', added: [ALICE, BOB], removed: [] },
      { list: 'bans', added: [], removed: [ALICE] },
    ]);
  });

  it('of all lists at once replace what is given, and report the differences', () => {
    const { lists: all, changes } = lists();
    all.allow(ALICE);
    all.deny(['10.0.0.0/8', '192.0.2.1']);
    all.ban(BOB);
    changes.length = 0;
    all.replace({ deny: ['192.0.2.1', { target: '192.0.2.2', kind: 'client', reason: 'why' }], bans: [] });
    assert.deepEqual(changes, [
      { list: 'deny', added: ['192.0.2.2'], removed: ['10.0.0.0/8'] },
      { list: 'bans', added: [], removed: [BOB] },
    ]);
    assert.deepEqual(all.snapshot().allow, [{ target: ALICE, kind: 'both' }]);
  });
});

describe('lists as plain data', () => {
  it('go out and come back, bans with the time at which they end', () => {
    const { lists: all, realm } = lists();
    all.allow({ target: ALICE, kind: 'client', reason: 'a friend' });
    all.deny('10.0.0.0/8');
    all.ban('192.0.2.1', { forMs: 5000, reason: 'flood', by: 'policy' });
    all.ban(BOB);
    const text = JSON.stringify(all.snapshot());
    const { bans } = all.snapshot();
    assert.equal(bans[0]!.untilMs, realm.wallMs() + 5000);
    // A process that starts later, with another monotonic clock.
    const later = new PeerLists({ realm: { nowMs: () => 7, wallMs: () => realm.wallMs() + 4000 } });
    later.replace(JSON.parse(text) as ListsData);
    assert.deepEqual(later.snapshot(), JSON.parse(text));
    const muchLater = new PeerLists({ realm: { nowMs: () => 7, wallMs: () => realm.wallMs() + 5000 } });
    muchLater.replace(JSON.parse(text) as ListsData);
    assert.deepEqual(
      muchLater.snapshot().bans.map(({ target }) => target),
      [BOB],
    );
  });

  it('that are not valid change nothing, and the fault is named with its path', () => {
    const { lists: all, changes } = lists({ maxEntries: 4, maxBans: 2 });
    all.deny('10.0.0.0/8');
    changes.length = 0;
    for (const [data, fault] of [
      [[], /Cannot take lists: expected an object/],
      [null, /Cannot take lists: expected an object/],
      [{ block: [] }, /it has "block"; expected allow, deny and bans only/],
      [{ allow: [ALICE], deny: 'x' }, /lists\.deny: expected a list/],
      [{ allow: [ALICE], deny: ['example.org'] }, /lists\.deny\[0\]: expected a PeerID, an IP or a prefix/],
      [{ deny: [{ target: '10.1.2.3/8' }] }, /lists\.deny\[0\]\.target: .*; 10\.1\.2\.3 is an address in that network/],
      [{ deny: ['fe80::1%eth0'] }, /a zone is not part/],
      [{ deny: [7] }, /lists\.deny\[0\]: expected an object, got 7/],
      [{ deny: [{ target: ALICE, kind: 'constructor' }] }, /lists\.deny\[0\]\.kind/],
      [{ deny: [{ target: ALICE, reason: 7 }] }, /lists\.deny\[0\]\.reason/],
      [{ deny: [{ target: ALICE, reason: 'x'.repeat(1000) }] }, /at most 256 characters/],
      [{ deny: ['1.0.0.1', '1.0.0.2', '1.0.0.3', '1.0.0.4', '1.0.0.5'] }, /it has 5 entries, 4 is the most/],
      [{ bans: [{ target: ALICE, untilMs: 'soon' }] }, /lists\.bans\[0\]\.untilMs/],
      [{ bans: [{ target: ALICE, by: 'me' }] }, /lists\.bans\[0\]\.by/],
      [{ bans: [ALICE] }, /lists\.bans\[0\]: expected an object/],
    ] as const) {
      assert.throws(() => all.replace(data as ListsData), fault, JSON.stringify(data));
    }
    assert.throws(() => all.deny(['1.0.0.1', '1.0.0.2', '1.0.0.3', '1.0.0.4']), /5 entries, 4 is the most/);
    assert.throws(() => all.ban([ALICE, 'nonsense']), TypeError);
    assert.throws(() => all.ban(ALICE, { forMs: -1 }), RangeError);
    assert.equal(changes.length, 0);
    assert.deepEqual(all.snapshot(), { allow: [], deny: [{ target: '10.0.0.0/8', kind: 'both' }], bans: [] });
  });

  it('hostile targets and IPs throw nothing but misuse, and a decision never throws', () => {
    const { lists: all } = lists();
    all.deny(['0.0.0.0/0', '::/0', ALICE]);
    check(
      property(string({ maxLength: 80 }), (text) => {
        parseTarget(text);
        all.decide({ id: text as PeerId, ip: text });
      }),
      { numRuns: 2000 },
    );
  });

  it('decide as a search through all entries does', () => {
    const ipv4 = tuple(nat({ max: 3 }), nat({ max: 3 }), nat({ max: 255 })).map(([a, b, c]) => `10.${a}.${b}.${c}`);
    const prefix = tuple(nat({ max: 3 }), nat({ max: 3 }), constantFrom(8, 15, 16, 23, 24)).map(([a, b, bits]) =>
      bits === 8
        ? '10.0.0.0/8'
        : bits === 15
          ? `10.${a & 2}.0.0/15`
          : bits === 16
            ? `10.${a}.0.0/16`
            : `10.${a}.${bits === 23 ? b & 2 : b}.0/${bits}`,
    );
    check(
      property(array(prefix, { maxLength: 12 }), array(prefix, { maxLength: 6 }), ipv4, (added, removed, ip) => {
        const { lists: all } = lists();
        for (const each of added) all.deny(each);
        all.remove('deny', removed);
        const bits = (text: string): string =>
          text
            .split('.')
            .map((part) => Number(part).toString(2).padStart(8, '0'))
            .join('');
        const left = added.filter((each) => !removed.includes(each));
        const isDenied = left.some((each) =>
          bits(ip).startsWith(bits(each.split('/')[0]!).slice(0, Number(each.split('/')[1]))),
        );
        assert.equal(all.decide({ ip }).isAllowed, !isDenied);
      }),
      { numRuns: 500 },
    );
  });
});
