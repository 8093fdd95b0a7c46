/**
 * The API report: every public declaration, without comments, in docs/api/shoal.api.txt.
 *
 * `npm run api` compares it with what dist/ declares now; `npm run api -- --write` writes it anew. A change shows in
 * review as a change of this file, and needs a line in CHANGELOG.md.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript-6';
import { build } from './build.ts';
import { type PublicName, readDeclarations, statementOf } from './declarations.ts';
import { API_REPORT, root } from './public-modules.ts';

function report(): string {
  const printer = ts.createPrinter({ removeComments: true });
  const print = ({ declarations }: PublicName): string =>
    [...new Set(declarations.map(statementOf))]
      .map((node) => printer.printNode(ts.EmitHint.Unspecified, node, node.getSourceFile()))
      .join('\n');
  const { exported, mentioned } = readDeclarations();
  if (mentioned.length > 0) {
    const names = mentioned.map(({ name }) => name).join(', ');
    throw new Error(`Public declarations mention what is not exported: ${names}. Export it, or mark it @internal`);
  }
  return [...exported].map(([specifier, names]) => `# ${specifier}\n\n${names.map(print).join('\n')}\n`).join('\n');
}

const lines = (text: string): ReadonlySet<string> => new Set(text.split('\n'));

async function main(): Promise<number> {
  await build();
  const file = path.join(root, API_REPORT);
  const now = report();
  if (process.argv.includes('--write')) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, now);
    console.log(`${API_REPORT} written`);
    return 0;
  }
  const committed = readFileSync(file, 'utf8');
  if (committed === now) {
    console.log(`${API_REPORT} is up to date`);
    return 0;
  }
  const before = lines(committed);
  const after = lines(now);
  for (const line of before) if (!after.has(line)) console.log(`- ${line}`);
  for (const line of after) if (!before.has(line)) console.log(`+ ${line}`);
  console.log(`The public API is not that of ${API_REPORT}. If that is wanted: npm run api -- --write`);
  return 1;
}

process.exitCode = await main();
