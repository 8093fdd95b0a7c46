import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { snippetsOf } from '../../tools/snippets.ts';

describe('snippetsOf', () => {
  it('finds the ts blocks and says where their code begins', () => {
    const markdown = [
      '# Title',
      '',
      '```ts',
      'a();',
      'b();',
      '```',
      '',
      '```sh',
      'npm test',
      '```',
      '~~~ts',
      'c();',
      '~~~',
    ];
    assert.deepEqual(snippetsOf('README.md', markdown.join('\n')), [
      { place: 'README.md:4', code: 'a();\nb();\n', runs: true },
      { place: 'README.md:12', code: 'c();\n', runs: true },
    ]);
  });

  it('leaves out of the run what is marked no-run', () => {
    const [snippet] = snippetsOf('a.md', '```ts no-run\na();\n```\n');
    assert.equal(snippet?.runs, false);
  });

  it('takes the text block behind a program as what it prints, where it is marked so', () => {
    const [snippet] = snippetsOf('a.md', '```ts prints\na();\n```\nIt says:\n```text\nhello\n```\n');
    assert.equal(snippet?.prints, 'hello\n');
    assert.throws(() => snippetsOf('a.md', '```ts prints\na();\n```\n'), /a\.md:2 has no text block/);
    assert.throws(() => snippetsOf('a.md', '```ts prints\na();\n```\n```ts\nb();\n```\n'), /no text block/);
  });

  it('takes a fence inside a longer fence as text', () => {
    assert.deepEqual(snippetsOf('a.md', '````md\n```ts\na();\n```\n````\n'), []);
  });

  it('takes neither tsx nor json', () => {
    assert.deepEqual(snippetsOf('a.md', '```tsx\na();\n```\n```json\n{}\n```\n'), []);
  });
});
