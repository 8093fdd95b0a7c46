import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createSeededRandom } from '../../src/base/seeded-random.ts';
import { type CellCall, checkLinearizable } from '../../src/testing/linearizable.ts';

const cas = (
  startMs: number,
  endMs: number | undefined,
  expected: string,
  next: string,
  swapped?: boolean,
  seen?: string,
): CellCall => ({
  process: `p${startMs}`,
  type: 'cas',
  startMs,
  endMs,
  expected,
  next,
  swapped,
  seen: seen ?? (swapped === true ? next : undefined),
});
const get = (startMs: number, endMs: number, seen: string): CellCall => ({
  process: `p${startMs}`,
  type: 'get',
  startMs,
  endMs,
  seen,
});

describe('checkLinearizable', () => {
  it('accepts calls one after the other', () => {
    const result = checkLinearizable([
      cas(0, 1, '', 'a', true),
      get(2, 3, 'a'),
      cas(4, 5, 'x', 'b', false, 'a'),
      cas(6, 7, 'a', 'b', true),
    ]);
    assert.deepEqual(result, { ok: true, value: 'b' });
  });

  it('rejects a read of a value that was overwritten before it began', () => {
    const result = checkLinearizable([cas(0, 1, '', 'a', true), cas(2, 3, 'a', 'b', true), get(4, 5, 'a')]);
    assert.equal(result.ok, false);
    assert.match(result.ok ? '' : result.reason, /read "a", while the cell may hold "b"/);
  });

  it('accepts a read beside a write, of either value, but not one after the other in the wrong order', () => {
    const write = cas(0, 10, '', 'a', true);
    assert.equal(checkLinearizable([write, get(1, 2, '')]).ok, true);
    assert.equal(checkLinearizable([write, get(1, 2, 'a')]).ok, true);
    assert.equal(checkLinearizable([write, get(1, 2, ''), get(3, 4, 'a')]).ok, true);
    assert.equal(checkLinearizable([write, get(1, 2, 'a'), get(3, 4, '')]).ok, false);
  });

  it('rejects a lost write: an acknowledged swap that nobody sees', () => {
    assert.equal(checkLinearizable([cas(0, 1, '', 'a', true), get(2, 3, '')]).ok, false);
    assert.equal(checkLinearizable([cas(0, 1, '', 'a', true), cas(2, 3, '', 'b', true)]).ok, false);
  });

  it('lets a call without an end have happened or not, at any time', () => {
    const lost = cas(0, undefined, '', 'a');
    assert.equal(checkLinearizable([lost, get(5, 6, '')]).ok, true);
    assert.equal(checkLinearizable([lost, get(5, 6, 'a')]).ok, true);
    assert.equal(checkLinearizable([lost, get(5, 6, ''), get(7, 8, 'a')]).ok, true);
    assert.equal(checkLinearizable([lost, get(5, 6, 'a'), get(7, 8, '')]).ok, false);
    assert.equal(checkLinearizable([lost, cas(1, 2, 'a', 'b', true), get(3, 4, 'b')]).ok, true);
  });

  it('rejects a swap that was applied twice', () => {
    const twice = [cas(0, undefined, '', 'a'), get(1, 2, 'a'), cas(3, 4, 'a', '', true), get(5, 6, ''), get(7, 8, 'a')];
    assert.equal(checkLinearizable(twice).ok, false);
  });

  it('does not take a swap that was not done for one that saw what it expected', () => {
    assert.equal(checkLinearizable([cas(0, 1, '', 'a', false, '')]).ok, false);
  });

  it('begins with another value, if told', () => {
    assert.equal(checkLinearizable([get(0, 1, 'x')], { initial: 'x' }).ok, true);
  });

  it('takes back its choices: the order that fits is the last one tried', () => {
    const writes = ['a', 'b', 'c', 'd'].map((name) =>
      cas(0, 100, name === 'a' ? '' : 'a', name === 'a' ? 'a' : name, true),
    );
    assert.equal(checkLinearizable(writes).ok, false);
    const chain = [
      cas(0, 100, '', 'a', true),
      cas(0, 100, 'a', '', true),
      cas(0, 100, '', 'b', true),
      get(101, 102, 'b'),
    ];
    assert.equal(checkLinearizable(chain).ok, true);
    assert.equal(checkLinearizable([...chain, cas(103, 104, 'b', 'c', true), get(105, 106, 'b')]).ok, false);
  });

  it('accepts ten thousand calls of a real register, and rejects every history with one planted fault', () => {
    const random = createSeededRandom(7);
    const history: CellCall[] = [];
    let value = '';
    for (let at = 0; at < 10_000; at++) {
      const jitter = random.next() * 3;
      const times = [at - jitter, at + random.next() * 3] as const;
      if (random.next() < 0.4) history.push(get(...times, value));
      else if (random.next() < 0.2) history.push(cas(...times, 'never', 'x', false, value));
      else if (random.next() < 0.05) history.push(cas(times[0], undefined, value, `lost ${at}`));
      else {
        history.push(cas(...times, value, `${at}`, true));
        value = `${at}`;
      }
    }
    assert.deepEqual(checkLinearizable(history), { ok: true, value });
    for (let i = 0; i < 20; i++) {
      const at = 100 + Math.floor(random.next() * 9000);
      const reads = history.findIndex((call, index) => index >= at && call.type === 'get');
      const stale = history.with(reads, { ...history[reads]!, seen: `${Math.floor(at / 2)} never` });
      assert.equal(checkLinearizable(stale).ok, false);
    }
  });

  it('gives up after so many steps', () => {
    const history = Array.from({ length: 30 }, (_, i) =>
      cas(0, 100, i % 2 === 0 ? '' : 'a', i % 2 === 0 ? 'a' : '', true),
    );
    assert.throws(() => checkLinearizable([...history, get(101, 102, 'b')], { maxSteps: 10 }), RangeError);
  });
});
