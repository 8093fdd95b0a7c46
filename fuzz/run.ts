/**
 * `npm run fuzz`: feeds every decoder, and whole swarms, with hostile inputs. `-- --inputs=N` sets how many each gets,
 * `-- --seed=N` repeats a run, `-- frag DER` picks targets by name. Exit code 1 when something threw, or when the heap
 * has grown.
 */

import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { asyncProperty, check, type Parameters, property } from 'fast-check';
import type { Bytes } from '../src/base/bytes.ts';
import { DECODERS, type Target } from './decoders.ts';
import { hostileInputs } from './mutate.ts';
import { swarmTargets } from './swarms.ts';

/** Ten million inputs and more over all targets. */
const INPUTS = 1_000_000;
/** How many inputs between two turns of the event loop, for targets that work in turns. */
const TURN = 100;
/** Tables of swarms fill up to their bounds, which takes some megabytes. */
const MAX_GROWTH_BYTES = 32 << 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { inputs: { type: 'string', default: String(INPUTS) }, seed: { type: 'string' }, path: { type: 'string' } },
});
const inputs = Number(values.inputs);
if (!Number.isInteger(inputs) || inputs < 1) throw new RangeError('Cannot take --inputs: expected a whole number');
const seed = values.seed === undefined ? Date.now() | 0 : Number(values.seed);
if (!Number.isInteger(seed)) throw new RangeError('Cannot take --seed: expected a whole number');

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** @returns what went wrong, if anything. */
async function fuzz({ name, seeds, feed, settle, oneIn = 1 }: Target): Promise<string | undefined> {
  const numRuns = Math.ceil(inputs / oneIn);
  const before = heapBytes();
  const startedAt = performance.now();
  let fed = 0;
  const input = hostileInputs(seeds);
  // What works in turns has a state that later inputs meet: a smaller input is not looked for, it would meet another one.
  const parameters: Parameters<[Bytes]> = {
    numRuns,
    seed,
    endOnFailure: settle !== undefined,
    ...(values.path === undefined ? {} : { path: values.path }),
  };
  const details = await check(
    settle === undefined
      ? property(input, feed)
      : asyncProperty(input, async (bytes) => {
          feed(bytes);
          if (fed++ % TURN === 0) await settle();
        }),
    parameters,
  );
  if (details.failed) {
    const { counterexample, counterexamplePath, errorInstance, numShrinks } = details;
    const why = errorInstance instanceof Error ? errorInstance.stack : String(errorInstance);
    const smallest = Buffer.from(counterexample?.[0] ?? []).toString('hex');
    const repeat = `--seed=${seed} --path=${counterexamplePath} '${name}'`;
    return `threw at ${smallest} (made smaller ${numShrinks} times; repeat with ${repeat}):\n${why}`;
  }
  await settle?.();
  const perSecond = Math.round((numRuns * 1000) / (performance.now() - startedAt));
  const grown = heapBytes() - before;
  const cells = [name.padEnd(24), `${numRuns} inputs`.padStart(15), `${perSecond}/s`.padStart(11)];
  console.log(`ok      ${cells.join('')}   heap ${(grown / 1024).toFixed(0)} KiB`);
  return grown > MAX_GROWTH_BYTES ? `has grown by ${grown} bytes of heap` : undefined;
}

let current = '';
let failed = 0;
const onStray = (error: unknown): void => {
  failed++;
  console.log(`FAILED  ${current} threw where nobody catches: ${error instanceof Error ? error.stack : String(error)}`);
};
process.on('uncaughtException', onStray);
process.on('unhandledRejection', onStray);

console.log(`Node ${process.version}, seed ${seed}\n`);
const targets = [...DECODERS, ...(await swarmTargets())].filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
let fed = 0;
for (const target of targets) {
  current = target.name;
  const fault = await fuzz(target);
  fed += Math.ceil(inputs / (target.oneIn ?? 1));
  if (fault === undefined) continue;
  failed++;
  console.log(`FAILED  ${target.name} ${fault}`);
}
const again = failed > 0 ? `; repeat with --seed=${seed}` : '';
console.log(`${fed} inputs for ${targets.length} targets, ${failed} faults${again}`);
process.exitCode = failed === 0 && targets.length > 0 ? 0 : 1;
