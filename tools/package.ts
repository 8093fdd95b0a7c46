/** The package as users get it: packed, and installed in a folder of its own. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './public-modules.ts';

/** What may lie in the tarball besides dist/, docs/ and examples/: the pages that README.md links to. */
const DOCUMENTS = [
  'package.json',
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'INVARIANTS.md',
  'LICENSE',
  'SECURITY.md',
];
const FOLDERS = ['dist/', 'docs/', 'examples/'];

/** Runs a command to its end. @throws with what it wrote, when it fails. */
export function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')}\n${error?.message ?? stdout + stderr}`);
}

/** Packs dist/ as it is. @returns the tarball's path. @throws when something is in it that should not be. */
export function pack(folder: string): string {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], root)) as [
    { filename: string; files: readonly { path: string }[] },
  ];
  const stray = packed.files.filter(
    ({ path: file }) => !FOLDERS.some((folder) => file.startsWith(folder)) && !DOCUMENTS.includes(file),
  );
  if (stray.length > 0) throw new Error(`these do not belong into the tarball: ${stray.map((f) => f.path).join(', ')}`);
  return path.join(folder, packed.filename);
}

/** Installs the tarball, and what else is named, in a folder that has nothing yet. */
export function installTarball(tarball: string, folder: string, ...more: readonly string[]): void {
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball, ...more], folder);
}
