/** Hole punching over UDP, through virtual NATs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type NatKind } from '../../../src/net/virtual/nat-rules.ts';
import { PunchWorld } from '../../support/punch-world.ts';

const STEADY: readonly NatKind[] = ['open', 'full', 'address', 'port'];

describe('punching UDP between steady NATs', () => {
  for (const a of STEADY) {
    for (const b of STEADY) {
      it(`${a} and ${b}: within four round trips, and the swarms talk by it`, async () => {
        const w = new PunchWorld();
        await w.observe();
        const [left, right] = [await w.behind(a), await w.behind(b)];
        const punched = await w.punch(left, right);
        for (const { tookMs } of punched.paths) assert.ok(tookMs <= 160, `${tookMs} ms`);
        assert.ok(await w.talks(left, right, punched));
      });
    }
  }
});
