/** Rivals from npm, each where somebody has installed it. */

import { existsSync } from 'node:fs';

/** Says how to install it, where it is not; else false. */
export function rivalMissing(folder: string, name: string): () => string | false {
  const there = new URL(`../rivals/${folder}/node_modules/${name}`, import.meta.url);
  return () =>
    existsSync(there) ? false : `${name}: not installed (npm install --ignore-scripts --prefix bench/rivals/${folder})`;
}
