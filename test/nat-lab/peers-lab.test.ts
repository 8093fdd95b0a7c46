/** Whole nodes behind NATs and firewalls of the kernel: all are connected, and directly where theory knows a way. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import { canBeDirect, KINDS } from '../support/nat-matrix.ts';
import { whyNoLab } from './enter.ts';
import type { PeersScenario } from './peers-scenario.ts';
import { runInLab } from './run.ts';

const scenarios = path.join(import.meta.dirname, 'peers-scenarios.ts');

type Pair = PeersScenario & { readonly name: 'pair' };

async function run(t: TestContext, group: string): Promise<readonly Pair[]> {
  const found = await runInLab<PeersScenario>(scenarios, [group]);
  const pairs = found.filter((one): one is Pair => one.name === 'pair');
  for (const one of found) {
    if (one.name !== 'missing') continue;
    assert.notEqual(process.env['CI'], 'true', `.ci/run installs ${one.what}`);
    t.skip(`${one.what} not installed`);
  }
  for (const { a, b, asked } of pairs) {
    t.diagnostic(
      `${a} to ${b}: ${asked.firstMs} ms, direct ${asked.directMs} ms, ${asked.path?.kind} ${asked.path?.transport}`,
    );
    assert.ok(asked.firstMs !== undefined, `${a} to ${b}: ${asked.text}`);
  }
  return pairs;
}

const assertDirect = (pairs: readonly Pair[]): void => {
  for (const { a, b, asked } of pairs) assert.ok(asked.directMs !== undefined, `${a} to ${b}: ${asked.text}`);
};

describe('whole nodes in the lab', { skip: whyNoLab() }, () => {
  for (const quarter of [0, 1, 2, 3]) {
    it(`every kind of NAT with every other one: all are connected, and direct where that can be (${quarter + 1} of 4)`, async (t) => {
      const pairs = await run(t, `matrix${quarter}`);
      assert.equal(pairs.length, KINDS.length ** 2 / 4);
      for (const { a, b, asked } of pairs) {
        const { path } = asked;
        assert.equal(path?.kind !== 'relay', canBeDirect(a as NatKind, b as NatKind), `${a} to ${b}: ${asked.text}`);
      }
    });
  }

  it('two behind one NAT, with and without hairpin, and one behind the NAT of a carrier', async (t) => {
    const pairs = await run(t, 'places');
    assert.equal(pairs.length, 5);
    assertDirect(pairs);
  });

  it('IPv6 only, behind firewalls', async (t) => {
    const pairs = await run(t, 'ipv6');
    assert.equal(pairs.length, 1);
    assertDirect(pairs);
  });

  it('both routers forget everything: the next ask is answered, directly', async (t) => {
    assertDirect(await run(t, 'reboot'));
  });

  it('both NATs give random ports, and miniupnpd forwards the ports of one side', async (t) => {
    const pairs = await run(t, 'mapped');
    assertDirect(pairs);
    for (const { asked } of pairs) assert.equal(asked.path?.kind, 'direct', asked.text);
  });

  it('with relay, puncher and mapper of somebody else', async (t) => {
    const pairs = await run(t, 'foreign');
    assert.equal(pairs.length, 6);
    for (const { group, a, b, asked } of pairs) {
      const { path } = asked;
      if (group === 'forwarded') assert.equal(path?.kind, 'direct', asked.text);
      // That puncher knows nothing of random ports.
      else assert.equal(path?.transport, a === 'random' ? 'foreign' : 'hole', `${a} to ${b}: ${asked.text}`);
    }
  });
});
