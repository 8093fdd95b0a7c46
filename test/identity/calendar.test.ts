import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from '../support/fast-check.ts';
import { civilTimeOf, unixMsOf } from '../../src/identity/calendar.ts';

describe('calendar', () => {
  it('civilTimeOf() and unixMsOf() agree with Date', () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }), (seconds) => {
        const date = new Date(seconds * 1000);
        const time = civilTimeOf(seconds * 1000);
        assert.deepEqual(time, {
          year: date.getUTCFullYear(),
          month: date.getUTCMonth() + 1,
          day: date.getUTCDate(),
          hour: date.getUTCHours(),
          minute: date.getUTCMinutes(),
          second: date.getUTCSeconds(),
        });
        assert.equal(unixMsOf(time), seconds * 1000);
      }),
      { numRuns: 2000 },
    );
  });

  it('unixMsOf() knows which days there are', () => {
    const noon = { hour: 12, minute: 0, second: 0 };
    assert.equal(unixMsOf({ year: 2024, month: 2, day: 29, ...noon }), Date.UTC(2024, 1, 29, 12));
    for (const [year, month, day] of [
      [2023, 2, 29],
      [1900, 2, 29],
      [2024, 2, 30],
      [2024, 4, 31],
      [2024, 0, 1],
      [2024, 13, 1],
      [2024, 1, 0],
    ] as const) {
      assert.equal(unixMsOf({ year, month, day, ...noon }), undefined);
    }
    assert.equal(unixMsOf({ year: 2024, month: 1, day: 1, hour: 24, minute: 0, second: 0 }), undefined);
    assert.equal(unixMsOf({ year: 2024, month: 1, day: 1, hour: 23, minute: 59, second: 60 }), undefined);
  });
});
