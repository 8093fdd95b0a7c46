/** The conformance suite of cells. */

import { EMPTY_BYTES, encodeText, type Bytes, decodeText } from '../../base/bytes.ts';
import { apply } from '../../cells/apply.ts';
import type { Cell } from '../../cells/cell.ts';
import { P2PError, type P2PErrorCode } from '../../core/errors.ts';
import { createSeededRandom } from '../../base/seeded-random.ts';
import { checkLinearizable, recordCalls, type CellCall } from '../linearizable.ts';
import {
  check,
  checkBytes,
  checkSame,
  checkThrows,
  defineSuite,
  fail,
  type SuiteRunner,
  type SuiteTest,
} from './suite.ts';

/** Cells that were made for one test. */
export interface CellNet extends AsyncDisposable {
  /** Handles of one cell, which is empty: where it can be, each with a connection or process of its own. */
  readonly cells: readonly Cell[];
  /** Another cell of the same place, which is empty. @default a test that needs it does nothing */
  readonly other?: Cell | undefined;
  /** Waits; in virtual time it moves the clock. @default awaiting */
  readonly run?: (<T>(promise: Promise<T>) => Promise<T>) | undefined;
}

/** Makes the cells of {@link cellSuite}. */
export interface CellFixture {
  /** Makes `n` handles of a new cell. Disposing of the result releases everything. */
  make(n: number): Promise<CellNet>;
  /** Calls of the test that counts by several writers. @default 40 */
  readonly manyCalls?: number | undefined;
}

interface CellBench {
  readonly cells: readonly Cell[];
  readonly other: Cell | undefined;
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  readonly manyCalls: number;
}

/**
 * Tests of every rule of the contract of a {@link Cell}.
 *
 * @param runner - `{ describe, it }` of your test runner.
 *
 * @example
 * ```ts
 * cellSuite({ describe, it }, 'my cell', {
 *   make: async (n) => {
 *     const store = createMemoryCells();
 *     const cells = Array.from({ length: n }, () => store.cell('a'));
 *     return { cells, other: store.cell('b'), [Symbol.asyncDispose]: () => store.close() };
 *   },
 * });
 * ```
 */
export function cellSuite(runner: SuiteRunner, name: string, fixture: CellFixture): void {
  let net: CellNet | undefined;
  const make = async (n: number): Promise<{ readonly swarms: readonly Cell[] } & CellNet> => {
    net = await fixture.make(n);
    const { cells, other, run } = net;
    const dispose = net[Symbol.asyncDispose].bind(net);
    return { cells, other, run, swarms: cells, [Symbol.asyncDispose]: dispose };
  };
  const { manyCalls = 40 } = fixture;
  const tests = Object.entries(cellTests).map(([name, { handles, body }]): SuiteTest<Cell> => ({
    name,
    swarms: handles,
    body: ({ run }) => body({ cells: net!.cells, other: net!.other, run, manyCalls }),
  }));
  defineSuite(runner, `${name}: cell`, { make }, tests);
}

interface CellTest {
  /** How many handles of the cell it needs. */
  readonly handles: number;
  readonly body: (bench: CellBench) => Promise<void>;
}

const A: Bytes = encodeText('first');
const B: Bytes = encodeText('second');
const C: Bytes = encodeText('third');

const one = (body: (cell: Cell, bench: CellBench) => Promise<void>): CellTest => ({
  handles: 1,
  body: (bench) => body(bench.cells[0]!, bench),
});

/** A subclass of Uint8Array is accepted as an argument, and never returned. */
class OddBytes extends Uint8Array<ArrayBuffer> {}

async function holds({ run }: CellBench, cell: Cell, expected: Uint8Array, what: string): Promise<void> {
  checkBytes(await run(cell.get()), expected, what);
}

async function put({ run }: CellBench, cell: Cell, before: Uint8Array, next: Uint8Array): Promise<void> {
  const { swapped, current } = await run(cell.cas(before, next));
  check(swapped, 'a swap of the expected value was not done');
  checkBytes(current, next, 'current after a swap');
}

async function rejects(
  bench: CellBench,
  promise: Promise<unknown>,
  ...codes: readonly P2PErrorCode[]
): Promise<P2PError> {
  const error = await bench.run(
    promise.then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
  if (P2PError.is(error) && codes.includes(error.code)) return error;
  return fail(`expected a rejection with ${codes.join(' or ')}, got ${String(error)}`);
}

const cellTests: Readonly<Record<string, CellTest>> = {
  'a new cell is empty': one((cell, bench) => holds(bench, cell, EMPTY_BYTES, 'a new cell')),
  'a swap of the expected value is done': one(async (cell, bench) => {
    await put(bench, cell, EMPTY_BYTES, A);
    await holds(bench, cell, A, 'after the first swap');
    await put(bench, cell, A, B);
    await holds(bench, cell, B, 'after the second swap');
  }),
  'a swap of another value changes nothing': one(async (cell, bench) => {
    await put(bench, cell, EMPTY_BYTES, A);
    for (const wrong of [EMPTY_BYTES, C, A.subarray(1), encodeText('first ')]) {
      const { swapped } = await bench.run(cell.cas(wrong, B));
      check(!swapped, 'a swap of another value was done');
      await holds(bench, cell, A, 'after a swap that must not be done');
    }
  }),
  'a swap that is not done says what the cell holds': one(async (cell, bench) => {
    checkBytes((await bench.run(cell.cas(A, B))).current, EMPTY_BYTES, 'current of an empty cell');
    await put(bench, cell, EMPTY_BYTES, A);
    checkBytes((await bench.run(cell.cas(B, C))).current, A, 'current');
  }),
  'an empty cell does not hold what was expected': one(async (cell, bench) => {
    check(!(await bench.run(cell.cas(A, B))).swapped, 'a swap in an empty cell was done');
    await holds(bench, cell, EMPTY_BYTES, 'after it');
  }),
  'a cell can be emptied and filled again': one(async (cell, bench) => {
    await put(bench, cell, EMPTY_BYTES, A);
    await put(bench, cell, A, EMPTY_BYTES);
    await holds(bench, cell, EMPTY_BYTES, 'an emptied cell');
    await put(bench, cell, EMPTY_BYTES, B);
    await holds(bench, cell, B, 'a cell that was filled again');
    check(!(await bench.run(cell.cas(EMPTY_BYTES, C))).swapped, 'a swap for an empty cell was done in a full one');
  }),
  'a swap of a value for itself is done': one(async (cell, bench) => {
    await put(bench, cell, EMPTY_BYTES, EMPTY_BYTES);
    await put(bench, cell, EMPTY_BYTES, A);
    await put(bench, cell, A, A);
    check(!(await bench.run(cell.cas(B, B))).swapped, 'a swap of a value that the cell does not hold was done');
    await holds(bench, cell, A, 'after all');
  }),
  'every byte is kept': one(async (cell, bench) => {
    const bytes = Uint8Array.from({ length: Math.min(512, cell.maxBytes) }, (_, i) => i);
    await put(bench, cell, EMPTY_BYTES, bytes);
    await holds(bench, cell, bytes, 'all bytes');
    await put(bench, cell, bytes, Uint8Array.of(0));
    await put(bench, cell, Uint8Array.of(0), Uint8Array.of(0, 0));
    await holds(bench, cell, Uint8Array.of(0, 0), 'two zeros');
  }),
  'maxBytes are kept': one(async (cell, bench) => {
    const long = createSeededRandom(1).bytes(cell.maxBytes);
    await put(bench, cell, EMPTY_BYTES, long);
    await holds(bench, cell, long, 'the longest value');
    await put(bench, cell, long, A);
  }),
  'more than maxBytes are refused': one(async (cell, bench) => {
    const error = await rejects(bench, cell.cas(EMPTY_BYTES, new Uint8Array(cell.maxBytes + 1)), 'limit_exceeded');
    checkSame(error.sent, 'no', 'sent');
    await holds(bench, cell, EMPTY_BYTES, 'after a value that is too long');
    // What is expected may be longer: then it is not what the cell holds.
    check(!(await bench.run(cell.cas(new Uint8Array(cell.maxBytes + 1), A))).swapped, 'the cell cannot hold that');
  }),
  "results are plain and the caller's own": one(async (cell, bench) => {
    await put(bench, cell, EMPTY_BYTES, A);
    for (const read of [
      () => cell.get(),
      () => cell.cas(B, C).then((result) => result.current),
      () => cell.cas(A, A).then((result) => result.current),
    ]) {
      const value = await bench.run(read());
      checkSame(Object.getPrototypeOf(value), Uint8Array.prototype, 'the prototype of a result');
      value.fill(0);
      await holds(bench, cell, A, 'after a result was overwritten');
    }
  }),
  "arguments are the caller's again when the call returns": one(async (cell, bench) => {
    const [before, next] = [OddBytes.from(EMPTY_BYTES), OddBytes.from(A)];
    const swapping = cell.cas(before, next);
    next.fill(0);
    check((await bench.run(swapping)).swapped, 'the swap was not done');
    await holds(bench, cell, A, 'after the argument was overwritten');
    const expected = OddBytes.from(A);
    const again = cell.cas(expected, B);
    expected.fill(0);
    check((await bench.run(again)).swapped, 'the expected value was read after the call returned');
  }),
  'misuse throws at once': one(async (cell) => {
    const untyped = cell as unknown as { cas(a: unknown, b: unknown, c?: unknown): unknown; get(a: unknown): unknown };
    checkThrows(() => untyped.cas('text', A), TypeError, 'cas of a text');
    checkThrows(() => untyped.cas(A, undefined), TypeError, 'cas without a value');
    checkThrows(() => untyped.get({ timeoutMs: 'soon' }), TypeError, 'get with a wrong timeout');
    checkThrows(() => untyped.cas(A, B, { timeoutMs: -1 }), RangeError, 'cas with a negative timeout');
  }),
  'an aborted call rejects with its reason and changes nothing': one(async (cell, bench) => {
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    for (const call of [() => cell.get({ signal }), () => cell.cas(EMPTY_BYTES, A, { signal })]) {
      const seen: unknown = await bench.run(call().catch((error: unknown) => error));
      checkSame(seen, reason, 'what an aborted call rejects with');
    }
    await holds(bench, cell, EMPTY_BYTES, 'after an aborted call');
  }),
  'handles of one cell see the same': {
    handles: 3,
    body: async (bench) => {
      const [a, b, c] = bench.cells as [Cell, Cell, Cell];
      await put(bench, a, EMPTY_BYTES, A);
      await holds(bench, b, A, 'another handle');
      await put(bench, b, A, B);
      await holds(bench, c, B, 'a third handle');
      check(!(await bench.run(a.cas(A, C))).swapped, 'a handle swaps what it knows from before');
    },
  },
  'other cells are others': one(async (cell, bench) => {
    if (bench.other === undefined) return;
    await put(bench, cell, EMPTY_BYTES, A);
    await holds(bench, bench.other, EMPTY_BYTES, 'another cell');
    await put(bench, bench.other, EMPTY_BYTES, B);
    await holds(bench, cell, A, 'the first cell');
  }),
  'of several swaps at once one is done': {
    handles: 4,
    body: async (bench) => {
      let held: Bytes = EMPTY_BYTES;
      for (let round = 0; round < 5; round++) {
        const nexts = bench.cells.map((_, i) => encodeText(`${round} ${i}`));
        const swaps = bench.cells.map((cell, i) => cell.cas(held, nexts[i]!));
        const results = await bench.run(Promise.all(swaps));
        checkSame(results.filter(({ swapped }) => swapped).length, 1, 'swaps that were done');
        held = nexts[results.findIndex(({ swapped }) => swapped)]!;
        await holds(bench, bench.cells[0]!, held, 'the value of the swap that was done');
      }
    },
  },
  'writers at once are counted, and what they see is linearizable': {
    handles: 3,
    body: async (bench) => {
      const history: CellCall[] = [];
      let step = 0;
      const write = async (cell: Cell, name: string): Promise<void> => {
        const recorded = recordCalls(cell, history, name, () => step++);
        for (let i = 0; i < bench.manyCalls; i++) {
          const count = (value: Bytes): Uint8Array =>
            encodeText(`${Number(decodeText(value)!.split(' ')[0]) + 1} ${name} ${i}`);
          await apply(recorded, count, { maxAttempts: 1000, timeoutMs: 60_000 });
        }
      };
      await bench.run(Promise.all(bench.cells.map((cell, i) => write(cell, `writer ${i}`))));
      const last = decodeText(await bench.run(bench.cells[0]!.get()))!;
      checkSame(Number(last.split(' ')[0]), bench.manyCalls * 3, 'the count');
      const result = checkLinearizable(history);
      check(result.ok, result.ok ? '' : result.reason);
    },
  },
  'a closed cell rejects with closed': one(async (cell, bench) => {
    await bench.run(cell.close());
    await bench.run(cell.close());
    await rejects(bench, cell.get(), 'closed');
    await rejects(bench, cell.cas(EMPTY_BYTES, A), 'closed');
  }),
  'close ends the calls under way': one(async (cell, bench) => {
    const outcomes = Array.from({ length: 8 }, (_, i) =>
      cell.cas(EMPTY_BYTES, encodeText(`${i}`)).then(
        () => 'done',
        (error: unknown) => (P2PError.is(error, 'closed') ? 'closed' : `rejected: ${String(error)}`),
      ),
    );
    await bench.run(cell.close());
    for (const outcome of await bench.run(Promise.all(outcomes))) {
      check(outcome === 'done' || outcome === 'closed', `a call under way ended as ${outcome}`);
    }
  }),
};

/** The names of the tests, for those that check the suite. */
export const CELL_RULES: readonly string[] = Object.keys(cellTests);
