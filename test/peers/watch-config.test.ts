import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, type PeersConfig } from '../../src/peers/config.ts';
import { openPeersFromFile, type Peers, type PeersOptions } from '../../src/peers/index.ts';
import { type ConfigReader, type ConfigWatch, watchConfig } from '../../src/peers/watch-config.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';

/** A file in memory, and what was made of it. */
class World {
  readonly realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  readonly applied: PeersConfig[] = [];
  readonly changed: (readonly string[])[] = [];
  readonly faults: string[] = [];
  text: string | undefined;
  stamp = 1;
  reads = 0;
  onApply: () => void | Promise<void> = () => {};
  failure: Error | undefined;

  constructor(config: PeersConfig | string | undefined) {
    this.write(config);
  }

  readonly reader: ConfigReader = {
    stamp: () => {
      if (this.failure !== undefined) return Promise.reject(this.failure);
      return Promise.resolve(this.text === undefined ? undefined : String(this.stamp));
    },
    read: () => {
      this.reads++;
      return Promise.resolve(this.text!);
    },
  };

  write(config: PeersConfig | string | undefined): void {
    this.text = config === undefined || typeof config === 'string' ? config : JSON.stringify(config);
    this.stamp++;
  }

  watch(): Promise<ConfigWatch> {
    const { realm, reader } = this;
    const watching = watchConfig(
      'peers.json',
      async (config, changed) => {
        await this.onApply();
        this.applied.push(config);
        this.changed.push(changed);
      },
      { realm, reader, onFault: ({ message }) => this.faults.push(message) },
    );
    return realm.clock.run(watching);
  }
}

describe('a configuration file', () => {
  it('is read at first, and again within a second after it has changed', async () => {
    const world = new World({ networkName: 'one' });
    using watch = await world.watch();
    assert.deepEqual(world.changed, [['networkName']]);
    world.write({ networkName: 'one', minPeers: 2 });
    await world.realm.clock.advance(1000);
    assert.deepEqual(world.applied[1], { networkName: 'one', minPeers: 2 });
    assert.deepEqual(world.changed[1], ['minPeers']);
    assert.equal(watch.config.minPeers, 2);
    await world.realm.clock.advance(60_000);
    assert.equal(world.applied.length, 2);
    assert.ok(world.reads <= 4, 'a file that stays is not read');
    assert.equal(world.faults.length, 0);
  });

  it('that is not valid is reported once and not used, and the next one is', async () => {
    const world = new World({ networkName: 'one' });
    using watch = await world.watch();
    world.write({ networkName: 'two', minPeer: 2 } as PeersConfig);
    await world.realm.clock.advance(10_000);
    assert.equal(world.faults.length, 1);
    assert.match(world.faults[0]!, /peers\.json:\n {2}"minPeer" is not known; did you mean minPeers\?/);
    assert.equal(watch.config.networkName, 'one');
    world.write('{"networkName": "tw');
    await world.realm.clock.advance(1000);
    world.write({ networkName: 'two' });
    await world.realm.clock.advance(1000);
    assert.deepEqual(world.applied, [{ networkName: 'one' }, { networkName: 'two' }]);
    assert.equal(world.faults.length, 2);
  });

  it('that goes away, or cannot be read, is reported once, and used again when it is back', async () => {
    const world = new World({ networkName: 'one' });
    using watch = await world.watch();
    world.write(undefined);
    await world.realm.clock.advance(5000);
    world.write({ networkName: 'two' });
    await world.realm.clock.advance(1000);
    world.failure = new Error('EACCES');
    await world.realm.clock.advance(5000);
    assert.deepEqual(
      world.faults.map((fault) => fault.replaceAll(/\s+/g, ' ')),
      ['Cannot use peers.json: there is no such file', 'EACCES'],
    );
    assert.equal(watch.config.networkName, 'two');
  });

  it('that is written twice within the resolution of its time is read once more', async () => {
    const world = new World({ networkName: 'one' });
    using watch = await world.watch();
    world.write({ networkName: 'two' });
    await world.realm.clock.advance(1000);
    world.text = JSON.stringify({ networkName: 'six' });
    await world.realm.clock.advance(1000);
    assert.equal(watch.config.networkName, 'six');
  });

  it('that cannot be applied is reported, and the old configuration counts', async () => {
    const world = new World({ networkName: 'one' });
    using watch = await world.watch();
    let tries = 0;
    world.onApply = () => {
      tries++;
      return Promise.reject(new Error('the port is taken'));
    };
    world.write({ networkName: 'one', preferredPort: 80 });
    await world.realm.clock.advance(3000);
    assert.deepEqual([world.faults, tries], [['the port is taken'], 1]);
    assert.equal(watch.config.preferredPort, undefined);
    world.onApply = () => {};
    world.write({ networkName: 'one', preferredPort: 8080 });
    await world.realm.clock.advance(1000);
    assert.deepEqual(world.changed.at(-1), ['preferredPort']);
  });

  it('is applied one version after the other, and not after the watch has ended', async () => {
    const world = new World({ networkName: 'one' });
    const watch = await world.watch();
    const slow = Promise.withResolvers<void>();
    world.onApply = () => slow.promise;
    world.write({ networkName: 'two' });
    await world.realm.clock.advance(1000);
    world.write({ networkName: 'three' });
    await world.realm.clock.advance(5000);
    assert.equal(world.applied.length, 1);
    world.onApply = () => {};
    slow.resolve();
    await world.realm.clock.advance(1000);
    assert.deepEqual(world.applied.slice(1), [{ networkName: 'two' }, { networkName: 'three' }]);
    watch[Symbol.dispose]();
    world.write({ networkName: 'four' });
    await world.realm.clock.advance(5000);
    assert.equal(world.applied.length, 3);
  });

  it('that is being read when the watch ends is not applied', async () => {
    const world = new World({ networkName: 'one' });
    const watch = await world.watch();
    world.write({ networkName: 'two' });
    const checking = watch.check();
    watch[Symbol.dispose]();
    await checking;
    await world.realm.clock.advance(5000);
    assert.equal(world.applied.length, 1);
    assert.equal(watch.config.networkName, 'one');
  });

  it('is looked at now by check, and the first one must be valid', async () => {
    const world = new World({ networkName: 'one' });
    using watch = await world.watch();
    world.write({ networkName: 'two' });
    await watch.check();
    assert.equal(watch.config.networkName, 'two');
    await assert.rejects(new World(undefined).watch(), ConfigError);
    await assert.rejects(new World('{"a": 1}').watch(), ConfigError);
    const { reader } = world;
    assert.throws(() => void watchConfig(7 as unknown as string, () => {}, { reader }), TypeError);
    assert.throws(() => void watchConfig('x', () => {}, {} as never), TypeError);
    assert.throws(() => void watchConfig('x', () => {}, { reader, everyMs: 0 }), RangeError);
  });
});

/** A node that is opened by a file, and what writes the file. */
async function opened(file: PeersConfig, given: Partial<PeersOptions> = {}): Promise<FileWorld> {
  const w = new PeersWorld({ latencyMs: 20, trace: undefined });
  let [text, stamp] = [JSON.stringify(file), 1];
  const reader: ConfigReader = { stamp: () => Promise.resolve(String(stamp)), read: () => Promise.resolve(text) };
  const faults: string[] = [];
  const onFault = ({ message }: Error): void => void faults.push(message);
  const options = {
    reader,
    onFault,
    privateKey: testKey(1),
    transports: ['tcp'],
    security: 'noise',
    ...w.net.host(),
    ...given,
  } as const;
  const peers = await w.run(openPeersFromFile('peers.json', options));
  w.opened.push(peers);
  const write = async (next: PeersConfig): Promise<void> => {
    [text, stamp] = [JSON.stringify(next), stamp + 1];
    await w.advance(2000);
  };
  return { w, peers, write, faults };
}

interface FileWorld {
  readonly w: PeersWorld;
  readonly peers: Peers;
  readonly faults: readonly string[];
  readonly write: (next: PeersConfig) => Promise<void>;
}

const maintained = (peers: Peers): readonly string[] =>
  peers.list().flatMap(({ id, isMaintained }) => (isMaintained ? [id] : []));
const targets = (peers: Peers, list: 'allow' | 'deny' | 'bans'): readonly string[] =>
  peers.lists.snapshot()[list].map(({ target }) => target);

describe('a change of the file of openPeersFromFile', () => {
  it('undoes nothing that the program gave or did', async () => {
    const given = { acceptBootstrap: false, lists: { deny: ['192.0.2.1'] } };
    const { w, peers, write, faults } = await opened({}, given);
    peers.maintain(idOf(2));
    peers.ban('192.0.2.2');
    await write({ minPeers: 2 });
    await write({ minPeers: 2, acceptBootstrap: true, lists: { deny: ['192.0.2.3'], bans: [] }, maintain: [idOf(3)] });
    await write({ minPeers: 3 });
    assert.deepEqual([peers.acceptBootstrap, faults.length], [false, 2], 'minPeers needs a restart');
    assert.deepEqual([targets(peers, 'deny'), targets(peers, 'bans')], [['192.0.2.1'], ['192.0.2.2']]);
    assert.deepEqual(maintained(peers), [idOf(2)]);
    await w.close();
  });

  it('an option that the program gives as undefined is that of the file', async () => {
    const { w, peers } = await opened({ acceptBootstrap: false }, { acceptBootstrap: undefined });
    assert.equal(peers.acceptBootstrap, false);
    await w.close();
  });

  it('takes back what the file gave, and leaves what the program changed', async () => {
    const bans = [
      { target: '192.0.2.1' },
      { target: '192.0.2.2', untilMs: Number.MAX_SAFE_INTEGER },
      { target: '192.0.2.3' },
      { target: '192.0.2.4' },
    ];
    const lists = { allow: [idOf(2), '10.0.0.0/8'], deny: ['192.0.2.9'], bans };
    const { w, peers, write } = await opened({ lists, acceptBootstrap: false, maintain: [idOf(2)] });
    peers.ban('192.0.2.3', { reason: 'by the program' });
    peers.ban('192.0.2.7');
    peers.unban('192.0.2.4');
    peers.lists.allow(idOf(4));
    peers.lists.remove('deny', '192.0.2.9');
    const next = { allow: ['10.0.0.0/8', '172.16.0.0/12'], deny: ['192.0.2.9', '192.0.2.8'], bans: bans.slice(3) };
    await write({ lists: next, maintain: [idOf(3)] });
    assert.deepEqual(targets(peers, 'allow').toSorted(), ['10.0.0.0/8', '172.16.0.0/12', idOf(4)].toSorted());
    assert.deepEqual(targets(peers, 'deny'), ['192.0.2.8']);
    assert.deepEqual(targets(peers, 'bans').toSorted(), ['192.0.2.3', '192.0.2.7']);
    assert.deepEqual([peers.acceptBootstrap, maintained(peers)], [true, [idOf(3)]]);
    await write({});
    assert.deepEqual([targets(peers, 'allow'), targets(peers, 'deny'), maintained(peers)], [[idOf(4)], [], []]);
    await w.close();
  });

  it('does not shorten a ban of the program, and a longer one of the file counts', async () => {
    const { w, peers, write } = await opened({});
    peers.ban('192.0.2.1');
    peers.ban('192.0.2.2', { forMs: 60_000 });
    const untilMs = peers.lists.snapshot().bans[1]!.untilMs! - 30_000;
    await write({ lists: { bans: [{ target: '192.0.2.1', untilMs }, { target: '192.0.2.2' }] } });
    assert.deepEqual(
      peers.lists.snapshot().bans.map((ban) => ban.untilMs),
      [undefined, undefined],
    );
    await w.close();
  });
});
