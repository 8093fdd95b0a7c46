/**
 * Checks the package as users get it: `npm run pack:check`.
 *
 * Builds dist/, compares it with the exports map, packs the tarball, looks at what is in it, has publint and attw judge
 * it, installs it in an empty folder, weighs it, compiles a strict program against it with every supported TypeScript,
 * and loads every subpath and runs every example under every supported Node.
 */

import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { vectorsOf } from '../test/vectors/public.ts';
import { build } from './build.ts';
import { findNode } from './find-node.mjs';
import { installTarball, pack, run } from './package.ts';
import { publicModules, root } from './public-modules.ts';

const NODES = [22, 24, 26];
const COMPILERS = ['typescript-5', 'typescript-6', 'typescript'];
/** What an installation may come to: shoal and what it brings. */
const MAX_PACKAGES = 4;
/** Of 8.4 MB, 2.9 are the noble packages, 2.6 code, 1.3 the QUIC engine, 0.7 types, and 0.9 documents and examples; there are no source maps. */
const MAX_BYTES = 9_000_000;

/** Runs a tool of node_modules under this Node. */
const tool = (file: string, args: readonly string[], cwd: string = root): string =>
  run(process.execPath, [path.join(root, 'node_modules', file), ...args], cwd);

function compareExports(): string {
  const modules = publicModules();
  const faults: string[] = [];
  for (const { specifier, source, types, code } of modules) {
    const [wantedCode, wantedTypes] = ['.js', '.d.ts'].map((end) =>
      source.replace('./src/', './dist/').replace(/\.ts$/, end),
    );
    if (code !== wantedCode || types !== wantedTypes) faults.push(`${specifier}: ${source} is built to ${wantedCode}`);
    for (const file of [source, types, code]) {
      if (!existsSync(path.join(root, file))) faults.push(`${specifier}: ${file} does not exist`);
    }
  }
  // Each dist file must come from a source: nothing stale, nothing generated that nobody wrote.
  for (const file of globSync('dist/**/*.js', { cwd: root })) {
    if (file.startsWith(path.join('dist', 'chunks'))) continue; // Modules that are loaded together.
    const source = file.replace(/^dist/, 'src').replace(/\.js$/, '.ts');
    if (!existsSync(path.join(root, source))) faults.push(`${file} has no ${source}`);
  }
  if (faults.length > 0) throw new Error(`exports and dist differ\n${faults.join('\n')}`);
  return `${modules.length} subpaths, all built`;
}

/** @throws when an installation is more than users should have to carry. */
function weigh(folder: string): string {
  const modules = path.join(folder, 'node_modules');
  const packages = globSync('{*,@*/*}/package.json', { cwd: modules }).length;
  const files = globSync('**/*', { cwd: modules }).map((file) => statSync(path.join(modules, file)));
  const bytes = files.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
  const weight = `${packages} packages, ${(bytes / 1e6).toFixed(2)} MB on disk`;
  if (packages > MAX_PACKAGES || bytes > MAX_BYTES) {
    throw new Error(`An installation has ${weight}: more than ${MAX_PACKAGES} packages or ${MAX_BYTES / 1e6} MB`);
  }
  return `an installation has ${weight}`;
}

/** A program that imports every subpath. */
const consumer = (): string =>
  publicModules()
    .map(
      ({ specifier }, i) => `import * as module${i} from '${specifier}';\nconsole.log(Object.keys(module${i}).length);`,
    )
    .join('\n');

const FLAGS = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--skipLibCheck', 'false'];
const SETTING = ['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2024,esnext.disposable', '--types', 'node'];

function compileAndLoad(folder: string): string[] {
  writeFileSync(path.join(folder, 'consumer.ts'), consumer());
  writeFileSync(path.join(folder, 'consumer.mjs'), consumer());
  for (const compiler of COMPILERS) {
    tool(`${compiler}/bin/tsc`, ['--noEmit', ...FLAGS, ...SETTING, 'consumer.ts'], folder);
  }
  for (const major of NODES) run(findNode(major), ['consumer.mjs'], folder);
  return [`compiles with ${COMPILERS.join(', ')}`, `loads under Node ${NODES.join(', ')}`];
}

/** The examples, lowered as a user's build would lower them; Node 22 knows no `await using`. */
function runExamples(folder: string): string {
  const examples = globSync('examples/*.ts', { cwd: root }).toSorted();
  // With the parts that some of them have in folders of their own.
  for (const file of globSync('examples/**/*.ts', { cwd: root })) {
    const target = path.join(folder, path.relative('examples', file));
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, readFileSync(path.join(root, file)));
  }
  const names = examples.map((example) => path.basename(example));
  tool('typescript/bin/tsc', [...FLAGS, ...SETTING, '--rewriteRelativeImportExtensions', ...names], folder);
  for (const name of names) {
    for (const major of NODES) run(findNode(major), [name.replace(/\.ts$/, '.js')], folder);
  }
  return `${examples.length} examples run under Node ${NODES.join(', ')}`;
}

/** A bundle for Node leaves the engine out: it says what to copy, and works with it. */
function bundleQuic(folder: string): string {
  const program = `
    import { generateKey } from 'shoal/keys';
    import { openQuicSwarm } from 'shoal/quic';
    try {
      const swarm = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey: generateKey() });
      await swarm.close();
      console.log('works');
    } catch (error) {
      console.log(error.message);
    }`;
  writeFileSync(path.join(folder, 'bundled.mjs'), program);
  const outfile = path.join(folder, 'bundle', 'main.mjs');
  const entryPoints = [path.join(folder, 'bundled.mjs')];
  buildSync({ absWorkingDir: folder, entryPoints, bundle: true, platform: 'node', format: 'esm', outfile });
  const alone = run(process.execPath, [outfile], folder);
  const engine = /copy (\S+engine\.wasm)/.exec(alone)?.[1];
  if (engine === undefined) throw new Error(`A bundle without the engine does not say what to copy: ${alone}`);
  copyFileSync(path.join(folder, engine), path.join(path.dirname(outfile), 'engine.wasm'));
  const told = run(process.execPath, [outfile], folder);
  if (told.trim() !== 'works') throw new Error(`A bundle with the engine beside it does not work: ${told}`);
  return 'a bundle says what it lacks, and works with it';
}

/** Every Node has another OpenSSL, and all of them accept the same Ed25519 signatures. */
function judgeVectors(folder: string): string {
  const file = 'cctv-ed25519.json';
  const vectors = vectorsOf(file);
  if (vectors === undefined) return 'skipped: public Ed25519 vectors: SHOAL_VECTORS names no folder with them';
  writeFileSync(path.join(folder, file), vectors);
  writeFileSync(path.join(folder, 'cctv.ts'), readFileSync(path.join(root, 'test', 'browser', 'cctv.ts')));
  tool('typescript/bin/tsc', [...FLAGS, ...SETTING, 'cctv.ts'], folder);
  const program = `import { readFileSync } from 'node:fs';
import { cctvVerdicts } from './cctv.js';
console.log(cctvVerdicts(JSON.parse(readFileSync('${file}', 'utf8'))));`;
  writeFileSync(path.join(folder, 'judge.mjs'), program);
  const verdicts = new Set(NODES.map((major) => run(findNode(major), ['judge.mjs'], folder).trim()));
  const [first] = verdicts;
  const accepted = first!.split('1').length - 1;
  if (verdicts.size !== 1 || accepted === 0) throw new Error('Node versions disagree on public Ed25519 vectors');
  return `${accepted} of ${first!.length} public Ed25519 vectors are accepted under Node ${NODES.join(', ')}`;
}

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-pack-'));
try {
  await build();
  console.log(compareExports());
  const tarball = pack(folder);
  console.log(`${path.basename(tarball)} holds dist and documents only`);
  tool('publint/src/cli.js', ['run', tarball, '--strict']);
  console.log('publint finds nothing');
  tool('@arethetypeswrong/cli/dist/index.js', [tarball, '--profile', 'esm-only', '--no-emoji', '--no-color']);
  console.log('attw finds nothing');
  installTarball(tarball, folder);
  console.log(weigh(folder));
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '@types/node@22'], folder);
  for (const line of compileAndLoad(folder)) console.log(line);
  console.log(judgeVectors(folder));
  console.log(runExamples(folder));
  console.log(bundleQuic(folder));
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
