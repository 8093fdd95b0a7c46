/** Cells that break one rule of the contract each, to check that the suite finds out. */

import { encodeText, equalBytes, type Bytes } from '../base/bytes.ts';
import type { Cell, CasResult } from '../cells/cell.ts';
import { P2PError } from '../core/errors.ts';

type CellLie = (honest: Cell) => Partial<Pick<Cell, 'get' | 'cas' | 'close' | 'maxBytes'>>;

class OddBytes extends Uint8Array<ArrayBuffer> {}

const got =
  (change: (value: Bytes) => Bytes): CellLie =>
  (honest) => ({
    get: (options) => honest.get(options).then(change),
  });

const swapping =
  (change: (result: CasResult) => CasResult): CellLie =>
  (honest) => ({
    cas: (expected, next, options) => honest.cas(expected, next, options).then(change),
  });

/** What the cell says once, so that later lies need no I/O. */
const CELL_LIES: Readonly<Record<string, CellLie>> = {
  'a new cell is empty': got((value) => (value.length === 0 ? encodeText('not empty') : value)),
  'a swap of the expected value is done': (honest) => ({
    cas: (expected, next, options) =>
      expected.length > 0 && next.length > 0 && !equalBytes(expected, next)
        ? honest.cas(expected, expected, options)
        : honest.cas(expected, next, options),
  }),
  'a swap of another value changes nothing': (honest) => ({
    cas: async (_expected, next, options) => honest.cas(await honest.get(options), next, options),
  }),
  'a swap that is not done says what the cell holds': swapping(({ swapped, current }) => ({
    swapped,
    current: swapped ? current : new Uint8Array(0),
  })),
  'an empty cell does not hold what was expected': (honest) => ({
    cas: async (expected, next, options) => {
      const current = await honest.get(options);
      return honest.cas(current.length === 0 ? current : expected, next, options);
    },
  }),
  'a cell can be emptied and filled again': (honest) => ({
    cas: (expected, next, options) =>
      next.length === 0 && expected.length > 0
        ? honest.cas(expected, Uint8Array.of(0), options)
        : honest.cas(expected, next, options),
  }),
  'a swap of a value for itself is done': (honest) => ({
    cas: async (expected, next, options) => {
      if (!equalBytes(expected, next)) return honest.cas(expected, next, options);
      return { swapped: false, current: await honest.get(options) };
    },
  }),
  'every byte is kept': got((value) => value.map((byte) => byte & 0x7f)),
  'maxBytes are kept': (honest) => ({ maxBytes: honest.maxBytes + 1 }),
  'more than maxBytes are refused': (honest) => ({ maxBytes: honest.maxBytes - 1 }),
  "results are plain and the caller's own": got((value) => OddBytes.from(value)),
  "arguments are the caller's again when the call returns": (honest) => ({
    cas: (expected, next, options) => {
      // Misuse is checked at once, as it must be.
      if (!(expected instanceof Uint8Array) || !(next instanceof Uint8Array) || (options?.timeoutMs ?? 0) < 0) {
        return honest.cas(expected, next, options);
      }
      return Promise.resolve().then(() => honest.cas(expected, next, options));
    },
  }),
  'misuse throws at once': (honest) => ({
    cas: async (expected, next, options) => honest.cas(expected, next, options),
  }),
  'an aborted call rejects with its reason and changes nothing': (honest) => ({
    cas: (expected, next, options) => {
      const { signal, ...rest } = options ?? {};
      return honest.cas(expected, next, signal?.aborted === true ? rest : options);
    },
  }),
  'handles of one cell see the same': (honest) => {
    let known: Bytes = new Uint8Array(0);
    return {
      get: () => Promise.resolve(known.slice()),
      cas: async (expected, next, options) => {
        const result = await honest.cas(expected, next, options);
        known = result.current.slice();
        return result;
      },
    };
  },
  'of several swaps at once one is done': (honest) => ({
    // Compares, and then writes: in between others write.
    cas: async (expected, next, options) => {
      const current = await honest.get(options);
      if (!equalBytes(current, expected)) return { swapped: false, current };
      for (let now = current; ;) {
        const result = await honest.cas(now, next, options);
        if (result.swapped) return result;
        now = result.current;
      }
    },
  }),
  'writers at once are counted, and what they see is linearizable': (honest) => {
    // Now and then a value that was there before, as from a replica.
    let old: Bytes = new Uint8Array(0);
    let reads = 0;
    return {
      get: async (options) => {
        const value = await honest.get(options);
        const shown = ++reads % 7 === 0 && value.length > 8 ? old.slice() : value;
        old = value.slice();
        return shown;
      },
    };
  },
  'a closed cell rejects with closed': (honest) => ({ close: () => Promise.resolve(void honest) }),
  'close ends the calls under way': (honest) => ({
    cas: (expected, next, options) =>
      honest.cas(expected, next, options).catch((error: unknown) => {
        if (P2PError.is(error, 'closed') && next.length === 1) throw new Error('ended');
        throw error;
      }),
  }),
};

/** The rules that {@link lyingCell} can break: names of tests of `cellSuite`. */
export const LYING_CELL_RULES: readonly string[] = Object.keys(CELL_LIES);

/**
 * A cell that breaks one rule.
 *
 * @throws {TypeError} for a rule that is not one of {@link LYING_CELL_RULES}.
 */
export function lyingCell(honest: Cell, rule: string): Cell {
  const lie = CELL_LIES[rule];
  if (lie === undefined) throw new TypeError(`Cannot lie about ${JSON.stringify(rule)}: there is no such rule`);
  const lies = lie(honest);
  return {
    maxBytes: lies.maxBytes ?? honest.maxBytes,
    realm: honest.realm,
    get: (options) => (lies.get === undefined ? honest.get(options) : lies.get(options)),
    cas: (expected, next, options) =>
      lies.cas === undefined ? honest.cas(expected, next, options) : lies.cas(expected, next, options),
    close: () => (lies.close === undefined ? honest.close() : lies.close()),
    [Symbol.asyncDispose]: () => honest.close(),
  };
}
