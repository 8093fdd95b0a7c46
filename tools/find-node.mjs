// Finds the Node to run a tool on: the running one where it will do, else the private one of tools/node/<major>.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPackages, isInstalled } from './install.mjs';

/** The oldest major version that runs the sources as they are (types stripped, `await using`). */
const OLDEST_FOR_SOURCES = 24;
/** The major version of the toolchain, used where the running Node is older than that. */
const TOOLCHAIN = 26;

const here = path.dirname(fileURLToPath(import.meta.url));

/**
 * @param {number | undefined} wanted - a major version, or undefined for any that runs the sources.
 * @returns {string} the path of a Node binary.
 */
export function findNode(wanted) {
  const running = Number.parseInt(process.versions.node, 10);
  if (wanted === undefined ? running >= OLDEST_FOR_SOURCES : running === wanted) return process.execPath;
  return privateNode(wanted ?? TOOLCHAIN);
}

/** @param {number} major */
function privateNode(major) {
  const folder = path.join(here, 'node', String(major));
  const instead = `run this with Node ${major} (it is running on ${process.version})`;
  const name = binaryPackages(folder)[0];
  if (name === undefined) {
    throw new Error(
      `Cannot get Node ${major}: npm has none for ${process.platform}-${process.arch} in tools/node/${major}; ${instead}`,
    );
  }
  const binary = path.join(folder, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (!isInstalled(folder) || !existsSync(binary)) installPackages(folder, `Node ${major}`);
  const trial = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  if (trial.status !== 0) {
    // npm does not mind when it cannot fetch an optional package, so this is where it shows.
    const why = existsSync(binary) ? trial.stderr.trim() || trial.error?.message : `npm could not fetch ${name}`;
    throw new Error(`Cannot get Node ${major}: ${why}; try again, or ${instead}`);
  }
  return binary;
}

/**
 * The packages of `folder` that hold the binary for this machine.
 *
 * @param {string} folder
 * @returns {string[]}
 */
function binaryPackages(folder) {
  const manifest = path.join(folder, 'package.json');
  if (!existsSync(manifest)) return [];
  const system = process.platform === 'win32' ? 'win' : process.platform;
  const names = [`node-${system}-${process.arch}`, `node-bin-${system}-${process.arch}`];
  const offered = JSON.parse(readFileSync(manifest, 'utf8')).optionalDependencies;
  return names.filter((name) => Object.hasOwn(offered, name));
}
