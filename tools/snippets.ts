/**
 * The TypeScript in README.md and docs/: every ```ts block is a program of its own that compiles and runs.
 *
 * `ts no-run` compiles only (it needs a second machine, say); what `ts prints` writes is the ```text block behind it, its
 * lines in any order. A program gets 20 seconds to end by itself.
 */

import { spawn, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './public-modules.ts';

const DOCUMENTS = ['README.md', 'docs/**/*.md'];
const RUN_TIMEOUT_MS = 20_000;
/** Inside the package, so that `shoal/…` leads to src/; not committed. */
const FOLDER = path.join(root, 'build', 'snippets');

export interface Snippet {
  /** Where its first line stands: `README.md:12`. */
  readonly place: string;
  readonly code: string;
  readonly runs: boolean;
  /** What it has to write, where the document says so. */
  readonly prints?: string | undefined;
}

/** The ```ts blocks of a Markdown text, in order. */
export function snippetsOf(file: string, markdown: string): readonly Snippet[] {
  const snippets: Snippet[] = [];
  let printing: number | undefined;
  let open: { fence: string; line: number; marks: readonly string[] } | undefined;
  let code: string[] = [];
  for (const [index, line] of markdown.split('\n').entries()) {
    const [, fence, info = ''] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
    if (open === undefined) {
      if (fence !== undefined) open = { fence, line: index + 2, marks: info.trim().split(/\s+/) };
      code = [];
    } else if (fence?.startsWith(open.fence) === true && info.trim() === '') {
      if (open.marks[0] === 'text' && printing !== undefined) {
        snippets[printing] = { ...snippets[printing]!, prints: `${code.join('\n')}\n` };
        printing = undefined;
      }
      if (['ts', 'typescript'].includes(open.marks[0] ?? '')) {
        if (printing !== undefined) throw new Error(`${snippets[printing]!.place} has no text block behind it`);
        if (open.marks.includes('prints')) printing = snippets.length;
        snippets.push({
          place: `${file}:${open.line}`,
          code: `${code.join('\n')}\n`,
          runs: !open.marks.includes('no-run'),
        });
      }
      open = undefined;
    } else code.push(line);
  }
  if (printing !== undefined) throw new Error(`${snippets[printing]!.place} has no text block behind it`);
  return snippets;
}

/** What the program wrote, and whether it ended well in time. */
async function run(file: string): Promise<{ readonly ok: boolean; readonly output: string }> {
  const child = spawn(process.execPath, ['--conditions=shoal-source', file], { cwd: root, timeout: RUN_TIMEOUT_MS });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('close', (...ended) => resolve(ended));
  });
  if (signal !== null) output += `\nended by ${signal} after at most ${RUN_TIMEOUT_MS / 1000} s`;
  return { ok: code === 0, output };
}

/** The lines of a text in one order. */
const sorted = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .toSorted((a, b) => a.localeCompare(b))
    .join('\n');

const fileOf = ({ place }: Snippet): string => `${place.replaceAll(/[^a-zA-Z0-9]+/g, '-')}.ts`;

async function main(): Promise<number> {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const files = globSync(DOCUMENTS, { cwd: root }).toSorted();
  const snippets = files.flatMap((file) => snippetsOf(file, readFileSync(path.join(root, file), 'utf8')));

  for (const snippet of snippets) writeFileSync(path.join(FOLDER, fileOf(snippet)), snippet.code);
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: { isolatedDeclarations: false, declaration: false, noUnusedLocals: false },
    include: ['*.ts'],
  };
  writeFileSync(path.join(FOLDER, 'tsconfig.json'), JSON.stringify(config));
  if (snippets.length > 0) {
    const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', FOLDER], { cwd: root, encoding: 'utf8' });
    if (status !== 0) {
      console.log(`Snippets do not compile (the number in a file's name is its line in the document):\n${stdout}`);
      return 1;
    }
  }

  let failed = 0;
  for (const snippet of snippets.filter(({ runs }) => runs)) {
    const { ok, output } = await run(path.join(FOLDER, fileOf(snippet)));
    const right = snippet.prints === undefined || sorted(output) === sorted(snippet.prints);
    if (ok && right) continue;
    failed++;
    const what = ok ? 'prints something else' : 'does not run';
    console.log(`${snippet.place} ${what}:\n${output.replaceAll(/^/gm, '    ')}`);
  }
  const ran = snippets.filter(({ runs }) => runs).length;
  console.log(`${snippets.length} snippets in ${files.length} documents: all compile, ${ran - failed} of ${ran} run`);
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
