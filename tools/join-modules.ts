/** Joins the built modules into few files: what an import takes grows with the number of files before it grows with their size. */

import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild';
import { root } from './public-modules.ts';

const dist: string = path.join(root, 'dist');

/** Node spends on opening, linking and compiling a file about as much as on this much code. */
const BYTES_OF_A_FILE = 8_000;

const OPTIONS = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'neutral',
  target: 'esnext', // tsc has lowered what has to be
  packages: 'external',
  external: ['#*'],
  allowOverwrite: true,
  logOverride: { 'ignored-bare-import': 'silent' }, // They keep an order that nothing depends on.
} as const satisfies BuildOptions;

/** A bundler drops a module that nobody uses, but keeps what it executes in a merged file of which something is used. */
const MAX_BYTES_KEPT = 500;

/** The files that each of the package's own imports leads to: under Node, and under any condition. */
type Targets = ReadonlyMap<string, { readonly node: readonly string[]; readonly all: readonly string[] }>;

/**
 * esbuild puts modules that the same entries load into one file, and the result is a hundred small files. These are merged
 * while that makes the import of some entry cheaper and of none dearer than it was: an entry may read some code that it does
 * not need instead of another file. It never loads a built-in or a package that it did not load before, and what bundlers can
 * leave out stays what it was. Entries keep their place.
 * @param targets where the package's own imports lead
 */
export async function joinModules(entryPoints: readonly string[], targets: Targets): Promise<void> {
  const { metafile } = await build({
    ...OPTIONS,
    entryPoints: [...entryPoints],
    outbase: dist,
    outdir: dist,
    splitting: true,
    chunkNames: 'chunks/[hash]',
    metafile: true,
  });
  const made = new Set(Object.keys(metafile.outputs).map((file) => path.join(root, file)));
  for (const file of globSync('**/*.js', { cwd: dist }))
    if (!made.has(path.join(dist, file))) rmSync(path.join(dist, file));
  const chunks = Object.keys(metafile.outputs).filter((file) => metafile.outputs[file]!.entryPoint === undefined);
  const kept = await Promise.all(chunks.map(bytesKept));
  await writeMerged(
    metafile,
    mergesOf(metafile, targets, new Set(chunks.filter((_, i) => kept[i]! <= MAX_BYTES_KEPT))),
  );
}

/** How much of a module, and of what it imports, a browser's bundle keeps where nothing of it is used. */
async function bytesKept(file: string): Promise<number> {
  const place = path.join(root, file);
  const contents = readFileSync(place, 'utf8').replace(/^export \{[^}]*\};/m, '');
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: path.dirname(place) },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    external: ['node:*'],
    write: false,
    logLevel: 'error',
  });
  return outputFiles[0]!.contents.length;
}

/** A file, or several that are merged. Sets of them are bits of a number. */
interface Part {
  files: string[];
  weight: number;
  /** What it imports, under Node. */
  imports: bigint;
  /** The same under every condition, for the order of evaluation. */
  everywhere: bigint;
  readonly externals: Set<string>;
}

/** Which of the mergeable chunks to merge: groups of two and more. */
function mergesOf(
  { outputs }: Metafile,
  targets: Targets,
  mergeable: ReadonlySet<string>,
): readonly (readonly string[])[] {
  const files = Object.keys(outputs);
  const bit = (file: string): bigint => 1n << BigInt(files.indexOf(file));
  const parts: (Part | undefined)[] = files.map((file) => {
    const { imports, bytes } = outputs[file]!;
    const fixed = imports.filter(({ kind }) => kind === 'import-statement');
    const own = fixed.filter((one) => one.external !== true).reduce((all, one) => all | bit(one.path), 0n);
    const named = fixed.flatMap((one) => (one.external === true ? [one.path] : []));
    const led = (condition: 'node' | 'all'): bigint =>
      named.flatMap((name) => targets.get(name)?.[condition] ?? []).reduce((all, target) => all | bit(target), own);
    return {
      files: [file],
      weight: BYTES_OF_A_FILE + bytes,
      imports: led('node'),
      everywhere: led('all'),
      externals: new Set(named),
    };
  });
  const entries = files.flatMap((file, i) => (outputs[file]!.entryPoint === undefined ? [] : [i]));
  const before = entries.map((entry) => weightOf(parts, closuresOf(parts, 'imports')[entry]!));
  for (;;) {
    const candidates = parts.flatMap((part, i) => (part !== undefined && mergeable.has(part.files[0]!) ? [i] : []));
    const best = bestMerge(parts, candidates, entries, before);
    if (best === undefined) break;
    merge(parts, ...best);
  }
  return parts.flatMap((part) => (part !== undefined && part.files.length > 1 ? [part.files] : []));
}

/** What each part loads, itself among it. */
function closuresOf(parts: readonly (Part | undefined)[], edges: 'imports' | 'everywhere'): readonly bigint[] {
  const closures: (bigint | undefined)[] = [];
  const closureOf = (i: number): bigint => {
    let closure = closures[i];
    if (closure !== undefined) return closure;
    closure = 1n << BigInt(i);
    for (const next of bitsOf(parts[i]?.[edges] ?? 0n)) closure |= closureOf(next);
    return (closures[i] = closure);
  };
  return parts.map((_, i) => closureOf(i));
}

function bitsOf(set: bigint): number[] {
  const bits: number[] = [];
  for (let i = 0; set !== 0n; i++, set >>= 1n) if ((set & 1n) !== 0n) bits.push(i);
  return bits;
}

const weightOf = (parts: readonly (Part | undefined)[], set: bigint): number =>
  bitsOf(set).reduce((sum, i) => sum + (parts[i]?.weight ?? 0), 0);

/** The two candidates whose merge saves most, as shares of what each entry took. */
function bestMerge(
  parts: readonly (Part | undefined)[],
  candidates: readonly number[],
  entries: readonly number[],
  before: readonly number[],
): readonly [number, number] | undefined {
  const closures = closuresOf(parts, 'imports');
  const everywhere = closuresOf(parts, 'everywhere');
  const now = entries.map((entry) => weightOf(parts, closures[entry]!));
  const externalsOf = (set: bigint): Set<string> =>
    new Set(bitsOf(set).flatMap((i) => [...(parts[i]?.externals ?? [])]));
  const allowed = entries.map((entry) => externalsOf(closures[entry]!));

  const savedBy = (a: number, b: number): number => {
    const both = (1n << BigInt(a)) | (1n << BigInt(b));
    const loaded = closures[a]! | closures[b]!;
    let saved = 0;
    for (const [i, entry] of entries.entries()) {
      const had = closures[entry]!;
      if ((had & both) === 0n) continue;
      const added = loaded & ~had;
      const change = (added === 0n ? 0 : weightOf(parts, added)) - BYTES_OF_A_FILE;
      if (now[i]! + change > before[i]!) return 0;
      if (added !== 0n && [...externalsOf(added)].some((name) => !allowed[i]!.has(name))) return 0;
      saved -= change / before[i]!;
    }
    return saved;
  };
  /** Whether one is imported by what the other imports: merged, they would import themselves. */
  const isBetween = (a: number, b: number): boolean =>
    bitsOf(parts[a]!.everywhere & ~(1n << BigInt(b))).some((i) => ((everywhere[i]! >> BigInt(b)) & 1n) !== 0n);

  let best: readonly [number, number] | undefined;
  let most = 0;
  for (const [i, a] of candidates.entries()) {
    for (const b of candidates.slice(i + 1)) {
      const saved = savedBy(a, b);
      if (saved <= most || isBetween(a, b) || isBetween(b, a)) continue;
      most = saved;
      best = [a, b];
    }
  }
  return best;
}

function merge(parts: (Part | undefined)[], a: number, b: number): void {
  const into = parts[a]!;
  const from = parts[b]!;
  into.files.push(...from.files);
  into.weight += from.weight - BYTES_OF_A_FILE;
  for (const name of from.externals) into.externals.add(name);
  parts[b] = undefined;
  const [bitA, bitB] = [1n << BigInt(a), 1n << BigInt(b)];
  const moved = (set: bigint): bigint => ((set & bitB) === 0n ? set : (set & ~bitB) | bitA);
  into.imports = (into.imports | from.imports) & ~bitA & ~bitB;
  into.everywhere = (into.everywhere | from.everywhere) & ~bitA & ~bitB;
  for (const part of parts) {
    if (part === undefined || part === into) continue;
    part.imports = moved(part.imports);
    part.everywhere = moved(part.everywhere);
  }
}

const list = (names: ReadonlyMap<string, string>, back: boolean): string =>
  [...names].map(([name, unique]) => (back ? `${unique} as ${name}` : `${name} as ${unique}`)).join(', ');

/** Writes each group as one file, by the name of its first, and leads every import of the others there. */
async function writeMerged({ outputs }: Metafile, groups: readonly (readonly string[])[]): Promise<void> {
  /** Where a file's export went, and by which name. */
  const places = new Map<string, { readonly group: readonly string[]; readonly names: ReadonlyMap<string, string> }>();
  for (const group of groups) {
    const taken = new Set<string>();
    for (const file of group) {
      const names = new Map<string, string>();
      for (const name of outputs[file]!.exports) {
        let unique = name;
        for (let i = 2; taken.has(unique); i++) unique = `${name}_${i}`;
        taken.add(unique);
        names.set(name, unique);
      }
      places.set(path.join(root, file), { group, names });
    }
  }
  /** Of all that a file imports, only what belongs to its own group comes into it. */
  const within = (group: readonly string[]): Plugin => ({
    name: 'merged',
    setup(of) {
      const mine = new Set(group.map((file) => path.join(root, file)));
      of.onResolve({ filter: /^\.\.?\// }, ({ path: name, resolveDir, kind, namespace }) => {
        const file = path.resolve(resolveDir, name);
        if (kind === 'entry-point' || (mine.has(file) && namespace !== 'moved'))
          return { path: file, sideEffects: false };
        if (kind === 'import-statement' && namespace !== 'moved' && places.has(file))
          return { path: file, namespace: 'moved', sideEffects: false };
        return { path: relativeTo(path.dirname(path.join(root, group[0]!)), file), external: true, sideEffects: false };
      });
      of.onLoad({ filter: /./, namespace: 'moved' }, ({ path: file }) => {
        const { group: theirs, names } = places.get(file)!;
        const target = path.join(root, theirs[0]!);
        return {
          contents: `export { ${list(names, true)} } from '${relativeTo(path.dirname(target), target)}';`,
          resolveDir: path.dirname(target),
        };
      });
    },
  });

  const merged = new Set(groups.flat());
  const rest = Object.keys(outputs).filter((file) => !merged.has(file));
  const written = await Promise.all(
    [...groups, ...rest.map((file) => [file])].map(async (group) => {
      const folder = path.dirname(path.join(root, group[0]!));
      const contents = group
        .map((file) => {
          const from = `'${relativeTo(folder, path.join(root, file))}'`;
          const names = places.get(path.join(root, file))?.names;
          return names === undefined ? `export * from ${from};` : `export { ${list(names, false)} } from ${from};`;
        })
        .join('\n');
      return build({
        ...OPTIONS,
        stdin: { contents, resolveDir: folder },
        outfile: path.join(root, group[0]!),
        plugins: [within(group)],
        write: false,
      });
    }),
  );
  for (const { outputFiles } of written)
    for (const { path: file, contents } of outputFiles) writeFileSync(file, contents);
  for (const file of groups.flatMap(([, ...others]) => others)) rmSync(path.join(root, file));
}

/** As an import says it. */
function relativeTo(folder: string, file: string): string {
  const relative = path.relative(folder, file).split(path.sep).join('/');
  return relative.startsWith('.') ? relative : `./${relative}`;
}
