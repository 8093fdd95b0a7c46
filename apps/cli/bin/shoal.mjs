#!/usr/bin/env node
// The `shoal` command on any Node >= 20: the launcher finds a Node that runs the sources, and hands everything through.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from '../../../tools/launch.mjs';

const main = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'src', 'main.ts');

try {
  launch([main, ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
