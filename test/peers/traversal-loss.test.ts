/** The pairs of NATs with a tenth of the packets lost, from ten seeds. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { canBeDirect, KINDS, meet, outcomeOf } from '../support/nat-matrix.ts';

before(() => loadQuicEngine());

const SEEDS = 10;

describe('peers behind NATs, 10 % loss', () => {
  for (const [i, a] of KINDS.entries()) {
    for (const b of KINDS.slice(i)) {
      it(`${a} and ${b}: all are connected, ${canBeDirect(a, b) ? 'directly' : 'by the relay'}`, async () => {
        for (let seed = 1; seed <= SEEDS; seed++) {
          const [from, to] = seed % 2 === 0 ? [a, b] : [b, a];
          const meeting = await meet(from, to, { seed, link: { loss: 0.1 } });
          const { path, text } = await outcomeOf(meeting, canBeDirect(a, b) ? 90_000 : 15_000);
          assert.equal(path?.kind !== 'relay', canBeDirect(a, b), `seed ${seed}: ${text}`);
          await meeting.w.close();
        }
      });
    }
  }
});
