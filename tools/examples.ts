/** Runs every file of examples/: each has to end by itself, well and soon. */

import { spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './public-modules.ts';

const RUN_TIMEOUT_MS = 30_000;
/** An example that needs more is not one. */
const MAX_LINES = 80;

/** What is wrong with an example, if anything, and what it wrote. */
async function run(file: string): Promise<{ readonly fault: string | undefined; readonly output: string }> {
  const lines = readFileSync(path.join(root, file), 'utf8').trimEnd().split('\n').length;
  if (lines > MAX_LINES) return { fault: `has ${lines} lines; ${MAX_LINES} are enough`, output: '' };
  const child = spawn(process.execPath, ['--conditions=shoal-source', path.join(root, file)], {
    timeout: RUN_TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('close', (...ended) => resolve(ended));
  });
  if (signal !== null) return { fault: `did not end within ${RUN_TIMEOUT_MS / 1000} s`, output };
  return { fault: code === 0 ? undefined : `ended with exit code ${code}`, output };
}

const files = globSync('examples/*.ts', { cwd: root }).toSorted();
let failed = 0;
for (const file of files) {
  const startedAt = performance.now();
  const { fault, output } = await run(file);
  const ms = (performance.now() - startedAt).toFixed(0);
  console.log(`${fault === undefined ? 'ok    ' : 'FAILED'}  ${file.padEnd(48)} ${ms.padStart(6)} ms`);
  if (fault === undefined) continue;
  failed++;
  console.log(`${file} ${fault}\n${output.replaceAll(/^/gm, '    ')}`);
}
console.log(`${files.length - failed} of ${files.length} examples run`);
process.exitCode = failed === 0 ? 0 : 1;
