/** Every exported name of every public module has a doc comment. */

import path from 'node:path';
import ts from 'typescript-6';
import { build } from './build.ts';
import { readDeclarations, statementOf } from './declarations.ts';
import { root } from './public-modules.ts';

await build();
const { exported } = readDeclarations();
const bare = new Set<string>();
let names = 0;
for (const { name, declarations } of [...exported.values()].flat()) {
  names++;
  if (declarations.some((one) => ts.getJSDocCommentsAndTags(statementOf(one)).length > 0)) continue;
  const file = declarations[0]?.getSourceFile().fileName ?? '?';
  bare.add(`${path.relative(root, file)}: ${name}`);
}
for (const one of bare) console.log(one);
console.log(`${bare.size} of ${names} public names have no doc comment`);
process.exitCode = bare.size === 0 ? 0 : 1;
