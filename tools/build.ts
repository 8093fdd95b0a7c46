/** Builds dist/ from nothing: `npm run build`. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { joinModules } from './join-modules.ts';
import { publicModules, root } from './public-modules.ts';

export async function build(): Promise<void> {
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
  await joinBuilt();
}

/** The built files, as esbuild names them. */
const files = (conditions: unknown): readonly string[] =>
  targetsOf(conditions, 'default').map((file) => path.normalize(file));

/** What the package exports or imports by name keeps its place. */
async function joinBuilt(): Promise<void> {
  const { exports, imports } = manifest();
  const targets = Object.entries(imports).map(
    ([name, conditions]) => [name, { node: files(conditions.node), all: files(conditions) }] as const,
  );
  await joinModules([...new Set(files({ exports, imports }))], new Map(targets));
}

interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly imports: Readonly<Record<string, { readonly node?: unknown }>>;
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest;
}

/** What a declaration imports: files, and the package's own imports such as `#crypto`. */
const IMPORTED = /(?:from |import\()['"]([.#][^'"]+)['"]/g;

/** Declarations that no public module leads to are of no use to anybody, and a third of the package. */
function removeInternalDeclarations(): void {
  const dist = path.join(root, 'dist');
  const internal = targetsOf(manifest().imports, 'types').map((file) => path.join(root, file));
  const open = [...publicModules().map(({ types }) => path.join(root, types)), ...internal];
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

/** The built files that a condition names, at any depth. */
function targetsOf(conditions: unknown, wanted: 'types' | 'default'): readonly string[] {
  if (typeof conditions !== 'object' || conditions === null) return [];
  return Object.entries(conditions).flatMap(([condition, target]: [string, unknown]) =>
    typeof target !== 'string'
      ? targetsOf(target, wanted)
      : condition === wanted && target.startsWith('./dist/')
        ? [target]
        : [],
  );
}

if (import.meta.main) await build();
