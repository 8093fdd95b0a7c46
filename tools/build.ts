/** Builds dist/ from nothing: `npm run build`. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { publicModules, root } from './public-modules.ts';

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
  removeInternalDeclarations();
}

/** What a declaration imports: files, and the package's own imports such as `#crypto`. */
const IMPORTED = /(?:from |import\()['"]([.#][^'"]+)['"]/g;

/** Declarations that no public module leads to are of no use to anybody, and a third of the package. */
function removeInternalDeclarations(): void {
  const dist = path.join(root, 'dist');
  const { imports } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    readonly imports: Readonly<Record<string, unknown>>;
  };
  const open = [...publicModules().map(({ types }) => path.join(root, types)), ...typesOf(imports)];
  const reached = new Set<string>();
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    for (const [, name] of readFileSync(file, 'utf8').matchAll(IMPORTED)) {
      if (name!.startsWith('.')) open.push(path.resolve(path.dirname(file), name!.replace(/\.[jt]s$/, '.d.ts')));
    }
  }
  for (const file of globSync('**/*.d.ts', { cwd: dist })) {
    if (!reached.has(path.join(dist, file))) rmSync(path.join(dist, file));
  }
}

/** The files that `"types"` conditions name, at any depth. */
function typesOf(conditions: unknown): readonly string[] {
  if (typeof conditions !== 'object' || conditions === null) return [];
  return Object.entries(conditions).flatMap(([condition, target]: [string, unknown]) =>
    condition === 'types' && typeof target === 'string' ? [path.join(root, target)] : typesOf(target),
  );
}

if (import.meta.main) build();
