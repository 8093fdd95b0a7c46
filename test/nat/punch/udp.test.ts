/** Hole punching over UDP, through virtual NATs: every pair that can be crossed is, in both directions, also with losses. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { P2PError } from '../../../src/core/errors.ts';
import type { NatKind } from '../../../src/net/virtual/nat-rules.ts';
import { PunchWorld } from '../../support/punch-world.ts';

const STEADY: readonly NatKind[] = ['open', 'full', 'address', 'port'];
const KINDS: readonly NatKind[] = [...STEADY, 'sequential', 'random'];
const isPossible = (a: NatKind, b: NatKind): boolean =>
  STEADY.includes(a) || STEADY.includes(b) || (a === 'sequential' && b === 'sequential');

/** Sorted figures. */
const at = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))]!;

describe('punching UDP between steady NATs', () => {
  for (const a of STEADY) {
    for (const b of STEADY) {
      it(`${a} and ${b}: within four round trips, and the swarms talk by it`, async () => {
        const w = new PunchWorld();
        await w.observe();
        const [left, right] = [await w.behind(a), await w.behind(b)];
        const punched = await w.punch(left, right);
        for (const { tookMs, probes } of punched.paths) {
          assert.ok(tookMs <= 160, `${tookMs} ms`);
          assert.ok(probes <= 10, `${probes} probes`);
        }
        assert.ok(await w.talks(left, right, punched));
      });
    }
  }
});

describe('punching UDP with a tenth of the packets lost, ten seeds', () => {
  for (const a of KINDS) {
    for (const b of KINDS.filter((kind) => isPossible(a, kind))) {
      it(`from ${a} to ${b}`, async () => {
        for (let seed = 1; seed <= 10; seed++) {
          const w = new PunchWorld({ seed });
          await w.observe();
          const link = { loss: 0.1 };
          const [left, right] = [await w.behind(a, { link }), await w.behind(b, { link })];
          const punched = await w.punch(left, right);
          assert.ok(await w.talks(left, right, punched), `seed ${seed}`);
        }
      });
    }
  }

  it('what cannot be crossed fails at once, says why, and sends nothing', async () => {
    for (const [a, b, says] of [
      ['random', 'random', /both NATs give random ports: only a relay can work/],
      ['random', 'sequential', /random ports, the other sequential ones: only a relay can work/],
      ['udp-blocked', 'port', /no observer has answered it: it may be blocked/],
      ['443-only', 'full', /no observer has answered it: it may be blocked/],
    ] as const) {
      for (const [left, right] of [
        [a, b],
        [b, a],
      ] as const) {
        const w = new PunchWorld();
        await w.observe();
        const hosts = [await w.behind(left), await w.behind(right)] as const;
        const { error, sent, tookMs } = await w.fails(...hosts);
        assert.match(error.message, says);
        assert.deepEqual([error.code, sent, tookMs], ['unreachable', 0, 0]);
      }
    }
  });
});

describe('random ports on one side', () => {
  /** Many punches, each in a world of its own. */
  async function figures(a: NatKind, b: NatKind, runs: number, portRange?: readonly [number, number]) {
    const took: number[] = [];
    const probes: number[] = [];
    let failed = 0;
    for (let seed = 1; seed <= runs; seed++) {
      const w = new PunchWorld({ seed });
      await w.observe();
      const range = portRange === undefined ? {} : { portRange };
      const side = (kind: NatKind) => w.behind(kind, kind === 'random' ? range : {});
      const [left, right] = [await side(a), await side(b)];
      try {
        const { paths } = await w.punch(left, right);
        took.push(...paths.map(({ tookMs }) => tookMs));
        probes.push(...paths.map((path) => path.probes));
      } catch (error) {
        if (!P2PError.is(error, 'timeout')) throw error;
        failed++;
      }
    }
    return { took, probes, failed };
  }

  for (const [a, b] of [
    ['port', 'random'],
    ['random', 'port'],
  ] as const) {
    it(`${a} to ${b}, all ports possible: 98 of 100 and more, half of them in two seconds, a thousand probes at most`, async () => {
      const { took, probes, failed } = await figures(a, b, 150);
      assert.ok(failed <= 3, `${failed} of 150 failed`);
      assert.ok(at(took, 0.5) <= 2000, `${at(took, 0.5)} ms`);
      assert.ok(at(probes, 1) <= 1000, `${at(probes, 1)} probes`);
    });
  }

  it('a range of ports that the observers have shown is searched first', async () => {
    const { took, failed } = await figures('port', 'random', 50, [40_000, 42_047]);
    assert.equal(failed, 0);
    assert.ok(at(took, 0.5) <= 500, `${at(took, 0.5)} ms`);
    assert.ok(at(took, 0.9) <= 2000, `${at(took, 0.9)} ms`);
  });

  it('a peer that filters by no port needs no search', async () => {
    for (const kind of ['open', 'full', 'address'] as const) {
      const { took, failed } = await figures('random', kind, 10);
      assert.equal(failed, 0);
      assert.ok(at(took, 1) <= 200, `${kind}: ${at(took, 1)} ms`);
    }
  });
});
