/** Links between documents, as they are in an installed package. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { root } from '../../tools/public-modules.ts';

/** The targets of the Markdown links in `text` that are neither URLs nor headings of the same page. */
function localLinks(text: string): readonly string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target).filter((t) => !/^(https?:|#)/.test(t));
}

it('every link of a document in the package leads to a file of the package', () => {
  const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' });
  const [{ files }] = JSON.parse(packed.stdout) as [{ files: readonly { path: string }[] }];
  const paths = new Set(files.map((file) => file.path));
  const folders = new Set([...paths].map((file) => path.posix.dirname(file)));
  const documents = [...paths].filter((file) => file.endsWith('.md'));
  assert.ok(documents.includes('README.md') && documents.includes('docs/receiving.md'));
  const broken: string[] = [];
  for (const document of documents) {
    for (const link of localLinks(readFileSync(path.join(root, document), 'utf8'))) {
      const target = path.posix.join(path.posix.dirname(document), link.split('#')[0]!).replace(/\/$/, '');
      if (!paths.has(target) && !folders.has(target)) broken.push(`${document}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});
