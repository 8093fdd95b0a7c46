import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, type PeersConfig } from '../../src/peers/config.ts';
import { type ConfigReader, type ConfigWatch, watchConfig } from '../../src/peers/watch-config.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';

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
