import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deflateRawSync, inflateRawSync } from 'node:zlib';

import type { AskSwarm } from '../../src/core/ask.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import { clockOf } from '../../src/runtime/system-realm.ts';
import { CounterSet } from '../../src/swarm-kit/counter-set.ts';
import { createMemoryRealm, type MemoryAddr } from '../../src/swarms/memory/index.ts';
import { askSuite, type SuiteFixture, type SuiteRunner, swarmSuite } from '../../src/testing/suites/index.ts';

type Memory = AskSwarm<MemoryAddr>;
type Suite = (runner: SuiteRunner, name: string, fixture: SuiteFixture<Memory>) => void;

/** A memory swarm with parts of its own. */
function changed(inner: Memory, parts: Partial<Memory>): Memory {
  return new Proxy(inner, {
    get: (target, name) => {
      if (name in parts) return Reflect.get(parts, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Runs a suite against planted swarms. @returns the failures by the name of their test. */
async function failuresOf(suite: Suite, plant: (inner: Memory) => Memory): Promise<ReadonlyMap<string, string>> {
  const failed = new Map<string, string>();
  const tests: { readonly name: string; readonly body: () => Promise<void> }[] = [];
  const runner: SuiteRunner = {
    describe: (_, body) => body(),
    it: Object.assign((name: string, body: () => Promise<void>) => tests.push({ name, body }), { skip: () => {} }),
  };
  suite(runner, 'planted', {
    features: { manyMessages: 100, manySwarms: 3, maxTriedBytes: 100_000 },
    make: async (n) => {
      const realm = createMemoryRealm({ clock: 'virtual', mtu: 1200 });
      const inner = Array.from({ length: n }, () => realm.swarm());
      const mallory = realm.swarm();
      return {
        swarms: inner.map(plant),
        run: (promise) => realm.clock.run(promise),
        inject: (index, bytes) => mallory.tell(inner[index]!.addr, bytes),
        [Symbol.asyncDispose]: async () => {
          await Promise.all([...inner, mallory].map((swarm) => swarm.close()));
        },
      };
    },
  });
  for (const { name, body } of tests) {
    try {
      await body();
    } catch (error) {
      failed.set(name, String(error));
    }
  }
  return failed;
}

/** Puts a byte in front of each message, and takes no others. @param onGarbage - what to do with those. */
function marked(inner: Memory, onGarbage: (counters: CounterSet) => void): Memory {
  const counters = new CounterSet('marked', inner.counters);
  return changed(inner, {
    counters,
    mtu: (dst) => inner.mtu(dst) - 1,
    tell: (dst, payload, options) => {
      if (!(payload instanceof Uint8Array) || payload.length > inner.mtu(dst) - 1)
        return inner.tell(dst, payload, options);
      return inner.tell(dst, Uint8Array.of(0x5a, ...payload), options);
    },
    listen: (handler) =>
      inner.listen((message) => {
        if (message.payload[0] === 0x5a) return handler({ ...message, payload: message.payload.slice(1) });
        onGarbage(counters);
        return undefined;
      }),
  });
}

const GARBAGE = 'bytes from the network never throw: whatever arrives, the swarm goes on';

describe('the suites find out', () => {
  it('a layer that compresses, and promises room that random bytes do not have', async () => {
    const compressing = (inner: Memory): Memory =>
      changed(inner, {
        mtu: (dst) => 2 * inner.mtu(dst),
        tell: (dst, payload, options) => {
          if (!(payload instanceof Uint8Array) || payload.length > 2 * inner.mtu(dst))
            return inner.tell(dst, new Uint8Array(2 * inner.mtu(dst) + 1), options);
          return inner.tell(dst, new Uint8Array(deflateRawSync(payload)), options);
        },
        listen: (handler) =>
          inner.listen((message) => {
            const payload: Bytes = new Uint8Array(inflateRawSync(message.payload));
            return handler({ ...message, payload });
          }),
      });
    const failed = await failuresOf(swarmSuite, compressing);
    assert.match(failed.get('tell() takes exactly mtu(dst) bytes') ?? 'passed', /mtu_exceeded|1\d\d\d bytes/);
  });

  it('a layer that drops garbage without counting it', async () => {
    const failed = await failuresOf(swarmSuite, (inner) => marked(inner, () => {}));
    assert.match(failed.get(GARBAGE) ?? 'passed', /packets of garbage were neither delivered nor counted/);
    const honest = await failuresOf(swarmSuite, (inner) =>
      marked(inner, (counters) => counters.countDrop('malformed')),
    );
    assert.equal(honest.get(GARBAGE), undefined);
  });

  it('a layer that throws on garbage', async () => {
    const failed = await failuresOf(swarmSuite, (inner) =>
      marked(inner, () => {
        throw new Error('what is this?');
      }),
    );
    assert.match(failed.get(GARBAGE) ?? 'passed', /threw on bytes from the network/);
  });

  it('a swarm that waits for real I/O in a virtual realm: the suite ends, and names clock.hold()', async () => {
    const beating = (inner: Memory): Memory => {
      const { realm } = inner;
      const beat = (): void => void clockOf(realm).setTimer(realm.nowMs() + 1000, beat);
      beat();
      return changed(inner, { ask: () => new Promise(() => {}) });
    };
    const failed = await failuresOf(askSuite, beating);
    assert.match(
      failed.get('ask() brings the request, with the address asked as dst, and the answer back') ?? 'passed',
      /within 600 s of the realm's time.*clock\.hold\(\)/,
    );
  });

  it('and say in words what was expected', async () => {
    const failed = await failuresOf(swarmSuite, (inner) => changed(inner, { localAddrs: () => [] }));
    assert.ok(failed.size > 0);
    for (const [name, text] of failed) assert.ok(text.includes(`Expected: ${name}\nSeen: `), text);
  });
});
