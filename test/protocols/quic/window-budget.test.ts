import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { FIRST_WINDOW_BYTES, WindowBudget, Windows } from '../../../src/protocols/quic/window-budget.ts';

const FIRST = 8192;
const MAX = 1_000_000;

/** A budget, what is held elsewhere, and which windows the engine was told of. */
function setUp(maxBytes: number) {
  const told: Windows[] = [];
  const elsewhere = { bytes: 0 };
  const budget = new WindowBudget(
    maxBytes,
    () => elsewhere.bytes,
    (windows) => void told.push(windows),
  );
  return { budget, elsewhere, told, windows: (source = 'a', max = MAX) => new Windows(source, max, 500_000) };
}

describe('windows', () => {
  it('begin with 8 KiB, or with their whole where that is less', () => {
    const { windows } = setUp(1);
    assert.equal(FIRST_WINDOW_BYTES, FIRST);
    const large = windows();
    assert.deepEqual([large.receive, large.send, large.first, large.growth], [FIRST, 500_000, FIRST, 0]);
    const small = windows('a', 100);
    assert.deepEqual([small.receive, small.first, small.growth], [100, 100, 0]);
  });
});

describe('the budget of windows', () => {
  it('gives a new connection a quarter of what is free, at most a quarter of what is left of the half of its source, and as much as it may have', () => {
    const { budget, windows, elsewhere } = setUp(1_000_000);
    const first = windows();
    budget.begin(first, 5);
    assert.deepEqual([first.receive, first.usedMs, budget.granted], [FIRST + 250_000, 5, 250_000]);
    const second = windows();
    budget.begin(second, 5);
    assert.equal(second.growth, 62_500, 'a quarter of the other 250 000 of its source');
    const third = windows();
    budget.begin(third, 5);
    assert.equal(third.growth, 46_875, 'a quarter of 187 500');
    elsewhere.bytes = 340_625;
    const other = windows('b');
    budget.begin(other, 5);
    assert.equal(other.growth, 75_000, 'a quarter of 1 000 000 less 359 375 and 340 625');
    const little = windows('b', FIRST + 10);
    budget.begin(little, 5);
    assert.equal(little.growth, 10);
    elsewhere.bytes = 1_000_000;
    const none = windows('c');
    budget.begin(none, 5);
    assert.equal(none.growth, 0);
  });

  it('gets back what a connection had when it ends, once', () => {
    const { budget, windows, told } = setUp(1_000_000);
    const one = windows();
    budget.begin(one, 0);
    budget.forget(one);
    assert.deepEqual([budget.granted, one.receive, one.owed, one.over], [0, FIRST, 0, true]);
    budget.forget(one);
    assert.equal(budget.granted, 0);
    budget.handleRead(one, 100_000, 1);
    assert.deepEqual(
      [one.receive, one.usedMs, budget.granted, told.length],
      [FIRST, 0, 0, 0],
      'reading on earns nothing',
    );
    const [two, three] = [windows(), windows()];
    budget.begin(two, 0);
    budget.begin(three, 0);
    assert.equal(two.growth + three.growth, 250_000 + 62_500, 'its source has its share again');
  });

  it('lets a window grow by four when half of it was read, up to its whole', () => {
    const { budget, windows, told } = setUp(100_000_000);
    const one = windows();
    budget.handleRead(one, FIRST / 2 - 1, 7);
    assert.deepEqual([one.receive, one.usedMs, told.length], [FIRST, 7, 0]);
    budget.handleRead(one, 1, 8);
    assert.deepEqual([one.receive, one.read, told.length, budget.granted], [4 * FIRST, 0, 1, 3 * FIRST]);
    for (let i = 0; i < 10; i++) budget.handleRead(one, one.receive, 9);
    assert.deepEqual([one.receive, budget.granted], [MAX, MAX - FIRST]);
    const before = told.length;
    budget.handleRead(one, MAX, 9);
    assert.equal(told.length, before, 'it is whole');
  });

  it('grows a window by what is left, unless that is less than 8 KiB', () => {
    // A connection may have as much more as is left for all others then.
    const { budget, windows, elsewhere } = setUp(1_000_000);
    const one = windows();
    elsewhere.bytes = 1_000_000 - FIRST;
    budget.handleRead(one, FIRST, 0);
    assert.equal(one.receive, 2 * FIRST);
    const two = windows('b');
    elsewhere.bytes = 1_000_000 - FIRST - (FIRST - 1);
    budget.handleRead(two, FIRST, 0);
    assert.equal(two.receive, FIRST);
  });

  it('lets a connection grow whose source has many others that rest, however late it comes', () => {
    const { budget, windows } = setUp(48 * 2 ** 20);
    for (let i = 0; i < 16; i++) budget.begin(windows('a', 2 ** 22), 0);
    const late = windows('a', 2 ** 22);
    budget.begin(late, 0);
    for (let ms = 0; ms < 10_000; ms += 100) budget.handleRead(late, late.receive, ms);
    assert.ok(late.receive >= 16 * FIRST, `${late.receive} bytes`);
    assert.ok(budget.granted <= 24 * 2 ** 20, 'its source has half of all');
  });

  it('leaves a part for a connection that begins when all others of its source have grown, and rest', () => {
    const { budget, windows } = setUp(1_000_000);
    const early = [windows(), windows(), windows()];
    for (const one of early) budget.begin(one, 0);
    for (let ms = 0; ms < 5000; ms += 100) for (const one of early) budget.handleRead(one, one.receive, ms);
    const late = windows();
    budget.begin(late, 60_000);
    for (let ms = 60_000; ms < 70_000; ms += 100) budget.handleRead(late, late.receive, ms);
    assert.ok(late.receive >= 8 * FIRST, `${late.receive} bytes`);
    assert.ok(budget.granted <= 500_000);
  });

  it('shares what a source may have among those of it that read', () => {
    const { budget, windows } = setUp(1_000_000);
    const all = Array.from({ length: 4 }, () => windows());
    const early = all.slice(0, 3);
    for (const one of early) budget.begin(one, 0);
    for (let ms = 0; ms < 5000; ms += 100) for (const one of early) budget.handleRead(one, one.receive, ms);
    assert.ok(budget.granted > 350_000, 'they have taken three quarters of their half');
    const late = all[3]!;
    for (let ms = 5000; ms < 15_000; ms += 100) {
      for (const one of all) budget.handleRead(one, one.receive, ms);
      assert.ok(budget.granted <= 500_000);
    }
    assert.ok(late.growth > 60_000, `${late.growth} bytes`);
    for (const one of early) assert.ok(one.growth > 60_000, `${one.growth} bytes`);
  });

  it('takes windows back that were not used for 5 s, looks at most once a second, and renews their credit as it is used up', () => {
    const { budget, windows, elsewhere, told } = setUp(1_000_000);
    const idle = windows();
    budget.begin(idle, 0);
    const busy = windows('b');
    elsewhere.bytes = 750_000;
    budget.handleRead(busy, FIRST, 4999);
    assert.deepEqual([idle.owed, busy.receive], [0, FIRST]);
    budget.handleRead(busy, FIRST, 5000);
    assert.equal(idle.owed, 0, 'it was looked at a moment ago');
    budget.handleRead(busy, FIRST, 5999);
    assert.deepEqual([idle.owed, idle.receive, idle.growth], [250_000, FIRST, 250_000]);
    assert.deepEqual([told.includes(idle), budget.granted], [true, 250_000]);
    budget.handleRead(idle, 100_000, 6000);
    assert.deepEqual([idle.owed, budget.granted], [150_000, 150_000 + idle.receive - FIRST + busy.growth]);
    budget.forget(busy);
    elsewhere.bytes = 1_000_000;
    budget.handleRead(idle, 200_000, 6001);
    assert.deepEqual([idle.owed, budget.granted], [0, idle.receive - FIRST]);
  });

  it('grows a window to its whole where that is less than 8 KiB more, and takes none back while there is room', () => {
    const { budget, windows, told } = setUp(1_000_000);
    const idle = windows('a');
    budget.begin(idle, 0);
    const little = windows('b', FIRST + 10);
    budget.handleRead(little, FIRST, 9000);
    assert.deepEqual([little.receive, told], [FIRST + 10, [little]]);
    assert.deepEqual([idle.owed, idle.growth], [0, 250_000]);
  });

  it('under pressure all have the first send window, those that open then too, and the whole again afterwards', () => {
    const { budget, windows, told } = setUp(1_000_000);
    const [one, two] = [windows(), windows('b')];
    budget.limitSends(Infinity, [one]);
    assert.equal(told.length, 0, 'nothing has changed');
    budget.limitSends(0, [one]);
    assert.deepEqual([budget.pressed, one.send, told.length], [true, FIRST, 1]);
    budget.open(two, 3);
    assert.deepEqual([two.send, told.length], [FIRST, 2]);
    budget.limitSends(0, [one, two]);
    assert.equal(told.length, 2);
    budget.limitSends(Infinity, [one, two]);
    assert.deepEqual([budget.pressed, one.send, two.send, told.length], [false, 500_000, 500_000, 4]);
    const small = new Windows('c', MAX, 100);
    budget.limitSends(0, [small]);
    assert.equal(small.send, 100);
  });

  it('a connection that got nothing at its beginning gets it when its handshake is over, and no other twice', () => {
    const { budget, windows, elsewhere, told } = setUp(1_000_000);
    elsewhere.bytes = 1_000_000;
    const one = windows();
    budget.begin(one, 0);
    elsewhere.bytes = 0;
    budget.open(one, 4);
    assert.deepEqual([one.growth, one.usedMs, told.length], [250_000, 4, 1]);
    budget.open(one, 5);
    assert.deepEqual([one.growth, told.length], [250_000, 1]);
  });
});
