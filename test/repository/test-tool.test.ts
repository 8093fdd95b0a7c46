import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { missing } from '../../interop/toolchains.ts';

const tools = path.join(import.meta.dirname, '..', '..', 'tools');

/** Runs the test tool over one planted test file. */
function testing(source: string, ...args: string[]): { readonly status: number | null; readonly output: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-test-tool-'));
  try {
    cpSync(path.join(tools, 'test.ts'), path.join(folder, 'tools', 'test.ts'));
    cpSync(path.join(tools, 'test-outcome.ts'), path.join(folder, 'tools', 'test-outcome.ts'));
    mkdirSync(path.join(folder, 'test'));
    writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(path.join(folder, 'test', 'planted.test.ts'), source);
    // What tells the runner that it runs inside another one would silence it.
    const env = { ...process.env };
    delete env['NODE_TEST_CONTEXT'];
    const ran = spawnSync(process.execPath, [path.join(folder, 'tools', 'test.ts'), ...args], {
      encoding: 'utf8',
      env,
    });
    return { status: ran.status, output: ran.stdout + ran.stderr };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('the test tool', () => {
  it('passes a file whose tests pass, and names what is skipped', () => {
    const { status, output } = testing(
      "import { it } from 'node:test';\nit('works', () => {});\nit('waits', { skip: 'no link' }, () => {});\n",
    );
    assert.equal(status, 0, output);
    assert.match(output, /Skipped:\n {2}waits: no link\n\n1 passed, 0 failed, 1 skipped/);
  });

  it('fails a file without tests', () => {
    for (const source of [
      'export const nothing = 1;\n',
      "import { describe } from 'node:test';\ndescribe('a', () => {});\n",
    ]) {
      const { status, output } = testing(source);
      assert.equal(status, 1, output);
      assert.match(output, /FAILED {2}test\/planted\.test\.ts ran no test/);
    }
  });

  it('fails a file that cannot be loaded', () => {
    const { status, output } = testing('throw new Error("lost");\n');
    assert.equal(status, 1, output);
    assert.match(output, /lost/);
  });

  it('passes a file that passes the second time, and names it as unsteady', () => {
    const { status, output } = testing(`import { existsSync, writeFileSync } from 'node:fs';
import { it } from 'node:test';
const mark = new URL('mark', import.meta.url);
it('passes once the mark is there', () => {
  if (existsSync(mark)) return;
  writeFileSync(mark, '');
  throw new Error('no mark');
});
`);
    assert.equal(status, 0, output);
    assert.match(output, /no mark/);
    assert.match(output, /Unsteady .*: test\/planted\.test\.ts\n\n1 passed, 0 failed, 0 skipped/);
  });

  it('fails a file that fails twice', () => {
    const { status, output } = testing(
      "import { it } from 'node:test';\nit('works', () => {});\nit('is broken', () => { throw new Error('broken'); });\n",
    );
    assert.equal(status, 1, output);
    assert.match(output, /1 passed, 1 failed, 0 skipped/);
  });

  it('accepts that a name picks no test of a file', () => {
    const { status, output } = testing("import { it } from 'node:test';\nit('works', () => {});\n", '--name=other');
    assert.equal(status, 0, output);
  });
});

describe('the interop tool', () => {
  const interop = (...args: string[]): { readonly status: number | null; readonly output: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(tools, 'interop.ts'), ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    return { status, output: stdout + stderr };
  };

  it('runs the files that it is told, and none when no name matches', () => {
    const { status, output } = interop('no-such-file');
    assert.equal(status, 1, output);
    assert.equal(output, 'Cannot test: no file of interop/ matches no-such-file\n');
  });

  it('does not write its page from a part of the tests', () => {
    const { status, output } = interop('cells', '--write');
    assert.equal(status, 1, output);
    assert.match(output, /^Cannot write docs\/interop\.md/);
  });
});

describe('whether a peer of the interop tests can be had', () => {
  const failing = (words: string): (() => string | false) => {
    const program = `process.stderr.write(${JSON.stringify(words)}); process.exit(1)`;
    return () => missing(process.execPath, ['-e', program], tmpdir());
  };

  it('no tool, and no network, are reasons to skip', () => {
    assert.match(String(missing('no-such-tool-at-all', [], tmpdir())), /is not installed/);
    assert.match(
      String(failing('Get "x.mod": dial tcp 192.0.2.1:443: connect: connection refused')()),
      /cannot download/,
    );
    assert.match(String(failing('error: failed to download from the registry')()), /cannot download/);
    assert.equal(missing(process.execPath, ['-e', ''], tmpdir()), false);
  });

  it('a checksum or a lockfile that does not fit is a failure', () => {
    assert.throws(failing('verifying module: checksum mismatch'), /checksum mismatch/);
    assert.throws(failing('the lock file needs to be updated but --locked was passed'), /--locked/);
  });
});
