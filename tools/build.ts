/** Builds dist/ from nothing: `npm run build`. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, rmSync } from 'node:fs';
import path from 'node:path';
import { root } from './public-modules.ts';

export function build(): void {
  rmSync(path.join(root, 'dist'), { recursive: true, force: true });
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  // Documentation belongs into the declarations, where editors show it; code is loaded, and leaner without.
  for (const pass of [
    ['--emitDeclarationOnly'],
    ['--declaration', 'false', '--isolatedDeclarations', 'false', '--removeComments'],
  ]) {
    const args = [tsc, '-p', 'tsconfig.build.json', ...pass];
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
    if (status !== 0) throw new Error('Cannot build: tsc reported errors');
  }
  // What modules load from beside themselves, and tsc leaves behind.
  for (const file of globSync('**/*.wasm', { cwd: path.join(root, 'src') })) {
    copyFileSync(path.join(root, 'src', file), path.join(root, 'dist', file));
  }
}

if (import.meta.main) build();
