import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { EVENTS, SCHEMA_VERSION, faultOf } from '../../../apps/cli/src/schema.ts';
import { assertFails, shoal } from './command.ts';

const docs = readFileSync(path.join(import.meta.dirname, '..', '..', '..', 'docs', 'cli.md'), 'utf8');
const folder = mkdtempSync(path.join(tmpdir(), 'shoal-completion-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('shoal schema', () => {
  it('is JSON Schema, and says its version as docs/cli.md does', async () => {
    const { code, stdout } = await shoal(['schema']);
    assert.equal(code, 0);
    const { version, oneOf } = JSON.parse(stdout) as { readonly version: number; readonly oneOf: readonly object[] };
    assert.equal(version, SCHEMA_VERSION);
    assert.equal(oneOf.length, Object.keys(EVENTS).length);
    assert.match(docs, new RegExp(`version ${SCHEMA_VERSION} of the schema`));
  });

  it('has nothing that docs/cli.md does not explain', () => {
    for (const [event, { fields }] of Object.entries(EVENTS)) {
      const rows = docs.split('\n').filter((line) => line.includes(`\`${event}\``) && line.startsWith('|'));
      assert(rows.length > 0, event);
      for (const field of Object.keys(fields))
        assert(
          rows.some((row) => row.includes(`\`${field}\``)),
          `${event}.${field}`,
        );
    }
  });

  it('finds unknown events, missing and foreign fields, and wrong types', () => {
    assert.equal(faultOf({ event: 'told', dst: 'x', bytes: 1 }), undefined);
    assert.match(faultOf({ event: 'nothing' })!, /no event/);
    assert.match(faultOf({ event: 'told', dst: 'x' })!, /bytes should be number, is undefined/);
    assert.match(faultOf({ event: 'told', dst: 'x', bytes: '1' })!, /should be number, is string/);
    assert.match(faultOf({ event: 'told', dst: 'x', bytes: 1, more: 1 })!, /no field more/);
  });
});

describe('shoal completion', () => {
  it('completes commands, options and layers in bash', async (t) => {
    if (spawnSync('bash', ['--version']).status !== 0) {
      t.skip('no bash here');
      return;
    }
    const { stdout } = await shoal(['completion', 'bash']);
    const script = path.join(folder, 'shoal.bash');
    writeFileSync(script, stdout);
    const complete = (...words: readonly string[]): string => {
      const array = words.map((word) => `'${word}'`).join(' ');
      const program = `source '${script}'; COMP_WORDS=(${array}); COMP_CWORD=${words.length - 1}; _shoal; echo "\${COMPREPLY[@]}"`;
      return spawnSync('bash', ['-c', program], { encoding: 'utf8' }).stdout.trim();
    };
    assert.equal(complete('shoal', 'rec'), 'receive');
    assert.equal(complete('shoal', 'listen', '--st'), '--stack');
    assert.equal(complete('shoal', 'listen', '--stack', 'udp,p2'), 'udp,p2pke');
  });

  it('has a script for each shell, with every command, and none for others', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { code, stdout } = await shoal(['completion', shell]);
      assert.equal(code, 0);
      for (const command of ['keygen', 'receive', 'demo']) assert.match(stdout, new RegExp(command));
    }
    assertFails(await shoal(['completion', 'tcsh']), 2, /Allowed choices are bash, zsh, fish/);
  });
});
