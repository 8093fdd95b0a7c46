// Runs a tool or a command of this repository from a fresh clone, on any Node >= 20:
//
//   node tools/launch.mjs [--node=MAJOR] [node options] FILE [arguments]
//
// Installs the packages where needed, finds a Node that runs TypeScript, makes `shoal` lead to src/, and hands through
// arguments, exit code and signals. Plain JavaScript, because it runs before there is anything else.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findNode } from './find-node.mjs';
import { installPackages, isInstalled } from './install.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** @param {readonly string[]} args - as on the command line. */
export function launch(args) {
  const fileAt = args.findIndex((arg) => !arg.startsWith('--'));
  const file = args[fileAt];
  if (file === undefined) throw new Error('Cannot launch: expected a file, got none');
  const options = args.slice(0, fileAt);
  const major = options.find((option) => option.startsWith('--node='));
  const nodeOptions = options.filter((option) => option !== major);

  if (!isInstalled(root)) installPackages(root, 'packages');
  const node = findNode(major === undefined ? undefined : Number(major.slice('--node='.length)));
  const child = spawn(
    node,
    ['--conditions=shoal-source', ...nodeOptions, path.resolve(root, file), ...args.slice(fileAt + 1)],
    {
      stdio: 'inherit',
      env: {
        // Halves the start of a command: sources are stripped and compiled once for each version of theirs.
        NODE_COMPILE_CACHE: path.join(root, 'node_modules', '.cache', 'node-compile'),
        ...process.env,
        // What the child starts by the name `node` is then the same Node.
        PATH: `${path.dirname(node)}${path.delimiter}${process.env['PATH'] ?? ''}`,
      },
    },
  );

  // A terminal sends Ctrl-C to the child as well; passing it on would be a second one.
  const terminal = process.stdin.isTTY;
  process.on('SIGINT', () => {
    if (!terminal) child.kill('SIGINT');
  });
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`Cannot run ${node}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

/** @param {string} message */
function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    launch(process.argv.slice(2));
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}
