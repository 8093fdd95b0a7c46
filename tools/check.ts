/** Types: every TypeScript project of the repository, `npm run check`. */

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { root } from './public-modules.ts';

/** All code; the portable folders without Node's types; the plain JavaScript of the launcher; what drives browsers. */
const PROJECTS = ['tsconfig.json', 'tsconfig.portable.json', 'tools/tsconfig.json', 'tools/browser/tsconfig.json'];

const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
for (const project of PROJECTS) {
  const { status } = spawnSync(process.execPath, [tsc, '-p', project], { cwd: root, stdio: 'inherit' });
  if (status === 0) continue;
  console.log(`${project}: errors`);
  process.exitCode = 1;
}
