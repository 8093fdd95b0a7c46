/**
 * `npm run fuzz`: feeds every decoder, and whole swarms, with hostile inputs. `-- --inputs=N` sets how many each gets,
 * `-- --seed=TEXT` repeats a run, `-- frag DER` picks targets by name. Exit code 1 when something threw, or when the heap
 * has grown.
 */

import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DECODERS, type Target } from './decoders.ts';
import { Mutator } from './mutate.ts';
import { swarmTargets } from './swarms.ts';

/** Ten million inputs and more over all targets. */
const INPUTS = 1_000_000;
/** How many inputs between two turns of the event loop, for targets that work in turns. */
const TURN = 100;
/** Tables of swarms fill up to their bounds, which takes some megabytes. */
const MAX_GROWTH_BYTES = 32 << 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { inputs: { type: 'string', default: String(INPUTS) }, seed: { type: 'string' } },
});
const inputs = Number(values.inputs);
if (!Number.isInteger(inputs) || inputs < 1) throw new RangeError('Cannot take --inputs: expected a whole number');
const seed = values.seed ?? String(Date.now());

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** @returns what went wrong, if anything. */
async function fuzz({ name, seeds, feed, settle, oneIn = 1 }: Target): Promise<string | undefined> {
  const mutator = new Mutator(`${seed} ${name}`, seeds);
  const count = Math.ceil(inputs / oneIn);
  const before = heapBytes();
  const startedAt = performance.now();
  for (let i = 0; i < count; i++) {
    const input = mutator.next();
    const given = input.slice();
    try {
      feed(input);
      if (settle !== undefined && i % TURN === 0) await settle();
    } catch (error) {
      const why = error instanceof Error ? error.stack : String(error);
      return `threw at input ${i} (${Buffer.from(given).toString('hex')}):\n${why}`;
    }
  }
  await settle?.();
  const perSecond = Math.round((count * 1000) / (performance.now() - startedAt));
  const grown = heapBytes() - before;
  const cells = [name.padEnd(24), `${count} inputs`.padStart(15), `${perSecond}/s`.padStart(11)];
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
