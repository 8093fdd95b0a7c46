// Installs the packages of a folder from its lockfile where they are absent or not those of the lockfile.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, integrity?: string, optional?: boolean, link?: boolean }> | undefined}
 */
function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined; // absent or cut off: not installed
  }
}

/**
 * Whether `folder` holds what its lockfile says. Compares with the list that npm keeps in node_modules, so that a
 * hand-made `npm ci` counts too. Optional packages may be missing: they are for other platforms.
 *
 * @param {string} folder
 */
export function isInstalled(folder) {
  const wanted = packagesOf(path.join(folder, 'package-lock.json'));
  const present = packagesOf(path.join(folder, 'node_modules', '.package-lock.json'));
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(([name, { version, integrity, optional }]) => {
    if (!name.includes('node_modules/')) return true;
    const found = present[name];
    if (found === undefined) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
}

/**
 * @param {string} folder
 * @param {string} what - what is being installed, for people.
 */
export function installPackages(folder, what) {
  process.stderr.write(`Installing ${what} …\n`);
  // What a user has set to leave out (omit, NODE_ENV=production) would leave out the tools.
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env['npm_execpath'];
  const options = /** @type {const} */ ({ cwd: folder, encoding: 'utf8' });
  const result =
    npm !== undefined && /npm-cli\.c?js$/.test(npm)
      ? spawnSync(process.execPath, [npm, ...args], options)
      : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
  if (result.status === 0) return;
  const said = result.error === undefined ? gist(`${result.stdout}${result.stderr}`) : result.error.message;
  throw new Error(`Cannot install ${what}: npm ci failed in ${folder}\n${said.replace(/^/gm, '  ')}`);
}

/**
 * What npm said, without stack traces, error objects and the name of its log.
 *
 * @param {string} output
 */
function gist(output) {
  const lines = output.trim().split('\n');
  return lines
    .filter((line) => !/^npm (error|warn)(\s*$|\s{2}|\s[{}]|\s(errno|syscall|A complete log)\b)/.test(line))
    .join('\n');
}
