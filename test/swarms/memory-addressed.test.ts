import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Addr, makeAddr } from '../../src/core/addr.ts';
import { P2PError } from '../../src/core/errors.ts';
import { addressedRealm, createMemoryRealm, dropFirstPairwise, dropFirstTuple } from '../../src/swarms/memory/index.ts';
import { askSuite, swarmSuite } from '../../src/testing/suites/index.ts';

interface Planet extends Addr {
  readonly planet: string;
}
const planet = (text: string): Planet => {
  if (!/^planet [A-Z][a-z0-9]*$/.test(text))
    throw new TypeError(`Cannot parse planet: expected planet Mars, got ${text}`);
  return makeAddr<Planet>({ planet: text.slice(7), text });
};

const fixture = {
  make: async (n: number) => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const planets = addressedRealm(realm, planet);
    const swarms = Array.from({ length: n }, (_, i) => planets.swarm(planet(`planet P${i}`)));
    return {
      swarms,
      run: <T>(promise: Promise<T>) => realm.clock.run(promise),
      unknownAddr: () => planet('planet Nowhere'),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
};
swarmSuite({ describe, it }, 'memory with addresses of one’s own', fixture);
askSuite({ describe, it }, 'memory with addresses of one’s own', fixture);

describe('addressedRealm', () => {
  it('names a taken address, and frees it on close', async () => {
    const planets = addressedRealm(createMemoryRealm(), planet);
    const mars = planets.swarm(planet('planet Mars'));
    assert.throws(
      () => planets.swarm(planet('planet Mars')),
      (error) => P2PError.is(error, 'in_use') && error.message.includes('planet Mars'),
    );
    await mars.close();
    planets.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) }, planet('planet Mars'));
  });
});

describe('drop transforms', () => {
  for (const [name, make, expected] of [
    ['dropFirstPairwise', dropFirstPairwise, [1, 2]],
    ['dropFirstTuple', dropFirstTuple, [1, 1]],
  ] as const) {
    it(`${name} drops the first message and no other`, async () => {
      const realm = createMemoryRealm({ clock: 'virtual', transform: make() });
      const [alice, bob] = [realm.swarm(), realm.swarm()];
      const [a, b] = [alice.addr, bob.addr];
      const heard = [0, 0];
      alice.listen(() => void heard[1]!++);
      bob.listen(() => void heard[0]!++);
      for (let i = 0; i < 2; i++) {
        void alice.tell(b, Uint8Array.of(i));
        void bob.tell(a, Uint8Array.of(i));
      }
      await realm.clock.advance(1);
      assert.deepEqual(heard, expected);
    });
  }
});
