/**
 * Checks the package as users get it: `npm run pack:check`.
 *
 * Builds dist/, compares it with the exports map, packs the tarball, looks at what is in it, has publint and attw judge
 * it, installs it in an empty folder, compiles a strict program against it with every supported TypeScript, and loads
 * every subpath under every supported Node.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from './build.ts';
import { findNode } from './find-node.mjs';
import { publicModules, root } from './public-modules.ts';

const NODES = [22, 24, 26];
const COMPILERS = ['typescript-5', 'typescript-6', 'typescript'];
/** What may lie in the tarball besides dist/. */
const DOCUMENTS = ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE'];

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')}\n${error?.message ?? stdout + stderr}`);
}

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
    const source = file.replace(/^dist/, 'src').replace(/\.js$/, '.ts');
    if (!existsSync(path.join(root, source))) faults.push(`${file} has no ${source}`);
  }
  if (faults.length > 0) throw new Error(`exports and dist differ\n${faults.join('\n')}`);
  return `${modules.length} subpaths, all built`;
}

function pack(folder: string): string {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], root)) as [
    { filename: string; files: readonly { path: string }[] },
  ];
  const stray = packed.files.filter((file) => !file.path.startsWith('dist/') && !DOCUMENTS.includes(file.path));
  if (stray.length > 0) throw new Error(`these do not belong into the tarball: ${stray.map((f) => f.path).join(', ')}`);
  return path.join(folder, packed.filename);
}

/** A program that imports every subpath. */
const consumer = (): string =>
  publicModules()
    .map(
      ({ specifier }, i) => `import * as module${i} from '${specifier}';\nconsole.log(Object.keys(module${i}).length);`,
    )
    .join('\n');

function useTarball(tarball: string, folder: string): string[] {
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball, '@types/node@22'], folder);
  writeFileSync(path.join(folder, 'consumer.ts'), consumer());
  writeFileSync(path.join(folder, 'consumer.mjs'), consumer());
  const flags = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
  const setting = ['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2024,esnext.disposable'];
  for (const compiler of COMPILERS) {
    tool(`${compiler}/bin/tsc`, [...flags, ...setting, '--types', 'node', 'consumer.ts'], folder);
  }
  for (const major of NODES) run(findNode(major), ['consumer.mjs'], folder);
  return [`compiles with ${COMPILERS.join(', ')}`, `loads under Node ${NODES.join(', ')}`];
}

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-pack-'));
try {
  build();
  console.log(compareExports());
  const tarball = pack(folder);
  console.log(`${path.basename(tarball)} holds dist and documents only`);
  tool('publint/src/cli.js', ['run', tarball, '--strict']);
  console.log('publint finds nothing');
  tool('@arethetypeswrong/cli/dist/index.js', [tarball, '--profile', 'esm-only', '--no-emoji', '--no-color']);
  console.log('attw finds nothing');
  for (const line of useTarball(tarball, folder)) console.log(line);
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
