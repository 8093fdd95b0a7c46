import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Candidate } from '../../src/core/candidate.ts';
import { contacts, type ContactSource, type SkippedContact } from '../../src/discovery/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);

async function read(source: ContactSource, ...args: Parameters<ContactSource['candidates']>): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for await (const each of source.candidates(...args)) found.push(each);
  return found;
}

const textsOf = (candidates: readonly Candidate[]): string[] => candidates.map(({ addr }) => addr);

describe('contacts', () => {
  it('are candidates that the user gave, with the PeerIDs that they name', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const list = [
      '203.0.113.7:4000',
      `${idOf(1)}@203.0.113.8:4001`,
      `tcp://${idOf(2)}@[2001:DB8::1]:80`,
      '[::ffff:198.51.100.1]:5',
    ];
    const found = await realm.clock.run(read(contacts(list, { realm })));
    const seenMs = Math.floor(realm.wallMs());
    const rest = { source: 'contacts', seenMs, expiresMs: Infinity, trust: 'given' };
    assert.deepEqual(
      found.toSorted((a, b) => (a.addr < b.addr ? -1 : 1)),
      [
        { id: undefined, addr: '198.51.100.1:5', ...rest },
        { id: undefined, addr: '203.0.113.7:4000', ...rest },
        { id: idOf(1), addr: `${idOf(1)}@203.0.113.8:4001`, ...rest },
        { id: idOf(2), addr: `tcp://${idOf(2)}@[2001:db8::1]:80`, ...rest },
      ].toSorted((a, b) => (a.addr < b.addr ? -1 : 1)),
    );
  });

  it('come shuffled, differently each time, and the same way for the same seed', async () => {
    const list = Array.from({ length: 20 }, (_, i) => `203.0.113.${i + 1}:4000`);
    const orders = async (seed: number): Promise<string[]> => {
      const realm = createMemoryRealm({ clock: 'virtual', seed });
      const source = contacts(list, { realm });
      return [textsOf(await read(source)).join(), textsOf(await read(source)).join()];
    };
    const [first, second] = await orders(7);
    assert.notEqual(first, second);
    assert.notEqual(first, list.join());
    assert.deepEqual(first!.split(',').toSorted(), list.toSorted());
    assert.deepEqual(await orders(7), [first, second]);
    assert.notDeepEqual(await orders(8), [first, second]);
  });

  it('asked for one peer are those that name it', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const source = contacts(['203.0.113.7:4000', `${idOf(1)}@203.0.113.8:4001`, `${idOf(2)}@203.0.113.9:1`], { realm });
    assert.deepEqual(textsOf(await read(source, idOf(1))), [`${idOf(1)}@203.0.113.8:4001`]);
  });

  it('wait two seconds for better sources, or as long as they are told', () => {
    assert.equal(contacts([]).fallbackAfterMs, 2000);
    assert.equal(contacts([], { fallbackAfterMs: 0 }).fallbackAfterMs, 0);
  });

  it('that are this node itself are skipped, by PeerID and by address', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const skipped: SkippedContact[] = [];
    const list = [`${idOf(1)}@203.0.113.8:4001`, '203.0.113.9:4000', 'me.example:4000', '203.0.113.9:4001'];
    const source = contacts(list, {
      realm,
      self: idOf(1),
      ownAddrs: () => [`${idOf(1)}@203.0.113.9:4000`],
      resolve: () => Promise.resolve(['203.0.113.9']),
      onSkipped: (each) => void skipped.push(each),
    });
    assert.deepEqual(textsOf(await realm.clock.run(read(source))), ['203.0.113.9:4001']);
    assert.deepEqual(skipped.map(({ contact }) => contact).toSorted(), list.slice(0, 3).toSorted());
    assert.equal(skipped[0]?.text, `Contact ${skipped[0]?.contact} is skipped: it is this node`);
  });

  it('with a name have up to eight of its addresses, each once', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const ips = ['203.0.113.1', '203.0.113.1', ...Array.from({ length: 500 }, (_, i) => `2001:4860::${i + 1}`)];
    const source = contacts([`tcp://${idOf(3)}@peers.example.org:4000`], {
      realm,
      resolve: () => Promise.resolve(ips),
    });
    const found = await realm.clock.run(read(source));
    assert.equal(found.length, 7);
    assert.equal(found[0]?.addr, `tcp://${idOf(3)}@203.0.113.1:4000`);
    assert.equal(found[1]?.addr, `tcp://${idOf(3)}@[2001:4860::1]:4000`);
    assert.equal(found[1]?.id, idOf(3));
  });

  it('with a name take no address of a foreign private network, and none of no host, from its answer', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const skipped: string[] = [];
    const hostile = [
      '127.0.0.1',
      '192.168.1.1',
      '10.0.0.1',
      '169.254.169.254',
      '224.0.0.1',
      '255.255.255.255',
      '0.0.0.0',
      '::',
      '::1',
      'fe80::1',
      'ff02::1',
      'no ip',
      '198.41.0.4',
    ];
    const options = {
      realm,
      resolve: () => Promise.resolve(hostile),
      maxAddrsPerName: 64,
      onSkipped: ({ text }: SkippedContact) => void skipped.push(text),
    };
    const found = await realm.clock.run(read(contacts(['rebind.example:4000'], options)));
    assert.deepEqual(textsOf(found), ['198.41.0.4:4000']);
    assert.equal(skipped.length, 12);
    const atHome = contacts(['rebind.example:4000'], {
      ...options,
      ownAddrs: () => ['192.168.1.77:4000', '127.0.0.1:4000'],
    });
    assert.deepEqual(textsOf(await realm.clock.run(read(atHome))), ['192.168.1.1:4000', '198.41.0.4:4000']);
  });

  it('with IPs are taken as the user wrote them, private ones and well-known ports too', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const list = ['127.0.0.1:80', '192.168.1.1:443', '169.254.1.1:22'];
    assert.deepEqual(textsOf(await read(contacts(list, { realm }))).toSorted(), list.toSorted());
  });

  it('whose names do not resolve in five seconds, fail, or answer nonsense, are skipped and delay no others', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 3 });
    const skipped: SkippedContact[] = [];
    const aborted: string[] = [];
    const source = contacts(
      ['silent.example:1', 'broken.example:2', 'odd.example:3', 'good.example:4', '203.0.113.1:5'],
      {
        realm,
        onSkipped: (each) => void skipped.push(each),
        resolve: (name, { signal }) => {
          if (name === 'broken.example') throw new Error('no such name');
          if (name === 'odd.example') return Promise.resolve('203.0.113.3' as never);
          if (name === 'good.example') return Promise.resolve(['203.0.113.4']);
          signal.addEventListener('abort', () => aborted.push(name));
          return new Promise(() => undefined);
        },
      },
    );
    const found: [number, string][] = [];
    const reading = (async () => {
      for await (const { addr } of source.candidates()) found.push([realm.nowMs(), addr]);
    })();
    await realm.clock.run(reading);
    assert.deepEqual(found, [
      [0, '203.0.113.1:5'],
      [0, '203.0.113.4:4'],
    ]);
    assert.deepEqual([realm.nowMs(), aborted], [5000, ['silent.example']]);
    assert.deepEqual(skipped.map(({ contact }) => contact).toSorted(), ['broken.example:2', 'silent.example:1']);
  });

  it('resolve at most eight names at a time, and stop with the signal', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    let pending = 0;
    const list = Array.from({ length: 50 }, (_, i) => `n${i}.example:4000`);
    const source = contacts(list, {
      realm,
      resolve: () => {
        pending++;
        return new Promise(() => undefined);
      },
    });
    const over = new AbortController();
    const reading = read(source, undefined, { signal: over.signal });
    await realm.clock.advance(100);
    assert.equal(pending, 8);
    over.abort(new Error('enough'));
    assert.deepEqual(await realm.clock.run(reading), []);
    assert.equal(pending, 8);
  });

  it('can be told from other peers, by PeerID, and by address', () => {
    const source = contacts([`tcp://${idOf(1)}@203.0.113.7:4000`, 'peer.example.org:4000']);
    assert.ok(source.has(idOf(1)));
    assert.ok(source.has('203.0.113.7:4000'));
    assert.ok(source.has(`quic://${idOf(2)}@203.0.113.7:4000`), 'the same IP and port');
    for (const other of [idOf(2), '203.0.113.7:4001', 'peer.example.org', '']) assert.ok(!source.has(other), other);
  });

  it('that are none are misuse', () => {
    for (const text of [
      '203.0.113.7',
      '203.0.113.7:0',
      '203.0.113.7:65536',
      '203.0.113:4000',
      '256.0.0.1:4000',
      '2001:db8::1:4000',
      'not a name:4000',
      '-x.example:4000',
      `${'a'.repeat(64)}.example:4000`,
      'nobody@203.0.113.7:4000',
      `${idOf(1)}:4000`,
      '',
    ]) {
      assert.throws(() => contacts([text]), TypeError, text);
    }
    assert.throws(() => contacts([7 as never]), TypeError);
    assert.throws(() => contacts('203.0.113.7:4000' as never), TypeError);
    assert.throws(() => contacts(Array(1025).fill('203.0.113.7:4000')), RangeError);
    assert.throws(() => contacts([], { fallbackAfterMs: -1 }), RangeError);
    assert.throws(() => contacts([], { resolve: 7 as never }), TypeError);
  });
});
