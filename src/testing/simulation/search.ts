/** Many runs: the seed that fails, made small, and whether a run can be replayed. */

import { wholeNumber } from '../../base/checks.ts';
import { checkOptions } from './check-options.ts';
import type { SimulationOptions } from './options.ts';
import { type SimulationResult, simulate } from './simulate.ts';

/** Options of {@link findFailure}. */
export interface SearchOptions {
  /** How many seeds are tried. @default 100 */
  readonly seeds?: number | undefined;
  /** The first of them; the others follow. @default 0 */
  readonly from?: number | undefined;
  /** Whether fewer nodes and less time are tried with the seed that fails. @default true */
  readonly shrink?: boolean | undefined;
  /** The most runs that are spent on this. @default 40 */
  readonly maxShrinkRuns?: number | undefined;
  /** Told of each run. */
  readonly onRun?: ((result: SimulationResult) => void) | undefined;
}

/** A failing run and how to repeat it: the seed, nodes and duration are in `result`. */
export interface FoundFailure {
  readonly result: SimulationResult;
  /** The run in which it was found, before it was made smaller. */
  readonly original: SimulationResult;
  /** Runs in all. */
  readonly runs: number;
}

const DEFAULT_SEEDS = 100;
const DEFAULT_SHRINK_RUNS = 40;

/**
 * Runs a simulation with one seed after the other until one fails, and looks for the least nodes and the shortest time with
 * which that seed still fails in the same phase with an error of the same name and code.
 *
 * @returns the failure, or `undefined` when all seeds pass.
 * @throws as {@link simulate}.
 */
export async function findFailure<N>(
  options: SimulationOptions<N>,
  search: SearchOptions = {},
): Promise<FoundFailure | undefined> {
  checkOptions(options);
  const seeds = wholeNumber(search.seeds, 'seeds', DEFAULT_SEEDS, 1, Number.MAX_SAFE_INTEGER);
  const from = wholeNumber(search.from, 'from', 0, 0, Number.MAX_SAFE_INTEGER);
  const most = wholeNumber(search.maxShrinkRuns, 'maxShrinkRuns', DEFAULT_SHRINK_RUNS, 0, 1_000_000);
  let runs = 0;
  const run = async (change: Partial<SimulationOptions<N>>): Promise<SimulationResult> => {
    runs++;
    const result = await simulate({ ...options, ...change });
    search.onRun?.(result);
    return result;
  };
  for (let seed = from; seed < from + seeds; seed++) {
    const original = await run({ seed });
    if (original.isOk) continue;
    let result = original;
    if (search.shrink ?? true) {
      const until = runs + most;
      const smaller = async (
        value: number,
        least: number,
        change: (value: number) => Partial<SimulationOptions<N>>,
      ) => {
        let [fails, passes] = [value, least - 1];
        // First by halves, then between the least that failed and the most that passed.
        while (fails - passes > 1 && runs < until) {
          const tried = passes < least ? Math.max(least, Math.floor(fails / 2)) : Math.floor((fails + passes) / 2);
          const smallerOptions = { seed, nodes: result.nodes, durationMs: result.durationMs, ...change(tried) };
          const shrunk = isPossible({ ...options, ...smallerOptions }) ? await run(smallerOptions) : undefined;
          if (shrunk !== undefined && kindOf(shrunk) === kindOf(original)) {
            fails = tried;
            result = shrunk;
          } else passes = tried;
        }
      };
      const least = options.churn?.spared ?? 1;
      await smaller(result.nodes, Math.max(1, least), (nodes) => ({ nodes }));
      await smaller(Math.ceil(result.durationMs), 1, (durationMs) => ({ durationMs }));
    }
    return { result, original, runs };
  }
  return undefined;
}

/** Whether a smaller network still has the nodes that its options name. */
function isPossible<N>(options: SimulationOptions<N>): boolean {
  try {
    checkOptions(options);
    return true;
  } catch {
    return false;
  }
}

/** Failures of one kind: a run that is too short or too small for its program fails, too, but for another reason. */
function kindOf({ failure }: SimulationResult): string | undefined {
  if (failure === undefined) return undefined;
  const { phase, cause } = failure;
  return cause instanceof Error ? `${phase} ${cause.name} ${codeOf(cause)}` : `${phase} ${typeof cause}`;
}

function codeOf(error: Error): string {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' ? code : '';
}

/** Whether two runs with the same seed are the same. */
export interface ReplayCheck {
  readonly isSame: boolean;
  readonly first: SimulationResult;
  readonly second: SimulationResult;
  /** Where they part, in virtual time: after the first and not after the second. Absent where they are the same. */
  readonly partBetweenMs?: readonly [afterMs: number, beforeMs: number] | undefined;
}

/**
 * Runs a simulation twice and compares everything that the network saw. What differs comes from outside of the realm: the
 * system's clock, `Math.random`, the order of real I/O.
 *
 * @throws as {@link simulate}.
 */
export async function checkReplay<N>(options: SimulationOptions<N>): Promise<ReplayCheck> {
  const first = await simulate(options);
  const second = await simulate(options);
  const isSame = first.traceHash === second.traceHash;
  if (isSame) return { isSame, first, second };
  const at = first.checkpoints.findIndex(([, hash], i) => hash !== second.checkpoints[i]?.[1]);
  // Where all checkpoints are the same, the runs part behind the last one.
  const afterMs = first.checkpoints[(at === -1 ? first.checkpoints.length : at) - 1]?.[0] ?? 0;
  const beforeMs = first.checkpoints[at]?.[0] ?? first.virtualMs;
  return { isSame, first, second, partBetweenMs: [afterMs, beforeMs] };
}
