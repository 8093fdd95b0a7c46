/** How large the library and its tests are: lines that are neither blank nor only comment. */

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './public-modules.ts';

const PARTS = {
  library: ['src/**/*.ts'],
  tests: ['test/**/*.ts', 'apps/*/test/**/*.ts', 'interop/**/*.ts', 'fuzz/**/*.ts'],
  commands: ['apps/*/src/**/*.ts'],
  tools: ['tools/*.ts', 'tools/*.mjs'],
};

function linesOf(patterns: readonly string[]): number {
  let lines = 0;
  for (const file of globSync(patterns, { cwd: root, exclude: ['**/node_modules/**'] })) {
    let comment = false;
    for (const line of readFileSync(path.join(root, file), 'utf8').split('\n')) {
      const text = line.trim();
      if (!comment && text.startsWith('/*')) comment = true;
      if (!comment && text !== '' && !text.startsWith('//')) lines++;
      if (comment && text.endsWith('*/')) comment = false;
    }
  }
  return lines;
}

/** One line, parts without files left out. */
export function countLines(): string {
  const counts = Object.entries(PARTS).map(([part, patterns]) => [part, linesOf(patterns)] as const);
  return counts
    .filter(([, lines]) => lines > 0)
    .map(([part, lines]) => `${lines} lines of ${part}`)
    .join(', ');
}

if (import.meta.main) console.log(countLines());
