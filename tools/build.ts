/** Builds dist/ from nothing: `npm run build`. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { buildSync } from 'esbuild';
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
  joinModules();
}

/**
 * Joins the modules that are always loaded together into one file: Node spends a third of a millisecond on each file of an import.
 * What the package exports or imports by name keeps its place, and bundlers find the same parts to leave out as before.
 */
function joinModules(): void {
  const dist = path.join(root, 'dist');
  const { exports, imports } = manifest();
  const entryPoints = [...new Set(targetsOf({ exports, imports }, 'default'))].map((file) => path.join(root, file));
  const { metafile } = buildSync({
    absWorkingDir: root,
    entryPoints,
    outbase: dist,
    outdir: dist,
    allowOverwrite: true,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'neutral',
    target: 'esnext', // tsc has lowered what has to be
    packages: 'external',
    external: ['#*'],
    chunkNames: 'chunks/[hash]',
    metafile: true,
  });
  const made = new Set(Object.keys(metafile.outputs).map((file) => path.join(root, file)));
  for (const file of globSync('**/*.js', { cwd: dist }))
    if (!made.has(path.join(dist, file))) rmSync(path.join(dist, file));
}

interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly imports: Readonly<Record<string, unknown>>;
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

if (import.meta.main) build();
