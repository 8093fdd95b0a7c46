/** The parts of docs/benchmarks.md that are written by programs. */

import { readFileSync, writeFileSync } from 'node:fs';

const PAGE = new URL('../../docs/benchmarks.md', import.meta.url);

/** Replaces what stands between `<!-- NAME -->` and `<!-- end of NAME -->`. */
export function putSection(name: string, content: string): void {
  writeFileSync(PAGE, sectionReplaced(readFileSync(PAGE, 'utf8'), name, content));
}

/** The page with another content of a section. */
export function sectionReplaced(page: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from === -1 || to === -1) throw new Error(`docs/benchmarks.md has no section ${name}`);
  return `${page.slice(0, from + begin.length)}\n\n${content}\n\n${page.slice(to)}`;
}
